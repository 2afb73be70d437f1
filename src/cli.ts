#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=8
/**
 * `archiver COMMAND`: a service, or a command of commands/; neither loads the other.
 *
 * Short-lived objects of 8 MiB before they are looked through, and one arena of malloc(3): eight recordings of an hour at once
 * then stay within 60 MiB over the idle service.
 */
import type { SERVICES } from './commands/contents.ts';
import { keepCompiled } from './compiled.ts';

/** Each is imported only where it runs. */
const DEPLOYABLES = {
  serve: async () => (await import('./services/serve.ts')).serve,
  receiver: async () => (await import('./services/receiver.ts')).receiver,
  worker: async () => (await import('./services/worker.ts')).worker,
  playback: async () => (await import('./services/playback.ts')).playback,
  console: async () => (await import('./services/console.ts')).peoplePages,
} as const satisfies Record<keyof typeof SERVICES, unknown>;

keepCompiled();
requireFolder();
const [name = '', ...rest] = process.argv.slice(2);
if (isDeployable(name) && rest.length === 0) {
  const { runService } = await import('./services/run.ts');
  await runService(name, await DEPLOYABLES[name](), process.env);
} else {
  const { runLine } = await import('./commands/command-line.ts');
  await runLine(name, rest, process.env);
}

/** Paths are read from there, and libraries ask for it as they are loaded. */
function requireFolder(): void {
  try {
    process.cwd();
  } catch {
    process.stderr.write('The folder this was started in is gone: change to another one (cd) and run it again.\n');
    process.exit(1);
  }
}

function isDeployable(text: string): text is keyof typeof DEPLOYABLES {
  return Object.hasOwn(DEPLOYABLES, text);
}

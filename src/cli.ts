#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=8
/**
 * `archiver COMMAND`: one line each; every command is a file under commands/.
 *
 * Short-lived objects of 8 MiB before they are looked through, and one arena of malloc(3): eight recordings of an hour at once
 * then stay within 60 MiB over the idle service.
 */
import { completionOf } from './commands/completion.ts';
import { COMMANDS, commandNamed, tableOfContents, SERVICES, unknownCommand } from './commands/contents.ts';
import { helpOf } from './commands/flags.ts';
import { runHere } from './commands/here.ts';
import { environmentHelp, isConfigured } from './config/variables.ts';

/** Each is imported only where it runs. */
const DEPLOYABLES = {
  serve: async () => (await import('./services/serve.ts')).serve,
  receiver: async () => (await import('./services/receiver.ts')).receiver,
  worker: async () => (await import('./services/worker.ts')).worker,
  playback: async () => (await import('./services/playback.ts')).playback,
  console: async () => (await import('./services/console.ts')).peoplePages,
} as const satisfies Record<keyof typeof SERVICES, unknown>;

const [name = '', ...rest] = process.argv.slice(2);
const command = commandNamed(name);
if (name === '--help' || name === 'help') {
  process.stdout.write(tableOfContents());
} else if (isDeployable(name) && rest.join() === '--help') {
  process.stdout.write(`Usage: archiver ${name}\n\n${environmentHelp(name)}`);
} else if (isDeployable(name) && rest.length === 0) {
  const { runService } = await import('./services/run.ts');
  await runService(name, await DEPLOYABLES[name](), process.env);
} else if (command !== undefined && rest.join() === '--help') {
  process.stdout.write(`${helpOf(command.table)}\n${isConfigured(name) ? environmentHelp(name) : ''}`);
} else if (command !== undefined) {
  await runHere(command, rest, process.env);
} else if (name === 'completion' && (rest.join() === 'bash' || rest.join() === 'zsh')) {
  const tables = COMMANDS.map(({ table }) => table);
  process.stdout.write(completionOf(rest.join() === 'zsh' ? 'zsh' : 'bash', { tables, services: SERVICES }));
} else {
  const isKnown = name === '' || isDeployable(name) || name === 'completion';
  process.stderr.write(isKnown ? tableOfContents() : unknownCommand(name));
  process.exitCode = 2;
}

function isDeployable(text: string): text is keyof typeof DEPLOYABLES {
  return Object.hasOwn(DEPLOYABLES, text);
}

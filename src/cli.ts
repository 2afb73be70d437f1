#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=8
/**
 * `archiver COMMAND`: one line each; every command is a file under commands/.
 *
 * Short-lived objects of 8 MiB before they are looked through, and one arena of malloc(3): eight recordings of an hour at once
 * then stay within 60 MiB over the idle service.
 */
import { environmentHelp } from './config/variables.ts';
import { playback } from './services/playback.ts';
import { receiver } from './services/receiver.ts';
import { serve } from './services/serve.ts';
import { runService } from './services/run.ts';
import { worker } from './services/worker.ts';

const COMMANDS = { serve, receiver, worker, playback } as const;

const USAGE = `Usage: archiver COMMAND

  serve      receiver, worker and playback in one process
  receiver   takes events: POST /webhooks/genesys
  worker     archives recordings from the queue
  playback   GET /transcode, /recordings and links

Configuration is read from the environment; archiver COMMAND --help lists the variables.
`;

const [name = '', ...rest] = process.argv.slice(2);
if (name === '--help' || name === 'help') {
  process.stdout.write(USAGE);
} else if (isCommand(name) && rest.join() === '--help') {
  process.stdout.write(`Usage: archiver ${name}\n\n${environmentHelp(name)}`);
} else if (isCommand(name) && rest.length === 0) {
  await runService(name, COMMANDS[name], process.env);
} else {
  process.stderr.write(USAGE);
  process.exitCode = 2;
}

function isCommand(text: string): text is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, text);
}

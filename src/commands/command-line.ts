/** The words behind `archiver`, where they start no service → what they ask for: help, a command, a script for the shell. */
import { environmentHelp, isConfigured } from '../config/variables.ts';
import { readVersion } from '../version.ts';
import { completionOf } from './completion.ts';
import { COMMANDS, commandNamed, SERVICES, tableOfContents, unknownCommand } from './contents.ts';
import { systemCode } from '../failure.ts';
import { helpOf } from './flags.ts';
import { runHere } from './here.ts';
import { unwritten } from './report.ts';

/** Sets the exit code where they ask for nothing that there is. */
export async function runLine(name: string, rest: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const command = commandNamed(name);
  const asked = rest.join();
  if (name === 'help' && commandNamed(asked) !== undefined) {
    await runLine(asked, ['--help'], env);
  } else if (name === '--version' && rest.length === 0) {
    print(`${readVersion()}\n`);
  } else if (name === '--help' || name === 'help') {
    print(tableOfContents());
  } else if (isService(name) && asked === '--help') {
    print(`Usage: archiver ${name}\n\n${environmentHelp(name)}`);
  } else if (command !== undefined && asked === '--help') {
    print(`${helpOf(command.table)}\n${isConfigured(name) ? environmentHelp(name) : ''}`);
  } else if (command !== undefined) {
    await runHere(command, rest, env);
  } else if (name === 'completion' && (asked === 'bash' || asked === 'zsh')) {
    const tables = COMMANDS.map(({ table }) => table);
    print(completionOf(asked, { tables, services: SERVICES }));
  } else {
    const isKnown = name === '' || isService(name) || name === 'completion';
    process.stderr.write(isKnown ? tableOfContents() : unknownCommand(name));
    process.exitCode = 2;
  }
}

/** A reader that goes away has read enough; what else keeps it from being written is said. */
function print(text: string): void {
  process.stdout.once('error', (error) => {
    const code = systemCode(error);
    if (code === 'EPIPE') return;
    process.stderr.write(`${unwritten(code)}\n`);
    process.exitCode = 1;
  });
  process.stdout.write(text);
}

function isService(text: string): text is keyof typeof SERVICES {
  return Object.hasOwn(SERVICES, text);
}

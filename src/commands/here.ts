/** A command in this very process: its terminal, its signals, its exit code. */
import { growSlowly } from '../memory.ts';
import type { Listed } from './contents.ts';
import { runCommand, type Surroundings } from './task.ts';

/** Sets the exit code and lets the process end by itself; whatever still hangs then is ended a second later. */
export async function runHere(command: Listed, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  growSlowly();
  process.exitCode = await runCommand(command, args, here(env));
  setTimeout(() => process.exit(), 1_000).unref();
}

function here(env: NodeJS.ProcessEnv): Surroundings {
  return {
    env,
    stdout: process.stdout,
    stderr: process.stderr,
    onSignal: (listener) => {
      const names = ['SIGINT', 'SIGTERM'] as const;
      for (const name of names) process.on(name, listener);
      return {
        [Symbol.dispose]: () => {
          // One more signal than it took, from a hand or a terminal that closes, must not change how the command has ended.
          for (const name of names) process.on(name, () => undefined).off(name, listener);
        },
      };
    },
    exit: (code) => process.exit(code),
  };
}

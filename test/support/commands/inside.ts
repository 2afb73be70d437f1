/** A command line → what it prints, run in this process: as {@link runArchiver}, without the start of another one. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { commandNamed } from '../../../src/commands/contents.ts';
import { runCommand } from '../../../src/commands/task.ts';
import type { Printed } from './run.ts';

export async function runInside(
  [name = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Printed> {
  const command = commandNamed(name);
  assert.ok(command !== undefined, name);
  const [stdout, stderr] = [new Heard(), new Heard()];
  const nothing = { [Symbol.dispose]: () => undefined };
  const code = await runCommand(command, args, { env, stdout, stderr, onSignal: () => nothing, exit: () => undefined });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

class Heard extends Writable {
  text = '';

  override _write(chunk: unknown, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}

/** A program to load first (a clock, a resolver) → a process in which one command line after another runs: its start is paid for once. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { runInside } from './inside.ts';
import { COMPILED } from '../service/service.ts';
import type { Printed } from './run.ts';

export interface Line {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export class AnotherMachine implements AsyncDisposable {
  readonly #child: ChildProcess;

  /** `preload` beside this file; `env` is what it goes by. */
  constructor(preload: string, env: Readonly<Record<string, string>>) {
    this.#child = fork(import.meta.filename, {
      execArgv: [`--import=${join(import.meta.dirname, preload)}`],
      env: { PATH: process.env['PATH'], ...COMPILED, ...env },
    });
  }

  /** One at a time. `env` is all that the command is told of its surroundings. */
  async run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Printed> {
    const gone = new AbortController();
    const end = (): void => gone.abort(new Error('The other machine has ended.'));
    this.#child.once('exit', end);
    try {
      this.#child.send({ args, env } satisfies Line);
      const [printed] = (await once(this.#child, 'message', { signal: gone.signal })) as [Printed];
      return printed;
    } finally {
      this.#child.off('exit', end);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

if (process.argv[1] === import.meta.filename)
  process.on('message', ({ args, env }: Line) => {
    process.env['CLOCK_SHIFT_MS'] = env['CLOCK_SHIFT_MS'] ?? '0';
    void runInside(args, env).then((printed) => {
      assert.ok(process.send !== undefined);
      process.send(printed);
    });
  });

/** A shell at a terminal of its own, as a person has it: keys go in, and what it shows comes out. */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

/** script(1) gives a program a terminal; with a reason where it or the shell is not there. */
export function terminalMissing(shell: string): string | false {
  for (const [name, args] of [
    ['script', ['--version']],
    [shell, ['--version']],
  ] as const)
    if (spawnSync(name, args).error !== undefined) return `${name} is not installed`;
  return false;
}

export class Terminal implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #shown = '';
  #wake: () => void = () => undefined;

  /** `line` is a shell command line, e.g. `zsh -f -i`. */
  constructor(line: string, env: Readonly<Record<string, string>>) {
    this.#child = spawn('script', ['--quiet', '--command', line, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { PATH: process.env['PATH'], TERM: 'dumb', COLUMNS: '200', LANG: 'C.UTF-8', ...env },
    });
    this.#child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      this.#shown += chunk;
      this.#wake();
    });
  }

  /** Keys as they are: a line ends with a carriage return. */
  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** What the first thing like it was, of all that is shown from now on or was not yet asked for. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#shown);
      if (found !== null) {
        this.#shown = this.#shown.slice(found.index + found[0].length);
        return found;
      }
      if (this.#child.exitCode !== null)
        throw new Error(`The shell has ended, and showed ${JSON.stringify(this.#shown)}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

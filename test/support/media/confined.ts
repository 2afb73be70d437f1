/** Starts `archiver serve` behind another program: as PID 1 of a namespace, as another user, on a root that cannot be written. */
import { execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../free-port.ts';
import { ALLOCATOR, COMPILED, NODE_FLAGS, type Service } from '../service/service.ts';

export type Confined = Pick<Service, 'url' | 'pid' | 'logged' | 'output'> & AsyncDisposable;

/** `prefix` is the program before node, with its arguments; what it starts has to end with it. */
export async function startConfined(
  prefix: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Confined> {
  const port = await freePort();
  const [command, ...args] = [
    ...prefix,
    process.execPath,
    ...NODE_FLAGS,
    join(import.meta.dirname, '../../../src/cli.ts'),
    'serve',
  ];
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...ALLOCATOR, ...COMPILED, PORT: String(port), ...env },
  });
  const lines: string[] = [];
  const heard = new EventEmitter().setMaxListeners(0);
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      heard.emit('line');
    });
  }
  const ended = once(child, 'close').then(() => heard.emit('line'));
  const over = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const confined: Confined = {
    url: `http://127.0.0.1:${String(port)}`,
    pid: child.pid ?? 0,
    output: () => lines.join('\n'),
    async logged(fields, signal) {
      for (;;) {
        const found = lines.map(parseEntry).find((entry) => Object.entries(fields).every(([k, v]) => entry[k] === v));
        if (found !== undefined) return found;
        if (over()) throw new Error(`It ended before it logged ${JSON.stringify(fields)}:\n${lines.join('\n')}`);
        await once(heard, 'line', { signal }).catch((cause: unknown) => {
          throw new Error(`Nobody logged ${JSON.stringify(fields)} in time:\n${lines.slice(-20).join('\n')}`, {
            cause,
          });
        });
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
  try {
    await confined.logged({ message: 'Service started.' }, AbortSignal.timeout(300_000));
    return confined;
  } catch (error) {
    await confined[Symbol.asyncDispose]();
    throw error;
  }
}

/** A reason to skip where these programs cannot do that here. */
export function unless(command: string, ...args: readonly string[]): string | false {
  try {
    execFileSync(command, args, { stdio: 'ignore', timeout: 10_000 });
    return false;
  } catch {
    return `needs the right to \`${[command, ...args].join(' ')}\``;
  }
}

/** The search path with a folder in front. */
export function pathWith(folder: string): string {
  return [folder, process.env['PATH']].join(delimiter);
}

function parseEntry(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

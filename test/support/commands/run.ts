/** A command line → the real process `archiver COMMAND …` and what it printed. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { COMPILED } from '../service/service.ts';

export interface Printed {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const CLI = join(import.meta.dirname, '../../../src/cli.ts');

/** As the first line of cli.ts has it. */
const FLAGS = ['--max-semi-space-size=8'];
const ALLOCATOR = { MALLOC_ARENA_MAX: '1' };

/** `env` is all of its environment, but for PATH and what the program starts itself with. */
export function startCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ChildProcessByStdio<null, Readable, Readable> {
  return spawn(process.execPath, [...FLAGS, CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], ...COMPILED, ...ALLOCATOR, ...env },
  });
}

export async function runArchiver(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Printed> {
  const child = startCommand(args, env);
  const ended = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await ended) as [number | null];
  return { code, stdout, stderr };
}

/** Each line of `--json`, parsed; throws where one is no JSON object. */
export function linesOf({ stdout }: Printed): readonly Readonly<Record<string, unknown>>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => ({ ...(JSON.parse(line) as Record<string, unknown>) }));
}

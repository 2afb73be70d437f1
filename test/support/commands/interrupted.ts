/** A command line → run in this process, with a signal that comes at one moment of its work. */
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { commandNamed } from '../../../src/commands/contents.ts';
import { runCommand } from '../../../src/commands/task.ts';
import type { GcsServer } from '../gcs/server.ts';
import type { GenesysServer } from '../genesys/server.ts';
import type { Printed } from './run.ts';

export type Signal = 'SIGINT' | 'SIGTERM';

/** Calls `fire` at the moment, once; disposed of when the command has ended. */
export type Moment = (fire: () => void) => Disposable;

/** Ended by itself within the grace: that it had to be ended is a failure. */
export async function runInterrupted(
  [name = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  { signal, moment }: { readonly signal: Signal; readonly moment: Moment },
): Promise<Printed> {
  const command = commandNamed(name);
  assert.ok(command !== undefined, `${name} is no command`);
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const printed = Promise.all([text(stdout), text(stderr)]);
  let tell: ((signal: Signal) => void) | undefined;
  let isOverdue = false;
  using _moment = moment(() => tell?.(signal));
  const code = await runCommand(command, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdout,
    stderr,
    onSignal: (listener) => {
      tell = listener;
      return { [Symbol.dispose]: () => (tell = undefined) };
    },
    exit: () => (isOverdue = true),
  });
  stdout.end();
  stderr.end();
  const [out, err] = await printed;
  assert.equal(isOverdue, false, `${name} did not end by itself: ${err}`);
  return { code, stdout: out, stderr: err };
}

/** While the bucket's n-th request from now on is being served. */
export function atRequest(server: GcsServer, at: number): Moment {
  return (fire) => {
    let count = 0;
    server.gate = () => {
      if ((count += 1) === at) fire();
      return undefined;
    };
    return { [Symbol.dispose]: () => (server.gate = undefined) };
  };
}

/** While Genesys' n-th request from now on is being served. */
export function atGenesysRequest(server: GenesysServer, at: number): Moment {
  return (fire) => {
    const stop = new AbortController();
    server.reached('*', server.requests().length + at, stop.signal).then(fire, () => undefined);
    return { [Symbol.dispose]: () => stop.abort() };
  };
}

let onChange: (() => void) | undefined;

/** Just before the n-th change of the file system from now on. */
export function atChange(at: number): Moment {
  return (fire) => {
    let count = 0;
    onChange = () => {
      if ((count += 1) === at) fire();
    };
    return { [Symbol.dispose]: () => (onChange = undefined) };
  };
}

for (const name of ['open', 'mkdir', 'rename', 'rm', 'unlink', 'rmdir', 'link', 'writeFile']) watch(fs, name);
{
  await using file = await fs.open(import.meta.filename);
  const handle: unknown = Object.getPrototypeOf(file);
  assert.ok(typeof handle === 'object' && handle !== null);
  for (const name of ['writeFile', 'sync', 'datasync']) watch(handle, name);
}
syncBuiltinESMExports();

function watch(owner: object, name: string): void {
  const original: unknown = Reflect.get(owner, name);
  assert.ok(typeof original === 'function', name);
  Reflect.set(owner, name, function (this: unknown, ...given: unknown[]): unknown {
    onChange?.();
    return Reflect.apply(original, this, given);
  });
}

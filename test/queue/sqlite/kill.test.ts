/** What the queue file is worth when processes die, power fails and disks report errors: real processes, killed and traced. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { openSqliteQueue } from '../../../src/queue/sqlite/sqlite.ts';
import { consuming } from '../suite.ts';

const PROCESS = join(import.meta.dirname, '../../support/queue/process.ts');
const PUBLISHER = join(import.meta.dirname, '../../support/queue/publisher.ts');
const IN_STEP = join(import.meta.dirname, '../../support/queue/in-step.ts');
const KILLS = 24;

const strace = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;
const traced = strace ? {} : { skip: 'strace is not installed, or may not trace here' };

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'queue-kill-'));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

interface Running {
  readonly child: ChildProcess;
  readonly output: Promise<string>;
}

function start(path: string, prefix: string): Running {
  const child = spawn(process.execPath, [PROCESS, path, prefix], { stdio: ['ignore', 'pipe', 'inherit'] });
  return { child, output: text(child.stdout) };
}

/** Kills it at a random point after its first acknowledgement; returns what it printed. */
async function kill({ child, output }: Running): Promise<string[]> {
  if (child.stdout !== null) await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  await delay(Math.random() * 250);
  assert.equal(child.exitCode, null, 'it ended by itself');
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  // The last line may have been cut by the kill: what it names cannot be read.
  return (await output).split('\n').slice(0, -1);
}

function states(path: string): ReadonlyMap<string, string> {
  const database = new DatabaseSync(path);
  try {
    assert.equal(database.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok');
    const rows = database.prepare('SELECT key, state FROM message').all();
    return new Map(rows.map((row) => [String(row['key']).replace('recording:_.', ''), String(row['state'])]));
  } finally {
    database.close();
  }
}

test(
  'invariant 1: nothing acknowledged is lost, whoever is killed when (QU-08, QU-09, QU-14)',
  { timeout: 540_000 },
  (t) =>
    inFolder(async (folder) => {
      const path = join(folder, 'queue.db');
      const told: string[] = [];
      const lanes = ['a', 'b'].map(async (lane) => {
        for (let round = 0; round < KILLS / 2; round += 1) {
          const running = start(path, `${lane}-${String(round)}`);
          t.after(() => running.child.kill('SIGKILL'));
          told.push(...(await kill(running)));
        }
      });
      await Promise.all(lanes);

      const left = states(path);
      const done = new Set(told.filter((line) => line.startsWith('+')).map((line) => line.slice(1)));
      const acknowledged = told.filter((line) => !line.startsWith('+'));
      const lost = acknowledged.filter((id) => !left.has(id) && !done.has(id));
      assert.deepEqual(lost, []);
      assert.ok(acknowledged.length > KILLS, `only ${String(acknowledged.length)} were acknowledged`);

      const drained = await drain(path, left.size);
      assert.deepEqual(drained.toSorted(), [...left.keys()].toSorted(), 'drained exactly once each');
      assert.equal(states(path).size, 0, 'what is done leaves nothing behind');
      t.diagnostic(
        `${String(KILLS)} kills, ${String(acknowledged.length)} acknowledged, 0 lost, ${String(done.size)} done before, ${String(left.size)} drained`,
      );
    }),
);

async function drain(path: string, count: number): Promise<string[]> {
  const queue = openSqliteQueue({ path, leaseMs: 500, pollMs: 50, maxLost: 1000 });
  const consumer = consuming(queue, () => ({ outcome: 'done' }), 8);
  await consumer.first(count);
  await consumer.stop();
  assert.deepEqual(await queue.depth(), { ready: 0, waiting: 0, running: 0, dead: 0 });
  await queue.close();
  return consumer.seen.map((one) => one.name);
}

interface Tracing {
  readonly folder: string;
  readonly count: number;
  readonly program?: string;
  readonly faults?: string;
}

/**
 * Runs a publisher under strace: what it told, and its system calls in the order in which they returned. SQLite works in its
 * main thread; the WAL is synced in another, a single one here, because faults are counted per thread. `faults` are injected
 * into calls on the WAL, which are then the only ones that are traced.
 */
async function trace({ folder, count, program = PUBLISHER, faults }: Tracing): Promise<readonly [string[], string[]]> {
  const log = join(folder, 'trace');
  const path = join(folder, 'queue.db');
  const inject = faults === undefined ? [] : ['-P', `${path}-wal`, '-e', `inject=${faults}`];
  const calls = ['-f', '-y', '-e', 'trace=pwrite64,write,fsync,fdatasync', ...inject, '-o', log];
  const command = [process.execPath, program, path, String(count)];
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
  const { stdout } = await promisify(execFile)('strace', [...calls, ...command], { env });
  return [stdout.trim().split('\n'), returned((await readFile(log, 'utf8')).split('\n'))];
}

/** Each behind its thread. Calls during which another thread was seen are written in two halves: they stand where they returned. */
function returned(lines: readonly string[]): string[] {
  const begun = new Map<string, string>();
  return lines.flatMap((line) => {
    const [, pid = '', call = line] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (call.endsWith('<unfinished ...>')) {
      begun.set(pid, call.slice(0, -'<unfinished ...>'.length));
      return [];
    }
    const [resumed] = /^<\.\.\. \w+ resumed>/.exec(call) ?? [];
    const whole = resumed === undefined ? call : `${begun.get(pid) ?? ''}${call.slice(resumed.length)}`;
    return [`${pid} ${whole}`];
  });
}

test('invariant 1: the disk has the event before its sender is told (QU-18)', { timeout: 300_000, ...traced }, () =>
  inFolder(async (folder) => {
    const [told, calls] = await trace({ folder, count: 20 });
    assert.equal(told.filter((line) => line.startsWith('acked')).length, 20);
    let written = false;
    let onDisk = false;
    let proven = 0;
    for (const call of calls) {
      if (/pwrite64\(\d+<[^>]*queue\.db-wal>/.test(call)) [written, onDisk] = [true, false];
      if (/f(data)?sync\(\d+<[^>]*queue\.db-wal>.*= 0$/.test(call)) onDisk = written;
      if (!/write\(1<.*"acked r-/.test(call)) continue;
      assert.ok(written && onDisk, `told before it was on disk: ${call}`);
      [written, onDisk] = [false, false];
      proven += 1;
    }
    assert.equal(proven, 20);
    // SQLite syncs the head of a WAL that begins.
    const threadOf = (call: string): string => call.slice(0, call.indexOf(' '));
    const teller = calls.find((call) => /write\(1<.*"acked r-/.test(call));
    const held = calls.filter(
      (call) => /f(data)?sync\(\d+<[^>]*queue\.db-wal>/.test(call) && threadOf(call) === threadOf(teller ?? ''),
    );
    assert.ok(held.length <= 1, `who answers waits for the disk:\n${held.join('\n')}`);
  }),
);

test(
  'a message costs the disk one fsync, that of its sender: what is worked on waits for none (QU-18)',
  { timeout: 300_000, ...traced },
  () =>
    inFolder(async (folder) => {
      const [told, calls] = await trace({ folder, count: 20, program: IN_STEP });
      assert.equal(told.filter((line) => line.startsWith('acked')).length, 20);
      const threadOf = (call: string): string => call.slice(0, call.indexOf(' '));
      const teller = calls.find((call) => /write\(1<.*"acked r-/.test(call)) ?? '';
      const syncs = calls.filter((call) => /f(data)?sync\(\d+<[^>]*queue\.db-wal>/.test(call));
      assert.equal(syncs.filter((call) => threadOf(call) !== threadOf(teller)).length, 20);
    }),
);

test('after one failed fsync nothing is acknowledged until the restart (QU-19)', { timeout: 300_000, ...traced }, () =>
  inFolder(async (folder) => {
    const [told, calls] = await trace({ folder, count: 40, faults: 'fsync,fdatasync:error=EIO:when=12' });
    assert.equal(
      calls.filter((call) => /queue\.db-wal>.*EIO.*\(INJECTED\)/.test(call)).length,
      1,
      'one error, on the WAL',
    );
    const firstRefused = told.findIndex((line) => line.startsWith('refused'));
    const [before, after] = [told.slice(0, firstRefused), told.slice(firstRefused)];
    assert.ok(before.length > 0 && after.length > 1);
    assert.ok(before.every((line) => line.startsWith('acked')));
    for (const line of after) assert.match(line, /^refused .*disk of the queue reported an error.*restart/);
    const left = states(join(folder, 'queue.db'));
    for (const line of before) assert.ok(left.has(line.replace('acked ', '')), `${line}, but it is lost`);
    const queue = openSqliteQueue({ path: join(folder, 'queue.db') });
    await queue.check(new AbortController().signal);
    await queue.close();
  }),
);

test(
  'a full disk refuses with a clear text and takes events again when there is space',
  { timeout: 300_000, ...traced },
  () =>
    inFolder(async (folder) => {
      const [told] = await trace({ folder, count: 40, faults: 'pwrite64:error=ENOSPC:when=60..70' });
      const refused = told.filter((line) => line.startsWith('refused'));
      assert.ok(refused.length > 0, 'nothing was refused');
      for (const line of refused) assert.match(line, /disk of the queue is full; free some space/);
      assert.match(told.at(-1) ?? '', /^acked/);
      const left = states(join(folder, 'queue.db'));
      for (const line of told.filter((one) => one.startsWith('acked'))) assert.ok(left.has(line.replace('acked ', '')));
    }),
);

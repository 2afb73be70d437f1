import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { FAILURES } from '../../src/failure.ts';
import type { InstanceState } from '../../src/overview.ts';
import { type Pulse, writePulse } from '../../src/pulse.ts';
import { bytesOf, failureOf, store, waitingOf } from '../support/archive/content.ts';
import { linesOf, runArchiver } from '../support/commands/run.ts';

const { signal } = new AbortController();

test('one screen says what waits, what failed and what to do, and which days are proven', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'status-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'archive');
  const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  const today = new Date().toISOString().slice(0, 10);
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
  await store(
    archive,
    { recordingId: 'r1', conversationId: 'c' },
    { head: bytesOf('head', 100), clusters: [bytesOf('a', 900)] },
  );
  for (const recordingId of ['r2', 'r3'])
    await archive.recordFailure(
      { recordingId, conversationId: 'c' },
      failureOf({ recordingId, conversationId: 'c' }),
      signal,
    );
  const waits = { recordingId: 'r4', conversationId: 'c' };
  await archive.recordWaiting(
    waits,
    waitingOf(waits, { code: 'forbidden', since: '2026-11-01T00:00:00.000Z' }),
    signal,
  );
  await writeProof(
    'complete',
    { day: yesterday, verdict: 'incomplete', recordings: 4, archived: 1, missing: 1, failed: 2, waiting: 0 },
    { notes: archive.notes, at: new Date() },
    signal,
  );
  const env = { ARCHIVE_URL: `file:${path}`, QUEUE_URL: `sqlite:${join(folder, 'queue.db')}` };
  const printed = await runArchiver(['status'], env);
  assert.equal(printed.code, 3, printed.stderr);
  assert.match(printed.stdout, /^queue +0 ready, 0 waiting, 0 running, 0 given up\n/);
  assert.match(printed.stdout, /oldest waiting +c\.r4, forbidden, since 2026-11-01T00:00:00\.000Z/);
  assert.match(
    printed.stdout,
    new RegExp(`${today} {2}unproven\n${yesterday} {2}incomplete {2}1 of 4 archived {2}1 missing, 2 failed`),
  );
  assert.ok(printed.stdout.includes(`     2  unreadable-media  ${FAILURES['unreadable-media'].next}`), printed.stdout);
  const [status, summary] = linesOf(await runArchiver(['status', '--json'], env));
  assert.deepEqual([status?.['type'], summary?.['exit']], ['status', 3]);
  assert.ok(Array.isArray(status?.['days']));
  assert.equal(status['days'].length, 7);
});

test('an archive and a queue that are not there yet have nothing, that is well, and neither is made for it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'status-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const env = { ARCHIVE_URL: `file:${join(folder, 'archive')}`, QUEUE_URL: `sqlite:${join(folder, 'queue.db')}` };
  const printed = await runArchiver(['status', '--days', '2'], env);
  assert.equal(printed.code, 0, printed.stderr);
  assert.match(printed.stdout, /oldest waiting +none/);
  assert.match(printed.stderr, /^ARCHIVE_URL: there is no folder .*\(yet\)/m);
  assert.match(printed.stderr, /^QUEUE_URL: there is no file .*\(yet\)/m);
  assert.deepEqual(await readdir(folder), []);
  await writeFile(join(folder, 'queue.db-wal'), '');
  const torn = await runArchiver(['status'], env);
  assert.equal(torn.code, 1);
  assert.match(torn.stderr, /is missing, but its -wal file is there/);
});

/** As a worker writes it each half minute. */
function pulseOf(instance: string, calls: Pulse['calls']): Pulse {
  const about = { version: 1, instance, command: 'worker', service: '9.9.9', slots: 2, waiting: 1 } as const;
  const at = '2026-11-28T02:10:30.000Z';
  return { ...about, startedAt: '2026-11-28T01:00:00.000Z', at, calls, checks: [], beats: [] };
}

test('calls left at Genesys and instances are those that workers tell of, and where none does it says where to look', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'status-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'archive');
  const { notes } = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  const env = { ARCHIVE_URL: `file:${path}`, QUEUE_URL: `sqlite:${join(folder, 'queue.db')}` };
  const silent = await runArchiver(['status'], env);
  assert.match(silent.stdout, /^Genesys calls left +not known: no worker has told; .*archiver_genesys_calls_left/m);
  assert.match(silent.stdout, /^instances +none has written within two minutes$/m);
  await writePulse(pulseOf('worker-1', { made: 120, allowed: 300 }), notes, signal);
  await writePulse(pulseOf('worker-2', { made: 310, allowed: 300 }), notes, signal);
  await writePulse(pulseOf('worker-3', null), notes, signal);
  const told = await runArchiver(['status'], env);
  assert.match(told.stdout, /^Genesys calls left +180 of 600 a minute, at 2026-11-28T02:10:30Z$/m);
  assert.match(told.stdout, /^instances +worker-1 \(9\.9\.9\), worker-2 \(9\.9\.9\), worker-3 \(9\.9\.9\)$/m);
  const [status] = linesOf(await runArchiver(['status', '--json'], env));
  assert.deepEqual(
    Object(status).instances.map(({ instance, genesysCalls }: InstanceState) => [instance, genesysCalls]),
    [
      ['worker-1', { made: 120, allowed: 300 }],
      ['worker-2', { made: 310, allowed: 300 }],
      ['worker-3', null],
    ],
  );
});

/** What others have put into a bucket, under whatever name: it keeps no command from its work, and is named where it lies in the way. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { writeProof } from '../../src/archive/proofs.ts';
import { PREFIX } from '../support/archive/bucket.ts';
import { type ArchiveScene, openBucketScene } from '../support/commands/archive-scene.ts';
import { linesOf } from '../support/commands/run.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);
const DAY = '2026-03-01';
const FOLDERS = [
  'recordings/',
  'days/',
  'failures/',
  'waiting/',
  'listing/',
  'holds/',
  'erased/',
  'erased-of/',
  'proofs/',
  'proofs/seal/',
  'proofs/read/',
  'audit/',
  'conversations/',
  'index/',
  'status/',
  'staging/',
];
/** As consoles and mounts make them. */
const EMPTY = [...FOLDERS, 'recordings/c1/', 'recordings/c1/r1/', `days/${DAY}/`, 'holds/c1.r1/', `audit/${DAY}/`];
const ODD = ['.DS_Store', 'note.txt', 'a b/c', `it's`, 'x\ny', '..', 'a//b', 'ü.json', 'x.json', 'c1.r1/deep/x.json'];

async function setUp(t: TestContext, strange: readonly string[]): Promise<ArchiveScene & { readonly out: string }> {
  const [scene, out] = [await openBucketScene(), await mkdtemp(join(tmpdir(), 'strangers-'))];
  t.after(async () => {
    await scene.close();
    await rm(out, { recursive: true });
  });
  for (const recordingId of ['r1', 'r2']) await scene.store({ recordingId, conversationId: 'c1' });
  await writeProof(
    'complete',
    { day: DAY, verdict: 'complete' },
    { notes: scene.archive.notes, at: new Date() },
    signal(),
  );
  for (const name of strange) scene.server?.put(`${PREFIX}/${name}`, Buffer.alloc(0));
  return { ...scene, out };
}

/** What an operator does with an archive, and how each ends where all is well. */
async function assertAllWork(scene: ArchiveScene & { readonly out: string }): Promise<void> {
  const lines: readonly (readonly [number, ...string[]])[] = [
    [0, 'status'],
    [0, 'audit', '--from', '2026-01-01'],
    [0, 'verify', '--audit'],
    [0, 'hold', 'K', '--conversation', 'c1', '--reason', 'x'],
    [0, 'hold', '--list'],
    [4, 'erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1'],
    [0, 'export', 'K', '--to', scene.out],
    [0, 'hold', 'K', '--release'],
    [0, 'reconcile', '--index'],
    [0, 'erase', '--older-than', '30d'],
    [0, 'erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1'],
    [0, 'hold', 'K', '--recording', 'c1/r2', '--reason', 'x'],
  ];
  for (const [code, ...line] of lines) {
    const printed = await scene.run(...line);
    assert.equal(printed.code, code, `${line.join(' ')}: ${printed.stdout}${printed.stderr}`);
  }
  await scene.archive.sweep(3_600_000, signal());
  const { entries } = await scene.archive.list({ limit: 10 }, signal());
  assert.deepEqual(
    entries.map(({ status, recording }) => [status, recording.recordingId]),
    [['archived', 'r2']],
  );
}

test('empty objects by which a console or a mount shows folders are nothing at all', async (t) => {
  const scene = await setUp(t, EMPTY);
  const verified = await scene.run('verify');
  assert.equal(verified.code, 0, verified.stdout);
  assert.match(verified.stdout, /^1 day sealed\.$/m);
  await assertAllWork(scene);
});

test('odd names anywhere keep no command from its work; what lies among the recordings is named with what shows it', async (t) => {
  const scene = await setUp(
    t,
    FOLDERS.flatMap((folder) => ODD.map((name) => folder + name)),
  );
  await assertAllWork(scene);
  const verified = await scene.run('verify', '--json', '--quiet');
  assert.deepEqual([verified.code, verified.stderr], [3, '']);
  const findings = linesOf(verified).filter(({ type }) => type === 'finding');
  assert.deepEqual([...new Set(findings.map(({ state }) => state))], ['stray']);
  const shown = findings.map(({ mend }) => {
    const [, word = ''] = /^Look at it and move it away: {2}gcloud storage ls -L ([^]*)$/.exec(String(mend)) ?? [];
    return execFileSync('/bin/sh', ['-c', `printf %s ${word}`], { encoding: 'utf8' });
  });
  const url = `gs://${scene.server?.bucket ?? ''}/${PREFIX}/recordings/`;
  assert.deepEqual(shown.toSorted(), ODD.map((name) => url + name).toSorted());
  const people = await scene.run('verify');
  assert.ok(
    people.stdout
      .split('\n')
      .filter((line) => line !== '')
      .every((line) => /^(stray |\d|No )/.test(line)),
    people.stdout,
  );
});

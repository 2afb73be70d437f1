import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Archive } from '../../src/archive/archive.ts';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { deploymentProbes } from '../../src/doctor/deployment-checks.ts';
import { FAILURES } from '../../src/failure.ts';
import type { Depth } from '../../src/queue/queue.ts';
import { bytesOf, failureOf, store, waitingOf } from '../support/archive/content.ts';
import { examined, troubles } from '../support/doctor.ts';

const { signal } = new AbortController();
/** An hour after what is stored says that it was. */
const NOW = new Date('2026-03-02T01:00:02.000Z');
const CALL = { recordingId: 'r', conversationId: 'c' };
const EMPTY: Depth = { ready: 0, waiting: 0, running: 0, dead: 0 };

interface Scene {
  readonly archive: Archive;
  depth: Depth | undefined;
  now: Date;
  look(): Promise<readonly string[]>;
}

/** All is well: a recording of an hour ago, a proof of each day. */
async function setUp(t: TestContext): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const archive = openFolderArchive({ path: join(folder, 'archive'), linkKeys: [], publicUrl: 'http://localhost' });
  const scene: Scene = {
    archive,
    depth: EMPTY,
    now: NOW,
    look: async () =>
      troubles(await examined(deploymentProbes({ archive, depth: async () => scene.depth, now: () => scene.now }))),
  };
  await store(archive, CALL, { head: bytesOf('head', 100), clusters: [bytesOf('a', 900)] });
  await prove(scene, '2026-02-25', 'complete');
  return scene;
}

function prove({ archive }: Scene, day: string, verdict: string): Promise<void> {
  return writeProof('complete', { day, verdict }, { notes: archive.notes, at: NOW }, signal);
}

test('a deployment that archives and is proven is well in every line', async (t) =>
  assert.deepEqual(await (await setUp(t)).look(), []));

const FAULTS: readonly {
  readonly what: string;
  readonly arrange: (scene: Scene) => unknown;
  readonly line: RegExp;
}[] = [
  {
    what: 'no event for two days',
    arrange: (scene) => (scene.now = new Date(NOW.getTime() + 47 * 3_600_000)),
    line: /^warn events: the newest recording came 48 h ago → Nothing if nobody called; else look at the trigger/,
  },
  {
    what: 'a recording that waits for somebody',
    arrange: ({ archive }) =>
      archive.recordWaiting(
        { ...CALL, recordingId: 'w' },
        waitingOf({ recordingId: 'w', conversationId: 'c' }, { code: 'forbidden' }),
        signal,
      ),
    line: new RegExp(`^warn waiting: 1 wait for somebody: forbidden → ${FAILURES.forbidden.next.slice(0, 40)}`),
  },
  {
    what: 'a recording that waits for a day',
    arrange: ({ archive }) =>
      archive.recordWaiting(
        { ...CALL, recordingId: 'w' },
        waitingOf(
          { recordingId: 'w', conversationId: 'c' },
          { code: 'not-ready', sort: 'surroundings', since: '2026-03-01T00:00:00.000Z' },
        ),
        signal,
      ),
    line: /^warn waiting: 1 wait, the oldest for 25 h: not-ready → /,
  },
  {
    what: 'a recording that failed',
    arrange: ({ archive }) =>
      archive.recordFailure(
        { ...CALL, recordingId: 'f' },
        failureOf({ recordingId: 'f', conversationId: 'c' }),
        signal,
      ),
    line: /^warn failures: 1 failed: unreadable-media → Play it in Genesys Cloud/,
  },
  {
    what: 'messages that were given up',
    arrange: (scene) => (scene.depth = { ...EMPTY, dead: 2 }),
    line: /^warn dead-letters: 2 messages were given up → Run archiver reconcile/,
  },
  {
    what: 'a queue that is counted elsewhere',
    arrange: (scene) => (scene.depth = undefined),
    line: /^skipped dead-letters: Cloud Monitoring counts/,
  },
  {
    what: 'days that are incomplete',
    arrange: async (scene) => {
      await prove(scene, '2026-02-24', 'incomplete');
      await prove(scene, '2026-02-26', 'incomplete');
    },
    line: /^warn days: 2 of 7 days are incomplete → archiver backfill --from 2026-02-24 --to 2026-02-26 --again$/,
  },
];

for (const { what, arrange, line } of FAULTS)
  test(`${what}: that line, and no other`, async (t) => {
    const scene = await setUp(t);
    await arrange(scene);
    const found = await scene.look();
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0] ?? '', line);
  });

test('an archive that is new says that nothing came yet, and that nobody looked', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const archive = openFolderArchive({ path: join(folder, 'archive'), linkKeys: [], publicUrl: 'http://localhost' });
  const found = troubles(await examined(deploymentProbes({ archive, depth: async () => EMPTY, now: () => NOW })));
  assert.deepEqual(
    found.map((line) => line.replace(/ →.*/, '')),
    ['warn events: nothing was archived yet', 'warn days: no day was looked at lately'],
  );
});

/** A right or a division taken away at a step of a look: nothing is called complete that was not seen, and what was proven stays. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import type { Notes } from '../../src/archive/notes.ts';
import { newestProof } from '../../src/archive/proofs.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { assertTrue, HIDES, loseAt, LOSSES, scriptTruth, TRUTH } from '../support/genesys/lost-rights.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { runs } from '../support/soak.ts';

const DAY = '2026-11-25';
const RANGE = ['--from', DAY, '--to', DAY] as const;
const signal = (): AbortSignal => AbortSignal.timeout(300_000);

interface Scene {
  readonly server: GenesysServer;
  readonly notes: Notes;
  readonly run: (...args: string[]) => Promise<Printed>;
}

/** `archived`: all of it is here; else two recordings are missing. */
async function setUp(t: TestContext, archived: boolean): Promise<Scene> {
  const server = await startGenesysServer({ rateLimit: { allowed: 1_000_000, windowS: 60 } });
  const folder = await mkdtemp(join(tmpdir(), 'rights-lost-'));
  const path = join(folder, 'archive');
  const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  t.after(async () => {
    await archive.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  scriptTruth(server, DAY);
  for (const { conversationId, recordings } of TRUTH)
    for (const recordingId of recordings) {
      const isMissing = !archived && (recordingId === 'r2' || recordingId === 'r3');
      if (!isMissing)
        await store(archive, { recordingId, conversationId }, { head: bytesOf('h', 10), clusters: [], facts: {} });
    }
  const env = { ...server.environment(), ARCHIVE_URL: `file:${path}`, LOG_LEVEL: 'error' };
  return { server, notes: archive.notes, run: (...args) => runInProcess([...args, '--json'], env) };
}

/** How it ended, judged by what is true; `proven`: the day was complete before. */
async function judge(
  printed: Printed,
  { scene, where, proven }: { readonly scene: Scene; readonly where: string; readonly proven: boolean },
): Promise<void> {
  const said = `${where}: ${printed.stdout}${printed.stderr}`;
  assert.ok([0, 1, 3].includes(printed.code ?? -1), said);
  assert.doesNotMatch(printed.stderr, /^\s+at /m, said);
  const day = printed.stdout === '' ? undefined : linesOf(printed).find(({ type }) => type === 'day');
  if (printed.code === 0) assertTrue(day ?? {}, said);
  else
    assert.match(
      `${printed.stdout}${printed.stderr}`,
      /give the role of GENESYS_CLIENT_ID (recording|analytics):\w+:view|failed: forbidden/,
      said,
    );
  assert.notEqual(day?.['verdict'], 'accounted', said);
  const proof = await newestProof('complete', DAY, scene.notes, signal());
  if (proven) assert.equal(proof?.['conversations'], TRUTH.length, said);
  if (proven || proof?.verdict === 'complete') {
    assert.equal(proof?.verdict, 'complete', said);
    assertTrue(proof, said);
  }
}

const STEPS = [
  ['token', 1],
  ['analytics-availability', 1],
  ['analytics-job', 1],
  ['analytics-state', 1],
  ['analytics-results', 1],
  ['list:', 1],
  ['list:', 2],
  ['list:', 4],
  ['analytics-query', 1],
] as const;

for (const hides of HIDES)
  test(`reconcile, where what is hidden is ${hides}: a right is lost at each step of the look`, async (t) => {
    const scene = await setUp(t, true);
    const rows = STEPS.flatMap((step) => Object.keys(LOSSES).map((loss) => [step, loss] as const));
    for (const [[route, nth], loss] of rows.filter((_, index) => index % runs(5, 1) === 0)) {
      for await (const { name } of scene.notes.list('proofs/', signal())) await scene.notes.remove(name, signal());
      const isLost = loseAt(scene.server, route, nth, loss, hides);
      const where = `${loss} at ${route}${String(nth)}`;
      await judge(await scene.run('reconcile', ...RANGE), { scene, where, proven: false });
      assert.ok(isLost(), where);
    }
  });

for (const hides of HIDES)
  test(`reconcile --again of a proven day, where what is hidden is ${hides}: the proof stays`, async (t) => {
    const scene = await setUp(t, true);
    assert.equal((await scene.run('reconcile', ...RANGE)).code, 0);
    const rows = STEPS.flatMap((step) => Object.keys(LOSSES).map((loss) => [step, loss] as const));
    for (const [[route, nth], loss] of rows.filter((_, index) => (index + 2) % runs(5, 1) === 0)) {
      loseAt(scene.server, route, nth, loss, hides);
      const where = `${loss} at ${route}${String(nth)}`;
      await judge(await scene.run('reconcile', ...RANGE, '--again'), { scene, where, proven: true });
    }
  });

const FETCHING = [
  ['list:', 1],
  ['batch', 1],
  ['batch-status', 1],
  ['recording:', 1],
  ['analytics-availability', 2],
  ['analytics-results', 2],
  ['analytics-query', 2],
] as const;

for (const hides of HIDES)
  test(`backfill, where what is hidden is ${hides}: a right is lost while it looks or fetches`, async (t) => {
    const rows = FETCHING.flatMap((step) => Object.keys(LOSSES).map((loss) => [step, loss] as const));
    for (const [[route, nth], loss] of rows.filter((_, index) => index % runs(29, 2) === 0)) {
      const scene = await setUp(t, false);
      loseAt(scene.server, route, nth, loss, hides);
      const where = `${loss} at ${route}${String(nth)}`;
      await judge(await scene.run('backfill', ...RANGE), { scene, where, proven: false });
    }
  });

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runInside } from '../support/commands/inside.ts';
import { linesOf, type Printed, runArchiver, startCommand } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';
import { runs, SEED } from '../support/soak.ts';

const DAYS = ['2026-11-25', '2026-11-26'] as const;
const signal = (): AbortSignal => AbortSignal.timeout(300_000);

interface Scene {
  readonly server: GenesysServer;
  readonly path: string;
  readonly keys: readonly string[];
  /** In this process: those that are killed or stopped have one of their own. */
  run(...args: string[]): Promise<Printed>;
  env: Readonly<Record<string, string>>;
}

/** An organisation of two days whose events reached nobody. */
async function setUp(t: TestContext, count: number): Promise<Scene> {
  const server = await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } });
  const folder = await mkdtemp(join(tmpdir(), 'backfill-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const path = join(folder, 'archive');
  const keys = Array.from({ length: count }, (_, index) => {
    const [day = '', conversationId, recordingId] = [DAYS[index % 2], `c${String(index)}`, `r${String(index)}`];
    server.addRecording({
      recordingId,
      conversationId,
      startTime: `${day}T10:00:00.000Z`,
      files: [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }],
    });
    server.analyze({ conversationId, start: `${day}T10:00:00.000Z`, end: `${day}T10:05:00.000Z` });
    return `${conversationId}.${recordingId}`;
  });
  const env = { ...server.environment(), ARCHIVE_URL: `file:${path}`, LOG_LEVEL: 'error' };
  return { server, path, keys, env, run: (...args) => runInside(args, env) };
}

const RANGE = ['--from', DAYS[0], '--to', DAYS[1]] as const;

async function manifestsIn(path: string): Promise<readonly string[]> {
  const names = await readdir(join(path, 'recordings'), { recursive: true }).catch(() => []);
  return names
    .filter((name) => name.endsWith('manifest.json'))
    .map((name) => name.split('/').slice(0, 2).join('.'))
    .toSorted();
}

test('what no event told of is named by reconcile, fetched by backfill, and then the days are complete', async (t) => {
  const scene = await setUp(t, 12);
  const looked = await scene.run('reconcile', ...RANGE, '--json');
  assert.equal(looked.code, 3, looked.stderr);
  const lines = linesOf(looked);
  const missing = lines
    .filter(({ type }) => type === 'finding')
    .map(({ key, state }) => `${String(key)} ${String(state)}`);
  assert.deepEqual(missing.toSorted(), scene.keys.map((key) => `${key} missing`).toSorted());
  assert.deepEqual(lines.at(-1), {
    type: 'summary',
    days: 2,
    complete: 0,
    accounted: 0,
    incomplete: 2,
    open: 0,
    findings: 12,
    exit: 3,
  });
  const fetched = await runArchiver(['backfill', ...RANGE], scene.env);
  assert.equal(fetched.code, 0, fetched.stdout + fetched.stderr);
  assert.match(
    fetched.stdout,
    /^2026-11-25 {2}complete +6 conversations +6 recordings +6 archived\n2026-11-26 {2}complete/,
  );
  assert.match(fetched.stdout, /2 of 2 days complete/);
  assert.deepEqual(await manifestsIn(scene.path), scene.keys.toSorted());
  const before = scene.server.requests('list:*').length;
  const again = await scene.run('backfill', ...RANGE);
  assert.equal(again.code, 0);
  assert.equal(scene.server.requests('list:*').length, before, 'a proven day costs no call for a conversation');
  assert.deepEqual(
    (await readdir(join(scene.path, 'staging'))).filter((name) => name.startsWith('run.')),
    [],
  );
});

test('fetching takes a call for each conversation and a few for each hundred recordings', async (t) => {
  const scene = await setUp(t, 60);
  const fetched = await scene.run('backfill', ...RANGE);
  assert.equal(fetched.code, 0, fetched.stdout + fetched.stderr);
  assert.deepEqual(await manifestsIn(scene.path), scene.keys.toSorted());
  const { server } = scene;
  const counts = ['list:*', 'batch', 'recording:*', 'metadata:*'].map((route) => server.requests(route).length);
  assert.deepEqual(counts, [60, 2, 0, 0]);
  assert.ok(server.requests('batch-status:*').length <= 6);
});

test('a dry run fetches nothing, and reconcile changes nothing but proofs', async (t) => {
  const scene = await setUp(t, 3);
  const dry = await scene.run('backfill', ...RANGE, '--dry-run');
  assert.equal(dry.code, 3);
  assert.match(dry.stdout, /missing {2}2026-11-25 {2}c0\.r0 {2}no event reached us/);
  assert.match(dry.stdout, /archiver backfill --from 2026-11-25 --to 2026-11-26/);
  assert.deepEqual(await manifestsIn(scene.path), []);
  assert.equal(scene.server.requests('media:*').length, 0);
  assert.deepEqual((await readdir(join(scene.path, 'proofs'))).toSorted(), [...DAYS]);
});

test('beyond the watermark a day is open: no proof, whatever was found, and that is no finding', async (t) => {
  const scene = await setUp(t, 0);
  scene.server.analytics.dataUntil = '2026-11-26T12:00:00.000Z';
  const looked = await scene.run('reconcile', ...RANGE);
  assert.deepEqual([looked.code, looked.stderr], [0, '']);
  assert.match(looked.stdout, /2026-11-26 {2}open {8}Genesys' data reach to 2026-11-26T12:00Z; ask again tomorrow/);
  assert.deepEqual(await readdir(join(scene.path, 'proofs')), ['2026-11-25']);
});

test('replay counts what failed by code, tries it again, and what works is no longer listed', async (t) => {
  const scene = await setUp(t, 4);
  const archive = openFolderArchive({ path: scene.path, linkKeys: [], publicUrl: 'http://localhost' });
  for (const index of [0, 1, 2]) {
    const [recordingId, conversationId] = [`r${String(index)}`, `c${String(index)}`];
    const code = index === 2 ? 'unreadable-media' : 'forbidden';
    const record = {
      version: 1,
      recordingId,
      conversationId,
      status: 'failed',
      code,
      reason: 'why.',
      attempts: 1,
      failedAt: '2026-11-26T11:00:00.000Z',
      service: '0',
    } as const;
    await archive.recordFailure({ recordingId, conversationId }, record, signal());
  }
  const counted = await scene.run('replay', '--dry-run', '--json');
  assert.equal(counted.code, 3);
  assert.deepEqual(linesOf(counted).slice(0, 2), [
    { type: 'count', code: 'forbidden', count: 2 },
    { type: 'count', code: 'unreadable-media', count: 1 },
  ]);
  const replayed = await scene.run('replay', '--code', 'forbidden');
  assert.equal(replayed.code, 0, replayed.stdout + replayed.stderr);
  assert.match(replayed.stdout, /2 archived, 0 failed again, 0 left/);
  assert.deepEqual(await manifestsIn(scene.path), ['c0.r0', 'c1.r1']);
  const { entries } = await archive.list({ status: 'failed', limit: 10 }, signal());
  assert.deepEqual(
    entries.map(({ recording }) => recording.recordingId),
    ['r2'],
  );
});

test('ranges that cannot be meant, and a client that may not look, say so and change nothing', async (t) => {
  const scene = await setUp(t, 1);
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['reconcile', '--from', '2026-11-26', '--to', '2026-11-25'], /swap them/],
    [['reconcile', '--from', '2999-01-01', '--to', '2999-01-02'], /has not come yet/],
    [['backfill'], /--from is needed/],
    [['backfill', ...RANGE, '--slots', '0'], /at least one/],
    [['backfill', ...RANGE, '--share', '1.5'], /share above 0/],
  ];
  for (const [args, message] of wrong) {
    const printed = await scene.run(...args);
    assert.equal(printed.code, 2, args.join(' '));
    assert.match(printed.stderr, message);
  }
  scene.server.fault('analytics-availability', 'return-403;code:missing.any.permissions', 100);
  const refused = await scene.run('reconcile', ...RANGE);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(refused.stderr, /analytics:conversationDetail:view|forbidden/);
  const closed = await scene.run('reconcile');
  assert.equal(closed.code, 1);
});

test('kill -9 at random moments: the same end, no object twice, and the last run says complete', async (t) => {
  const scene = await setUp(t, 40);
  let seed = SEED;
  const seen = new Map<string, string>();
  for (let kill = 0; kill < runs(3, 200); kill++) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    const stop = scene.server.requests().length + 5 + (seed % 60);
    const child = startCommand(['backfill', ...RANGE], scene.env);
    const ended = once(child, 'close');
    const reached = new AbortController();
    await Promise.race([scene.server.reached('*', stop, reached.signal).catch(() => undefined), ended]);
    reached.abort();
    child.kill('SIGKILL');
    await ended;
    for (const key of await manifestsIn(scene.path)) {
      const file = join(scene.path, 'recordings', key.replace('.', '/'), 'recording.webm');
      const { ino, size } = await stat(file);
      const print = `${String(ino)} ${String(size)}`;
      assert.equal(seen.get(key) ?? print, print, `${key} was written again`);
      seen.set(key, print);
    }
  }
  const last = await scene.run('backfill', ...RANGE, '--again');
  assert.equal(last.code, 0, last.stdout + last.stderr);
  assert.deepEqual(await manifestsIn(scene.path), scene.keys.toSorted());
});

test('SIGINT ends the taking of work, reports what was done and exits with 130; run again it goes on', async (t) => {
  const scene = await setUp(t, 30);
  const child = startCommand(['backfill', ...RANGE], scene.env);
  const ended = once(child, 'close');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  child.stdout.resume();
  await scene.server.reached('media:*', 3, signal());
  child.kill('SIGINT');
  assert.deepEqual(await ended, [130, null], stderr);
  assert.match(stderr, /Run the same line again/);
  const done = (await manifestsIn(scene.path)).length;
  assert.ok(done < 30, String(done));
  assert.equal((await scene.run('backfill', ...RANGE)).code, 0);
});

test('a proof says what was looked at, once written it is never changed, and the newest counts', async (t) => {
  const scene = await setUp(t, 2);
  await scene.run('reconcile', ...RANGE);
  await scene.run('backfill', ...RANGE);
  const names = (await readdir(join(scene.path, 'proofs', DAYS[0]))).toSorted();
  assert.equal(names.length, 2);
  const proofs = await Promise.all(
    names.map(
      async (name) =>
        JSON.parse(await readFile(join(scene.path, 'proofs', DAYS[0], name), 'utf8')) as Record<string, unknown>,
    ),
  );
  assert.deepEqual(
    proofs.map(({ verdict }) => verdict),
    ['incomplete', 'complete'],
  );
  for (const proof of proofs) {
    assert.match(String(proof['keysSha256']), /^[0-9a-f]{64}$/);
    assert.deepEqual(proof['divisions'], ['home']);
    assert.equal(proof['kind'], 'complete');
  }
});

/** A day that is proven complete is reported from its proof, and costs Genesys nothing; what is not is looked at again. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { addIndexLines, partName, readIndexDay } from '../../src/archive/day-index.ts';
import { archivedRow } from '../../src/archive/index-row.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

const DAYS = ['2026-11-24', '2026-11-25', '2026-11-26'] as const;
const RANGE = ['--from', DAYS[0], '--to', DAYS[2]] as const;
const signal = (): AbortSignal => AbortSignal.timeout(200_000);

interface Scene {
  readonly server: GenesysServer;
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  readonly run: (...args: string[]) => Promise<Printed>;
}

/** Chats are complete without anything being stored; a deleted recording is only accounted for; one with media is missing. */
async function setUp(t: TestContext, recordings: readonly ('chat' | 'deleted' | 'missing')[]): Promise<Scene> {
  const server = await startGenesysServer();
  const folder = await mkdtemp(join(tmpdir(), 'proven-days-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  server.analytics.pendingPolls = 0;
  for (const [index, what] of recordings.entries()) {
    const [day = '', conversationId] = [DAYS[index], `c${String(index)}`];
    server.analyze({ conversationId, start: `${day}T10:00:00.000Z`, end: `${day}T10:05:00.000Z` });
    server.addRecording({
      recordingId: `r${String(index)}`,
      conversationId,
      startTime: `${day}T10:00:00.000Z`,
      ...(what === 'chat' ? { media: 'chat' } : {}),
      ...(what === 'deleted' ? { fileState: 'DELETED' } : {}),
    });
  }
  const path = join(folder, 'archive');
  const env = { ...server.environment(), ARCHIVE_URL: `file:${path}`, LOG_LEVEL: 'error' };
  return { server, path, env, run: (...args) => runInProcess(args, env) };
}

test('a second look at complete days makes no call at all, and reports the same', async (t) => {
  const { server, path, run } = await setUp(t, ['chat', 'chat', 'chat']);
  const first = await run('reconcile', ...RANGE);
  assert.equal(first.code, 0, first.stderr);
  const [before, proofs] = [server.requests().length, await readdir(join(path, 'proofs'), { recursive: true })];
  const second = await run('reconcile', ...RANGE);
  assert.equal(second.code, 0, second.stderr);
  assert.equal(server.requests().length, before);
  assert.deepEqual(await readdir(join(path, 'proofs'), { recursive: true }), proofs, 'no proof without a look');
  const firstDays = first.stdout.split('\n').slice(0, 3);
  assert.deepEqual(
    second.stdout
      .split('\n')
      .slice(0, 3)
      .map((line) => line.replace(/ {2}\(proven \d{4}-\d\d-\d\dT\d\d:\d\dZ\)$/, '')),
    firstDays,
  );
  assert.match(
    second.stdout,
    /3 of 3 days complete\. 3 were proven before and cost no call: --again looks at them too/,
  );
  const lines = linesOf(await run('reconcile', ...RANGE, '--json'));
  for (const line of lines.filter(({ type }) => type === 'day')) {
    assert.deepEqual([line['calls'], line['polls'], line['conversations']], [0, 0, 1]);
    assert.match(String(line['provenAt']), /^\d{4}-/);
  }
  assert.equal(server.requests().length, before);
});

test('--again looks at complete days as at any other', async (t) => {
  const { server, run } = await setUp(t, ['chat', 'chat', 'chat']);
  await run('reconcile', ...RANGE);
  const before = server.requests('list:*').length;
  const again = await run('reconcile', ...RANGE, '--again');
  assert.equal(again.code, 0, again.stderr);
  assert.equal(server.requests('list:*').length, before + 3);
  assert.doesNotMatch(again.stdout, /proven before/);
});

test('only complete days are left: what is accounted for or missing is named every time', async (t) => {
  const { server, run } = await setUp(t, ['chat', 'deleted', 'missing']);
  const lines: string[] = [];
  for (let round = 0; round < 2; round += 1) {
    const before = server.requests('list:*').length;
    const looked = await run('reconcile', ...RANGE);
    assert.equal(looked.code, 3, looked.stderr);
    assert.equal(server.requests('list:*').length, before + (round === 0 ? 3 : 2));
    lines.push(
      looked.stdout
        .split('\n')
        .filter((line) => /^(lost|missing) /.test(line))
        .join('\n'),
    );
  }
  assert.match(lines[0] ?? '', /^lost .*c1\.r1.*\nmissing .*c2\.r2/);
  assert.equal(lines[1], lines[0]);
});

test('a proof that does not say everything, or is followed by a lesser one, spares nothing', async (t) => {
  const { server, path, run } = await setUp(t, ['chat', 'chat']);
  await run('reconcile', ...RANGE);
  const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  const at = new Date(Date.now() + 60_000);
  await writeProof('complete', { day: DAYS[0], verdict: 'complete' }, { notes: archive.notes, at }, signal());
  await writeProof('complete', { day: DAYS[1], verdict: 'incomplete' }, { notes: archive.notes, at }, signal());
  const before = server.requests('list:*').length;
  const looked = await run('reconcile', ...RANGE);
  assert.equal(looked.code, 0, looked.stderr);
  assert.equal(server.requests('list:*').length, before + 2);
});

test('what workers wrote since of a proven day is put together with its index all the same', async (t) => {
  const { server, path, run } = await setUp(t, ['chat', 'chat', 'chat']);
  await run('reconcile', ...RANGE);
  const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  const recording = { recordingId: 'late', conversationId: 'c1' };
  await store(archive, recording, {
    head: bytesOf('head', 100),
    clusters: [bytesOf('a', 900)],
    facts: { recordedAt: `${DAYS[1]}T10:00:00.000Z` },
  });
  const manifest = await archive.find(recording, signal());
  assert.ok(manifest !== undefined);
  const row = archivedRow(manifest);
  const whole = await addIndexLines([row], { day: DAYS[1], notes: archive.notes }, signal());
  const text = await archive.notes.read(whole, signal());
  await archive.notes.remove(whole, signal());
  await archive.notes.create(partName(DAYS[1], 'worker'), text ?? '', signal());
  const before = server.requests().length;
  const looked = await run('reconcile', ...RANGE);
  assert.equal(looked.code, 0, looked.stderr);
  assert.equal(server.requests().length, before);
  const names = await readdir(join(path, 'index', `day=${DAYS[1]}`));
  assert.ok(names.every((name) => name.startsWith('all-')) && names.length === 1, names.join());
  assert.deepEqual([...(await readIndexDay(DAYS[1], archive.notes, signal())).keys()], ['c1.late']);
});

test('a client of several that Genesys refuses is named, and the days are proven by the others', async (t) => {
  const { env } = await setUp(t, ['chat']);
  const ids = { GENESYS_CLIENT_ID: `gone,${env['GENESYS_CLIENT_ID'] ?? ''}` };
  const secrets = { GENESYS_CLIENT_SECRET: `${'x'.repeat(20)},${env['GENESYS_CLIENT_SECRET'] ?? ''}` };
  const day = ['--from', DAYS[0], '--to', DAYS[0]];
  for (const line of [
    ['reconcile', ...day],
    ['reconcile', ...day, '--again'],
    ['backfill', ...day, '--again'],
  ]) {
    const printed = await runInProcess(line, { ...env, ...ids, ...secrets });
    assert.equal(printed.code, 0, `${line.join(' ')}\n${printed.stdout}${printed.stderr}`);
    assert.match(
      printed.stderr,
      /Genesys refuses client gone of GENESYS_CLIENT_ID; the others go on without it: .*invalid_client/,
    );
  }
  const none = await runInProcess(['reconcile', ...day, '--again'], { ...env, GENESYS_CLIENT_ID: 'gone' });
  assert.equal(none.code, 1, none.stdout);
  assert.match(none.stderr, /misconfigured: Genesys gave no token \(invalid_client\)/);
});

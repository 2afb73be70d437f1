/** One conversation, or one day, of which Genesys can tell nothing: the others are looked at and fetched all the same. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { bytesOfFixture } from '../support/media/fixtures.ts';

const DAYS = ['2026-11-24', '2026-11-25', '2026-11-26'] as const;
const RANGE = ['--from', DAYS[0], '--to', DAYS[2]] as const;
const FOREVER = 1_000;

interface Scene {
  readonly server: GenesysServer;
  readonly run: (...args: string[]) => Promise<Printed>;
}

/** Two conversations a day, of one recording each, of which no event told. */
async function setUp(t: TestContext): Promise<Scene> {
  const server = await startGenesysServer();
  const folder = await mkdtemp(join(tmpdir(), 'poison-day-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  server.analytics.pendingPolls = 0;
  const files = [{ channel: '0', contentType: 'audio/ogg', bytes: bytesOfFixture('stereo.opus') }];
  for (const [index, day] of DAYS.entries())
    for (const name of ['a', 'b']) {
      const id = `${name}${String(index)}`;
      server.analyze({ conversationId: id, start: `${day}T10:00:00.000Z`, end: `${day}T10:05:00.000Z` });
      server.addRecording({ recordingId: `r-${id}`, conversationId: id, startTime: `${day}T10:00:00.000Z`, files });
    }
  const env = { ...server.environment(), ARCHIVE_URL: `file:${join(folder, 'archive')}`, LOG_LEVEL: 'error' };
  return { server, run: (...args) => runInProcess(args, env) };
}

function verdicts(printed: Printed): readonly string[] {
  return linesOf(printed).flatMap(({ type, day, verdict, archived }) =>
    type === 'day' ? [`${String(day)} ${String(verdict)} ${String(archived)}`] : [],
  );
}

for (const [what, fault] of [
  ['refuses the question', 'return-400;code:bad.request'],
  ['answers with no list', 'type:application/json;body:text:{"entities":[]}'],
] as const)
  test(`a conversation of which Genesys ${what} is a finding, and the rest of its day and all other days are fetched (invariant 11)`, async (t) => {
    const { server, run } = await setUp(t);
    server.fault('list:a0', fault, FOREVER);
    const done = await run('backfill', ...RANGE, '--json');
    assert.equal(done.code, 3, done.stdout + done.stderr);
    assert.deepEqual(verdicts(done), [`${DAYS[0]} incomplete 1`, `${DAYS[1]} complete 2`, `${DAYS[2]} complete 2`]);
    assert.deepEqual(
      linesOf(done).flatMap(({ type, key }) => (type === 'finding' ? [key] : [])),
      ['a0._'],
    );
    assert.deepEqual(verdicts(await run('reconcile', ...RANGE, '--json')), verdicts(done));
  });

test('a conversation of which each question meets a fault of Genesys is a finding within a minute, and everything else is fetched (invariant 11)', async (t) => {
  const { server, run } = await setUp(t);
  server.fault('list:a0', 'return-503', FOREVER);
  const done = await run('backfill', ...RANGE, '--json');
  assert.deepEqual(verdicts(done), [`${DAYS[0]} incomplete 1`, `${DAYS[1]} complete 2`, `${DAYS[2]} complete 2`]);
  assert.match(done.stdout, /"key":"a0\._","state":"failed","code":"upstream-error"/);
  // Two looks, before and after fetching.
  assert.ok(server.requests('list:a0').length <= 2 * 6);
});

test('an original of a batch that cannot be made WebM of is asked for as Genesys makes it, before it is given up', async (t) => {
  const { server, run } = await setUp(t);
  server.fault('media:r-a0:0', 'body:text:PK\u0003\u0004 is no sound');
  for (let times = 0; times < 2; times += 1) server.fault('media:r-b0:0', 'body:text:PK\u0003\u0004 is no sound');
  const done = await run('backfill', ...RANGE, '--json');
  assert.deepEqual(verdicts(done), [`${DAYS[0]} incomplete 1`, `${DAYS[1]} complete 2`, `${DAYS[2]} complete 2`]);
  assert.match(done.stdout, /"key":"b0\.r-b0","state":"failed","code":"unsupported-media"/);
  for (const id of ['r-a0', 'r-b0'])
    assert.deepEqual([server.requests(`recording:${id}`).length, server.requests(`media:${id}:0`).length], [1, 2]);
});

test('a day of which no list is answered is said, and the days behind it are fetched all the same (invariant 11)', async (t) => {
  const { server, run } = await setUp(t);
  for (const id of ['a1', 'b1']) server.fault(`list:${id}`, 'return-400;code:bad.request', FOREVER);
  for (const command of ['backfill', 'reconcile']) {
    const done = await run(command, ...RANGE, '--again', '--json');
    assert.equal(done.code, 1, done.stdout + done.stderr);
    assert.deepEqual(verdicts(done), [`${DAYS[0]} complete 2`, `${DAYS[2]} complete 2`], command);
    assert.match(done.stderr, new RegExp(`${DAYS[1]}: it could not be looked at: `));
  }
});

for (const status of [400, 404, 410])
  test(`a day that analytics answers ${String(status)} to is said, in words that are no recording's, and the days behind it are looked at`, async (t) => {
    const { server, run } = await setUp(t);
    // Of a question that is refused a simpler form is asked as well.
    for (let times = 0; times < (status === 400 ? 2 : 1); times += 1)
      server.fault('analytics-job', `return-${String(status)};code:odd`);
    const done = await run('reconcile', ...RANGE, '--json');
    assert.equal(done.code, 1, done.stdout + done.stderr);
    assert.deepEqual(verdicts(done), [`${DAYS[1]} incomplete 0`, `${DAYS[2]} incomplete 0`]);
    assert.match(
      done.stderr,
      new RegExp(`${DAYS[0]}: it could not be looked at: Genesys does not answer this question`),
    );
  });

test('where Genesys answers to nothing, two days say so and no third is tried', async (t) => {
  const { server, run } = await setUp(t);
  server.fault('list:*', 'return-400;code:bad.request', FOREVER);
  const done = await run('backfill', ...RANGE, '--json');
  assert.equal(done.code, 1);
  assert.deepEqual(verdicts(done), []);
  assert.equal(server.requests('list:*2').length + server.requests('list:a2').length, 0);
});

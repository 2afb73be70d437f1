/** Live work beside a backfill on the same OAuth client: whose call takes what of which window, counted at the simulated Genesys. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createGenesys } from '../../src/genesys/open-genesys.ts';
import { runArchiver } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';

const DAY = '2026-11-25';
const COUNT = 45;
const ALLOWED = 40;
/** What a backfill may use of a window by default. */
const HALF = ALLOWED / 2;
const LIVE = 8;

test('what live work waits for is never a bulk call: no window is shared, and of its own a backfill takes half', async (t) => {
  const server = await startGenesysServer({ rateLimit: { allowed: ALLOWED, windowS: 1 } });
  const folder = await mkdtemp(join(tmpdir(), 'live-wins-'));
  const live = createGenesys(server.config(), { patienceMs: 300_000 });
  t.after(async () => {
    await live.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const files = ['0', '1'].map((channel) => ({
    channel,
    contentType: 'audio/ogg',
    path: pathOfFixture(`dual-${channel}.opus`),
  }));
  for (let index = 0; index < COUNT; index += 1) {
    const conversationId = `c${String(index)}`;
    server.addRecording({ recordingId: `r${String(index)}`, conversationId, startTime: `${DAY}T10:00:00.000Z`, files });
    server.analyze({ conversationId, start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
  }
  server.addConversation('live');
  const over = new AbortController();
  let refused = 0;
  const asking = Array.from({ length: LIVE }, async () => {
    while (!over.signal.aborted)
      await live.recordingsOf('live', over.signal).catch(() => (refused += over.signal.aborted ? 0 : 1));
  });
  const env = { ...server.environment(), ARCHIVE_URL: `file:${join(folder, 'archive')}`, LOG_LEVEL: 'error' };
  const fetched = await runArchiver(['backfill', '--from', DAY, '--to', DAY], env);
  over.abort();
  await Promise.all(asking);
  assert.equal(fetched.code, 0, fetched.stdout + fetched.stderr);
  assert.equal(refused, 0, 'no live call was refused');

  const calls = server.requests().filter(({ token }) => token !== undefined);
  const [lively, bulk] = [calls.filter(({ route }) => route === 'list:live'), calls.filter(isBulk)];
  const tokens = new Set(lively.map(({ token }) => token));
  assert.equal(tokens.size, 1);
  assert.ok(
    bulk.every(({ token }) => !tokens.has(token)),
    'no bulk call is counted in the window of live work',
  );
  const most = (of: readonly { readonly count?: number }[]): number => Math.max(...of.map(({ count = 0 }) => count));
  assert.ok(most(bulk) <= HALF, `a bulk call was number ${String(most(bulk))} of its window`);
  assert.ok(most(lively) > HALF, 'live work goes on where bulk work stops');
  assert.ok(most(calls) <= ALLOWED, 'nobody was told to wait');
  const count = (route: string): number => bulk.filter((each) => each.route.startsWith(route)).length;
  assert.deepEqual(
    ['list:', 'batch', 'metadata:', 'recording:'].map(
      (route) => count(route) - (route === 'batch' ? count('batch-status:') : 0),
    ),
    [COUNT, 1, 0, COUNT],
    'calls of a day of recordings of two files',
  );
});

function isBulk({ route }: { readonly route: string }): boolean {
  return route !== 'list:live';
}

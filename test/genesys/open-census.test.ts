/** Lists of conversations, asked one like the other: an outage of all is waited for, what one alone is answered is its own. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { GenesysCensus } from '../../src/genesys/open-census.ts';
import { failureOf } from '../support/failure-of.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

const FOREVER = 1_000;
/** In doubt after five, one that the other was answered, and a last one. */
const TRIES = 6;
/** Another's list, asked for once. */
const WITNESS = 1;

interface Scene {
  readonly server: GenesysServer;
  readonly census: GenesysCensus;
  readonly signal: AbortSignal;
}

async function setUp(t: TestContext): Promise<Scene> {
  const server = await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } });
  const census = new GenesysCensus(server.config(), { share: 1, baseDelayMs: 1 });
  t.after(async () => {
    await census.close();
    await server.close();
  });
  for (const id of ['a', 'b']) server.addRecording({ recordingId: `r-${id}`, conversationId: id });
  return { server, census, signal: AbortSignal.any([t.signal, AbortSignal.timeout(200_000)]) };
}

for (const fault of ['return-500', 'return-503', 'return-503;retry-after:1', 'return-504', 'return-reset-connection'])
  test(`what one conversation alone is answered (${fault}) is its own after a few tries, and is not taken for an outage (invariant 11)`, async (t) => {
    const { server, census, signal } = await setUp(t);
    await census.recordingsOf('a', signal);
    server.fault('list:b', fault, FOREVER);
    const failure = await failureOf(census.recordingsOf('b', signal));
    assert.deepEqual([failure.code, failure.message.startsWith('Genesys tells of other')], ['upstream-error', true]);
    assert.equal(server.requests('list:b').length, TRIES);
    assert.equal(server.requests('list:a').length, 1 + WITNESS);
  });

test('the first of all that are asked for has another one to compare with as well', async (t) => {
  const { server, census, signal } = await setUp(t);
  server.fault('list:b', 'return-503', FOREVER);
  assert.equal((await failureOf(census.recordingsOf('b', signal))).code, 'upstream-error');
  assert.equal(server.requests('list:b').length, TRIES);
  assert.equal(server.requests('list:*').length, TRIES + WITNESS);
});

test('where nobody is answered it is waited for, and the list is read once it is over (SR-11)', async (t) => {
  const { server, census, signal } = await setUp(t);
  await census.recordingsOf('a', signal);
  server.fault('list:*', 'return-503', 20);
  assert.equal((await census.recordingsOf('b', signal)).recordings.length, 1);
  server.assertFaultsUsed();
});

test('one that is answered at the last moment is read', async (t) => {
  const { server, census, signal } = await setUp(t);
  server.fault('list:b', 'return-503', TRIES - 1);
  assert.equal((await census.recordingsOf('b', signal)).recordings.length, 1);
  server.assertFaultsUsed();
});

test('invariant 7: what is asked to wait is no outage: each Retry-After is kept, and no other list asked', async (t) => {
  const { server, census, signal } = await setUp(t);
  server.fault('list:b', 'retry-after:1', TRIES);
  assert.equal((await census.recordingsOf('b', signal)).recordings.length, 1);
  const at = server.requests('list:b').map((request) => request.at);
  for (const [index, later] of at.slice(1).entries()) assert.ok(later - (at[index] ?? NaN) >= 1_000);
  assert.deepEqual([at.length, server.requests('list:*').length], [TRIES + 1, TRIES + 1]);
});

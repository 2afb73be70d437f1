/** A bucket whose names are known is asked less: and never so little that an erasure, or what lies under capitals, is passed over. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { BucketArchive } from '../../../src/archive/bucket/bucket.ts';
import type { Recording } from '../../../src/recording.ts';
import { type BucketHarness, openBucketHarness, PREFIX } from '../../support/archive/bucket.ts';
import { bytesOf, store } from '../../support/archive/content.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const MARK = '{"version":1}';
const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const CALL = { recordingId: R, conversationId: C };
const CONTENT = { head: bytesOf('head', 90), clusters: [bytesOf('clusters', 5_000)], originals: [] };

async function setUp(t: TestContext): Promise<BucketHarness> {
  const harness = await openBucketHarness();
  t.after(() => harness.close());
  return harness;
}

/** As a worker does when it starts. */
async function sweep(archive: BucketArchive): Promise<void> {
  await archive.sweep(3_600_000, signal());
}

async function codeOf(archive: BucketArchive, recording: Recording): Promise<string> {
  return archive.find(recording, signal()).then(
    (manifest) => (manifest === undefined ? 'nothing' : 'there'),
    (thrown: unknown) => (thrown as { code?: string }).code ?? 'unknown',
  );
}

async function requestsOf(harness: BucketHarness, work: () => Promise<unknown>): Promise<readonly string[]> {
  const from = harness.server.seen.length;
  await work();
  return harness.server.seen.slice(from).map(({ operation, name }) => `${operation} ${name.split('/')[1] ?? ''}`);
}

test('what is not there costs two requests once names are known, and four before, as any reader pays', async (t) => {
  const harness = await setUp(t);
  const find = (archive: BucketArchive) => requestsOf(harness, () => archive.find(CALL, signal()));
  const before = ['get recordings', 'get recordings', 'media erased', 'media erased'];
  assert.deepEqual(await find(harness.archive), before);
  await sweep(harness.archive);
  assert.deepEqual(await find(harness.archive), ['get recordings', 'media erased-of']);
  // Another process knows once it has looked; a second look of this one asks nothing.
  const other = await harness.another();
  assert.deepEqual(await find(other), before);
  await sweep(other);
  assert.deepEqual(await find(other), ['get recordings', 'media erased-of']);
  const again = await requestsOf(harness, () => sweep(harness.archive));
  assert.deepEqual(
    again.filter((request) => /recordings|erased/.test(request)),
    [],
  );
});

for (const [what, name] of [
  ['a recording', `erased/${C}.${R}.json`],
  ['a conversation', `erased/${C}._.json`],
] as const) {
  test(`the mark of ${what} is found by one question: laid before the look, by whomever, or after it`, async (t) => {
    const harness = await setUp(t);
    harness.server.put(`${PREFIX}/${name}`, Buffer.from(MARK));
    await sweep(harness.archive);
    assert.equal(await codeOf(harness.archive, CALL), 'erased');
    await assert.rejects(store(harness.archive, CALL, CONTENT), { code: 'erased' });
    const later = { recordingId: R, conversationId: 'later' };
    assert.equal(await codeOf(harness.archive, later), 'nothing');
    await (await harness.another()).notes.create(name.replace(C, 'later'), MARK, signal());
    assert.equal(await codeOf(harness.archive, later), 'erased');
    assert.equal(await codeOf(harness.archive, { recordingId: R, conversationId: 'other' }), 'nothing');
  });

  test(`the mark of ${what} and a first look, each at every request of the other: never passed over`, async (t) => {
    const harness = await setUp(t);
    for (const outer of ['look', 'mark'] as const) {
      for (let at = 1, isReached = true; isReached; at += 1) {
        const fresh = { prefix: `${outer}-${String(at)}` };
        const [one, other] = [harness.open(fresh), harness.open(fresh)];
        const look = (): Promise<void> => sweep(one);
        const mark = async (): Promise<void> => void (await other.notes.create(name, MARK, signal()));
        const [first, meanwhile] = outer === 'look' ? [look, mark] : [mark, look];
        let count = 0;
        harness.server.gate = () => {
          count += 1;
          return count === at ? { kind: 'call', run: meanwhile } : undefined;
        };
        await first();
        isReached = count >= at;
        harness.server.gate = undefined;
        assert.ok(isReached || at > 2, 'there are requests to come between');
        if (isReached) assert.equal(await codeOf(one, CALL), 'erased', `${outer}, ${String(at)}`);
      }
    }
  });
}

test('a mark whose maker was killed at any request of it is whole once it is laid again', async (t) => {
  const harness = await setUp(t);
  for (let at = 1, isReached = true; isReached; at += 1) {
    const fresh = { prefix: `killed-${String(at)}` };
    const known = harness.open(fresh);
    await sweep(known);
    let count = 0;
    const stop = new AbortController();
    harness.server.gate = () => {
      count += 1;
      if (count === at) stop.abort();
      return count === at ? { kind: 'reset', afterBytes: undefined } : undefined;
    };
    const name = `erased/${C}.${R}.json`;
    await harness
      .open()
      .notes.create(name, MARK, stop.signal)
      .catch(() => undefined);
    isReached = count >= at;
    harness.server.gate = undefined;
    await harness.open(fresh).notes.create(name, MARK, signal());
    assert.equal(await codeOf(known, CALL), 'erased', `killed at ${String(at)}`);
  }
});

for (const [what, conversationId, recordingId] of [
  ['a conversation', C.toUpperCase(), R.toUpperCase()],
  ['a recording without one', undefined, R.toUpperCase()],
  ['a recording of a conversation whose id has no letters', 'c-1', R.toUpperCase()],
  ['a recording of a conversation whose GUID has no letters', '00000000-0000-4000-8000-000000000001', R.toUpperCase()],
] as const)
  test(`where ${what} lies under capitals it goes on being found, whoever has looked (C9)`, async (t) => {
    const harness = await setUp(t);
    await store(harness.archive, { recordingId, conversationId }, CONTENT);
    const lower = { recordingId: R, conversationId: conversationId?.toLowerCase() };
    for (const archive of [harness.archive, await harness.another()]) {
      await sweep(archive);
      await sweep(archive);
      assert.equal(await codeOf(archive, lower), 'there');
    }
  });

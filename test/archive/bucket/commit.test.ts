/** The order of a commit's requests: what nothing depends on goes side by side, and what a promise needs comes before what it needs it for. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BucketHarness, openBucketHarness, PREFIX } from '../../support/archive/bucket.ts';
import { bytesOf, store } from '../../support/archive/content.ts';
import type { Seen } from '../../support/gcs/server.ts';

const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const CALL = { recordingId: R, conversationId: C };
const LEVELS = bytesOf('levels', 777);
const CONTENT = { head: bytesOf('head', 90), clusters: [bytesOf('clusters', 5_000)], originals: [], levels: LEVELS };
const HANG = { timeout: 240_000 };

/** A request as tests name it: its operation, and its folder or, of a recording's own folder, its file. */
function requestOf({ operation, name }: Seen): string {
  const [folder = '', ...rest] = name.slice(PREFIX.length + 1).split('/');
  return `${operation} ${folder === 'recordings' ? (rest.at(-1) ?? '') : folder}`;
}

interface Scene {
  readonly harness: BucketHarness;
  readonly requests: () => readonly string[];
  /** Resolves when a request for it came. */
  readonly came: (request: string) => Promise<void>;
  /** From now on it is answered only after the returned function was called. */
  readonly hold: (request: string) => () => void;
}

async function setUp(t: TestContext): Promise<Scene> {
  const harness = await openBucketHarness();
  t.after(() => harness.close());
  const held = new Map<string, Promise<void>>();
  const requests: string[] = [];
  harness.server.gate = (seen) => {
    const request = requestOf(seen);
    requests.push(request);
    const answered = held.get(request);
    return answered === undefined ? undefined : { kind: 'call', run: () => answered };
  };
  return {
    harness,
    requests: () => requests,
    came: async (request) => {
      while (!requests.includes(request)) await nextTurn();
    },
    hold: (request) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      held.set(request, promise);
      return resolve;
    },
  };
}

/** Whatever would come next has come by then. */
async function aWhile(): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) await nextTurn();
}

const UNTIL_SHOWN = ['insert recording.webm', 'media erased', 'media erased'];
const BESIDE = ['insert days', 'insert levels.bin'];
const TO_THE_END = ['delete failures', 'delete waiting', 'insert manifest.json', 'media erased', 'media erased'];

for (const late of BESIDE)
  test(
    `day and levels are laid side by side behind the WebM; it is shown when both lie there: ${late} is late`,
    HANG,
    async (t) => {
      const { harness, requests, came, hold } = await setUp(t);
      const answer = hold(late);
      const storing = store(harness.archive, CALL, CONTENT);
      for (const request of BESIDE) await came(request);
      await aWhile();
      assert.deepEqual(requests().slice(0, 3).toSorted(), UNTIL_SHOWN);
      assert.deepEqual(requests().slice(3).toSorted(), BESIDE, 'nothing is asked or shown before');
      answer();
      await storing;
      assert.deepEqual(requests().slice(5).toSorted(), TO_THE_END);
      assert.deepEqual(
        requests().slice(5, 7),
        ['media erased', 'media erased'],
        'whether it was erased is asked first',
      );
      assert.equal(requests()[7], 'insert manifest.json');
    },
  );

test(
  'a commit whose day could not be laid has failed only once its levels are on their way no more',
  HANG,
  async (t) => {
    const { harness, requests, came, hold } = await setUp(t);
    harness.server.deny('create', `${PREFIX}/days/`);
    const answer = hold('insert levels.bin');
    const ends: string[] = [];
    const storing = store(harness.archive, CALL, CONTENT).catch(() => ends.push('failed'));
    for (const request of BESIDE) await came(request);
    await aWhile();
    ends.push('answered');
    answer();
    await storing;
    assert.deepEqual(ends, ['answered', 'failed']);
    assert.ok(!requests().includes('insert manifest.json'));
  },
);

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { Flights, Lagged } from '../../src/media/flight.ts';
import type { Webm } from '../../src/media/webm/webm.ts';

const RESULT = { head: Buffer.from('head'), sizeBytes: 4, durationMs: 1, channels: 1, codecs: ['A_OPUS'], packets: 1 };

/** A making that yields `count` clusters of 10 bytes and tells what became of it. */
function making(count: number, failAt = Infinity) {
  const seen = { started: 0, yielded: 0, stopped: false };
  const make = async (signal: AbortSignal): Promise<Webm> => {
    seen.started += 1;
    signal.addEventListener('abort', () => (seen.stopped = true));
    return {
      contentType: 'audio/webm',
      way: 'rewrap',
      why: 'test',
      encoder: undefined,
      liveHead: Buffer.from('live'),
      result: () => RESULT,
      clusters: {
        async *[Symbol.asyncIterator]() {
          for (let number = 0; number < count; number += 1) {
            if (number === failAt) throw new Failure('incomplete', 'The source broke off.');
            signal.throwIfAborted();
            seen.yielded += 1;
            yield Buffer.from(String(number).padStart(10, '0'));
          }
        },
      },
    };
  };
  return { make, seen };
}

async function all(webm: Webm): Promise<string[]> {
  const clusters = [];
  for await (const cluster of webm.clusters) clusters.push(cluster.toString());
  return clusters;
}

const never = new AbortController().signal;
const numbers = (count: number): string[] =>
  Array.from({ length: count }, (_, number) => String(number).padStart(10, '0'));

test('readers at the same time share one making, and each gets everything (CL-11)', async () => {
  const flights = new Flights(1_000);
  const { make, seen } = making(20);
  const readers = await Promise.all([1, 2, 3].map(() => flights.join('a', make, never)));
  assert.deepEqual(await Promise.all(readers.map(all)), [numbers(20), numbers(20), numbers(20)]);
  assert.equal(seen.started, 1);
  assert.equal(seen.yielded, 20);
  assert.equal(readers[1]?.result(), RESULT);
});

test('a late reader gets it from the start while all of it is kept', async () => {
  const flights = new Flights(1_000);
  const { make, seen } = making(20);
  const first = (await flights.join('a', make, never)).clusters[Symbol.asyncIterator]();
  for (let count = 0; count < 10; count += 1) await first.next();
  const late = await flights.join('a', make, never);
  assert.deepEqual(await all(late), numbers(20));
  assert.equal(seen.started, 1);
  await first.return?.();
});

test('beyond the bound a late reader gets a making of its own', async () => {
  const flights = new Flights(50);
  const { make, seen } = making(20);
  const first = (await flights.join('a', make, never)).clusters[Symbol.asyncIterator]();
  for (let count = 0; count < 10; count += 1) await first.next();
  const late = await flights.join('a', make, never);
  assert.deepEqual(await all(late), numbers(20));
  assert.equal(seen.started, 2);
  await first.return?.();
});

test('a slow reader holds nobody up, and is told when it was left behind', async () => {
  const flights = new Flights(50);
  const { make } = making(20);
  const [fast, slow] = await Promise.all([flights.join('a', make, never), flights.join('a', make, never)]);
  assert.deepEqual(await all(fast), numbers(20));
  await assert.rejects(all(slow), Lagged);
});

/** A making of large clusters, each in memory of its own, and the clusters themselves. */
function largeMaking(count: number) {
  const clusters = Array.from({ length: count }, (_, number) => Buffer.allocUnsafeSlow(65_536).fill(number + 1));
  const { make } = making(0);
  return {
    clusters,
    make: async (signal: AbortSignal): Promise<Webm> => ({
      ...(await make(signal)),
      clusters: {
        async *[Symbol.asyncIterator]() {
          yield* clusters;
        },
      },
    }),
  };
}

test('the memory of a cluster is given back once it is neither kept nor in the hands of a reader', async () => {
  const flights = new Flights(2 * 65_536);
  const { make, clusters } = largeMaking(5);
  const [fast, slow] = await Promise.all([flights.join('a', make, never), flights.join('a', make, never)]);
  const [ahead, behind] = [fast.clusters[Symbol.asyncIterator](), slow.clusters[Symbol.asyncIterator]()];
  const held = (await behind.next()).value;
  for (let number = 1; number <= 4; number += 1) assert.equal((await ahead.next()).value?.[65_535], number);
  assert.equal(held?.[65_535], 1, 'the slow one still has the first');
  assert.deepEqual(
    clusters.map(({ length }) => length),
    [65_536, 0, 65_536, 65_536, 65_536],
  );
  await behind.return?.();
  assert.equal((await ahead.next()).value?.[0], 5);
  assert.equal((await ahead.next()).done, true);
  assert.deepEqual(
    clusters.slice(1).map(({ length }) => length),
    [0, 0, 0, 0],
  );
});

test('a reader that leaves early keeps the cluster it has', async () => {
  const flights = new Flights(10 * 65_536);
  const { make, clusters } = largeMaking(2);
  const leaving = new AbortController();
  const reading = (await flights.join('a', make, leaving.signal)).clusters[Symbol.asyncIterator]();
  await reading.next();
  const held = (await reading.next()).value;
  leaving.abort();
  assert.equal(held, clusters[1]);
  assert.equal(held?.[65_535], 2);
});

test('the making stops when the last reader has left, not before', async () => {
  const flights = new Flights(1_000);
  const { make, seen } = making(20);
  const leaving = new AbortController();
  const [one, two] = await Promise.all([flights.join('a', make, leaving.signal), flights.join('a', make, never)]);
  const reading = two.clusters[Symbol.asyncIterator]();
  await one.clusters[Symbol.asyncIterator]().next();
  await reading.next();
  leaving.abort();
  assert.equal(seen.stopped, false);
  await reading.return?.();
  assert.equal(seen.stopped, true);
});

test('a reader that never starts to read leaves by its signal', async () => {
  const flights = new Flights(1_000);
  const { make, seen } = making(20);
  const leaving = new AbortController();
  await flights.join('a', make, leaving.signal);
  leaving.abort();
  assert.equal(seen.stopped, true);
});

test('a failure reaches every reader, and the next one starts anew', async () => {
  const flights = new Flights(1_000);
  const { make } = making(20, 5);
  const readers = await Promise.all([flights.join('a', make, never), flights.join('a', make, never)]);
  for (const reader of readers) await assert.rejects(all(reader), /broke off/);
  const again = making(3);
  assert.deepEqual(await all(await flights.join('a', again.make, never)), numbers(3));
});

test('a making that cannot start fails whoever waits for it', async () => {
  const flights = new Flights(1_000);
  const make = async (): Promise<Webm> => {
    throw new Failure('gone', 'The recording was deleted.');
  };
  await assert.rejects(flights.join('a', make, never), /deleted/);
  assert.deepEqual(await all(await flights.join('a', making(1).make, never)), numbers(1));
});

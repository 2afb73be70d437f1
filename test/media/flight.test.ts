import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Failure } from '../../src/failure.ts';
import { FLIGHTS } from '../../src/bounds.ts';
import { Flights, Lagged, type FlightOrder } from '../../src/media/flight.ts';
import type { Purpose } from '../../src/media/purpose.ts';
import { FakeClock } from '../support/fake-clock.ts';
import type { Webm } from '../../src/media/webm/webm.ts';

const RESULT = { head: Buffer.from('head'), sizeBytes: 4, durationMs: 1, channels: 1, codecs: ['A_OPUS'], packets: 1 };

/** A making that yields `count` clusters of 10 bytes and tells what became of it. */
function making(count: number, failAt = Infinity) {
  const seen = { started: 0, yielded: 0, stopped: false };
  const make = async (_purpose: Purpose, signal: AbortSignal): Promise<Webm> => {
    seen.started += 1;
    signal.addEventListener('abort', () => (seen.stopped = true));
    return {
      contentType: 'audio/webm',
      way: 'rewrap',
      why: 'test',
      encoder: undefined,
      liveHead: Buffer.from('live'),
      result: () => RESULT,
      playsMs: () => seen.yielded * 1_000,
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

type Make = FlightOrder<Webm>['make'];
const listens = (make: Make, key = 'a'): FlightOrder<Webm> => ({ key, reader: 'listening', make });
const archives = (make: Make, key = 'a'): FlightOrder<Webm> => ({ key, reader: 'archiving', make });

async function all(webm: Pick<Webm, 'clusters'>): Promise<string[]> {
  const clusters = [];
  for await (const cluster of webm.clusters) clusters.push(cluster.toString());
  return clusters;
}

const never = new AbortController().signal;
const numbers = (count: number): string[] =>
  Array.from({ length: count }, (_, number) => String(number).padStart(10, '0'));

test('readers at the same time share one making, and each gets everything (CL-11)', async () => {
  const flights = new Flights({ eachBytes: 1_000 });
  const { make, seen } = making(20);
  const readers = await Promise.all([1, 2, 3].map(() => flights.join(listens(make), never)));
  assert.deepEqual(await Promise.all(readers.map(all)), [numbers(20), numbers(20), numbers(20)]);
  assert.equal(seen.started, 1);
  assert.equal(seen.yielded, 20);
  assert.equal(readers[1]?.result(), RESULT);
});

test('a late reader gets it from the start while all of it is kept', async () => {
  const flights = new Flights({ eachBytes: 1_000 });
  const { make, seen } = making(20);
  const first = (await flights.join(listens(make), never)).clusters[Symbol.asyncIterator]();
  for (let count = 0; count < 10; count += 1) await first.next();
  const late = await flights.join(listens(make), never);
  assert.deepEqual(await all(late), numbers(20));
  assert.equal(seen.started, 1);
  await first.return?.();
});

test('beyond the bound a late reader gets a making of its own', async () => {
  const flights = new Flights({ eachBytes: 50 });
  const { make, seen } = making(20);
  const first = (await flights.join(listens(make), never)).clusters[Symbol.asyncIterator]();
  for (let count = 0; count < 10; count += 1) await first.next();
  const late = await flights.join(listens(make), never);
  assert.deepEqual(await all(late), numbers(20));
  assert.equal(seen.started, 2);
  await first.return?.();
});

test('a slow reader holds nobody up, and is told when it was left behind', async () => {
  const flights = new Flights({ eachBytes: 50 });
  const { make } = making(20);
  const [fast, slow] = await Promise.all([flights.join(listens(make), never), flights.join(listens(make), never)]);
  assert.deepEqual(await all(fast), numbers(20));
  await assert.rejects(all(slow), Lagged);
});

/** A making of large clusters, each in memory of its own, and the clusters themselves. */
function largeMaking(count: number) {
  const clusters = Array.from({ length: count }, (_, number) => Buffer.allocUnsafeSlow(65_536).fill(number + 1));
  const { make } = making(0);
  return {
    clusters,
    make: async (purpose: Purpose, signal: AbortSignal): Promise<Webm> => ({
      ...(await make(purpose, signal)),
      clusters: {
        async *[Symbol.asyncIterator]() {
          yield* clusters;
        },
      },
    }),
  };
}

test('the memory of a cluster is given back once it is neither kept nor in the hands of a reader', async () => {
  const flights = new Flights({ eachBytes: 2 * 65_536 });
  const { make, clusters } = largeMaking(5);
  const [fast, slow] = await Promise.all([flights.join(listens(make), never), flights.join(listens(make), never)]);
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
  const flights = new Flights({ eachBytes: 10 * 65_536 });
  const { make, clusters } = largeMaking(2);
  const leaving = new AbortController();
  const reading = (await flights.join(listens(make), leaving.signal)).clusters[Symbol.asyncIterator]();
  await reading.next();
  const held = (await reading.next()).value;
  leaving.abort();
  assert.equal(held, clusters[1]);
  assert.equal(held?.[65_535], 2);
});

test('the making stops when the last reader has left, not before', async () => {
  const flights = new Flights({ eachBytes: 1_000 });
  const { make, seen } = making(20);
  const leaving = new AbortController();
  const [one, two] = await Promise.all([
    flights.join(listens(make), leaving.signal),
    flights.join(listens(make), never),
  ]);
  const reading = two.clusters[Symbol.asyncIterator]();
  await one.clusters[Symbol.asyncIterator]().next();
  await reading.next();
  leaving.abort();
  assert.equal(seen.stopped, false);
  await reading.return?.();
  assert.equal(seen.stopped, true);
});

test('a reader that never starts to read leaves by its signal', async () => {
  const flights = new Flights({ eachBytes: 1_000 });
  const { make, seen } = making(20);
  const leaving = new AbortController();
  await flights.join(listens(make), leaving.signal);
  leaving.abort();
  assert.equal(seen.stopped, true);
});

test('a reader that never starts to read leaves by returning its clusters', async () => {
  const flights = new Flights({ eachBytes: 1_000 });
  const { make, seen } = making(20);
  const joined = await flights.join(listens(make), never);
  await joined.clusters[Symbol.asyncIterator]().return?.();
  assert.equal(seen.stopped, true);
});

test('whoever has read to the end, left or failed is heard of no more through its signal', async () => {
  const { signal } = new AbortController();
  const flights = new Flights({ eachBytes: 1_000 });
  await all(await flights.join(archives(making(3).make), signal));
  const left = (await flights.join(listens(making(3).make, 'b'), signal)).clusters[Symbol.asyncIterator]();
  await left.next();
  await left.return?.();
  await assert.rejects(all(await flights.join(archives(making(3, 1).make, 'c'), signal)), { code: 'incomplete' });
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a failure reaches every reader, and the next one starts anew', async () => {
  const flights = new Flights({ eachBytes: 1_000 });
  const { make } = making(20, 5);
  const readers = await Promise.all([flights.join(listens(make), never), flights.join(listens(make), never)]);
  for (const reader of readers) await assert.rejects(all(reader), /broke off/);
  const again = making(3);
  assert.deepEqual(await all(await flights.join(listens(again.make), never)), numbers(3));
});

test('a making that cannot start fails whoever waits for it', async () => {
  const flights = new Flights({ eachBytes: 1_000 });
  const make = async (): Promise<Webm> => {
    throw new Failure('gone', 'The recording was deleted.');
  };
  await assert.rejects(flights.join(listens(make), never), /deleted/);
  assert.deepEqual(await all(await flights.join(listens(making(1).make), never)), numbers(1));
});

// ── who sets the pace, and what is kept ─────────────────────────────────────────────────────────────────────────

const turns = async (): Promise<void> => {
  for (let count = 0; count < 200; count += 1) await setImmediate();
};

/** A making by an encoder: it works ahead of its listeners. */
function encoding(count: number) {
  const { make, seen } = making(count);
  return {
    seen,
    make: async (...args: Parameters<Make>): Promise<Webm> => ({ ...(await make(...args)), encoder: 'x' }),
  };
}

const readerOf = (webm: Webm): AsyncIterator<Buffer> => webm.clusters[Symbol.asyncIterator]();

async function read(reader: AsyncIterator<Buffer>, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) assert.equal((await reader.next()).done, false);
}

test('what is only re-wrapped is made as it is read, and not ahead of its listener (A3)', async () => {
  const flights = new Flights({ eachBytes: 1_000 });
  const { make, seen } = making(20);
  const reader = readerOf(await flights.join(listens(make), never));
  await read(reader, 3);
  await turns();
  assert.ok(seen.yielded <= 4, `${String(seen.yielded)} were made`);
  await reader.return?.();
  assert.equal(flights.heldBytes, 0);
});

test('an encoder works ahead into bounded memory, so that it is free again soon (A2)', async () => {
  const flights = new Flights({ eachBytes: 1_000, readingBytes: 0 });
  const short = encoding(20);
  const reader = readerOf(await flights.join(listens(short.make), never));
  await read(reader, 1);
  await turns();
  assert.equal(short.seen.yielded, 20, 'all of it fits');
  const long = encoding(1_000);
  const other = readerOf(await flights.join(listens(long.make, 'b'), never));
  await read(other, 1);
  await turns();
  assert.equal(long.seen.yielded, 100, 'as much as is kept, the one in its hands included');
  await read(other, 50);
  await turns();
  assert.equal(long.seen.yielded, 150);
  assert.ok(flights.heldBytes <= 2_000, String(flights.heldBytes));
  for (const each of [reader, other]) await each.return?.();
  assert.equal(flights.heldBytes, 0);
});

test('an encoder rests for as long as what it made plays, then its listener is given up (A2)', async () => {
  const clock = new FakeClock();
  const flights = new Flights({ eachBytes: 100, clock });
  const { make, seen } = encoding(1_000);
  const reader = readerOf(await flights.join(listens(make), never));
  await read(reader, 1);
  await turns();
  assert.equal(seen.yielded, 10);
  // Real time: for each second that passes it takes a second.
  for (let second = 0; second < 100; second += 1) {
    clock.advance(1_000);
    await read(reader, 1);
    await turns();
  }
  assert.equal(seen.stopped, false);
  clock.advance(10_000 + FLIGHTS.restMs - 1);
  await turns();
  assert.equal(seen.stopped, false);
  clock.advance(1);
  await turns();
  assert.equal(seen.stopped, true);
  const rest = all({ clusters: { [Symbol.asyncIterator]: () => reader } });
  await assert.rejects(rest, (error) => error instanceof Failure && error.code === 'busy');
  assert.deepEqual([flights.heldBytes, clock.alarms], [0, 0]);
});

test('a listener never slows the archive down, and the archive misses nothing (A2)', async () => {
  for (const make of [making(200).make, encoding(200).make]) {
    const flights = new Flights({ eachBytes: 100, allBytes: 100 });
    const slow = readerOf(await flights.join(listens(make), never));
    await read(slow, 1);
    assert.deepEqual(await all(await flights.join(archives(make), never)), numbers(200));
    await assert.rejects(read(slow, 200), Lagged);
    assert.equal(flights.heldBytes, 0);
  }
});

test('a fast listener waits for the archive, however slowly that stores, and never leaves it behind (A2)', async () => {
  const flights = new Flights({ eachBytes: 100 });
  const { make, seen } = making(200);
  const archive = readerOf(await flights.join(archives(make), never));
  const listener = await flights.join(listens(make), never);
  const heard = all(listener);
  await read(archive, 1);
  await turns();
  assert.ok(seen.yielded <= 12, `${String(seen.yielded)} were made`);
  await read(archive, 199);
  assert.equal((await archive.next()).done, true);
  assert.deepEqual(await heard, numbers(200));
});

test('the archive goes on where its listener was refused, by a making of its own', async () => {
  const flights = new Flights();
  const refused = Promise.withResolvers<never>();
  const purposes: boolean[] = [];
  const { make: good } = making(3);
  const make: Make = async (purpose, signal) => {
    purposes.push(purpose.archiving);
    if (purposes.length === 1) return refused.promise;
    return good(purpose, signal);
  };
  const listener = flights.join(listens(make), never);
  await turns();
  const archive = flights.join(archives(make), never);
  refused.reject(new Failure('busy', 'Too many listeners.'));
  await assert.rejects(listener, /Too many listeners/);
  assert.deepEqual(await all(await archive), numbers(3));
  assert.deepEqual(purposes, [false, true]);
});

test('a making is for the archive as long as the archive reads it', async () => {
  const flights = new Flights();
  const asked = Promise.withResolvers<Purpose>();
  const { make: good } = making(5);
  const make: Make = (purpose, signal) => {
    asked.resolve(purpose);
    return good(purpose, signal);
  };
  const listener = readerOf(await flights.join(listens(make), never));
  const purpose = await asked.promise;
  assert.equal(purpose.archiving, false);
  const archive = readerOf(await flights.join(archives(make), never));
  assert.equal(purpose.archiving, true);
  await archive.next();
  await archive.return?.();
  assert.equal(purpose.archiving, false);
  await listener.return?.();
});

test('a making that has to yield is joined by nobody any more', async () => {
  const flights = new Flights();
  const { make: good, seen } = making(5);
  const purposes: Purpose[] = [];
  const make: Make = (purpose, signal) => {
    purposes.push(purpose);
    return good(purpose, signal);
  };
  const listener = readerOf(await flights.join(listens(make), never));
  await listener.next();
  purposes[0]?.yield();
  assert.deepEqual(await all(await flights.join(archives(make), never)), numbers(5));
  assert.equal(seen.started, 2);
});

test('sixty listeners that stop reading hold bounded memory together, and those who read on get everything (A3)', async () => {
  const flights = new Flights({ allBytes: 2_000, eachBytes: 1_000, readingBytes: 20 });
  const readers: AsyncIterator<Buffer>[] = [];
  for (let number = 0; number < 60; number += 1) {
    const { make } = making(150);
    const reader = readerOf(await flights.join(listens(make, `key ${String(number)}`), never));
    await read(reader, 50);
    readers.push(reader);
    assert.ok(flights.heldBytes <= 2_000 + 60 * 10, `${String(flights.heldBytes)} after ${String(number)}`);
    assert.ok(flights.heldBytes >= readers.length * 30, 'what each reads, and the cluster in its hands, are counted');
  }
  const rests = await Promise.all(readers.map((reader) => all({ clusters: { [Symbol.asyncIterator]: () => reader } })));
  for (const rest of rests) assert.deepEqual(rest, numbers(150).slice(50));
  assert.equal(flights.heldBytes, 0);
});

/** Makings that are all held up by their listeners: how many there are, how much each reads and makes of it, and whether an encoder does. */
const CROWDS = [
  { makings: 24, clusters: 1_000, readingBytes: 50, encoder: false },
  { makings: 24, clusters: 1_000, readingBytes: 50, encoder: true },
  { makings: 8, clusters: 1_000, readingBytes: 200, encoder: true },
  { makings: 8, clusters: 30, readingBytes: 200, encoder: true },
  { makings: 2, clusters: 1_000, readingBytes: 0, encoder: true },
  { makings: 90, clusters: 3, readingBytes: 50, encoder: false },
];

for (const { makings, clusters, readingBytes, encoder } of CROWDS) {
  const name = `${String(makings)} makings of ${String(clusters)} clusters ${encoder ? 'by encoders' : 're-wrapped'}`;
  test(`all that is held for listeners is within one bound, sources and WebM alike: ${name} (A3)`, async () => {
    const [allBytes, eachBytes] = [4_000, 1_000];
    const flights = new Flights({ allBytes, eachBytes, readingBytes });
    const readers: AsyncIterator<Buffer>[] = [];
    for (let number = 0; number < makings; number += 1) {
      const { make } = encoder ? encoding(clusters) : making(clusters);
      const reader = readerOf(await flights.join(listens(make, `key ${String(number)}`), never));
      await read(reader, Math.min(clusters, 5));
      readers.push(reader);
      await turns();
      // What an encoder worked ahead is not taken back; otherwise each has at most what it reads and the Clusters waited for.
      const leastBytes = readers.length * (readingBytes + 20);
      const mostBytes = encoder ? allBytes + leastBytes : Math.max(allBytes, leastBytes);
      assert.ok(flights.heldBytes <= mostBytes, `${String(flights.heldBytes)} held for ${String(readers.length)}`);
    }
    for (const reader of readers) await reader.return?.();
    assert.equal(flights.heldBytes, 0);
  });
}

test('what a making reads is counted until it has been read, or left', async () => {
  const flights = new Flights({ readingBytes: 7 });
  const short = readerOf(await flights.join(listens(making(1).make), never));
  assert.equal(flights.heldBytes, 17, 'the first cluster is made before anybody asks for it');
  await read(short, 1);
  assert.equal((await short.next()).done, true);
  assert.equal(flights.heldBytes, 0);
  const left = readerOf(await flights.join(listens(making(5).make), never));
  await read(left, 1);
  assert.equal(flights.heldBytes, 17);
  await left.return?.();
  await turns();
  assert.equal(flights.heldBytes, 0);
  await assert.rejects(flights.join(listens(making(1).make), AbortSignal.abort(new Failure('stopped', 'Gone.'))));
  const unread = new Failure('gone', 'The recording was deleted.');
  await assert.rejects(
    flights.join(
      listens(async () => Promise.reject(unread)),
      never,
    ),
    unread,
  );
  await turns();
  assert.equal(flights.heldBytes, 0, 'what never began to be read is not counted');
});

test('a cluster counts for as long as the slowest has it in its hands, and once however many have it', async () => {
  const flights = new Flights({ eachBytes: 20, readingBytes: 0 });
  const { make } = making(50);
  const readers = await Promise.all([1, 2, 3].map(async () => readerOf(await flights.join(listens(make), never))));
  const [fast, ...slow] = readers;
  assert.ok(fast !== undefined);
  for (const reader of slow) await read(reader, 1);
  await read(fast, 30);
  assert.equal(flights.heldBytes, 30, 'the two that are kept, and the one in slow hands');
  await assert.rejects(read(slow[0] ?? fast, 1), Lagged);
  assert.equal(flights.heldBytes, 30, 'another still has it');
  await slow[1]?.return?.();
  assert.equal(flights.heldBytes, 20);
  await fast.return?.();
  assert.equal(flights.heldBytes, 0);
});

test('two that read the same at the archive’s pace, one of them slow, hold no more than one does', async () => {
  const flights = new Flights({ eachBytes: 100 });
  const { make, seen } = making(200);
  const [fast, slow] = [await flights.join(archives(make), never), await flights.join(archives(make), never)];
  const all200 = all(fast);
  const behind = readerOf(slow);
  await read(behind, 1);
  await turns();
  assert.ok(seen.yielded <= 12, `${String(seen.yielded)} were made`);
  await read(behind, 199);
  await behind.next();
  assert.deepEqual(await all200, numbers(200));
});

const CROWD = 200;

/** The order in which starts and clusters of many makings were granted. Each yields at once whatever it is asked for. */
function granting(granted: string[], name: string, count: number, paced = false): Make {
  const { make } = making(count);
  return async (purpose, signal) => {
    granted.push(`start ${name}`);
    const webm = await make(purpose, signal);
    async function* clusters(): AsyncGenerator<Buffer, void, void> {
      for await (const cluster of webm.clusters) {
        // As a download does: each piece arrives in a turn of its own.
        if (paced) await setImmediate();
        granted.push(`cluster ${name}`);
        yield cluster;
      }
    }
    return { ...webm, clusters: { [Symbol.asyncIterator]: clusters } };
  };
}

test('however many listen, what is archived goes on in every turn of the event loop, and they one by one (A2) (A3)', async () => {
  const flights = new Flights();
  const granted: string[] = [];
  const crowd = Array.from({ length: CROWD }, async (_, number) => {
    const name = `listener ${String(number)}`;
    return all(await flights.join(listens(granting(granted, name, 5), name), never));
  });
  const archived = await all(await flights.join(archives(granting(granted, 'archive', 50, true), 'archive'), never));
  assert.deepEqual(archived, numbers(50));
  assert.equal(granted[0], 'start archive', 'archiving starts first, whoever asked before');
  const last = granted.lastIndexOf('cluster archive');
  const between = granted
    .slice(0, last)
    .join('\n')
    .split(/(?:start|cluster) archive\n?/)
    .map((work) => work.split('\n').filter(Boolean).length);
  assert.ok(
    Math.max(...between) <= 2,
    `listeners had so many turns before each of the archive's: ${between.join(' ')}`,
  );
  for (const clusters of await Promise.all(crowd)) assert.deepEqual(clusters, numbers(5));
  assert.deepEqual(
    granted.filter((work) => work.startsWith('start listener')),
    Array.from({ length: CROWD }, (_, number) => `start listener ${String(number)}`),
    'first come, first served',
  );
});

test('a listener that leaves before its turn starts nothing', async () => {
  const flights = new Flights();
  const { make, seen } = making(5);
  const leaving = new AbortController();
  const joined = flights.join(listens(make), leaving.signal);
  leaving.abort(new Failure('stopped', 'The listener left.'));
  await assert.rejects(joined, { code: 'stopped' });
  await setImmediate();
  await setImmediate();
  assert.equal(seen.started, 0);
});

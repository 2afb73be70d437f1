/** A puller that ends: it waits for what it holds, however and in whatever order that is settled, and lets everything else run meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Failure } from '../../../src/failure.ts';
import type { Leased, Pulled } from '../../../src/queue/pubsub/library.ts';
import { Puller, type Slotted } from '../../../src/queue/pubsub/puller.ts';
import { untilAborted } from '../../../src/waiting.ts';

const HANG = { timeout: 300_000 };

const quiet = {
  name: 'messages',
  leaseS: 600,
  giveBack: (leased: Leased) => leased.nack(),
  onLost: () => assert.fail('nothing was lost'),
  onTrouble: (failure: Failure) => assert.fail(failure),
};

function messageOf(index: number): Pulled {
  const [ackId, id] = [`a${String(index)}`, `m${String(index)}`];
  return { ackId, id, data: '', attributes: {}, publishedAt: new Date(), deliveryAttempt: 1 };
}

interface Scene {
  readonly puller: Puller;
  readonly stop: AbortController;
  readonly pulling: Promise<void>;
  readonly held: readonly Leased[];
  /** Acknowledged or given back, in the order in which the far end hears of it. */
  readonly told: readonly string[];
}

/** One that holds so many messages, and pulls no more. */
async function holding(count: number): Promise<Scene> {
  const [held, told]: [Leased[], string[]] = [[], []];
  const stop = new AbortController();
  let isFirst = true;
  const messages = Array.from({ length: count }, (_, index) => messageOf(index));
  const tell = async (_name: string, ackIds: readonly string[]): Promise<void> => {
    await nextTurn();
    told.push(...ackIds);
  };
  const puller = new Puller({
    ...quiet,
    library: {
      pull: async () => {
        if (!isFirst) throw new Error('nothing more is asked for');
        isFirst = false;
        return messages;
      },
      acknowledge: tell,
      extend: async (name, ackIds, seconds) => {
        if (seconds === 0) await tell(name, ackIds);
      },
    },
    slots: count,
    take: (leased) => held.push(leased),
  });
  const pulling = puller.run(stop.signal);
  while (held.length < count) await nextTurn();
  return { puller, stop, pulling, held, told };
}

for (const settle of ['ack', 'nack'] as const)
  for (const order of [
    [0, 1, 2],
    [2, 0, 1],
  ])
    for (const turns of [0, 1, 5])
      test(
        `ends when the last is settled: ${settle} of ${order.join(', ')}, ${String(turns)} turns apart (A1)`,
        HANG,
        async () => {
          const { puller, stop, pulling, held, told } = await holding(3);
          stop.abort();
          await pulling;
          let isClosed = false;
          const closing = puller.close().then(() => {
            isClosed = true;
          });
          for (const index of order) {
            assert.equal(isClosed, false, 'it ended before the last was settled');
            held[index]?.[settle]();
            while (!told.includes(`a${String(index)}`)) await nextTurn();
            for (let turn = 0; turn < turns; turn += 1) await nextTurn();
          }
          await closing;
          assert.deepEqual(
            told,
            order.map((index) => `a${String(index)}`),
          );
        },
      );

test('what comes next is asked for while Pub/Sub is still being told of the last', HANG, async () => {
  const told = Promise.withResolvers<void>();
  const asked: number[] = [];
  const taken: Leased[] = [];
  const stop = new AbortController();
  const puller = new Puller({
    ...quiet,
    library: {
      pull: async ({ maxMessages }) => {
        asked.push(maxMessages);
        if (asked.length > 2) await untilAborted(stop.signal);
        return asked.length > 2 ? [] : [messageOf(asked.length)];
      },
      acknowledge: () => told.promise,
      extend: async () => undefined,
    },
    slots: 1,
    take: (leased) => taken.push(leased),
  });
  const pulling = puller.run(stop.signal);
  while (taken.length < 1) await nextTurn();
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
  assert.deepEqual(asked, [1], 'while the slot is taken nothing is asked for');
  taken[0]?.ack();
  while (taken.length < 2) await nextTurn();
  taken[1]?.ack();
  while (asked.length < 3) await nextTurn();
  stop.abort();
  await pulling;
  const order: string[] = [];
  const closing = puller.close().then(() => order.push('closed'));
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
  order.push('told');
  told.resolve();
  await closing;
  assert.deepEqual(order, ['told', 'closed'], 'it ended before Pub/Sub knew');
});

for (const slots of [1, 2, 3])
  test(`what has yielded its slot is held beside as many others: ${String(slots)} slots`, HANG, async () => {
    const asked: number[] = [];
    const taken: Slotted[] = [];
    const stop = new AbortController();
    const puller = new Puller({
      ...quiet,
      library: {
        pull: async ({ maxMessages }) => {
          asked.push(maxMessages);
          const from = taken.length;
          return Array.from({ length: maxMessages }, (_, index) => messageOf(from + index));
        },
        acknowledge: async () => undefined,
        extend: async () => undefined,
      },
      slots,
      take: (leased) => taken.push(leased),
    });
    const pulling = puller.run(stop.signal);
    const seen = async (): Promise<readonly number[]> => {
      for (let turn = 0; turn < 20; turn += 1) await nextTurn();
      return asked;
    };
    const ones = Array.from({ length: slots }, () => 1);
    const first = [slots];
    assert.deepEqual(await seen(), first);
    for (const one of taken.slice(0, slots)) {
      one.yieldSlot();
      one.yieldSlot();
      await seen();
    }
    assert.deepEqual(await seen(), [...first, ...ones], 'one came for each that was yielded');
    for (const one of taken.slice(slots)) one.yieldSlot();
    assert.deepEqual(await seen(), [...first, ...ones], 'no more is held than twice the slots');
    for (const one of taken.slice(0, slots)) {
      one.ack();
      // Settled is settled: it yields nothing any more.
      one.yieldSlot();
      await seen();
    }
    assert.deepEqual(await seen(), [...first, ...ones, ...ones]);
    stop.abort();
    for (const one of taken) one.ack();
    await pulling;
    await puller.close();
    assert.equal(taken.length, 3 * slots);
  });

test('a lease is extended 2 s after it was taken, unless its work has ended by then', HANG, async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const extended: (readonly string[])[] = [];
  const taken: Leased[] = [];
  const stop = new AbortController();
  const pulls: number[] = [];
  const puller = new Puller({
    ...quiet,
    library: {
      pull: async ({ maxMessages }) => {
        pulls.push(maxMessages);
        if (pulls.length > 1) await untilAborted(stop.signal);
        return pulls.length > 1 ? [] : [messageOf(1), messageOf(2)];
      },
      acknowledge: async () => undefined,
      extend: async (_name, ackIds) => void extended.push(ackIds),
    },
    slots: 2,
    take: (leased) => taken.push(leased),
  });
  const pulling = puller.run(stop.signal);
  while (taken.length < 2) await nextTurn();
  t.mock.timers.tick(1_999);
  assert.deepEqual(extended, []);
  taken[0]?.ack();
  t.mock.timers.tick(1);
  assert.deepEqual(extended, [['a2']]);
  taken[1]?.ack();
  while (pulls.length < 2) await nextTurn();
  t.mock.timers.tick(2_000);
  assert.equal(extended.length, 1);
  stop.abort();
  await pulling;
  await puller.close();
});

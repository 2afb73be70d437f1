/** A puller that ends: it waits for what it holds, however and in whatever order that is settled, and lets everything else run meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Leased } from '../../../src/queue/pubsub/library.ts';
import { Puller } from '../../../src/queue/pubsub/puller.ts';

const HANG = { timeout: 300_000 };

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
  const messages = Array.from({ length: count }, (_, index) => ({
    ackId: `a${String(index)}`,
    id: `m${String(index)}`,
    data: '',
    attributes: {},
    publishedAt: new Date(),
    deliveryAttempt: 1,
  }));
  const tell = async (_name: string, ackIds: readonly string[]): Promise<void> => {
    await nextTurn();
    told.push(...ackIds);
  };
  const puller = new Puller({
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
    name: 'messages',
    slots: count,
    leaseS: 600,
    take: (leased) => held.push(leased),
    giveBack: (leased) => leased.nack(),
    onLost: () => assert.fail('nothing was lost'),
    onTrouble: (failure) => assert.fail(failure),
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

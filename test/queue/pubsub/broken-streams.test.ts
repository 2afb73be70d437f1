/** A broker that breaks off its streams, as Pub/Sub does every half hour and when it moves: what waits stays, and comes when it is due. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openJobs } from '../../support/pubsub/broker/open-jobs.ts';
import { consuming, recordingMessage } from '../suite.ts';

test(
  'what waits outlives streams that break off, comes when it is due, uncounted, and nobody is troubled',
  { timeout: 120_000 },
  async (t) => {
    const { broker, queue, troubles } = await openJobs(t);
    const names = Array.from({ length: 20 }, (_, index) => `r-${String(index)}`);
    const dueMs = new Map<string, number>();
    await queue.publish(
      names.map((id) => recordingMessage(id)),
      new AbortController().signal,
    );
    const consumer = consuming(
      queue,
      ({ name }) => {
        if (dueMs.has(name)) return { outcome: 'done' };
        broker.breakStreams();
        dueMs.set(name, Date.now() + 1_500);
        return { outcome: 'wait', afterMs: 1_500 };
      },
      3,
    );
    const seen = await consumer.first(2 * names.length);
    await consumer.stop();
    const again = seen.filter(({ name }, index) => seen.findIndex((one) => one.name === name) < index);
    assert.deepEqual(again.map(({ name }) => name).toSorted(), names.toSorted());
    for (const { name, atMs, attempt } of again) {
      assert.ok(atMs >= (dueMs.get(name) ?? Infinity), `${name} came before its time`);
      assert.equal(attempt, 1);
    }
    assert.deepEqual(troubles, []);
  },
);

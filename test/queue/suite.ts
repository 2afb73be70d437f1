/** The contract of a queue (src/queue/queue.ts) → tests that every queue has to pass. */
import type { Delivery, Message, Queue, Settlement } from '../../src/queue/queue.ts';
import { delayOf, idsOf } from '../../src/queue/queue.ts';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

export interface OpenedQueue {
  readonly queue: Queue;
  /** Closes `queue` and opens what it left behind. */
  readonly reopen?: () => Promise<Queue>;
  /** Also closes what was reopened. */
  readonly close: () => Promise<void>;
  /** The shortest wait the queue can tell from none. */
  readonly minWaitMs?: number;
}

export interface QueueTraits {
  /** Messages of one key that is queued or running become one. */
  readonly collapses: boolean;
  /** depth() has figures. */
  readonly measuresDepth: boolean;
  /** A new event delivers a dead message again; false where dead letters lie with the queue's own service. */
  readonly revives: boolean;
}

const NEVER = new AbortController().signal;
const DONE: Settlement = { outcome: 'done' };

export function recordingMessage(recordingId: string, traceparent?: string): Message {
  const message: Message = { kind: 'recording', recordingId, conversationId: 'c-1' };
  return traceparent === undefined ? message : { ...message, traceparent };
}

export function conversationMessage(conversationId: string): Message {
  return { kind: 'conversation', conversationId };
}

export function nameOf(delivery: Delivery): string {
  const { recordingId, conversationId } = idsOf(delivery.message);
  return recordingId ?? conversationId ?? '';
}

export interface Seen extends Delivery {
  readonly name: string;
  /** Wall clock, ms: what waits are counted in. */
  readonly atMs: number;
}

/** A running consumer whose deliveries a test can wait for. */
export interface Consuming {
  readonly seen: readonly Seen[];
  /** The first `count` deliveries, as soon as there are so many. */
  first(count: number): Promise<readonly Seen[]>;
  /** Aborts the consumer and waits for its end. */
  stop(): Promise<void>;
}

export type Answer = (seen: Seen, signal: AbortSignal) => Settlement | Promise<Settlement>;

/**
 * The attempts that were counted by us. What a stopped worker was still asking for may be answered to nobody (the emulator
 * notices late that a pull was called off): the broker counts that as a delivery, and it is no attempt of ours.
 */
export function countedIn(seen: Seen | undefined): number | undefined {
  return seen === undefined ? undefined : seen.attempt - seen.lost;
}

export function consuming(queue: Queue, answer: Answer, slots = 1): Consuming {
  const stopping = new AbortController();
  const seen: Seen[] = [];
  const arrivals = new EventTarget();
  const handle = async (delivery: Delivery, signal: AbortSignal): Promise<Settlement> => {
    const one = { ...delivery, name: nameOf(delivery), atMs: Date.now() };
    seen.push(one);
    arrivals.dispatchEvent(new Event('arrived'));
    return answer(one, signal);
  };
  const ended = queue.consume(handle, slots, stopping.signal);
  const endedEarly = ended.then(() => {
    throw new Error(`The consumer ended after ${String(seen.length)} deliveries.`);
  });
  endedEarly.catch(() => undefined);
  return {
    seen,
    async first(count) {
      while (seen.length < count) await Promise.race([once(arrivals, 'arrived'), endedEarly]);
      return seen.slice(0, count);
    },
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}

/** A gate that handlers wait at. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

export function queueSuite(name: string, open: () => Promise<OpenedQueue>, traits: QueueTraits): void {
  const check = (title: string, body: (opened: OpenedQueue, waitMs: number) => Promise<void>): void => {
    test(`${name}: ${title}`, { timeout: 400_000 }, async (t) => {
      const opened = await open();
      // Not in a finally: what hangs until the time-out has to be closed too.
      t.after(() => opened.close());
      await body(opened, Math.max(opened.minWaitMs ?? 0, 200));
    });
  };

  check('delivers what was published, with its ids and its time', async ({ queue }) => {
    const before = Date.now();
    await queue.publish([recordingMessage('r-1'), conversationMessage('c-2')], NEVER);
    const after = Date.now();
    const consumer = consuming(queue, () => DONE);
    const seen = await consumer.first(2);
    await consumer.stop();
    const byName = new Map(seen.map((one) => [one.name, one]));
    assert.deepEqual(byName.get('r-1')?.message, { kind: 'recording', recordingId: 'r-1', conversationId: 'c-1' });
    assert.deepEqual(byName.get('c-2')?.message, conversationMessage('c-2'));
    for (const one of seen) {
      assert.equal(one.attempt, 1);
      assert.ok(one.acceptedAt.getTime() >= before - 1000 && one.acceptedAt.getTime() <= after + 1000);
    }
  });

  check('delivers to a consumer that was waiting before the publish', async ({ queue }) => {
    const consumer = consuming(queue, () => DONE);
    await queue.publish([recordingMessage('r-1')], NEVER);
    const [one] = await consumer.first(1);
    await consumer.stop();
    assert.equal(one?.name, 'r-1');
  });

  check('invariant 1: keeps what it acknowledged when it is closed and opened again', async ({ queue, reopen }) => {
    if (reopen === undefined) return;
    await queue.publish([recordingMessage('r-1'), recordingMessage('r-2')], NEVER);
    const consumer = consuming(await reopen(), () => DONE);
    const seen = await consumer.first(2);
    await consumer.stop();
    assert.deepEqual(seen.map((one) => one.name).toSorted(), ['r-1', 'r-2']);
  });

  check('refuses to publish for a request that has ended, and stores nothing', async ({ queue }) => {
    await assert.rejects(queue.publish([recordingMessage('r-1')], AbortSignal.abort()), { name: 'Failure' });
    await queue.publish([recordingMessage('r-2')], NEVER);
    const consumer = consuming(queue, () => DONE);
    const [one] = await consumer.first(1);
    await consumer.stop();
    assert.deepEqual([one?.name, consumer.seen.length], ['r-2', 1]);
  });

  check('never runs more than its slots at once', async ({ queue }) => {
    await queue.publish(
      Array.from({ length: 12 }, (_, index) => recordingMessage(`r-${String(index)}`)),
      NEVER,
    );
    let running = 0;
    let most = 0;
    const full = gate();
    const consumer = consuming(
      queue,
      async () => {
        running += 1;
        most = Math.max(most, running);
        if (running === 3) full.open();
        await full.opened;
        await delay(5);
        running -= 1;
        return DONE;
      },
      3,
    );
    await consumer.first(12);
    await consumer.stop();
    assert.equal(most, 3);
  });

  check('never runs one message twice at once, however many consumers there are', async ({ queue }) => {
    const names = Array.from({ length: 40 }, (_, index) => `r-${String(index)}`);
    await queue.publish(
      names.map((id) => recordingMessage(id)),
      NEVER,
    );
    const running = new Set<string>();
    const finished: string[] = [];
    const finishedAll = gate();
    const answer: Answer = async (one) => {
      assert.ok(!running.has(one.name), `${one.name} runs twice`);
      running.add(one.name);
      await delay(1);
      running.delete(one.name);
      finished.push(one.name);
      if (new Set(finished).size === names.length) finishedAll.open();
      return DONE;
    };
    const consumers = [1, 2, 3].map(() => consuming(queue, answer, 4));
    await finishedAll.opened;
    await Promise.all(consumers.map((consumer) => consumer.stop()));
    assert.deepEqual(finished.toSorted(), names.toSorted());
  });

  check('delivers again after `again`, counted and not before its time', async ({ queue }, waitMs) => {
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await queue.publish([recordingMessage('r-1', trace)], NEVER);
    let settledAtMs = 0;
    const consumer = consuming(queue, (one) => {
      settledAtMs = one.attempt === 1 ? Date.now() : settledAtMs;
      return one.attempt === 1 ? { outcome: 'again', afterMs: waitMs } : DONE;
    });
    const [first, second] = await consumer.first(2);
    await consumer.stop();
    assert.deepEqual([first?.attempt, second?.attempt], [1, 2]);
    assert.ok(second !== undefined && second.atMs >= settledAtMs + waitMs, 'came too early');
    assert.deepEqual(second.acceptedAt, first?.acceptedAt);
    assert.equal(second.message.traceparent, trace);
  });

  check(
    'invariant 7: `wait` counts no attempt, holds no slot and is not shortened (QU-05)',
    async ({ queue }, waitMs) => {
      const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
      await queue.publish([recordingMessage('slow', trace)], NEVER);
      let settledAtMs = 0;
      const consumer = consuming(queue, (one) => {
        if (one.name !== 'slow' || settledAtMs > 0) return DONE;
        settledAtMs = Date.now();
        return { outcome: 'wait', afterMs: waitMs };
      });
      await consumer.first(1);
      await queue.publish([recordingMessage('quick')], NEVER);
      const [first, between, last] = await consumer.first(3);
      await consumer.stop();
      assert.deepEqual([first?.name, between?.name, last?.name], ['slow', 'quick', 'slow']);
      assert.deepEqual([first?.attempt, last?.attempt], [1, 1]);
      assert.ok(last !== undefined && last.atMs >= settledAtMs + waitMs, 'came too early');
      assert.deepEqual(last.acceptedAt, first?.acceptedAt);
      assert.equal(last.message.traceparent, trace);
    },
  );

  check('what asks for a delay is delivered no sooner', async ({ queue }, waitMs) => {
    const publishedMs = Date.now();
    await queue.publish([{ kind: 'details', conversationId: 'slow', afterMs: waitMs }], NEVER);
    await queue.publish([recordingMessage('quick')], NEVER);
    const consumer = consuming(queue, () => DONE);
    const slow = (await consumer.first(2)).find(({ name }) => name === 'slow');
    await consumer.stop();
    assert.ok(slow !== undefined && slow.atMs >= publishedMs + waitMs, 'came too early');
    assert.ok(slow.acceptedAt.getTime() + waitMs <= slow.atMs, 'its age counts from its publication');
    assert.deepEqual([slow.attempt, slow.message.kind, delayOf(slow.message)], [1, 'details', 0]);
  });

  check('a dead message delays no other and does not come back by itself (QU-04)', async ({ queue }) => {
    await queue.publish([recordingMessage('poison')], NEVER);
    await queue.publish([recordingMessage('good-1'), recordingMessage('good-2')], NEVER);
    const consumer = consuming(queue, (one) =>
      one.name === 'poison' ? { outcome: 'dead', reason: 'no media in it' } : DONE,
    );
    await consumer.first(3);
    await consumer.stop();
    const later = consuming(queue, () => DONE);
    await queue.publish([recordingMessage('good-3')], NEVER);
    const [next] = await later.first(1);
    await later.stop();
    assert.equal(next?.name, 'good-3');
    assert.equal(later.seen.length, 1);
  });

  check('invariant 10: a stopped consumer gives its messages back uncounted', async ({ queue }) => {
    await queue.publish([recordingMessage('r-1')], NEVER);
    const stuck = consuming(queue, async (_, signal) => {
      if (!signal.aborted) await once(signal, 'abort');
      return { outcome: 'again', afterMs: 0 };
    });
    const [first] = await stuck.first(1);
    await stuck.stop();
    const next = consuming(queue, () => DONE);
    const [again] = await next.first(1);
    await next.stop();
    assert.deepEqual([again?.name, countedIn(again)], ['r-1', 1]);
    assert.deepEqual(again?.acceptedAt, first?.acceptedAt);
  });

  check('a consumer takes nothing once it is stopped', async ({ queue }) => {
    const consumer = consuming(queue, () => DONE);
    await consumer.stop();
    await queue.publish([recordingMessage('r-1')], NEVER);
    await queue.consume(() => assert.fail('took a message'), 1, AbortSignal.abort());
    const next = consuming(queue, () => DONE);
    await next.first(1);
    await next.stop();
    assert.equal(consumer.seen.length, 0);
  });

  check('a handler that throws leaves the others running', async ({ queue }) => {
    await queue.publish([recordingMessage('bug')], NEVER);
    await queue.publish([recordingMessage('good')], NEVER);
    const consumer = consuming(queue, (one) => {
      if (one.name === 'bug') throw new TypeError('a bug');
      return DONE;
    });
    const seen = await consumer.first(2);
    await consumer.stop();
    assert.deepEqual(seen.map((one) => one.name).toSorted(), ['bug', 'good']);
  });

  check('check() passes while messages can be published and taken', async ({ queue }) => {
    await queue.check(NEVER);
  });

  if (traits.measuresDepth) {
    check('depth() tells ready, waiting, running and dead apart', async ({ queue }) => {
      const release = gate();
      const answers: Record<string, Settlement> = {
        late: { outcome: 'wait', afterMs: 3_600_000 },
        dead: { outcome: 'dead', reason: 'gone', unrecorded: true },
      };
      await queue.publish(
        ['late', 'dead', 'running', 'ready'].map((id) => recordingMessage(id)),
        NEVER,
      );
      const consumer = consuming(queue, async (one) => {
        if (one.name === 'running') await release.opened;
        return answers[one.name] ?? DONE;
      });
      await consumer.first(3);
      assert.deepEqual(await queue.depth(), { ready: 1, waiting: 1, running: 1, dead: 1 });
      release.open();
      await consumer.first(4);
      await consumer.stop();
      assert.deepEqual(await queue.depth(), { ready: 0, waiting: 1, running: 0, dead: 1 });
    });
  }

  if (traits.collapses) {
    check('invariant 3: duplicates collapse while queued and running (QU-01)', async ({ queue }) => {
      await queue.publish([recordingMessage('r-1'), recordingMessage('r-1')], NEVER);
      await queue.publish([recordingMessage('r-1')], NEVER);
      const consumer = consuming(queue, async () => {
        await queue.publish([recordingMessage('r-1')], NEVER);
        return DONE;
      });
      await consumer.first(1);
      await consumer.stop();
      const later = consuming(queue, () => DONE);
      await queue.publish([recordingMessage('r-2')], NEVER);
      await later.first(1);
      await later.stop();
      assert.deepEqual([consumer.seen.length, later.seen.map((one) => one.name)], [1, ['r-2']]);
    });

    check(
      'what waits by our own guess comes forward when an event names it again; a time that was asked for stays',
      async ({ queue }) => {
        const hourMs = 3_600_000;
        const answers: Record<string, Settlement> = {
          ours: { outcome: 'wait', afterMs: hourMs, soonestMs: 0 },
          again: { outcome: 'again', afterMs: hourMs, soonestMs: 0 },
          theirs: { outcome: 'wait', afterMs: hourMs },
        };
        await queue.publish(
          Object.keys(answers).map((id) => recordingMessage(id)),
          NEVER,
        );
        const consumer = consuming(queue, (one) => (consumer.seen.length > 3 ? DONE : (answers[one.name] ?? DONE)));
        await consumer.first(3);
        while ((await queue.depth())?.waiting !== 3) await delay(5);
        await queue.publish(
          [...Object.keys(answers), 'marker'].map((id) => recordingMessage(id)),
          NEVER,
        );
        const seen = await consumer.first(6);
        await consumer.stop();
        const later = seen.slice(3);
        assert.deepEqual(later.map((one) => `${one.name} ${String(one.attempt)}`).toSorted(), [
          'again 2',
          'marker 1',
          'ours 1',
        ]);
        const ours = later.find((one) => one.name === 'ours');
        assert.ok(ours !== undefined && ours.acceptedAt > (seen[0]?.acceptedAt ?? new Date()), 'its age begins anew');
        assert.equal((await queue.depth())?.waiting, 1);
      },
    );

    check(
      'several events of one conversation while it waits are one look, a little later',
      async ({ queue }, waitMs) => {
        let settledAtMs = 0;
        const consumer = consuming(queue, () => {
          settledAtMs ||= Date.now();
          return consumer.seen.length > 1 ? DONE : { outcome: 'wait', afterMs: 3_600_000, soonestMs: waitMs };
        });
        await queue.publish([conversationMessage('c-9')], NEVER);
        await consumer.first(1);
        while ((await queue.depth())?.waiting !== 1) await delay(5);
        for (let events = 0; events < 3; events += 1) await queue.publish([conversationMessage('c-9')], NEVER);
        const [, second] = await consumer.first(2);
        await consumer.stop();
        assert.ok(second !== undefined && second.atMs >= settledAtMs + waitMs, 'came too early');
        assert.equal(consumer.seen.length, 2);
      },
    );

    check(
      'a conversation named again while it is looked at comes forward although it is to wait',
      async ({ queue }) => {
        const consumer = consuming(queue, async () => {
          if (consumer.seen.length > 1) return DONE;
          await queue.publish([conversationMessage('c-9')], NEVER);
          return { outcome: 'wait', afterMs: 3_600_000, soonestMs: 0 };
        });
        await queue.publish([conversationMessage('c-9')], NEVER);
        const [first, second] = await consumer.first(2);
        await consumer.stop();
        assert.ok(second !== undefined && first !== undefined && second.acceptedAt >= first.acceptedAt);
      },
    );

    check('a conversation named again while it is worked on is worked on once more', async ({ queue }) => {
      await queue.publish([conversationMessage('c-9'), conversationMessage('c-9')], NEVER);
      const consumer = consuming(queue, async () => {
        if (consumer.seen.length > 1) return DONE;
        await queue.publish([conversationMessage('c-9')], NEVER);
        await queue.publish([conversationMessage('c-9')], NEVER);
        return DONE;
      });
      const [, second] = await consumer.first(2);
      await queue.publish([recordingMessage('last')], NEVER);
      const seen = await consumer.first(3);
      await consumer.stop();
      assert.equal(second?.attempt, 1);
      assert.deepEqual(
        seen.map((one) => one.name),
        ['c-9', 'c-9', 'last'],
      );
    });
  }

  check(
    'what is done is worked on anew when an event names it: the archive is the truth of it (C13) (F1)',
    async ({ queue }) => {
      const consumer = consuming(queue, () => DONE);
      const [recording, conversation] = [recordingMessage('r-1'), conversationMessage('c-9')];
      // It may be delivered before its publish has ended.
      for (const [before, message] of [recording, recording, conversation, conversation].entries()) {
        await queue.publish([message], NEVER);
        await consumer.first(before + 1);
      }
      await consumer.stop();
      assert.deepEqual(
        consumer.seen.map((one) => [one.name, one.attempt]),
        [
          ['r-1', 1],
          ['r-1', 1],
          ['c-9', 1],
          ['c-9', 1],
        ],
      );
    },
  );

  check('a list of thousands is published whole, and lets others in between (A11)', async ({ queue }) => {
    const names = Array.from({ length: 4500 }, (_, index) => `r-${String(index)}`);
    const order: string[] = [];
    const many = queue
      .publish(
        names.map((id) => recordingMessage(id)),
        NEVER,
      )
      .then(() => order.push('many'));
    const one = queue.publish([recordingMessage('one')], NEVER).then(() => order.push('one'));
    await Promise.all([many, one]);
    assert.deepEqual(order, ['one', 'many']);
    const seen = new Set<string>();
    const consumer = consuming(queue, ({ name }) => (seen.add(name), DONE), 50);
    while (seen.size < names.length + 1) await consumer.first(consumer.seen.length + 1);
    await consumer.stop();
  });

  if (traits.revives) {
    check('a new event revives a dead message with its attempts at zero', async ({ queue }) => {
      await queue.publish([recordingMessage('r-1')], NEVER);
      const consumer = consuming(queue, () => ({ outcome: 'dead', reason: 'not found' }));
      await consumer.first(1);
      await consumer.stop();
      await queue.publish([recordingMessage('r-1')], NEVER);
      const later = consuming(queue, () => DONE);
      const [one] = await later.first(1);
      await later.stop();
      assert.deepEqual([one?.name, countedIn(one)], ['r-1', 1]);
    });
  }
}

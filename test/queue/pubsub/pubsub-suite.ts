/** The queue on a Pub/Sub server: pulling, waiting, dead letters, and what a broker does to a worker. A file for each server runs it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, suite, test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Failure } from '../../../src/failure.ts';
import type { Settlement } from '../../../src/queue/queue.ts';
import { encodeEvent } from '../../../src/queue/pubsub/envelope.ts';
import { inspectSubscription } from '../../../src/queue/pubsub/inspection.ts';
import { openPubsubQueue, type PubsubOptions, type PubsubQueue } from '../../../src/queue/pubsub/pubsub.ts';
import { PROJECT, type Emulator } from '../../support/pubsub/emulator.ts';
import { consuming, conversationMessage, countedIn, gate, queueSuite, recordingMessage } from '../suite.ts';

const NEVER = new AbortController().signal;
const DONE: Settlement = { outcome: 'done' };
const HANGING_WORKER = fileURLToPath(new URL('../../support/pubsub/hanging-worker.ts', import.meta.url));

interface Buried {
  readonly data: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** The body of a suite. */
export function judgedBy(startJudge: () => Promise<Emulator>): () => void {
  return () => {
    let emulator: Emulator;
    let count = 0;

    before(async () => {
      emulator = await startJudge();
    });
    after(() => emulator.close());

    interface Opened {
      readonly queue: PubsubQueue;
      readonly name: string;
      readonly troubles: readonly Failure[];
      readonly close: () => Promise<void>;
      readonly reopen: () => Promise<PubsubQueue>;
    }

    async function open(options: PubsubOptions = {}, name = `jobs-${String(++count)}`): Promise<Opened> {
      await createAll(name);
      const troubles: Failure[] = [];
      const openOne = (): PubsubQueue =>
        openPubsubQueue(
          { project: PROJECT, topic: name, subscription: name },
          { onTrouble: (failure) => troubles.push(failure), ...options },
        );
      const queues = [openOne()];
      const [queue] = queues;
      assert.ok(queue !== undefined);
      return {
        queue,
        name,
        troubles,
        close: async () => void (await Promise.all(queues.map((one) => one.close()))),
        reopen: async () => {
          await queue.close();
          const again = openOne();
          queues.push(again);
          return again;
        },
      };
    }

    /** As terraform makes them, with five deliveries instead of more. */
    async function createAll(name: string): Promise<void> {
      const [dead] = await emulator.admin.createTopic(`${name}-dead`);
      await dead.createSubscription(`${name}-dead`);
      const [topic] = await emulator.admin.createTopic(name);
      await topic.createSubscription(name, {
        retryPolicy: { minimumBackoff: { seconds: 2 }, maximumBackoff: { seconds: 2 } },
        deadLetterPolicy: { deadLetterTopic: dead.name, maxDeliveryAttempts: 5 },
      });
      const [later] = await emulator.admin.createTopic(`${name}-later`);
      await later.createSubscription(`${name}-later`, { retryPolicy: { minimumBackoff: { seconds: 1 } } });
    }

    interface Passed {
      readonly id: string;
      readonly topic: string;
      readonly attributes: Readonly<Record<string, string>>;
    }

    /** Everything that is published on these topics from now on. */
    async function spyOn(names: readonly string[], t: TestContext): Promise<readonly Passed[]> {
      const passed: Passed[] = [];
      for (const topic of names) {
        const [spy] = await emulator.admin.topic(topic).createSubscription(`${topic}-spy`);
        t.after(() => spy.close());
        spy.on('message', (message) => {
          message.ack();
          passed.push({ id: message.id, topic, attributes: message.attributes });
        });
      }
      return passed;
    }

    suite('each on a topic of its own', { concurrency: 12 }, () => {
      queueSuite('Pub/Sub', () => open(), { collapses: false, measuresDepth: false, revives: true });

      test('events that name one recording while it is worked on are one piece of work (QU-01)', async (t) => {
        const { queue, close } = await open();
        t.after(close);
        await queue.publish([recordingMessage('r-1'), recordingMessage('r-1'), recordingMessage('r-1')], NEVER);
        const released = gate();
        const consumer = consuming(
          queue,
          async (one) => {
            if (one.name === 'r-1') await released.opened;
            return DONE;
          },
          4,
        );
        await consumer.first(1);
        await queue.publish([recordingMessage('r-2')], NEVER);
        await consumer.first(2);
        released.open();
        await consumer.stop();
        const later = consuming(queue, () => DONE);
        await queue.publish([recordingMessage('r-3')], NEVER);
        await later.first(1);
        await later.stop();
        assert.deepEqual(
          [...consumer.seen, ...later.seen].map((one) => one.name),
          ['r-1', 'r-2', 'r-3'],
        );
      });

      test('five events of a conversation are one look, and one more by the newest, pulled or pushed (C1)', async (t) => {
        const { queue, name, troubles, close } = await open();
        t.after(close);
        const passed = await spyOn([`${name}-later`], t);
        const accepted = Array.from({ length: 5 }, (_, index) => new Date(Date.now() - 5_000 + index));
        const envelopes = accepted.map((at) => encodeEvent(conversationMessage('c-1'), at));
        const topic = emulator.admin.topic(name);
        for (const { data, attributes } of envelopes)
          await topic.publishMessage({ data: Buffer.from(data), attributes: { ...attributes } });
        const newest = accepted.at(-1)?.toISOString();
        const answers: Settlement[] = [{ outcome: 'wait', afterMs: 9_000, soonestMs: 8_000 }];
        const consumer = consuming(queue, (one) => (one.name === 'c-1' ? (answers.shift() ?? DONE) : DONE), 10);
        while ((await consumer.first(consumer.seen.length + 1)).at(-1)?.acceptedAt.toISOString() !== newest);
        assert.ok(consumer.seen.length <= 2, 'the older ones were one look');
        // What is released behind it comes behind it: whatever waited of the older ones would have come by then.
        while (passed.length < consumer.seen.length) await delay(20);
        await consumer.stop();
        assert.deepEqual(troubles, []);
        const pushed = openPubsubQueue({ project: PROJECT, topic: name }, { pushed: true });
        t.after(() => pushed.close());
        let looks = 0;
        const look = async (): Promise<Settlement> => {
          looks += 1;
          return { outcome: 'wait', afterMs: 600_000, soonestMs: 600_000 };
        };
        const about = { id: '1', publishedAt: new Date(), deliveryAttempt: 1 };
        for (const outgoing of envelopes) await pushed.take({ ...outgoing, ...about }, look, NEVER);
        assert.equal(looks, 1, 'the others wait for one look together');
        const waiting = envelopes.map(({ data, attributes }) => ({
          data,
          attributes: { ...attributes, 'not-before': new Date(Date.now() + 60_000).toISOString() },
          ...about,
        }));
        for (const older of waiting.slice(0, -1)) await pushed.take(older, look, NEVER);
        const [last] = waiting.slice(-1);
        assert.ok(last !== undefined);
        await assert.rejects(pushed.take(last, look, NEVER), { code: 'busy' }, 'the newest goes on waiting for all');
        assert.equal(looks, 1);
      });

      test('a message that is delivered again while it is worked on is not worked on twice (QU-02)', async (t) => {
        const { queue, name, close } = await open();
        t.after(close);
        const startedAt = new Date();
        await queue.publish([conversationMessage('c-1')], NEVER);
        const released = gate();
        const consumer = consuming(
          queue,
          async (one) => {
            if (one.name === 'c-1') await released.opened;
            return DONE;
          },
          3,
        );
        await consumer.first(1);
        await emulator.admin.subscription(name).seek(startedAt);
        await queue.publish([conversationMessage('c-2')], NEVER);
        await consumer.first(2);
        released.open();
        await consumer.stop();
        assert.deepEqual(
          consumer.seen.map((one) => one.name),
          ['c-1', 'c-2'],
        );
      });

      test(
        'what a killed worker held is delivered again, and counted as lost (QU-09)',
        { timeout: 540_000 },
        async (t) => {
          const { queue, name, close } = await open();
          t.after(close);
          // With a retry policy too, the emulator waits for up to a minute.
          await emulator.admin.subscription(name).delete();
          await emulator.admin.topic(name).createSubscription(name, {
            deadLetterPolicy: { deadLetterTopic: emulator.admin.topic(`${name}-dead`).name, maxDeliveryAttempts: 5 },
          });
          await queue.publish([recordingMessage('r-1')], NEVER);
          const worker = spawn(process.execPath, [HANGING_WORKER, PROJECT, name], {
            stdio: ['ignore', 'pipe', 'inherit'],
          });
          await once(worker.stdout, 'data');
          worker.kill('SIGKILL');
          await once(worker, 'exit');
          const consumer = consuming(queue, () => DONE);
          const [again] = await consumer.first(1);
          await consumer.stop();
          // Once or twice: the emulator may deliver to the dead stream again before it notices.
          assert.ok(again !== undefined && again.lost >= 1);
          assert.deepEqual([again.name, again.attempt], ['r-1', again.lost + 1]);
        },
      );

      test(
        'a message that nobody can read is moved to the dead letters; the others keep flowing (QU-04)',
        { timeout: 540_000 },
        async (t) => {
          const { queue, name, troubles, close } = await open();
          t.after(close);
          const buried = Promise.withResolvers<Buried>();
          const dead = emulator.admin.subscription(`${name}-dead`);
          dead.on('error', (error) => buried.reject(error));
          dead.on('message', (message) => {
            message.ack();
            buried.resolve({ data: message.data.toString(), attributes: message.attributes });
          });
          t.after(() => dead.close());
          const consumer = consuming(queue, () => DONE);
          await emulator.admin.topic(name).publishMessage({ data: Buffer.from('{"v":0}') });
          const names = Array.from({ length: 20 }, (_, index) => `r-${String(index)}`);
          await queue.publish(
            names.map((id) => recordingMessage(id)),
            NEVER,
          );
          const seen = await consumer.first(20);
          const { data, attributes } = await buried.promise;
          await consumer.stop();
          assert.deepEqual(seen.map((one) => one.name).toSorted(), names.toSorted());
          assert.equal(data, '{"v":0}');
          assert.equal(attributes['CloudPubSubDeadLetterSourceSubscription'], name);
          assert.equal(consumer.seen.length, 20);
          assert.equal(troubles.length, 5);
          assert.match(troubles[0]?.message ?? '', /could not be read/);
        },
      );

      test('what a newer revision wrote waits for one, pulled or pushed, and comes to no dead letters', async (t) => {
        const { queue, name, troubles, close } = await open();
        t.after(close);
        const passed = await spyOn([`${name}-later`, `${name}-dead`], t);
        const pushed = openPubsubQueue({ project: PROJECT, topic: name }, { pushed: true });
        t.after(() => pushed.close());
        const [data, odd] = ['{"v":9}', '{"v":1,"kind":"other"}'];
        const startedAtMs = Date.now();
        const attributes = { 'accepted-at': new Date().toISOString(), attempt: '2', kind: 'other' };
        const envelope = { data: odd, attributes, id: '1', publishedAt: new Date(), deliveryAttempt: 1 };
        await pushed.take(envelope, () => assert.fail('it was worked on'), NEVER);
        const consumer = consuming(queue, () => DONE);
        await emulator.admin.topic(name).publishMessage({ data: Buffer.from(data) });
        await queue.publish([recordingMessage('r-1')], NEVER);
        await consumer.first(1);
        while (passed.length < 2) await delay(20);
        await consumer.stop();
        assert.deepEqual(
          consumer.seen.map((one) => one.name),
          ['r-1'],
        );
        assert.deepEqual(new Set(passed.map(({ topic }) => topic)), new Set([`${name}-later`]));
        for (const one of passed)
          assert.ok(Date.parse(one.attributes['not-before'] ?? '') >= startedAtMs + 60_000, 'it comes back at once');
        assert.deepEqual(new Set(passed.map((one) => one.attributes['attempt'])), new Set(['1', '2']));
        assert.deepEqual(troubles, []);
      });

      test('invariant 7: a wait outlives the worker that ordered it', async (t) => {
        const { queue, close } = await open();
        t.after(close);
        await queue.publish([recordingMessage('r-1')], NEVER);
        let settledAtMs = 0;
        const ordering = consuming(queue, () => {
          settledAtMs = Date.now();
          return { outcome: 'wait', afterMs: 4_000 };
        });
        await ordering.first(1);
        await ordering.stop();
        const keeping = consuming(queue, () => DONE);
        await delay(500);
        await keeping.stop();
        const ending = consuming(queue, () => DONE);
        const [last] = await ending.first(1);
        await ending.stop();
        assert.equal(keeping.seen.length, 0);
        assert.ok(last !== undefined && last.atMs >= settledAtMs + 4_000, 'came too early');
        assert.equal(countedIn(last), 1);
      });

      test('a hundred may wait while one slot works, each but once', { timeout: 300_000 }, async (t) => {
        const { queue, name, close } = await open();
        t.after(close);
        const passed = await spyOn([`${name}-later`], t);
        const names = Array.from({ length: 100 }, (_, index) => `r-${String(index)}`);
        await queue.publish(
          names.map((id) => recordingMessage(id)),
          NEVER,
        );
        const waited = new Set<string>();
        const consumer = consuming(queue, (one) => {
          if (waited.has(one.name)) return DONE;
          waited.add(one.name);
          return { outcome: 'wait', afterMs: 100 };
        });
        const seen = await consumer.first(200);
        await consumer.stop();
        assert.ok(seen.every((one) => one.attempt === 1));
        assert.deepEqual([...waited].toSorted(), names.toSorted());
        const kept = (): number => new Set(passed.map(({ id }) => id)).size;
        while (kept() < 100) await delay(20);
        assert.equal(kept(), 100);
      });

      test(
        'a wait that cannot be published keeps its message until it can, uncounted',
        { timeout: 300_000 },
        async (t) => {
          const { queue, name, troubles, close } = await open();
          t.after(close);
          await emulator.admin.topic(`${name}-later`).delete();
          await emulator.admin.subscription(`${name}-later`).delete();
          await queue.publish([recordingMessage('r-1')], NEVER);
          const consumer = consuming(queue, (one) =>
            one.atMs > 0 && consumer.seen.length > 1 ? DONE : { outcome: 'wait', afterMs: 100 },
          );
          await consumer.first(1);
          await assert.rejects(queue.check(NEVER), /"jobs-\d+-later" does not exist/);
          while (!troubles.some(({ message }) => message.includes('topic'))) await delay(50);
          const [later] = await emulator.admin.createTopic(`${name}-later`);
          await later.createSubscription(`${name}-later`);
          const [, second] = await consumer.first(2);
          await consumer.stop();
          assert.deepEqual([second?.name, second?.attempt, second?.lost], ['r-1', 1, 0]);
          assert.ok(troubles.every(({ code }) => code === 'misconfigured'));
        },
      );

      test('a worker that is pushed to is not ready without the topic for what takes too long', async (t) => {
        const name = `jobs-${String(++count)}`;
        await createAll(name);
        const queue = openPubsubQueue({ project: PROJECT, topic: name }, { pushed: true });
        t.after(() => queue.close());
        await assert.rejects(queue.check(NEVER), /topic "jobs-\d+-long" does not exist; create it \(terraform apply\)/);
        await createAll(`${name}-long`);
        await queue.check(NEVER);
      });

      test(
        'what takes too long for a push is pulled from the long topic, waits there, and comes back there (QU-03)',
        { timeout: 300_000 },
        async (t) => {
          const name = `jobs-${String(++count)}`;
          await createAll(name);
          const { queue: puller, close } = await open({}, `${name}-long`);
          t.after(close);
          const passed = await spyOn([name, `${name}-later`, `${name}-long`, `${name}-long-later`], t);
          const pushed = openPubsubQueue({ project: PROJECT, topic: name }, { pushed: true });
          t.after(() => pushed.close());
          const eventAt = new Date('2026-11-22T10:00:00.123Z');
          const envelope = { ...encodeEvent(recordingMessage('r-1'), eventAt), id: '1', publishedAt: eventAt };
          await pushed.take({ ...envelope, deliveryAttempt: 3 }, () => Promise.resolve({ outcome: 'long' }), NEVER);

          let settledAtMs = 0;
          const consumer = consuming(puller, () => {
            if (settledAtMs > 0) return DONE;
            settledAtMs = Date.now();
            return { outcome: 'wait', afterMs: 1_500 };
          });
          const [first, second] = await consumer.first(2);
          await consumer.stop();
          await puller.check(NEVER);
          assert.deepEqual(
            consumer.seen.map((one) => one.name),
            ['r-1', 'r-1'],
          );
          assert.ok(
            first !== undefined && second !== undefined && second.atMs >= settledAtMs + 1_500,
            'came too early',
          );
          // Two pushes that never came back count; the way through the long topic does not.
          assert.deepEqual([first.attempt, second.attempt], [3, 3]);
          for (const { acceptedAt } of [first, second]) assert.deepEqual(acceptedAt, eventAt);
          while (passed.length < 3) await delay(20);
          assert.deepEqual(new Set(passed.map(({ topic }) => topic)), new Set([`${name}-long`, `${name}-long-later`]));
          for (const one of passed) {
            const due = one.attributes['not-before'];
            if (one.topic.endsWith('-later')) assert.ok(Date.parse(due ?? '') >= settledAtMs + 1_500);
            else assert.equal(due, undefined);
          }
        },
      );

      test(
        'a worker that started before its subscription existed works once it does',
        { timeout: 300_000 },
        async (t) => {
          const { queue, name, troubles, close } = await open();
          t.after(close);
          await emulator.admin.subscription(name).delete();
          await assert.rejects(queue.check(NEVER), /subscription "jobs-\d+" does not exist; create it/);
          const consumer = consuming(queue, () => DONE);
          while (troubles.length === 0) await delay(50);
          await emulator.admin.topic(name).createSubscription(name);
          await queue.publish([recordingMessage('r-1')], NEVER);
          const [one] = await consumer.first(1);
          await consumer.stop();
          assert.equal(one?.name, 'r-1');
          assert.equal(troubles[0]?.code, 'misconfigured');
        },
      );

      test('invariant 10: a handler that does not stop keeps nobody: within 8 s its message is given back, uncounted', async (t) => {
        const { queue, close } = await open();
        t.after(close);
        await queue.publish([recordingMessage('r-1')], NEVER);
        const deaf = gate();
        const consumer = consuming(queue, async () => {
          await deaf.opened;
          return { outcome: 'again', afterMs: 0 };
        });
        await consumer.first(1);
        const stoppedAt = performance.now();
        await consumer.stop();
        assert.ok(performance.now() - stoppedAt < 8_000);
        deaf.open();
        const next = consuming(queue, () => DONE);
        const [again] = await next.first(1);
        await next.stop();
        assert.deepEqual([again?.name, countedIn(again)], ['r-1', 1]);
        assert.equal(next.seen.length, 1);
      });

      for (const [when, before] of [
        ['before it started', 30],
        ['while it was busy', 2],
      ] as const)
        test(
          `a worker fetches nothing beyond its slots: what came ${when} is delivered at once when it stops, uncounted (F7)`,
          { timeout: 120_000 },
          async (t) => {
            // What was held until its lease ends would come after this test has failed.
            const { queue, close, reopen } = await open({ leaseS: 600 });
            t.after(close);
            const names = Array.from({ length: 30 }, (_, index) => `r-${String(index)}`);
            const publish = (ids: readonly string[]): Promise<void> =>
              queue.publish(
                ids.map((id) => recordingMessage(id)),
                NEVER,
              );
            await publish(names.slice(0, before));
            const stopped = consuming(
              queue,
              async (_, signal) => {
                if (!signal.aborted) await once(signal, 'abort');
                return { outcome: 'back' };
              },
              2,
            );
            await stopped.first(2);
            await publish(names.slice(before));
            // Whatever is fetched ahead has been fetched by now.
            await delay(1_000);
            await stopped.stop();
            const next = consuming(await reopen(), () => DONE, 30);
            const seen = await next.first(30);
            await next.stop();
            assert.deepEqual([...new Set(seen.map((one) => one.name))].toSorted(), names.toSorted());
            assert.deepEqual(new Set(seen.map((one) => one.lost)), new Set([0]));
          },
        );

      test('a slot is filled while what was made in it is being stored, and each slot once', async (t) => {
        const { queue, close, reopen } = await open({ leaseS: 600 });
        t.after(close);
        const names = Array.from({ length: 8 }, (_, index) => `r-${String(index)}`);
        await queue.publish(
          names.map((id) => recordingMessage(id)),
          NEVER,
        );
        const stored = new Map(names.map((name) => [name, gate()]));
        const consumer = consuming(
          queue,
          async (one, signal) => {
            one.yieldSlot?.();
            await Promise.race([stored.get(one.name)?.opened, once(signal, 'abort')]);
            return signal.aborted ? { outcome: 'back' } : DONE;
          },
          2,
        );
        const [, , third] = await consumer.first(4);
        // Whatever is fetched beyond has been fetched by now.
        await delay(1_000);
        assert.equal(consumer.seen.length, 4);
        stored.get(third?.name ?? '')?.open();
        await consumer.first(5);
        await consumer.stop();
        const next = consuming(await reopen(), () => DONE, 7);
        const left = await next.first(7);
        await next.stop();
        assert.deepEqual(
          left.map(({ name }) => name).toSorted(),
          names.filter((name) => name !== third?.name),
        );
        assert.deepEqual(new Set(left.map(({ lost }) => lost)), new Set([0]));
      });

      test('a worker keeps what it works on for longer than its lease (QU-20)', { timeout: 120_000 }, async (t) => {
        const { queue, close } = await open({ leaseS: 10 });
        t.after(close);
        await queue.publish([recordingMessage('long')], NEVER);
        const ended = gate();
        const consumer = consuming(
          queue,
          async () => {
            // The emulator would deliver it again after its 10 s.
            await delay(25_000);
            ended.open();
            return DONE;
          },
          2,
        );
        await ended.opened;
        await queue.publish([recordingMessage('next')], NEVER);
        await consumer.first(2);
        await consumer.stop();
        assert.equal(consumer.seen.filter((one) => one.name === 'long').length, 1);
      });

      test('a subscription is read as Pub/Sub describes it', async () => {
        const [topic] = await emulator.admin.createTopic('inspected');
        const [dead] = await emulator.admin.createTopic('inspected-dead');
        await topic.createSubscription('inspected-worker', {
          ackDeadlineSeconds: 60,
          messageRetentionDuration: { seconds: 604_800 },
          expirationPolicy: {},
          deadLetterPolicy: { deadLetterTopic: dead.name, maxDeliveryAttempts: 20 },
        });
        assert.deepEqual(await inspectSubscription({ project: PROJECT, subscription: 'inspected-worker' }), {
          topic: 'inspected',
          ackDeadlineS: 60,
          retentionS: 604_800,
          expiresAfterS: undefined,
          hasDeadLetters: true,
        });
        await assert.rejects(
          inspectSubscription({ project: PROJECT, subscription: 'nobody' }),
          (thrown) => thrown instanceof Failure && thrown.code === 'misconfigured',
        );
      });
    });

    test(
      'invariant 1: a broker that hangs refuses events in time, and takes them again afterwards (QU-11)',
      { timeout: 300_000 },
      async (t) => {
        const { queue, close } = await open();
        t.after(close);
        const consumer = consuming(queue, () => DONE);
        await queue.publish([recordingMessage('before')], NEVER);
        await consumer.first(1);
        await emulator.freeze();
        t.after(() => emulator.thaw());
        const startedAt = performance.now();
        await assert.rejects(queue.publish([recordingMessage('lost')], NEVER), {
          code: 'queue-unavailable',
          status: 503,
        });
        assert.ok(performance.now() - startedAt < 5_000);
        emulator.thaw();
        await queue.publish([recordingMessage('after')], NEVER);
        while (!consumer.seen.some(({ name }) => name === 'after')) await consumer.first(consumer.seen.length + 1);
        await consumer.stop();
      },
    );

    // The last one: everything the emulator held is gone after it.
    test(
      'invariant 1: what is acknowledged while the broker is killed and started again is delivered (QU-11)',
      { timeout: 540_000 },
      async (t) => {
        const { queue, name, close } = await open();
        t.after(close);
        const consumer = consuming(queue, () => DONE, 4);
        const accepted: string[] = [];
        const refused: string[] = [];
        const sending = new AbortController();
        let begun = 0;
        const send = async (): Promise<void> => {
          while (!sending.signal.aborted) {
            const id = `r-${String(begun++)}`;
            await queue.publish([recordingMessage(id)], NEVER).then(
              () => accepted.push(id),
              (error: unknown) => {
                assert.ok(error instanceof Failure && error.status === 503);
                refused.push(id);
              },
            );
            await delay(20);
          }
        };
        const sent = send();
        await consumer.first(20);
        await emulator.kill();
        const [before, seenBefore] = [accepted.length, consumer.seen.length];
        while (refused.length === 0) await delay(50);
        assert.equal(accepted.length, before, 'accepted what nobody holds');
        await emulator.start();
        await createAll(name);
        // What was sent while there was a topic without a subscription is kept by nobody.
        const from = begun;
        const expected = (): readonly string[] => accepted.filter((id) => Number(id.slice(2)) >= from);
        while (expected().length < 20) await delay(50);
        sending.abort();
        await sent;
        const arrived = (): boolean => expected().every((id) => consumer.seen.some((one) => one.name === id));
        while (!arrived()) await consumer.first(consumer.seen.length + 1);
        await consumer.stop();
        // The emulator keeps nothing over its death: at most the very last before it are missing.
        assert.ok(seenBefore >= before - 8);
      },
    );
  };
}

/** GET /metrics of a worker, for what only the queue sees. Against a Pub/Sub broker, with the wiring every deployable has. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openTheQueue, serveRoutes } from '../../src/services/open.ts';
import { readConfig } from '../../src/config/config.ts';
import { takeDoor } from '../../src/http/door.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { Envelope } from '../../src/queue/envelope.ts';
import { startBroker } from '../support/pubsub/broker/start-broker.ts';
import { PROJECT } from '../support/pubsub/emulator.ts';

suite('GET /metrics', () => {
  test(
    'messages nobody can read are counted, pulled or pushed, and nothing else is (QU-04)',
    { timeout: 300_000 },
    async (t) => {
      const broker = await startBroker();
      t.after(() => broker.close());
      for (const name of ['jobs', 'jobs-later', 'jobs-long']) {
        const [topic] = await broker.admin.createTopic(name);
        await topic.createSubscription(name);
      }
      const stop = new AbortController();
      const opened = new AsyncDisposableStack();
      t.after(() => opened.disposeAsync());
      const log = createLog({ level: 'error', secrets: [], stream: new PassThrough() });
      const config = readConfig(
        {
          QUEUE_URL: `pubsub://${PROJECT}/jobs?subscription=jobs`,
          ARCHIVE_URL: 'gs://bucket',
          GENESYS_REGION: 'mypurecloud.de',
          GENESYS_CLIENT_ID: 'id',
          GENESYS_CLIENT_SECRET: 'secret',
          PORT: '0',
          API_AUTH: 'none',
        },
        'worker',
      );
      const door = await takeDoor(config);
      const metricsDoor = undefined;
      const context = {
        config,
        log,
        metrics: createMetrics(),
        version: '1.2.3',
        stopping: stop.signal,
        door,
        metricsDoor,
        opened,
      };
      const queue = await openTheQueue(context);
      const running = serveRoutes(context, { dependencies: [] });
      t.after(async () => {
        stop.abort();
        await running.done;
      });
      const unreadable = async (): Promise<number> => {
        const text = await (await fetch(`${door.url}/metrics`)).text();
        assert.match(text, /^# TYPE archiver_queue_troubles_total counter$/m);
        return Number(/^archiver_queue_troubles_total\{code="bad-request"\} (\d+)$/m.exec(text)?.[1] ?? 0);
      };

      const rest = new AbortController();
      const handled = Promise.withResolvers<void>();
      const consuming = queue.consume(
        async () => {
          handled.resolve();
          return { outcome: 'done' };
        },
        1,
        rest.signal,
      );
      await queue.publish([{ kind: 'recording', recordingId: 'r-1', conversationId: 'c-1' }], stop.signal);
      await handled.promise;
      assert.equal(await unreadable(), 0);
      await broker.admin.topic('jobs').publishMessage({ data: Buffer.from('{"v":0}') });
      while ((await unreadable()) === 0) await delay(20);
      rest.abort();
      await consuming;

      const before = await unreadable();
      const pushed: Envelope = {
        id: '1',
        data: '{"v":0}',
        attributes: {},
        publishedAt: new Date(),
        deliveryAttempt: 2,
      };
      const taken = queue.take?.(pushed, () => assert.fail('nobody can read it'), AbortSignal.timeout(300_000));
      await assert.rejects(taken ?? assert.fail('nothing can be pushed'), { code: 'bad-request' });
      assert.equal(await unreadable(), before + 1);
    },
  );
});

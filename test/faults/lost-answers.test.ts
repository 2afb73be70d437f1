/** What was done and could not be said any more: it is done again by those who were not told, and comes to the same. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { createDelivery } from '../../src/delivery.ts';
import { WaitingList } from '../../src/delivery/waiting-list.ts';
import { createGenesys } from '../../src/genesys/open-genesys.ts';
import { createVerifyPush } from '../../src/http/push-token.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { checkFfmpeg } from '../../src/media/encoder/check.ts';
import { Slots } from '../../src/media/encoder/slots.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { Pipeline } from '../../src/pipeline.ts';
import { encodeMessage, parseMessage } from '../../src/queue/queue.ts';
import { dial, eventually, start } from '../http/far-ends.ts';
import { type FaultScene, openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { AUDIENCE, PUSHER, startOidcServer } from '../support/oidc-server.ts';
import { startService } from '../support/service/service.ts';
import { makingWith } from '../support/media/making.ts';

const HANG = { timeout: 400_000 };
const NEVER = new AbortController().signal;

/** Kills the process at a moment that nothing outside it can hit: before a 202 leaves it, or while it says what it has done. */
const TRAPS = {
  before202: `
    import { ServerResponse } from 'node:http';
    const { writeHead } = ServerResponse.prototype;
    ServerResponse.prototype.writeHead = function (status, ...rest) {
      if (status === 202) process.kill(process.pid, 'SIGKILL');
      return writeHead.call(this, status, ...rest);
    };`,
  onceArchived: `
    const { write } = process.stdout;
    process.stdout.write = function (text, ...rest) {
      if (String(text).includes('Recording was archived.')) process.kill(process.pid, 'SIGKILL');
      return write.call(this, text, ...rest);
    };`,
};

async function trapped(scene: FaultScene, trap: keyof typeof TRAPS): Promise<Readonly<Record<string, string>>> {
  const path = join(scene.folder, `${trap}.mjs`);
  await writeFile(path, TRAPS[trap]);
  return { ...scene.env, NODE_OPTIONS: `--import=${path}` };
}

test(
  'invariant 1: killed after the commit and before its 202, the event is recovered, and sent again it is one object (IN-23)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    const recording = scene.add(FIXTURES.opus);
    {
      await using receiver = await startService('receiver', await trapped(scene, 'before202'));
      await assert.rejects(scene.accept(receiver, recording), 'nobody was told');
    }
    await using service = await startService('serve', scene.env);
    const manifest = await scene.archived(service, recording);
    await scene.accept(service, recording);
    const sentinel = scene.add(FIXTURES.opus);
    await scene.accept(service, sentinel);
    await scene.archived(service, sentinel);
    assert.deepEqual(await scene.whole(recording), manifest);
    assert.equal(scene.downloads(recording), 1);
  },
);

test(
  'invariant 3: killed when it is archived and not yet off the queue, it is delivered again and recognised (QU-10)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    const recording = scene.add(FIXTURES.wav);
    {
      await using service = await startService('serve', await trapped(scene, 'onceArchived'));
      await scene.accept(service, recording);
      await assert.rejects(service.logged({ message: 'Recording was archived.' }, patience()), /The service ended/);
    }
    const manifest = await scene.whole(recording);
    const before = scene.genesys.requests().length;
    await using next = await startService('worker', scene.env);
    await next.logged({ message: 'Recording was archived already.', recordingId: recording.recordingId }, patience());
    assert.deepEqual(await scene.whole(recording), manifest);
    const asked = scene.genesys
      .requests()
      .slice(before)
      .filter(({ route }) => route !== 'token');
    assert.deepEqual(asked, [], 'Genesys was not asked once more');
  },
);

test('invariant 3: a push whose 204 is lost is pushed again and recognised (QU-10)', HANG, async (t) => {
  await using scene = await openFaultScene();
  const recording = scene.add(FIXTURES.opus);
  const deliver = await deliveryOf(scene, t);
  const oidc = await startOidcServer();
  t.after(() => oidc.close());
  const gate = Promise.withResolvers<void>();
  const settled: string[] = [];
  const verify = createVerifyPush({ audience: AUDIENCE, serviceAccount: PUSHER, certsUrl: oidc.certsUrl });
  await using app = await start({
    push: {
      verify,
      limit: 2,
      take: async ({ data }) => {
        const delivery = { message: parseMessage(data), attempt: 1, lost: 0, acceptedAt: new Date() };
        // Work that is done is done, whether or not the pusher still listens.
        settled.push((await deliver(delivery, NEVER)).outcome);
        if (settled.length === 1) await gate.promise;
      },
    },
  });
  const data = Buffer.from(encodeMessage({ kind: 'recording', ...recording })).toString('base64');
  const message = { data, attributes: {}, messageId: '7', publishTime: '2026-11-22T10:00:00Z' };
  const body = JSON.stringify({ message, subscription: 'projects/p/subscriptions/s' });
  const head = [
    'POST /pubsub/push HTTP/1.1',
    'Host: x',
    `Authorization: Bearer ${oidc.token()}`,
    'Content-Type: application/json',
    `Content-Length: ${String(body.length)}`,
  ].join('\r\n');
  const lost = await dial(app.port);
  lost.socket.write(`${head}\r\n\r\n${body}`);
  await eventually(() => settled.length === 1);
  const manifest = await scene.whole(recording);
  lost.socket.resetAndDestroy();
  await lost.ended();
  gate.resolve();

  const again = await dial(app.port);
  again.socket.write(`${head}\r\nConnection: close\r\n\r\n${body}`);
  assert.match(await again.ended(), /^HTTP\/1\.1 204 /);
  assert.deepEqual(settled, ['done', 'done']);
  assert.deepEqual(await scene.whole(recording), manifest);
  assert.equal(scene.downloads(recording), 1);
});

test(
  'a message holds ids only, and is archived by a URL of that moment, however long it has lain (QU-12)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    const recording = scene.add(FIXTURES.dual);
    {
      await using service = await startService('serve', scene.env);
      // Somebody asks early: media URLs are given out, and a worker has them in its hands.
      scene.genesys.fault(`media:${recording.recordingId}:0`, 'stall-after-1K');
      await scene.accept(service, recording);
      await scene.genesys.reached(`media:${recording.recordingId}:0`, 1, patience());
      await service.stop();
    }
    using database = new DatabaseSync(join(scene.folder, 'queue.db'), { readOnly: true });
    const stored = JSON.stringify(database.prepare('SELECT * FROM message').all());
    assert.ok(stored.includes(recording.recordingId));
    assert.doesNotMatch(stored, /http|X-Amz/i);
    scene.genesys.expireMediaUrls();
    const lookups = scene.genesys.requests(`recording:${recording.recordingId}`).length;
    await using service = await startService('worker', scene.env);
    const { attempt } = await scene.archived(service, recording);
    assert.equal(attempt, 1);
    assert.equal(scene.genesys.requests(`recording:${recording.recordingId}`).length, lookups + 1, 'looked up afresh');
  },
);

async function deliveryOf(scene: FaultScene, t: TestContext): Promise<ReturnType<typeof createDelivery>> {
  const { archive } = scene.embedded;
  const genesys = createGenesys(scene.genesys.config());
  t.after(() => genesys.close());
  const metrics = createMetrics();
  const tools = makingWith({
    ffmpeg: await checkFfmpeg(),
    slots: new Slots({ slots: 1, maxWaiting: 1, archives: true }),
  });
  const log = createLog({ level: 'error', secrets: [], stream: process.stderr });
  const pipeline = new Pipeline({ genesys, archive, tools, metrics, keepOriginal: false, version: '1.2.3' });
  const queue = { publish: () => assert.fail('nothing is published here') };
  return createDelivery({
    pipeline,
    genesys,
    archive,
    queue,
    metrics,
    log,
    waiting: new WaitingList(),
    version: '1.2.3',
  });
}

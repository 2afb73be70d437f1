/** Notices as a receiver sees them: a real one, that verifies, refuses, hangs and hears of everything at least once. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import type { Failure } from '../../src/failure.ts';
import { createVerify } from '../../src/http/signature.ts';
import type { Key } from '../../src/key.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { Notifier } from '../../src/delivery/notify.ts';
import type { Delivery, Message, Settlement } from '../../src/queue/queue.ts';

interface Heard {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Receiver {
  readonly url: URL;
  readonly heard: readonly Heard[];
  /** How requests are answered from now on; 204 by default. */
  answer: (response: ServerResponse) => void;
  /** Resolves once so many have been heard. */
  reached(times: number): Promise<void>;
}

async function startReceiver(t: TestContext): Promise<Receiver> {
  const heard: Heard[] = [];
  let told = Promise.withResolvers<void>();
  const receiver = {
    heard,
    answer: (response: ServerResponse): void => void response.writeHead(204).end(),
    async reached(times: number) {
      while (heard.length < times) await told.promise;
    },
  };
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      heard.push({ headers: request.headers, body });
      told.resolve();
      told = Promise.withResolvers();
      receiver.answer(response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return Object.assign(receiver, { url: new URL(`http://127.0.0.1:${String(address.port)}/hooks/`) });
}

const RAW: Key = { name: 'new', secret: 'canary-notify-secret-of-ours', lastDay: undefined };
const ENCODED: Key = {
  name: 'old',
  secret: `whsec_${Buffer.from('another-secret-of-32-characters!').toString('base64')}`,
  lastDay: undefined,
};

const ARCHIVED: Message = {
  kind: 'notice',
  event: 'recording.archived',
  conversationId: 'c',
  recordingId: 'r',
  at: '2026-03-01T10:00:00.000Z',
};

function deliveryOf(message: Message): Delivery {
  return { message, attempt: 1, lost: 0, acceptedAt: new Date() };
}

function open(t: TestContext, receiver: Receiver, keys: readonly Key[] = [RAW]) {
  const stream = new PassThrough().setEncoding('utf8');
  let lines = '';
  stream.on('data', (chunk: string) => (lines += chunk));
  const log = createLog({ level: 'debug', secrets: [], stream });
  const notifier = new Notifier({ url: receiver.url, keys: () => keys, proxies: undefined, version: '1.2.3', log });
  t.after(() => notifier.close());
  const work = (message: Message = ARCHIVED, signal = AbortSignal.timeout(200_000)): Promise<Settlement> =>
    notifier.work(deliveryOf(message), signal);
  return { work, logged: () => lines };
}

test('a notice is a Standard Webhook that any receiver can verify, by each of the keys, with ids and times alone', async (t) => {
  const receiver = await startReceiver(t);
  const { work } = open(t, receiver, [RAW, ENCODED]);
  assert.deepEqual(await work(), { outcome: 'done' });
  const [{ headers, body } = assert.fail()] = receiver.heard;
  for (const key of [RAW, ENCODED]) createVerify({ required: true, secrets: [key], tokens: [] })(headers, body);
  const other = { ...RAW, secret: 'a-secret-that-is-not-the-one' };
  assert.throws(() => createVerify({ required: true, secrets: [other], tokens: [] })(headers, body));
  // Said once more by the specification alone.
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body.toString()}`;
  const hmac = createHmac('sha256', RAW.secret).update(signed).digest('base64');
  assert.ok(String(headers['webhook-signature']).split(' ').includes(`v1,${hmac}`));
  assert.ok(Math.abs(Number(headers['webhook-timestamp']) * 1000 - Date.now()) < 60_000);
  assert.equal(headers['content-type'], 'application/json');
  assert.deepEqual(JSON.parse(body.toString()), {
    type: 'recording.archived',
    timestamp: '2026-03-01T10:00:00.000Z',
    data: { conversationId: 'c', recordingId: 'r' },
  });
});

test('a repetition has the same id, anything else another; none has a full stop, which parts what is signed', async (t) => {
  const receiver = await startReceiver(t);
  const { work } = open(t, receiver);
  const day = { kind: 'notice', event: 'day.incomplete', day: '2026-03-01', at: ARCHIVED.at } as const;
  const without = { conversationId: undefined, recordingId: undefined };
  const told: readonly Message[] = [
    ARCHIVED,
    ARCHIVED,
    { ...ARCHIVED, recordingId: 's' },
    { ...ARCHIVED, event: 'recording.failed', code: 'forbidden' },
    { ...ARCHIVED, event: 'recording.failed', recordingId: undefined },
    { ...day, ...without },
  ];
  for (const message of told) await work(message);
  const ids = receiver.heard.map(({ headers }) => String(headers['webhook-id']));
  assert.equal(ids[0], ids[1]);
  assert.equal(new Set(ids).size, told.length - 1);
  for (const id of ids) assert.doesNotMatch(id, /[.\s]/);
  const [, , , failed, , incomplete] = receiver.heard.map(({ body }) => JSON.parse(body.toString()) as object);
  assert.deepEqual(failed, {
    type: 'recording.failed',
    timestamp: ARCHIVED.at,
    data: { conversationId: 'c', recordingId: 'r', code: 'forbidden' },
  });
  assert.deepEqual(incomplete, { type: 'day.incomplete', timestamp: ARCHIVED.at, data: { day: '2026-03-01' } });
});

for (const [status, code, sort] of [
  [500, 'upstream-unavailable', 'surroundings'],
  [503, 'upstream-unavailable', 'surroundings'],
  [429, 'upstream-unavailable', 'surroundings'],
  [404, 'upstream-error', 'operator'],
  [401, 'upstream-error', 'operator'],
  [302, 'upstream-error', 'operator'],
] as const) {
  test(`a receiver that answers ${String(status)} is told again; meanwhile nobody waits for it, and no redirect is followed`, async (t) => {
    const receiver = await startReceiver(t);
    receiver.answer = (response) => response.writeHead(status, { location: '/elsewhere', 'retry-after': '3600' }).end();
    const { work } = open(t, receiver);
    await assert.rejects(work(), (failure: Failure) => {
      assert.deepEqual([failure.code, failure.sort, failure.retry], [code, sort, 'wait']);
      assert.equal(failure.afterMs, 3_600_000);
      assert.match(failure.message, /NOTIFY_URL/);
      return true;
    });
    const resting = await work();
    assert.equal(resting.outcome, 'wait');
    assert.equal(receiver.heard.length, 1);
  });
}

test('the longer a receiver fails the longer it rests, and from the beginning once it has answered well', async (t) => {
  let now = performance.now();
  t.mock.method(performance, 'now', () => now);
  const receiver = await startReceiver(t);
  const { work } = open(t, receiver);
  const restAfter = async (status: number): Promise<number> => {
    receiver.answer = (response) => response.writeHead(status).end();
    await work().catch(() => undefined);
    const resting = await work();
    const restMs = resting.outcome === 'wait' ? resting.afterMs : 0;
    now += restMs;
    return restMs;
  };
  const rests: number[] = [];
  for (const status of [500, 500, 200, 500]) rests.push(await restAfter(status));
  assert.ok(rests[0] !== undefined && rests[0] >= 15_000 && rests[0] < 16_000, String(rests));
  assert.ok(rests[1] !== undefined && rests[1] >= 30_000 && rests[1] < 31_000, String(rests));
  assert.deepEqual(rests[2], 0);
  assert.ok(rests[3] !== undefined && rests[3] >= 15_000 && rests[3] < 16_000, String(rests));
});

test('whoever answers 410 hears no more of it', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = (response) => response.writeHead(410).end();
  assert.deepEqual(await open(t, receiver).work(), { outcome: 'done' });
});

test('a receiver that hangs holds one slot: the others are told to come again, and a stop lets go', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = () => undefined;
  const { work } = open(t, receiver);
  const stop = new AbortController();
  const hanging = work(ARCHIVED, stop.signal);
  await receiver.reached(1);
  for (let n = 0; n < 5; n += 1)
    assert.equal((await work({ ...ARCHIVED, recordingId: `r${String(n)}` })).outcome, 'wait');
  assert.equal(receiver.heard.length, 1);
  stop.abort(new Error('stopped'));
  await assert.rejects(hanging, /stopped/);
  // A stop says nothing of the receiver.
  receiver.answer = (response) => response.writeHead(200).end('{}');
  assert.deepEqual(await work(), { outcome: 'done' });
});

test('a thousand that wait for their turn come again one after the other, not all at once', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = () => undefined;
  const { work } = open(t, receiver);
  const stop = new AbortController();
  const hanging = work(ARCHIVED, stop.signal);
  await receiver.reached(1);
  const waits: number[] = [];
  for (let n = 0; n < 1_000; n += 1) {
    const settlement = await work({ ...ARCHIVED, recordingId: `r${String(n)}` });
    waits.push(settlement.outcome === 'wait' ? settlement.afterMs : assert.fail());
  }
  // As long as this loop takes, turns come nearer: what is asked for is that they lie apart.
  const [first = 0, last = 0] = [waits.at(0), waits.at(-1)];
  assert.ok(first > 0 && first < 1_000, String(first));
  assert.ok(last > 60_000, `the last of a thousand comes after ${String(last)} ms`);
  stop.abort(new Error('stopped'));
  await assert.rejects(hanging, /stopped/);
});

test('a receiver that is not there is the surroundings’ business', async (t) => {
  const receiver = await startReceiver(t);
  const { work } = open(t, { ...receiver, url: new URL('http://127.0.0.1:9/hooks') });
  await assert.rejects(work(), { code: 'upstream-unavailable' });
});

test('neither secret nor path of the receiver is in the log', async (t) => {
  const receiver = await startReceiver(t);
  const { work, logged } = open(t, receiver);
  await work();
  assert.match(logged(), /Somebody was told/);
  assert.doesNotMatch(logged(), /canary-notify|hooks/);
});

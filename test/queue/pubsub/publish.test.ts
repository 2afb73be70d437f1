/** What is said to Pub/Sub on the wire, and what becomes of it when it refuses, hangs or is not there. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../../../src/failure.ts';
import type { Envelope } from '../../../src/queue/envelope.ts';
import { copyOf, encodeEvent, parseEnvelope } from '../../../src/queue/pubsub/envelope.ts';
import { openPubsubQueue, type PubsubOptions, type PubsubQueue } from '../../../src/queue/pubsub/pubsub.ts';
import {
  decodeNumbers,
  encodeStrings,
  startGrpcServer,
  type GrpcAnswer,
  type GrpcServer,
} from '../../support/pubsub/grpc-server.ts';
import { conversationMessage, recordingMessage } from '../suite.ts';

const NEVER = new AbortController().signal;
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const PUBLISH = 'google.pubsub.v1.Publisher/Publish';
const PULL = 'google.pubsub.v1.Subscriber/Pull';
const STREAM = 'google.pubsub.v1.Subscriber/StreamingPull';
const RIGHTS = 'google.iam.v1.IAMPolicy/TestIamPermissions';

/** The client would otherwise look for a cloud to run in. */
process.env['METADATA_SERVER_DETECTION'] = 'none';

function openAt(host: string, options: PubsubOptions & { readonly subscription?: string } = {}): PubsubQueue {
  process.env['PUBSUB_EMULATOR_HOST'] = host;
  return openPubsubQueue({ project: 'p-1', topic: 'jobs', subscription: options.subscription }, options);
}

async function open(
  t: TestContext,
  answer: (call: string) => GrpcAnswer | undefined,
  options: PubsubOptions & { readonly subscription?: string } = {},
): Promise<{ readonly queue: PubsubQueue; readonly server: GrpcServer }> {
  const server = await startGrpcServer(answer);
  const queue = openAt(server.host, options);
  t.after(async () => {
    await queue.close();
    await server.close();
  });
  return { queue, server };
}

function isFailure(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Failure);
    assert.deepEqual([error.code, error.status, error.retry], [code, 503, 'wait']);
    assert.match(error.message, text);
    return true;
  };
}

/** The 5 s of the contract; refusals come after 3.5 s to 4.5 s. */
async function refusedInTime(work: Promise<void>): Promise<void> {
  const started = performance.now();
  await assert.rejects(work, isFailure('queue-unavailable', /"jobs" did not answer in time/));
  const tookMs = Math.round(performance.now() - started);
  assert.ok(tookMs < 5_000, `took ${String(tookMs)} ms`);
}

test('events of one request are published in one call', async (t) => {
  const { queue, server } = await open(t, () => ({ status: 0, message: encodeStrings(['1', '2', '3']) }));
  const messages = ['r-1', 'r-2', 'r-3'].map((id) => recordingMessage(id));
  await queue.publish(messages, NEVER);
  assert.deepEqual(server.calls, [PUBLISH]);
});

test('an event that comes alone is kept for no other; those that come while it is under way share a call', async (t) => {
  const { queue, server } = await open(t, () => ({ status: 0, message: encodeStrings(['1', '2']) }));
  const publish = (id: string): Promise<void> => queue.publish([recordingMessage(id)], NEVER);
  await Promise.all(['r-1', 'r-2', 'r-3'].map(publish));
  assert.deepEqual(server.calls, [PUBLISH, PUBLISH]);
  await publish('r-4');
  await publish('r-5');
  assert.equal(server.calls.length, 4);
});

test('invariant 1: a publish that nobody answers is refused within 5 s (QU-11)', async (t) => {
  const { queue } = await open(t, () => undefined);
  await refusedInTime(queue.publish([recordingMessage('r-1')], NEVER));
});

test('invariant 1: a publish to a port that takes connections and says nothing is refused within 5 s', async (t) => {
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => sockets.add(socket.on('error', () => undefined))).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  assert.ok(address !== null && typeof address === 'object');
  const queue = openAt(`127.0.0.1:${String(address.port)}`);
  t.after(async () => {
    await queue.close();
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  await refusedInTime(queue.publish([recordingMessage('r-1')], NEVER));
});

test('invariant 1: a publish to a port where nobody listens is refused within 5 s', async (t) => {
  const server = await startGrpcServer(() => undefined);
  await server.close();
  const queue = openAt(server.host);
  t.after(() => queue.close());
  await refusedInTime(queue.publish([recordingMessage('r-1')], NEVER));
});

test('a call that fails once is made again: the event is accepted', async (t) => {
  let calls = 0;
  const { queue } = await open(t, () =>
    ++calls === 1 ? { status: 14 } : { status: 0, message: encodeStrings(['1']) },
  );
  await queue.publish([recordingMessage('r-1')], NEVER);
  assert.equal(calls, 2);
});

test('a sender that leaves is told so at once; close() still waits for what is being published, and takes nothing more', async (t) => {
  const { queue } = await open(t, () => undefined);
  const left = new AbortController();
  let refused = false;
  queue.publish([recordingMessage('r-1')], NEVER).catch(() => (refused = true));
  const leaves = queue.publish([recordingMessage('r-2')], left.signal);
  left.abort();
  await assert.rejects(leaves, isFailure('queue-unavailable', /did not answer/));
  const closing = queue.close();
  await assert.rejects(queue.publish([recordingMessage('r-3')], NEVER), isFailure('queue-unavailable', /closed/));
  assert.equal(refused, false);
  await closing;
  await setImmediate();
  assert.equal(refused, true);
});

test('what waits for the server is bounded: beyond it events are refused at once', async (t) => {
  const { queue } = await open(t, () => undefined);
  const many = Array.from({ length: 1_000 }, (_, index) => recordingMessage(`r-${String(index)}`));
  const waiting = Array.from({ length: 20 }, () => queue.publish(many, NEVER).catch(() => 'late'));
  await assert.rejects(queue.publish(many, NEVER), isFailure('queue-unavailable', /Too many messages/));
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(['late']));
});

test('a list longer than what may wait is published all the same, a thousand at a time (A11)', async (t) => {
  const ids = Array.from({ length: 1_000 }, (_, index) => String(index));
  const { queue, server } = await open(t, () => ({ status: 0, message: encodeStrings(ids) }));
  const many = Array.from({ length: 25_000 }, (_, index) => recordingMessage(`r-${String(index)}`));
  await queue.publish(many, NEVER);
  assert.equal(server.calls.length, 25);
});

const REFUSALS: readonly (readonly [status: number, text: RegExp])[] = [
  [5, /"jobs" does not exist; create it \(terraform apply\)/],
  [7, /grant it roles\/pubsub\.publisher on the topic/],
  [16, /without valid Google credentials/],
];
for (const [status, text] of REFUSALS) {
  test(`a publish refused with ${String(status)} says what to change, and loses no attempt`, async (t) => {
    const { queue, server } = await open(t, () => ({ status }));
    await assert.rejects(queue.publish([recordingMessage('r-1')], NEVER), isFailure('misconfigured', text));
    assert.deepEqual(server.calls, [PUBLISH]);
  });
}

test('check() of a receiver asks for nothing but the right to publish', async (t) => {
  const granted = encodeStrings(['pubsub.topics.publish']);
  const { queue, server } = await open(t, () => ({ status: 0, message: granted }));
  await queue.check(NEVER);
  assert.deepEqual(server.calls, [RIGHTS]);
});

test('check() names thing and role where a right is missing', async (t) => {
  const { queue } = await open(t, () => ({ status: 0, message: encodeStrings([]) }));
  const text = /topic "jobs" does not exist, or this service account lacks roles\/pubsub\.publisher/;
  await assert.rejects(queue.check(NEVER), isFailure('misconfigured', text));
});

test('check() of a worker asks for both topics and both subscriptions', async (t) => {
  const granted = encodeStrings(['pubsub.topics.publish']);
  const { queue, server } = await open(t, () => ({ status: 0, message: granted }), { subscription: 'worker' });
  const text = /subscription "worker(-later)?" does not exist, or this service account lacks roles\/pubsub\.subscriber/;
  await assert.rejects(queue.check(NEVER), isFailure('misconfigured', text));
  assert.equal(server.calls.filter((call) => call === RIGHTS).length, 4);
});

test('check() of a worker that is pushed to asks for the right to publish on each of its three topics', async (t) => {
  const granted = encodeStrings(['pubsub.topics.publish']);
  const { queue, server } = await open(t, () => ({ status: 0, message: granted }), { pushed: true });
  await queue.check(NEVER);
  const asked = (await server.requests(RIGHTS)).map((request) => /topics\/([\w-]+)/.exec(request.toString())?.[1]);
  assert.deepEqual(new Set(asked), new Set(['jobs', 'jobs-later', 'jobs-long']));
  assert.deepEqual(server.calls, [RIGHTS, RIGHTS, RIGHTS]);
});

test('what is too long for a push and may not be left to others says what to change, and is not acknowledged', async (t) => {
  const { queue } = await open(t, () => ({ status: 7 }), { pushed: true });
  const pushed = envelopeOf(encodeEvent(recordingMessage('r-1'), new Date()));
  const taken = queue.take(pushed, () => Promise.resolve({ outcome: 'long' }), NEVER);
  await assert.rejects(
    taken,
    isFailure('misconfigured', /"jobs-long" is not open .* grant it roles\/pubsub\.publisher/),
  );
});

test('check() of a server that hangs fails in time', async (t) => {
  const { queue } = await open(t, () => undefined);
  await assert.rejects(queue.check(NEVER), isFailure('queue-unavailable', /did not answer in time/));
});

/** https://github.com/googleapis/googleapis/blob/master/google/pubsub/v1/pubsub.proto: PullRequest, StreamingPullRequest */
const MAX_MESSAGES = 3;
const STREAM_ACK_DEADLINE_SECONDS = 5;
const MAX_OUTSTANDING_MESSAGES = 7;

test('a worker asks for as many messages as it has slots, and holds what waits under a lease that ends soon after it (QU-20)', async (t) => {
  const { queue, server } = await open(t, () => undefined, { subscription: 'worker' });
  const stop = new AbortController();
  const consuming = queue.consume(() => assert.fail('there is no message'), 3, stop.signal);
  while (!server.calls.includes(PULL) || !server.calls.includes(STREAM)) await delay(20);
  const [pulled] = (await server.requests(PULL)).map(decodeNumbers);
  const [stream] = (await server.requests(STREAM)).map(decodeNumbers);
  stop.abort();
  await consuming;
  assert.equal(pulled?.get(MAX_MESSAGES), 3);
  assert.deepEqual([stream?.get(MAX_OUTSTANDING_MESSAGES), stream?.get(STREAM_ACK_DEADLINE_SECONDS)], [10_000, 120]);
});

test('a worker that stops waits for the answer to its pull, and calls off one that does not come: none is held by nobody (F7)', async (t) => {
  const { queue, server } = await open(t, () => undefined, { subscription: 'worker' });
  const stop = new AbortController();
  const consuming = queue.consume(() => assert.fail('there is no message'), 3, stop.signal);
  while (!server.calls.includes(PULL)) await delay(20);
  stop.abort();
  await server.cancelled(PULL);
  await consuming;
  assert.equal(server.calls.filter((call) => call === PULL).length, 1);
});

function envelopeOf(outgoing: Pick<Envelope, 'data' | 'attributes'>, deliveryAttempt = 0): Envelope {
  return { ...outgoing, id: '1', publishedAt: new Date(5_000), deliveryAttempt };
}

test('a message holds ids only; its progress lies in attributes that survive as HTTP headers', () => {
  const acceptedAt = new Date('2026-11-22T10:00:00.123Z');
  const outgoing = encodeEvent(recordingMessage('r-1', TRACE), acceptedAt);
  assert.deepEqual(JSON.parse(outgoing.data), {
    v: 1,
    kind: 'recording',
    recordingId: 'r-1',
    conversationId: 'c-1',
  });
  assert.deepEqual(outgoing.attributes, {
    kind: 'recording',
    'conversation-id': 'c-1',
    'recording-id': 'r-1',
    traceparent: TRACE,
    'accepted-at': '2026-11-22T10:00:00.123Z',
    attempt: '1',
    original: 'yes',
  });
  for (const name of Object.keys(outgoing.attributes)) assert.equal(name, name.toLowerCase());
  const delivery = parseEnvelope({ ...envelopeOf(outgoing), publishedAt: acceptedAt });
  assert.deepEqual(delivery, { message: recordingMessage('r-1', TRACE), attempt: 1, lost: 0, acceptedAt });
});

test('a copy keeps the message, its time and its trace; it counts as it is told and leaves foreign attributes behind', () => {
  const outgoing = encodeEvent(conversationMessage('c-2'), new Date(1_000));
  const foreign = { ...outgoing.attributes, 'not-before': 'nonsense', CloudPubSubDeadLetterSourceSubscription: 's' };
  const { original: _, ...lasting } = outgoing.attributes;
  const copy = copyOf(envelopeOf({ data: outgoing.data, attributes: foreign }), {
    attempt: 3,
    waiting: { waitMs: 4_000, fromMs: 5_000 },
  });
  assert.equal(copy.data, outgoing.data);
  const { 'not-before': dueAt, 'wait-ms': waitMs, ...rest } = copy.attributes;
  assert.deepEqual([dueAt, waitMs], ['1970-01-01T00:00:09.000Z', '4000']);
  assert.deepEqual(rest, { ...lasting, attempt: '3' });
});

test('deliveries that never came back count as attempts, and alone as lost', () => {
  const outgoing = encodeEvent(recordingMessage('r-1'), new Date(1_000));
  const again = copyOf(envelopeOf(outgoing), { attempt: 2 });
  const { attempt, lost } = parseEnvelope(envelopeOf(again, 4));
  assert.deepEqual([attempt, lost], [5, 3]);
});

test('a message without our attributes is counted from its publication', () => {
  const { attempt, acceptedAt } = parseEnvelope(
    envelopeOf({ data: encodeEvent(recordingMessage('r'), new Date()).data, attributes: {} }),
  );
  assert.deepEqual([attempt, acceptedAt], [1, new Date(5_000)]);
});

/** POST /pubsub/push: who may push, what a push may look like, and what the answers make Pub/Sub do. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../../src/failure.ts';
import { Certificates, createVerifyPush } from '../../src/http/push-token.ts';
import type { PushNeeds } from '../../src/http/push.ts';
import type { Envelope } from '../../src/queue/envelope.ts';
import { openPubsubQueue } from '../../src/queue/pubsub/pubsub.ts';
import { encodeMessage, type Delivery, type Handle } from '../../src/queue/queue.ts';
import { AUDIENCE, forgedToken, PUSHER, startOidcServer, type OidcServer } from '../support/oidc-server.ts';
import { emulatorMissing, PROJECT, startEmulator, type Emulator } from '../support/pubsub/emulator.ts';
import { start, type Started } from './far-ends.ts';

const NEVER = new AbortController().signal;
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const DATA = encodeMessage({ kind: 'recording', recordingId: 'r-1', conversationId: 'c-1' });

let oidc: OidcServer;
before(async () => {
  oidc = await startOidcServer();
});
after(() => oidc.close());

function verifier(certsUrl = oidc.certsUrl): PushNeeds['verify'] {
  return createVerifyPush({ audience: AUDIENCE, serviceAccount: PUSHER, certsUrl });
}

interface Route extends Started {
  readonly taken: readonly Envelope[];
}

async function startRoute(parts: Partial<Omit<PushNeeds, 'bodies'>> = {}): Promise<Route> {
  const taken: Envelope[] = [];
  const take: PushNeeds['take'] = async (pushed, signal) => {
    taken.push(pushed);
    await parts.take?.(pushed, signal);
  };
  const started = await start({ push: { verify: verifier(), limit: 2, ...parts, take } });
  return Object.assign(started, { taken });
}

interface Sent {
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

function push(route: Started, sent: Sent = {}): Promise<Response> {
  return fetch(`${route.url}/pubsub/push`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${sent.token ?? oidc.token()}`,
      'content-type': 'application/json',
      ...sent.headers,
    },
    body: sent.body ?? wrap({}),
    signal: sent.signal ?? null,
  });
}

/** https://cloud.google.com/pubsub/docs/push#receive_push */
function wrap(fields: object, outer: object = {}): string {
  const message = {
    data: Buffer.from(DATA).toString('base64'),
    attributes: { kind: 'recording', attempt: '2', traceparent: TRACE },
    messageId: '77',
    message_id: '77',
    publishTime: '2026-11-22T10:00:00.5Z',
    ...fields,
  };
  return JSON.stringify({ message, subscription: 'projects/p/subscriptions/s', ...outer });
}

test('a push with a good token is taken and acknowledged with 204', async () => {
  await using route = await startRoute();
  const answer = await push(route, { body: wrap({}, { deliveryAttempt: 3 }) });
  assert.deepEqual([answer.status, await answer.text()], [204, '']);
  assert.deepEqual(route.taken, [
    {
      id: '77',
      data: DATA,
      attributes: { kind: 'recording', attempt: '2', traceparent: TRACE },
      publishedAt: new Date('2026-11-22T10:00:00.500Z'),
      deliveryAttempt: 3,
    },
  ]);
});

test('an unwrapped push is taken: its attributes and metadata are headers', async () => {
  await using route = await startRoute();
  const headers = {
    'x-goog-pubsub-message-id': '78',
    'x-goog-pubsub-publish-time': '2026-11-22T10:00:00Z',
    'Accepted-At': '2026-11-22T09:59:00.000Z',
    attempt: '4',
  };
  const answer = await push(route, { headers, body: DATA });
  assert.equal(answer.status, 204);
  const [pushed] = route.taken;
  assert.deepEqual([pushed?.id, pushed?.data, pushed?.deliveryAttempt], ['78', DATA, 0]);
  assert.deepEqual(pushed?.publishedAt, new Date('2026-11-22T10:00:00Z'));
  assert.deepEqual([pushed.attributes['accepted-at'], pushed.attributes['attempt']], ['2026-11-22T09:59:00.000Z', '4']);
});

const HOUR_AGO = Math.floor(Date.now() / 1000) - 7200;
const WRONG_TOKENS: Readonly<Record<string, () => string>> = {
  'of another audience': () => oidc.token({ aud: 'https://other.example' }),
  'without an audience': () => oidc.token({ aud: undefined }),
  'of another account': () => oidc.token({ email: 'somebody@project-test.iam.gserviceaccount.com' }),
  'of an account that only looks the same': () => oidc.token({ email: PUSHER.toUpperCase() }),
  'without an account': () => oidc.token({ email: undefined }),
  'whose email is not verified': () => oidc.token({ email_verified: false }),
  'that says nothing of its email': () => oidc.token({ email_verified: undefined }),
  'whose email is verified as text': () => oidc.token({ email_verified: 'true' }),
  'of another issuer': () => oidc.token({ iss: 'https://issuer.example' }),
  'that is over': () => oidc.token({ iat: HOUR_AGO - 3600, exp: HOUR_AGO }),
  'signed with a key that is not published': () => forgedToken(oidc),
  'that names a key nobody has': () => oidc.token({}, { kid: 'key-2' }),
  'that claims to need no signature': () => `${oidc.token({}, { alg: 'none' }).split('.').slice(0, 2).join('.')}.`,
  'that is no token': () => 'abc',
  'for several audiences': () => oidc.token({ aud: [AUDIENCE] }),
  'for an audience in another case': () => oidc.token({ aud: AUDIENCE.toUpperCase() }),
  'for an audience with more to it': () => oidc.token({ aud: `${AUDIENCE}/` }),
  'for no audience': () => oidc.token({ aud: '' }),
  'whose audience is an object': () => oidc.token({ aud: { 0: AUDIENCE } }),
  'whose audience is nothing': () => oidc.token({ aud: null }),
  'of an issuer without TLS': () => oidc.token({ iss: 'http://accounts.google.com' }),
  'of an issuer with more to it': () => oidc.token({ iss: 'https://accounts.google.com/' }),
  'of several issuers': () => oidc.token({ iss: ['https://accounts.google.com'] }),
  'of no issuer': () => oidc.token({ iss: undefined }),
  'of several accounts': () => oidc.token({ email: [PUSHER] }),
  'of an account with more to it': () => oidc.token({ email: `${PUSHER} ` }),
  'whose email is verified as a number': () => oidc.token({ email_verified: 1 }),
  'whose email is verified in a list': () => oidc.token({ email_verified: [true] }),
  'that is good for years': () => oidc.token({ exp: HOUR_AGO + 400 * 24 * 3600 }),
  'that never ends': () => oidc.token({ exp: undefined }),
  'that ends at no time': () => oidc.token({ exp: 'never' }),
  'made at no time': () => oidc.token({ iat: undefined }),
  'made tomorrow': () => oidc.token({ iat: HOUR_AGO + 26 * 3600, exp: HOUR_AGO + 27 * 3600 }),
  'signed by the public key as a secret': () => {
    const text = oidc.token({}, { alg: 'HS256' }).split('.').slice(0, 2).join('.');
    return `${text}.${createHmac('sha256', oidc.publicPem).update(text).digest('base64url')}`;
  },
  'whose signature is empty': () => `${oidc.token().split('.').slice(0, 2).join('.')}.`,
  'whose signature is missing': () => oidc.token().split('.').slice(0, 2).join('.'),
  'with a part too many': () => `${oidc.token()}.e30`,
  'whose claims were exchanged': () => {
    const [head = '', , signature = ''] = oidc.token({ email: 'a@b.example' }).split('.');
    return [head, oidc.token().split('.')[1], signature].join('.');
  },
  'whose claims are none': () => [oidc.token().split('.')[0], 'bnVsbA', oidc.token().split('.')[2]].join('.'),
  ...Object.fromEntries(
    ['../../key-1', '/etc/passwd', '__proto__', 'constructor', 'toString', '', 'key-1\0', 'KEY-1', null, 0].map(
      (kid) => [`that names the key ${JSON.stringify(kid)}`, () => oidc.token({}, { kid })],
    ),
  ),
  ...Object.fromEntries(
    (['jku', 'x5u'] as const).map((name) => [
      `that says by ${name} where its key lies`,
      () => oidc.token({}, { kid: 'mine', [name]: oidc.certsUrl }),
    ]),
  ),
};
for (const [what, token] of Object.entries(WRONG_TOKENS)) {
  test(`a token ${what} is refused with 401`, async () => {
    await using route = await startRoute();
    const answer = await push(route, { token: token() });
    assert.equal(answer.status, 401);
    assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
    assert.match(await answer.text(), /PUSH_SERVICE_ACCOUNT/);
    assert.deepEqual(route.taken, []);
  });
}

test('a push without a token is refused before its body is read', async () => {
  await using route = await startRoute();
  const answer = await push(route, { headers: { authorization: '' }, body: 'no JSON' });
  assert.equal(answer.status, 401);
});

test('invariant 8: no part of a refused token reaches log or answer, and the log says which check failed', async () => {
  await using route = await startRoute();
  const tokens = [
    oidc.token({ aud: 'https://other.example' }),
    oidc.token({ email: 'a@b.example' }),
    forgedToken(oidc),
  ];
  const answers = await Promise.all(tokens.map(async (token) => (await push(route, { token })).text()));
  const said = [...route.lines, ...answers].join('\n');
  for (const part of tokens.flatMap((token) => token.split('.'))) assert.ok(!said.includes(part.slice(0, 24)));
  assert.ok(!said.includes('a@b.example'));
  assert.match(said, /another account/);
  assert.match(said, /audience, issuer, time or signature/);
});

test('Google’s keys are fetched once and kept; without them a push is refused with 503, not 401', async (t) => {
  const own = await startOidcServer();
  t.after(() => own.close());
  await using route = await startRoute({ verify: verifier(own.certsUrl) });
  assert.equal((await push(route, { token: own.token() })).status, 204);
  own.breakDown();
  assert.equal((await push(route, { token: own.token() })).status, 204);
  assert.equal(own.fetches(), 1);
  await using fresh = await startRoute({ verify: verifier(own.certsUrl) });
  assert.equal((await push(fresh, { token: own.token() })).status, 503);
});

test('a clock that was days ahead when Google’s keys were fetched, and is set right, keeps no key for days', async (t) => {
  const own = await startOidcServer();
  t.after(() => own.close());
  const verify = verifier(own.certsUrl);
  const pushed = (): Promise<void> => verify({ authorization: `Bearer ${own.token()}` });
  const nowMs = Date.now();
  t.mock.timers.enable({ apis: ['Date'], now: nowMs + 3 * 86_400_000 });
  await pushed();
  await pushed();
  assert.equal(own.fetches(), 1);
  t.mock.timers.setTime(nowMs);
  await pushed();
  await pushed();
  assert.equal(own.fetches(), 2);
  t.mock.timers.setTime(nowMs - 1_000);
  await pushed();
  assert.equal(own.fetches(), 2, 'a second back is nothing');
});

test('while Google’s keys cannot be had they are asked for every 10 s at most, however many push (B11)', async () => {
  let [now, asked, broken] = [0, 0, true];
  const certificates = new Certificates(
    async () => {
      asked += 1;
      await delay(5);
      if (broken) throw new Error('no answer');
    },
    () => now,
  );
  const failed = { code: 'upstream-unavailable' };
  await Promise.all(Array.from({ length: 100 }, () => assert.rejects(certificates.fetched(), failed)));
  assert.equal(asked, 1, 'at once');
  for (now = 1; now < 10_000; now += 1_000) await assert.rejects(certificates.fetched(), failed);
  assert.equal(asked, 1, 'within 10 s');
  broken = false;
  now = 10_100;
  await certificates.fetched();
  assert.equal(asked, 2, 'after 10 s');
});

test('refused pushes are logged once a minute and reason (B11)', async () => {
  await using route = await startRoute();
  for (let i = 0; i < 30; i += 1) assert.equal((await push(route, { token: forgedToken(oidc) })).status, 401);
  assert.equal(route.lines.filter((line) => line.includes('A push was refused.')).length, 1);
});

test('an empty audience or account stops the service before it starts: any Google token would pass', () => {
  assert.throws(() => createVerifyPush({ audience: ' ', serviceAccount: PUSHER }), /PUSH_AUDIENCE/);
  assert.throws(() => createVerifyPush({ audience: AUDIENCE, serviceAccount: '' }), /PUSH_SERVICE_ACCOUNT/);
});

const BAD_BODIES: readonly (readonly [what: string, body: string, status: number])[] = [
  ['that is no JSON', 'hello', 400],
  ['that holds no message', '{"subscription":"s"}', 400],
  ['whose message is a list', '{"message":[]}', 400],
  ['whose data is no text', '{"message":{"data":7}}', 400],
  ['that is larger than 256 KiB', wrap({ data: 'A'.repeat(300_000) }), 413],
  ['that is a message without attributes: the subscription sends no metadata', DATA, 503],
];
for (const [what, body, status] of BAD_BODIES) {
  test(`a body ${what} is refused with ${String(status)}`, async () => {
    await using route = await startRoute();
    assert.equal((await push(route, { body })).status, status);
    assert.deepEqual(route.taken, []);
  });
}

test('what has to be delivered again is no 2xx: 503 and 429, with Retry-After', async () => {
  const failures = [
    new Failure('queue-unavailable', 'The copy could not be published.'),
    new Failure('busy', 'The message is pushed before its time.', { afterMs: 90_000 }),
  ];
  await using route = await startRoute({
    take: () => {
      throw failures.shift() ?? new Error('asked too often');
    },
  });
  const [first, second] = [await push(route), await push(route)];
  assert.deepEqual([first.status, first.headers.get('retry-after')], [503, '5']);
  assert.deepEqual([second.status, second.headers.get('retry-after')], [429, '90']);
});

test('more pushes than the limit are sent back with 429; the others go on', async () => {
  const released = Promise.withResolvers<void>();
  await using route = await startRoute({ take: () => released.promise });
  const running = [push(route), push(route)];
  while (route.taken.length < 2) await delay(5);
  assert.equal((await push(route)).status, 429);
  released.resolve();
  assert.deepEqual(
    (await Promise.all(running)).map(({ status }) => status),
    [204, 204],
  );
  assert.equal((await push(route)).status, 204);
});

test('work stops when Pub/Sub gives its request up, and its slot is free again', async () => {
  const stopped = Promise.withResolvers<unknown>();
  await using route = await startRoute({
    limit: 1,
    take: async (_, signal) => {
      if (route.taken.length > 1) return;
      await once(signal, 'abort');
      stopped.resolve(signal.reason);
      throw signal.reason;
    },
  });
  const leaving = new AbortController();
  const left = push(route, { signal: leaving.signal }).catch(() => 'left');
  while (route.taken.length < 1) await delay(5);
  leaving.abort();
  assert.equal(await left, 'left');
  const reason = await stopped.promise;
  assert.ok(reason instanceof Failure && reason.code === 'stopped');
  assert.equal((await push(route)).status, 204);
});

test('another method is refused with 405', async () => {
  await using route = await startRoute();
  const answer = await fetch(`${route.url}/pubsub/push`);
  assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'POST']);
});

suite('pushed by the emulator', { skip: emulatorMissing() }, () => {
  let emulator: Emulator;
  before(async () => {
    emulator = await startEmulator();
  });
  after(() => emulator.close());

  interface Rig {
    readonly publish: (recordingId: string) => Promise<void>;
    readonly seen: readonly Delivery[];
    /** Statuses of our answers, in order. */
    readonly answers: readonly number[];
    readonly close: () => Promise<void>;
  }

  /** The emulator sends no token: a relay puts one on, as Google does, and passes everything else on as it is. */
  async function rig(name: string, noWrapper: boolean, handle: Handle): Promise<Rig> {
    const queue = openPubsubQueue({ project: PROJECT, topic: name }, { pushed: true });
    const seen: Delivery[] = [];
    const answers: number[] = [];
    const counted: Handle = (delivery, signal) => {
      seen.push(delivery);
      return handle(delivery, signal);
    };
    const route = await startRoute({ take: (pushed, signal) => queue.take(pushed, counted, signal) });
    const relay = createServer((request, response) => {
      void forward(request, route).then((status) => {
        answers.push(status);
        response.writeHead(status).end();
      });
    }).listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const address = relay.address();
    assert.ok(address !== null && typeof address === 'object');
    const pushEndpoint = `http://127.0.0.1:${String(address.port)}/pubsub/push`;
    const pushConfig = { pushEndpoint, ...(noWrapper ? { noWrapper: { writeMetadata: true } } : {}) };
    const [dead] = await emulator.admin.createTopic(`${name}-dead`);
    const deadLetterPolicy = { deadLetterTopic: dead.name, maxDeliveryAttempts: 100 };
    for (const topicName of [name, `${name}-later`, `${name}-long`]) {
      const [topic] = await emulator.admin.createTopic(topicName);
      if (topicName.endsWith('-long')) await topic.createSubscription(topicName);
      else
        await topic.createSubscription(topicName, {
          pushConfig,
          retryPolicy: { minimumBackoff: { seconds: 1 }, maximumBackoff: { seconds: 2 } },
          ...(topicName === name ? { deadLetterPolicy } : {}),
        });
    }
    return {
      publish: (recordingId) =>
        queue.publish([{ kind: 'recording', recordingId, conversationId: 'c-1', traceparent: TRACE }], NEVER),
      seen,
      answers,
      async close() {
        for (const topicName of [name, `${name}-later`]) await emulator.admin.subscription(topicName).delete();
        relay.closeAllConnections();
        relay.close();
        await queue.close();
        await route[Symbol.asyncDispose]();
      },
    };
  }

  async function forward(request: IncomingMessage, route: Started): Promise<number> {
    const kept = Object.entries(request.headers).filter(
      ([name]) => !/^(host|connection|content-length|transfer-encoding|expect)$/.test(name),
    );
    const headers = Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
    const answer = await push(route, { headers, body: (await buffer(request)).toString() });
    return answer.status;
  }

  for (const [how, noWrapper] of [
    ['wrapped', false],
    ['unwrapped', true],
  ] as const) {
    test(
      `an event that is pushed ${how} waits its time, uncounted, fails once, counted, and is done`,
      { timeout: 300_000 },
      async (t) => {
        let waitsUntilMs = 0;
        const pushed = await rig(`push-${how}`, noWrapper, async () => {
          if (pushed.seen.length === 1) {
            waitsUntilMs = Date.now() + 2_500;
            return { outcome: 'wait', afterMs: 2_500 };
          }
          return pushed.seen.length === 2 ? { outcome: 'again', afterMs: 100 } : { outcome: 'done' };
        });
        t.after(pushed.close);
        await pushed.publish('r-1');
        while (pushed.seen.length < 2) await delay(10);
        assert.ok(Date.now() >= waitsUntilMs, 'came too early');
        while (pushed.seen.length < 3) await delay(10);
        const [first, , last] = pushed.seen;
        assert.deepEqual(
          pushed.seen.map(({ attempt }) => attempt),
          [1, 1, 2],
        );
        assert.deepEqual(last?.message, {
          kind: 'recording',
          recordingId: 'r-1',
          conversationId: 'c-1',
          traceparent: TRACE,
        });
        assert.deepEqual(last.acceptedAt, first?.acceptedAt);
        assert.ok(pushed.answers.includes(429), 'was sent back before its time');
      },
    );
  }

  test('what takes longer than a push may is left to a worker that pulls', { timeout: 300_000 }, async (t) => {
    const pushed = await rig('push-heavy', false, async () => ({ outcome: 'long' }));
    t.after(pushed.close);
    await pushed.publish('r-9');
    const puller = openPubsubQueue({ project: PROJECT, topic: 'push-heavy-long', subscription: 'push-heavy-long' });
    t.after(() => puller.close());
    const got = Promise.withResolvers<Delivery>();
    const stop = new AbortController();
    const consuming = puller.consume(
      async (delivery) => {
        got.resolve(delivery);
        return { outcome: 'done' };
      },
      1,
      stop.signal,
    );
    const { message, attempt } = await got.promise;
    stop.abort();
    await consuming;
    assert.deepEqual([message.kind === 'recording' && message.recordingId, attempt], ['r-9', 1]);
    assert.deepEqual(pushed.answers, [204]);
  });
});

import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { BODIES } from '../../src/bounds.ts';
import { Failure } from '../../src/failure.ts';
import { openSqliteQueue } from '../../src/queue/sqlite/sqlite.ts';
import { dial, errorOf, eventually, exchange, ListQueue, start, type Started, type Wire } from './far-ends.ts';
import { keysOf } from '../support/keys.ts';

const SECRET = 'a webhook secret';
const TOKEN = 'a-webhook-token';
const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const EVENT = JSON.stringify({ recordingId: R, conversationId: C });
const PATH = '/webhooks/genesys';
const JSON_TYPE = { 'content-type': 'application/json' };
const WITH_TOKEN = { ...JSON_TYPE, 'x-webhook-token': TOKEN };

function receiver(queue: Pick<ListQueue, 'publish'>, options: { deadlineMs?: number } = {}): Promise<Started> {
  return start({
    webhook: { auth: { required: true, secrets: keysOf(SECRET), tokens: keysOf(TOKEN) }, queue, ...options },
  });
}

function signed(body: string): Record<string, string> {
  const [id, timestamp] = [`msg_${randomUUID()}`, String(Math.floor(Date.now() / 1000))];
  const hmac = createHmac('sha256', SECRET).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { ...JSON_TYPE, 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${hmac}` };
}

function post(
  started: Started,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = WITH_TOKEN,
): Promise<Response> {
  return fetch(started.url + PATH, { method: 'POST', headers, body });
}

const raw = (head: string, body = ''): string => `POST ${PATH} HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n${body}`;
const RAW_HEAD = `Content-Type: application/json\r\nX-Webhook-Token: ${TOKEN}\r\nConnection: close`;

test('a signed event becomes a message, and the answer says how many', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const body = JSON.stringify([JSON.parse(EVENT), { conversationId: C, mediaType: 'VOICE' }, { type: 'ping' }]);
  const response = await post(app, body, signed(body));
  assert.equal(response.status, 202);
  assert.deepEqual(await response.json(), { accepted: 2, ignored: 1 });
  assert.deepEqual(queue.ids, [
    { kind: 'recording', recordingId: R, conversationId: C, traceparent: undefined },
    { kind: 'conversation', conversationId: C, traceparent: undefined },
  ]);
  const metrics = await app.metrics.text();
  assert.match(metrics, /archiver_events_accepted_total\{kind="recording"\} 1/);
  assert.match(metrics, /archiver_events_accepted_total\{kind="conversation"\} 1/);
  assert.match(metrics, /archiver_events_ignored_total 1/);
});

test('invariant 1: a 2xx means another process finds the event in the file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'webhook-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'queue.db');
  const queue = openSqliteQueue({ path });
  t.after(() => queue.close());
  await using app = await receiver(queue);
  for (let accepted = 1; accepted <= 5; accepted += 1) {
    assert.equal((await post(app, JSON.stringify({ recordingId: `r-${String(accepted)}` }))).status, 202);
    const other = openSqliteQueue({ path });
    assert.equal((await other.depth())?.ready, accepted);
    await other.close();
  }
});

test('invariant 1: while the queue takes nothing there is no 2xx, but 503 and Retry-After (IN-21)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  queue.before = () => Promise.reject(new Failure('queue-unavailable', 'The disk is full.', { afterMs: 1001 }));
  const error = await errorOf(await post(app, EVENT));
  assert.deepEqual([error.status, error.code, error.message], [503, 'queue-unavailable', 'The disk is full.']);
  assert.equal(error.headers.get('retry-after'), '2', 'rounded up');
  queue.before = () => Promise.reject(new Error('a bug'));
  const unforeseen = await errorOf(await post(app, EVENT));
  assert.deepEqual([unforeseen.status, unforeseen.message.includes('bug')], [500, false]);
  queue.before = async () => undefined;
  assert.equal((await post(app, EVENT)).status, 202);
  assert.equal(queue.messages.length, 1);
});

test('invariant 1: the answer waits for the queue', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const taken = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  queue.before = () => {
    asked.resolve();
    return taken.promise;
  };
  let status: number | undefined;
  const answer = post(app, EVENT).then((response) => (status = response.status));
  await asked.promise;
  await fetch(`${app.url}/healthz`);
  assert.equal(status, undefined);
  taken.resolve();
  assert.equal(await answer, 202);
});

test('a queue that hangs is answered for in time, and its signal aborts (IN-22)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue, { deadlineMs: 50 });
  const aborted = Promise.withResolvers<void>();
  queue.before = (signal) => {
    signal.addEventListener('abort', () => aborted.resolve());
    return new Promise(() => undefined);
  };
  const error = await errorOf(await post(app, EVENT));
  assert.deepEqual([error.status, error.headers.get('retry-after')], [503, '5']);
  await aborted.promise;
});

test('a queue that fails after its time leaves no unhandled rejection (IN-22)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue, { deadlineMs: 20 });
  const late = Promise.withResolvers<void>();
  queue.before = () => late.promise;
  assert.equal((await post(app, EVENT)).status, 503);
  late.reject(new Error('much later'));
  queue.before = async () => undefined;
  assert.equal((await post(app, EVENT)).status, 202);
});

test('without signature or token it is 401, before the body is looked at (IN-01)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  for (const body of [EVENT, 'not json', '{"__proto__":1}', '']) {
    const error = await errorOf(await post(app, body, JSON_TYPE));
    assert.deepEqual(
      [error.status, error.code, error.headers.get('www-authenticate')],
      [401, 'unauthorized', 'Bearer'],
    );
  }
  assert.equal(queue.messages.length, 0);
  assert.match(await app.metrics.text(), /archiver_events_refused_total\{code="unauthorized"\} 4/);
});

test('the signature is over the bytes as sent: re-serialised JSON is refused (IN-03)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const body = `{ "recordingId": "${R}" }`;
  assert.equal((await post(app, JSON.stringify(JSON.parse(body)), signed(body))).status, 401);
  assert.equal((await post(app, body, signed(body))).status, 202);
});

test('the same request a hundred times at once is one piece of work (IN-05, IN-19)', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'webhook-'));
  t.after(() => rm(folder, { recursive: true }));
  const queue = openSqliteQueue({ path: join(folder, 'queue.db') });
  t.after(() => queue.close());
  await using app = await receiver(queue);
  const headers = signed(EVENT);
  const answers = await Promise.all(Array.from({ length: 100 }, () => post(app, EVENT, headers)));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([202]));
  assert.equal((await queue.depth())?.ready, 1);
});

const filled = (size: number): string => `{"recordingId":"${R}","x":"${'x'.repeat(size - 61)}"}`;

test('256 KiB pass, one byte more does not, declared or in chunks (IN-08)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  assert.equal(filled(1000).length, 1000);
  assert.equal((await post(app, filled(256 * 1024))).status, 202);
  const error = await errorOf(await post(app, filled(256 * 1024 + 1)));
  assert.deepEqual([error.status, error.code], [413, 'body-too-large']);
  const chunked = await exchange(
    app.port,
    raw(`${RAW_HEAD}\r\nTransfer-Encoding: chunked`),
    ...Array.from({ length: 5 }, () => `10000\r\n${'x'.repeat(65_536)}\r\n`),
  );
  assert.match(chunked, /^HTTP\/1\.1 413 .*\r\n/);
});

test('a body without end gets its 413 and the connection closes, whatever the sender does (IN-08)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const wire = await dial(app.port);
  wire.socket.write(raw(`Content-Type: application/json\r\nX-Webhook-Token: ${TOKEN}\r\nTransfer-Encoding: chunked`));
  let sent = 0;
  for (; wire.socket.writable; sent += 65_536) {
    const full = !wire.socket.write(`10000\r\n${'x'.repeat(65_536)}\r\n`);
    if (full) await Promise.race([once(wire.socket, 'drain'), once(wire.socket, 'close')]).catch(() => undefined);
  }
  assert.match(await wire.ended(), /^HTTP\/1\.1 413 [\s\S]*connection: close/i);
  assert.ok(sent < 64 * 1024 * 1024, 'it was not read on and on');
});

test('bodies that never end share what memory there is for them: small events pass meanwhile, and large ones afterwards (A3)', async () => {
  await using app = await receiver(new ListQueue());
  const begun = filled(256 * 1024).slice(0, 250 * 1024);
  const most = Math.floor(BODIES.allBytes / (begun.length - BODIES.smallBytes));
  const wires = await Promise.all(Array.from({ length: most + 20 }, () => dial(app.port)));
  for (const { socket } of wires) socket.write(raw(`Content-Type: application/json\r\nContent-Length: 262144`, begun));
  const refused = (): readonly Wire[] => wires.filter((wire) => wire.text().includes(' 429 '));
  await eventually(() => refused().length >= 20);
  for (const wire of refused()) assert.match(await wire.ended(), /"code":"busy"/);
  assert.equal((await post(app, EVENT)).status, 202);
  const large = await errorOf(await post(app, filled(256 * 1024)));
  assert.deepEqual([large.status, large.code, large.headers.get('retry-after')], [429, 'busy', '5']);
  for (const { socket } of wires) socket.destroy();
  while ((await post(app, filled(256 * 1024))).status !== 202) await new Promise((resolve) => setImmediate(resolve));
});

test('a length that is too large is refused before a byte of the body came (IN-08)', async () => {
  await using app = await receiver(new ListQueue());
  const head = `${RAW_HEAD}\r\nContent-Length: 99999999999`;
  assert.match(await exchange(app.port, raw(head)), /^HTTP\/1\.1 413 /);
});

test('bytes beyond the declared length are no part of the event, and break the connection (IN-08)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const head = `Content-Type: application/json\r\nX-Webhook-Token: ${TOKEN}\r\nContent-Length: ${String(EVENT.length)}`;
  const answer = await exchange(app.port, raw(head, `${EVENT}garbage beyond`));
  assert.doesNotMatch(answer, /HTTP\/1\.1 202[\s\S]*HTTP\/1\.1/);
  assert.ok(queue.ids.length <= 1);
});

for (const [name, body, expected] of [
  ['malformed JSON', Buffer.from('{"a":'), /not valid JSON/],
  ['two byte order marks', Buffer.from(`\uFEFF\uFEFF${EVENT}`), /not valid JSON/],
  ['UTF-16', Buffer.from(EVENT, 'utf16le'), /not valid JSON/],
  ['broken UTF-8', Buffer.from([0x22, 0xff, 0x22]), /not UTF-8/],
  ['no body', Buffer.alloc(0), /empty/],
  ['30,000 levels', Buffer.from('['.repeat(30_000)), /nested/],
  ['a prototype', Buffer.from('{"__proto__":{"recordingId":"x"}}'), /^__proto__: /],
  ['a bad id', Buffer.from('[{"recordingId":"a"},{"recordingId":"../x"}]'), /^events\[1\]\.recordingId: /],
] as const) {
  test(`${name} is 400 and says why (IN-09, IN-10, IN-11, IN-13)`, async () => {
    const queue = new ListQueue();
    await using app = await receiver(queue);
    const error = await errorOf(await post(app, new Uint8Array(body)));
    assert.equal(error.status, 400);
    assert.match(error.message, expected);
    assert.equal(queue.messages.length, 0, 'all or nothing');
  });
}

test('only plain JSON in UTF-8 is a webhook: anything else is 415 (IN-14)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const token = { 'x-webhook-token': TOKEN };
  for (const type of [
    'text/plain',
    'application/json; charset=utf-16',
    'application/jsonp',
    'multipart/form-data',
    'json',
  ]) {
    const error = await errorOf(await post(app, EVENT, { ...token, 'content-type': type }));
    assert.deepEqual([error.status, error.code], [415, 'unsupported-type'], type);
  }
  for (const encoding of ['gzip', 'br', 'identity, gzip']) {
    assert.equal((await post(app, EVENT, { ...WITH_TOKEN, 'content-encoding': encoding })).status, 415, encoding);
  }
  assert.match(
    await exchange(app.port, raw(`X-Webhook-Token: ${TOKEN}\r\nConnection: close\r\nContent-Length: 2`, '{}')),
    / 415 /,
  );
  assert.equal(queue.messages.length, 0);
  for (const type of [
    'application/json; charset=utf-8',
    'Application/JSON;charset=UTF-8',
    'application/json; charset="utf-8"',
  ]) {
    assert.equal((await post(app, EVENT, { ...token, 'content-type': type })).status, 202, type);
  }
});

test('every harmless form of the same event is taken (E4)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const types = [
    'application/json;',
    'application/json ;charset=utf8',
    'application/json; charset=UTF8',
    "application/json; charset = 'utf-8'".replaceAll("'", '"'),
    'application/json; charset=us-ascii',
    'application/json; boundary=x; charset=utf-8; version=1',
    'application/json; odata.metadata=minimal',
    'APPLICATION/JSON;;',
    'application/cloudevents+json',
    'application/vnd.example.v1+json; charset=utf-8',
  ];
  const bodies = [EVENT, `\uFEFF${EVENT}`, ` \r\n${EVENT}\n`, `\uFEFF\n${EVENT}`];
  for (const type of types)
    for (const body of bodies) {
      const response = await post(app, body, { ...WITH_TOKEN, 'content-type': type });
      assert.equal(response.status, 202, `${type} ${JSON.stringify(body.slice(0, 5))}`);
      const proof = { ...signed(body), 'content-type': type };
      assert.equal((await post(app, body, proof)).status, 202, `${type}, signed as sent`);
    }
  assert.equal(queue.messages.length, 2 * types.length * bodies.length);
  const empty = JSON.stringify({ recordingId: R, conversationId: '' });
  assert.equal((await post(app, empty, { ...WITH_TOKEN, 'content-encoding': 'Identity' })).status, 202);
  assert.deepEqual(queue.ids.at(-1), {
    kind: 'recording',
    recordingId: R,
    conversationId: undefined,
    traceparent: undefined,
  });
});

test('other charsets and types stay refused, wherever they stand (E4)', async () => {
  await using app = await receiver(new ListQueue());
  for (const type of [
    'application/json; charset=utf-16',
    'application/json; a=b; charset=iso-8859-1',
    'application/json; charset=utf-8; charset=utf-7',
    'application/+json',
    'application/xml',
    'application/json/x',
    'text/json-like',
    'json',
    '; application/json',
  ]) {
    assert.equal((await post(app, EVENT, { ...WITH_TOKEN, 'content-type': type })).status, 415, type);
  }
});

test('refused webhooks are all counted, and the first of a minute is logged (B11)', async () => {
  await using app = await receiver(new ListQueue());
  for (let i = 0; i < 50; i += 1) assert.equal((await post(app, EVENT, JSON_TYPE)).status, 401);
  assert.equal((await post(app, '{', WITH_TOKEN)).status, 400);
  assert.match(await app.metrics.text(), /archiver_events_refused_total\{code="unauthorized"\} 50/);
  const codes = app.lines
    .filter((line) => line.includes('"severity":"WARNING"'))
    .map((line) => /"code":"([\w-]+)"/.exec(line)?.[1]);
  assert.deepEqual(codes, ['unauthorized', 'bad-request']);
});

test('other methods are 405 with Allow, other paths 404, and neither repeats what came (IN-15)', async () => {
  await using app = await receiver(new ListQueue());
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH', 'PROPFIND']) {
    const answer = await exchange(
      app.port,
      `${method} ${PATH} HTTP/1.1\r\nHost: x\r\nX-Canary: canary-1\r\nConnection: close\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 405 [\s\S]*allow: POST\r\n/i, method);
    assert.doesNotMatch(answer, /canary-1/);
  }
  for (const path of [
    '/',
    '/webhooks',
    `${PATH}/x`,
    '/webhooks/genesys%2f',
    '/canary-2',
    '/%zz',
    '/transcode',
    '/recordings',
  ]) {
    const response = await fetch(app.url + path, { method: 'POST', headers: WITH_TOKEN, body: EVENT });
    const error = await errorOf(response);
    assert.ok(error.status === 404 || error.status === 400, path);
    assert.doesNotMatch(error.message, /canary|%zz/);
  }
});

test('who leaves before the answer changes nothing: the event is taken (IN-24)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const asked = Promise.withResolvers<AbortSignal>();
  const taken = Promise.withResolvers<void>();
  queue.before = (signal) => {
    asked.resolve(signal);
    return taken.promise;
  };
  const wire = await dial(app.port);
  wire.socket.write(raw(`${RAW_HEAD}\r\nContent-Length: ${String(EVENT.length)}`, EVENT));
  const signal = await asked.promise;
  wire.socket.resetAndDestroy();
  await wire.ended();
  taken.resolve();
  await eventually(() => queue.messages.length === 1);
  assert.equal(signal.aborted, false);
  assert.equal((await post(app, EVENT)).status, 202, 'the service goes on');
});

test('who leaves in the middle of the body leaves nothing behind (IN-24)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const wire = await dial(app.port);
  wire.socket.write(raw(`${RAW_HEAD}\r\nContent-Length: 500`, '{"recordingId":'));
  await fetch(`${app.url}/healthz`);
  wire.socket.resetAndDestroy();
  await eventually(() => app.lines.some((line) => line.includes('ended before its body')));
  assert.equal(queue.messages.length, 0);
});

test('a trace goes along: traceparent, X-Cloud-Trace-Context, or a new one', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const trace = '0af7651916cd43dd8448eb211c80319c';
  for (const [headers, expected] of [
    [{ traceparent: `00-${trace}-b7ad6b7169203331-01` }, new RegExp(`^00-${trace}-b7ad6b7169203331-01$`)],
    [{ 'x-cloud-trace-context': `${trace}/255;o=1` }, new RegExp(`^00-${trace}-00000000000000ff-01$`)],
    [{ 'x-cloud-trace-context': trace }, new RegExp(`^00-${trace}-(?!0{16})[0-9a-f]{16}-00$`)],
    [
      { traceparent: 'nonsense', 'x-cloud-trace-context': 'x/y' },
      /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/,
    ],
    [{ traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` }, /^00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-00$/],
    [{}, /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/],
  ] as const) {
    assert.equal((await post(app, EVENT, { ...WITH_TOKEN, ...headers })).status, 202);
    assert.match(queue.messages.at(-1)?.traceparent ?? '', expected);
  }
});

test('invariant 8: a refused webhook is one warning without body, token, signature or query', async () => {
  await using app = await receiver(new ListQueue());
  const canaries = ['canary-body', 'canary-token', 'canary-signature', 'canary-query'];
  const headers = { ...JSON_TYPE, 'x-webhook-token': 'canary-token', 'webhook-signature': 'v1,canary-signature' };
  await fetch(`${app.url}${PATH}?key=canary-query`, { method: 'POST', headers, body: '{"a":"canary-body"}' });
  await fetch(`${app.url}${PATH}?key=canary-query`, { method: 'POST', headers: WITH_TOKEN, body: '{"canary-body' });
  await eventually(() => app.lines.filter((line) => line.includes('A request was answered.')).length === 2);
  const warnings = app.lines.filter((line) => line.includes('"severity":"WARNING"'));
  assert.equal(warnings.length, 2);
  for (const canary of [...canaries, SECRET, TOKEN]) assert.ok(!app.lines.join('').includes(canary), canary);
});

test('every answer carries what keeps browsers and caches from misusing it', async () => {
  await using app = await receiver(new ListQueue());
  for (const response of [
    await post(app, EVENT),
    await post(app, EVENT, JSON_TYPE),
    await fetch(`${app.url}/healthz`),
  ]) {
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
    assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/);
    assert.match(response.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
    assert.equal(response.headers.get('x-powered-by'), null);
    assert.equal(response.headers.get('etag'), null);
  }
  const named = await post(app, EVENT, { ...WITH_TOKEN, 'x-request-id': 'caller-7' });
  assert.equal(named.headers.get('x-request-id'), 'caller-7');
  const odd = await post(app, EVENT, { ...WITH_TOKEN, 'x-request-id': 'a b<script>' });
  assert.match(odd.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
});

/** What the head of a request may say, judged by raw bytes: whatever two servers in a row could read in two ways is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keysOf } from '../support/keys.ts';
import { dial, exchange, ListQueue, start, type Started } from './far-ends.ts';

const TOKEN = 'a-webhook-token';
const EVENT = '{"recordingId":"r-1"}';
const CHUNKS = `${EVENT.length.toString(16)}\r\n${EVENT}\r\n0\r\n\r\n`;

interface Scene extends Started {
  readonly queue: ListQueue;
}

async function scene(limits = {}): Promise<Scene> {
  const queue = new ListQueue();
  const auth = { required: true, secrets: [], tokens: keysOf(TOKEN) };
  return Object.assign(await start({ webhook: { auth, queue } }, limits), { queue });
}

function get(target: string, { version = 'HTTP/1.1', host = 'Host: x\r\n', headers = '' } = {}): string {
  return `GET ${target} ${version}\r\n${host}${headers}Connection: close\r\n\r\n`;
}

function post(headers: string, body: string, version = 'HTTP/1.1'): string {
  const head = `POST /webhooks/genesys ${version}\r\nHost: x\r\nContent-Type: application/json\r\nX-Webhook-Token: ${TOKEN}\r\n`;
  return `${head}${headers}Connection: close\r\n\r\n${body}`;
}

/** Status and message of the only answer; an error has the shape of every error. */
function answerIn(text: string): readonly [status: number, message: string] {
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  assert.equal(statuses.length, 1, text);
  const [status = 0] = statuses;
  if (status >= 400)
    assert.match(text, /\{"error":\{"code":"[a-z-]+","message":"[^"]+","requestId":"[0-9a-f-]{36}"\}\}$/);
  return [status, /"message":"([^"]*)"/.exec(text)?.[1] ?? ''];
}

function assertNoError(app: Started): void {
  assert.deepEqual(
    app.lines.filter((line) => line.includes('"severity":"ERROR"')),
    [],
  );
}

test('HTTP/1.1 and HTTP/1.0 are spoken, other versions are 505, and what is none 400 (B3)', async () => {
  await using app = await scene();
  for (const [version, status] of [
    ['HTTP/1.1', 200],
    ['HTTP/1.0', 200],
    ['HTTP/2.0', 505],
    ['HTTP/0.9', 505],
    ['HTTP/3.0', 400],
    ['HTTP/1.2', 400],
    ['HTTP/1.10', 400],
    ['HTTP/01.1', 400],
    ['HTTP/2', 400],
    ['http/1.1', 400],
    ['HTTPS/1.1', 400],
    ['', 400],
  ] as const)
    assert.equal(answerIn(await exchange(app.port, get('/healthz', { version })))[0], status, version);
  for (const version of ['HTTP/2.0', 'HTTP/0.9'])
    assert.equal(answerIn(await exchange(app.port, post('Content-Length: 21\r\n', EVENT, version)))[0], 505, version);
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';
  assert.equal(answerIn(await exchange(app.port, preface))[0], 400);
  assert.deepEqual(app.queue.messages, []);
  assertNoError(app);
});

test('a Host that names no host is 400, with none at all HTTP/1.0 alone (B3)', async () => {
  await using app = await scene();
  const good = ['x', 'X.example', 'x:80', 'x:', '[::1]', '[::1]:80', '127.0.0.1', 'a_b-c.example', 'a,b', ''];
  for (const host of good)
    assert.equal(answerIn(await exchange(app.port, get('/healthz', { host: `Host: ${host}\r\n` })))[0], 200, host);
  const bad = ['a b', 'x/', 'x/../y', 'user@x', 'x#y', 'x?y', 'x\\y', 'x:99999', 'x:-1', 'x:80:80', 'x:a', ':80'];
  for (const host of [...bad, '[::1', '::1', '[x]', '[fe80::1%25eth0]', '[::1]x', '\u00e9', 'x\ty', '%', '%zz', '<x>'])
    assert.equal(answerIn(await exchange(app.port, get('/healthz', { host: `Host: ${host}\r\n` })))[0], 400, host);
  assert.equal(answerIn(await exchange(app.port, get('/healthz', { host: '' })))[0], 400);
  assert.equal(answerIn(await exchange(app.port, get('/healthz', { host: '', version: 'HTTP/1.0' })))[0], 200);
  assertNoError(app);
});

test('an absolute target is an http URL of a host, without a user, whatever Host says (B7)', async () => {
  await using app = await scene();
  for (const target of ['http://y/healthz', 'HTTP://Y:80/healthz', 'https://[::1]/healthz', 'http://y/healthz?a=b'])
    assert.equal(answerIn(await exchange(app.port, get(target)))[0], 200, target);
  for (const target of [
    'http:///healthz',
    'http://user@y/healthz',
    'http://:p@y/healthz',
    'http://?/',
    'ftp://y/',
    '*',
  ])
    assert.equal(answerIn(await exchange(app.port, get(target)))[0], 400, target);
  const connect = 'CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n';
  assert.deepEqual(answerIn(await exchange(app.port, connect)), [400, 'This is no proxy: ask for a path.']);
  assertNoError(app);
});

test('what says who asks for what stands in a head once (B3)', async () => {
  await using app = await scene();
  for (const [name, first, second] of [
    ['Host', 'x', 'y'],
    ['Authorization', `Bearer ${TOKEN}`, 'Bearer other'],
    ['Authorization', 'Basic eDp5', `Bearer ${TOKEN}`],
    ['Content-Type', 'application/json', 'text/plain'],
  ] as const) {
    const repeated = `${name}: ${first}\r\nA: b\r\n${name.toUpperCase()}: ${second}\r\n`;
    const host = name === 'Host' ? '' : 'Host: x\r\n';
    const text = `POST /webhooks/genesys HTTP/1.1\r\n${host}${repeated}Content-Length: 21\r\nConnection: close\r\n\r\n${EVENT}`;
    assert.deepEqual(answerIn(await exchange(app.port, text)), [400, `The request has more than one ${name}.`]);
  }
  assert.deepEqual(app.queue.messages, []);
});

const CODINGS: readonly (readonly [coding: string, status: number])[] = [
  ['chunked', 202],
  ['Chunked', 202],
  [' chunked ', 202],
  ...[
    'gzip, chunked',
    'x, chunked',
    'identity, chunked',
    ',chunked',
    'chunked,',
    'chunked, chunked',
    'chunked;q=1',
    '"chunked"',
    'chunked x',
    'xchunked',
    'chunk',
    'identity',
    'gzip',
    'trailers',
    '',
    '\x0bchunked',
    'chunked\r\nTransfer-Encoding: chunked',
    'chunked\r\nTransfer-Encoding: identity',
    'identity\r\nTransfer-Encoding: chunked',
    'chunked\r\nContent-Length: 3',
    'chunked\r\n ',
  ].map((coding): readonly [string, number] => [coding, 400]),
];

test('a body in chunks, and in nothing else, is read; HTTP/1.0 has none (IN-26)', async () => {
  await using app = await scene();
  for (const [coding, status] of CODINGS) {
    const before = app.queue.messages.length;
    const text = await exchange(app.port, post(`Transfer-Encoding: ${coding}\r\n`, CHUNKS));
    assert.equal(answerIn(text)[0], status, coding);
    assert.equal(app.queue.messages.length - before, status === 202 ? 1 : 0, coding);
  }
  const kept = post('Transfer-Encoding: chunked\r\n', CHUNKS, 'HTTP/1.0').replace('close', 'keep-alive');
  const behind = get('/healthz');
  assert.equal(answerIn(await exchange(app.port, kept + behind))[0], 400, 'and nothing behind it is a request');
  assertNoError(app);
});

test('chunks that are none, and trailers that lie, are 400: what does not come whole is not taken (IN-26)', async () => {
  await using app = await scene();
  const chunked = (body: string): string => post('Transfer-Encoding: chunked\r\n', body);
  const size = EVENT.length.toString(16);
  for (const line of ['0x15', '+15', '-15', ' 15', '15 ', '1G', '', ';', '15;\n', '15\x00', 'F'.repeat(17), '15\t'])
    assert.equal(answerIn(await exchange(app.port, chunked(`${line}\r\n${EVENT}\r\n0\r\n\r\n`)))[0], 400, line);
  for (const rest of [
    `${EVENT}XX0\r\n\r\n`,
    `${EVENT}\r\n0\r\nno field\r\n\r\n`,
    `${EVENT}\r\n0\r\nContent-Length: 9\r\n\r\n`,
  ])
    assert.equal(answerIn(await exchange(app.port, chunked(`${size}\r\n${rest}`)))[0], 400, rest);
  const extended = `${size};${'x'.repeat(20_000)}\r\n${EVENT}\r\n0\r\n\r\n`;
  assert.equal(answerIn(await exchange(app.port, chunked(extended)))[0], 400);
  assert.deepEqual(app.queue.messages, []);
  const harmless = `${size};a="b\\"c"\r\n${EVENT}\r\n0\r\nX-Trailer: y\r\n\r\n`;
  assert.equal(answerIn(await exchange(app.port, chunked(harmless)))[0], 202);
  const lateToken = chunked(`${size}\r\n${EVENT}\r\n0\r\nX-Webhook-Token: ${TOKEN}\r\n\r\n`);
  assert.equal(
    answerIn(await exchange(app.port, lateToken.replace(`X-Webhook-Token: ${TOKEN}\r\n`, '')))[0],
    401,
    'a token behind the body is none',
  );
  assertNoError(app);
});

test('a body that comes too slowly is told so, in the shape of every error (IN-16)', async () => {
  await using app = await scene({ headersTimeoutMs: 200, requestTimeoutMs: 400, checkIntervalMs: 50 });
  for (const [headers, begun] of [
    ['Content-Length: 5000\r\n', '{'],
    ['Transfer-Encoding: chunked\r\n', '1\r\n{\r\n'],
    ['Transfer-Encoding: chunked\r\n', '15;x=y'],
    ['Expect: 100-continue\r\nContent-Length: 5000\r\n', ''],
  ] as const) {
    const wire = await dial(app.port);
    wire.socket.write(post(headers, begun));
    const text = (await wire.ended()).replace('HTTP/1.1 100 Continue\r\n\r\n', '');
    assert.deepEqual(answerIn(text), [408, 'The request did not arrive in time.'], headers);
  }
  assertNoError(app);
});

test('only 100-continue can be expected (CL-12)', async () => {
  await using app = await scene();
  const length = `Content-Length: ${String(EVENT.length)}\r\n`;
  for (const expected of ['foo', '200-ok', ''])
    assert.equal(answerIn(await exchange(app.port, post(`Expect: ${expected}\r\n${length}`, EVENT)))[0], 417, expected);
  assert.deepEqual(app.queue.messages, []);
});

test('an upgrade is not taken: the request is answered as what it is (B3)', async () => {
  await using app = await scene();
  for (const upgrade of ['h2c', 'websocket', 'TLS/1.2', 'HTTP/2.0', 'x']) {
    const headers = `Upgrade: ${upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings, close\r\n`;
    const text = `GET /healthz HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
    assert.equal(answerIn(await exchange(app.port, text))[0], 200, upgrade);
  }
});

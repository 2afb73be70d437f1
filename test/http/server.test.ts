import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { listen } from '../../src/http/server.ts';
import { dial, eventually, exchange, ListQueue, start, type Started, type Wire } from './far-ends.ts';
import { keysOf } from '../support/keys.ts';

const TOKEN = 'a-webhook-token';
const EVENT = '{"recordingId":"r-1"}';
const HEAD = `POST /webhooks/genesys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Webhook-Token: ${TOKEN}\r\n`;
const REQUEST = `${HEAD}Content-Length: ${String(EVENT.length)}\r\n\r\n${EVENT}`;
const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';

const FAST = { headersTimeoutMs: 200, requestTimeoutMs: 400, checkIntervalMs: 50 };

function receiver(queue: ListQueue, limits = {}): Promise<Started> {
  const auth = { required: true, secrets: [], tokens: keysOf(TOKEN) };
  return start({ webhook: { auth, queue, deadlineMs: 1000 } }, limits);
}

/** Sends one byte every now and then until the connection ends. */
async function drip(wire: Wire, text: string): Promise<string> {
  let at = 0;
  const dripping = setInterval(() => {
    const byte = text[at];
    at += 1;
    if (byte !== undefined && wire.socket.writable) wire.socket.write(byte);
  }, 20);
  try {
    return await wire.ended();
  } finally {
    clearInterval(dripping);
  }
}

test('a head that drips in is cut off with 408, and others are served meanwhile (IN-16)', async () => {
  await using app = await receiver(new ListQueue(), FAST);
  const slow = drip(await dial(app.port), `GET /healthz HTTP/1.1\r\nX-Slow: ${'x'.repeat(10_000)}`);
  for (let i = 0; i < 20; i += 1) assert.equal((await fetch(`${app.url}/healthz`)).status, 200);
  assert.match(await slow, /^HTTP\/1\.1 408 [\s\S]*"code":"bad-request"/);
});

test('a body that drips in is cut off, and nothing is published (IN-16)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue, FAST);
  const wire = await dial(app.port);
  wire.socket.write(`${HEAD}Content-Length: 5000\r\n\r\n`);
  assert.doesNotMatch(await drip(wire, 'x'.repeat(5000)), /^HTTP\/1\.1 202/);
  assert.equal(queue.messages.length, 0);
});

test('a length larger than what comes ends with the request time-out (IN-08)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue, FAST);
  const wire = await dial(app.port);
  wire.socket.write(`${HEAD}Content-Length: 5000\r\n\r\n${EVENT}`);
  assert.doesNotMatch(await wire.ended(), / 202 /);
  assert.equal(queue.messages.length, 0);
});

test('a connection that never says anything is closed (IN-17)', async () => {
  await using app = await receiver(new ListQueue(), FAST);
  const wire = await dial(app.port);
  await wire.ended();
});

test('beyond the limit the longest idle connection makes room: a new caller is served at once (A6)', async () => {
  await using app = await receiver(new ListQueue(), { maxConnections: 10 });
  const idle: Wire[] = [];
  for (let i = 0; i < 10; i += 1) idle.push(await dial(app.port));
  for (const wire of idle.toReversed()) {
    wire.socket.write(GET);
    await wire.until(/alive/);
  }
  for (const longest of idle.toReversed()) {
    const caller = await dial(app.port);
    caller.socket.write(GET);
    await caller.until(/ 200 OK/);
    await longest.ended();
  }
});

test('1,000 connections that say nothing, or half of something, keep nobody out (A6)', async () => {
  await using app = await receiver(new ListQueue());
  const holding = ['', 'GET /healthz HT', `${HEAD}Content-Length: 5000\r\n\r\n{`];
  const held: Wire[] = [];
  for (let i = 0; i < 1000; i += 1) {
    const wire = await dial(app.port);
    wire.socket.write(holding[i % holding.length] ?? '');
    held.push(wire);
  }
  for (let i = 0; i < 20; i += 1) {
    const caller = await dial(app.port);
    caller.socket.write(REQUEST);
    await caller.until(/ 202 /);
  }
  assert.equal(held.filter(({ socket }) => socket.closed || socket.readableEnded).length, 20);
  for (const { socket } of held) socket.destroy();
});

test('a connection whose request is at work is not closed for another: where all are, the new one is (A6)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue, { maxConnections: 3 });
  const taken = Promise.withResolvers<void>();
  let asked = 0;
  queue.before = () => {
    asked += 1;
    return taken.promise;
  };
  const busy = await Promise.all([1, 2, 3].map(() => dial(app.port)));
  for (const wire of busy) wire.socket.write(REQUEST);
  await eventually(() => asked === 3);
  assert.equal(await (await dial(app.port)).ended(), '');
  taken.resolve();
  for (const wire of busy) await wire.until(/ 202 /);
});

test('connections whose answers nobody takes keep nobody out, and those that play stay (A6)', async (t) => {
  const large = Buffer.alloc(32 * 1024 ** 2);
  let answered = 0;
  const app = await listen(
    (req, res) => {
      if (req.url === '/plays') return void res.write('a beginning');
      answered += 1;
      res.end(req.url === '/large' ? large : 'small');
    },
    { host: '127.0.0.1', port: 0, limits: { maxConnections: 6 } },
  );
  t.after(() => app.close(0));
  const player = await dial(app.port);
  player.socket.write('GET /plays HTTP/1.1\r\nHost: x\r\n\r\n');
  await player.until(/a beginning/);
  for (let i = 0; i < 5; i += 1) {
    const { socket } = await dial(app.port);
    socket.pause().write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => answered === i + 1);
  }
  for (let i = 0; i < 8; i += 1) {
    const caller = await dial(app.port);
    caller.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await caller.until(/small/);
  }
  assert.equal(player.socket.closed, false);
  player.socket.destroy();
});

test('of what is sent in one go on a connection one request is at work at a time, in order (A4)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const gates = Array.from({ length: 120 }, () => Promise.withResolvers<void>());
  let begun = 0;
  queue.before = () => {
    begun += 1;
    return gates[begun - 1]?.promise ?? Promise.resolve();
  };
  const wire = await dial(app.port);
  wire.socket.write(Array.from({ length: 120 }, (_, i) => REQUEST.replace('r-1', String(i + 100))).join(''));
  await fetch(`${app.url}/healthz`);
  for (const [index, gate] of gates.entries()) {
    await eventually(() => begun > index);
    await fetch(`${app.url}/healthz`);
    assert.equal(begun, index + 1);
    gate.resolve();
  }
  await eventually(() => wire.text().split('HTTP/1.1 202 ').length === 121);
  assert.deepEqual(
    queue.ids.map((ids) => Reflect.get(ids, 'recordingId')),
    Array.from({ length: 120 }, (_, i) => String(i + 100)),
  );
  wire.socket.destroy();
});

test('what waits behind an answer that nobody reads is bounded, and gone with its connection (A4)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue, { maxPipelined: 8 });
  const stuck = Promise.withResolvers<void>();
  let begun = 0;
  queue.before = () => {
    begun += 1;
    return stuck.promise;
  };
  const wire = await dial(app.port);
  wire.socket.write(REQUEST + GET.repeat(9));
  assert.equal(await wire.ended(), '');
  const left = await dial(app.port);
  left.socket.write(REQUEST.repeat(9));
  await eventually(() => begun === 2);
  left.socket.resetAndDestroy();
  await fetch(`${app.url}/healthz`);
  stuck.resolve();
  assert.equal((await fetch(`${app.url}/healthz`)).status, 200);
  assert.equal(begun, 2);
});

test('both lengths at once, and other ways to smuggle, are refused (IN-26)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  for (const framing of [
    `Content-Length: ${String(EVENT.length)}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${REQUEST}`,
    `Content-Length: 5\r\nContent-Length: 6\r\n\r\n${EVENT}`,
    `Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    `Content-Length: +5\r\n\r\n12345`,
    `Content-Length : 5\r\n\r\n12345`,
    `X-Fold: a\r\n b: c\nContent-Length: 5\r\n\r\n12345`,
  ]) {
    const answer = await exchange(app.port, HEAD + framing);
    assert.match(answer, /^HTTP\/1\.1 400 [\s\S]*"error":\{"code":"bad-request"/, framing);
    assert.doesNotMatch(answer, / 202 /);
  }
  assert.equal(queue.messages.length, 0);
});

test('a request that names two hosts is refused, whichever of them is ours (B3)', async () => {
  await using app = await receiver(new ListQueue());
  for (const second of ['evil.example', 'x', ''])
    for (const name of ['Host', 'host', 'HOST']) {
      const text = `GET /healthz HTTP/1.1\r\nHost: x\r\nA: host\r\n${name}: ${second}\r\n\r\n`;
      assert.match(await exchange(app.port, text), /^HTTP\/1\.1 400 /, text);
    }
  const one = 'GET /healthz HTTP/1.1\r\nA: host\r\nHost: x\r\nConnection: close\r\n\r\n';
  assert.match(await exchange(app.port, one), /^HTTP\/1\.1 200 /);
});

test('what is no HTTP at all is answered in the same shape (IN-26)', async () => {
  await using app = await receiver(new ListQueue());
  assert.match(await exchange(app.port, 'hello\r\n\r\n'), /^HTTP\/1\.1 400 [\s\S]*"requestId":"[0-9a-f-]{36}"/);
  const large = `GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`;
  assert.match(await exchange(app.port, large), /^HTTP\/1\.1 431 /);
});

test('HTTP/1.0 is served and closed (IN-26)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  assert.match(await exchange(app.port, REQUEST.replace('HTTP/1.1', 'HTTP/1.0')), / 202 [\s\S]*"accepted":1/);
  assert.equal(queue.messages.length, 1);
});

test('pipelined requests are answered each, in order (IN-26)', async () => {
  const queue = new ListQueue();
  await using app = await receiver(queue);
  const wire = await dial(app.port);
  wire.socket.write(
    REQUEST.replace('r-1', 'r-a') + GET + REQUEST.replace('r-1', 'r-b') + GET.replace('healthz', 'nowhere'),
  );
  const text = await wire.until(/ 404 [\s\S]*not-found/);
  assert.deepEqual(text.match(/(?<=HTTP\/1\.1 )\d{3}/g), ['202', '200', '202', '404']);
  assert.deepEqual(
    queue.ids.map((ids) => Reflect.get(ids, 'recordingId')),
    ['r-a', 'r-b'],
  );
  wire.socket.destroy();
});

test('Expect: 100-continue is granted, any other expectation is not (CL-12)', async () => {
  await using app = await receiver(new ListQueue());
  const wire = await dial(app.port);
  wire.socket.write(`${HEAD}Expect: 100-continue\r\nContent-Length: ${String(EVENT.length)}\r\n\r\n`);
  await wire.until(/^HTTP\/1\.1 100 Continue/);
  wire.socket.write(EVENT);
  await wire.until(/HTTP\/1\.1 202 /);
  wire.socket.destroy();
});

test('a client that closes its half after asking leaves no connection behind (CL-12)', async () => {
  await using app = await receiver(new ListQueue());
  const wire = await dial(app.port);
  wire.socket.end(REQUEST);
  await wire.ended();
});

test('closing answers what is under way, refuses what is new, and ends idle connections at once', async () => {
  const queue = new ListQueue();
  const app = await receiver(queue);
  const [idle, busy] = [await dial(app.port), await dial(app.port)];
  idle.socket.write(GET);
  await idle.until(/alive/);
  const asked = Promise.withResolvers<void>();
  const taken = Promise.withResolvers<void>();
  queue.before = () => {
    asked.resolve();
    return taken.promise;
  };
  busy.socket.write(REQUEST);
  await asked.promise;
  const closed = app.close(60_000);
  await idle.ended();
  await assert.rejects(fetch(`${app.url}/healthz`));
  assert.equal(busy.text(), '');
  taken.resolve();
  assert.match(await busy.ended(), / 202 [\s\S]*connection: close/i);
  await closed;
});

test('closing breaks what is still under way at the deadline', async () => {
  const queue = new ListQueue();
  const app = await receiver(queue);
  const asked = Promise.withResolvers<void>();
  queue.before = () => {
    asked.resolve();
    return new Promise(() => undefined);
  };
  const wire = await dial(app.port);
  wire.socket.write(REQUEST);
  await asked.promise;
  await app.close(50);
  assert.equal(await wire.ended(), '');
});

test('a connection that has said half a request does not hold up closing beyond the deadline', async () => {
  const app = await receiver(new ListQueue());
  const wire = await dial(app.port);
  wire.socket.write('GET /healthz HTT');
  await fetch(`${app.url}/healthz`);
  await app.close(50);
  await wire.ended();
});

test('a port that is taken is an error at once, and says so (E1)', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  const address = other.address();
  assert.ok(typeof address === 'object' && address !== null);
  await assert.rejects(
    listen(() => undefined, { host: '127.0.0.1', port: address.port }),
    { name: 'Failure', code: 'misconfigured', message: /^PORT: another program has it;/ },
  );
});

test('a host that is none of this machine, or nobody knows, is an error that names HOST (E1)', async () => {
  for (const host of ['192.0.2.1', '2001:db8::1', 'nobody.invalid'])
    await assert.rejects(
      listen(() => undefined, { host, port: 0 }),
      { name: 'Failure', code: 'misconfigured', message: /^HOST/ },
    );
});

test('an address of IPv6 is a URL', async () => {
  const listener = await listen((_req, res) => res.end('hello'), { host: '::1', port: 0 });
  assert.match(listener.url, /^http:\/\/\[::1\]:\d+$/);
  assert.equal(await (await fetch(listener.url)).text(), 'hello');
  await listener.close(0);
});

test('who listens everywhere is called by the name of this machine, not by 0.0.0.0 (B12)', async () => {
  for (const host of ['0.0.0.0', '::']) {
    const listener = await listen((_req, res) => res.end('hello'), { host, port: 0 });
    assert.match(listener.url, /^http:\/\/localhost:\d+$/);
    assert.equal(await (await fetch(listener.url)).text(), 'hello');
    await listener.close(0);
  }
});

test('one access line per request, at debug, without its query', async () => {
  await using app = await receiver(new ListQueue());
  await fetch(`${app.url}/healthz?key=canary`);
  await eventually(() => app.lines.length > 0);
  assert.equal(app.lines.length, 1);
  const line: unknown = JSON.parse(app.lines[0] ?? '');
  assert.ok(typeof line === 'object' && line !== null);
  const { severity, method, path, status, complete } = new Proxy<Record<string, unknown>>({ ...line }, {});
  assert.deepEqual(
    { severity, method, path, status, complete },
    { severity: 'DEBUG', method: 'GET', path: '/healthz', status: 200, complete: true },
  );
});

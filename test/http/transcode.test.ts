import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { Failure, type FailureCode } from '../../src/failure.ts';
import type { AppNeeds } from '../../src/http/app.ts';
import type { LiveWebm } from '../../src/media/live.ts';
import type { Pipeline } from '../../src/pipeline.ts';
import { LISTENERS } from '../../src/bounds.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { dial, errorOf, eventually, exchange, MapArchive, start, type Started } from './far-ends.ts';
import { keysOf } from '../support/keys.ts';

const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const KEY = 'an-api-key';
const WITH_KEY = { authorization: `Bearer ${KEY}` };
const BYTES = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 256));

type Listen = Pipeline['listen'];

function playback(listen: Listen, archive = new MapArchive(), clock?: FakeClock): Promise<Started> {
  const transcode = { listen, archive };
  return start({
    ...(clock === undefined ? {} : { clock }),
    auth: { required: true, keys: keysOf('other-key', KEY) },
    playback: { transcode },
  } satisfies Partial<AppNeeds>);
}

function live(body: AsyncIterable<Buffer>): LiveWebm {
  return { contentType: 'audio/webm', body };
}

async function* chunks(count: number, sizeBytes = 1000): AsyncGenerator<Buffer, void, void> {
  for (let i = 0; i < count; i += 1) yield Buffer.alloc(sizeBytes, i);
}

async function* failing(failure: Failure): AsyncGenerator<Buffer, void, void> {
  yield* chunks(0);
  throw failure;
}

/** Nobody is to be asked for a live recording. */
const notLive: Listen = () => assert.fail('it was made although it is archived');

const get = (app: Started, query = `?id=${R}`, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${app.url}/transcode${query}`, { headers: { ...WITH_KEY, ...headers } });

test('a live recording is 200, in chunks, of no known length, and stored nowhere', async () => {
  let asked: unknown;
  await using app = await playback(async (recording) => {
    asked = recording;
    return live(chunks(5));
  });
  const response = await get(app, `?id=${R}&conversationId=${C}`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'audio/webm');
  assert.equal(response.headers.get('accept-ranges'), 'none');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.equal(response.headers.get('content-length'), null);
  assert.equal((await response.arrayBuffer()).byteLength, 5000);
  assert.deepEqual(asked, { recordingId: R, conversationId: C });
  assert.match(await app.metrics.text(), /archiver_listens_total\{from="live",result="complete"\} 1/);
});

const FAILURES: readonly [FailureCode, number][] = [
  ['forbidden', 403],
  ['not-found', 404],
  ['gone', 404],
  ['not-ready', 409],
  ['needs-restore', 409],
  ['no-media', 415],
  ['unsupported-media', 415],
  ['unreadable-media', 422],
  ['busy', 429],
  ['encoder-failed', 500],
  ['upstream-error', 502],
  ['rate-limited', 503],
  ['misconfigured', 503],
  ['upstream-timeout', 504],
];

for (const [code, status] of FAILURES) {
  test(`${code} before the first byte is ${String(status)} with its code, whether on asking or on the first read`, async () => {
    const failure = new Failure(code, 'What happened, and what to do.', { afterMs: 2500 });
    const listens: Listen[] = [() => Promise.reject(failure), async () => live(failing(failure))];
    for (const listen of listens) {
      await using app = await playback(listen);
      const error = await errorOf(await get(app));
      assert.deepEqual([error.status, error.code, error.message], [status, code, 'What happened, and what to do.']);
      assert.equal(error.headers.get('retry-after'), '3', 'rounded up');
    }
  });
}

test('a busy service says when to come back even where the failure does not (CL-03)', async () => {
  await using app = await playback(() => Promise.reject(new Failure('busy', 'All encoders are taken.')));
  const error = await errorOf(await get(app));
  assert.deepEqual([error.status, error.headers.get('retry-after')], [429, '5']);
});

test('a recording that comes out empty is an error, not a silent success', async () => {
  await using app = await playback(async () => live(chunks(0)));
  assert.deepEqual((await errorOf(await get(app))).code, 'incomplete');
});

test('an unforeseen error is 500 without its text, which the log has', async () => {
  await using app = await playback(() => Promise.reject(new TypeError('canary of the inside')));
  const error = await errorOf(await get(app));
  assert.deepEqual([error.status, error.code, error.message.includes('canary')], [500, 'internal', false]);
  await eventually(() => app.lines.some((line) => line.includes('canary of the inside') && line.includes('"ERROR"')));
});

test('the head waits for the first byte', async () => {
  const first = Promise.withResolvers<void>();
  const reading = Promise.withResolvers<void>();
  await using app = await playback(async () =>
    live(
      (async function* () {
        reading.resolve();
        await first.promise;
        yield BYTES;
      })(),
    ),
  );
  const wire = await dial(app.port);
  wire.socket.write(`GET /transcode?id=${R} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\nConnection: close\r\n\r\n`);
  await reading.promise;
  await fetch(`${app.url}/healthz`);
  assert.equal(wire.text(), '');
  first.resolve();
  assert.match(await wire.ended(), /^HTTP\/1\.1 200 OK/);
});

test('a failure after the first byte breaks the connection: no client takes it for the end (CL-06)', async () => {
  const heard = Promise.withResolvers<void>();
  await using app = await playback(async () =>
    live(
      (async function* () {
        yield* chunks(3);
        await heard.promise;
        throw new Failure('encoder-failed', 'The encoder died midway.');
      })(),
    ),
  );
  const response = await get(app);
  assert.equal(response.status, 200);
  heard.resolve();
  await assert.rejects(response.arrayBuffer(), TypeError);
  await eventually(() => app.lines.some((line) => line.includes('The encoder died midway.') && line.includes(R)));
  assert.match(await app.metrics.text(), /archiver_listens_total\{from="live",result="failed"\} 1/);
});

test('a failure after the first byte resets an HTTP/1.0 connection, whose end would mean success (CL-06)', async () => {
  const fail = Promise.withResolvers<void>();
  await using app = await playback(async () =>
    live(
      (async function* () {
        yield BYTES;
        await fail.promise;
        throw new Failure('encoder-failed', 'The encoder died midway.');
      })(),
    ),
  );
  const wire = await dial(app.port);
  const reset = new Promise((resolve) => wire.socket.once('error', resolve));
  wire.socket.write(`GET /transcode?id=${R} HTTP/1.0\r\nX-API-Key: ${KEY}\r\n\r\n`);
  await wire.until(/200 OK/);
  fail.resolve();
  const error: unknown = await reset;
  assert.ok(error instanceof Error && 'code' in error);
  assert.equal(error.code, 'ECONNRESET');
});

for (const sizeBytes of [2999, 3001]) {
  test(`3000 archived bytes where the manifest says ${String(sizeBytes)} break the connection (CL-06)`, async () => {
    const archive = new MapArchive();
    archive.put({ recordingId: R, conversationId: undefined }, Buffer.alloc(sizeBytes));
    archive.read = async () => Readable.from(chunks(3), { objectMode: false });
    await using app = await playback(notLive, archive);
    await assert.rejects(
      get(app).then((response) => response.arrayBuffer()),
      TypeError,
    );
    await eventually(() => app.lines.some((line) => line.includes('another number of bytes')));
  });
}

test('a listener that leaves midway stops the source at once, two hundred times without a trace (CL-01)', async () => {
  let running = 0;
  const stopped: unknown[] = [];
  await using app = await playback(async (_recording, signal) => {
    running += 1;
    return live(
      (async function* () {
        try {
          for (;;) {
            signal.throwIfAborted();
            yield Buffer.alloc(50_000);
            await new Promise((resolve) => setImmediate(resolve));
          }
        } finally {
          running -= 1;
          stopped.push(signal.reason);
        }
      })(),
    );
  });
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const wire = await dial(app.port);
        wire.socket.write(`GET /transcode?id=${R} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n\r\n`);
        await wire.until(/200 OK/);
        wire.socket.destroy();
      }),
    );
  }
  await eventually(() => running === 0 && stopped.length === 200);
  for (const reason of stopped) assert.ok(reason instanceof Failure && reason.code === 'stopped');
  assert.match(await app.metrics.text(), /archiver_listens_total\{from="live",result="left"\} 200/);
  assert.ok(!app.lines.some((line) => /WARNING|ERROR/.test(line)), 'leaving is no fault');
});

test('a listener that leaves before the first byte stops the source too (CL-01)', async () => {
  const asked = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  await using app = await playback((_recording, signal) => {
    asked.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        stopped.resolve();
        reject(signal.reason);
      });
    });
  });
  const wire = await dial(app.port);
  wire.socket.write(`GET /transcode?id=${R} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n\r\n`);
  await asked.promise;
  wire.socket.destroy();
  await stopped.promise;
  await eventually(() => app.lines.some((line) => line.includes('"complete":false')));
  assert.ok(!app.lines.some((line) => /WARNING|ERROR/.test(line)));
});

test('a source that begins although its listener has left is closed (CL-01)', async () => {
  const [reading, first, closed] = [1, 2, 3].map(() => Promise.withResolvers<void>());
  assert.ok(reading && first && closed);
  await using app = await playback(async () =>
    live(
      (async function* () {
        try {
          reading.resolve();
          await first.promise;
          yield BYTES;
        } finally {
          closed.resolve();
        }
      })(),
    ),
  );
  const wire = await dial(app.port);
  wire.socket.write(`GET /transcode?id=${R} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n\r\n`);
  await reading.promise;
  wire.socket.destroy();
  await eventually(() => app.lines.some((line) => line.includes('"complete":false')));
  first.resolve();
  await closed.promise;
});

test('invariant 6: a listener that does not read holds the source back, and is let go after 120 s (CL-02) (A2)', async () => {
  let made = 0;
  const clock = new FakeClock();
  const ended = Promise.withResolvers<void>();
  const body = (async function* () {
    try {
      for (; made < 10_000; made += 1) yield Buffer.alloc(65_536);
    } finally {
      ended.resolve();
    }
  })();
  await using app = await playback(async () => live(body), new MapArchive(), clock);
  const wire = await dial(app.port);
  wire.socket.pause();
  wire.socket.write(`GET /transcode?id=${R} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n\r\n`);
  let over = false;
  void ended.promise.then(() => (over = true));
  await passing(clock, () => over);
  assert.ok(clock.now() >= 120_000, `let go after ${String(clock.now())} ms`);
  assert.ok(made < 500, `${String(made)} chunks of 64 KiB were made for nobody`);
  await eventually(() => app.lines.some((line) => line.includes('stopped reading')));
  assert.match(await app.metrics.text(), /listens_total\{from="live",result="left"\} 1/);
  assert.match(await app.metrics.text(), /archiver_listeners 0/);
  wire.socket.destroy();
});

test('a listener that takes a little every second is not let go, however long that takes (A2)', async () => {
  const clock = new FakeClock();
  const pieces = 300;
  await using app = await playback(async () => live(chunks(pieces, 65_536)), new MapArchive(), clock);
  const wire = await dial(app.port);
  wire.socket.on('data', () => clock.advance(1_000));
  wire.socket.write(`GET /transcode?id=${R} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\nConnection: close\r\n\r\n`);
  assert.ok((await wire.ended()).length > pieces * 65_536);
  assert.ok(clock.now() > 2 * 120_000, String(clock.now()));
});

test('what has left the process is answered, whatever the listener does with it', async () => {
  const clock = new FakeClock();
  await using app = await playback(async () => live(chunks(3)), new MapArchive(), clock);
  assert.equal((await (await get(app)).arrayBuffer()).byteLength, 3000);
  await eventually(() => clock.alarms === 0);
});

/** A second after each turn of the loop. */
async function passing(clock: FakeClock, until: () => boolean): Promise<void> {
  while (!until()) {
    clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const TOO_MANY = [
  { what: 'live listeners with one key', who: KEY, live: LISTENERS.livePerKey, archived: 0 },
  { what: 'listeners with one key', who: KEY, live: 0, archived: LISTENERS.perKey },
];

for (const { what, live: lives, archived } of TOO_MANY) {
  test(`one too many ${what} gets 429 with Retry-After, another key does not (A3)`, async () => {
    const archive = new MapArchive();
    archive.put({ recordingId: 'stored', conversationId: undefined }, BYTES);
    const go = Promise.withResolvers<void>();
    archive.read = async () => Readable.from(waiting(go.promise), { objectMode: false });
    await using app = await playback(async () => live(waiting(go.promise)), archive);
    const ask = (id: string, key: string): Promise<Response> =>
      fetch(`${app.url}/transcode?id=${id}`, { headers: { 'x-api-key': key } });
    const ids = [...Array(lives).fill(R), ...Array(archived).fill('stored')];
    const answers = await Promise.all(ids.map((id: string) => ask(id, KEY)));
    assert.ok(answers.every(({ status }) => status === 200));
    const [id = R] = ids;
    const refused = await errorOf(await ask(id, KEY));
    assert.deepEqual([refused.status, refused.code, refused.headers.get('retry-after')], [429, 'busy', '5']);
    const other = await ask(id, 'other-key');
    assert.equal(other.status, 200);
    go.resolve();
    for (const answer of [...answers, other]) assert.equal((await answer.arrayBuffer()).byteLength, 1000);
    assert.equal((await ask(id, KEY)).status, 200, 'and then there is room again');
  });
}

/** As much as a recording that is stored, the second half later. */
async function* waiting(go: Promise<void>): AsyncGenerator<Buffer, void, void> {
  yield BYTES.subarray(0, 500);
  await go;
  yield BYTES.subarray(500);
}

test('a live answer ignores ranges of every kind (CL-04)', async () => {
  await using app = await playback(async () => live(chunks(2)));
  for (const range of ['bytes=0-', 'bytes=5-10', 'bytes=9999-', 'bytes=0-1,5-6', 'bytes=-1', 'items=1-2', 'x']) {
    const response = await get(app, undefined, { range });
    assert.deepEqual([response.status, response.headers.get('accept-ranges')], [200, 'none'], range);
    assert.equal((await response.arrayBuffer()).byteLength, 2000);
  }
});

/** Beyond every number there is. */
const HUGE = '9'.repeat(400);

test('an archived recording has ranges, length and a strong entity tag (CL-04)', async () => {
  const archive = new MapArchive();
  const manifest = archive.put({ recordingId: R, conversationId: undefined }, BYTES);
  const etag = `"${manifest.webm.sha256}"`;
  await using app = await playback(notLive, archive);
  const whole = await get(app);
  assert.equal(whole.status, 200);
  for (const [name, value] of Object.entries({ etag, 'accept-ranges': 'bytes', 'content-length': '1000' })) {
    assert.equal(whole.headers.get(name), value);
  }
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), BYTES);
  for (const [range, start, end] of [
    ['bytes=0-0', 0, 0],
    ['bytes=10-19', 10, 19],
    ['bytes=990-', 990, 999],
    ['bytes=990-5000', 990, 999],
    ['bytes=-10', 990, 999],
    ['bytes=-5000', 0, 999],
    [`bytes=-${HUGE}`, 0, 999],
    [`bytes=0-${HUGE}`, 0, 999],
    [`bytes=${'0'.repeat(500)}-1`, 0, 1],
    ['BYTES=0-0', 0, 0],
    ['bytes= \t,5-9 , ', 5, 9],
  ] as const) {
    const part = await get(app, undefined, { range });
    assert.equal(part.status, 206, range);
    assert.equal(part.headers.get('content-range'), `bytes ${String(start)}-${String(end)}/1000`);
    assert.equal(part.headers.get('content-length'), String(end - start + 1));
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), BYTES.subarray(start, end + 1));
  }
  const many = Array.from({ length: 1_000 }, (_, at) => `${String(at)}-${String(at)}`).join();
  const several = ['bytes=0-1,5-6', 'bytes=0-,0-,0-', 'bytes=0-1,-1', `bytes=${many}`, 'bytes=0-0,1-1,0-999'];
  const nonsense = [
    'bytes=5-4',
    'bytes=a-b',
    'bytes=',
    'bytes=-',
    'bytes 0-1',
    'bytes=--1',
    'bytes=1 0-2 0',
    'by tes=0-1',
  ];
  const other = [
    'items=0-1',
    'seconds=0-1',
    'bytes=0x0-0x1',
    'bytes=+0-1',
    'bytes=0-1/5',
    'bytes=0-1;q=1',
    'bytes=1e1-2e1',
  ];
  for (const range of [...several, ...nonsense, ...other, `bytes=${HUGE}-1`]) {
    const answer = await get(app, undefined, { range });
    assert.equal(answer.status, 200, range);
    assert.equal((await answer.arrayBuffer()).byteLength, 1000);
  }
  for (const range of [
    'bytes=1000-',
    'bytes=5000-6000',
    'bytes=-0',
    'bytes=-000',
    `bytes=${HUGE}-`,
    `bytes=${HUGE}-${HUGE}9`,
  ]) {
    const answer = await get(app, undefined, { range });
    assert.equal(answer.headers.get('content-range'), 'bytes */1000', range);
    assert.deepEqual((await errorOf(answer)).code, 'range-not-satisfiable');
  }
});

test('If-Range gives the part only where the bytes are the same, else the whole', async () => {
  const archive = new MapArchive();
  const etag = `"${archive.put({ recordingId: R, conversationId: undefined }, BYTES).webm.sha256}"`;
  await using app = await playback(notLive, archive);
  const size = async (ifRange: string): Promise<readonly [number, number]> => {
    const answer = await get(app, undefined, { range: 'bytes=0-9', 'if-range': ifRange });
    return [answer.status, (await answer.arrayBuffer()).byteLength];
  };
  assert.deepEqual(await size(etag), [206, 10]);
  assert.deepEqual(await size('"other"'), [200, 1000]);
  assert.deepEqual(await size(`W/${etag}`), [200, 1000]);
  assert.deepEqual(await size('Wed, 05 Aug 2026 00:00:00 GMT'), [200, 1000]);
  for (const several of [`${etag}, ${etag}`, `"other", ${etag}`, '*', etag.slice(1, -1), etag.toUpperCase()])
    assert.deepEqual(await size(several), [200, 1000], several);
  assert.equal(archive.reads, 9, 'once each');
});

test('If-Match: who goes on with what they have of other bytes is told so, and nothing is read', async () => {
  const archive = new MapArchive();
  const etag = `"${archive.put({ recordingId: R, conversationId: undefined }, BYTES).webm.sha256}"`;
  await using app = await playback(notLive, archive);
  for (const tags of [etag, '*', `"other", ${etag}`]) {
    const answer = await get(app, undefined, { 'if-match': tags, range: 'bytes=0-9' });
    assert.deepEqual([answer.status, (await answer.arrayBuffer()).byteLength], [206, 10], tags);
  }
  for (const tags of ['"other"', `W/${etag}`, etag.slice(1, -1), '"other", "another"', '""']) {
    const answer = await get(app, undefined, { 'if-match': tags, range: 'bytes=0-9' });
    assert.equal((await errorOf(answer)).status, 412, tags);
  }
  assert.equal(archive.reads, 3);
});

test('HEAD, OPTIONS and If-None-Match start nothing (CL-05)', async () => {
  const archive = new MapArchive();
  const etag = `"${archive.put({ recordingId: R, conversationId: undefined }, BYTES).webm.sha256}"`;
  await using app = await playback(notLive, archive);
  const request = (method: string, id: string, headers = {}): Promise<Response> =>
    fetch(`${app.url}/transcode?id=${id}`, { method, headers: { ...WITH_KEY, ...headers } });
  const known = await request('HEAD', R, { range: 'bytes=0-9' });
  assert.deepEqual([known.status, known.headers.get('content-length'), known.headers.get('etag')], [200, '1000', etag]);
  const unknown = await request('HEAD', 'unknown');
  assert.deepEqual([unknown.status, unknown.headers.get('accept-ranges')], [200, 'none']);
  assert.equal((await request('HEAD', R, { 'if-none-match': etag })).status, 304);
  for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
    const unchanged = await request('GET', R, { 'if-none-match': tag });
    assert.deepEqual([unchanged.status, unchanged.headers.get('etag')], [304, etag], tag);
  }
  for (const method of ['OPTIONS', 'POST', 'PUT', 'DELETE']) {
    const error = await errorOf(await request(method, R));
    assert.deepEqual([error.status, error.headers.get('allow')], [405, 'GET, HEAD'], method);
  }
  assert.equal(archive.reads, 0);
  assert.equal((await request('GET', R, { 'if-none-match': '"other"' })).status, 200);
  assert.equal(archive.reads, 1);
});

test('without a key it is 401 before anything else (CL-07)', async () => {
  let listened = 0;
  await using app = await playback(async () => {
    listened += 1;
    return live(chunks(1));
  });
  const basic = `Basic ${Buffer.from(`x:${KEY}`).toString('base64')}`;
  for (const headers of [
    {},
    { authorization: 'Bearer wrong' },
    { 'x-api-key': '' },
    { authorization: basic },
    { 'x-api-key': `${KEY}, ${KEY}` },
  ]) {
    for (const query of [`?id=${R}`, '', '?id=../x']) {
      const error = await errorOf(await fetch(`${app.url}/transcode${query}`, { headers }));
      assert.deepEqual([error.status, error.headers.get('www-authenticate')], [401, 'Bearer']);
    }
  }
  assert.equal((await fetch(`${app.url}/transcode?id=${R}&key=${KEY}`)).status, 401, 'no key in a URL');
  assert.equal(listened, 0);
  for (const headers of [WITH_KEY, { 'x-api-key': KEY }, { 'x-api-key': 'other-key' }]) {
    assert.equal((await fetch(`${app.url}/transcode?id=${R}`, { headers })).status, 200);
  }
  assert.equal(listened, 3);
});

test('ids are ids: nothing else goes any further (CL-08)', async () => {
  let listened = 0;
  await using app = await playback(async () => {
    listened += 1;
    return live(chunks(1));
  });
  for (const [query, field] of [
    ['', 'id'],
    ['?id=', 'id'],
    ['?id=_', 'id'],
    ['?id=-i&id=-f', 'id'],
    ['?id=a%20-f%20lavfi', 'id'],
    ['?id=..%2F..%2Fetc', 'id'],
    ['?id=a%0d%0aX-Y:%20z', 'id'],
    ['?id=a%00', 'id'],
    ['?id=http://169.254.169.254/', 'id'],
    [`?id=${'a'.repeat(129)}`, 'id'],
    ['?id[x]=a', 'id'],
    [`?id=${R}&conversationId=../x`, 'conversationId'],
    [`?id=${R}&conversationId=`, 'conversationId'],
    [`?id=${R}&conversationId=a&conversationId=b`, 'conversationId'],
  ] as const) {
    const error = await errorOf(await get(app, query));
    assert.equal(error.status, 400, query);
    assert.ok(error.message.startsWith(`${field}: `), query);
  }
  assert.equal(listened, 0);
});

test('requests that are pipelined behind a recording get theirs after it (CL-12)', async () => {
  await using app = await playback(async () => live(chunks(3)));
  const head = `HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n`;
  const text = await exchange(
    app.port,
    `GET /transcode?id=${R} ${head}\r\nGET /healthz ${head}Connection: close\r\n\r\n`,
  );
  assert.match(text, /^HTTP\/1\.1 200 OK[\s\S]*\r\n0\r\n\r\nHTTP\/1\.1 200 OK[\s\S]*alive/);
});

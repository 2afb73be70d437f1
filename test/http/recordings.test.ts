import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LISTINGS } from '../../src/bounds.ts';
import type { Entry } from '../../src/archive/archive.ts';
import { dial, errorOf, eventually, MapArchive, start, type Started } from './far-ends.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { keysOf } from '../support/keys.ts';

const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const KEY = 'an-api-key';
const OTHER_KEY = 'another-api-key';
const BYTES = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 256));
const CALL = { recordingId: R, conversationId: C };

async function playback(
  clock?: FakeClock,
): Promise<Started & { archive: MapArchive; ask: (path: string, headers?: object) => Promise<Response> }> {
  const archive = new MapArchive();
  const started = await start({
    auth: { required: true, keys: keysOf(KEY, OTHER_KEY) },
    playback: { recordings: { archive, linkLifetimeS: 900 } },
    media: archive,
    ...(clock === undefined ? {} : { clock }),
  });
  const ask = (path: string, headers: object = {}): Promise<Response> =>
    fetch(started.url + path, { redirect: 'manual', headers: { 'x-api-key': KEY, ...headers } });
  return Object.assign(started, { archive, ask });
}

async function json(response: Response): Promise<Record<string, unknown>> {
  const value: unknown = await response.json();
  assert.ok(typeof value === 'object' && value !== null);
  return { ...value };
}

test('the list takes its filters apart, and passes on the cursor', async () => {
  await using app = await playback();
  app.archive.put(CALL, BYTES);
  const response = await app.ask(
    `/recordings?from=2026-08-01&to=2026-08-05&conversationId=${C}&status=archived&limit=7`,
  );
  assert.equal(response.status, 200);
  const { recordings, cursor } = await json(response);
  assert.ok(Array.isArray(recordings));
  const [first] = recordings.map((entry: unknown) => JSON.stringify(entry));
  assert.match(
    first ?? '',
    new RegExp(`^{"status":"archived","recordingId":"${R}","conversationId":"${C}","manifest":{"version":1,`),
  );
  assert.equal(cursor, 'next-page');
  const last = await json(await app.ask('/recordings?cursor=next-page'));
  assert.equal(last['cursor'], undefined);
  const filters = { from: '2026-08-01', to: '2026-08-05', conversationId: C, status: 'archived', limit: 7 };
  assert.deepEqual(app.archive.queries, [filters, { cursor: 'next-page', limit: 100 }]);
});

test('every field of a query that is wrong is named, all at once', async () => {
  await using app = await playback();
  const query =
    'from=yesterday&to=2026-02-30&conversationId=../x&status=lost&limit=0&limit=5&form=2026-01-01&cursor=%0a';
  const error = await errorOf(await app.ask(`/recordings?${query}`));
  assert.equal(error.status, 400);
  for (const field of ['from', 'to', 'conversationId', 'status', 'limit', 'form', 'cursor']) {
    assert.match(error.message, new RegExp(`(^|; )${field}: `));
  }
  assert.equal((await errorOf(await app.ask('/recordings?from=2026-08-05&to=2026-08-01'))).status, 400);
  for (const limit of ['1001', '1.5', '-1', '1e2', '']) {
    assert.match((await errorOf(await app.ask(`/recordings?limit=${limit}`))).message, /^limit: /);
  }
  assert.equal(app.archive.queries.length, 0);
});

test('a recording is shown with its manifest, its failure, or not at all', async () => {
  await using app = await playback();
  const manifest = app.archive.put(CALL, BYTES);
  app.archive.put({ recordingId: 'lone', conversationId: undefined }, BYTES);
  app.archive.fail({ recordingId: 'lost', conversationId: C }, 'Genesys has deleted it.');
  const shown = await json(await app.ask(`/recordings/${C}/${R}`));
  assert.deepEqual(shown, { status: 'archived', recordingId: R, conversationId: C, manifest });
  assert.equal((await json(await app.ask('/recordings/_/lone')))['conversationId'], null);
  const lost = await json(await app.ask(`/recordings/${C}/lost`));
  assert.equal(lost['status'], 'failed');
  assert.match(JSON.stringify(lost['failure']), /Genesys has deleted it\./);
  assert.equal((await errorOf(await app.ask(`/recordings/${C}/unknown`))).status, 404);
});

test('a recording that waits is shown with its reason, since when, and when it is tried again', async () => {
  await using app = await playback();
  app.archive.wait(CALL, 'The role lacks a permission.');
  const shown = await json(await app.ask(`/recordings/${C}/${R}`));
  assert.equal(shown['status'], 'waiting');
  const { reason, since, nextTry, sort } = Object(shown['waiting']);
  assert.deepEqual(
    [reason, since, nextTry, sort],
    ['The role lacks a permission.', '2026-08-05T00:00:00.000Z', '2026-08-05T00:20:00.000Z', 'operator'],
  );
  app.archive.put(CALL, BYTES);
  assert.equal((await json(await app.ask(`/recordings/${C}/${R}`)))['status'], 'archived');
  for (const status of ['waiting', 'no-recordings', 'no-media', 'failed', 'archived']) {
    assert.equal((await app.ask(`/recordings?status=${status}`)).status, 200, status);
  }
});

test('one list too many of a key gets 429 with Retry-After, another key does not (A3)', async () => {
  await using app = await playback();
  const go = Promise.withResolvers<void>();
  let asked = 0;
  app.archive.list = async () => {
    asked += 1;
    await go.promise;
    return { entries: [], cursor: undefined };
  };
  const answers = Array.from({ length: LISTINGS.perKey }, () => app.ask('/recordings'));
  await eventually(() => asked === LISTINGS.perKey);
  const refused = await errorOf(await app.ask('/recordings'));
  assert.deepEqual([refused.status, refused.code, refused.headers.get('retry-after')], [429, 'busy', '5']);
  const other = app.ask('/recordings', { 'x-api-key': OTHER_KEY });
  go.resolve();
  for (const answer of [...answers, other]) assert.deepEqual(await (await answer).json(), { recordings: [] });
  assert.equal((await app.ask('/recordings')).status, 200, 'and then there is room again');
});

test('who asks for a list and does not read it is let go after 120 s, which is no fault (A3)', async () => {
  const clock = new FakeClock();
  await using app = await playback(clock);
  const failure = {
    version: 1,
    recordingId: R,
    conversationId: C,
    attempts: 1,
    failedAt: '',
    status: 'failed',
  } as const;
  const reason = 'x'.repeat(40_000_000);
  const entry: Entry = {
    status: 'failed',
    recording: CALL,
    failure: { ...failure, code: 'gone', reason, service: '0' },
  };
  app.archive.list = async () => ({ entries: [entry], cursor: undefined });
  const wire = await dial(app.port);
  wire.socket.pause();
  wire.socket.write(`GET /recordings HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n\r\n`);
  const isOver = (): boolean => app.lines.some((line) => line.includes('"complete":false'));
  while (!isOver()) {
    clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(clock.now() >= 120_000, `let go after ${String(clock.now())} ms`);
  assert.ok(!app.lines.some((line) => /WARNING|ERROR/.test(line)));
  wire.socket.destroy();
});

test('a path is two ids, or 400 (IN-13)', async () => {
  await using app = await playback();
  for (const path of [
    `${C}/..%2f..%2fetc`,
    `${C}/_`,
    `%2e%2ex/${R}`,
    `${C}/a%00`,
    `${C}/a%0d%0aX:y`,
    `a.b/${R}`,
    '%zz/x',
  ]) {
    assert.equal((await errorOf(await app.ask(`/recordings/${path}`))).status, 400, path);
  }
});

test('a link is an address and its end, or a redirect that repeats it nowhere', async () => {
  await using app = await playback();
  app.archive.put(CALL, BYTES);
  const answer = await app.ask(`/recordings/${C}/${R}/link`);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.headers.get('referrer-policy'), 'no-referrer');
  const url = `https://links.example/media/${C}/${R}?expires=900&signature=good`;
  assert.deepEqual(await json(answer), { url, expiresAt: '2026-08-05T00:15:00.000Z' });
  for (const query of ['?redirect', '?redirect=1']) {
    const redirect = await app.ask(`/recordings/${C}/${R}/link${query}`);
    assert.deepEqual([redirect.status, redirect.headers.get('location')], [302, url]);
    assert.equal(await redirect.text(), '');
    assert.equal(redirect.headers.get('cache-control'), 'no-store');
  }
  assert.equal((await errorOf(await app.ask(`/recordings/${C}/unknown/link`))).status, 404);
});

test('without a key nothing is told, not even what exists (CL-07)', async () => {
  await using app = await playback();
  app.archive.put(CALL, BYTES);
  for (const path of [
    '/recordings',
    `/recordings/${C}/${R}`,
    `/recordings/${C}/unknown`,
    `/recordings/${C}/${R}/link`,
  ]) {
    assert.equal((await errorOf(await fetch(app.url + path))).status, 401, path);
  }
});

test('a signed link plays without a key: whole, in parts, and in another origin’s page', async () => {
  await using app = await playback();
  const manifest = app.archive.put(CALL, BYTES);
  const url = `${app.url}/media/${C}/${R}?expires=9&signature=good`;
  const whole = await fetch(url);
  assert.equal(whole.status, 200);
  for (const [name, value] of Object.entries({
    'content-type': 'audio/webm',
    'content-length': '1000',
    'content-disposition': `inline; filename="${R}.webm"`,
    'accept-ranges': 'bytes',
    etag: `"${manifest.webm.sha256}"`,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'cross-origin',
    'content-security-policy': "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'",
  })) {
    assert.equal(whole.headers.get(name), value);
  }
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), BYTES);
  const part = await fetch(url, { headers: { range: 'bytes=-10' } });
  assert.deepEqual([part.status, part.headers.get('content-range')], [206, 'bytes 990-999/1000']);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), BYTES.subarray(990));
  const beyond = await fetch(url, { headers: { range: 'bytes=1000-' } });
  assert.equal(beyond.headers.get('content-range'), 'bytes */1000');
  assert.equal((await errorOf(beyond)).status, 416);
});

test('a signed link answers conditions and HEAD without reading', async () => {
  await using app = await playback();
  const etag = `"${app.archive.put(CALL, BYTES).webm.sha256}"`;
  const url = `${app.url}/media/${C}/${R}?signature=good`;
  const head = await fetch(url, { method: 'HEAD', headers: { range: 'bytes=0-9' } });
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, '1000']);
  assert.equal((await fetch(url, { headers: { 'if-none-match': etag, range: 'bytes=0-9' } })).status, 304);
  assert.equal(app.archive.reads, 0);
  const stale = await fetch(url, { headers: { 'if-range': '"old"', range: 'bytes=0-9' } });
  assert.deepEqual([stale.status, (await stale.arrayBuffer()).byteLength], [200, 1000]);
  const fresh = await fetch(url, { headers: { 'if-range': etag, range: 'bytes=0-9' } });
  assert.deepEqual([fresh.status, (await fresh.arrayBuffer()).byteLength], [206, 10]);
});

test('a link that is not signed is 403, one whose recording is gone 404, and other methods 405', async () => {
  await using app = await playback();
  app.archive.put(CALL, BYTES);
  const ask = (path: string, method = 'GET'): Promise<Response> => fetch(app.url + path, { method });
  assert.equal((await errorOf(await ask(`/media/${C}/${R}?signature=bad`))).status, 403);
  assert.equal((await errorOf(await ask(`/media/${C}/${R}`))).status, 403);
  assert.equal((await errorOf(await ask(`/media/_/${R}?signature=good`))).status, 404);
  assert.equal((await errorOf(await ask(`/media/${C}/${R}?signature=good`, 'POST'))).status, 405);
  assert.equal((await errorOf(await ask('/media/x?signature=good'))).status, 404);
});

test('invariant 8: no link, key or signature reaches the log (CL-10)', async () => {
  await using app = await playback();
  app.archive.put(CALL, BYTES);
  await app.ask(`/recordings/${C}/${R}/link`);
  await app.ask(`/recordings/${C}/${R}/link?redirect`);
  await fetch(`${app.url}/media/${C}/${R}?expires=9&signature=good`);
  await fetch(`${app.url}/media/${C}/${R}?expires=9&signature=canary`);
  await eventually(() => app.lines.filter((line) => line.includes('A request was answered.')).length === 4);
  const log = app.lines.join('\n');
  for (const secret of ['signature=', 'good', 'canary', KEY, 'expires=']) assert.ok(!log.includes(secret), secret);
});

test('a listener that leaves an archived recording midway is no fault', async () => {
  await using app = await playback();
  app.archive.put(CALL, Buffer.alloc(50_000_000));
  const wire = await dial(app.port);
  wire.socket.write(`GET /media/${C}/${R}?signature=good HTTP/1.1\r\nHost: x\r\n\r\n`);
  await wire.until(/200 OK/);
  wire.socket.destroy();
  await eventually(() => app.lines.some((line) => line.includes('"complete":false')));
  assert.match(await app.metrics.text(), /archiver_listens_total\{from="archive",result="left"\} 1/);
  assert.ok(!app.lines.some((line) => /WARNING|ERROR/.test(line)));
});

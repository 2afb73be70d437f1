/** Whatever a client writes as target, headers or body is the client's mistake: never a 500, never a line of level ERROR (B7). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { runs, SEED } from '../support/soak.ts';
import { keysOf } from '../support/keys.ts';
import { dial, ListQueue, MapArchive, start, type Started } from './far-ends.ts';

const KEY = 'the-key-of-the-fuzzer';
const TOKEN = 'the-token-of-the-fuzzer';

function everything(): Promise<Started> {
  const archive = new MapArchive();
  const listen = (): Promise<never> => Promise.reject(new Error('nothing of the fuzzer names a recording'));
  return start({
    auth: { required: true, keys: keysOf(KEY), perSecond: 10_000 },
    webhook: { auth: { required: true, secrets: [], tokens: keysOf(TOKEN) }, queue: new ListQueue() },
    playback: { transcode: { listen, archive }, recordings: { archive, linkLifetimeS: 900 } },
    media: archive,
  });
}

/** Sends bytes and returns what came back until the connection ended; nothing where it was just closed. */
async function exchanged(app: Started, bytes: Buffer): Promise<string> {
  const wire = await dial(app.port);
  wire.socket.end(bytes);
  return wire.ended();
}

function statusesIn(text: string): readonly number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

async function assertHarmless(app: Started, bytes: Buffer): Promise<void> {
  const text = await exchanged(app, bytes);
  const statuses = statusesIn(text);
  const shown = bytes.toString('latin1').slice(0, 300);
  assert.ok(
    statuses.every((status) => status < 500),
    `${statuses.join()} for ${JSON.stringify(shown)}`,
  );
  assert.doesNotMatch(text, /<html|<!DOCTYPE/i, shown);
  const errors = app.lines.filter((line) => line.includes('"severity":"ERROR"'));
  assert.deepEqual(errors, [], shown);
}

const PATHS = [
  '/media/a/b',
  '/transcode',
  '/recordings',
  '/recordings/c/r',
  '/recordings/c/r/link',
  '/healthz',
  '/readyz',
  '/metrics',
  '/webhooks/genesys',
  '/',
];
const path = fc.constantFrom(...PATHS);
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'CONNECT', 'QUERY'];
/** Printable, without the blank that ends a target. */
const visible = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 60,
});
const bytes = fc
  .uint8Array({ maxLength: 60 })
  .map((all) => Buffer.from(all.filter((byte) => ![0x0d, 0x0a, 0x20].includes(byte))).toString('latin1'));

const ODD_TARGETS = [
  'http://x:99999/media/a/b',
  'http://x:-1/media/a/b',
  'http://[::1/media/a/b',
  'http://[x]/media/a/b',
  'http:///media/a/b',
  'http://%zz/media/a/b',
  'http://a b/media/a/b',
  'https://user:pass@x:99999/',
  '//x:99999/media/a/b',
  '///media/a/b',
  '//',
  '*',
  'x',
  'x:99999',
  ':99999',
  'javascript:alert(1)',
  'data:,x',
  'file:///etc/passwd',
  'about:blank',
  '/%',
  '/%zz',
  '/%ff%fe',
  '/media/%2e%2e/%2e%2e',
  '/media/a/b?%',
  '/media/a/b?expires=1&expires=2&signature=',
  '/media/a/b?signature[]=x&signature[a]=y&__proto__[x]=1',
  '/recordings?cursor=%00&limit=1e9&from=-',
  '/recordings/%00/%0a',
  '/recordings/../../x/link',
  '/transcode?id=%ED%A0%80',
  '/transcode?id[toString]=x',
  '/transcode?id=a&id=b',
  '/\\x:99999/media/a/b',
  '\\\\x\\y',
  '/media/a/b#fragment',
  '/media/a/b;x=y',
  `/media/${'a'.repeat(8_000)}/b`,
  `/${'%20'.repeat(3_000)}`,
  `/transcode?id=${'a&id='.repeat(1_500)}`,
];

function request(method: string, target: string, headers = ''): Buffer {
  const key = `X-API-Key: ${KEY}\r\nX-Webhook-Token: ${TOKEN}\r\n`;
  return Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: x\r\n${key}${headers}Connection: close\r\n\r\n`, 'latin1');
}

test('a target that is no URL is a 400 (B7)', async () => {
  await using app = await everything();
  for (const target of [
    'http://x:99999/media/a/b',
    '//x:99999/media/a/b',
    'http://[::1/media/a/b',
    'http://%zz/media/a/b',
  ])
    assert.deepEqual(statusesIn(await exchanged(app, request('GET', target))), [400], target);
  for (const target of ['*', 'x', 'about:blank', 'file:///etc/passwd', 'javascript:alert(1)', 'x:99999'])
    assert.deepEqual(statusesIn(await exchanged(app, request('OPTIONS', target))), [400], target);
  assert.deepEqual(
    statusesIn(await exchanged(app, request('GET', 'http://x:80/healthz'))),
    [200],
    'an absolute target is one',
  );
});

test('odd targets, each with every method (B7)', async () => {
  await using app = await everything();
  for (const target of ODD_TARGETS) for (const method of METHODS) await assertHarmless(app, request(method, target));
});

test('targets of any bytes (B7)', async () => {
  await using app = await everything();
  const target = fc.oneof(
    visible,
    bytes,
    fc.tuple(path, bytes).map(([at, rest]) => at + rest),
    fc.tuple(path, visible).map(([at, rest]) => `${at}?${rest}`),
    fc.tuple(visible, path).map(([host, at]) => `http://${host}${at}`),
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
  );
  const method = fc.constantFrom(...METHODS);
  const property = fc.asyncProperty(method, target, (verb, text) => assertHarmless(app, request(verb, text)));
  await fc.assert(property, { numRuns: runs(400, 10_000), seed: SEED });
});

const NAMES = [
  'Range',
  'If-Range',
  'If-None-Match',
  'Authorization',
  'X-API-Key',
  'X-Request-Id',
  'Host',
  'X-Forwarded-For',
  'Content-Type',
  'Content-Encoding',
  'Content-Length',
  'Transfer-Encoding',
  'Expect',
  'Upgrade',
  'Connection',
  'Cookie',
  'Origin',
  'Accept',
  'traceparent',
  'X-Cloud-Trace-Context',
  'webhook-id',
  'webhook-timestamp',
  'webhook-signature',
  'X-Hub-Signature-256',
];

test('headers of any bytes, known and unknown, once and twice (B7)', async () => {
  await using app = await everything();
  const value = fc.oneof(
    visible,
    bytes,
    fc.constantFrom(
      'bytes=0-',
      'bytes=99999999999999999999-',
      'bytes=-0',
      'bytes=0-0,-1',
      '*',
      '"',
      'W/""',
      'Basic ====',
      'Bearer ',
      'NaN',
      '-1',
      '100-continue',
      'h2c',
      'close, upgrade',
    ),
  );
  const header = fc
    .tuple(fc.oneof(fc.constantFrom(...NAMES), visible), value)
    .map(([name, text]) => `${name}: ${text}\r\n`);
  const headers = fc.array(header, { minLength: 1, maxLength: 4 }).map((lines) => lines.join(''));
  const property = fc.asyncProperty(
    fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS'),
    path,
    headers,
    (method, at, lines) => assertHarmless(app, request(method, at, lines)),
  );
  await fc.assert(property, { numRuns: runs(400, 10_000), seed: SEED });
});

test('bodies of any bytes and any JSON (B7)', async () => {
  await using app = await everything();
  const json = fc.jsonValue({ maxDepth: 5 }).map((value) => Buffer.from(JSON.stringify(value)));
  const event = fc
    .dictionary(
      fc.constantFrom(
        'recordingId',
        'id',
        'conversationId',
        'events',
        'detail',
        'detail-type',
        'topicName',
        'eventBody',
        'type',
        'event',
      ),
      fc.oneof(fc.jsonValue(), fc.constantFrom('v2.users.u.recordings', 'v2.detail.events.conversation.{id}.acw')),
    )
    .map((value) => Buffer.from(JSON.stringify(value)));
  const body = fc.oneof(
    json,
    event,
    fc.uint8Array({ maxLength: 200 }).map((all) => Buffer.from(all)),
  );
  const property = fc.asyncProperty(body, async (content) => {
    const head = `Content-Type: application/json\r\nContent-Length: ${String(content.length)}\r\n`;
    await assertHarmless(app, Buffer.concat([request('POST', '/webhooks/genesys', head), content]));
  });
  await fc.assert(property, { numRuns: runs(400, 10_000), seed: SEED });
});

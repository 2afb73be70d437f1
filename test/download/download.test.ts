/** Downloads against a media host that misbehaves on the wire; every byte compared by SHA-256. */
import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { MediaHost as ListedHost } from '../../src/config/genesys.ts';
import { Failure, type FailureCode } from '../../src/failure.ts';
import { createDownloader, type Downloader, type DownloadOptions } from '../../src/download/download.ts';
import type { Download } from '../../src/media-file.ts';
import type { Locate } from '../../src/download/source.ts';
import {
  answer,
  createMediaHost,
  endless,
  portOf,
  s3Error,
  serving,
  trickling,
} from '../support/genesys/media-host.ts';
import type { Answer, MediaHost } from '../support/genesys/media-host.ts';
import { createSelfSigned } from '../support/self-signed.ts';

const MIB = 1024 ** 2;
const MEDIA = pseudoRandom(3 * MIB + 12_345);
const SMALL = MEDIA.subarray(0, 200_000);

/** The same bytes in every run, and no two stretches of them alike. */
function pseudoRandom(length: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(length));
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface Setup {
  readonly host: MediaHost;
  readonly downloader: Downloader;
  /** Locations asked for so far. */
  readonly located: () => number;
  readonly open: (signal?: AbortSignal) => Promise<Download>;
}

interface Wish {
  readonly usual?: Answer;
  readonly maxMediaBytes?: number;
  readonly mediaHosts?: readonly ListedHost[];
  readonly locate?: Locate;
  readonly options?: DownloadOptions;
}

async function setUp(t: TestContext, wish: Wish = {}): Promise<Setup> {
  const host = await createMediaHost(wish.usual ?? serving(MEDIA));
  t.after(() => host.close());
  const downloader = createDownloader(
    {
      apiUrl: 'https://api.mypurecloud.com',
      mediaHosts: [{ origin: host.origin }, ...(wish.mediaHosts ?? [])],
      maxMediaBytes: wish.maxMediaBytes ?? 64 * MIB,
    },
    { backoff: { baseMs: 1, capMs: 4 }, ...wish.options },
  );
  t.after(() => downloader.close());
  let located = 0;
  const locate: Locate = async (signal) => {
    located++;
    return wish.locate === undefined ? { url: host.url(), headers: {} } : wish.locate(signal);
  };
  const never = new AbortController().signal;
  return { host, downloader, located: () => located, open: (signal = never) => downloader.open(locate, signal) };
}

async function bytesOf(download: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of download) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Reads it all and holds it against what the host has. */
async function assertWhole(download: Download, expected: Buffer): Promise<void> {
  const bytes = await bytesOf(download);
  assert.equal(sha256(bytes), sha256(expected));
  assert.deepEqual(download.received(), { sizeBytes: expected.length, sha256: sha256(expected) });
}

function failing(code: FailureCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Failure, inspect(error));
    assert.equal(error.code, code, error.message);
    assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /canary/);
    return true;
  };
}

async function assertFails(setup: Setup, code: FailureCode): Promise<void> {
  await assert.rejects(async () => bytesOf(await setup.open()), failing(code));
}

const rangesAsked = (host: MediaHost): readonly (string | undefined)[] =>
  host.requests.map(({ headers }) => headers['range']);

test('downloads a file as it is, and says what the host said of it', async (t) => {
  const { host, open } = await setUp(t);
  const download = await open();
  assert.equal(download.contentType, 'audio/ogg');
  assert.equal(download.sizeBytes, MEDIA.length);
  assert.throws(() => download.received(), failing('internal'));
  await assertWhole(download, MEDIA);
  assert.equal(host.requests.length, 1);
  assert.equal(host.requests[0]?.headers['accept-encoding'], 'identity');
  assert.equal(host.requests[0]?.headers['authorization'], undefined);
});

test('downloads chunks to their terminator', async (t) => {
  const { open } = await setUp(t, { usual: answer({ body: MEDIA, framing: 'chunked' }) });
  const download = await open();
  assert.equal(download.sizeBytes, undefined);
  assert.equal(download.contentType, '');
  assert.equal(download.readRange, undefined);
  await assertWhole(download, MEDIA);
});

test('can be read only once', async (t) => {
  const { open } = await setUp(t);
  const download = await open();
  await assertWhole(download, MEDIA);
  await assert.rejects(bytesOf(download), failing('internal'));
});

// ---- what the host may answer instead ----

for (const status of [403, 401, 400, 404, 410]) {
  test(`gets a fresh location when the host answers ${String(status)}, and goes on with it (SR-04) (C2)`, async (t) => {
    const { host, open, located } = await setUp(t);
    host.tell(answer({ status }), answer({ status }));
    await assertWhole(await open(), MEDIA);
    assert.equal(located(), 3);
  });
}

/** What a download fails with. */
async function failureIn(setup: Setup): Promise<Failure> {
  const thrown: unknown = await setup
    .open()
    .then(bytesOf, (reason: unknown) => reason)
    .catch((reason: unknown) => reason);
  assert.ok(thrown instanceof Failure, inspect(thrown));
  assert.doesNotMatch(inspect(thrown, { depth: 9, showHidden: true }), /canary/);
  return thrown;
}

const PAGE = Buffer.from('\uFEFF \n<!DOCTYPE html><title>Blocked</title><p>canary</p>');

const REFUSED: readonly (readonly [string, Answer, RegExp])[] = [
  ['nothing more', answer({ status: 403 }), /\(403\): check the clock .* web filter or proxy .* OAuth client/],
  ['AccessDenied', s3Error('AccessDenied'), /\(403 AccessDenied\).*web filter/],
  [
    'RequestTimeTooSkewed',
    s3Error('RequestTimeTooSkewed'),
    /\(403 RequestTimeTooSkewed\): the clock of this machine is wrong/,
  ],
  ['SignatureDoesNotMatch', s3Error('SignatureDoesNotMatch'), /SignatureDoesNotMatch/],
  ['RequestExpired', s3Error('RequestExpired', 403), /\(403 RequestExpired\): the clock of this machine is wrong; let/],
  ['KMS.DisabledException', s3Error('KMS.DisabledException', 403), /\(403 KMS\.DisabledException\)/],
  ['AllAccessDisabled', s3Error('AllAccessDisabled', 403), /AllAccessDisabled/],
  ['InvalidAccessKeyId', s3Error('InvalidAccessKeyId', 403), /InvalidAccessKeyId/],
  ['JSON of a gateway', answer({ status: 403, body: Buffer.from('{"message":"canary"}') }), /\(403\)/],
  ['a page of a web filter', answer({ status: 403, body: PAGE }), /\(403 with a web page\).*web filter/],
  ['401', answer({ status: 401 }), /\(401\)/],
];
for (const [name, usual, message] of REFUSED) {
  test(`waits for the operator when three locations in a row are refused with ${name} (SR-04) (C3)`, async (t) => {
    const setup = await setUp(t, { usual });
    const failure = await failureIn(setup);
    assert.deepEqual([failure.code, failure.sort, failure.retry], ['forbidden', 'operator', 'wait'], failure.message);
    assert.match(failure.message, message);
    assert.deepEqual([setup.located(), setup.host.requests.length], [3, 3]);
  });
}

for (const usual of [
  s3Error('NoSuchKey'),
  s3Error('NoSuchBucket'),
  answer({ status: 410 }),
  answer({ status: 404, body: PAGE }),
]) {
  test('media that is not where Genesys says is asked for anew, and never called gone by the media host (C2)', async (t) => {
    const setup = await setUp(t, { usual });
    const failure = await failureIn(setup);
    assert.deepEqual([failure.code, failure.sort, failure.retry], ['upstream-error', 'surroundings', 'wait']);
    assert.deepEqual([setup.located(), setup.host.requests.length], [3, 3]);
  });
}

test('what is gone is said by Genesys, when it is asked for a fresh location (C2)', async (t) => {
  let located = 0;
  const setup: Setup = await setUp(t, {
    usual: s3Error('NoSuchKey'),
    locate: async () => {
      located++;
      if (located > 1) throw new Failure('gone', 'Genesys has deleted this recording.');
      return { url: setup.host.url(), headers: {} };
    },
  });
  assert.equal((await failureIn(setup)).code, 'gone');
});

test('an error that trickles in for ever costs two seconds, not a day (C3)', async (t) => {
  const body = Buffer.from('<Error><Code>SlowDown</Code>'.padEnd(4_000));
  const setup = await setUp(t, { usual: trickling({ status: 418, body }, 100, 200) });
  assert.equal((await failureIn(setup)).code, 'upstream-error');
  assert.equal(setup.host.requests.length, 1);
});

test('gets a fresh location when the old one has expired at the moment of resuming (SR-04)', async (t) => {
  const { host, open, located } = await setUp(t);
  host.tell(brokenOff({ at: MIB, end: 'reset' }), answer({ status: 403 }));
  await assertWhole(await open(), MEDIA);
  assert.equal(located(), 2);
  assert.equal(host.requests.length, 3);
});

for (const status of [408, 429, 500, 502, 503, 504]) {
  test(`tries again after ${String(status)}`, async (t) => {
    const { host, open, located } = await setUp(t);
    host.tell(answer({ status }), answer({ status }));
    await assertWhole(await open(), MEDIA);
    assert.equal(host.requests.length, 3);
    assert.equal(located(), 1);
  });
}

const LASTING: readonly (readonly [number, FailureCode])[] = [
  [408, 'upstream-timeout'],
  [429, 'rate-limited'],
  [500, 'upstream-unavailable'],
  [502, 'upstream-unavailable'],
  [507, 'upstream-unavailable'],
  [503, 'upstream-unavailable'],
];
for (const [status, code] of LASTING) {
  test(`gives up as ${code} after five more tries when ${String(status)} lasts`, async (t) => {
    const setup = await setUp(t, { usual: answer({ status }) });
    await assertFails(setup, code);
    assert.equal(setup.host.requests.length, 6);
  });
}

const FINAL: readonly (readonly [number, FailureCode])[] = [
  [202, 'not-ready'],
  [204, 'upstream-error'],
  [206, 'upstream-error'],
  [418, 'upstream-error'],
  [405, 'upstream-error'],
  [451, 'upstream-error'],
];
for (const [status, code] of FINAL) {
  test(`takes ${String(status)} for ${code} at once`, async (t) => {
    const setup = await setUp(t, { usual: answer({ status, body: SMALL }) });
    await assertFails(setup, code);
    assert.equal(setup.host.requests.length, 1);
  });
}

test('invariant 7: waits as long as Retry-After says before it asks again', async (t) => {
  const { host, open } = await setUp(t);
  host.tell(answer({ status: 503, headers: { 'Retry-After': '1' } }));
  await assertWhole(await open(), MEDIA);
  const [first, second] = host.requests;
  assert.ok(first !== undefined && second !== undefined && second.atMs - first.atMs >= 999);
});

test('invariant 7: gives the work back with the whole Retry-After when that exceeds its patience', async (t) => {
  const setup = await setUp(t, { usual: answer({ status: 429, headers: { 'Retry-After': '3600' } }) });
  await assert.rejects(
    setup.open(),
    (error: unknown) => failing('rate-limited')(error) && error instanceof Failure && error.afterMs === 3_600_000,
  );
  assert.equal(setup.host.requests.length, 1);
});

test('adds the waits up: patience is not renewed by asking in vain', async (t) => {
  const setup = await setUp(t, {
    usual: answer({ status: 503, headers: { 'Retry-After': '1' } }),
    options: { patienceMs: 1_500 },
  });
  await assertFails(setup, 'upstream-unavailable');
  assert.equal(setup.host.requests.length, 2);
});

// ---- reaching the host at all ----

test('says that nobody listens, after a bounded number of tries (SR-13)', async (t) => {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const origin = `http://127.0.0.1:${String(portOf(free))}`;
  free.close();
  await once(free, 'close');
  const setup = await setUp(t, {
    mediaHosts: [{ origin }],
    locate: async () => ({ url: new URL(`${origin}/a?X-Amz-Signature=canary`), headers: {} }),
  });
  await assertFails(setup, 'upstream-unavailable');
  assert.equal(setup.located(), 1);
});

test('says that a name does not resolve, after a bounded number of tries (SR-13)', async (t) => {
  let asked = 0;
  const setup = await setUp(t, {
    mediaHosts: [{ suffix: '.amazonaws.com' }],
    locate: async () => ({ url: new URL('https://nowhere.s3.amazonaws.com/a?X-Amz-Signature=canary'), headers: {} }),
    options: {
      lookup: (hostname, _options, done) => {
        asked++;
        done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), '', 0);
      },
    },
  });
  await assertFails(setup, 'upstream-unavailable');
  assert.equal(asked, 6);
});

test('never talks to a host whose certificate nobody vouches for, and does not try again (SR-13)', async (t) => {
  let handshakes = 0;
  const requests: string[] = [];
  const server = createTlsServer(createSelfSigned(), (socket) => {
    socket.on('error', () => {}).on('data', (chunk) => requests.push(chunk.toString()));
  });
  server.on('connection', () => handshakes++).on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const origin = `https://localhost:${String(portOf(server))}`;
  const setup = await setUp(t, {
    mediaHosts: [{ origin }],
    locate: async () => ({ url: new URL(`${origin}/a?X-Amz-Signature=canary`), headers: {} }),
    options: { lookup: (_hostname, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]) },
  });
  await assertFails(setup, 'misconfigured');
  assert.equal(handshakes, 1);
  assert.deepEqual(requests, []);
});

test('goes up with what the locating failed with', async (t) => {
  const setup = await setUp(t, { locate: () => Promise.reject(new Failure('needs-restore', 'It is archived.')) });
  await assertFails(setup, 'needs-restore');
});

// ---- bodies that break off ----

interface Break {
  readonly at: number;
  readonly end: 'fin' | 'reset';
  readonly framing?: 'length' | 'chunked';
  readonly etag?: string;
}

/** A good answer whose body stops somewhere. */
function brokenOff({ at, end, framing = 'length', etag = '"v1"' }: Break): Answer {
  return answer({ body: MEDIA, cutAt: at, end, framing, headers: { ETag: etag, 'Accept-Ranges': 'bytes' } });
}

const BREAKS: readonly (readonly [string, Break])[] = [
  ['SR-15) (a FIN before the announced length', { at: MIB, end: 'fin' }],
  ['SR-17) (a reset at once', { at: 0, end: 'reset' }],
  ['SR-17) (a reset half way', { at: MIB + 777, end: 'reset' }],
  ['SR-17) (a reset before the last byte', { at: MEDIA.length - 1, end: 'reset' }],
  ['SR-17) (chunks cut half way', { at: MIB, end: 'fin', framing: 'chunked' }],
  ['SR-17) (chunks reset half way', { at: MIB, end: 'reset', framing: 'chunked' }],
  ['SR-17) (chunks without their terminator', { at: MEDIA.length, end: 'fin', framing: 'chunked' }],
];
for (const [name, how] of BREAKS) {
  test(`goes on where the body broke off, byte for byte (${name})`, async (t) => {
    const { host, open, located } = await setUp(t);
    host.tell(brokenOff(how));
    await assertWhole(await open(), MEDIA);
    assert.equal(located(), 1);
    const resumed = host.requests[1];
    assert.equal(resumed?.headers['if-match'], resumed?.headers['range'] === undefined ? undefined : '"v1"');
  });
}

test('asks only for what is missing, of exactly the version it began with (SR-17)', async (t) => {
  const { host, open } = await setUp(t);
  host.tell(brokenOff({ at: MIB, end: 'fin' }));
  await assertWhole(await open(), MEDIA);
  assert.deepEqual(rangesAsked(host), [undefined, `bytes=${String(MIB)}-`]);
  assert.equal(host.requests[1]?.headers['if-match'], '"v1"');
});

const WEAK: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['no ETag', {}],
  ['a weak ETag', { ETag: 'W/"v1"' }],
];
for (const [name, headers] of WEAK) {
  test(`with ${name} it reads again from the start, and delivers nothing twice (SR-17)`, async (t) => {
    const { host, open } = await setUp(t, { usual: answer({ body: MEDIA, headers }) });
    host.tell(
      answer({ body: MEDIA, cutAt: MIB, end: 'fin', headers }),
      answer({ body: MEDIA, cutAt: 1_000, end: 'fin', headers }),
      answer({ body: MEDIA, cutAt: 2 * MIB, end: 'fin', headers }),
    );
    await assertWhole(await open(), MEDIA);
    assert.deepEqual(rangesAsked(host), [undefined, undefined, undefined, undefined]);
  });
}

test('reads again from the start where ranges are ignored (SR-17)', async (t) => {
  const { host, open } = await setUp(t, { usual: answer({ body: MEDIA, headers: { ETag: '"v1"' } }) });
  host.tell(brokenOff({ at: MIB, end: 'fin' }));
  await assertWhole(await open(), MEDIA);
  assert.deepEqual(rangesAsked(host), [undefined, `bytes=${String(MIB)}-`]);
});

const WRONG_PARTS: readonly (readonly [string, string, string])[] = [
  ['an earlier start', '"v1"', `bytes 0-${String(MEDIA.length - 1)}/${String(MEDIA.length)}`],
  ['an earlier end', '"v1"', `bytes ${String(MIB)}-${String(2 * MIB)}/${String(MEDIA.length)}`],
  ['another version', '"v2"', `bytes ${String(MIB)}-${String(MEDIA.length - 1)}/${String(MEDIA.length)}`],
  ['no extent', '"v1"', 'bytes */*'],
];
for (const [name, etag, contentRange] of WRONG_PARTS) {
  test(`does not glue on a part of ${name} (SR-17)`, async (t) => {
    const { host, open } = await setUp(t);
    const wrong = answer({
      status: 206,
      framing: 'chunked',
      headers: { ETag: etag, 'Content-Range': contentRange },
      body: Buffer.alloc(MEDIA.length - MIB, 1),
    });
    host.tell(brokenOff({ at: MIB, end: 'fin' }), wrong);
    await assertWhole(await open(), MEDIA);
    assert.equal(host.requests.length, 3);
  });
}

test('a file that changed under the same size is refused, not glued together (SR-17)', async (t) => {
  const other = Buffer.from(MEDIA);
  other[5] = (other[5] ?? 0) ^ 1;
  const setup = await setUp(t, { usual: serving(other, '"v2"') });
  setup.host.tell(brokenOff({ at: MIB, end: 'fin' }));
  await assertFails(setup, 'incomplete');
  assert.deepEqual(rangesAsked(setup.host), [undefined, `bytes=${String(MIB)}-`, undefined]);
});

test('a file that changed its size is refused at once (SR-17)', async (t) => {
  const setup = await setUp(t, { usual: serving(MEDIA.subarray(0, 2 * MIB), '"v2"') });
  setup.host.tell(brokenOff({ at: MIB, end: 'fin' }));
  await assertFails(setup, 'incomplete');
  assert.equal(setup.host.requests.length, 3);
});

test('a file that became shorter than what was read of it is refused (SR-17)', async (t) => {
  const setup = await setUp(t, { usual: answer({ body: MEDIA.subarray(0, 1_000), framing: 'chunked' }) });
  setup.host.tell(answer({ body: MEDIA, cutAt: MIB, end: 'fin', framing: 'chunked' }));
  await assertFails(setup, 'incomplete');
  assert.equal(setup.host.requests.length, 2);
});

test('may break off any number of times as long as it gets on', async (t) => {
  const { host, open } = await setUp(t, { usual: inPieces(MEDIA, 300_000) });
  await assertWhole(await open(), MEDIA);
  assert.equal(host.requests.length, Math.ceil(MEDIA.length / 300_000));
});

/** Serves ranges, but never more than `pieceBytes` before it breaks off. */
function inPieces(body: Buffer, pieceBytes: number): Answer {
  return (request) => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers['range'] ?? '')?.[1] ?? 0);
    const rest = body.subarray(start);
    const extent = `bytes ${String(start)}-${String(body.length - 1)}/${String(body.length)}`;
    answer({
      status: start === 0 ? 200 : 206,
      headers: { ETag: '"v1"', ...(start === 0 ? {} : { 'Content-Range': extent }) },
      body: rest,
      ...(rest.length > pieceBytes ? { cutAt: pieceBytes, end: 'fin' } : {}),
    })(request);
  };
}

test('gives up as incomplete when it gets no further, and then has received nothing (SR-15) (SR-17)', async (t) => {
  const setup = await setUp(t, { usual: answer({ body: SMALL, declaredBytes: SMALL.length + 50_000, end: 'fin' }) });
  const download = await setup.open();
  await assert.rejects(bytesOf(download), failing('incomplete'));
  assert.throws(() => download.received(), failing('internal'));
  assert.equal(setup.host.requests.length, 6);
});

test('reading again from the start is no progress: it is not done for ever', async (t) => {
  let round = 0;
  const setup = await setUp(t, {
    usual: (request) => answer({ body: MEDIA, cutAt: ++round * 200_000, end: 'fin' })(request),
  });
  await assertFails(setup, 'incomplete');
  assert.equal(setup.host.requests.length, 6);
});

test('refuses a body whose end only the closing tells, without reading it (SR-16)', async (t) => {
  const setup = await setUp(t, { usual: answer({ body: SMALL, framing: 'close', end: 'fin' }) });
  await assertFails(setup, 'upstream-error');
  assert.equal(setup.host.requests.length, 1);
});

const SURPLUS: readonly (readonly [string, string])[] = [
  ['was announced', 'Content-Length: 5\r\n\r\nhello'],
  ['the last chunk told', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
];
for (const [name, rest] of SURPLUS) {
  test(`refuses bytes beyond the end that ${name} (SR-18)`, async (t) => {
    const setup = await setUp(t, { usual: ({ socket }) => void socket.write(`HTTP/1.1 200 OK\r\n${rest}, world`) });
    await assertFails(setup, 'incomplete');
    assert.equal(setup.host.requests.length, 1);
  });
}

test('believes no host that tells two lengths', async (t) => {
  const setup = await setUp(t, {
    usual: answer({ body: SMALL, framing: 'chunked', headers: { 'Content-Length': '5' } }),
  });
  await assertFails(setup, 'incomplete');
});

// ---- sizes ----

test('refuses a file announced as larger than the cap without reading it (SR-19)', async (t) => {
  const setup = await setUp(t, { usual: answer({ declaredBytes: 10_000_000_000 }), maxMediaBytes: MIB });
  await assert.rejects(setup.open(), failing('media-too-large'));
  assert.equal(setup.host.requests.length, 1);
});

test('stops an endless body at the cap (SR-19)', async (t) => {
  const { host, open } = await setUp(t, { usual: endless(), maxMediaBytes: MIB });
  let delivered = 0;
  await assert.rejects(async () => {
    for await (const chunk of await open()) delivered += chunk.length;
  }, failing('media-too-large'));
  assert.ok(delivered <= MIB, `${String(delivered)} bytes got past the cap`);
  assert.equal(host.requests.length, 1);
});

test('a file exactly as large as the cap passes', async (t) => {
  const { open } = await setUp(t, { maxMediaBytes: MEDIA.length });
  await assertWhole(await open(), MEDIA);
});

for (const framing of ['length', 'chunked'] as const) {
  test(`takes an empty ${framing === 'length' ? 'file' : 'row of chunks'} for unreadable, to be tried again (SR-28)`, async (t) => {
    const setup = await setUp(t, {
      usual: answer({ framing, headers: { ETag: '"d41d8cd98f00b204e9800998ecf8427e"' } }),
    });
    const { code, retry } = await failureIn(setup);
    assert.deepEqual([code, retry], ['unreadable-media', 'again']);
  });

  test(`nothing at all (${framing}) is what stands before the media host answers, and passes (C6)`, async (t) => {
    const setup = await setUp(t, { usual: answer({ framing }) });
    const { code, sort, retry, message } = await failureIn(setup);
    assert.deepEqual([code, sort, retry], ['upstream-error', 'surroundings', 'wait']);
    assert.match(message, /proxy or web filter/);
  });
}

for (const coding of ['gzip', 'X-GZIP', 'deflate', 'br', 'zstd', 'compress', 'aws-chunked, gzip', 'identity,br']) {
  test(`says that media is called compressed (${coding}), and inflates nothing (SR-21) (C11)`, async (t) => {
    const { open } = await setUp(t, { usual: serving(MEDIA, '"v1"', { 'Content-Encoding': coding }) });
    const download = await open();
    assert.equal(download.isCalledCompressed, true);
    await assertWhole(download, MEDIA);
  });
}

for (const coding of [
  'aws-chunked',
  'AWS-Chunked',
  'identity',
  ' Identity ',
  'binary',
  'utf-8',
  'aws-chunked,identity',
  'none',
  ',',
  'x',
]) {
  test(`a Content-Encoding of "${coding}" says nothing: the bytes decide (C11)`, async (t) => {
    const { open } = await setUp(t, { usual: serving(MEDIA, '"v1"', { 'Content-Encoding': coding }) });
    const download = await open();
    assert.equal(download.isCalledCompressed, false);
    await assertWhole(download, MEDIA);
  });
}

test('hands on what the host calls it, without parameters (SR-20)', async (t) => {
  const headers = { 'Content-Type': 'Text/HTML; charset=utf-8' };
  const { open } = await setUp(t, { usual: answer({ body: SMALL, headers }) });
  const download = await open();
  assert.equal(download.contentType, 'text/html');
  await assertWhole(download, SMALL);
});

const PAGES: readonly (readonly [string, Answer])[] = [
  ['labelled', answer({ body: PAGE, headers: { 'Content-Type': 'text/html' } })],
  ['labelled as sound', answer({ body: PAGE, headers: { 'Content-Type': 'audio/ogg' } })],
  ['without a label, in chunks', answer({ body: Buffer.from('<HTML><body>'), framing: 'chunked' })],
  [
    'of XHTML',
    answer({ body: Buffer.from('<?xml version="1.0"?><html>'), headers: { 'Content-Type': 'application/xhtml+xml' } }),
  ],
  ['an error of S3 with status 200', answer({ body: Buffer.from('<Error><Code>SlowDown</Code></Error>') })],
  [
    'an error of S3 behind an XML declaration, called sound',
    answer({ body: Buffer.from('\uFEFF<?xml version="1.0"?>\n<Error>'), headers: { 'Content-Type': 'audio/ogg' } }),
  ],
  ['JSON of a gateway', answer({ body: Buffer.from('{"message":"Forbidden"}') })],
  ['a list in JSON', answer({ body: Buffer.from(' [ {"error":"quota"} ]'), framing: 'chunked' })],
  ['a fragment of HTML', answer({ body: Buffer.from('<script>location="/login"</script>') })],
  ['text', answer({ body: Buffer.from('Access denied by policy\n'), headers: { 'Content-Type': 'text/plain' } })],
  [
    'a problem in words',
    answer({ body: Buffer.from('quota exceeded'), headers: { 'Content-Type': 'application/problem+json' } }),
  ],
];
for (const [name, usual] of PAGES) {
  test(`a web page where media is due passes, and is not the recording's fault: ${name} (C6)`, async (t) => {
    const setup = await setUp(t, { usual });
    const failure = await failureIn(setup);
    assert.deepEqual([failure.code, failure.sort, failure.retry], ['upstream-error', 'surroundings', 'wait']);
    assert.match(failure.message, /(?:web page|Text).*proxy/);
  });
}

test('media that a host calls text or JSON is media: its bytes decide (C6)', async (t) => {
  for (const type of ['text/plain', 'text/html', 'application/json', 'application/xml']) {
    const { open } = await setUp(t, { usual: answer({ body: SMALL, headers: { 'Content-Type': type } }) });
    await assertWhole(await open(), SMALL);
  }
});

test('a redirect to a login page is named without its path, and not followed (C6)', async (t) => {
  const Location = 'https://login.corp.example/sso?canary=1';
  const setup = await setUp(t, { usual: answer({ status: 302, headers: { Location } }) });
  const failure = await failureIn(setup);
  assert.deepEqual([failure.code, failure.sort, failure.retry], ['host-refused', 'operator', 'wait']);
  assert.match(failure.message, /redirects to https:\/\/login\.corp\.example, .*login page or proxy/);
});

test("a proxy that asks who it is, in the media host's place, is named (C6)", async (t) => {
  const setup = await setUp(t, { usual: answer({ status: 407 }) });
  const failure = await failureIn(setup);
  assert.deepEqual([failure.code, failure.sort, failure.retry], ['upstream-unavailable', 'surroundings', 'wait']);
  assert.match(failure.message, /407.*HTTPS_PROXY/);
});

test('SlowDown of S3 is waited out as long as it says, and named when it lasts (C6)', async (t) => {
  const { host, open } = await setUp(t);
  host.tell(s3Error('SlowDown'), s3Error('InternalError'), s3Error('ExpiredToken'));
  await assertWhole(await open(), MEDIA);
  const lasting = await setUp(t, { usual: s3Error('SlowDown') });
  const failure = await failureIn(lasting);
  assert.deepEqual([failure.code, failure.sort], ['upstream-unavailable', 'surroundings']);
  assert.match(failure.message, /503 SlowDown/);
});

// ---- silence and slowness ----

test('gives up a silent connection and goes on over another (SR-14)', async (t) => {
  const { host, open } = await setUp(t, { options: { idleMs: 150 } });
  host.tell(answer({ body: MEDIA, cutAt: MIB, headers: { ETag: '"v1"' } }));
  await assertWhole(await open(), MEDIA);
  assert.deepEqual(rangesAsked(host), [undefined, `bytes=${String(MIB)}-`]);
});

test('gives up a request that is never answered, and asks again (SR-14)', async (t) => {
  const { host, open } = await setUp(t, { options: { headersTimeoutMs: 50 } });
  host.tell(() => {});
  await assertWhole(await open(), MEDIA);
  assert.equal(host.requests.length, 2);
});

test('gives up an answer that never begins, whatever comes in its place, and asks again (SR-14)', async (t) => {
  const { host, open } = await setUp(t, { options: { headersTimeoutMs: 400, connectTimeoutMs: 200 } });
  host.tell(({ socket }) => {
    const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20);
    socket.on('close', () => clearInterval(timer));
  });
  await assertWhole(await open(), MEDIA);
  assert.equal(host.untold(), 0);
});

test('an answer that has begun may take longer than its beginning may', async (t) => {
  const { host, open } = await setUp(t, { options: { headersTimeoutMs: 1_000, connectTimeoutMs: 1_000 } });
  host.tell(({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${String(SMALL.length)}\r\n\r\n`);
    socket.write(SMALL.subarray(0, 1_000));
    setTimeout(() => socket.write(SMALL.subarray(1_000)), 3_500);
  });
  await assertWhole(await open(), SMALL);
  assert.equal(host.requests.length, 1);
});

test('gives up a connection that trickles, however alive it looks, and goes on over another (SR-14)', async (t) => {
  const { host, open } = await setUp(t, { options: { slowest: { bytesPerSecond: 20_000, overMs: 200 } } });
  host.tell(trickling({ body: MEDIA, headers: { ETag: '"v1"' } }, 20, 10));
  await assertWhole(await open(), MEDIA);
  assert.equal(host.requests.length, 2);
  assert.match(host.requests[1]?.headers['range'] ?? '', /^bytes=\d+-$/);
});

test('gives up as timed out when every connection trickles (SR-14)', async (t) => {
  const setup = await setUp(t, {
    usual: trickling({ body: MEDIA }, 20, 10),
    options: { slowest: { bytesPerSecond: 20_000, overMs: 60 } },
  });
  await assertFails(setup, 'upstream-timeout');
  assert.equal(setup.host.requests.length, 6);
});

test('our own slowness is not held against the host', async (t) => {
  const { host, open } = await setUp(t, {
    options: { slowest: { bytesPerSecond: 4_000_000, overMs: 500 }, idleMs: 200 },
  });
  const download = await open();
  const chunks: Buffer[] = [];
  for await (const chunk of download) {
    if (chunks.length < 4) await delay(300);
    chunks.push(chunk);
  }
  assert.equal(sha256(Buffer.concat(chunks)), sha256(MEDIA));
  assert.equal(host.requests.length, 1);
});

// ---- redirects, and where nothing is fetched from ----

test('follows two redirects, but takes the token to no other origin (SR-22)', async (t) => {
  const other = await createMediaHost(serving(MEDIA));
  t.after(() => other.close());
  const setup = await setUp(t, {
    mediaHosts: [{ origin: other.origin }],
    locate: async () => ({
      url: setup.host.url('/first'),
      headers: { Authorization: 'Bearer canary', 'X-Api-Key': 'canary' },
    }),
  });
  setup.host.tell(
    answer({ status: 307, headers: { Location: '/second' } }),
    answer({ status: 302, headers: { Location: other.url('/third').href } }),
  );
  await assertWhole(await setup.open(), MEDIA);
  assert.deepEqual(
    setup.host.requests.map(({ headers }) => headers['authorization']),
    ['Bearer canary', 'Bearer canary'],
  );
  assert.equal(other.requests.length, 1);
  const [reached] = other.requests;
  assert.equal(reached?.path, '/third');
  assert.equal(reached?.headers['authorization'] ?? reached?.headers['x-api-key'], undefined);
});

test('a token dropped on the way is not taken up again on the way back (SR-22)', async (t) => {
  const other = await createMediaHost(serving(MEDIA));
  t.after(() => other.close());
  const setup = await setUp(t, {
    mediaHosts: [{ origin: other.origin }],
    locate: async () => ({ url: setup.host.url('/first'), headers: { authorization: 'Bearer canary' } }),
  });
  setup.host.tell(answer({ status: 302, headers: { Location: other.url().href } }));
  other.tell(answer({ status: 302, headers: { Location: setup.host.url('/back').href } }));
  await assertWhole(await setup.open(), MEDIA);
  assert.equal(setup.host.requests[1]?.headers['authorization'], undefined);
});

test('follows no third redirect, and none to nowhere (SR-22)', async (t) => {
  const round = await setUp(t, { usual: answer({ status: 302, headers: { Location: '/again' } }) });
  await assertFails(round, 'host-refused');
  assert.equal(round.host.requests.length, 3);
  const nowhere = await setUp(t, { usual: answer({ status: 302 }) });
  await assertFails(nowhere, 'upstream-error');
});

const ELSEWHERE: readonly string[] = [
  'http://localhost:PORT/',
  'http://127.1:PORT/',
  'http://2130706433:PORT/',
  'http://0x7f000001:PORT/',
  'http://[::ffff:127.0.0.1]:PORT/',
  'https://127.0.0.1:PORT/',
  'http://169.254.169.254/latest/meta-data/',
  'file:///etc/hostname',
];
test('invariant 9: neither a location nor a redirect leads to a host that is not listed (SR-22) (SR-23) (SR-25)', async (t) => {
  const canary = await createMediaHost(serving(MEDIA));
  t.after(() => canary.close());
  for (const text of ELSEWHERE) {
    const url = new URL(text.replace('PORT', String(canary.port)));
    const direct = await setUp(t, { locate: async () => ({ url, headers: {} }) });
    await assertFails(direct, 'host-refused');
    const redirected = await setUp(t, { usual: answer({ status: 302, headers: { Location: url.href } }) });
    await assertFails(redirected, 'host-refused');
    assert.equal(redirected.host.requests.length, 1);
  }
  assert.equal(canary.connections, 0);
});

test('invariant 9: a listed name that resolves inside is refused, and not tried again (SR-23) (SR-24)', async (t) => {
  let asked = 0;
  const setup = await setUp(t, {
    mediaHosts: [{ suffix: '.amazonaws.com' }],
    locate: async () => ({ url: new URL('https://bucket.s3.amazonaws.com/a?X-Amz-Signature=canary'), headers: {} }),
    options: {
      lookup: (_hostname, _options, done) => {
        asked++;
        done(null, [{ address: '127.0.0.1', family: 4 }]);
      },
    },
  });
  await assertFails(setup, 'host-refused');
  assert.equal(asked, 1);
});

// ---- leaving ----

async function gone(host: MediaHost): Promise<void> {
  for (const { socket } of host.requests) {
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  }
}

test('leaving early closes the connection', async (t) => {
  const { host, open } = await setUp(t, { usual: endless() });
  for await (const chunk of await open()) if (chunk.length > 0) break;
  await gone(host);
});

test('leaving while the host is silent closes the connection, and the pending read ends', async (t) => {
  const { host, open } = await setUp(t, { usual: answer({ body: SMALL, cutAt: 0 }) });
  const reader = (await open())[Symbol.asyncIterator]();
  const pending = assert.rejects(reader.next(), failing('stopped'));
  assert.deepEqual(await reader.return?.(), { done: true, value: undefined });
  await pending;
  await gone(host);
});

test('a stream made of it closes the connection when it is destroyed', async (t) => {
  const { host, open } = await setUp(t, { usual: endless() });
  const stream = Readable.from(await open());
  await once(stream, 'readable');
  stream.destroy();
  await once(stream, 'close');
  await gone(host);
});

test('aborting ends a pending read with the reason, and closes the connection', async (t) => {
  const { host, open } = await setUp(t, { usual: answer({ body: SMALL, cutAt: 100 }) });
  const controller = new AbortController();
  const reader = (await open(controller.signal))[Symbol.asyncIterator]();
  await reader.next();
  const pending = assert.rejects(reader.next(), failing('stopped'));
  controller.abort(new Failure('stopped', 'The listener left.'));
  await pending;
  await gone(host);
  await assert.rejects(reader.next(), failing('stopped'));
});

test('aborting ends the opening, be it in a request or in a wait', async (t) => {
  for (const usual of [(): void => {}, answer({ status: 503, headers: { 'Retry-After': '1' } })]) {
    const { host, open } = await setUp(t, { usual });
    const controller = new AbortController();
    const opening = assert.rejects(open(controller.signal), (error: unknown) => Failure.from(error).code === 'stopped');
    while (host.requests.length === 0) await delay(5);
    controller.abort();
    await opening;
    await gone(host);
  }
  const { host, open } = await setUp(t);
  await assert.rejects(open(AbortSignal.abort()), { name: 'AbortError' });
  assert.equal(host.requests.length, 0);
});

test('closing stops what is running and takes no more', async (t) => {
  const { host, downloader, open } = await setUp(t, { usual: endless() });
  const reader = (await open())[Symbol.asyncIterator]();
  await reader.next();
  await downloader.close();
  await gone(host);
  await assert.rejects(async () => {
    for (;;) await reader.next();
  }, failing('stopped'));
  await assert.rejects(open(), failing('stopped'));
});

test('invariant 6: reads no further ahead than its buffers while nobody takes the bytes', async (t) => {
  const { host, downloader, open } = await setUp(t, { usual: endless(), maxMediaBytes: 4 * 1024 * MIB });
  const download = await open();
  const reader = download[Symbol.asyncIterator]();
  const sentTo = async (): Promise<number> => {
    const [request] = host.requests;
    const before = request?.socket.bytesWritten;
    await delay(100);
    return request?.socket.bytesWritten === before ? (before ?? 0) : sentTo();
  };
  assert.ok((await sentTo()) < 32 * MIB);
  await reader.next();
  assert.ok((await sentTo()) < 32 * MIB);
  await downloader.close();
});

test('who never starts to read holds no connection for long, and may still start', async (t) => {
  const { host, open } = await setUp(t, { options: { idleMs: 100 } });
  const download = await open();
  await gone(host);
  await assertWhole(download, MEDIA);
  assert.equal(host.requests.length, 2);
});

// ---- parts read aside ----

const never = new AbortController().signal;

test('reads a part at the end while the main reading stands still', async (t) => {
  const { host, open } = await setUp(t);
  const download = await open();
  const reader = download[Symbol.asyncIterator]();
  const first = await reader.next();
  const [start, end] = [MEDIA.length - 70_000, MEDIA.length - 1];
  const part = await download.readRange?.(start, end, never);
  assert.equal(sha256(part ?? Buffer.alloc(0)), sha256(MEDIA.subarray(start)));
  assert.deepEqual(await download.readRange?.(0, 0, never), MEDIA.subarray(0, 1));
  assert.equal(host.requests[1]?.headers['if-match'], '"v1"');
  const rest = await bytesOf({ [Symbol.asyncIterator]: () => reader });
  assert.equal(sha256(Buffer.concat([first.value ?? Buffer.alloc(0), rest])), sha256(MEDIA));
  assert.deepEqual(download.received(), { sizeBytes: MEDIA.length, sha256: sha256(MEDIA) });
});

test('has no parts to offer where the host has no ranges or no strong ETag', async (t) => {
  for (const headers of [
    { ETag: '"v1"' },
    { 'Accept-Ranges': 'bytes' },
    { 'Accept-Ranges': 'bytes', ETag: 'W/"v1"' },
  ]) {
    const { open } = await setUp(t, { usual: answer({ body: SMALL, headers }) });
    assert.equal((await open()).readRange, undefined);
  }
});

test('a part survives an expired location, a busy host and a broken connection', async (t) => {
  const { host, open, located } = await setUp(t);
  const download = await open();
  const extent = `bytes 100-1099/${String(MEDIA.length)}`;
  const part = MEDIA.subarray(100, 1_100);
  host.tell(
    answer({ status: 403 }),
    answer({ status: 503 }),
    answer({ status: 206, headers: { ETag: '"v1"', 'Content-Range': extent }, body: part, cutAt: 10, end: 'reset' }),
  );
  assert.deepEqual(await download.readRange?.(100, 1_099, never), part);
  assert.equal(located(), 2);
  assert.equal(host.untold(), 0);
});

const OTHER_PARTS: readonly (readonly [string, Answer])[] = [
  ['the whole', answer({ body: MEDIA, headers: { ETag: '"v1"' } })],
  [
    'a whole that happens to be as long',
    answer({ body: Buffer.alloc(1_000), framing: 'chunked', headers: { ETag: '"v1"' } }),
  ],
  ['nothing, as the file has changed', answer({ status: 412 })],
  ['another version', partial({ etag: '"v2"', extent: '100-1099', total: MEDIA.length, length: 1_000 })],
  ['another extent', partial({ etag: '"v1"', extent: '101-1100', total: MEDIA.length, length: 1_000 })],
  ['a part of another size', partial({ etag: '"v1"', extent: '100-1099', total: MEDIA.length + 1, length: 1_000 })],
  ['fewer chunks than it says', partial({ etag: '"v1"', extent: '100-1099', total: MEDIA.length, length: 999 })],
  ['more chunks than it says', partial({ etag: '"v1"', extent: '100-1099', total: MEDIA.length, length: 1_001 })],
];

function partial(told: { etag: string; extent: string; total: number; length: number }): Answer {
  return answer({
    status: 206,
    framing: 'chunked',
    headers: { ETag: told.etag, 'Content-Range': `bytes ${told.extent}/${String(told.total)}` },
    body: Buffer.alloc(told.length),
  });
}

for (const [name, wrong] of OTHER_PARTS) {
  test(`refuses a part when the host sends ${name}`, async (t) => {
    const { host, open } = await setUp(t);
    const download = await open();
    host.tell(wrong);
    await assert.rejects(async () => download.readRange?.(100, 1_099, never), failing('incomplete'));
    assert.equal(host.requests.length, 2);
  });
}

test('refuses parts that cannot be, without asking', async (t) => {
  const { host, open } = await setUp(t);
  const download = await open();
  for (const [start, end] of [
    [-1, 5],
    [5, 4],
    [0, MEDIA.length],
    [0.5, 2],
    [0, Number.NaN],
    [0, 64 * MIB],
  ] as const) {
    await assert.rejects(async () => download.readRange?.(start, end, never), failing('unreadable-media'));
  }
  assert.equal(host.requests.length, 1);
});

test('parts count towards the cap (SR-19)', async (t) => {
  const { open } = await setUp(t, { maxMediaBytes: MEDIA.length });
  const download = await open();
  await download.readRange?.(0, 99, never);
  await assert.rejects(bytesOf(download), failing('media-too-large'));
});

test('a part ends with its own signal, and with the download', async (t) => {
  const { host, open } = await setUp(t);
  const download = await open();
  host.tell(
    () => {},
    () => {},
  );
  const controller = new AbortController();
  const alone = assert.rejects(async () => download.readRange?.(0, 9, controller.signal), { name: 'AbortError' });
  controller.abort();
  await alone;
  const reader = download[Symbol.asyncIterator]();
  await reader.next();
  const together = assert.rejects(async () => download.readRange?.(0, 9, never), failing('stopped'));
  await reader.return?.();
  await together;
  await gone(host);
});

test('once a part was read, a file that changes is not read on from its start', async (t) => {
  const setup = await setUp(t);
  setup.host.tell(brokenOff({ at: MIB, end: 'fin' }));
  const download = await setup.open();
  await download.readRange?.(0, 99, never);
  setup.host.tell(answer({ status: 412 }), serving(MEDIA, '"v2"'));
  await assert.rejects(bytesOf(download), failing('incomplete'));
  assert.equal(setup.host.untold(), 0);
});

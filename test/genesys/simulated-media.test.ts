/** The simulated media host does what its tests rely on: a fault that never happens would prove nothing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { request } from 'undici';
import { createGenesys } from '../../src/genesys/open-genesys.ts';
import {
  type GenesysServer,
  type MediaOptions,
  type SimulatedFile,
  startGenesysServer,
} from '../support/genesys/server.ts';

const BYTES = randomBytes(300_000);
const FILE = { channel: '0', contentType: 'audio/ogg', bytes: BYTES };

interface Setting {
  readonly server: GenesysServer;
  /** A pre-signed URL of the file, as Genesys gives it. */
  readonly url: string;
}

async function setUp(t: TestContext, media: MediaOptions = {}, file: SimulatedFile = FILE): Promise<Setting> {
  const server = await startGenesysServer({ media });
  t.after(() => server.close());
  server.addRecording({ recordingId: 'R', conversationId: 'C', files: [file] });
  const login = await fetch(`${server.loginUrl}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('simulated-client:simulated-client-secret')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  const token = /"access_token":"([^"]+)"/.exec(await login.text())?.[1] ?? '';
  const recording = await fetch(`${server.apiUrl}/api/v2/conversations/C/recordings/R`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const url = /"mediaUri":"([^"]+)"/.exec(await recording.text())?.[1];
  assert.ok(url);
  return { server, url };
}

async function bytesOf(url: string, headers: Record<string, string> = {}) {
  const answer = await request(url, { headers: { connection: 'close', ...headers } });
  return { status: answer.statusCode, headers: answer.headers, bytes: Buffer.from(await answer.body.arrayBuffer()) };
}

test('serves the whole file, a range, the rest, and refuses what has changed', async (t) => {
  const { server, url } = await setUp(t);
  const whole = await bytesOf(url);
  assert.deepEqual(
    [whole.status, whole.headers['content-length'], whole.headers['accept-ranges']],
    [200, '300000', 'bytes'],
  );
  assert.ok(whole.bytes.equals(BYTES));
  const etag = String(whole.headers['etag']);
  const part = await bytesOf(url, { range: 'bytes=100-199', 'if-match': etag });
  assert.deepEqual([part.status, part.headers['content-range']], [206, 'bytes 100-199/300000']);
  assert.ok(part.bytes.equals(BYTES.subarray(100, 200)));
  assert.ok((await bytesOf(url, { range: 'bytes=299990-' })).bytes.equals(BYTES.subarray(299_990)));
  assert.equal((await bytesOf(url, { range: 'bytes=300000-' })).status, 416);
  server.update('R', { files: [{ ...FILE, bytes: Buffer.alloc(300_000) }] });
  assert.equal((await bytesOf(url, { range: 'bytes=100-', 'if-match': etag })).status, 412);
  assert.equal((await bytesOf(url, { range: 'bytes=100-', 'if-range': etag })).status, 200);
});

test('a pre-signed URL wants no token, expires, and cannot be changed', async (t) => {
  const { server, url } = await setUp(t);
  assert.equal((await bytesOf(url, { authorization: 'Bearer x' })).status, 400);
  assert.equal((await bytesOf(url.replace(/Signature=..../, 'Signature=0000'))).status, 403);
  server.expireMediaUrls();
  const expired = await bytesOf(url);
  assert.equal(expired.status, 403);
  assert.match(expired.bytes.toString(), /<Code>AccessDenied<\/Code><Message>Request has expired<\/Message>/);
});

test('every fault of the body shows, and is counted', async (t) => {
  const { server, url } = await setUp(t);
  const broken = [
    'return-reset-connection',
    'return-broken-stream-after-0K',
    'return-broken-stream-after-64K',
    'length:+10',
    'length:chunked; return-broken-stream-after-64K',
  ];
  for (const fault of broken) {
    server.fault('media:R:0', fault);
    assert.throws(() => server.assertFaultsUsed(), /never fired/);
    await assert.rejects(bytesOf(url), Error, fault);
    server.assertFaultsUsed();
  }
  server.fault('media:R:0', 'length:none; return-broken-stream-after-64K');
  assert.equal((await bytesOf(url)).bytes.length, 65_536, 'a close-delimited body shows nothing');
  server.fault('media:R:0', 'stall-for-0.02s-after-64K');
  assert.ok((await bytesOf(url)).bytes.equals(BYTES));
  server.fault('media:R:*', 'encoding:gzip');
  assert.equal((await bytesOf(url)).headers['content-encoding'], 'gzip');
  server.fault('media:R:0', 'body:html');
  assert.equal((await bytesOf(url)).headers['content-type'], 'text/html');
  server.fault('media:R:0', 'body:zero');
  assert.equal((await bytesOf(url)).headers['content-length'], '0');
  server.fault('media:R:0', 'redirect:http://127.0.0.1:9/');
  assert.equal((await bytesOf(url)).headers['location'], 'http://127.0.0.1:9/');
  server.fault('media:R:0', 'return-503; retry-after:7; retry-after:9');
  assert.deepEqual((await bytesOf(url)).headers['retry-after'], ['7', '9']);
  assert.throws(() => server.fault('media:R:0', 'return-something'), /Unknown fault/);
});

test('a stalled body stays silent until the reader leaves', async (t) => {
  const { server, url } = await setUp(t);
  server.fault('media:R:0', 'stall-after-64K');
  const answer = await request(url);
  let size = 0;
  for await (const chunk of answer.body) {
    assert.ok(Buffer.isBuffer(chunk));
    size += chunk.length;
    if (size === 65_536) break;
  }
  assert.equal(size, 65_536);
});

test('media made while it is read is served like any other, with a length or without', async (t) => {
  const stream = () => Readable.from([BYTES.subarray(0, 70_000), BYTES.subarray(70_000)]);
  const sized = await setUp(t, {}, { channel: '0', contentType: 'audio/wav', stream, sizeBytes: BYTES.length });
  assert.ok((await bytesOf(sized.url)).bytes.equals(BYTES));
  const part = await bytesOf(sized.url, { range: 'bytes=69990-70010' });
  assert.ok(part.bytes.equals(BYTES.subarray(69_990, 70_011)));
  const endless = await setUp(t, {}, { channel: '0', contentType: 'audio/wav', stream });
  const chunked = await bytesOf(endless.url);
  assert.deepEqual([chunked.headers['transfer-encoding'], chunked.headers['content-length']], ['chunked', undefined]);
  assert.ok(chunked.bytes.equals(BYTES));
});

test('a download that breaks off twice arrives whole (SR-17)', async (t) => {
  const { server } = await setUp(t);
  const genesys = createGenesys(server.config(), { download: { backoff: { baseMs: 1, capMs: 5 } } });
  t.after(() => genesys.close());
  const signal = AbortSignal.timeout(300_000);
  const { files } = await genesys.locate({ recordingId: 'R', conversationId: 'C' }, 'worker', signal);
  server.fault('media:R:0', 'return-broken-stream-after-64K', 2);
  const [file] = files;
  assert.ok(file);
  const chunks: Buffer[] = [];
  for await (const chunk of await file.open(signal)) chunks.push(chunk);
  assert.ok(Buffer.concat(chunks).equals(BYTES));
  server.assertFaultsUsed();
});

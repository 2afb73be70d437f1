import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import type { GenesysConfig } from '../../src/config/genesys.ts';
import { createGenesys } from '../../src/genesys/open-genesys.ts';
import type { Genesys, Located } from '../../src/genesys/genesys.ts';
import { failureOf } from '../support/failure-of.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

interface Setting {
  readonly server: GenesysServer;
  readonly genesys: Genesys;
  readonly signal: AbortSignal;
}

async function setUp(t: TestContext, config: Partial<GenesysConfig> = {}): Promise<Setting> {
  const server = await startGenesysServer();
  const genesys = createGenesys(server.config(config), { patienceMs: 5_000, mediaBaseDelayMs: 20 });
  t.after(async () => {
    await genesys.close();
    await server.close();
  });
  return { server, genesys, signal: AbortSignal.any([t.signal, AbortSignal.timeout(200_000)]) };
}

const BYTES = Buffer.from('RIFF some sound');
const ALONE = { recordingId: 'R', conversationId: undefined };
const RECORDING = { recordingId: 'R', files: [{ channel: '0', contentType: 'audio/wav', bytes: BYTES }] };

async function download(located: Located, signal: AbortSignal): Promise<Buffer> {
  const [file] = located.files;
  assert.ok(file);
  return buffer(await file.open(signal));
}

test('a recording id alone is looked up and downloaded by the Media API, with the token, from the API host', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording(RECORDING);
  const located = await genesys.locate(ALONE, 'worker', signal);
  assert.deepEqual([located.api, located.files.map(({ channel }) => channel)], ['media', ['media']]);
  assert.deepEqual(await download(located, signal), BYTES);
  assert.deepEqual(
    server.requests().map(({ route, hasAuthorization }) => [route, hasAuthorization]),
    [
      ['token', true],
      ['media-api:R', true],
      ['media-download:R', true],
    ],
  );
});

test('auto chooses by the conversation id; media uses the Media API for all', async (t) => {
  const auto = await setUp(t);
  auto.server.addRecording({ ...RECORDING, conversationId: 'C' });
  const both = { recordingId: 'R', conversationId: 'C' };
  assert.equal((await auto.genesys.locate(both, 'worker', auto.signal)).api, 'recordings');
  assert.equal((await auto.genesys.locate(ALONE, 'worker', auto.signal)).api, 'media');
  const media = await setUp(t, { recordingApi: 'media' });
  media.server.addRecording({ ...RECORDING, conversationId: 'C' });
  assert.equal((await media.genesys.locate(both, 'worker', media.signal)).api, 'media');
  assert.equal(media.server.requests('metadata:*').length, 0);
});

test('status and format are read in any case; an unknown format goes on, another status waits', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording(RECORDING);
  const locate = (status: string, format: string) => {
    server.fault('media-api:R', `body:text:{"id":"R","status":"${status}","format":"${format}"}`);
    return genesys.locate(ALONE, 'worker', signal);
  };
  await locate('AVAILABLE', 'OPUS');
  await locate('available', 'flac');
  for (const status of ['processing', 'Pending', '', 'whatever']) {
    const failure = await failureOf(locate(status, 'wav'));
    assert.deepEqual([failure.code, failure.retry], ['not-ready', 'wait'], status);
  }
  server.fault('media-api:R', 'return-202; retry-after:90');
  assert.equal((await failureOf(genesys.locate(ALONE, 'worker', signal))).afterMs, 90_000);
  server.assertFaultsUsed();
});

test('three retries inside the request, each waiting twice as long as the one before (SR-10) (SR-11)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording(RECORDING);
  for (const fault of ['return-429', 'return-500', 'return-503']) server.fault('media-api:R', fault);
  await genesys.locate(ALONE, 'worker', signal);
  const times = server.requests('media-api:R').map(({ at }) => at);
  const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
  assert.equal(gaps.length, 3);
  assert.ok(
    gaps.every((gap, index) => gap >= 20 * 2 ** index),
    String(gaps),
  );
  server.fault('media-api:R', 'return-503', 4);
  assert.equal((await failureOf(genesys.locate(ALONE, 'worker', signal))).code, 'upstream-unavailable');
  server.assertFaultsUsed();
});

test('invariant 7: Retry-After is waited out in full inside the request, or handed back (SR-07)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording(RECORDING);
  server.fault('media-api:R', 'retry-after:1');
  await genesys.locate(ALONE, 'worker', signal);
  const [first = 0, second = 0] = server.requests('media-api:R').map(({ at }) => at);
  assert.ok(second - first >= 1_000, `${String(second - first)} ms`);
  server.fault('media-api:R', 'retry-after:60');
  const failure = await failureOf(genesys.locate(ALONE, 'worker', signal));
  assert.deepEqual([failure.code, failure.retry, failure.afterMs], ['rate-limited', 'wait', 60_000]);
});

test('an answer about another recording is refused (SR-29)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording(RECORDING);
  server.fault('media-api:R', 'id:another');
  assert.equal((await failureOf(genesys.locate(ALONE, 'worker', signal))).code, 'upstream-error');
  for (const body of ['[]', '{}', '"x"', 'null']) {
    server.fault('media-api:R', `body:text:${body}`);
    assert.equal((await failureOf(genesys.locate(ALONE, 'worker', signal))).code, 'upstream-error', body);
  }
});

test('an unknown recording is not found, for a bounded while (SR-05)', async (t) => {
  const { genesys, signal } = await setUp(t);
  const failure = await failureOf(genesys.locate(ALONE, 'worker', signal));
  assert.deepEqual([failure.code, failure.retry, failure.status], ['not-found', 'wait', 404]);
});

test('a token revoked between status and download is replaced (SR-01)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording(RECORDING);
  const located = await genesys.locate(ALONE, 'worker', signal);
  server.revokeTokens();
  assert.deepEqual(await download(located, signal), BYTES);
  assert.equal(server.requests('token').length, 2);
  assert.equal(server.requests('media-download:R').length, 2);
});

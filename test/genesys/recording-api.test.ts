import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { Located } from '../../src/genesys/genesys.ts';
import { failureOf } from '../support/failure-of.ts';
import { setUp } from '../support/genesys/setting.ts';
import { type SimulatedRecording, startGenesysServer } from '../support/genesys/server.ts';

const R = { recordingId: 'R', conversationId: 'C' };
const OPUS = ['0', '1'].map((channel) => ({
  channel,
  contentType: 'audio/ogg',
  path: new URL(`../fixtures/dual-${channel}.opus`, import.meta.url),
}));
const TEXT = { channel: '0', contentType: 'audio/ogg', bytes: Buffer.from('some sound') };

async function hashes(located: Located, signal: AbortSignal): Promise<readonly string[]> {
  const found: string[] = [];
  for (const file of located.files) {
    const hash = createHash('sha256');
    for await (const chunk of await file.open(signal)) hash.update(chunk);
    found.push(hash.digest('hex'));
  }
  return found;
}

test('a dual-channel call is located as two files in channel order, and downloads bit-exact', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: OPUS.toReversed(), durationMs: 90_000, startTime: '2026-08-05T09:12:03.412Z' });
  const located = await genesys.locate(R, 'worker', signal);
  assert.equal(located.api, 'recordings');
  assert.deepEqual(
    located.files.map(({ channel }) => channel),
    ['0', '1'],
  );
  assert.equal(located.durationMs, 90_000);
  assert.deepEqual(located.recordedAt, new Date('2026-08-05T09:12:03.412Z'));
  const originals = await Promise.all(OPUS.map(({ path }) => readFile(path)));
  assert.deepEqual(
    await hashes(located, signal),
    originals.map((bytes) => createHash('sha256').update(bytes).digest('hex')),
  );
});

test('asks for the metadata first, and for Opus, which needs no re-encoding; screens as WebM', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [TEXT] });
  server.addRecording({ recordingId: 'S', conversationId: 'C', media: 'screen', files: [{ ...TEXT, channel: 'S' }] });
  await genesys.locate(R, 'worker', signal);
  const screen = await genesys.locate({ recordingId: 'S', conversationId: 'C' }, 'worker', signal);
  assert.deepEqual(
    screen.files.map(({ channel }) => channel),
    ['S'],
  );
  const asked = server.requests('*').map(({ route }) => route);
  assert.deepEqual(asked, ['token', 'metadata:R', 'recording:R', 'metadata:S', 'recording:S']);
  const formats = server.requests('recording:*').map(({ formatId }) => formatId);
  assert.deepEqual(formats, ['OGG_OPUS', 'WEBM']);
  assert.match(server.requests('recording:R')[0]?.path ?? '', /\?formatId&chatFormatId&emailFormatId&messageFormatId$/);
});

test('invariant 8: the token never reaches the media host', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: OPUS });
  await hashes(await genesys.locate(R, 'worker', signal), signal);
  assert.deepEqual(
    server.requests('media:*').map(({ hasAuthorization }) => hasAuthorization),
    [false, false],
  );
  assert.ok(server.requests('recording:R').every(({ hasAuthorization }) => hasAuthorization));
});

test('fetches a fresh URL when the media host says the old one has expired (SR-04)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: OPUS });
  const located = await genesys.locate(R, 'worker', signal);
  server.expireMediaUrls();
  const originals = await Promise.all(OPUS.map(({ path }) => readFile(path)));
  assert.deepEqual(
    await hashes(located, signal),
    originals.map((bytes) => createHash('sha256').update(bytes).digest('hex')),
  );
  assert.equal(server.requests('recording:R').length, 3);
  assert.equal(server.requests('media:R:0').length, 2);
});

test('waits while Genesys transcodes, for as long as Genesys says (SR-26)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({
    ...R,
    files: OPUS,
    states: ['transcoding', 'transcoding-stub', 'no-uris'],
    estimatedTranscodeTimeMs: 42_000,
  });
  const waits: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    const failure = await failureOf(genesys.locate(R, 'worker', signal));
    waits.push([failure.code, failure.retry, failure.status, failure.afterMs]);
  }
  assert.deepEqual(waits, [
    ['not-ready', 'wait', 409, 5_000],
    ['not-ready', 'wait', 409, 42_000],
    ['not-ready', 'wait', 409, 42_000],
  ]);
  assert.equal((await genesys.locate(R, 'worker', signal)).files.length, 2);
});

test('invariant 7: a Retry-After on a 202 is taken whole, above our own longest guess', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: OPUS });
  server.fault('recording:R', 'return-202; retry-after:600');
  assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).afterMs, 600_000);
  server.addRecording({ ...R, files: OPUS, states: ['transcoding-stub'], estimatedTranscodeTimeMs: 3_600_000 });
  assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).afterMs, 60_000);
});

const STATES: readonly [string, Partial<SimulatedRecording>, string, string][] = [
  ['uploading', { fileState: 'UPLOADING' }, 'not-ready', 'wait'],
  ['restoring', { fileState: 'RESTORING' }, 'not-ready', 'wait'],
  ['a state of the future', { fileState: 'HIBERNATING' }, 'not-ready', 'wait'],
  ['archived', { fileState: 'ARCHIVED' }, 'needs-restore', 'wait'],
  ['archived, yet AVAILABLE', { archiveDate: '2026-05-01T00:00:00Z' }, 'needs-restore', 'wait'],
  ['deleted', { fileState: 'DELETED' }, 'gone', 'never'],
  ['in error', { fileState: 'ERROR' }, 'gone', 'never'],
  ['a chat', { media: 'chat' }, 'no-media', 'never'],
  ['an email', { media: 'email' }, 'no-media', 'never'],
  ['a message', { media: 'message' }, 'no-media', 'never'],
  ['messaging', { media: 'messaging' }, 'no-media', 'never'],
  ['a deleted chat', { media: 'chat', fileState: 'DELETED' }, 'no-media', 'never'],
  ['in upper case', { extra: { media: 'CHAT' } }, 'no-media', 'never'],
];

for (const [name, change, code, retry] of STATES) {
  test(`a recording that is ${name}: ${code} (SR-06) (SR-26)`, async (t) => {
    const { server, genesys, signal } = await setUp(t);
    server.addRecording({ ...R, files: [TEXT], ...change });
    const failure = await failureOf(genesys.locate(R, 'worker', signal));
    assert.deepEqual([failure.code, failure.retry], [code, retry]);
    const starts = code !== 'needs-restore' || change.archiveDate === undefined ? 0 : 1;
    assert.equal(server.requests('recording:R').length, starts, 'nothing is transcoded for it');
  });
}

for (const [route, fault] of [
  ['metadata:R', 'return-202'],
  ['metadata:R', 'return-202; body:text:{"id":"R"}'],
  ['metadata:R', 'return-204'],
  ['metadata:R', 'return-200; body:zero'],
  ['recording:R', 'return-202'],
  ['recording:R', 'return-204'],
] as const) {
  test(`${route} answered with ${fault} is not ready, and nothing is lost by it (C8)`, async (t) => {
    const { server, genesys, signal } = await setUp(t);
    server.addRecording({ ...R, files: [TEXT] });
    server.fault(route, fault);
    const failure = await failureOf(genesys.locate(R, 'worker', signal));
    assert.deepEqual([failure.code, failure.sort, failure.retry], ['not-ready', 'surroundings', 'wait']);
    server.fault(route, `${fault}; retry-after:77`);
    assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).afterMs, 77_000);
    assert.equal((await genesys.locate(R, 'worker', signal)).files.length, 1);
    server.assertFaultsUsed();
  });
}

test('a list that is not there yet lists nothing (C8)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [TEXT] });
  for (const fault of ['return-202', 'return-204', 'body:zero', 'return-202; body:text:{"id":"stub"}']) {
    server.fault('list:C', fault);
    assert.deepEqual((await genesys.recordingsOf('C', signal)).recordings, [], fault);
  }
  server.fault('list:C', 'return-202; body:text:[{"id":"R"}]');
  assert.deepEqual((await genesys.recordingsOf('C', signal)).recordings, [R], 'what is there already is taken');
});

const CAPITALS = {
  recordingId: '8F1C7A52-6F0A-4E0E-9A41-2F6F3C2A1B77',
  conversationId: 'B0C5B9E0-5B5C-4A52-8A3E-0D8C2F5C1F11',
};
const SMALL_LETTERS = {
  recordingId: CAPITALS.recordingId.toLowerCase(),
  conversationId: CAPITALS.conversationId.toLowerCase(),
};

test('GUIDs that Genesys answers in capitals are those that were asked for; other ids mean what they say (C9)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({
    ...SMALL_LETTERS,
    files: [TEXT],
    extra: { id: CAPITALS.recordingId, conversationId: CAPITALS.conversationId },
  });
  assert.deepEqual((await genesys.recordingsOf(SMALL_LETTERS.conversationId, signal)).recordings, [SMALL_LETTERS]);
  assert.equal((await genesys.locate(SMALL_LETTERS, 'worker', signal)).files.length, 1);
  const body = `{"id":"${CAPITALS.recordingId}","status":"Available"}`;
  server.fault(`media-api:${SMALL_LETTERS.recordingId}`, `body:text:${body}`);
  const alone = { recordingId: SMALL_LETTERS.recordingId, conversationId: undefined };
  assert.equal((await genesys.locate(alone, 'worker', signal)).api, 'media');
  server.addRecording({ ...R, files: [TEXT], extra: { id: 'r' } });
  assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, 'upstream-error');
});

const NO_DATES = [
  5,
  1_754_385_123_412,
  true,
  {},
  [],
  '',
  'yesterday',
  '2026-13-01T00:00:00Z',
  '2026-02-30T00:00:00Z',
  '+010000-01-01T00:00:00Z',
  '-000001-01-01T00:00:00Z',
  '10000-01-01T00:00:00Z',
  '2026-08-05',
  '2026-08-05 09:12:03',
  '1754385123',
  // Never set: erased as too old, were it taken for a date.
  '0000-01-01T00:00:00Z',
  '0001-01-01T00:00:00Z',
  '1899-12-30T00:00:00Z',
  '1970-01-01T00:00:00.000Z',
];

test('a startTime that is none costs the date alone, and the next best is taken (C10) (B10)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  const recordedAt = async (extra: Readonly<Record<string, unknown>>) => {
    server.addRecording({ ...R, files: [TEXT], extra });
    const located = await genesys.locate(R, 'worker', signal);
    assert.equal(located.files.length, 1);
    return located.recordedAt?.toISOString();
  };
  for (const startTime of NO_DATES) {
    assert.equal(await recordedAt({ startTime }), '2026-08-05T09:12:03.412Z', JSON.stringify(startTime));
    const none = { startTime, originalRecordingStartTime: startTime, creationTime: startTime };
    assert.equal(await recordedAt(none), undefined, JSON.stringify(startTime));
  }
  assert.equal(await recordedAt({ startTime: '2026-08-05T11:12:03+02:00' }), '2026-08-05T09:12:03.000Z');
  assert.equal(await recordedAt({ startTime: '2000-01-01T00:00:00Z' }), '2000-01-01T00:00:00.000Z');
});

const DETAILS = [
  'outputDurationMs',
  'estimatedTranscodeTimeMs',
  'archiveDate',
  'media',
  'fileState',
  'users',
  'annotations',
  'path',
  'sessionId',
  'mediaSubtype',
  'outputSizeInBytes',
  'selfUri',
  'deleteDate',
  'conversationId',
];

test('no detail of another kind than expected costs the recording (C10)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  for (const detail of DETAILS)
    for (const value of [null, -1, 1.5, true, {}, [], [null], { a: 1 }]) {
      server.addRecording({ ...R, files: OPUS, extra: { [detail]: value } });
      const located = await genesys.locate(R, 'worker', signal);
      assert.equal(located.files.length, 2, `${detail}: ${JSON.stringify(value)}`);
    }
});

test('a recording deleted between metadata and fetch is gone (SR-27)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [TEXT] });
  server.fault('recording:R', 'return-410');
  assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, 'gone');
  server.assertFaultsUsed();
});

test('a date to come stores nothing away: a restored recording whose media are not there yet is not ready, and is asked for again', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  for (const [archiveDate, code] of [
    ['2099-01-01T00:00:00.000Z', 'not-ready'],
    [new Date(Date.now() + 86_400_000).toISOString(), 'not-ready'],
    [new Date(Date.now() - 86_400_000).toISOString(), 'needs-restore'],
    ['some day', 'needs-restore'],
  ] as const) {
    server.addRecording({ ...R, files: [TEXT], fileState: 'RESTORED', states: ['no-uris'], extra: { archiveDate } });
    assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, code, archiveDate);
    assert.equal((await genesys.locate(R, 'worker', signal)).files.length, 1, archiveDate);
  }
});

test('a restored recording is located like any other', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [TEXT], fileState: 'RESTORED', states: ['archived', 'restoring'] });
  assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, 'needs-restore');
  assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, 'not-ready');
  assert.equal((await genesys.locate(R, 'worker', signal)).files.length, 1);
});

test('a recording under another conversation is not found, for a bounded while (SR-05)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [TEXT] });
  const failure = await failureOf(genesys.locate({ recordingId: 'R', conversationId: 'other' }, 'worker', signal));
  assert.deepEqual([failure.code, failure.retry, failure.status], ['not-found', 'wait', 404]);
});

test('what Genesys does not know is asked for once in half a minute by listeners; the worker always asks (A5)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  for (let i = 0; i < 5; i++) assert.equal((await failureOf(genesys.locate(R, 'listener', signal))).status, 404);
  assert.equal(server.requests('metadata:R').length, 1);
  server.addRecording({ ...R, files: [TEXT] });
  assert.equal((await failureOf(genesys.locate(R, 'listener', signal))).status, 404, 'still remembered');
  assert.equal((await genesys.locate(R, 'worker', signal)).files.length, 1);
  assert.equal(
    (await genesys.locate(R, 'listener', signal)).files.length,
    1,
    'found meanwhile, so no longer remembered',
  );
  assert.equal((await failureOf(genesys.locate({ ...R, recordingId: 'X' }, 'listener', signal))).status, 404);
});

test('an answer about another recording or conversation is refused (SR-29)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [TEXT] });
  for (const route of ['metadata:R', 'recording:R']) {
    server.fault(route, 'id:another');
    assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, 'upstream-error', route);
  }
  server.addRecording({ ...R, files: [TEXT], extra: { conversationId: 'another' } });
  assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, 'upstream-error');
  assert.equal((await failureOf(genesys.recordingsOf('C', signal))).code, 'upstream-error');
});

const URL_0 = 'https://s3.us-east-1.amazonaws.com/x?X-Amz-Signature=1';

test('mediaUris are read as an object or an array, each channel once, all or none (SR-30) (SR-32)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  const channelsOf = async (mediaUris: unknown) => {
    server.addRecording({ ...R, files: [TEXT], extra: { mediaUris } });
    return (await genesys.locate(R, 'worker', signal)).files.map(({ channel }) => channel);
  };
  const uri = { mediaUri: URL_0 };
  assert.deepEqual(await channelsOf({ S: uri, '10': uri, '2': uri, '0': uri }), ['0', '2', '10', 'S']);
  assert.deepEqual(
    await channelsOf([
      { channelId: 1, ...uri },
      { channelId: 0, ...uri },
    ]),
    ['0', '1'],
  );
  assert.deepEqual(await channelsOf([uri, uri]), ['0', '1']);
  assert.deepEqual(await channelsOf({ '../x': uri, '0': uri }), ['0', '1'], 'an odd name is replaced by its place');
  assert.deepEqual(
    await channelsOf([
      { channelId: 0, ...uri },
      { channelId: 0, ...uri },
    ]),
    ['0', '1'],
  );
  assert.deepEqual(await channelsOf({ '0': URL_0, count: 1, ready: true }), ['0']);
  for (const unready of [null, {}, [], { '0': uri, '1': {} }, { '0': uri, '1': { mediaUri: null } }]) {
    assert.equal((await failureOf(channelsOf(unready))).code, 'not-ready', JSON.stringify(unready));
  }
  for (const odd of ['x', 5, { '0': 'x' }, { '0': { mediaUri: 5 } }, { '0': { mediaUri: 'not a url' } }]) {
    assert.equal((await failureOf(channelsOf(odd))).code, 'upstream-error', JSON.stringify(odd));
  }
});

test('JSON of another shape is refused, extra and missing fields are not (SR-30)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [TEXT] });
  for (const body of ['[]', '"x"', '5', 'null', '{"id":5}', '{}']) {
    server.fault('metadata:R', `body:text:${body}`);
    assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, 'upstream-error', body);
  }
  for (const body of ['{"id":"R","media":5}', '{"id":"R","fileState":{}}', '\uFEFF{"id":"R","conversationId":7}']) {
    server.fault('metadata:R', `body:text:${body}`);
    assert.equal((await genesys.locate(R, 'worker', signal)).files.length, 1, body);
  }
  server.fault('metadata:R', 'body:text:{"id":"R","__proto__":{"media":"chat"},"constructor":1}');
  assert.equal((await genesys.locate(R, 'worker', signal)).files.length, 1);
  server.assertFaultsUsed();
});

test('a conversation becomes all of its recordings, transcripts included, each once', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [TEXT] });
  server.addRecording({ recordingId: 'S', conversationId: 'C', media: 'screen' });
  server.addRecording({ recordingId: 'M', conversationId: 'C', media: 'chat' });
  server.addRecording({ recordingId: 'other', conversationId: 'D' });
  const ids = (await genesys.recordingsOf('C', signal)).recordings.map(({ recordingId }) => recordingId);
  assert.deepEqual(ids, ['R', 'S', 'M']);
  server.fault('list:C', 'body:text:[{"id":"R"},{"id":"R","conversationId":"C"}]');
  assert.deepEqual((await genesys.recordingsOf('C', signal)).recordings, [R]);
});

test('an empty list or a 404 says what is listed now: nothing', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addConversation('empty');
  for (const conversationId of ['empty', 'unknown'])
    assert.deepEqual((await genesys.recordingsOf(conversationId, signal)).recordings, []);
  assert.equal(server.requests('list:empty').length, 1);
});

test('a list says which of its entries cannot be read, and that it is still on its way (invariant 12)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addConversation('C');
  const lackingOf = async (fault: string) => {
    server.fault('list:C', fault);
    const { lacking, recordings, isComplete } = await genesys.recordingsOf('C', signal);
    assert.deepEqual([recordings, isComplete], [[R], false]);
    return [lacking?.code, /\((entry .*)\)/.exec(lacking?.message ?? '')?.[1]];
  };
  const good = '{"id":"R","media":"screen","fileState":"AVAILABLE"}';
  assert.deepEqual(await lackingOf(`body:text:[null,${good},{"id":"X","conversationId":"D"}]`), [
    'upstream-error',
    'entry 1 has no usable id, entry 3 is of another conversation',
  ]);
  assert.deepEqual(await lackingOf(`body:text:[${good},{},{},{},{}]`), [
    'upstream-error',
    'entry 2 has no usable id, entry 3 has no usable id, entry 4 has no usable id, and so on, 4 in all',
  ]);
  assert.deepEqual(await lackingOf(`return-202; body:text:[${good}]`), ['not-ready', undefined]);
  server.fault('list:C', `body:text:[${good}]`);
  assert.equal((await genesys.recordingsOf('C', signal)).lacking, undefined);
});

test('ids that could not be stored are left out, and never all there is (SR-30) (C10)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addConversation('C');
  const odd = [
    '{"id":"../../etc"}',
    '{"id":"_"}',
    '{}',
    '{"id":5}',
    '"x"',
    'null',
    '[]',
    '{"id":"X","conversationId":"D"}',
  ];
  for (const entry of odd) {
    server.fault('list:C', `body:text:[${entry}]`);
    const failure = await failureOf(genesys.recordingsOf('C', signal));
    assert.deepEqual([failure.code, failure.sort], ['upstream-error', 'surroundings'], entry);
    server.fault('list:C', `body:text:[${entry},{"id":"R"},${entry}]`);
    assert.deepEqual((await genesys.recordingsOf('C', signal)).recordings, [R], entry);
  }
  server.fault('list:C', 'body:text:{"entities":[]}');
  assert.equal((await failureOf(genesys.recordingsOf('C', signal))).code, 'upstream-error');
});

test('invariant 9: a media URL outside the allow-list is refused, and nothing is asked of its host (SR-23)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  const canary = await startGenesysServer();
  t.after(() => canary.close());
  server.addRecording({
    ...R,
    files: [TEXT],
    extra: { mediaUris: { '0': { mediaUri: `${canary.apiUrl}/oauth/token` } } },
  });
  const located = await genesys.locate(R, 'worker', signal);
  assert.equal((await failureOf(hashes(located, signal))).code, 'host-refused');
  assert.equal(canary.requests().length, 0);
});

test('without a conversation id the Recording API is refused where only it is configured', async (t) => {
  const { genesys, signal } = await setUp(t, { config: { recordingApi: 'recordings' } });
  const failure = await failureOf(genesys.locate({ recordingId: 'R', conversationId: undefined }, 'worker', signal));
  assert.deepEqual([failure.code, failure.status], ['bad-request', 400]);
  assert.match(failure.message, /conversationId/);
});

test('check gets a token, or says what to change', async (t) => {
  const good = await setUp(t);
  await good.genesys.check(good.signal);
  const bad = await setUp(t, { config: { clients: [{ id: 'nobody', secret: 'wrong' }] } });
  const failure = await failureOf(bad.genesys.check(bad.signal));
  assert.equal(failure.code, 'misconfigured');
  assert.match(failure.message, /GENESYS_CLIENT_ID/);
});

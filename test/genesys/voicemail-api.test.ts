/** Voicemails that were left in a queue, by Genesys' Voicemail API: found, located and fetched as recordings (C14). */
import assert from 'node:assert/strict';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { failureOf } from '../support/failure-of.ts';
import { setUp } from '../support/genesys/setting.ts';
import { type SimulatedVoicemail } from '../support/genesys/server.ts';

const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const V = '1f0d7f0a-2a52-4c9f-9f7d-6f5c3b2a1e0d';
const W = '2e1d7f0a-2a52-4c9f-9f7d-6f5c3b2a1e0d';
const BYTES = Buffer.from('OggS the voice of a caller');
const LEFT: SimulatedVoicemail = {
  messageId: V,
  conversationId: C,
  file: { channel: 'S', contentType: 'audio/ogg', bytes: BYTES },
};
const NONE = { recordings: [], isComplete: false, lacking: undefined };
const RECORDING = { recordingId: `voicemail-${V}`, conversationId: C };

test('the voicemails of a conversation are recordings of it, each once, whoever they were offered to', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addVoicemail({ ...LEFT, offeredTo: 3 });
  server.addVoicemail({ ...LEFT, messageId: W.toUpperCase(), uploadStatus: 'pending' });
  server.addVoicemail({ ...LEFT, messageId: 'nothing', uploadStatus: 'none' });
  server.addVoicemail({ ...LEFT, messageId: 'elsewhere', conversationId: 'D' });
  assert.deepEqual(await genesys.voicemailsOf(C, signal), {
    recordings: [RECORDING, { recordingId: `voicemail-${W}`, conversationId: C }],
    isComplete: false,
    lacking: undefined,
  });
  assert.equal(server.requests('conversation:*').length, 1);
});

test('a conversation without voicemail, or one that is not known yet, has none', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addConversation('C');
  for (const id of ['C', 'unknown']) assert.deepEqual(await genesys.voicemailsOf(id, signal), NONE);
});

test('odd participants and callbacks spoil nothing (C10)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addConversation('C');
  const callback = { voicemail: { id: V, uploadStatus: 'complete' } };
  const odd = [
    null,
    5,
    {},
    { callbacks: 'x' },
    { callbacks: [null, 7, {}, { voicemail: null }, { voicemail: {} }, { voicemail: { uploadStatus: 'none' } }] },
  ];
  for (const participants of [
    [...odd, { callbacks: [callback] }],
    [{ callbacks: [callback, null] }, ...odd],
  ]) {
    server.fault('conversation:C', `body:text:${JSON.stringify({ participants })}`);
    const recordings = [{ ...RECORDING, conversationId: 'C' }];
    assert.deepEqual(await genesys.voicemailsOf('C', signal), { ...NONE, recordings });
  }
  for (const body of ['{}', '{"participants":null}', '[]']) {
    server.fault('conversation:C', `body:text:${body}`);
    assert.deepEqual(await genesys.voicemailsOf('C', signal), NONE, body);
  }
});

test('a voicemail that cannot be asked for is named, and keeps the others from nothing', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addConversation('C');
  const callback = { voicemail: { id: V, uploadStatus: 'complete' } };
  for (const voicemail of [3, { id: '../x' }, { uploadStatus: 'complete' }, { id: null, uploadStatus: 'pending' }]) {
    server.fault(
      'conversation:C',
      `body:text:${JSON.stringify({ participants: [{ callbacks: [{ voicemail }, callback] }] })}`,
    );
    const { recordings, lacking } = await genesys.voicemailsOf('C', signal);
    assert.deepEqual(recordings, [{ ...RECORDING, conversationId: 'C' }]);
    assert.equal(lacking?.code, 'upstream-error');
    assert.match(lacking.message, /cannot be read in full \(the voicemail of callback 1 has no usable id\)/);
  }
});

test('a voicemail is located and downloaded bit-exact, without the token, also after its URL has expired', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addVoicemail(LEFT);
  const located = await genesys.locate(RECORDING, 'worker', signal);
  assert.deepEqual([located.api, located.durationMs], ['voicemail', undefined]);
  assert.deepEqual(located.recordedAt, new Date('2026-08-05T09:20:00.000Z'));
  server.expireMediaUrls();
  const [file, ...others] = located.files;
  assert.ok(file !== undefined && others.length === 0);
  assert.deepEqual(await buffer(await file.open(signal)), BYTES);
  const route = `media:${RECORDING.recordingId}:S`;
  assert.deepEqual(
    server.requests(route).map(({ hasAuthorization }) => hasAuthorization),
    [false, false],
  );
  assert.deepEqual(
    server.requests('voicemail*').map(({ path }) => path.replace(V, 'V')),
    [
      '/api/v2/voicemail/messages/V',
      '/api/v2/voicemail/messages/V/media?formatId',
      '/api/v2/voicemail/messages/V/media?formatId',
    ],
  );
});

const UNREADY: readonly (readonly [string, Partial<SimulatedVoicemail>, string, string])[] = [
  ['pending', { uploadStatus: 'pending' }, 'not-ready', 'wait'],
  ['failed', { uploadStatus: 'failed' }, 'not-ready', 'wait'],
  ['deleted', { deleted: true }, 'gone', 'never'],
  ['of another conversation', { extra: { conversation: { id: 'D' } } }, 'not-found', 'never'],
  ['another one', { extra: { id: W } }, 'upstream-error', 'wait'],
];

for (const [name, change, code, retry] of UNREADY) {
  test(`a voicemail that is ${name}: ${code}`, async (t) => {
    const { server, genesys, signal } = await setUp(t);
    server.addVoicemail({ ...LEFT, ...change });
    const failure = await failureOf(genesys.locate(RECORDING, 'worker', signal));
    assert.deepEqual([failure.code, failure.retry], [code, retry]);
  });
}

test('a voicemail that Genesys does not know may still come', async (t) => {
  const { genesys, signal } = await setUp(t);
  const failure = await failureOf(genesys.locate(RECORDING, 'worker', signal));
  assert.deepEqual([failure.code, failure.sort, failure.retry], ['not-found', 'recording', 'wait']);
});

test('a Retry-After is kept, and details nobody needs cost nothing (C10)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addVoicemail(LEFT);
  for (const route of [`voicemail-media:${V}`, `voicemail:${V}`]) {
    server.fault(route, 'return-202; retry-after:90');
    assert.equal((await failureOf(genesys.locate(RECORDING, 'worker', signal))).afterMs, 90_000, route);
  }
  for (const extra of [
    { createdDate: 5 },
    { conversation: null },
    { conversation: 'x' },
    { deleted: 'no' },
    { read: {} },
  ]) {
    server.addVoicemail({ ...LEFT, extra });
    assert.equal((await genesys.locate(RECORDING, 'worker', signal)).files.length, 1, JSON.stringify(extra));
  }
});

test('the permission that is missing is named, and waited for (C4)', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addVoicemail(LEFT);
  server.fault(`conversation:${C}`, 'return-403; code:missing.any.permissions');
  const conversation = await failureOf(genesys.voicemailsOf(C, signal));
  assert.deepEqual([conversation.code, conversation.sort, conversation.retry], ['forbidden', 'operator', 'wait']);
  assert.match(conversation.message, /conversation:communication:view/);
  server.fault(`voicemail:${V}`, 'return-403; code:missing.any.permissions');
  const voicemail = await failureOf(genesys.locate(RECORDING, 'worker', signal));
  assert.deepEqual([voicemail.code, voicemail.sort], ['forbidden', 'operator']);
  assert.match(voicemail.message, /voicemail:acdVoicemail:view/);
});

test('where only the Media API is spoken to, an id that looks like a voicemail is a recording like any other', async (t) => {
  const { server, genesys, signal } = await setUp(t, { config: { recordingApi: 'media' } });
  server.addRecording({ recordingId: RECORDING.recordingId, files: [LEFT.file] });
  assert.equal((await genesys.locate(RECORDING, 'worker', signal)).api, 'media');
});

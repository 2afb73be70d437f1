/** What a list has just said is not asked for again: calls counted at the simulated Genesys, for every kind of entry. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LISTS } from '../../src/bounds.ts';
import { RecentLists } from '../../src/genesys/recent-lists.ts';
import type { ListedRecording } from '../../src/genesys/recording-answer.ts';
import { failureOf } from '../support/failure-of.ts';
import type { SimulatedRecording } from '../support/genesys/server.ts';
import { setUp } from '../support/genesys/setting.ts';

const FILE = { channel: '0', contentType: 'audio/ogg', bytes: Buffer.from('some sound') };
const R = { recordingId: 'R', conversationId: 'C' };

test('a recording that has just been listed costs one call more: it is located without its metadata', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [FILE] });
  assert.deepEqual((await genesys.recordingsOf('C', signal)).recordings, [R]);
  await genesys.locate(R, 'worker', signal);
  const asked = server.requests().map(({ route }) => route);
  assert.deepEqual(
    asked.filter((route) => route !== 'token'),
    ['list:C', 'recording:R'],
  );
});

test('a screen that was listed is asked for as WebM, a call as Opus', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [FILE] });
  server.addRecording({ recordingId: 'S', conversationId: 'C', media: 'screen', files: [{ ...FILE, channel: 'S' }] });
  await genesys.recordingsOf('C', signal);
  for (const recordingId of ['R', 'S']) await genesys.locate({ recordingId, conversationId: 'C' }, 'worker', signal);
  const formats = server.requests('recording:*').map(({ formatId }) => formatId);
  assert.deepEqual(formats, ['OGG_OPUS', 'WEBM']);
});

const UNTOLD: Readonly<Record<string, Partial<SimulatedRecording>>> = {
  'still being uploaded': { fileState: 'UPLOADING' },
  deleted: { fileState: 'DELETED' },
  'stored away': { fileState: 'ARCHIVED' },
  'in a state that nobody knows': { fileState: 'SHELVED' },
  'a chat': { media: 'chat' },
};

for (const [name, odd] of Object.entries(UNTOLD))
  test(`an entry that is ${name} is asked for its metadata, which starts no transcoding`, async (t) => {
    const { server, genesys, signal } = await setUp(t);
    server.addRecording({ ...R, files: [FILE], ...odd });
    await genesys.recordingsOf('C', signal);
    await genesys.locate(R, 'worker', signal).catch(() => undefined);
    assert.equal(server.requests('metadata:R').length, 1);
  });

test('what was listed and is gone meanwhile is gone, by one call', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  server.addRecording({ ...R, files: [FILE] });
  await genesys.recordingsOf('C', signal);
  server.update('R', { fileState: 'DELETED' });
  assert.equal((await failureOf(genesys.locate(R, 'worker', signal))).code, 'gone');
  assert.equal(server.requests('metadata:R').length, 0);
});

test('an id in capitals is the recording that was listed in small letters', async (t) => {
  const { server, genesys, signal } = await setUp(t);
  const ids = {
    recordingId: '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77',
    conversationId: 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11',
  };
  server.addRecording({ ...ids, files: [FILE] });
  const { recordings } = await genesys.recordingsOf(ids.conversationId, signal);
  assert.deepEqual(recordings, [ids]);
  await genesys.locate(ids, 'worker', signal);
  assert.equal(server.requests('metadata:*').length, 0);
});

// ── what a list says of itself ───────────────────────────────────────────────────────────────────────────────────

const entry = (recordingId: string, more: Partial<ListedRecording> = {}): ListedRecording => ({
  recordingId,
  conversationId: 'C',
  kind: 'audio',
  isSettled: true,
  ...more,
});

/** A memory that has seen so many lists of one call each. */
function after(lists: number): RecentLists {
  const memory = new RecentLists();
  for (let index = 0; index < lists; index += 1) memory.note([entry(`r-${String(index)}`)]);
  return memory;
}

test('where no list has had a screen for a while, a list of settled calls is complete', () => {
  const call = [entry('call')];
  assert.equal(after(LISTS.withoutScreen).isComplete(call), false);
  assert.equal(after(LISTS.withoutScreen + 1).isComplete(call), true);
  assert.equal(after(LISTS.withoutScreen + 1).isComplete([entry('call', { isSettled: false })]), false);
  assert.equal(after(LISTS.withoutScreen + 1).isComplete([]), false);
});

test('where screens are recorded, only a list that has one is complete', () => {
  const memory = after(2 * LISTS.withoutScreen);
  const screen = entry('screen', { kind: 'screen' });
  memory.note([entry('call'), screen]);
  for (let index = 0; index < 2 * LISTS.withoutScreen; index += 1) memory.note([entry(`later-${String(index)}`)]);
  assert.equal(memory.isComplete([entry('call')]), false);
  assert.equal(memory.isComplete([entry('call'), screen]), true);
  assert.equal(memory.isComplete([entry('call', { isSettled: false }), screen]), false);
});

test('what was listed a while ago is asked for again', (t) => {
  let now = performance.now();
  t.mock.method(performance, 'now', () => now);
  const memory = after(1);
  const known = { recordingId: 'r-0', conversationId: 'C' };
  now += LISTS.rememberedMs - 1;
  assert.equal(memory.kindOf(known), 'audio');
  now += 1;
  assert.equal(memory.kindOf(known), undefined);
});

test('a list with nothing in it says nothing of screens', () => {
  const memory = after(1);
  for (let index = 0; index < 2 * LISTS.withoutScreen; index += 1) memory.note([]);
  assert.equal(memory.isComplete([entry('call')]), false);
});

test('memory is bounded: of more than fit the oldest are asked for again', () => {
  const memory = after(LISTS.remembered + 10);
  assert.equal(memory.kindOf({ recordingId: 'r-0', conversationId: 'C' }), undefined);
  assert.equal(memory.kindOf({ recordingId: 'r-10', conversationId: 'C' }), 'audio');
});

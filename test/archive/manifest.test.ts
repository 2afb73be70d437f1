/** What an archive accepts as a manifest or failure record, and what it refuses by name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subjectKey } from '../../src/archive/names.ts';
import { dayOf, originalName, parseFailureRecord, parseManifest } from '../../src/archive/records.ts';
import { isDay } from '../../src/instant.ts';
import { Failure } from '../../src/failure.ts';
import { failureOf, manifestOf, sourceOf } from '../support/archive/content.ts';

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const MANIFEST = manifestOf(
  CALL,
  { sizeBytes: 12, sha256: 'ab'.repeat(32), crc32c: '4waSgw==' },
  { sources: [sourceOf(Buffer.from('media'), 'original.opus')], traceparent: '00-1-2-01' },
);

test('a manifest survives writing and reading', () => {
  assert.deepEqual(parseManifest(JSON.stringify(MANIFEST)), MANIFEST);
  const bare = manifestOf({ recordingId: 'R', conversationId: undefined }, MANIFEST.webm, { recordedAt: null });
  assert.deepEqual(parseManifest(JSON.stringify(bare)), bare);
});

test('fields of a newer service are ignored, its version is not (PR-09)', () => {
  assert.deepEqual(parseManifest(JSON.stringify({ ...MANIFEST, later: 1 })), MANIFEST);
  refuses(parseManifest, { ...MANIFEST, version: 2 }, /version: expected 1; a newer service/);
});

test('levels of a manifest are read where they are whole, and left out where they are not', () => {
  const levels = {
    picture: ['0123456789abcdef0123456789ab', 'f'.repeat(28)],
    speakingS: [12.5, 0],
    bothS: 0,
    silentS: 3,
    longestSilenceS: 1.2,
  };
  assert.deepEqual(parseManifest(JSON.stringify({ ...MANIFEST, levels })), { ...MANIFEST, levels });
  for (const wrong of [
    null,
    7,
    'levels',
    [],
    {},
    { ...levels, picture: 'f'.repeat(28) },
    { ...levels, picture: ['f'.repeat(27)] },
    { ...levels, picture: ['F'.repeat(28)] },
    { ...levels, picture: [7] },
    { ...levels, speakingS: [-1, 0] },
    { ...levels, speakingS: ['1', 0] },
    { ...levels, bothS: undefined },
    { ...levels, silentS: null },
    { ...levels, longestSilenceS: 'long' },
  ]) {
    assert.deepEqual(parseManifest(JSON.stringify({ ...MANIFEST, levels: wrong })), MANIFEST, JSON.stringify(wrong));
  }
});

test('every wrong field of a manifest is refused by its name', () => {
  const { webm } = MANIFEST;
  const [source] = MANIFEST.sources;
  for (const [field, wrong] of [
    ['recordingId', { recordingId: '../x' }],
    ['recordingId', { recordingId: undefined }],
    ['conversationId', { conversationId: '_' }],
    ['api', { api: 'other' }],
    ['medium', { medium: 1 }],
    ['recordedAt', { recordedAt: '2026-02-30T10:00:00Z' }],
    ['recordedAt', { recordedAt: '2026-13-01T10:00:00Z' }],
    ['recordedAt', { recordedAt: '2026-03-01T10:00:00+01:00' }],
    ['finishedAt', { finishedAt: null }],
    ['attempt', { attempt: 1.5 }],
    ['attempt', { attempt: -1 }],
    ['sources', { sources: {} }],
    ['sources\\[0\\]\\.original', { sources: [{ ...source, original: '../../etc/passwd' }] }],
    ['sources\\[0\\]\\.sha256', { sources: [{ ...source, sha256: 'AB'.repeat(32) }] }],
    ['sources\\[0\\]\\.sizeBytes', { sources: [{ ...source, sizeBytes: '5' }] }],
    ['webm', { webm: null }],
    ['webm\\.sizeBytes', { webm: { ...webm, sizeBytes: 2 ** 60 } }],
    ['webm\\.crc32c', { webm: { ...webm, crc32c: '4waSg' } }],
    ['webm\\.contentType', { webm: { ...webm, contentType: 'text/html' } }],
    ['webm\\.durationMs', { webm: { ...webm, durationMs: null } }],
    ['webm\\.codecs', { webm: { ...webm, codecs: [1] } }],
  ] as const) {
    refuses(parseManifest, { ...MANIFEST, ...wrong }, new RegExp(`\\(${field}: expected`));
  }
});

test('what is no JSON object is refused without being shown', () => {
  for (const text of ['', '{', 'null', '[]', '"text"', '{"version":1', '\0'.repeat(100)]) {
    for (const parse of [parseManifest, parseFailureRecord]) {
      assert.throws(
        () => parse(text),
        (error) => error instanceof Failure && error.code === 'conflict',
      );
    }
  }
});

test('a failure record survives writing and reading, and names what is wrong with it', () => {
  const record = failureOf(CALL);
  assert.deepEqual(parseFailureRecord(JSON.stringify(record)), record);
  const ofConversation = failureOf({ conversationId: 'C1' }, { status: 'no-media' });
  assert.deepEqual(parseFailureRecord(JSON.stringify(ofConversation)), ofConversation);
  refuses(parseFailureRecord, { ...record, status: 'archived' }, /status: expected failed or no-media/);
  refuses(parseFailureRecord, { ...record, failedAt: 'today' }, /failedAt: expected/);
  refuses(parseFailureRecord, { ...record, attempts: Number.NaN }, /attempts: expected/);
});

test('a recording is listed under the UTC day it started, else the day it was archived', () => {
  assert.equal(dayOf({ ...MANIFEST, recordedAt: '2026-03-01T23:59:59.999Z' }), '2026-03-01');
  assert.equal(dayOf({ ...MANIFEST, recordedAt: null, finishedAt: '2026-03-02T00:00:00Z' }), '2026-03-02');
  assert.deepEqual(['2026-02-28', '2026-02-30', '2026-2-1', '', '2026-03-01T'].map(isDay), [
    true,
    false,
    false,
    false,
    false,
  ]);
});

test('failures of recordings and of conversations never share a name', () => {
  assert.equal(subjectKey(CALL), 'C1.R1');
  assert.equal(subjectKey({ recordingId: 'R1', conversationId: undefined }), '_.R1');
  assert.equal(subjectKey({ recordingId: undefined, conversationId: 'C1' }), 'C1._');
  assert.throws(() => subjectKey({ recordingId: undefined, conversationId: undefined }), Failure);
});

test('originals are numbered where there are several, and their names are never paths', () => {
  assert.equal(originalName(0, 1, 'wav'), 'original.wav');
  assert.equal(originalName(1, 2, 'opus'), 'original.1.opus');
  for (const extension of ['', '../x', 'a/b', 'WAV', 'x'.repeat(17)]) {
    assert.throws(() => originalName(0, 1, extension), Failure);
  }
});

function refuses(parse: (text: string) => unknown, value: unknown, words: RegExp): void {
  assert.throws(
    () => parse(JSON.stringify(value)),
    (error) => {
      assert.ok(error instanceof Failure && error.code === 'conflict');
      assert.match(error.message, words);
      assert.match(error.message, /restore it/);
      return true;
    },
  );
}

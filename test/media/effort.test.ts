/** What a push has time for: decided by size, kind and duration, before anything is made (QU-03). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import type { Download, MediaFile } from '../../src/media-file.ts';
import { checkFfmpeg } from '../../src/media/encoder/check.ts';
import { makeWebm } from '../../src/media/make-webm.ts';
import { requireInTime, type Effort } from '../../src/media/effort.ts';
import { Slots } from '../../src/media/encoder/slots.ts';
import { bytesOfFixture } from '../support/media/fixtures.ts';
import { Purpose } from '../../src/media/purpose.ts';
import { makingWith } from '../support/media/making.ts';

const MIB = 1024 ** 2;
const MINUTE = 60_000;
const opus: Effort['plan'] = { way: 'join', media: [{ kind: 'ogg-opus' }, { kind: 'ogg-opus' }] };
const sound: Effort['plan'] = { way: 'encode', media: [{ kind: 'wav' }] };
const pictures: Effort['plan'] = { way: 'encode', media: [{ kind: 'mp4' }] };

const CASES: readonly (readonly [what: string, effort: Effort, quick: boolean])[] = [
  ['ten hours of Opus that are only joined', { plan: opus, sizeBytes: 200 * MIB, durationMs: 600 * MINUTE }, true],
  ['Opus of unknown size', { plan: opus, sizeBytes: undefined, durationMs: undefined }, true],
  ['more bytes than can be had in time', { plan: opus, sizeBytes: 600 * MIB, durationMs: 60 * MINUTE }, false],
  ['an hour of sound', { plan: sound, sizeBytes: 100 * MIB, durationMs: 60 * MINUTE }, true],
  ['ten hours of sound', { plan: sound, sizeBytes: 300 * MIB, durationMs: 600 * MINUTE }, false],
  ['three minutes of pictures', { plan: pictures, sizeBytes: 20 * MIB, durationMs: 3 * MINUTE }, true],
  ['ten minutes of pictures', { plan: pictures, sizeBytes: 20 * MIB, durationMs: 10 * MINUTE }, false],
  ['few bytes of pictures of unknown duration', { plan: pictures, sizeBytes: 4 * MIB, durationMs: undefined }, true],
  ['many bytes of pictures of unknown duration', { plan: pictures, sizeBytes: 40 * MIB, durationMs: undefined }, false],
  ['pictures of which nothing is known', { plan: pictures, sizeBytes: undefined, durationMs: undefined }, false],
];
const PUSH_MS = 9 * MINUTE;
const isTooLong = (error: unknown): boolean =>
  error instanceof Failure && error.code === 'too-long' && /left to a worker without a deadline/.test(error.message);

for (const [what, effort, quick] of CASES) {
  test(`${what}: ${quick ? 'a push has time for that' : 'left to a worker that pulls'}`, () => {
    if (quick) return requireInTime(effort, PUSH_MS);
    assert.throws(() => requireInTime(effort, PUSH_MS), isTooLong);
  });
}

test('a long screen recording is refused before an encoder is asked for, and its download is let go', async () => {
  const slots = new Slots({ slots: 1, maxWaiting: 1, archives: true });
  let left = false;
  const bytes = bytesOfFixture('screen-faststart.mp4');
  const download: Download = {
    contentType: 'video/mp4',
    sizeBytes: bytes.length,
    readRange: undefined,
    isCalledCompressed: false,
    received: () => assert.fail('it was not read'),
    async *[Symbol.asyncIterator]() {
      try {
        for (let at = 0; at < bytes.length; at += 4096) yield bytes.subarray(at, at + 4096);
      } finally {
        left = true;
      }
    },
  };
  const file: MediaFile = { channel: 'S', open: async () => download };
  const making = {
    files: [file],
    durationMs: 10 * MINUTE,
    ways: 'any',
    purpose: new Purpose('archiving'),
    withinMs: PUSH_MS,
  } as const;
  const tools = makingWith({ ffmpeg: await checkFfmpeg(), slots });
  await assert.rejects(makeWebm(making, tools, new AbortController().signal), isTooLong);
  assert.ok(left);
  assert.deepEqual([slots.running, slots.waiting], [0, 0]);
});

test('what is too long is no failure of the recording: it waits, and says so publicly', () => {
  const failure = new Failure('too-long', 'Pictures have to be encoded.');
  assert.deepEqual([failure.code, failure.status, failure.retry], ['too-long', 429, 'wait']);
});

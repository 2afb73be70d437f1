/** Files of every codec, rate and length: none is refused for what its decoder gives more or less than is counted, and more is not forgiven. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import type { Contents } from '../../src/media/source/contents.ts';
import { decoderSlackMs } from '../../src/media/decoder-slack.ts';
import { requireWhole } from '../../src/media/proof.ts';
import { UNKNOWN_LENGTHS } from '../../src/media/source/tally.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { archived } from '../support/media/made.ts';
import { runs, SEED } from '../support/soak.ts';

/** How the codec is made, in a file of which name, and how far apart source and WebM may be, in milliseconds. */
const CODECS: readonly (readonly [name: string, withinMs: number, ...args: readonly string[]])[] = [
  ['a.wav', 60, '-c:a', 'pcm_s16le'],
  ['u8.wav', 60, '-c:a', 'pcm_u8'],
  ['s24.wav', 60, '-c:a', 'pcm_s24le'],
  ['float.wav', 60, '-c:a', 'pcm_f32le'],
  ['ulaw.wav', 60, '-c:a', 'pcm_mulaw'],
  ['alaw.wav', 60, '-c:a', 'pcm_alaw'],
  ['ima.wav', 60, '-c:a', 'adpcm_ima_wav'],
  ['ms.wav', 60, '-c:a', 'adpcm_ms'],
  ['a.flac', 60, '-c:a', 'flac'],
  ['flac.mkv', 500, '-c:a', 'flac'],
  ['flac.ogg', 60, '-c:a', 'flac'],
  ['alac.m4a', 60, '-c:a', 'alac'],
  ['pcm.mov', 60, '-c:a', 'pcm_s16le'],
  ['pcm.mkv', 60, '-c:a', 'pcm_s16le'],
  ['a.ogg', 200, '-c:a', 'libvorbis'],
  ['cbr.mp3', 400, '-c:a', 'libmp3lame', '-b:a', '32k'],
  ['vbr.mp3', 400, '-c:a', 'libmp3lame', '-q:a', '5'],
  ['untagged.mp3', 400, '-c:a', 'libmp3lame', '-write_xing', '0'],
  ['mp3.mkv', 400, '-c:a', 'libmp3lame'],
  ['a.aac', 400, '-c:a', 'aac', '-b:a', '32k'],
  ['a.m4a', 400, '-c:a', 'aac', '-b:a', '32k'],
  ['aac.mkv', 400, '-c:a', 'aac', '-b:a', '32k'],
  ['fragments.mp4', 400, '-c:a', 'aac', '-b:a', '32k', '-frag_duration', '300000', '-movflags', 'empty_moov'],
];

const file = fc.record({
  codec: fc.constantFrom(...CODECS),
  rate: fc.constantFrom(8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000),
  channels: fc.constantFrom(1, 2),
  lengthMs: fc.integer({ min: 150, max: 9_000 }),
});

test('what decoders add and leave out costs no good file (D1)', { timeout: 3_600_000 }, async () => {
  const check = async (made: typeof file extends fc.Arbitrary<infer File> ? File : never): Promise<void> => {
    const [name, withinMs, ...args] = made.codec;
    const tone = `sine=f=440:r=${String(made.rate)}:d=${String(made.lengthMs / 1000)}`;
    const write = (path: string): Promise<Buffer> =>
      ffmpeg('-y', '-f', 'lavfi', '-i', tone, '-ac', String(made.channels), ...args, path);
    const bytes = await withFile(name, write);
    const { result } = await archived([bytes]);
    const decodedMs = await decodedLength(name, bytes);
    const apartMs = result.durationMs - decodedMs;
    assert.ok(Math.abs(apartMs) <= withinMs, `${name}: ${apartMs.toFixed(1)} ms`);
  };
  await fc.assert(fc.asyncProperty(file, check), { numRuns: runs(8, 200), seed: SEED, endOnFailure: true });
});

/** By ffmpeg, sample for sample. */
async function decodedLength(name: string, bytes: Buffer): Promise<number> {
  let samples = 0;
  await withFile(name, async (path) => {
    await writeFile(path, bytes);
    samples = (await ffmpeg('-i', path, '-ac', '1', '-ar', '48000', '-f', 's16le', 'pipe:1')).length / 2;
  });
  return samples / 48;
}

const holding = (...codecs: readonly (string | undefined)[]): Contents => ({
  sounds: codecs.map((codec, stream) => ({ stream, codec, channels: 1, isExact: false })),
  pictures: [],
  isTimed: false,
  startS: 0,
});

test('more than its decoder explains is missing sound, however long the recording (D1)', () => {
  for (const dueMs of [1_000, 60_000, 3_600_000])
    for (const [codec, slackMs] of [
      ['pcm', 60],
      ['A_PCM/INT/LIT', 60],
      ['vorbis', 200],
      ['mp4a', 400],
    ] as const) {
      const endsAt = (soundMs: number): unknown =>
        requireWhole({
          soundMs,
          picturesMs: undefined,
          packets: 1,
          sourceMs: dueMs,
          isStated: false,
          genesysMs: undefined,
          lacksEndMark: false,
          isSized: true,
          countedMs: { ...UNKNOWN_LENGTHS, soundMs: dueMs },
          soundSlackMs: decoderSlackMs([holding(codec)]),
          hasKnownSize: true,
        });
      for (const apartMs of [-slackMs, slackMs]) assert.ok(endsAt(dueMs + apartMs));
      for (const apartMs of [-slackMs - 1, slackMs + 1])
        assert.throws(() => endsAt(dueMs + apartMs), { code: 'incomplete' }, `${codec} ${String(apartMs)}`);
    }
});

test('of several codecs the one that is known least decides', () => {
  assert.equal(decoderSlackMs([holding('pcm'), holding('mp3')]), 400);
  assert.equal(decoderSlackMs([holding('A_PCM/INT/LIT', 'vorbis')]), 200);
  for (const other of ['g.726', 'speex', 'A_FLAC', undefined])
    assert.equal(decoderSlackMs([holding('pcm'), holding(other)]), undefined, other);
  assert.equal(decoderSlackMs([undefined]), undefined);
});

/** Generated containers, cut, padded, tagged, doubled and shifted: refused, or every voice is there, in its place and at its level. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { Failure } from '../../src/failure.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { amplitudeOf, decibels, hear, stretchesOf } from '../support/media/hear.ts';
import { archived } from '../support/media/made.ts';
import { runs, SEED } from '../support/soak.ts';

/** Two voices with a pause: what is lost, moved or swapped shows. */
const VOICES =
  "aevalsrc='0.3*sin(2*PI*440*t)*not(between(t,1,1.5))|0.15*sin(2*PI*900*t)*not(between(t,1,1.5))':s=16000:d=2.5:c=stereo";
const HEARD = [
  [0, 1],
  [1.5, 2.5],
] as const;

const FORMATS: Readonly<Record<string, readonly string[]>> = {
  'pcm.wav': ['-c:a', 'pcm_s16le'],
  'float.wav': ['-c:a', 'pcm_f32le'],
  'ulaw.wav': ['-c:a', 'pcm_mulaw'],
  'adpcm.wav': ['-c:a', 'adpcm_ima_wav'],
  'a.mp3': ['-c:a', 'libmp3lame', '-b:a', '64k', '-joint_stereo', '0'],
  'a.aac': ['-c:a', 'aac', '-b:a', '96k'],
  'a.flac': ['-c:a', 'flac'],
  'a.mp4': ['-c:a', 'aac', '-b:a', '96k'],
  'front.mp4': ['-c:a', 'aac', '-b:a', '96k', '-movflags', '+faststart'],
  'fragments.mp4': ['-c:a', 'aac', '-b:a', '96k', '-movflags', 'empty_moov', '-frag_duration', '400000'],
  'alac.m4a': ['-c:a', 'alac'],
  'pcm.mov': ['-c:a', 'pcm_s16le'],
  'pcm.mkv': ['-c:a', 'pcm_s16le'],
  'shifted.mkv': ['-c:a', 'pcm_s16le', '-output_ts_offset', '3600'],
  'vorbis.ogg': ['-c:a', 'libvorbis'],
};

const files = new Map<string, Buffer>();
for (const [name, codec] of Object.entries(FORMATS)) {
  const write = (path: string): Promise<Buffer> => ffmpeg('-y', '-f', 'lavfi', '-i', VOICES, ...codec, path);
  files.set(name, await withFile(name, write));
}

const TAILS = [Buffer.from('\r\n'), Buffer.from('\r\n--boundary--\r\n'), Buffer.alloc(500)];
const ID3 = Buffer.concat([Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 2, 0]), Buffer.alloc(256)]);

interface Change {
  readonly name: string;
  readonly how: 'whole' | 'cut' | 'padded' | 'tagged' | 'doubled';
  readonly share: number;
  readonly tail: Buffer;
}

const change = fc.record({
  name: fc.constantFrom(...Object.keys(FORMATS)),
  how: fc.constantFrom('whole', 'cut', 'padded', 'tagged', 'doubled'),
  share: fc.double({ min: 0.05, max: 0.98, noNaN: true }),
  tail: fc.constantFrom(...TAILS),
});

function changed({ name, how, share, tail }: Change): Buffer {
  const file = files.get(name) ?? assert.fail(name);
  if (how === 'cut') return file.subarray(0, Math.floor(file.length * share));
  if (how === 'padded') return Buffer.concat([file, tail]);
  if (how === 'tagged') return Buffer.concat([ID3, file]);
  return how === 'doubled' ? Buffer.concat([file, file]) : file;
}

/** Encoders of MP3 and AAC begin up to 0.13 s late by themselves, and a second file behind the first does so again. */
const LATE_S = 0.16;

async function assertWhole(bytes: Buffer, { how }: Change): Promise<void> {
  const { file, result } = await archived([bytes]);
  const sides = await hear(file, result.channels);
  assert.equal(sides.length, 2);
  for (const [side, [hertz, amplitude]] of (
    [
      [440, 0.3],
      [900, 0.15],
    ] as const
  ).entries()) {
    const sound = sides[side] ?? new Float32Array();
    const stretches = stretchesOf(sound);
    const lateS = stretches[0]?.[0] ?? 0;
    assert.ok(lateS < LATE_S, `begins at ${String(lateS)} s`);
    assert.ok(how === 'doubled' ? stretches.length >= 3 : stretches.length === 2, JSON.stringify(stretches));
    const [first, second] = stretches;
    assert.ok(Math.abs((first?.[1] ?? 0) - lateS - HEARD[0][1]) < 0.03, JSON.stringify(stretches));
    assert.ok(Math.abs((second?.[0] ?? 0) - lateS - HEARD[1][0]) < 0.03, JSON.stringify(stretches));
    const apart = decibels(amplitudeOf(sound, hertz, [lateS + 0.1, lateS + 0.9]) / amplitude);
    assert.ok(Math.abs(apart) < 0.8, `${apart.toFixed(2)} dB`);
  }
}

test(
  '(D) what is stored of any container is all of it, at its level, or it is refused',
  { timeout: 3_600_000 },
  async () => {
    const check = async (each: Change): Promise<void> => {
      try {
        await assertWhole(changed(each), each);
        assert.notEqual(each.how, 'cut', 'a cut file was archived');
      } catch (error) {
        const { name, how } = each;
        if (!(error instanceof Failure)) throw error;
        assert.ok(['incomplete', 'unreadable-media', 'unsupported-media'].includes(error.code), error.message);
        assert.ok(how !== 'whole' && how !== 'padded', `${name}, ${how}: ${error.message}`);
      }
    };
    await fc.assert(fc.asyncProperty(change, check), { numRuns: runs(12, 1000), seed: SEED, endOnFailure: true });
  },
);

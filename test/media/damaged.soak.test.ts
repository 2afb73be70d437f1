/** Damage in the middle of whatever is encoded: where a format can show it, it is refused; never is sound lost or doubled unseen. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { decodeOpus, ffmpeg } from '../support/media/ffmpeg.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';
import { archived } from '../support/media/made.ts';
import { runs, SEED, seeded } from '../support/soak.ts';

const folder = await mkdtemp(join(tmpdir(), 'damaged-'));
after(() => rm(folder, { recursive: true }));

/** MP3 and AAC in ADTS are not here: without checksum and size, frames that are lost between two others are lost unseen. */
const FORMATS: Readonly<Record<string, readonly string[]>> = {
  Vorbis: ['-c:a', 'libvorbis', '-f', 'ogg'],
  Speex: ['-c:a', 'libspeex', '-f', 'ogg'],
  FLAC: ['-c:a', 'flac', '-f', 'flac'],
  'AAC in MP4': ['-c:a', 'aac', '-movflags', 'frag_keyframe+empty_moov', '-f', 'mp4'],
  'IMA ADPCM': ['-c:a', 'adpcm_ima_wav', '-f', 'wav'],
  'µ-law': ['-c:a', 'pcm_mulaw', '-f', 'wav'],
};

const random = seeded(SEED);
const randomInt = (from: number, to: number): number => from + Math.floor(random() * (to - from));

type Damage = (bytes: Buffer, at: number) => Buffer;

/** What lies behind the end of a WAV's sound is no sound: what is doubled in it pushes as much of its end out. */
const DAMAGES: Readonly<Record<string, Damage>> = {
  'a changed bit': (bytes, at) => bytes.fill((bytes[at] ?? 0) ^ (1 << randomInt(0, 8)), at, at + 1),
  '4 kB of zeros': (bytes, at) => bytes.fill(0, at, at + 4096),
  '700 bytes lost': (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 700)]),
  '9 kB lost': (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 9000)]),
  '3 kB doubled': (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at - 3000)]),
};

const TIMES = runs(1, 5);
/** Seconds of sound: in a sample so many as the losses below leave most of. */
const LENGTH_S = runs(10, 30);

/** Milliseconds that a decoder gives: what a hole or an overlap in the times of packets does not change. */
async function heardMs(webm: Buffer): Promise<number> {
  const path = join(folder, 'heard.webm');
  await writeFile(path, webm);
  const [left] = await decodeOpus(path, 2);
  return (left?.length ?? 0) / 48;
}

for (const [format, codec] of Object.entries(FORMATS)) {
  test(`${format}: damage is refused, or all of the sound is there (ME-01, ME-13)`, { timeout: 400_000 }, async (t) => {
    // Into a file, since only there a WAV gets its size.
    const path = join(folder, 'whole');
    await ffmpeg('-y', '-t', String(LENGTH_S), '-i', pathOfFixture('stereo-pcm.wav'), ...codec, path);
    const whole = await readFile(path);
    const wholeMs = await heardMs((await archived([whole])).file);
    const results = new Map<string, number>();
    for (const [what, damage] of Object.entries(DAMAGES)) {
      for (let time = 0; time < TIMES; time += 1) {
        const at = randomInt(Math.floor(whole.length / 3), Math.floor((whole.length * 2) / 3));
        const result = await outcome(
          damage(Buffer.from(whole), at),
          wholeMs,
          `${what} at byte ${String(at)} of seed ${String(SEED)}`,
        );
        results.set(`${what}: ${result}`, (results.get(`${what}: ${result}`) ?? 0) + 1);
      }
    }
    t.diagnostic(JSON.stringify(Object.fromEntries(results)));
  });
}

async function outcome(bytes: Buffer, wholeMs: number, what: string): Promise<string> {
  try {
    const { file } = await archived([bytes]);
    const apartMs = (await heardMs(file)) - wholeMs;
    assert.ok(Math.abs(apartMs) < 30, `${what}: ${String(apartMs)} ms`);
    return 'all of the sound';
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    assert.ok(['unreadable-media', 'incomplete'].includes(error.code), `${what}: ${error.message}`);
    return 'refused';
  }
}

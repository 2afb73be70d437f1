import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { Failure } from '../../src/failure.ts';
import { isOgg, OggMeter } from '../../src/media/ogg/meter.ts';
import { requireMedia, sniff, type MediaKind } from '../../src/media/sniff.ts';
import { SourceMeter } from '../../src/media/source-meter.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { chunk, wav } from '../support/media/wav.ts';
import { SEED } from '../support/soak.ts';

const fixture = (name: string): Promise<Buffer> => readFile(join(import.meta.dirname, '../fixtures', name));
const tone = (...args: readonly string[]): Promise<Buffer> =>
  ffmpeg('-f', 'lavfi', '-i', 'sine=sample_rate=16000:duration=3.2', ...args, 'pipe:1');

interface Measured {
  readonly declaredMs: number | undefined;
  readonly durationMs: number | undefined;
}

/** What the meter says, and what it hands on. */
function pass(kind: MediaKind, file: Buffer, step = 1000): Measured & { readonly kept: Buffer } {
  const meter = isOgg(kind)
    ? new OggMeter({ isAlone: true })
    : new SourceMeter(kind, { sizeBytes: file.length, genesysMs: undefined });
  const kept: Buffer[] = [];
  for (let at = 0; at < file.length; at += step) {
    for (const piece of meter.push(Buffer.from(file.subarray(at, at + step)))) {
      kept.push(Buffer.from(piece));
      // What is handed on is given up, and its memory to somebody else.
      piece.fill(0xff);
    }
  }
  kept.push(...meter.end());
  const { soundMs, picturesMs } = meter.lengths;
  const durationMs =
    soundMs === undefined && picturesMs === undefined ? undefined : Math.max(soundMs ?? 0, picturesMs ?? 0);
  return { declaredMs: meter.declaredMs, durationMs, kept: Buffer.concat(kept) };
}

function measure(kind: MediaKind, file: Buffer, step = 1000): Measured {
  const { declaredMs, durationMs } = pass(kind, file, step);
  return { declaredMs, durationMs };
}

function assertNear(actual: number | undefined, expected: number, toleranceMs: number): void {
  assert.ok(
    actual !== undefined && Math.abs(actual - expected) <= toleranceMs,
    `${String(actual)} is not ${String(expected)}`,
  );
}

const FIXTURES: readonly (readonly [string, number, number, boolean])[] = [
  ['stereo-pcm.wav', 30_000, 0.1, true],
  ['stereo-ulaw.wav', 30_000, 0.1, true],
  ['stereo.mp3', 30_000, 300, true],
  ['stereo.opus', 30_000, 1, false],
  ['dual-0.opus', 90_000, 1, false],
  ['screen-faststart.mp4', 20_000, 1, true],
  ['screen-moov-last.mp4', 20_000, 1, true],
];

for (const [name, expectedMs, toleranceMs, declares] of FIXTURES) {
  test(`${name} plays ${String(expectedMs)} ms, however it is cut into chunks`, async () => {
    const file = await fixture(name);
    const { kind } = requireMedia(sniff(file.subarray(0, 4096)));
    const whole = measure(kind, file, file.length);
    assertNear(whole.durationMs, expectedMs, toleranceMs);
    assert.equal(whole.declaredMs !== undefined, declares);
    for (const step of [7, 4096]) assert.deepEqual(measure(kind, file, step), whole);
  });
}

test('Vorbis, FLAC, AAC, MP3 of constant rate without a tag and fragmented MP4 say what they tell', async () => {
  assertNear(measure('ogg-vorbis', await tone('-c:a', 'libvorbis', '-f', 'ogg')).durationMs, 3200, 1);
  const flac = await tone('-c:a', 'flac', '-f', 'flac');
  // Written to a pipe, STREAMINFO holds no number of samples.
  assert.equal(measure('flac', flac).durationMs, undefined);
  flac.writeUInt32BE(51_200, 22);
  assert.deepEqual(measure('flac', flac), { declaredMs: 3200, durationMs: 3200 });
  assertNear(measure('aac-adts', await tone('-c:a', 'aac', '-f', 'adts')).durationMs, 3200, 130);
  const untagged = await tone(
    '-c:a',
    'libmp3lame',
    '-b:a',
    '32k',
    '-id3v2_version',
    '0',
    '-write_xing',
    '0',
    '-f',
    'mp3',
  );
  assertNear(measure('mp3', untagged).durationMs, 3200, 110);
  const fragmented = await tone('-c:a', 'aac', '-f', 'mp4', '-movflags', 'frag_keyframe+empty_moov');
  assertNear(measure('mp4', fragmented).durationMs, 3200, 70);
});

test('a streamed WAV without a size plays what came; its header promises nothing', () => {
  for (const declaredBytes of [0, 0xffffffff, 0x7fffffff, 0x7ffff000]) {
    assert.deepEqual(measure('wav', wav(8000, { declaredBytes })), { declaredMs: undefined, durationMs: 1000 });
  }
});

test('a WAV of no samples plays 0 ms (ME-04)', () => {
  assert.equal(measure('wav', wav(0)).durationMs, 0);
});

test('chunks around the sound of a WAV do not count', () => {
  const file = Buffer.concat([
    wav(8000, { extra: chunk('LIST', Buffer.alloc(333)) }),
    chunk('LIST', Buffer.alloc(5001)),
  ]);
  for (const step of [1, 5, 44, 20_000]) assert.equal(measure('wav', file, step).durationMs, 1000);
});

test('ADPCM and GSM in WAV are counted by their blocks, whatever the average rate in their header says', async () => {
  for (const codec of ['adpcm_ima_wav', 'adpcm_ms', 'libgsm_ms']) {
    const channels = codec === 'libgsm_ms' ? '1' : '2';
    const file = await tone('-ar', '8000', '-ac', channels, '-c:a', codec, '-f', 'wav');
    file.writeUInt32LE(12_345, file.indexOf('fmt ') + 16);
    assertNear(measure('wav', file).durationMs, 3200, 130);
  }
});

test('RF64 takes its size from ds64', async () => {
  const file = await tone('-c:a', 'pcm_s16le', '-rf64', 'always', '-f', 'wav');
  const data = file.indexOf('data');
  file.writeBigUInt64LE(BigInt(file.length - data - 8), 28);
  assert.deepEqual(measure('wav', file), { declaredMs: 3200, durationMs: 3200 });
});

test('two chained Ogg streams play one after the other', async () => {
  const call = await tone('-c:a', 'libvorbis', '-f', 'ogg');
  const { durationMs = 0 } = measure('ogg-vorbis', call);
  assertNear(measure('ogg-vorbis', Buffer.concat([call, call])).durationMs, 2 * durationMs, 2);
});

const damaged = (offset: number, what: string): { code: string; message: string } => ({
  code: 'unreadable-media',
  message: `The Ogg stream is damaged at byte ${String(offset)}: ${what}.`,
});

test('pages of Ogg are checked, since ffmpeg passes over damage and loss', async () => {
  const vorbis = await tone('-c:a', 'libvorbis', '-page_duration', '400000', '-f', 'ogg');
  const [, second = 0, third = 0, fourth = 0] = pagesOf(vorbis);
  const broken = Buffer.from(vorbis);
  broken.writeUInt8(broken.readUInt8(fourth - 1) ^ 1, fourth - 1);
  for (const step of [7, 1000, vorbis.length]) {
    assert.throws(() => measure('ogg-vorbis', broken, step), damaged(third, 'the checksum of the page is wrong'));
    const lost = Buffer.concat([vorbis.subarray(0, third), vorbis.subarray(fourth)]);
    assert.throws(() => measure('ogg-vorbis', lost, step), damaged(third, 'page 3 follows page 1: some are missing'));
    const strange = Buffer.concat([vorbis.subarray(0, second), Buffer.alloc(40), vorbis.subarray(second)]);
    assert.throws(() => measure('ogg-vorbis', strange, step), damaged(second, 'no page begins here'));
  }
});

function pagesOf(ogg: Buffer): readonly number[] {
  const starts: number[] = [];
  for (let at = 0; at >= 0; at = ogg.indexOf('OggS', at + 4)) starts.push(at);
  return starts;
}

test('an Ogg that ends right behind the header of a page is incomplete', async () => {
  const opus = await fixture('stereo.opus');
  const start = opus.lastIndexOf('OggS');
  for (const size of [1, 26, 27, 28, opus.length - start - 1]) {
    assert.throws(() => measure('ogg-opus', opus.subarray(0, start + size)), { code: 'incomplete' }, String(size));
  }
});

const CUT: readonly (readonly [string, MediaKind])[] = [
  ['stereo-pcm.wav', 'wav'],
  ['stereo-ulaw.wav', 'wav'],
  ['stereo.mp3', 'mp3'],
  ['stereo.opus', 'ogg-opus'],
  ['screen-faststart.mp4', 'mp4'],
];

for (const [name, kind] of CUT) {
  test(`invariant 4: ${name}, cut anywhere, is incomplete or visibly shorter, whatever its decoder says (ME-13)`, async () => {
    const file = await fixture(name);
    const whole = measure(kind, file).durationMs ?? 0;
    for (const share of [0.1, 0.35, 0.5, 0.77, 0.95]) {
      const cut = file.subarray(0, Math.floor(file.length * share) | 1);
      assert.ok(isIncomplete(kind, cut) || (measure(kind, cut).durationMs ?? 0) < whole - 300, `at ${String(share)}`);
    }
  });
}

function isIncomplete(kind: MediaKind, file: Buffer): boolean {
  try {
    measure(kind, file);
    return false;
  } catch (error) {
    assert.ok(error instanceof Failure);
    assert.equal(error.code, 'incomplete');
    return true;
  }
}

const KINDS: readonly MediaKind[] = ['wav', 'mp3', 'aac-adts', 'flac', 'ogg-opus', 'ogg-vorbis', 'ogg', 'mp4', 'webm'];

test('no bytes make a meter throw anything but a final or an incomplete Failure, or take long', async () => {
  const seeds = await Promise.all(
    ['stereo-ulaw.wav', 'stereo.mp3', 'stereo.opus', 'screen-faststart.mp4', 'screen-vp8-silent.webm'].map(fixture),
  );
  const heads = seeds.map((seed) => seed.subarray(0, 3000));
  const changed = fc
    .tuple(
      fc.constantFrom(...heads),
      fc.nat(2999),
      fc.uint8Array({ maxLength: 64 }),
      fc.integer({ min: 20, max: 3000 }),
    )
    .map(([seed, at, bytes, step]) => {
      const file = Buffer.from(seed);
      file.set(bytes.subarray(0, file.length - at), at);
      return { file, step };
    });
  fc.assert(
    fc.property(fc.constantFrom(...KINDS), changed, (kind, { file, step }) => {
      try {
        const { durationMs, kept } = pass(kind, file, step);
        assert.ok(durationMs === undefined || durationMs >= 0);
        assert.ok(kept.length <= file.length + 64);
      } catch (error) {
        assert.ok(error instanceof Failure, String(error));
        assert.ok(['incomplete', 'unreadable-media', 'unsupported-media'].includes(error.code), String(error));
      }
    }),
    { numRuns: 5000, seed: SEED },
  );
});

test('a search for frames in endless garbage is given up', () => {
  const meter = new SourceMeter('mp3');
  for (let index = 0; index < 64; index += 1) meter.push(Buffer.alloc(1_000_000, 0xaa));
  meter.end();
  assert.equal(meter.lengths.soundMs, undefined);
});

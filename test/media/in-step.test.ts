/** Every track and every file of a recording is heard, where it belongs in time: tracks, starts and holes, to 20 ms. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { amplitudeOf, decibels, hear, stretchesOf } from '../support/media/hear.ts';
import { archived, type Archived } from '../support/media/made.ts';

const HANG = { timeout: 400_000 };
const SLACK_S = 0.02;

/** A tone that lasts so long, in mono. */
const tone = (hertz: number, seconds: number, rate = 16_000): readonly string[] => [
  '-f',
  'lavfi',
  '-i',
  `aevalsrc=0.3*sin(2*PI*${String(hertz)}*t):s=${String(rate)}:d=${String(seconds)}`,
];

const inFile = (name: string, ...args: readonly string[]): Promise<Buffer> =>
  withFile(name, (path) => ffmpeg('-y', ...args, path));

async function sides({ file, result }: Archived): Promise<readonly [Float32Array, Float32Array]> {
  const [left, right] = await hear(file, result.channels);
  assert.ok(left !== undefined && right !== undefined, 'it is mono');
  return [left, right];
}

type Stretches = readonly (readonly [number, number])[];

function assertStretches(sound: Float32Array, expected: Stretches, what = ''): void {
  const heard = stretchesOf(sound);
  const isSame =
    heard.length === expected.length &&
    expected.every(([from, to], index) => {
      const [a = NaN, b = NaN] = heard[index] ?? [];
      return Math.abs(a - from) <= SLACK_S && Math.abs(b - to) <= SLACK_S;
    });
  assert.ok(isSame, `${what} ${JSON.stringify(heard)} instead of ${JSON.stringify(expected)}`);
}

function assertLevel(sound: Float32Array, hertz: number, [from, to]: readonly [number, number]): void {
  const apart = decibels(amplitudeOf(sound, hertz, [from, to]) / 0.3);
  assert.ok(Math.abs(apart) < 0.5, `${String(hertz)} Hz: ${apart.toFixed(2)} dB`);
}

// ── tracks ──────────────────────────────────────────────────────────────────────────────────────────────────────

const TWO = [...tone(400, 2), ...tone(900, 3), '-map', '0', '-map', '1'];
const PICTURE = ['-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=5:duration=3'];
const X264 = ['-c:v', 'libx264', '-preset', 'ultrafast'];

const TRACKS: readonly (readonly [string, Promise<Buffer>])[] = [
  ['MP4', inFile('a.mp4', ...TWO, '-c:a', 'aac')],
  ['MP4 with its index in front', inFile('a.mp4', ...TWO, '-c:a', 'aac', '-movflags', '+faststart')],
  [
    'fragmented MP4',
    ffmpeg(...TWO, '-c:a', 'aac', '-movflags', 'empty_moov', '-frag_duration', '500000', '-f', 'mp4', 'pipe:1'),
  ],
  ['QuickTime', inFile('a.mov', ...TWO, '-c:a', 'pcm_s16le')],
  ['QuickTime of ALAC', inFile('a.m4a', ...TWO, '-c:a', 'alac')],
  ['3GP', inFile('a.3gp', ...tone(400, 2, 8000), ...tone(900, 3, 8000), '-map', '0', '-map', '1', '-c:a', 'aac')],
  ['Matroska', inFile('a.mkv', ...TWO, '-c:a', 'pcm_s16le')],
  ['Matroska without sizes', ffmpeg(...TWO, '-c:a', 'aac', '-f', 'matroska', 'pipe:1')],
  ['WebM of Opus', inFile('a.webm', ...TWO, '-c:a', 'libopus')],
  ['WebM of Vorbis and Opus', inFile('a.webm', ...TWO, '-c:a:0', 'libvorbis', '-c:a:1', 'libopus')],
  ['WebM without sizes', ffmpeg(...TWO, '-c:a', 'libopus', '-f', 'webm', 'pipe:1')],
  ['WebM with a track that is not the default', inFile('a.webm', ...TWO, '-c:a', 'libopus', '-disposition:a:1', '0')],
  ['MP4 with a track that is not enabled', inFile('a.mp4', ...TWO, '-c:a', 'aac', '-disposition:a:1', '0')],
  ['stereo tracks', inFile('a.mp4', ...TWO, '-af', 'pan=stereo|c0=c0|c1=c0', '-c:a', 'aac')],
];

for (const [what, file] of TRACKS) {
  test(`(D4) ${what} of two sound tracks: both parties are heard, each on its side`, HANG, async () => {
    const made = await archived([await file]);
    const [left, right] = await sides(made);
    assertLevel(left, 400, [0.3, 1.8]);
    assertLevel(right, 900, [0.3, 2.8]);
    for (const [sound, hertz] of [
      [left, 900],
      [right, 400],
    ] as const)
      assert.ok(decibels(amplitudeOf(sound, hertz, [0.3, 1.8]) / 0.3) < -30);
  });
}

test('(D4) a screen with two sound tracks: both parties beside the picture', HANG, async () => {
  const inputs = [...PICTURE, ...tone(400, 3), ...tone(900, 3), '-map', '0', '-map', '1', '-map', '2'];
  const made = await archived([await inFile('a.mp4', ...inputs, ...X264, '-c:a', 'aac')]);
  assert.deepEqual([made.way, [...made.result.codecs].toSorted()], ['encode-video', ['A_OPUS', 'V_VP9']]);
  const [left, right] = await sides(made);
  assertLevel(left, 400, [0.3, 2.8]);
  assertLevel(right, 900, [0.3, 2.8]);
});

test('(D4) a WebM of pictures with two sound tracks is encoded, with one it is not', HANG, async () => {
  const inputs = [...PICTURE, ...tone(400, 3), ...tone(900, 3), '-map', '0', '-map', '1'];
  const webm = ['-c:v', 'libvpx', '-deadline', 'realtime', '-c:a', 'libopus'];
  const made = await archived([await inFile('a.webm', ...inputs, '-map', '2', ...webm)]);
  assert.deepEqual([made.way, made.result.channels], ['encode-video', 2]);
  const [left, right] = await sides(made);
  assertLevel(left, 400, [0.3, 2.8]);
  assertLevel(right, 900, [0.3, 2.8]);
  assert.equal((await archived([await inFile('a.webm', ...inputs, ...webm)])).way, 'rewrap');
});

test('(D4) a second sound track that never says anything costs nothing', HANG, async () => {
  const file = await inFile('a.webm', ...tone(400, 3), ...tone(900, 3), '-map', '0', '-map', '1', '-c:a', 'libopus');
  for (const silent of [1, 2]) {
    const made = await archived([withoutBlocks(file, silent)]);
    const [sound = new Float32Array()] = await hear(made.file, made.result.channels);
    assert.equal(made.way, silent === 2 ? 'rewrap' : 'encode-audio');
    if (silent === 2) assertLevel(sound, 400, [0.3, 1.8]);
    else assertLevel((await sides(made))[1], 900, [0.3, 2.8]);
  }
});

/** Blocks of a track become as many bytes of Void (RFC 8794 §11.3.2). */
function withoutBlocks(webm: Buffer, track: number): Buffer {
  const copy = Buffer.from(webm);
  const sizeEnd = (at: number): number => at + 1 + Math.clz32(copy[at + 1] ?? 0) - 23;
  for (let at = 0; at < copy.length; at += 1) {
    const block = copy[at] === 0xa0 && copy[sizeEnd(at)] === 0xa1 ? sizeEnd(at) : at;
    const isBlock = (copy[block] === 0xa3 || copy[block] === 0xa1) && copy[sizeEnd(block)] === 0x80 + track;
    // Of small blocks the time is below 0x40 in its first byte, and no flag but that of a key frame is set.
    const head = sizeEnd(block);
    if (isBlock && (copy[head + 1] ?? 0xff) < 0x40 && ((copy[head + 3] ?? 1) & 0x7f) === 0) copy[at] = 0xec;
  }
  return copy;
}

test('(D4) further pictures of a WebM are kept, and the manifest says that players show the first', HANG, async () => {
  const inputs = [...PICTURE, ...PICTURE, ...tone(400, 3), '-map', '0', '-map', '1', '-map', '2'];
  const file = await inFile('a.webm', ...inputs, '-c:v', 'libvpx', '-deadline', 'realtime', '-c:a', 'libopus');
  const { way, why, result } = await archived([file]);
  assert.deepEqual([way, result.codecs.length], ['rewrap', 3]);
  assert.match(why, /it holds 2 tracks of pictures, of which players show the first/);
});

/** Of the first and the second track, seconds. */
const LENGTHS = [
  [3, 1],
  [3, 2.8],
  [1, 3],
  [2.7, 3],
] as const;

for (const [name, codec] of [
  ['a.mkv', 'pcm_s16le'],
  ['a.mp4', 'aac'],
  ['a.webm', 'libopus'],
] as const) {
  test(`(D4) (D1) tracks of unequal length (${name}): each is heard to its own end`, HANG, async () => {
    for (const [first, second] of LENGTHS) {
      const inputs = [...tone(400, first, 48_000), ...tone(900, second, 48_000), '-map', '0', '-map', '1'];
      const made = await archived([await inFile(name, ...inputs, '-c:a', codec)]);
      const heard = (await sides(made)).map((sound) => stretchesOf(sound).at(-1)?.[1] ?? 0);
      for (const [index, seconds] of [first, second].entries())
        assert.ok(Math.abs((heard[index] ?? 0) - seconds) < 0.08, `${JSON.stringify(heard)} of ${first}, ${second}`);
    }
  });
}

test('(D4) three tracks, of which the first outlasts the others, are heard to their ends', HANG, async () => {
  const inputs = [...tone(400, 3), ...tone(900, 2), ...tone(1500, 1), '-map', '0', '-map', '1', '-map', '2'];
  const [left, right] = await sides(await archived([await inFile('a.mkv', ...inputs, '-c:a', 'pcm_s16le')]));
  assertLevel(left, 400, [0.3, 2.9]);
  assertLevel(left, 1500, [0.3, 0.9]);
  assertLevel(right, 900, [0.3, 1.9]);
});

test('(D4) three sound tracks: the third is heard with the first', HANG, async () => {
  const inputs = [...tone(400, 2), ...tone(900, 2), ...tone(1500, 2), '-map', '0', '-map', '1', '-map', '2'];
  const [left, right] = await sides(await archived([await inFile('a.mp4', ...inputs, '-c:a', 'aac')]));
  assertLevel(left, 400, [0.3, 1.8]);
  assertLevel(right, 900, [0.3, 1.8]);
  assertLevel(left, 1500, [0.3, 1.8]);
});

test('(D2) pictures that end some seconds before the sound are no damage, and all of it is heard', HANG, async () => {
  for (const seconds of [3.4, 5, 7.5, 9]) {
    const inputs = [...PICTURE, ...tone(400, seconds), ...X264, '-c:a', 'aac'];
    const { file, result } = await archived([await inFile('a.mp4', ...inputs)]);
    const [sound = new Float32Array()] = await hear(file, result.channels);
    const [heard = [NaN, NaN]] = stretchesOf(sound);
    assert.ok(heard[0] < 0.07 && Math.abs(heard[1] - seconds) < 0.04, JSON.stringify(heard));
    assert.ok(Math.abs(result.durationMs / 1000 - seconds) < 0.07, String(result.durationMs));
  }
});

test('(D4) a second picture is left out, and the manifest says so', HANG, async () => {
  const inputs = [...PICTURE, ...PICTURE, ...tone(400, 3), '-map', '0', '-map', '1', '-map', '2'];
  for (const name of ['a.mp4', 'a.mkv']) {
    const { why, result } = await archived([await inFile(name, ...inputs, ...X264, '-c:a', 'aac')]);
    assert.match(why, /pictures left out: (avc1|V_MPEG4\/ISO\/AVC)/);
    assert.equal(result.codecs.length, 2);
  }
});

// ── starts ──────────────────────────────────────────────────────────────────────────────────────────────────────

const LATE_S = [0.305, 1.5];
const LATE: readonly (readonly [string, string, readonly string[]])[] = [
  ['Ogg Opus', 'a.opus', ['-c:a', 'libopus']],
  ['Ogg Vorbis', 'a.ogg', ['-c:a', 'libvorbis']],
  ['Matroska', 'a.mkv', ['-c:a', 'pcm_s16le']],
  ['MP4', 'a.mp4', ['-c:a', 'aac']],
  ['fragmented MP4', 'a.mp4', ['-c:a', 'aac', '-movflags', 'empty_moov+delay_moov', '-frag_duration', '500000']],
];

for (const [what, name, codec] of LATE) {
  test(`(D6) a WAV beside ${what} that begins later: in step, whichever comes first`, HANG, async () => {
    const wav = await inFile('a.wav', ...tone(400, 4));
    for (const lateS of LATE_S) {
      const late = await inFile(name, '-itsoffset', String(lateS), ...tone(900, 2), ...codec);
      for (const isFirst of [true, false]) {
        const made = await archived(isFirst ? [wav, late] : [late, wav]);
        const both = await sides(made);
        const [early, later] = isFirst ? both : [both[1], both[0]];
        assertStretches(early, [[0, 4]], 'the WAV');
        assertStretches(later, [[lateS, lateS + 2]], what);
        assert.match(made.why, /begins \d\.\d{3} s later/);
      }
    }
  });
}

test('(D6) files that began to count long ago begin together', HANG, async () => {
  const [a, b] = await Promise.all([
    inFile('a.ogg', '-itsoffset', '3612', ...tone(400, 2), '-c:a', 'libvorbis'),
    inFile('a.ogg', '-itsoffset', '3612.5', ...tone(900, 2), '-c:a', 'libvorbis'),
  ]);
  const [left, right] = await sides(await archived([a, b]));
  assertStretches(left, [[0, 2]]);
  assertStretches(right, [[0.5, 2.5]]);
});

test('(D6) a file whose clock has nothing to do with the other begins with it', HANG, async () => {
  const wav = await inFile('a.wav', ...tone(400, 3));
  const far = await inFile('a.ogg', '-itsoffset', '3612', ...tone(900, 2), '-c:a', 'libvorbis');
  const [left, right] = await sides(await archived([wav, far], { seconds: 3 }));
  assertStretches(left, [[0, 3]]);
  assertStretches(right, [[0, 2]]);
});

// ── holes ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What is recorded between 1 and 3 s of 5 is left out, its place is kept by the times of what follows. */
const HELD = ['-af', "aselect='not(between(t,1,2.9999))'"];
const HOLES: readonly (readonly [string, string, readonly string[]])[] = [
  ['Ogg Opus', 'a.opus', ['-c:a', 'libopus', '-frame_duration', '60']],
  ['Ogg Vorbis', 'a.ogg', ['-c:a', 'libvorbis']],
  ['Matroska', 'a.mkv', ['-c:a', 'pcm_s16le']],
  ['MP4', 'a.mp4', ['-c:a', 'aac']],
  ['MP4 of ALAC', 'a.m4a', ['-c:a', 'alac']],
];

/** A frame of sound ends where the next one begins: what is left out begins up to one later. */
const FRAME_S = 0.09;

for (const [what, name, codec] of HOLES) {
  test(`(D7) (D8) a hole in ${what} is silence in its place, alone and beside another file`, HANG, async () => {
    const held = await inFile(name, ...tone(900, 5), ...HELD, ...codec);
    const alone = await archived([held], { ways: 'encode' });
    const [sound = new Float32Array()] = await hear(alone.file, alone.result.channels);
    const [first, second] = stretchesOf(sound);
    const endS = first?.[1] ?? 0;
    assert.ok(endS >= 1 - SLACK_S && endS <= 1 + FRAME_S, String(endS));
    assert.ok(Math.abs((second?.[0] ?? 0) - endS - 2) < SLACK_S + FRAME_S, JSON.stringify(second));
    assert.ok(Math.abs((second?.[1] ?? 0) - 5) < SLACK_S, JSON.stringify(second));
    const wav = await inFile('a.wav', ...tone(400, 5));
    const [left, right] = await sides(await archived([wav, held], { ways: 'encode' }));
    assertStretches(left, [[0, 5]]);
    assertStretches(right, [first ?? [0, 0], second ?? [0, 0]], what);
  });
}

test('(D7) a hold of half a minute stays as long as it was', HANG, async () => {
  const held = ['-af', "aselect='not(between(t,1,30.9999))'"];
  const opus = await inFile('a.opus', ...tone(900, 33), ...held, '-c:a', 'libopus', '-frame_duration', '60');
  const wav = await inFile('a.wav', ...tone(400, 33));
  const [left, right] = await sides(await archived([wav, opus]));
  assertStretches(left, [[0, 33]]);
  const [, second] = stretchesOf(right);
  const [fromS = 0, toS = 0] = second ?? [];
  assert.ok(
    Math.abs(fromS - 31) < SLACK_S + FRAME_S && Math.abs(toS - 33) < SLACK_S,
    JSON.stringify(stretchesOf(right)),
  );
});

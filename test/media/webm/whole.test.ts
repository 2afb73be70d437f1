/** WebM of every kind of writer: all of its sound and pictures are archived in order and to their end, or it is refused. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Failure } from '../../../src/failure.ts';
import { decodeOpus, ffmpeg } from '../../support/media/ffmpeg.ts';
import { pathOfFixture } from '../../support/media/fixtures.ts';
import { allClusters, make, type Asked } from '../../support/media/made.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

const run = promisify(execFile);
let folder = '';
before(async () => (folder = await mkdtemp(path.join(tmpdir(), 'webm-whole-'))));
after(() => rm(folder, { recursive: true }));

// ── the media ───────────────────────────────────────────────────────────────────────────────────────────────────

const PICTURES = ['-f', 'lavfi', '-i', 'testsrc=size=64x48:rate=10'];
const CALL = ['-i', pathOfFixture('stereo.opus')];
const VP8 = ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8'];

/** Into a pipe: neither Segment nor Clusters have sizes that are known beforehand. */
function piped(...args: readonly string[]): Promise<Buffer> {
  return ffmpeg(...args, '-f', 'webm', 'pipe:1');
}

/** Into a file: sizes, Duration and Cues. */
async function sized(...args: readonly string[]): Promise<Buffer> {
  const name = path.join(folder, 'sized.webm');
  await ffmpeg('-y', ...args, '-f', 'webm', name);
  return ffmpegFile(name);
}

async function ffmpegFile(name: string): Promise<Buffer> {
  return (await run('cat', [name], { encoding: 'buffer', maxBuffer: 1 << 28 })).stdout;
}

/** Pictures for so many seconds, sound for so many. */
function call(picturesS: number, soundS: number): readonly string[] {
  return ['-t', String(picturesS), ...PICTURES, '-ss', '3', '-t', String(soundS), ...CALL, ...VP8, '-c:a', 'libopus'];
}

async function madeOf(asked: Asked) {
  const made = await make(asked);
  const clusters = await allClusters(made);
  const result = made.result();
  const file = Buffer.concat([result.head, ...clusters]);
  const checked = checkWebm(file);
  assert.equal(checked.durationMs, result.durationMs);
  return { way: made.way, file, result, checked };
}

function isRefused(words: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Failure, String(error));
    assert.match(error.message, words);
    assert.ok(['incomplete', 'unreadable-media'].includes(error.code), error.code);
    return true;
  };
}

// ── sound and pictures each to their end (D2) ───────────────────────────────────────────────────────────────────

const EARLY =
  /^The (sound|pictures) in the WebM ends? at \d+\.\d\d s, but by (its source|Genesys) it should be \d+\.\d\d s; nothing was stored\.$/;
const UNMARKED = /^The media ends without its end mark, \d+\.\d\d s before Genesys says; nothing was stored\.$/;

test('without sizes, sound or pictures that end before the header says are refused (D2)', async () => {
  for (const [picturesS, soundS] of [
    [12, 8.3],
    [12, 10.5],
    [12, 1],
    [4, 12],
  ] as const) {
    const bytes = await piped(...call(picturesS, soundS), '-t', '12');
    for (const seconds of [undefined, 12]) {
      await assert.rejects(madeOf({ files: [bytes], seconds }), isRefused(EARLY), `${picturesS} and ${soundS} s`);
    }
  }
});

test('without sizes and without a Duration, they are held to what Genesys says (D2)', async () => {
  for (const [picturesS, soundS] of [
    [12, 8.3],
    [12, 10.5],
    [5, 12],
  ] as const) {
    const bytes = await piped(...call(picturesS, soundS));
    await assert.rejects(madeOf({ files: [bytes], seconds: 12 }), isRefused(UNMARKED), `${picturesS} and ${soundS} s`);
  }
  const whole = await madeOf({ files: [await piped(...call(12, 11.5))], seconds: 12 });
  assert.equal(whole.way, 'rewrap');
});

test('what has to be encoded is held to Genesys as what is re-wrapped: sound and pictures each to their end (D2)', async () => {
  const film = (picturesS: number, soundS: number): Promise<Buffer> =>
    ffmpeg(...call(picturesS, soundS), '-c:v', 'mpeg4', '-c:a', 'pcm_s16le', '-f', 'matroska', 'pipe:1');
  for (const [picturesS, soundS] of [
    [12, 8.3],
    [5, 12],
  ] as const) {
    const bytes = await film(picturesS, soundS);
    await assert.rejects(madeOf({ files: [bytes], seconds: 12 }), isRefused(UNMARKED), `${picturesS} and ${soundS} s`);
  }
  const whole = await madeOf({ files: [await film(12, 11.5)], seconds: 12 });
  assert.equal(whole.way, 'encode-video');
  const { result } = await madeOf({ files: [await film(12, 8.3)] });
  assert.match(result.note ?? '', /^it ends without its end mark; its sound ends 3\.\d\d s before its pictures$/);
});

test('with sizes, sound that ended early when it was recorded is kept, and the manifest says so (D2)', async () => {
  const { result } = await madeOf({ files: [await sized(...call(12, 8.3))], seconds: 12 });
  assert.match(result.note ?? '', /^its sound ends 3\.\d\d s before its pictures$/);
  assert.ok(Math.abs(result.durationMs - 12_000) < 120, String(result.durationMs));
});

test('with sizes, what a header exaggerates is settled by Genesys', async () => {
  const bytes = withDuration(await sized(...CALL, '-t', '10', '-c', 'copy'), 3_600_000);
  const { result } = await madeOf({ files: [bytes], seconds: 10 });
  assert.ok(Math.abs(result.durationMs - 10_000) < 30, String(result.durationMs));
  const refused = /^The WebM plays 10\.\d\d s, but by its source it should be 3600\.00 s; nothing was stored\.$/;
  await assert.rejects(madeOf({ files: [bytes] }), isRefused(refused));
  await assert.rejects(madeOf({ files: [bytes], seconds: 3600 }), isRefused(refused));
});

/** The Duration that ffmpeg wrote, replaced. */
function withDuration(bytes: Buffer, durationMs: number): Buffer {
  const at = bytes.indexOf(Buffer.from([0x44, 0x89, 0x88]));
  assert.ok(at > 0);
  bytes.writeDoubleBE(durationMs, at + 3);
  return bytes;
}

// ── the last picture (D11) ──────────────────────────────────────────────────────────────────────────────────────

const CODECS: Readonly<Record<string, readonly string[]>> = {
  VP8,
  VP9: ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8'],
  AV1: ['-c:v', 'libaom-av1', '-cpu-used', '8', '-usage', 'realtime'],
};

for (const [codec, args] of Object.entries(CODECS)) {
  test(`${codec}: pictures that do not change any more last as long as the source says (D11)`, async () => {
    for (const stillS of [0.1, 3.1, 4.5, 9]) {
      const moves = ['-t', '2', ...PICTURES, ...args, '-an'];
      const totalMs = 2000 + stillS * 1000;
      const bytes = withDuration(await sized(...moves), totalMs);
      const { result, file, way } = await madeOf({ files: [bytes], seconds: totalMs / 1000 });
      assert.equal(way, 'rewrap');
      assert.ok(Math.abs(result.durationMs - totalMs) <= 1, `${result.durationMs} of ${totalMs} ms`);
      const name = path.join(folder, 'still.webm');
      await writeFile(name, file);
      assert.ok(Math.abs((await lastPictureMs(name)) - totalMs) <= 1, 'the last packet says so itself');
    }
  });
}

/** Where ffprobe sees the last packet end. */
async function lastPictureMs(name: string): Promise<number> {
  const show = ['-show_entries', 'packet=pts_time,duration_time', '-of', 'csv=p=0', name];
  const { stdout } = await run('ffprobe', ['-v', 'error', ...show], { timeout: 300_000 });
  const last = stdout.trim().split('\n').at(-1)?.split(',').map(Number) ?? [];
  return ((last[0] ?? 0) + (last[1] ?? 0)) * 1000;
}

// ── one recording behind the other (D3) ─────────────────────────────────────────────────────────────────────────

async function sound(file: Buffer): Promise<Float32Array> {
  const name = path.join(folder, 'heard.webm');
  await writeFile(name, file);
  return (await decodeOpus(name, 2))[0] ?? new Float32Array();
}

/** Seconds of the call, from a second of it on. */
const part = (startS: number, lengthS: number): readonly string[] => [
  '-ss',
  String(startS),
  '-t',
  String(lengthS),
  ...CALL,
  '-c:a',
  'libopus',
  '-map_metadata',
  '-1',
];

const HALVES: Readonly<Record<string, readonly (() => Promise<Buffer>)[]>> = {
  'piped and piped': [() => piped(...part(1, 3)), () => piped(...part(12, 4))],
  'with sizes and with sizes': [() => sized(...part(1, 3)), () => sized(...part(12, 4))],
  'with sizes and piped': [() => sized(...part(1, 3)), () => piped(...part(12, 4))],
  'piped and with sizes': [() => piped(...part(1, 3)), () => sized(...part(12, 4))],
  'three of them': [() => piped(...part(1, 3)), () => piped(...part(12, 4)), () => piped(...part(20, 2.345))],
  'the second with times that go on': [
    () => piped(...part(1, 3)),
    () => piped(...part(12, 4), '-output_ts_offset', '3'),
  ],
  'the second an hour later': [() => piped(...part(1, 3)), () => piped(...part(12, 4), '-output_ts_offset', '3603')],
};

for (const [what, halves] of Object.entries(HALVES)) {
  test(`WebM one behind the other, ${what}: all are heard, in order (D3)`, async () => {
    const files: Buffer[] = [];
    for (const half of halves) files.push(await half());
    const sounds = [];
    for (const file of files) sounds.push(await sound(file));
    const seconds = sounds.reduce((sum, { length }) => sum + length, 0) / 48_000;
    const made = await madeOf({ files: [Buffer.concat(files)], seconds });
    assert.equal(made.way, 'rewrap');
    assert.ok(Math.abs(made.result.durationMs / 1000 - seconds) < 0.03, `${made.result.durationMs} ms`);
    const heard = await sound(made.file);
    let at = 0;
    for (const [index, expected] of sounds.entries()) {
      const delay = delayOf(expected, heard.subarray(at));
      assert.ok(Math.abs(delay) < 960, `part ${index} is off by ${delay / 48} ms`);
      at += expected.length;
    }
  });
}

/** By how many samples the second comes later, within 100 ms: where the two agree best. */
function delayOf(expected: Float32Array, heard: Float32Array): number {
  let best = { delay: 0, match: -Infinity };
  const from = 9600;
  for (let delay = -4800; delay <= 4800; delay += 8) {
    let match = 0;
    for (let i = from; i < from + 48_000; i += 4) match += (expected[i] ?? 0) * (heard[i + delay] ?? 0);
    if (match > best.match) best = { delay, match };
  }
  return best.delay;
}

test('sound and pictures one behind the other, with their tracks in another order, both play on (D3)', async () => {
  const first = await piped(...call(3, 3));
  const swapped = await piped(...call(4, 4), '-map', '1:a', '-map', '0:v');
  const { checked, result } = await madeOf({ files: [Buffer.concat([first, swapped])], seconds: 7 });
  assert.ok(Math.abs(result.durationMs - 7000) < 40, String(result.durationMs));
  const pictures = checked.blocks.filter(({ track }) => track === 1);
  const packets = checked.blocks.filter(({ track }) => track === 2);
  assert.equal(pictures.length, 70);
  assert.ok(Math.abs(packets.length - 351) <= 2, String(packets.length));
  const gaps = pictures.slice(1).map(({ timeMs }, i) => timeMs - (pictures[i]?.timeMs ?? 0));
  assert.ok(Math.max(...gaps) < 140, String(Math.max(...gaps)));
});

test('a second recording that cannot go on with the tracks of the first is refused, not flattened (D3)', async () => {
  const opus = await piped(...part(1, 3));
  const others: Readonly<Record<string, Buffer>> = {
    'another codec': await piped('-ss', '12', '-t', '4', ...CALL, '-c:a', 'libvorbis'),
    'another number of channels': await piped(...part(12, 4), '-ac', '1'),
    'pictures as well': await piped(...call(4, 4)),
    'a codec that has to be encoded': await ffmpeg(...CALL, '-t', '4', '-c:a', 'flac', '-f', 'matroska', 'pipe:1'),
  };
  for (const [what, other] of Object.entries(others)) {
    const refused = /damaged at byte \d+: a second recording begins with tracks that cannot follow those of the first/;
    await assert.rejects(madeOf({ files: [Buffer.concat([opus, other])] }), isRefused(refused), what);
  }
});

// ── what every player plays to its end (D, good files) ──────────────────────────────────────────────────────────

const BEHIND: Readonly<Record<string, Buffer>> = {
  'CR LF': Buffer.from('\r\n'),
  'two bytes of text': Buffer.from('ok'),
  'the end of a form': Buffer.from('\r\n--e0f1a2b3c4d5--\r\n'),
  'an ID3v1 tag': Buffer.concat([Buffer.from('TAGa call'), Buffer.alloc(119)]),
};

for (const [what, bytes] of Object.entries(BEHIND)) {
  test(`a WebM with ${what} behind its end is archived whole (D, good files)`, async () => {
    for (const file of [await sized(...part(1, 3)), await piped(...part(1, 3), '-t', '3')]) {
      const heard = await sound((await madeOf({ files: [Buffer.concat([file, bytes])] })).file);
      assert.deepEqual(heard, await sound((await madeOf({ files: [file] })).file));
    }
  });
}

test('zeros behind a WebM are padding only where sizes say that it has ended', async () => {
  const zeros = Buffer.alloc(3000);
  await madeOf({ files: [Buffer.concat([await sized(...part(1, 3)), zeros])] });
  const open = Buffer.concat([await piped(...part(1, 3), '-t', '3'), zeros]);
  await assert.rejects(madeOf({ files: [open] }), isRefused(/damaged at byte \d+: no element begins here/));
});

test('a WebM whose times begin anywhere is as long as what is in it (D, good files)', async () => {
  for (const startS of [0.5, 10, 3600, 90_000]) {
    for (const writer of [piped, sized]) {
      const bytes = await writer(...call(4, 4), '-output_ts_offset', String(startS));
      const { result, checked } = await madeOf({ files: [bytes], seconds: 4 });
      assert.ok(Math.abs(result.durationMs - 4000) < 120, `${startS} s: ${result.durationMs} ms`);
      assert.equal(checked.blocks[0]?.timeMs, 0);
    }
  }
});

// ── bombs (B9) ──────────────────────────────────────────────────────────────────────────────────────────────────

test('nesting, counts and laces beyond all use end in a refusal at once (B9)', async () => {
  const whole = await sized(...part(1, 3));
  const clusterAt = whole.indexOf(Buffer.from([0x1f, 0x43, 0xb6, 0x75]));
  const head = whole.subarray(0, clusterAt);
  head.set(Buffer.from('01ffffffffffffff', 'hex'), head.indexOf(Buffer.from([0x18, 0x53, 0x80, 0x67])) + 4);
  const unsized = Buffer.from('1f43b67501ffffffffffffffe78100', 'hex');
  const bombs: Readonly<Record<string, Buffer>> = {
    'a group of a million nothings': group(Buffer.from('ec80'.repeat(1_000_000), 'hex')),
    'groups in groups': nested(20_000),
    'laces of nothing': Buffer.concat(Array.from({ length: 200_000 }, () => Buffer.from('a38581000004ff', 'hex'))),
  };
  for (const [what, bomb] of Object.entries(bombs)) {
    const bytes = Buffer.concat([head, unsized, bomb]);
    await assert.rejects(madeOf({ files: [bytes], seconds: 3 }), isRefused(/damaged at byte \d+/), what);
  }
});

function group(content: Buffer): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(content.length));
  size.writeUInt8(1);
  return Buffer.concat([Buffer.from([0xa0]), size, content]);
}

function nested(depth: number): Buffer {
  let heads = Buffer.alloc(0);
  let length = 0;
  const parts: Buffer[] = [];
  for (let level = 0; level < depth; level += 1) {
    const head = group(Buffer.alloc(0));
    head.writeUIntBE(length, 3, 6);
    parts.push(head);
    length += head.length;
  }
  heads = Buffer.concat(parts.toReversed());
  return heads;
}

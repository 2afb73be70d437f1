/** The real ffmpeg behind `encode`: what it makes of good media, and what it may not make of bad. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Failure } from '../../../src/failure.ts';
import { UNCONFINED } from '../../../src/media/encoder/confine.ts';
import { encode, type Encoded } from '../../../src/media/encoder/encode.ts';
import { encodeArguments, limitsOf, threadsFor } from '../../../src/media/encoder/arguments.ts';
import type { Ffmpeg } from '../../../src/media/encoder/check.ts';
import type { Packet } from '../../../src/media/packet.ts';
import { type Media, type MediaKind, requireMedia, sniff } from '../../../src/media/sniff.ts';
import { openStaging } from '../../support/encoders/fake.ts';
import { decodeOpus, ffmpeg, probeComplaints, probeDuration } from '../../support/media/ffmpeg.ts';
import { allPackets, source, writeWebm } from '../../support/media/packets.ts';
import { wav } from '../../support/media/wav.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

const run = promisify(execFile);
const NEVER = new AbortController().signal;
const HANG = { timeout: 300_000 };
/** Nothing here is about encoders that stand still: beside others a picture of 4K may take its time. */
const STALL_MS = 240_000;
const staging = await openStaging();
const traceable = await run('strace', ['-f', '-o', '/dev/null', 'true']).then(
  () => false,
  () => 'needs strace',
);
const folder = await mkdtemp(join(tmpdir(), 'archiver-encoded-'));
after(async () => {
  await staging[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const fixture = (name: string): Promise<Buffer> => readFile(join(import.meta.dirname, '../../fixtures', name));

function known(kind: MediaKind): Media {
  return { kind, codec: undefined, channels: undefined, sampleRate: undefined };
}

/** As the pipeline does it: by what the bytes are. */
function encodeFiles(
  files: readonly Buffer[],
  parts: { readonly ffmpeg?: Ffmpeg; readonly kind?: MediaKind } = {},
): Promise<Encoded> {
  const media = files.map((file) =>
    parts.kind === undefined ? requireMedia(sniff(file.subarray(0, 4096))) : known(parts.kind),
  );
  const job = { media, sources: files.map((file) => source(file, 65_536)), maxDurationMs: 3_600_000 };
  return encode(job, { ffmpeg: parts.ffmpeg ?? staging.real, stallMs: STALL_MS }, NEVER);
}

async function stored(encoded: Encoded): Promise<{ readonly path: string; readonly durationMs: number }> {
  const { file, result } = await writeWebm(encoded);
  const path = join(folder, `${String(performance.now())}.webm`);
  await writeFile(path, file);
  return { path, durationMs: result.durationMs };
}

interface Fixture {
  readonly encoded: Encoded;
  readonly path: string;
}

const fixtures = new Map<string, Promise<Fixture>>();

/** What a fixture became: encoded once for all tests that look at it. */
function encodedFixture(name: string): Promise<Fixture> {
  const known = fixtures.get(name) ?? encodeFixture(name);
  fixtures.set(name, known);
  return known;
}

async function encodeFixture(name: string): Promise<Fixture> {
  const encoded = await encodeFiles([await fixture(name)]);
  const { path } = await stored(encoded);
  return { encoded, path };
}

async function refusal(promise: Promise<Encoded>): Promise<Failure> {
  const error: unknown = await promise.then(allPackets).then(
    () => assert.fail('it was encoded'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}

// ── good media ──────────────────────────────────────────────────────────────────────────────────────────────────

const GOOD: readonly (readonly [string, Encoded['way'], number])[] = [
  ['stereo-pcm.wav', 'encode-audio', 30],
  ['stereo-ulaw.wav', 'encode-audio', 30],
  ['stereo.mp3', 'encode-audio', 30],
  ['stereo.opus', 'encode-audio', 30],
  ['screen-faststart.mp4', 'encode-video', 20],
  ['screen-vp8-silent.webm', 'encode-video', 20],
];

for (const [name, way, seconds] of GOOD) {
  test(`${name} becomes ${way}, whole and without a complaint of ffprobe`, HANG, async () => {
    const { encoded, path } = await encodedFixture(name);
    assert.equal(encoded.way, way);
    assert.match(encoded.encoder, /^ffmpeg /);
    const shown = await probeDuration(path);
    // How long the last picture stays, its source tells.
    assert.ok(Math.abs(shown - seconds) < (way === 'encode-video' ? 0.5 : 0.3), `${String(shown)} s`);
    assert.equal(await probeComplaints(path), '');
  });
}

const made = (...args: readonly string[]): Promise<Buffer> => ffmpeg(...args, 'pipe:1');
const TONE = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=8000:duration=2'];
const PICTURE = ['-f', 'lavfi', '-i', 'testsrc2=size=321x241:rate=10:duration=2'];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-movflags', 'frag_keyframe+empty_moov', '-f', 'mp4'];

const SHAPES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['A-law', [...TONE, '-c:a', 'pcm_alaw', '-f', 'wav'], ['A_OPUS']],
  ['IMA ADPCM', [...TONE, '-c:a', 'adpcm_ima_wav', '-f', 'wav'], ['A_OPUS']],
  ['24 bit at 44.1 kHz', [...TONE, '-ar', '44100', '-c:a', 'pcm_s24le', '-f', 'wav'], ['A_OPUS']],
  ['GSM in WAV', [...TONE, '-c:a', 'libgsm_ms', '-f', 'wav'], ['A_OPUS']],
  ['three channels (ME-06)', [...TONE, '-ac', '3', '-f', 'wav'], ['A_OPUS']],
  ['sixteen channels (ME-06)', [...TONE, '-ac', '16', '-f', 'wav'], ['A_OPUS']],
  ['Vorbis', [...TONE, '-c:a', 'libvorbis', '-f', 'ogg'], ['A_OPUS']],
  ['Speex', [...TONE, '-c:a', 'libspeex', '-f', 'ogg'], ['A_OPUS']],
  ['FLAC', [...TONE, '-c:a', 'flac', '-f', 'flac'], ['A_OPUS']],
  ['AAC in ADTS', [...TONE, '-c:a', 'aac', '-f', 'adts'], ['A_OPUS']],
  [
    'MP4 of sound alone (ME-08)',
    [...TONE, '-c:a', 'aac', '-movflags', 'frag_keyframe+empty_moov', '-f', 'mp4'],
    ['A_OPUS'],
  ],
  ['an odd size in 4:4:4 (ME-07)', [...PICTURE, '-pix_fmt', 'yuv444p', ...H264], ['V_VP9']],
  [
    'Matroska with H.264 and PCM',
    [...PICTURE, ...TONE, '-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'pcm_s16le', '-f', 'matroska'],
    ['V_VP9', 'A_OPUS'],
  ],
  [
    'two sounds and a subtitle (ME-08)',
    [...PICTURE, ...TONE, ...TONE, '-map', '0', '-map', '1', '-map', '2', '-c:a', 'aac', ...H264],
    ['V_VP9', 'A_OPUS'],
  ],
];

for (const [name, args, codecs] of SHAPES) {
  test(`${name}: encoded to ${codecs.join(' and ')}, 2 s`, HANG, async () => {
    const encoded = await encodeFiles([await made(...args)]);
    assert.deepEqual(
      encoded.tracks.map((track) => track.codecId),
      codecs,
    );
    const { path, durationMs } = await stored(encoded);
    assert.ok(Math.abs(durationMs - 2000) < 250, `${String(durationMs)} ms`);
    assert.equal(await probeComplaints(path), '');
  });
}

test('a streamed WAV that does not know its size is encoded whole', HANG, async () => {
  const { durationMs } = await stored(await encodeFiles([wav(24_000, { declaredBytes: 0xffffffff })]));
  assert.ok(Math.abs(durationMs - 3000) < 50);
});

test('MP3 with cover art becomes sound alone (ME-08)', HANG, async () => {
  const [cover, mp3] = [join(folder, 'cover.png'), join(folder, 'cover.mp3')];
  await writeFile(cover, await made(...PICTURE, '-frames:v', '1', '-f', 'image2pipe', '-c:v', 'png'));
  await ffmpeg(...TONE, '-i', cover, '-map', '0', '-map', '1', '-c:v', 'png', '-disposition:v', 'attached_pic', mp3);
  const encoded = await encodeFiles([await readFile(mp3)]);
  assert.equal(encoded.tracks.length, 1);
  await allPackets(encoded);
});

/** Power of one frequency in a stretch of sound. */
function power(samples: Float32Array, frequency: number): number {
  let [re, im] = [0, 0];
  for (const [n, value] of samples.entries()) {
    re += value * Math.cos((2 * Math.PI * frequency * n) / 48_000);
    im += value * Math.sin((2 * Math.PI * frequency * n) / 48_000);
  }
  return (re ** 2 + im ** 2) / samples.length ** 2;
}

test('two mono files become stereo, the first left, as long as the longer, each on its own side', HANG, async () => {
  const left = await made('-f', 'lavfi', '-i', 'sine=frequency=500:sample_rate=8000:duration=2', '-f', 'wav');
  const right = await made(
    '-f',
    'lavfi',
    '-i',
    'sine=frequency=1100:sample_rate=16000:duration=4',
    '-c:a',
    'libmp3lame',
    '-f',
    'mp3',
  );
  const { path, durationMs } = await stored(await encodeFiles([left, right]));
  assert.ok(Math.abs(durationMs - 4000) < 150, `${String(durationMs)} ms`);
  const [a = new Float32Array(), b = new Float32Array()] = await decodeOpus(path, 2);
  const early = [24_000, 72_000] as const;
  const late = [110_000, 180_000] as const;
  const loud = power(a.subarray(...early), 500);
  assert.ok(loud > 1e-4);
  assert.ok(power(b.subarray(...early), 1100) > 1e-4);
  assert.ok(power(b.subarray(...late), 1100) > 1e-4, 'the longer file was cut');
  for (const [samples, frequency] of [
    [a.subarray(...late), 500],
    [b.subarray(...early), 500],
    [a.subarray(...early), 1100],
  ] as const) {
    assert.ok(power(samples, frequency) < loud / 300, `${String(frequency)} Hz leaks`);
  }
});

test(
  'a still screen gets a frame at least every 2 s and a key frame at least every 6, with its true times',
  HANG,
  async () => {
    const still = ['-f', 'lavfi', '-i', 'color=gray:size=320x240:rate=5:duration=20'];
    const packets = await allPackets(await encodeFiles([await made(...still, ...H264)]));
    const times = packets.map(({ timeNs }) => timeNs / 1e9);
    assert.ok(packets.length < 30, 'duplicates were kept');
    assertGaps([...times, 20], 2.1);
    assertGaps([...keyframeTimes(packets), 20], 6);
    for (const time of times)
      assert.ok(Math.abs(time * 5 - Math.round(time * 5)) < 0.02, `${String(time)} s is no time of a frame`);
  },
);

test('a screen at 10 frames a second can be sought every 5 s', HANG, async () => {
  const { encoded, path } = await encodedFixture('screen-faststart.mp4');
  const video = encoded.tracks.findIndex((track) => track.kind === 'video');
  const blocks = checkWebm(await readFile(path)).blocks.filter(
    ({ track, keyframe }) => track === video + 1 && keyframe,
  );
  assert.ok(blocks.length > 1);
  assertGaps([...blocks.map(({ timeMs }) => timeMs / 1000), 20], 5);
});

function keyframeTimes(packets: readonly Packet[]): readonly number[] {
  return packets.filter(({ keyframe }) => keyframe).map(({ timeNs }) => timeNs / 1e9);
}

function assertGaps(times: readonly number[], mostS: number): void {
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  assert.ok(Math.max(...gaps) <= mostS, `a gap of ${String(Math.max(...gaps))} s`);
}

// ── bad media ───────────────────────────────────────────────────────────────────────────────────────────────────

const noise = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 2_654_435_761) >>> 13)).subarray();

const BAD: readonly (readonly [string, MediaKind, () => Buffer | Promise<Buffer>, Failure['code']])[] = [
  [
    'a page as WAV (ME-02)',
    'wav',
    () => Buffer.from('<html><body>Sign in</body></html>'.repeat(50)),
    'unreadable-media',
  ],
  ['MP3 as WAV (ME-02)', 'wav', () => fixture('stereo.mp3'), 'unreadable-media'],
  ['WAV as Ogg (ME-02)', 'ogg', () => fixture('stereo-pcm.wav'), 'unreadable-media'],
  ['nothing', 'wav', () => Buffer.alloc(0), 'unreadable-media'],
  ['a WAV of no samples (ME-04)', 'wav', () => wav(0), 'unreadable-media'],
  ['zeros as WAV (ME-01)', 'wav', () => Buffer.alloc(1_000_000), 'unreadable-media'],
  ['zeros as MP3 (ME-01)', 'mp3', () => Buffer.alloc(1_000_000), 'unreadable-media'],
  ['noise as MP4 (ME-01)', 'mp4', () => noise, 'unreadable-media'],
  ['noise as Matroska (ME-01)', 'webm', () => noise, 'unreadable-media'],
  ['MP4 with its index at the end (ME-03)', 'mp4', () => fixture('screen-moov-last.mp4'), 'unreadable-media'],
  [
    'MP3 with a hole (ME-01)',
    'mp3',
    async () => (await fixture('stereo.mp3')).fill(0xff, 60_000, 90_000),
    'unreadable-media',
  ],
  [
    'a picture of a codec that is not decoded here',
    'webm',
    () => made(...PICTURE, '-c:v', 'ffv1', '-f', 'matroska'),
    'unsupported-media',
  ],
];

for (const [name, kind, bytes, code] of BAD) {
  test(`${name}: ${code}, and no encoder stays`, HANG, async () => {
    const failure = await refusal(encodeFiles([await bytes()], { kind }));
    assert.equal(failure.code, code, JSON.stringify(failure.facts));
    assert.deepEqual(await staging.leftovers(), []);
  });
}

test('a frame larger than a 4K screen is refused before it takes memory (ME-12)', HANG, async () => {
  const giant = await made('-f', 'lavfi', '-i', 'color=black:size=4608x2304:rate=1:duration=1', ...H264);
  const failure = await refusal(encodeFiles([giant]));
  assert.ok(['unsupported-media', 'unreadable-media'].includes(failure.code), failure.message);
});

test('a 4K screen fits into the limits', HANG, async () => {
  const large = await made('-f', 'lavfi', '-i', 'testsrc2=size=3840x2160:rate=2:duration=1', ...H264);
  assert.equal((await allPackets(await encodeFiles([large]))).length, 2);
});

test('of twenty streams none is decoded, or the first alone (ME-12)', HANG, async () => {
  const maps = Array.from({ length: 20 }, () => ['-map', '0:a']).flat();
  const file = await made(...TONE, ...maps, '-c:a', 'pcm_s16le', '-f', 'matroska');
  try {
    // From version 7.1 on, ffmpeg passes over those that are too many.
    const encoded = await encodeFiles([file]);
    assert.ok((await allPackets(encoded)).length > 0);
    assert.deepEqual(
      encoded.tracks.map(({ codecId }) => codecId),
      ['A_OPUS'],
    );
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    assert.ok(['unsupported-media', 'unreadable-media'].includes(error.code), error.message);
  }
});

test('invariant 9: lists of other media, taken for media, fetch nothing (ME-10)', HANG, async () => {
  let hits = 0;
  const canary = createServer((_, response) => {
    hits += 1;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(canary, 'listening');
  const address = canary.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const url = `http://127.0.0.1:${String(port)}/x.wav`;
  const evil = [
    `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n${url}\n#EXT-X-ENDLIST\n`,
    `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>${url}</BaseURL></MPD>`,
    `ffconcat version 1.0\nfile '${url}'\n`,
    `v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio ${String(port)} RTP/AVP 0\r\n`,
    `RIFF\x24\0\0\0WAVE#EXTM3U\n${url}\n`,
  ];
  try {
    for (const text of evil) {
      for (const kind of ['wav', 'mp3', 'mp4', 'webm', 'ogg'] as const) {
        assert.equal((await refusal(encodeFiles([Buffer.from(text)], { kind }))).code, 'unreadable-media');
      }
    }
    assert.equal(hits, 0);
  } finally {
    canary.close();
  }
});

test('an encoder has the cores that the slots leave it: one thread, or two', () => {
  const cases = [
    { slots: 2, cores: 2, threads: 1 },
    { slots: 8, cores: 2, threads: 1 },
    { slots: 3, cores: 4, threads: 1 },
    { slots: 2, cores: 4, threads: 2 },
    { slots: 1, cores: 16, threads: 2 },
  ];
  for (const { slots, cores, threads } of cases) assert.equal(threadsFor(slots, cores), threads);
  const args = encodeArguments({ media: [known('mp4')], maxDurationMs: 60_000, threads: 2 });
  assert.deepEqual(
    args.flatMap((arg, index) => (arg === '-threads' ? [args[index + 1]] : [])),
    ['2', '2'],
  );
});

test('(A10) CPU is bounded by what media announces of itself, not by the longest that is allowed', () => {
  const cpuS = (kind: MediaKind, announcedS: number | undefined, sizeBytes?: number): number =>
    limitsOf({
      media: [known(kind)],
      maxDurationMs: 43_200_000,
      announcedMs: announcedS === undefined ? undefined : announcedS * 1000,
      sizeBytes,
    }).cpuS;
  assert.ok(cpuS('wav', 300) <= 64);
  assert.ok(cpuS('wav', 3600) >= 10 * 18 && cpuS('wav', 3600) <= 600);
  assert.ok(cpuS('mp4', 4) <= 128);
  assert.ok(cpuS('mp4', undefined, 416_000) <= 512);
  assert.ok(cpuS('mp4', 3600) >= 1200 * 5);
  assert.ok(cpuS('mp3', undefined, 1_000_000) <= 128);
  // Encoders that wait fit media of about the same length.
  assert.equal(cpuS('mp4', 1200), cpuS('mp4', 1250));
});

test(
  'an encoder asks for no random numbers, which its cage has none of: the same media becomes the same bytes',
  HANG,
  () => {
    const media = requireMedia(sniff(wav(8000)));
    const args = encodeArguments({ media: [media], maxDurationMs: 60_000 });
    const [first, second] = [1, 2].map(() => spawnSync('ffmpeg', args, { input: wav(8000) }));
    assert.equal(first?.status, 0, String(first?.stderr));
    assert.ok(first.stdout.length > 1000);
    assert.deepEqual(first.stdout, second?.stdout);
  },
);

const KINDS: readonly MediaKind[] = ['ogg-opus', 'ogg-vorbis', 'ogg', 'wav', 'mp3', 'flac', 'aac-adts', 'mp4', 'webm'];

test('invariant 9: arguments come from a fixed set: pipes, one forced demuxer and whitelists, whatever the media', () => {
  const seen = new Set<string>();
  for (const kind of KINDS) {
    for (const channels of [undefined, 1, 2, 9]) {
      for (const sampleRate of [undefined, 8000, 48_000]) {
        const args = encodeArguments({
          media: [{ kind, codec: '-i /etc/passwd', channels, sampleRate }],
          maxDurationMs: 60_000,
        });
        for (const arg of args) seen.add(arg);
        const at = args.indexOf('-i');
        assert.deepEqual(args.slice(at, at + 2), ['-i', 'pipe:0']);
        assert.equal(args.at(-1), 'pipe:1');
        for (const option of [
          '-f',
          '-protocol_whitelist',
          '-format_whitelist',
          '-codec_whitelist',
          '-max_pixels',
          '-max_alloc',
          '-max_streams',
        ]) {
          assert.ok(args.indexOf(option) !== -1 && args.indexOf(option) < at, option);
        }
        for (const option of ['-map', '-map_metadata', '-map_chapters', '-sn', '-dn', '-t'])
          assert.ok(args.indexOf(option) > at, option);
      }
    }
  }
  assert.ok(seen.size < 110);
  assert.ok(![...seen].some((arg) => arg.includes('passwd')));
});

test(
  'invariant 9: the encoder opens no network and no file but its own libraries (strace)',
  { ...HANG, skip: traceable },
  async () => {
    const trace = join(folder, 'trace');
    const script = join(folder, 'traced');
    await writeFile(
      script,
      `#!/bin/sh\nexec strace -f -qq -e trace=network,open,openat,creat -o ${trace} ${staging.real.path} "$@"\n`,
      { mode: 0o755 },
    );
    // The trace is a file, so it is taken without the limit that allows none.
    const traced = { ...staging.real, path: script, confinement: UNCONFINED };
    await allPackets(await encodeFiles([await fixture('stereo-ulaw.wav')], { ffmpeg: traced }));
    await allPackets(await encodeFiles([wav(8000), wav(8000)], { ffmpeg: traced }));
    const calls = (await readFile(trace, 'utf8')).split('\n');
    assert.ok(calls.length > 100, 'nothing was traced');
    assert.deepEqual(
      calls.filter((call) => /connect\(|socket\(AF_INET|bind\(|O_CREAT|creat\(/.test(call)),
      [],
    );
    const opened = calls.flatMap((call) => /open(?:at)?\((?:AT_FDCWD, )?"([^"]*)".* = \d+$/.exec(call)?.[1] ?? []);
    assert.deepEqual(
      opened.filter((path) => !/^\/(usr|lib|lib64|etc|proc|sys|dev|opt)\//.test(path)),
      [],
    );
  },
);

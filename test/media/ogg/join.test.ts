import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fc } from '../../support/generated.ts';
import { Failure } from '../../../src/failure.ts';
import { joinMono } from '../../../src/media/ogg/join.ts';
import { readOggOpus } from '../../../src/media/ogg/ogg-opus.ts';
import { parseOpusHead, parsePacket } from '../../../src/media/opus.ts';
import { decodeOpus, ffmpeg, firstDifference, probeComplaints } from '../../support/media/ffmpeg.ts';
import { oggOpus, oggPage, OPUS_TAGS } from '../../support/media/ogg-write.ts';
import { allPackets, opusHead, source, writeWebm } from '../../support/media/packets.ts';
import { checkWebm } from '../../support/media/webm-check.ts';
import { SEED } from '../../support/soak.ts';

const FIXTURES = path.join(import.meta.dirname, '../../fixtures');
const PRE_SKIP = 312;
let folder = '';
before(async () => (folder = await mkdtemp(path.join(tmpdir(), 'join-'))));
after(() => rm(folder, { recursive: true }));

async function join(left: Buffer, right: Buffer) {
  const streams = [await readOggOpus(source(left, 10_000)), await readOggOpus(source(right, 7000))] as const;
  return joinMono(...streams);
}

async function decode(name: string, bytes: Buffer, channels: number): Promise<Float32Array[]> {
  await writeFile(path.join(folder, name), bytes);
  return decodeOpus(path.join(folder, name), channels);
}

/** Joins, and decodes the result and both originals. */
async function joinAndDecode(left: Buffer, right: Buffer) {
  const { file, result } = await writeWebm(await join(left, right));
  checkWebm(file);
  assert.equal(result.channels, 2);
  const [joined0, joined1] = await decode('joined.webm', file, 2);
  const [left0] = await decode('left.opus', left, 1);
  const [right0] = await decode('right.opus', right, 1);
  assert.ok(joined0 && joined1 && left0 && right0);
  return { joined: [joined0, joined1] as const, mono: [left0, right0] as const, result };
}

async function assertExact(left: Buffer, right: Buffer, name = ''): Promise<void> {
  const { joined, mono, result } = await joinAndDecode(left, right);
  for (const side of [0, 1] as const) {
    assert.equal(firstDifference(joined[side], mono[side]), undefined, `${name}: channel ${side}`);
    assert.ok(
      mono[side].some((sample) => Math.abs(sample) > 0.01),
      `${name}: channel ${side} is not silent`,
    );
  }
  assert.equal(joined[0].length, Math.max(mono[0].length, mono[1].length), name);
  assert.ok(Math.abs(result.durationMs - joined[0].length / 48) < 0.001, name);
}

function encode(name: string, seconds: number, ...args: readonly string[]): Promise<Buffer> {
  return ffmpeg(
    '-ss',
    '18',
    '-t',
    String(seconds),
    '-i',
    `${FIXTURES}/${name}`,
    '-c:a',
    'libopus',
    ...args,
    '-f',
    'ogg',
    'pipe:1',
  );
}

async function packetsOf(file: Buffer): Promise<Buffer[]> {
  const packets = await allPackets(await readOggOpus(source(file)));
  return packets.map((packet) => packet.data);
}

/** The same packets in a file of our own, beginning at a sample and with a pre-skip. */
function fileOf(packets: readonly Buffer[], samples: number, { start = 0, head = opusHead(1) } = {}): Buffer {
  const pages = [];
  for (let at = 0; at < packets.length; at += 40) {
    const part = packets.slice(at, at + 40);
    pages.push({ packets: part, granule: start + (at + part.length) * samples, last: at + 40 >= packets.length });
  }
  return oggOpus(pages, head);
}

function withHead(change: Partial<Record<'preSkip' | 'gain', number>>): Buffer {
  const head = opusHead(1);
  head.writeUInt16LE(change.preSkip ?? PRE_SKIP, 10);
  head.writeInt16LE(change.gain ?? 0, 16);
  return head;
}

function unjoinable(text: string) {
  return (error: unknown) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, 'unsupported-media', error.message);
    assert.match(error.message, new RegExp(text));
    return true;
  };
}

test('joins the two channels of a call so that each is decoded sample for sample', async () => {
  await assertExact(await readFile(`${FIXTURES}/dual-0.opus`), await readFile(`${FIXTURES}/dual-1.opus`));
  assert.equal(await probeComplaints(path.join(folder, 'joined.webm')), '');
});

test('joins every frame length, bandwidth and rate sample for sample', async () => {
  for (const args of [
    ['-frame_duration', '2.5', '-application', 'lowdelay'],
    ['-frame_duration', '5', '-cutoff', '12000'],
    ['-frame_duration', '10', '-application', 'voip', '-b:a', '12k', '-cutoff', '4000'],
    ['-frame_duration', '10', '-b:a', '40k', '-cutoff', '20000'],
    ['-frame_duration', '20', '-application', 'voip', '-b:a', '10k', '-cutoff', '6000'],
    ['-frame_duration', '20', '-application', 'voip', '-b:a', '24k', '-cutoff', '12000'],
    ['-frame_duration', '20', '-vbr', 'off', '-b:a', '96k'],
    ['-frame_duration', '20', '-fec', '1', '-packet_loss', '20', '-application', 'voip', '-b:a', '20k'],
    ['-frame_duration', '40', '-b:a', '64k'],
    ['-frame_duration', '60', '-application', 'voip', '-b:a', '10k'],
    ['-frame_duration', '120', '-b:a', '32k'],
  ]) {
    await assertExact(
      await encode('dual-0.opus', 2.2, ...args),
      await encode('dual-1.opus', 2.2, ...args),
      args.join(' '),
    );
  }
});

test('joins channels of unlike coding, one of them in DTX', async () => {
  const speech = await packetsOf(await encode('dual-0.opus', 4, '-application', 'voip', '-b:a', '12k'));
  // What an encoder in DTX sends in pauses: packets of the TOC byte alone, now and then a whole one.
  const paused = speech.map((packet, i) => (i % 50 > 20 && i % 20 > 0 ? packet.subarray(0, 1) : packet));
  const dtx = fileOf(paused, 960);
  const music = await encode('dual-1.opus', 4, '-application', 'audio', '-b:a', '64k');
  await assertExact(dtx, music);
  await assertExact(music, dtx);
});

test('joins packets of all four codes, with padding and of constant rate', async () => {
  const left = await packetsOf(await encode('dual-0.opus', 3, '-frame_duration', '20', '-cutoff', '12000'));
  const right = await packetsOf(await encode('dual-1.opus', 3, '-frame_duration', '20', '-vbr', 'off', '-b:a', '48k'));
  const codes = new Set<number>();
  for (const [a, b] of [
    [pairs(left, code2), pairs(right, code1)],
    [pairs(right, code1), pairs(left, code3)],
    [pairs(left, code3), pairs(right, code3Constant)],
    [pairs(right, code3Constant), pairs(left, code2)],
  ] as const) {
    for (const packet of a) codes.add((packet[0] ?? 0) & 3);
    await assertExact(fileOf(a, 1920), fileOf(b, 1920));
  }
  assert.deepEqual(
    [...codes].toSorted((a, b) => a - b),
    [1, 2, 3],
  );
});

test('fills the shorter channel with silence to the end of the longer', async () => {
  const short = await encode('dual-0.opus', 1.5, '-application', 'voip', '-b:a', '16k');
  const long = await encode('dual-1.opus', 4);
  for (const [left, right, side] of [
    [short, long, 0],
    [long, short, 1],
  ] as const) {
    const { joined, mono } = await joinAndDecode(left, right);
    assert.equal(joined[0].length, Math.max(mono[0].length, mono[1].length));
    assert.equal(firstDifference(joined[0], mono[0]), undefined);
    assert.equal(firstDifference(joined[1], mono[1]), undefined);
    const filled = joined[side].subarray(mono[side].length + 4800);
    assert.ok(
      filled.every((sample) => Math.abs(sample) < 1e-4),
      'silent from 100 ms on',
    );
  }
});

test('keeps the distance of channels that do not begin together', async () => {
  const packets = await packetsOf(await encode('dual-0.opus', 2, '-application', 'voip', '-b:a', '16k'));
  const early = fileOf(await packetsOf(await encode('dual-1.opus', 3)), 960, { start: 48_000 });
  const late = fileOf(packets, 960, { start: 48_000 + 30 * 960 });
  const { joined, mono } = await joinAndDecode(early, late);
  assert.equal(firstDifference(joined[0], mono[0]), undefined);
  const lead = 30 * 960;
  // Only the start of the whole is cut off by the pre-skip: the decoder's settling (6.5 ms) is heard in front of the late channel.
  const silent = joined[1].subarray(0, lead - PRE_SKIP);
  assert.equal(firstDifference(silent, new Float32Array(silent.length)), undefined, 'nothing before it begins');
  assert.equal(firstDifference(joined[1].subarray(lead), mono[1]), undefined, 'then every sample');
});

test('reconciles pre-skips and starts: exactly by whole packets, else to half a packet (D6)', async () => {
  const left = await packetsOf(await encode('dual-0.opus', 2));
  const right = await packetsOf(await encode('dual-1.opus', 2));
  // Of the second channel; then how late each channel is.
  for (const [preSkip, start, lateLeft, lateRight] of [
    [PRE_SKIP + 1920, 0, 0, 0],
    [PRE_SKIP + 100, 0, 0, 100],
    [PRE_SKIP - 200, 0, 200, 0],
    [PRE_SKIP + 700, 0, 260, 0],
    [PRE_SKIP, 400, 0, -400],
    [PRE_SKIP, 960 * 15 + 333, 0, -333],
    [PRE_SKIP + 700, 960 * 7 + 800, 0, -100],
  ] as const) {
    const other = fileOf(right, 960, { start, head: withHead({ preSkip }) });
    const { joined, mono } = await joinAndDecode(fileOf(left, 960), other);
    const what = `${preSkip}, ${start}`;
    assert.equal(differenceFrom(joined[0], mono[0], lateLeft), undefined, `the first channel, ${what}`);
    assert.equal(differenceFrom(joined[1], mono[1], start + lateRight), undefined, `the second channel, ${what}`);
  }
});

/** Where a channel that begins so many samples later differs. */
function differenceFrom(joined: Float32Array, mono: Float32Array, begins: number): number | undefined {
  return firstDifference(joined.subarray(begins), mono);
}

test('takes channels that are further apart than the recording is long to begin together', async () => {
  const left = await packetsOf(await encode('dual-0.opus', 2));
  const right = await packetsOf(await encode('dual-1.opus', 2));
  for (const [start, lengthMs] of [
    [48_000 * 3, 2000],
    [2 ** 40 * 960, undefined],
  ] as const) {
    const streams = [
      await readOggOpus(source(fileOf(left, 960))),
      await readOggOpus(source(fileOf(right, 960, { start }))),
    ] as const;
    const { result } = await writeWebm(await joinMono(...streams, lengthMs));
    assert.ok(Math.abs(result.durationMs - 2020) < 30, String(result.durationMs));
  }
});

test('fills a gap in one channel and stays in time behind it', async () => {
  const left = await packetsOf(await encode('dual-0.opus', 2));
  const right = await packetsOf(await encode('dual-1.opus', 2));
  const gapped = oggOpus([
    { packets: right.slice(0, 30), granule: 30 * 960 },
    { packets: right.slice(50, 80), granule: 80 * 960, last: true },
  ]);
  const joined = await allPackets(await join(fileOf(left, 960), gapped));
  assert.equal(joined.length, left.length);
  assert.ok(joined[29]?.data.includes(right[29] ?? ''));
  assert.ok(joined[30]?.data.subarray(-2).equals(Buffer.from([0xff, 0xfe])));
  assert.ok(joined[49]?.data.subarray(-2).equals(Buffer.from([0xff, 0xfe])));
  assert.ok(joined[50]?.data.includes(right[50] ?? ''));
});

test('joins with a channel in which there is nothing', async () => {
  const right = await encode('dual-1.opus', 1);
  const empty = oggOpus([{ packets: [], granule: 0, last: true }]);
  const { file } = await writeWebm(await join(empty, right));
  await writeFile(path.join(folder, 'half.webm'), file);
  const [silent, heard] = await decodeOpus(path.join(folder, 'half.webm'), 2);
  assert.ok(silent?.every((sample) => sample === 0));
  assert.ok(heard?.some((sample) => Math.abs(sample) > 0.01));
  await assert.rejects(writeWebm(await join(empty, empty)));
});

test('describes itself as two uncoupled streams', async () => {
  const mono = await encode('dual-1.opus', 1);
  const [track] = (await join(mono, mono)).tracks;
  assert.ok(track?.kind === 'audio');
  const head = parseOpusHead(track.codecPrivate ?? Buffer.alloc(0));
  assert.deepEqual([head?.mappingFamily, head?.streams, head?.coupled, head?.mapping], [1, 2, 0, [0, 1]]);
  assert.equal(track.codecDelayNs, (PRE_SKIP / 48) * 1e6);
});

test('leaves to an encoder what cannot be joined exactly, before anything is handed out', async () => {
  const mono = await encode('dual-0.opus', 1);
  const cases: readonly (readonly [string, Buffer, string])[] = [
    ['stereo', await readFile(`${FIXTURES}/stereo.opus`), 'not mono'],
    ['another frame length', await encode('dual-1.opus', 1, '-frame_duration', '60'), 'differ in length'],
    ['another gain', fileOf(await packetsOf(mono), 960, { head: withHead({ gain: 256 }) }), 'gains'],
  ];
  for (const [name, other, text] of cases) {
    await assert.rejects(join(mono, other), unjoinable(text), name);
    await assert.rejects(join(other, mono), unjoinable(text), name);
  }
});

test('leaves to an encoder what would be shifted by more than 20 ms', async () => {
  const sixty = ['-frame_duration', '60', '-application', 'voip', '-b:a', '10k'];
  const left = await packetsOf(await encode('dual-0.opus', 2, ...sixty));
  const right = await packetsOf(await encode('dual-1.opus', 2, ...sixty));
  for (const [start, fits] of [
    [960, true],
    [961, false],
    [1440, false],
    [1919, false],
    [1920, true],
  ] as const) {
    const joining = join(fileOf(left, 2880), fileOf(right, 2880, { start })).then(allPackets);
    if (fits) await joining;
    else await assert.rejects(joining, unjoinable('too far from its place'), String(start));
  }
});

test('gives up midway where a packet of another length comes', async () => {
  const left = await packetsOf(await encode('dual-0.opus', 1));
  const odd = oggOpus([
    { packets: left.slice(0, 10), granule: 9600 },
    { packets: pairs(left.slice(10, 20), code2), granule: 19_200, last: true },
  ]);
  await assert.rejects(allPackets(await join(fileOf(left, 960), odd)), unjoinable('differ in length'));
});

test('leaves invalid packets of either channel to an encoder', async () => {
  const packets = await packetsOf(await encode('dual-0.opus', 1));
  const broken = packets.map((packet, i) => (i === 20 ? Buffer.from([packet[0] ?? 0, ...Buffer.alloc(1300)]) : packet));
  const [good, bad] = [fileOf(packets, 960), fileOf(broken, 960)];
  await assert.rejects(allPackets(await join(good, bad)), unjoinable('invalid'));
  await assert.rejects(allPackets(await join(bad, good)), unjoinable('invalid'));
});

test('fails as a whole where one channel is damaged or cut, and closes both', async () => {
  const good = await readFile(`${FIXTURES}/dual-0.opus`);
  for (const change of [
    (bytes: Buffer) => bytes.subarray(0, 100_000),
    (bytes: Buffer) => bytes.fill(0, 90_000, 90_010),
  ]) {
    const sources = [source(good), source(change(Buffer.from(good)))] as const;
    const joined = await joinMono(await readOggOpus(sources[0]), await readOggOpus(sources[1]));
    await assert.rejects(
      allPackets(joined),
      (error) => error instanceof Failure && ['incomplete', 'unreadable-media'].includes(error.code),
    );
    assert.deepEqual([sources[0].closed, sources[1].closed], [true, true]);
  }
  const left = [source(good), source(good)] as const;
  const joined = await joinMono(await readOggOpus(left[0]), await readOggOpus(left[1]));
  await joined.packets[Symbol.asyncIterator]().return?.();
  assert.deepEqual([left[0].closed, left[1].closed], [true, true]);
});

// ── packets of two frames, by the rules of RFC 6716 §3.2 ────────────────────────────────────────────────────────

type Merge = (toc: number, a: Buffer, b: Buffer) => Buffer;

/** Every two packets of one frame as one of two frames; the configuration has to be the same throughout. */
function pairs(packets: readonly Buffer[], merge: Merge): Buffer[] {
  return Array.from({ length: Math.floor(packets.length / 2) }, (_, i) => {
    const [a, b] = [packets[2 * i], packets[2 * i + 1]];
    assert.ok(a && b && a[0] === b[0] && ((a[0] ?? 0) & 3) === 0, 'two packets of one frame and one configuration');
    const merged = merge(a[0] ?? 0, a.subarray(1), b.subarray(1));
    assert.deepEqual(parsePacket(merged)?.sizes, [a.length - 1, b.length - 1]);
    return merged;
  });
}

function length(size: number): number[] {
  return size < 252 ? [size] : [252 + (size & 3), (size - 252 - (size & 3)) / 4];
}

function code1(toc: number, a: Buffer, b: Buffer): Buffer {
  return Buffer.concat([Buffer.from([toc | 1]), a, b]);
}

function code2(toc: number, a: Buffer, b: Buffer): Buffer {
  return Buffer.concat([Buffer.from([toc | 2, ...length(a.length)]), a, b]);
}

function code3(toc: number, a: Buffer, b: Buffer): Buffer {
  return Buffer.concat([Buffer.from([toc | 3, 0xc2, 255, 10, ...length(a.length)]), a, b, Buffer.alloc(264)]);
}

function code3Constant(toc: number, a: Buffer, b: Buffer): Buffer {
  return Buffer.concat([Buffer.from([toc | 3, 0x42, 7]), a, b, Buffer.alloc(7)]);
}

// ── pages that cut packets ──────────────────────────────────────────────────────────────────────────────────────

const TOC = 0x48;
const FRAME_SAMPLES = 960;

/** One frame of 20 ms whose bytes tell where they are; every length is a valid one. */
function frameOf(size: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, at) => (at * 31 + seed * 7 + (at >> 8)) & 255));
}

/** Pages of so many segments each, wherever that cuts a packet; behind every packet come so many empty ones. */
function cutFile(frames: readonly Buffer[], segments: number, empty: number): Buffer {
  const parts = frames.flatMap((frame, index) => {
    const packet = Buffer.concat([Buffer.of(TOC), frame]);
    const count = Math.floor(packet.length / 255) + 1;
    const own = Array.from({ length: count }, (_, at) => packet.subarray(at * 255, at * 255 + 255));
    return [...own, ...Array.from({ length: empty }, () => Buffer.alloc(0))].map((bytes) => ({ bytes, index }));
  });
  const pages: Buffer[] = [];
  let isOpen = false;
  for (let at = 0; at < parts.length; at += segments) {
    const page = parts.slice(at, at + segments);
    const packets: Buffer[] = [];
    let isNew = true;
    for (const { bytes } of page) {
      if (isNew) packets.push(bytes);
      else packets.push(Buffer.concat([packets.pop() ?? bytes, bytes]));
      isNew = bytes.length < 255;
    }
    const isLast = at + segments >= parts.length;
    const ended = page.filter(({ bytes }) => bytes.length < 255).at(-1);
    const granule = ended === undefined ? -1 : (ended.index + 1) * FRAME_SAMPLES;
    const flags = (isOpen ? 1 : 0) | (isLast ? 4 : 0);
    pages.push(oggPage({ packets, granule, sequence: pages.length + 2, flags, open: !isNew }));
    isOpen = !isNew;
  }
  const head = oggPage({ packets: [opusHead(1)], granule: 0, flags: 2 });
  return Buffer.concat([head, oggPage({ packets: [OPUS_TAGS], granule: 0, sequence: 1 }), ...pages]);
}

/** RFC 6716 §3.2.1 and appendix B, for one frame. */
function delimited(frame: Buffer): Buffer {
  const { length } = frame;
  const size = length < 252 ? [length] : [252 + (length & 3), (length - 252 - (length & 3)) >> 2];
  return Buffer.concat([Buffer.of(TOC, ...size), frame]);
}

test('joins packets of every length byte for byte, wherever pages cut them', async () => {
  const size = fc.oneof(fc.nat(80), fc.integer({ min: 240, max: 270 }), fc.nat(1275));
  const side = fc.record({
    sizes: fc.array(size, { minLength: 12, maxLength: 12 }),
    segments: fc.constantFrom(1, 2, 3, 5, 20, 255),
    empty: fc.constantFrom(0, 0, 1, 2),
    chunk: fc.constantFrom(7, 400, 70_000),
  });
  await fc.assert(
    fc.asyncProperty(side, side, async (left, right) => {
      const [lefts, rights] = [left, right].map(({ sizes }, seed) => sizes.map((each) => frameOf(each, seed)));
      const [leftFile, rightFile] = [
        cutFile(lefts ?? [], left.segments, left.empty),
        cutFile(rights ?? [], right.segments, right.empty),
      ];
      const joined = await joinMono(
        await readOggOpus(source(leftFile, left.chunk)),
        await readOggOpus(source(rightFile, right.chunk)),
      );
      assert.deepEqual(
        (await allPackets(joined)).map(({ data }) => data.toString('hex')),
        lefts?.map((frame, at) =>
          Buffer.concat([delimited(frame), Buffer.of(TOC), rights?.[at] ?? Buffer.alloc(0)]).toString('hex'),
        ),
      );
    }),
    { numRuns: 40, seed: SEED },
  );
});

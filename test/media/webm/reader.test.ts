import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import {
  element,
  floatElement,
  ID,
  sintElement,
  textElement,
  uintElement,
  UNKNOWN_SIZE,
} from '../../../src/media/webm/ebml.ts';
import { readWebm } from '../../../src/media/webm/reader.ts';
import { WebmWriter } from '../../../src/media/webm/writer.ts';
import { ffmpeg, probeComplaints } from '../../support/media/ffmpeg.ts';
import {
  allPackets,
  type BufferPacket,
  OPUS_TRACK,
  opusHead,
  opusPacket,
  source,
  videoPacket,
  VP8_TRACK,
  writeWebm,
} from '../../support/media/packets.ts';
import { checkWebm } from '../../support/media/webm-check.ts';

const FIXTURES = path.join(import.meta.dirname, '../../fixtures');
let folder = '';
before(async () => (folder = await mkdtemp(path.join(tmpdir(), 'webm-reader-'))));
after(() => rm(folder, { recursive: true }));

async function read(bytes: Buffer, chunkSize?: number): Promise<readonly BufferPacket[]> {
  return allPackets(await readWebm(source(bytes, chunkSize)));
}

function fails(code: FailureCode, text: string | RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, new RegExp(text));
    return true;
  };
}

/** A file by hand: what ffmpeg does not write. */
function file(...segment: readonly Buffer[]): Buffer {
  return Buffer.concat([element(ID.EBML, textElement(ID.DocType, 'webm')), element(ID.Segment, ...segment)]);
}

function opusEntry(number: number, ...more: readonly Buffer[]): Buffer {
  return element(
    ID.TrackEntry,
    uintElement(ID.TrackNumber, number),
    uintElement(ID.TrackType, 2),
    textElement(ID.CodecID, 'A_OPUS'),
    element(ID.CodecPrivate, opusHead(1)),
    ...more,
  );
}

function block(id: number, flags: number, ...data: readonly (readonly number[])[]): Buffer {
  return element(id, Buffer.from([0x81, 0, 0, flags, ...data.flat()]));
}

function cluster(...blocks: readonly Buffer[]): Buffer {
  return element(ID.Cluster, uintElement(ID.Timestamp, 1000), ...blocks);
}

/** An element that does not say where it ends. */
function unknown(id: number): Buffer {
  return Buffer.concat([element(id).subarray(0, 4), UNKNOWN_SIZE]);
}

/**
 * What ffmpeg finds in a file: times, sizes and hashes of its packets; without their durations, of which new versions take off
 * what a decoder discards.
 */
async function hashes(name: string): Promise<string> {
  const lines = await ffmpeg('-i', name, '-map', '0', '-c', 'copy', '-f', 'framehash', 'pipe:1');
  return lines.toString().replaceAll(/^(\d+, *\d+, *\d+,) *\d+,/gm, '$1');
}

function digest(packets: readonly { readonly data: Buffer }[]): string {
  return packets.reduce((hash, { data }) => hash.update(data), createHash('sha256')).digest('hex');
}

const SILENCE = [0xf8, 0xff, 0xfe];

test('re-wraps what ffmpeg pipes, packet for packet, into a file that seeks', async () => {
  for (const args of [
    ['-i', `${FIXTURES}/stereo.opus`, '-c', 'copy'],
    ['-i', `${FIXTURES}/stereo.mp3`, '-t', '10', '-c:a', 'libvorbis'],
    ['-i', `${FIXTURES}/screen-faststart.mp4`, '-t', '3', '-c:v', 'libvpx', '-deadline', 'realtime', '-c:a', 'libopus'],
  ]) {
    const piped = await ffmpeg(...args, '-f', 'webm', 'pipe:1');
    const stream = await readWebm(source(piped));
    const { file: bytes } = await writeWebm(stream);
    assert.equal(stream.hasEndMark, false, 'a piped Segment has no size');
    const piped1 = path.join(folder, 'before.webm');
    const behind = path.join(folder, 'after.webm');
    await writeFile(piped1, piped);
    await writeFile(behind, bytes);
    assert.equal(await hashes(behind), await hashes(piped1));
    assert.equal(await probeComplaints(behind), '');
    checkWebm(bytes);
  }
});

test('re-wraps a screen recording as VP8 with its pictures unchanged', async () => {
  const original = await readFile(`${FIXTURES}/screen-vp8-silent.webm`);
  const stream = await readWebm(source(original));
  assert.equal(stream.durationMs, 20_000);
  const { file: bytes } = await writeWebm(stream);
  assert.equal(stream.hasEndMark, true);
  const checked = checkWebm(bytes);
  assert.equal(checked.durationMs, 20_000);
  assert.equal(digest(checked.blocks), digest(await read(original)));
  assert.ok(checked.cues.length > 1);
});

test('reads the same whatever the chunks are', async () => {
  const packets = [0, 20, 40, 500, 520].map((time) => opusPacket(time));
  const writer = new WebmWriter([OPUS_TRACK]);
  const clusters = [
    ...writer.add(packets),
    ...writer.add([{ ...opusPacket(540), discardPaddingNs: 5e6 }]),
    ...writer.end(),
  ];
  const bytes = Buffer.concat([writer.result().head, ...clusters]);
  const whole = await read(bytes, bytes.length);
  assert.equal(whole.length, 6);
  assert.equal(whole[5]?.discardPaddingNs, 5e6);
  assert.equal(whole[5]?.durationNs, 20e6);
  for (const size of [1, 2, 3, 7, 64]) assert.deepEqual(await read(bytes, size), whole);
});

test('says for every cut whether the end is missing, and where', async () => {
  const writer = new WebmWriter([VP8_TRACK, OPUS_TRACK]);
  const clusters = writer.add([videoPacket(0, true), opusPacket(0, 1), opusPacket(20, 1), videoPacket(900, true)]);
  clusters.push(...writer.end());
  const bytes = Buffer.concat([writer.result().head, ...clusters]);
  for (let end = 0; end < bytes.length; end += 1) {
    await assert.rejects(read(bytes.subarray(0, end), 50), fails('incomplete', `byte ${end},`));
  }
  assert.equal((await read(bytes)).length, 4);
});

test('accepts a stream without sizes only where an element ends', async () => {
  const blocks = [block(ID.SimpleBlock, 0x80, SILENCE), block(ID.SimpleBlock, 0x80, SILENCE)];
  const head = Buffer.concat([
    element(ID.EBML, textElement(ID.DocType, 'webm')),
    unknown(ID.Segment),
    element(ID.Tracks, opusEntry(1)),
  ]);
  const open = Buffer.concat([unknown(ID.Cluster), uintElement(ID.Timestamp, 5), ...blocks]);
  const stream = await readWebm(source(Buffer.concat([head, open, element(ID.Tags), open])));
  assert.equal((await allPackets(stream)).length, 4);
  assert.equal(stream.hasEndMark, false);
  await assert.rejects(read(Buffer.concat([head, open, open.subarray(0, -1)])), fails('incomplete', 'byte \\d+,'));
  const skipped = element(ID.Tags, Buffer.alloc(10_000)).subarray(0, 9000);
  await assert.rejects(read(Buffer.concat([head, open, skipped])), fails('incomplete', 'byte \\d+,'));
});

test('takes laced blocks apart in all three ways', async () => {
  const a = [0xf8, 1];
  const b = [0xf8, 2, 3];
  const c = [0xf8, ...Array.from({ length: 299 }, () => 7)];
  const tracks = element(ID.Tracks, opusEntry(1));
  const laced = async (flags: number, ...data: readonly (readonly number[])[]) =>
    read(file(tracks, cluster(block(ID.SimpleBlock, flags, ...data))));
  const xiph = await laced(0x82, [2, 2, 255, 45], a, c, b);
  assert.deepEqual(
    xiph.map((packet) => packet.data.length),
    [2, 300, 3],
  );
  assert.deepEqual(
    xiph.map((packet) => packet.timeNs / 1e6),
    [0, 20, 40],
  );
  // 2, then 300 = 2 + 298 in two bytes around 2^13 - 1.
  const ebml = await laced(0x86, [2, 0x82, 0x40 | ((298 + 8191) >> 8), (298 + 8191) & 0xff], a, c, b);
  assert.deepEqual(
    ebml.map((packet) => packet.data.length),
    [2, 300, 3],
  );
  const equal = await laced(0x84, [2], a, a, a);
  assert.deepEqual(
    equal.map((packet) => packet.data.length),
    [2, 2, 2],
  );
  for (const [flags, data] of [
    [0x82, [5, 200]],
    [0x84, [2, 1, 2, 3, 4, 5]],
    [0x86, [2, 0x9f, 0x80, 1]],
    [0x86, [2, 0x00, 0x80, 1]],
    [0x82, []],
  ] as const) {
    await assert.rejects(laced(flags, data), fails('unreadable-media', 'lace'));
  }
});

test('keeps sound and pictures, drops the other tracks and every tag (ME-08, ME-14)', async () => {
  const subtitles = element(
    ID.TrackEntry,
    uintElement(ID.TrackNumber, 2),
    uintElement(ID.TrackType, 17),
    textElement(ID.CodecID, 'S_TEXT/UTF8'),
  );
  const tags = element(ID.Tags, element(0x7373, textElement(0x4487, 'Jane Roe, +1 555 0100')));
  const attachments = element(ID.Attachments, Buffer.alloc(3_000_000, 'x'));
  const text = element(ID.SimpleBlock, Buffer.concat([Buffer.from([0x82, 0, 0, 0x80]), Buffer.from('Jane Roe')]));
  const bytes = file(
    element(ID.Tracks, subtitles, opusEntry(1)),
    tags,
    attachments,
    cluster(text, block(ID.SimpleBlock, 0x80, SILENCE)),
  );
  const { file: out } = await writeWebm(await readWebm(source(bytes)));
  assert.equal(checkWebm(out).blocks.length, 1);
  assert.ok(!out.includes('Jane'));
  assert.ok(out.length < 500);
});

test('keeps what a video track says of its colours and shape', async () => {
  const colour = element(0x55b0, uintElement(0x55b9, 2));
  const entry = element(
    ID.TrackEntry,
    uintElement(ID.TrackNumber, 1),
    uintElement(ID.TrackType, 1),
    textElement(ID.CodecID, 'V_VP9'),
    uintElement(ID.DefaultDuration, 100_000_000),
    element(ID.Video, uintElement(ID.PixelWidth, 640), colour, uintElement(ID.PixelHeight, 480)),
  );
  const group = element(
    ID.BlockGroup,
    block(ID.Block, 0, [1, 2, 3]),
    uintElement(ID.BlockDuration, 250),
    sintElement(ID.ReferenceBlock, -100),
  );
  const stream = await readWebm(
    source(file(element(ID.Tracks, entry), cluster(block(ID.SimpleBlock, 0x80, [9]), group))),
  );
  const [track] = stream.tracks;
  assert.ok(track?.kind === 'video');
  assert.deepEqual([track.width, track.height, track.extra], [640, 480, colour]);
  const packets = await allPackets(stream);
  assert.deepEqual(
    packets.map(({ keyframe, durationNs }) => [keyframe, durationNs]),
    [
      [true, 100e6],
      [false, 250e6],
    ],
  );
});

test('applies the time scale of the file', async () => {
  const later = element(ID.SimpleBlock, Buffer.from([0x81, 3, 0xe8, 0, ...SILENCE]));
  const info = element(ID.Info, floatElement(ID.Duration, 480_000), uintElement(ID.TimestampScale, 20_833));
  const stream = await readWebm(
    source(file(info, element(ID.Tracks, opusEntry(1)), cluster(block(ID.SimpleBlock, 0, SILENCE), later))),
  );
  assert.ok(Math.abs((stream.durationMs ?? 0) - 9999.84) < 0.001);
  assert.deepEqual(
    (await allPackets(stream)).map((packet) => packet.timeNs),
    [0, 20_833_000],
  );
});

test('names what it cannot re-wrap, so that an encoder can be asked', async () => {
  const matroska = path.join(folder, 'aac.mkv');
  await ffmpeg(
    '-y',
    '-i',
    `${FIXTURES}/screen-faststart.mp4`,
    '-t',
    '1',
    '-c',
    'copy',
    matroska,
    '-f',
    'null',
    'pipe:1',
  );
  const bytes = await readFile(matroska);
  await assert.rejects(readWebm(source(bytes)), fails('unsupported-media', 'V_MPEG4/ISO/AVC'));
  const encodings = element(ID.ContentEncodings, element(0x6240));
  const packed = file(element(ID.Tracks, opusEntry(1, encodings)), cluster());
  await assert.rejects(read(packed), fails('unsupported-media', 'compressed or encrypted'));
  const scaled = file(element(ID.Tracks, opusEntry(1, floatElement(ID.TrackTimestampScale, 2))));
  await assert.rejects(read(scaled), fails('unsupported-media', 'time scale'));
  const many = file(element(ID.Tracks, ...Array.from({ length: 2000 }, (_, i) => opusEntry(i + 1))));
  await assert.rejects(read(many), fails('unsupported-media', 'tracks'));
});

test('refuses times that run backwards, beyond what a clock may be wrong by (ME-09)', async () => {
  const silence = block(ID.SimpleBlock, 0x80, SILENCE);
  const at = (ticks: number): Buffer => element(ID.Cluster, uintElement(ID.Timestamp, ticks), silence);
  const bytes = file(element(ID.Tracks, opusEntry(1)), at(1000), at(1020), at(900));
  await assert.rejects(
    read(bytes),
    fails('unreadable-media', /byte \d+: the times of a track run backwards by 0\.12 s/),
  );
  const wavering = await read(file(element(ID.Tracks, opusEntry(1)), at(1000), at(1020), at(1015), at(1060)));
  assert.deepEqual(
    wavering.map((packet) => packet.timeNs / 1e6),
    [0, 20, 20, 60],
  );
});

test('refuses lying sizes before it holds their bytes (ME-12)', async () => {
  const tracks = element(ID.Tracks, opusEntry(1));
  const giant = Buffer.concat([Buffer.from([0xa3]), Buffer.from('0100000080000000', 'hex')]);
  const openCluster = Buffer.concat([unknown(ID.Cluster), uintElement(ID.Timestamp, 0), giant]);
  const openFile = Buffer.concat([
    element(ID.EBML, textElement(ID.DocType, 'webm')),
    unknown(ID.Segment),
    tracks,
    openCluster,
  ]);
  await assert.rejects(read(openFile), fails('unreadable-media', 'larger than any'));
  await assert.rejects(read(file(tracks, cluster(giant))), fails('unreadable-media', 'beyond its parent'));
  const info = Buffer.from('1549a96610200001', 'hex');
  const bigInfo = Buffer.concat([openFile.subarray(0, openFile.indexOf(tracks)), info]);
  await assert.rejects(read(bigInfo), fails('unreadable-media', 'larger than any'));
});

test('refuses what is out of place', async () => {
  const tracks = element(ID.Tracks, opusEntry(1));
  const silence = block(ID.SimpleBlock, 0x80, SILENCE);
  const cases: readonly (readonly [string, Buffer, string])[] = [
    ['a Cluster before Tracks', file(cluster(silence)), 'before the Tracks'],
    ['a block before its time', file(tracks, element(ID.Cluster, silence)), 'before the time'],
    ['an unknown track', file(tracks, cluster(element(ID.SimpleBlock, Buffer.from([0x83, 0, 0, 0, 1])))), 'no track'],
    ['a block without head', file(tracks, cluster(element(ID.SimpleBlock, Buffer.from([0x81, 0])))), 'shorter'],
    ['an invalid Opus packet', file(tracks, cluster(block(ID.SimpleBlock, 0x80, [0xfb, 0]))), 'Opus packet'],
    ['a document in a document', file(tracks, cluster(silence), file(tracks)), 'inside another'],
    ['two heads', Buffer.concat([file().subarray(0, file().indexOf('webm') + 4), file(tracks)]), 'begins twice'],
    [
      'a Cluster behind the end',
      Buffer.concat([file(tracks, cluster(silence)), cluster(silence)]),
      'no element begins',
    ],
    ['something before the head', Buffer.concat([element(ID.Tags), file(tracks)]), 'something other'],
    ['a track without number', file(element(ID.Tracks, element(ID.TrackEntry))), 'number'],
    ['a group without block', file(tracks, cluster(element(ID.BlockGroup))), 'no block'],
    ['a time scale of zero', file(element(ID.Info, uintElement(ID.TimestampScale, 0)), tracks), 'time scale'],
  ];
  for (const [name, bytes, text] of cases) {
    await assert.rejects(read(bytes), fails('unreadable-media', text), name);
  }
  await assert.rejects(read(file(element(ID.Tracks))), fails('no-media', 'no track'));
});

test('closes its source when it ends, fails or is left', async () => {
  const bytes = await readFile(`${FIXTURES}/screen-vp8-silent.webm`);
  const good = source(bytes);
  await allPackets(await readWebm(good));
  assert.equal(good.closed, true);
  const bad = source(Buffer.alloc(100_000, 1));
  await assert.rejects(readWebm(bad));
  assert.equal(bad.closed, true);
  const left = source(bytes);
  for await (const batch of (await readWebm(left)).packets) {
    assert.ok(batch.length > 0);
    break;
  }
  assert.equal(left.closed, true);
  const unread = source(bytes);
  await (await readWebm(unread)).packets[Symbol.asyncIterator]().return?.();
  assert.equal(unread.closed, true);
});

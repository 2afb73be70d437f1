/** WebM whose blocks hold several frames, in all three ways of telling where each ends (RFC 9559 §10.3), by what libopus makes of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { element, floatElement, ID, textElement, uintElement } from '../../../src/media/webm/ebml.ts';
import { readOggOpus } from '../../../src/media/ogg/ogg-opus.ts';
import { ffmpeg } from '../../support/media/ffmpeg.ts';
import { amplitudeOf, decibels, hear, stretchesOf } from '../../support/media/hear.ts';
import { archived } from '../../support/media/made.ts';
import { allPackets, opusHead, source } from '../../support/media/packets.ts';

/** A second of tone in every 1.5: what is lost, doubled or moved shows. */
const BURSTS = "aevalsrc='0.3*sin(2*PI*440*t)*lt(mod(t,1.5),1)':s=48000:d=4.5";
const FRAME_MS = 20;

async function packetsAt(...rate: readonly string[]): Promise<readonly Buffer[]> {
  const coding = ['-c:a', 'libopus', '-b:a', '32k', '-frame_duration', String(FRAME_MS), ...rate];
  const file = await ffmpeg('-f', 'lavfi', '-i', BURSTS, ...coding, '-f', 'ogg', 'pipe:1');
  return (await allPackets(await readOggOpus(source(file)))).map(({ data }) => data);
}

const varying = await packetsAt();
const constant = await packetsAt('-vbr', 'off');

interface Lacing {
  readonly name: string;
  readonly flags: number;
  readonly sizes: (frames: readonly Buffer[]) => Buffer;
  readonly packets: readonly Buffer[];
}

const vint = (value: number): Buffer =>
  value < 127 ? Buffer.from([0x80 | value]) : Buffer.from([0x40 | (value >> 8), value & 255]);

/** Signed, its range moved to begin at 0. */
const difference = (value: number): Buffer => {
  if (Math.abs(value) <= 63) return Buffer.from([0x80 | (value + 63)]);
  const moved = value + 8191;
  return Buffer.from([0x40 | (moved >> 8), moved & 255]);
};

const LACINGS: readonly Lacing[] = [
  {
    name: 'Xiph',
    flags: 0b010,
    packets: varying,
    sizes: (frames) =>
      Buffer.from(
        frames
          .slice(0, -1)
          .flatMap(({ length }) => [...Array<number>(Math.floor(length / 255)).fill(255), length % 255]),
      ),
  },
  {
    name: 'EBML',
    flags: 0b110,
    packets: varying,
    sizes: (frames) =>
      Buffer.concat(
        frames
          .slice(0, -1)
          .map(({ length }, at) => (at === 0 ? vint(length) : difference(length - (frames[at - 1]?.length ?? 0)))),
      ),
  },
  { name: 'one size', flags: 0b100, packets: constant, sizes: () => Buffer.alloc(0) },
];

function laced({ flags, sizes, packets }: Lacing, each: number, isGrouped: boolean): Buffer {
  const clusters: Buffer[] = [];
  const perCluster = 8 * each;
  for (let first = 0; first < packets.length; first += perCluster) {
    const blocks: Buffer[] = [];
    for (let at = first; at < Math.min(first + perCluster, packets.length); at += each) {
      const frames = packets.slice(at, at + each);
      const time = (at - first) * FRAME_MS;
      // The last one of all may be alone, or of another size than the others.
      const isLaced =
        frames.length === each && (flags !== 0b100 || new Set(frames.map(({ length }) => length)).size === 1);
      const head = [0x81, time >> 8, time & 255, (isGrouped ? 0 : 0x80) | (isLaced ? flags : 0)];
      if (!isLaced) {
        for (const [index, frame] of frames.entries())
          blocks.push(blockOf(Buffer.concat([alone(head, time + index * FRAME_MS), frame]), 1, isGrouped));
      } else {
        const lace = [Buffer.from([...head, each - 1]), sizes(frames), ...frames];
        blocks.push(blockOf(Buffer.concat(lace), each, isGrouped));
      }
    }
    clusters.push(element(ID.Cluster, uintElement(ID.Timestamp, first * FRAME_MS), ...blocks));
  }
  return Buffer.concat([DOCUMENT, element(ID.Segment, INFO, TRACKS, ...clusters)]);
}

const alone = ([track = 0, , , flags = 0]: readonly number[], time: number): Buffer =>
  Buffer.from([track, time >> 8, time & 255, flags]);

function blockOf(block: Buffer, frames: number, isGrouped: boolean): Buffer {
  if (!isGrouped) return element(ID.SimpleBlock, block);
  return element(ID.BlockGroup, element(ID.Block, block), uintElement(ID.BlockDuration, frames * FRAME_MS));
}

const DOCUMENT = element(ID.EBML, textElement(ID.DocType, 'webm'), uintElement(ID.DocTypeVersion, 4));
const INFO = element(ID.Info, uintElement(ID.TimestampScale, 1_000_000), floatElement(ID.Duration, 4500));
const TRACKS = element(
  ID.Tracks,
  element(
    ID.TrackEntry,
    uintElement(ID.TrackNumber, 1),
    uintElement(ID.TrackUID, 1),
    uintElement(ID.TrackType, 2),
    uintElement(ID.FlagLacing, 1),
    textElement(ID.CodecID, 'A_OPUS'),
    element(ID.CodecPrivate, opusHead(1)),
    uintElement(ID.CodecDelay, 6_500_000),
    uintElement(ID.SeekPreRoll, 80_000_000),
    element(ID.Audio, floatElement(ID.SamplingFrequency, 48_000), uintElement(ID.Channels, 1)),
  ),
);

for (const lacing of LACINGS) {
  for (const [each, isGrouped] of [
    [2, false],
    [4, true],
    [8, false],
  ] as const) {
    const where = isGrouped ? 'BlockGroups' : 'SimpleBlocks';
    test(`(D8) ${String(each)} frames to a block, laced by ${lacing.name}, in ${where}, play in their places`, async () => {
      const { way, file, result } = await archived([laced(lacing, each, isGrouped)]);
      assert.equal(way, 'rewrap');
      const [sound = new Float32Array()] = await hear(file, result.channels);
      const stretches = stretchesOf(sound);
      assert.equal(stretches.length, 3, JSON.stringify(stretches));
      for (const [index, [start, end]] of stretches.entries()) {
        assert.ok(
          Math.abs(start - 1.5 * index) < 0.02 && Math.abs(end - 1.5 * index - 1) < 0.02,
          JSON.stringify(stretches),
        );
        const apart = decibels(amplitudeOf(sound, 440, [start + 0.1, end - 0.1]) / 0.3);
        assert.ok(Math.abs(apart) < 0.3, `${apart.toFixed(2)} dB`);
      }
    });
  }
}

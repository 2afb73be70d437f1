/** Sound with holes in its times: silence is in them, whatever the sound is coded with, and what is behind them comes in time (D7, D8). */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { withoutHoles } from '../../src/media/holes.ts';
import { opusTrack, readOggOpus } from '../../src/media/ogg/ogg-opus.ts';
import { parseOpusHead } from '../../src/media/opus.ts';
import type { Packet, Track } from '../../src/media/packet.ts';
import { readWebm } from '../../src/media/webm/reader.ts';
import { WebmWriter } from '../../src/media/webm/writer.ts';
import { delayMs, levelDb } from '../support/media/compare.ts';
import { decodeOpus, ffmpeg, probeComplaints } from '../support/media/ffmpeg.ts';
import { codeVoices } from '../support/media/legs.ts';
import { archived } from '../support/media/made.ts';
import {
  allPackets,
  OPUS_TRACK,
  opusHead,
  opusPacket,
  source,
  VP8_TRACK,
  videoPacket,
} from '../support/media/packets.ts';

const folder = await mkdtemp(path.join(tmpdir(), 'holes-'));
after(() => rm(folder, { recursive: true }));
const [VOICE = []] = await codeVoices(folder, 1);
const HEAD = parseOpusHead(opusHead(1)) ?? assert.fail();

/** A WebM of our own of these packets, as they are. */
function webmOf(tracks: readonly Track[], packets: readonly Packet[]): Buffer {
  const writer = new WebmWriter(tracks);
  const clusters = [...writer.add(packets), ...writer.end()];
  return Buffer.concat([writer.result().head, ...clusters]);
}

async function heard(file: Buffer, channels: number): Promise<Float32Array> {
  const name = path.join(folder, 'made.webm');
  await writeFile(name, file);
  assert.equal(await probeComplaints(name), '');
  return (await decodeOpus(name, channels))[0] ?? new Float32Array();
}

for (const coded of VOICE) {
  test(`${coded.name}: a hole in a WebM is silent, and what is behind it comes in time (D8)`, async () => {
    const packetMs = coded.samples / 48;
    for (const holeMs of [20, 133, 1000, 4321]) {
      const before = Math.floor(2000 / packetMs);
      const count = Math.floor(4000 / packetMs);
      const packets = coded.packets.slice(0, count).map((data, index): Packet => ({
        ...opusPacket(0),
        data,
        timeNs: (index * packetMs + (index < before ? 0 : holeMs)) * 1e6,
        durationNs: packetMs * 1e6,
      }));
      const made = await archived([webmOf([opusTrack({ ...HEAD, preSkip: coded.preSkip })], packets)]);
      assert.equal(made.way, 'rewrap');
      const sound = await heard(made.file, 1);
      const hole = before * coded.samples - coded.preSkip;
      const filled = sound.subarray(hole + 48 * 60, hole + 48 * holeMs);
      if (holeMs > 100) assert.ok(levelDb(filled) < -90, `${holeMs} ms: ${levelDb(filled)} dB`);
      const meant = coded.sound.subarray(hole + 48 * 200, hole + 48 * 1700);
      const late = delayMs(sound, meant, hole + 48 * (200 + holeMs));
      assert.ok(Math.abs(late) <= 3, `${holeMs} ms: ${late} ms late`);
      const loud =
        levelDb(sound.subarray(hole + 48 * (200 + holeMs + late)).subarray(0, meant.length)) - levelDb(meant);
      assert.ok(Math.abs(loud) < 0.1, `${holeMs} ms: ${loud} dB`);
    }
  });
}

test('what clocks and rounding make of times is no hole', async () => {
  const jitter = [0, 21, 39, 62, 80, 101, 120, 138, 160, 183, 200];
  const packets = jitter.map((ms) => opusPacket(ms));
  const batches = await filled([OPUS_TRACK], [packets]);
  assert.deepEqual(batches, [packets], 'handed on as they came');
});

test('small holes add up until they are heard', async () => {
  const packets = Array.from({ length: 50 }, (_, i) => opusPacket(i * 24));
  const all = (await filled([OPUS_TRACK], [packets])).flat();
  const ms = all.reduce((sum, { durationNs }) => sum + (durationNs ?? 0), 0) / 1e6;
  assert.ok(Math.abs(ms - 49 * 24 - 20) <= 15, `${ms} ms`);
});

test('sound that begins later than the pictures is preceded by silence', async () => {
  const sound = Array.from({ length: 50 }, (_, i) => opusPacket(1500 + i * 20, 1));
  const pictures = Array.from({ length: 30 }, (_, i) => videoPacket(i * 100, i === 0));
  const all = (await filled([VP8_TRACK, OPUS_TRACK], [[...pictures, ...sound]])).flat();
  const packets = all.filter(({ track }) => track === 1);
  assert.equal(packets[0]?.timeNs, 0);
  assert.equal(packets.length, 125);
  assert.equal(all.filter(({ track }) => track === 0).length, 30);
});

test('an hour of silence is made bit by bit', async () => {
  const filling = withoutHoles([OPUS_TRACK], batchesOf([[opusPacket(0), opusPacket(3_600_000)]]));
  let [count, most] = [0, 0];
  for await (const batch of filling) {
    count += batch.length;
    most = Math.max(most, batch.length);
  }
  assert.equal(count, 180_001);
  assert.ok(most <= 512);
});

test('Opus of several streams is silent in all of them', async () => {
  const layout = [
    '-f',
    'lavfi',
    '-i',
    'anoisesrc=d=2:a=0.1:r=48000',
    '-af',
    'pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0',
  ];
  const file = await ffmpeg(
    ...layout,
    '-c:a',
    'libopus',
    '-b:a',
    '256k',
    '-mapping_family',
    '1',
    '-f',
    'ogg',
    'pipe:1',
  );
  const stream = await readOggOpus(source(file));
  assert.equal(stream.head.streams, 4);
  const packets = (await allPackets(stream)).map((packet, i) =>
    i < 50 ? packet : { ...packet, timeNs: packet.timeNs + 1e9 },
  );
  const made = await archived([webmOf(stream.tracks, packets)]);
  const name = path.join(folder, 'surround.webm');
  await writeFile(name, made.file);
  assert.equal(await probeComplaints(name), '');
  const channels = await decodeOpus(name, 6);
  for (const channel of channels) {
    assert.ok(levelDb(channel.subarray(48 * 1100, 48 * 1950)) < -90);
    assert.ok(levelDb(channel.subarray(48 * 2100, 48 * 2900)) > -60);
  }
});

test('a hole in Vorbis is left to an encoder, steps of its blocks are not', async () => {
  const vorbis = await ffmpeg(
    '-f',
    'lavfi',
    '-i',
    'anoisesrc=d=3:a=0.1:r=8000',
    '-c:a',
    'libvorbis',
    '-f',
    'webm',
    'pipe:1',
  );
  assert.equal((await archived([vorbis])).way, 'rewrap');
  const stream = await readWebm(source(vorbis));
  const packets = (await allPackets(stream)).map((packet) =>
    packet.timeNs < 1e9 ? packet : { ...packet, timeNs: packet.timeNs + 5e8 },
  );
  await assert.rejects(filled(stream.tracks, [packets]), (error) => {
    assert.ok(error instanceof Failure);
    assert.equal(error.code, 'unsupported-media');
    assert.match(error.message, /Vorbis with a hole before 1\.\d\d s/);
    return true;
  });
});

test('leaving closes the source', async () => {
  let closed = false;
  const packets: AsyncIterable<readonly Packet[]> = {
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) yield [opusPacket(0), opusPacket(9000)];
      } finally {
        closed = true;
      }
    },
  };
  for await (const batch of withoutHoles([OPUS_TRACK], packets)) {
    assert.ok(batch.length > 0);
    break;
  }
  assert.equal(closed, true);
});

async function* batchesOf(batches: readonly (readonly Packet[])[]): AsyncGenerator<readonly Packet[]> {
  yield* batches;
}

async function filled(
  tracks: readonly Track[],
  batches: readonly (readonly Packet[])[],
): Promise<(readonly Packet[])[]> {
  const found: (readonly Packet[])[] = [];
  for await (const batch of withoutHoles(tracks, batchesOf(batches))) found.push(batch);
  return found;
}

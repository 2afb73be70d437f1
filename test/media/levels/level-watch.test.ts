/** Levels of recordings as their packets pass: whatever way they take, whatever their frames are packed in, and whatever goes wrong. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fc } from '../../support/generated.ts';
import { type ChannelLevels, type Levels, parseLevels } from '../../../src/levels.ts';
import { LevelWatch } from '../../../src/media/levels/level-watch.ts';
import type { Packet, Track } from '../../../src/media/packet.ts';
import { readWebm } from '../../../src/media/webm/reader.ts';
import { levelDb } from '../../support/media/compare.ts';
import { decodeOpus, ffmpeg } from '../../support/media/ffmpeg.ts';
import { bytesOfFixture, pathOfFixture } from '../../support/media/fixtures.ts';
import { allClusters, make } from '../../support/media/made.ts';
import { allPackets, opusHead, OPUS_TRACK, source } from '../../support/media/packets.ts';
import { SPEECH_RATE, speechPcm } from '../../support/media/speech.ts';
import { SEED } from '../../support/soak.ts';

const folder = await mkdtemp(join(tmpdir(), 'level-watch-'));
after(() => rm(folder, { recursive: true }));

const LEFT = bytesOfFixture('dual-0.opus');
const RIGHT = bytesOfFixture('dual-1.opus');

async function madeOf(
  ...files: readonly Buffer[]
): Promise<{ readonly way: string; readonly levels: Levels; readonly webm: Buffer }> {
  const made = await make({ files });
  const clusters = await allClusters(made);
  const levels = parseLevels(made.levels()?.bytes ?? Buffer.alloc(0));
  assert.equal(made.levelsFault(), undefined);
  assert.ok(levels !== undefined);
  return { way: made.way, levels, webm: Buffer.concat([made.result().head, ...clusters]) };
}

function channelOf({ channels }: Levels, index: number): ChannelLevels {
  const channel = channels[index];
  assert.ok(channel !== undefined);
  return channel;
}

/** Root mean squares of the tenths of a second that libopus decodes, dB. */
async function heardIn(webm: Buffer, channels: number): Promise<readonly (readonly number[])[]> {
  const path = join(folder, 'heard.webm');
  await writeFile(path, webm);
  const sound = await decodeOpus(path, channels);
  return sound.map((plane) =>
    Array.from({ length: Math.floor(plane.length / 4800) }, (_, at) =>
      levelDb(plane.subarray(at * 4800, (at + 1) * 4800)),
    ),
  );
}

/** Tenths in which speech was found, or not, as the decoded sound is above or below -45 dB. */
function agreement({ speech, values }: ChannelLevels, heard: readonly number[]): number {
  const isSpoken = new Uint8Array(values.length);
  for (const { start, end } of speech) isSpoken.fill(1, start, end);
  return heard.filter((db, at) => (isSpoken[at] === 1) === isLoudNear(heard, at, db)).length / heard.length;
}

/** Pauses of less than 0.4 s belong to a turn. */
function isLoudNear(heard: readonly number[], at: number, db: number): boolean {
  if (db > -45) return true;
  const before = heard.slice(Math.max(0, at - 3), at).findLastIndex((each) => each > -45);
  const behind = heard.slice(at + 1, at + 4).findIndex((each) => each > -45);
  return before >= 0 && behind >= 0 && behind + Math.min(3, at) - before <= 3;
}

test('what is joined has the levels that each channel has alone', async () => {
  const joined = await madeOf(LEFT, RIGHT);
  assert.equal(joined.way, 'join');
  for (const [index, leg] of [LEFT, RIGHT].entries()) {
    const alone = channelOf((await madeOf(leg)).levels, 0);
    const { values, speech } = channelOf(joined.levels, index);
    const length = Math.min(values.length, alone.values.length) - 1;
    assert.ok(length > 890);
    assert.deepEqual(values.subarray(0, length), alone.values.subarray(0, length));
    assert.deepEqual(speech.slice(0, -1), alone.speech.slice(0, -1));
  }
});

test('who speaks when agrees with what libopus decodes, on both channels, joined and encoded', async () => {
  for (const { name, files } of [
    { name: 'join', files: [LEFT, RIGHT] },
    { name: 'rewrap', files: [bytesOfFixture('stereo.opus')] },
    { name: 'encode-audio', files: [bytesOfFixture('stereo-ulaw.wav')] },
  ]) {
    const { way, levels, webm } = await madeOf(...files);
    assert.equal(way, name);
    const heard = await heardIn(webm, 2);
    for (const [index, tenths] of heard.entries()) {
      const agreed = agreement(channelOf(levels, index), tenths);
      assert.ok(agreed >= 0.93, `${name} ${String(index)}: ${agreed.toFixed(3)}`);
    }
  }
});

test('a value stands for the tenth of a second that it is heard in, to its end', async () => {
  // Noise: of a pure tone the filter for pitch, which the levels pass over, may hold nearly all.
  const noise =
    "anoisesrc=c=white:a=0.3:seed=7:r=48000:d=2.5:nb_samples=480,volume='if(between(t,1,2),0.8,0)':eval=frame";
  const coding = ['-c:a', 'libopus', '-application', 'lowdelay', '-b:a', '64k'];
  const leg = await ffmpeg('-f', 'lavfi', '-i', noise, ...coding, '-f', 'ogg', 'pipe:1');
  const { values, speech } = channelOf((await madeOf(leg)).levels, 0);
  assert.equal(values.length, 25);
  for (const [tenth, value] of values.entries()) {
    if (tenth >= 10 && tenth < 20) assert.ok(value > 150, `tenth ${String(tenth)} is quiet: ${String(value)}`);
    if (tenth < 9 || tenth > 20) assert.ok(value < 60, `tenth ${String(tenth)} is loud: ${String(value)}`);
  }
  assert.equal(speech.length, 1);
  const [start = 0, end = 0] = [speech[0]?.start, speech[0]?.end];
  assert.ok(Math.abs(start - 10) <= 1 && Math.abs(end - 20) <= 1, `${String(start)} to ${String(end)}`);
});

/** Several frames in a packet: two of 20 ms, six of 20 ms, of unequal and of equal length, padded. */
const PACKINGS: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: '40 ms', args: ['-frame_duration', '40', '-application', 'audio', '-b:a', '64k'] },
  { name: '120 ms', args: ['-frame_duration', '120', '-application', 'audio', '-b:a', '64k'] },
  {
    name: '120 ms at a constant rate',
    args: ['-frame_duration', '120', '-application', 'audio', '-b:a', '64k', '-vbr', 'off'],
  },
  { name: '60 ms of SILK', args: ['-frame_duration', '60', '-application', 'voip', '-b:a', '16k', '-cutoff', '8000'] },
  { name: '2.5 ms', args: ['-frame_duration', '2.5', '-application', 'lowdelay', '-b:a', '64k'] },
];

for (const { name, args } of PACKINGS) {
  test(`packets of ${name} are taken apart, alone and joined`, async () => {
    const legs = await Promise.all(
      [1, 2].map(async (leg) => {
        const path = join(folder, `${String(leg)}-${name}.pcm`);
        await writeFile(path, speechPcm(SEED + leg, 8));
        const input = ['-f', 's16le', '-ar', String(SPEECH_RATE), '-ac', '1', '-i', path];
        return ffmpeg(...input, '-c:a', 'libopus', ...args, '-f', 'ogg', 'pipe:1');
      }),
    );
    const joined = await madeOf(...legs);
    assert.equal(joined.way, 'join');
    const heard = await heardIn(joined.webm, 2);
    for (const [index, leg] of legs.entries()) {
      const { values } = channelOf(joined.levels, index);
      const alone = channelOf((await madeOf(leg)).levels, 0).values;
      assert.deepEqual(values.subarray(0, 79), alone.subarray(0, 79));
      const offs = (heard[index] ?? []).flatMap((db, at) =>
        db > -40 ? [Math.abs(db - ((values[at] ?? 0) - 255) / 4)] : [],
      );
      assert.ok(offs.length > 20 && (offs.toSorted((a, b) => a - b)[offs.length >> 1] ?? 99) < 8, String(offs));
    }
  });
}

test('what is archived tells the same as what passed', async () => {
  const { levels, webm } = await madeOf(LEFT, RIGHT);
  const stream = await readWebm(source(webm));
  const watch = new LevelWatch(stream.tracks);
  watch.add(await allPackets(stream));
  const read = parseLevels(watch.levels(stream.durationMs ?? 0)?.bytes ?? Buffer.alloc(0));
  for (const [index, { values }] of levels.channels.entries()) {
    const again = channelOf(read ?? { channels: [] }, index).values;
    assert.equal(again.length, values.length);
    // Matroska rounds times to a millisecond.
    const differing = values.filter((value, at) => Math.abs(value - (again[at] ?? 0)) > 8);
    assert.ok(differing.length < values.length / 100, String(differing.length));
  }
});

test('pictures without sound, Vorbis and more than two channels have no levels, which is no fault', async () => {
  for (const bytes of [
    bytesOfFixture('screen-vp8-silent.webm'),
    await ffmpeg('-i', pathOfFixture('stereo-pcm.wav'), '-t', '2', '-c:a', 'libvorbis', '-f', 'webm', 'pipe:1'),
    await ffmpeg(
      '-i',
      pathOfFixture('stereo-pcm.wav'),
      '-t',
      '2',
      '-ac',
      '6',
      '-c:a',
      'libopus',
      '-f',
      'webm',
      'pipe:1',
    ),
  ]) {
    const made = await make({ files: [bytes] });
    await allClusters(made);
    assert.deepEqual([made.levels(), made.levelsFault()], [undefined, undefined]);
    assert.ok(made.result().packets > 0);
  }
});

function packetAt(timeNs: number, data: Buffer): Packet {
  return { track: 0, timeNs, data, keyframe: true, durationNs: 20_000_000, discardPaddingNs: undefined };
}

test('packets of any bytes, at any time, in any shape cost the levels at most', () => {
  const heads = [opusHead(1), opusHead(2), Buffer.concat([opusHead(2).subarray(0, 18), Buffer.from([1, 2, 0, 0, 1])])];
  const packets = fc.array(
    fc.record({ timeMs: fc.integer({ min: -1000, max: 200_000_000 }), bytes: fc.uint8Array({ maxLength: 120 }) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...heads), packets, (codecPrivate, list) => {
      const tracks: readonly Track[] = [{ ...OPUS_TRACK, codecPrivate, channels: 2 }];
      const watch = new LevelWatch(tracks);
      watch.add(list.map(({ timeMs, bytes }) => packetAt(timeMs * 1e6, Buffer.from(bytes))));
      const levels = watch.levels(3000);
      assert.ok(levels === undefined ? watch.fault instanceof RangeError : levels.bytes.length >= 20 + 30);
    }),
    { numRuns: 150, seed: SEED },
  );
});

test('a fault is kept, costs the levels, and is not run into twice', () => {
  const watch = new LevelWatch([OPUS_TRACK]);
  let asked = 0;
  const broken = {
    ...packetAt(0, Buffer.alloc(1)),
    get data(): Buffer {
      asked += 1;
      throw new TypeError('broken');
    },
  };
  watch.add([broken]);
  watch.add([broken]);
  assert.deepEqual([watch.levels(1000), watch.fault instanceof TypeError, asked], [undefined, true, 1]);
});

/** The level of Opus packets by their first symbols, held to what libopus decodes of them. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fc } from '../../support/generated.ts';
import { OpusLevel } from '../../../src/media/levels/opus-level.ts';
import { readOggOpus } from '../../../src/media/ogg/ogg-opus.ts';
import { packetSamples, parsePacket } from '../../../src/media/opus.ts';
import { levelDb } from '../../support/media/compare.ts';
import { decodeOpus, ffmpeg } from '../../support/media/ffmpeg.ts';
import { pathOfFixture } from '../../support/media/fixtures.ts';
import { oggOpus } from '../../support/media/ogg-write.ts';
import { allPackets, opusHead, source } from '../../support/media/packets.ts';
import { SPEECH_RATE, speechPcm } from '../../support/media/speech.ts';
import { SEED } from '../../support/soak.ts';

const folder = await mkdtemp(join(tmpdir(), 'opus-level-'));
const speech = join(folder, 'speech.pcm');
await writeFile(speech, speechPcm(SEED, 16));
after(() => rm(folder, { recursive: true }));

/** Nothing quieter is told apart by anybody, and line noise is not to decide. */
const FLOOR_DB = -60;

const RATE = 48_000;
/** Levels are compared by 100 ms; the shortest frame lasts 2.5 ms. */
const WINDOW = RATE / 10;
const STEP = RATE / 400;

interface FileLevels {
  /** Configuration numbers of its packets. */
  readonly configs: ReadonlySet<number>;
  /** Mean squares by channel and 2.5 ms. */
  readonly powers: readonly (readonly number[])[];
  readonly preSkip: number;
}

async function levelsOf(path: string): Promise<FileLevels> {
  const file = await readOggOpus(source(await readFile(path)));
  const level = new OpusLevel();
  const powers: [number[], number[]] = [[], []];
  const configs = new Set<number>();
  for (const { data } of await allPackets(file)) {
    const framing = parsePacket(data);
    assert.ok(framing !== undefined);
    configs.add(framing.toc >> 3);
    level.begin(framing.toc);
    const steps = (packetSamples(data) ?? 0) / framing.sizes.length / STEP;
    let at = framing.start;
    for (const size of framing.sizes) {
      level.read(data, at, at + size);
      at += size;
      for (let step = 0; step < steps; step += 1) {
        powers[0].push(level.left);
        powers[1].push(level.right);
      }
    }
  }
  return { configs, powers, preSkip: file.head.preSkip };
}

/** What was read and what libopus decodes, dB by window. */
async function compared(
  path: string,
  channel: number,
  channels: number,
): Promise<readonly (readonly [number, number])[]> {
  const { powers, preSkip } = await levelsOf(path);
  const sound = (await decodeOpus(path, channels))[channel] ?? new Float32Array();
  return Array.from({ length: Math.floor(sound.length / WINDOW) }, (_, index) => {
    const start = index * WINDOW;
    const read =
      powers[channel]?.slice(Math.round((start + preSkip) / STEP), Math.round((start + preSkip + WINDOW) / STEP)) ?? [];
    const power = read.reduce((sum, each) => sum + each, 0) / read.length;
    const heardDb = levelDb(sound.subarray(start, start + WINDOW));
    return [Math.max(FLOOR_DB, 10 * Math.log10(power + 1e-12)), Math.max(FLOOR_DB, heardDb)] as const;
  });
}

/** Pearson's. */
function correlation(pairs: readonly (readonly [number, number])[]): number {
  const mean = (side: 0 | 1): number => pairs.reduce((sum, pair) => sum + pair[side], 0) / pairs.length;
  const [a, b] = [mean(0), mean(1)];
  const sum = (of: (pair: readonly [number, number]) => number): number =>
    pairs.reduce((all, pair) => all + of(pair), 0);
  const both = sum(([x, y]) => (x - a) * (y - b));
  return both / Math.sqrt(sum(([x]) => (x - a) ** 2) * sum(([, y]) => (y - b) ** 2));
}

/** Mean of what was read less what was heard, where somebody is heard. */
function offsetDb(pairs: readonly (readonly [number, number])[]): number {
  const loud = pairs.filter(([, heard]) => heard > -45);
  assert.ok(loud.length > 20);
  return loud.reduce((sum, [read, heard]) => sum + read - heard, 0) / loud.length;
}

for (const { name, channel, channels, least } of [
  { name: 'dual-0.opus', channel: 0, channels: 1, least: 0.95 },
  { name: 'dual-1.opus', channel: 0, channels: 1, least: 0.93 },
  { name: 'stereo.opus', channel: 0, channels: 2, least: 0.96 },
  { name: 'stereo.opus', channel: 1, channels: 2, least: 0.96 },
]) {
  test(`the level of ${name}, channel ${String(channel)}, goes with what libopus decodes, by 100 ms`, async () => {
    const pairs = await compared(pathOfFixture(name), channel, channels);
    const r = correlation(pairs);
    assert.ok(r >= least, `r = ${r.toFixed(3)}`);
    assert.ok(Math.abs(offsetDb(pairs)) < 6, `${offsetDb(pairs).toFixed(1)} dB off`);
  });
}

interface Mode {
  readonly name: string;
  /** Configuration number (RFC 6716 table 2) that it is about: some packets may be of others, most are of this one. */
  readonly config: number;
  readonly args: readonly string[];
}

const tuned = (application: string, cutoff: number, args: readonly string[]): readonly string[] =>
  ['-application', application, '-cutoff', String(cutoff)].concat(args);
const voip = (cutoff: number, ...args: readonly string[]): readonly string[] => tuned('voip', cutoff, args);
const celt = (cutoff: number, ...args: readonly string[]): readonly string[] => tuned('lowdelay', cutoff, args);

const MODES: readonly Mode[] = [
  { name: 'SILK, narrow band, 10 ms', config: 0, args: voip(4000, '-b:a', '16k', '-frame_duration', '10') },
  { name: 'SILK, narrow band, 20 ms', config: 1, args: voip(4000, '-b:a', '12k') },
  { name: 'SILK, medium band, 20 ms', config: 5, args: voip(6000, '-b:a', '14k') },
  { name: 'SILK, wide band, 20 ms', config: 9, args: voip(8000, '-b:a', '20k') },
  { name: 'SILK, wide band, 40 ms', config: 10, args: voip(8000, '-b:a', '20k', '-frame_duration', '40') },
  { name: 'SILK, wide band, 60 ms', config: 11, args: voip(8000, '-b:a', '20k', '-frame_duration', '60') },
  { name: 'SILK at a constant rate', config: 9, args: voip(8000, '-b:a', '20k', '-vbr', 'off') },
  { name: 'SILK with redundant frames', config: 9, args: voip(8000, '-b:a', '24k', '-fec', '1', '-packet_loss', '20') },
  { name: 'hybrid, super-wide band', config: 13, args: voip(12_000, '-b:a', '28k') },
  { name: 'hybrid, full band, 10 ms', config: 14, args: voip(20_000, '-b:a', '40k', '-frame_duration', '10') },
  { name: 'hybrid, full band', config: 15, args: voip(20_000, '-b:a', '32k') },
  { name: 'CELT, narrow band', config: 19, args: celt(4000, '-b:a', '24k') },
  { name: 'CELT, wide band', config: 23, args: celt(8000, '-b:a', '32k') },
  { name: 'CELT, super-wide band', config: 27, args: celt(12_000, '-b:a', '32k') },
  { name: 'CELT, full band, 2.5 ms', config: 28, args: celt(20_000, '-b:a', '64k', '-frame_duration', '2.5') },
  { name: 'CELT, full band, 5 ms', config: 29, args: celt(20_000, '-b:a', '64k', '-frame_duration', '5') },
  { name: 'CELT, full band, 10 ms', config: 30, args: celt(20_000, '-b:a', '64k', '-frame_duration', '10') },
  { name: 'CELT at a constant rate', config: 31, args: celt(20_000, '-b:a', '48k', '-vbr', 'off') },
];

for (const [index, { name, config, args }] of MODES.entries()) {
  test(`the level of ${name} goes with what libopus decodes, by 100 ms`, async () => {
    const path = join(folder, `${String(index)}.opus`);
    const input = ['-f', 's16le', '-ar', String(SPEECH_RATE), '-ac', '1', '-i', speech];
    await writeFile(path, await ffmpeg(...input, '-c:a', 'libopus', ...args, '-f', 'ogg', 'pipe:1'));
    const pairs = await compared(path, 0, 1);
    const r = correlation(pairs);
    assert.ok(r >= 0.93, `r = ${r.toFixed(3)}`);
    assert.ok(Math.abs(offsetDb(pairs)) < 9, `${offsetDb(pairs).toFixed(1)} dB off`);
    assert.ok((await levelsOf(path)).configs.has(config), 'the encoder chose another mode');
  });
}

test('of two channels in SILK the middle is told, on both, to the end', async () => {
  const path = join(folder, 'coupled.opus');
  const mono = await readFile(speech);
  const both = Buffer.alloc(2 * mono.length);
  for (let at = 0; at < mono.length; at += 2) {
    both.writeInt16LE(mono.readInt16LE(at), 2 * at);
    both.writeInt16LE(Math.round(0.6 * mono.readInt16LE(at)), 2 * at + 2);
  }
  await writeFile(join(folder, 'both.pcm'), both);
  const input = ['-f', 's16le', '-ar', String(SPEECH_RATE), '-ac', '2', '-i', join(folder, 'both.pcm')];
  const coding = ['-c:a', 'libopus', ...voip(8000, '-b:a', '24k')];
  await writeFile(path, await ffmpeg(...input, ...coding, '-f', 'ogg', 'pipe:1'));
  assert.ok((await levelsOf(path)).configs.has(9), 'the encoder chose another mode');
  for (const channel of [0, 1]) {
    const r = correlation(await compared(path, channel, 2));
    assert.ok(r >= 0.93, `r = ${r.toFixed(3)}`);
  }
});

test('packets of one channel and of two, in turns, are told as they are decoded, on both channels', async () => {
  const path = join(folder, 'turns.opus');
  const input = ['-f', 's16le', '-ar', String(SPEECH_RATE), '-ac', '1', '-i', speech];
  const [mono = [], stereo = []] = await Promise.all(
    [1, 2].map(async (channels) => {
      const coding = ['-ac', String(channels), '-c:a', 'libopus', ...celt(20_000, '-b:a', '64k')];
      const file = await ffmpeg(...input, ...coding, '-f', 'ogg', 'pipe:1');
      return (await allPackets(await readOggOpus(source(file)))).map(({ data }) => data);
    }),
  );
  const packets = stereo.map((data, index) => (index % 30 < 15 ? data : (mono[index] ?? data)));
  const channelBits = new Set(packets.map((data) => (data[0] ?? 0) & 4));
  assert.deepEqual([...channelBits], [4, 0]);
  const pages = Array.from({ length: Math.ceil(packets.length / 50) }, (_, page) => ({
    packets: packets.slice(50 * page, 50 * (page + 1)),
    granule: Math.min(packets.length, 50 * (page + 1)) * 960,
    last: 50 * (page + 1) >= packets.length,
  }));
  await writeFile(path, oggOpus(pages, opusHead(2)));
  for (const channel of [0, 1]) {
    const r = correlation(await compared(path, channel, 2));
    assert.ok(r >= 0.93, `channel ${String(channel)}: r = ${r.toFixed(3)}`);
  }
  // Both channels hear the same, from the first packet of each turn on.
  const { powers } = await levelsOf(path);
  const apart = (powers[0] ?? []).map((left, at) =>
    Math.abs(10 * Math.log10((left + 1e-6) / ((powers[1]?.[at] ?? 0) + 1e-6))),
  );
  assert.ok(Math.max(...apart) < 6, `${Math.max(...apart).toFixed(1)} dB apart`);
});

function isTold(level: OpusLevel): boolean {
  return [level.left, level.right].every((power) => Number.isFinite(power) && power >= 0) && level.voice < 8;
}

test('whatever the bytes of a frame are, its level is a number, and is told at once', () => {
  const level = new OpusLevel();
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 300 }), (toc, bytes) => {
      level.begin(toc);
      level.read(bytes, 0, bytes.length);
      return isTold(level);
    }),
    { numRuns: 4000, seed: SEED },
  );
});

test('a frame that was cut, wherever, has a level, and reads nothing that lies outside of it', async () => {
  const packets = await allPackets(await readOggOpus(source(await readFile(pathOfFixture('stereo.opus')))));
  const some = packets.filter((_, index) => index % 60 === 0).map(({ data }) => data);
  for (const data of some) {
    for (let end = 1; end < data.length; end += 1) {
      const [level, alone] = [new OpusLevel(), new OpusLevel()];
      for (const each of [level, alone]) each.begin(data[0] ?? 0);
      level.read(data, 1, end);
      alone.read(Buffer.from(data.subarray(0, end)), 1, end);
      assert.ok(isTold(level));
      assert.deepEqual([level.left, level.right], [alone.left, alone.right]);
    }
  }
});

test('digital silence is silent, and lost frames fade', () => {
  const level = new OpusLevel();
  level.begin(0xf8);
  level.read(Uint8Array.of(0xff, 0xfe), 0, 2);
  assert.deepEqual([level.left, level.right], [0, 0]);
  level.begin(0x08);
  level.read(Uint8Array.of(0xb1, 0x3c, 0x52, 0x90, 0x11, 0x7e), 0, 6);
  const before = level.left;
  assert.ok(before > 0);
  level.read(Uint8Array.of(), 0, 0);
  assert.ok(level.left < before && level.voice === 0);
});

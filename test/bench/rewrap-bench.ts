/** Measures the CPU of re-wrapping and of joining an hour of Opus, and what of it goes into levels, in memory: `node test/bench/rewrap-bench.ts [minutes]`. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { withoutHoles } from '../../src/media/holes.ts';
import { LevelWatch } from '../../src/media/levels/level-watch.ts';
import { joinMono } from '../../src/media/ogg/join.ts';
import { readOggOpus } from '../../src/media/ogg/ogg-opus.ts';
import type { PacketStream } from '../../src/media/packet.ts';
import { WebmWriter } from '../../src/media/webm/writer.ts';
import { readWebm } from '../../src/media/webm/reader.ts';
import { oggOpus, type OpusPage } from '../support/media/ogg-write.ts';
import { allPackets, opusHead, source } from '../support/media/packets.ts';

const FIXTURES = path.join(import.meta.dirname, '../fixtures');
const CHUNK = 65_536;

/** The packets of a fixture over and over, 50 to a page, as libogg writes them. */
async function long(name: string, channels: 1 | 2, minutes: number): Promise<Buffer> {
  const packets = await allPackets(await readOggOpus(source(await readFile(path.join(FIXTURES, name)))));
  const pages: OpusPage[] = Array.from({ length: minutes * 60 }, (_, page) => ({
    packets: Array.from({ length: 50 }, (_, i) => packets[(page * 50 + i) % packets.length]?.data ?? Buffer.alloc(0)),
    granule: (page + 1) * 48_000,
    last: page === minutes * 60 - 1,
  }));
  return oggOpus(pages, opusHead(channels));
}

interface Cost {
  readonly cpuMs: number;
  /** Of that, levels. */
  readonly levelsMs: number;
  readonly packets: number;
  readonly outBytes: number;
  readonly headBytes: number;
}

async function cost(open: () => Promise<PacketStream>): Promise<Cost> {
  const before = process.cpuUsage();
  const stream = await open();
  const writer = new WebmWriter(stream.tracks);
  const watch = new LevelWatch(stream.tracks);
  let outBytes = 0;
  let levelsMs = 0;
  const listen = (work: () => unknown): void => {
    const since = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(since);
    levelsMs += (user + system) / 1000;
  };
  const packets = withoutHoles(stream.tracks, stream.packets);
  for await (const batch of packets) {
    listen(() => watch.add(batch));
    for (const cluster of writer.add(batch)) outBytes += cluster.length;
  }
  for (const cluster of writer.end()) outBytes += cluster.length;
  const { head } = writer.result();
  listen(() => watch.levels(writer.durationMs));
  const { user, system } = process.cpuUsage(before);
  return { cpuMs: (user + system) / 1000, levelsMs, packets: writer.packets, outBytes, headBytes: head.length };
}

const minutes = Number(process.argv[2] ?? 60);
const stereo = await long('stereo.opus', 2, minutes);
const channels = [await long('dual-0.opus', 1, minutes), await long('dual-1.opus', 1, minutes)] as const;
const { file } = await (async () => {
  const stream = await readOggOpus(source(stereo, CHUNK));
  const writer = new WebmWriter(stream.tracks);
  const clusters: Buffer[] = [];
  for await (const batch of stream.packets) clusters.push(...writer.add(batch));
  clusters.push(...writer.end());
  return { file: Buffer.concat([writer.result().head, ...clusters]) };
})();

const ways: Readonly<Record<string, () => Promise<Cost>>> = {
  'Ogg Opus, re-wrapped': () => cost(() => readOggOpus(source(stereo, CHUNK))),
  'WebM Opus, re-wrapped': () => cost(() => readWebm(source(file, CHUNK))),
  'two mono Ogg Opus, joined': () =>
    cost(async () =>
      joinMono(await readOggOpus(source(channels[0], CHUNK)), await readOggOpus(source(channels[1], CHUNK))),
    ),
};
for (const [name, way] of Object.entries(ways)) {
  const runs = [await way(), await way(), await way()];
  const best = runs.toSorted((a, b) => a.cpuMs - b.cpuMs)[0];
  console.log(`${minutes} min ${name}:`, { coldCpuMs: runs[0]?.cpuMs, ...best });
}

/** Re-wraps megabytes of packets of one byte each, in a process of its own: `node tiny-packets.ts KIND MEGABYTES`. Prints what it took. */
import { readOggOpus } from '../../../src/media/ogg/ogg-opus.ts';
import type { FileStream } from '../../../src/media/packet.ts';
import { readWebm } from '../../../src/media/webm/reader.ts';
import { WebmWriter } from '../../../src/media/webm/writer.ts';
import { oggOpus, oggPage } from './ogg-write.ts';
import { OPUS_TRACK, opusPacket, VP8_TRACK, videoPacket } from './packets.ts';

export type TinyKind = 'opus-in-webm' | 'pictures-in-webm' | 'opus-in-ogg';

export interface TinyResult {
  readonly packets: number;
  readonly clusters: number;
  /** In one Cluster, about. */
  readonly mostPackets: number;
}

/** Of the shortest Opus packet there is: 2.5 ms, decoded as if it was lost. */
const LOST = Buffer.from([0x80]);
const CHUNK = 65_536;

async function* chunks(kind: TinyKind, bytes: number): AsyncGenerator<Buffer> {
  if (kind === 'opus-in-ogg') yield* ogg(bytes);
  else yield* webm(kind, bytes);
}

/** One Cluster of unknown size, all of its blocks at the same time. */
function* webm(kind: TinyKind, bytes: number): Generator<Buffer> {
  const isSound = kind === 'opus-in-webm';
  const writer = new WebmWriter([isSound ? OPUS_TRACK : VP8_TRACK]);
  writer.add([isSound ? opusPacket(0) : videoPacket(0, true)]);
  yield writer.liveHead;
  yield Buffer.from('1f43b67501ffffffffffffffe78100', 'hex');
  const block = Buffer.concat([Buffer.from('a38581000080', 'hex'), LOST]);
  const chunk = Buffer.alloc(Math.floor(CHUNK / block.length) * block.length, block);
  for (let sent = 0; sent < bytes; sent += chunk.length) yield Buffer.from(chunk);
}

function* ogg(bytes: number): Generator<Buffer> {
  yield oggOpus([]);
  const packets = Array.from({ length: 255 }, () => LOST);
  for (let sequence = 2, sent = 0; sent < bytes; sequence += 1) {
    const page = oggPage({ packets, granule: (sequence - 1) * 255 * 120, sequence });
    yield page;
    sent += page.length;
  }
}

/** A block of one byte, head and all. */
const BLOCK_BYTES = 7;

async function rewrapTiny(kind: TinyKind, bytes: number): Promise<TinyResult> {
  const open = kind === 'opus-in-ogg' ? readOggOpus : readWebm;
  const stream: FileStream = await open(chunks(kind, bytes));
  const writer = new WebmWriter(stream.tracks);
  let [clusters, mostPackets] = [0, 0];
  for await (const batch of stream.packets) {
    for (const cluster of writer.add(batch)) {
      clusters += 1;
      mostPackets = Math.max(mostPackets, cluster.length / BLOCK_BYTES);
    }
  }
  writer.end();
  return { packets: writer.packets, clusters, mostPackets };
}

if (process.argv[1] === import.meta.filename) {
  const kind = process.argv[2];
  if (kind === 'opus-in-webm' || kind === 'pictures-in-webm' || kind === 'opus-in-ogg')
    console.log(JSON.stringify(await rewrapTiny(kind, Number(process.argv[3]) * 1e6)));
}

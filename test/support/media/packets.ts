/** Media in memory for tests: chunked sources, and packets and tracks to write. */
import type { AudioTrack, Packet, PacketStream, VideoTrack } from '../../../src/media/packet.ts';
import { WebmWriter } from '../../../src/media/webm/writer.ts';
import type { WebmResult } from '../../../src/media/webm/webm.ts';

/** The bytes in chunks of a size, as a socket would bring them. `closed` tells whether the reader left or finished it. */
export function source(bytes: Buffer, chunkSize = 4096): AsyncIterable<Buffer> & { readonly closed: boolean } {
  const state = { closed: false };
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (let at = 0; at < bytes.length; at += chunkSize) yield bytes.subarray(at, at + chunkSize);
      } finally {
        state.closed = true;
      }
    },
    get closed() {
      return state.closed;
    },
  };
}

export type BufferPacket = Omit<Packet, 'data'> & { readonly data: Buffer };

export async function allPackets(stream: PacketStream): Promise<BufferPacket[]> {
  const packets: Packet[] = [];
  for await (const batch of stream.packets) packets.push(...batch);
  return packets.map((packet) => ({ ...packet, data: asBuffer(packet.data) }));
}

/** The same bytes, to be compared and searched. */
export function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

/** The file and the live stream that the writer makes of a stream. */
export async function writeWebm(
  stream: PacketStream,
): Promise<{ readonly file: Buffer; readonly live: Buffer; readonly result: WebmResult }> {
  const writer = new WebmWriter(stream.tracks, { durationMs: stream.durationMs });
  const clusters: Buffer[] = [];
  for await (const batch of stream.packets) clusters.push(...writer.add(batch));
  clusters.push(...writer.end());
  const result = writer.result();
  return {
    file: Buffer.concat([result.head, ...clusters]),
    live: Buffer.concat([writer.liveHead, ...clusters]),
    result,
  };
}

/** OpusHead of mono or stereo, pre-skip 312. */
export function opusHead(channels: 1 | 2): Buffer {
  const bytes = Buffer.from('OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0', 'latin1');
  bytes.writeUInt8(channels, 9);
  return bytes;
}

export const OPUS_TRACK: AudioTrack = {
  kind: 'audio',
  codecId: 'A_OPUS',
  codecPrivate: opusHead(1),
  channels: 1,
  sampleRate: 48_000,
  codecDelayNs: 6_500_000,
  seekPreRollNs: 80_000_000,
};

export const VP8_TRACK: VideoTrack = {
  kind: 'video',
  codecId: 'V_VP8',
  codecPrivate: undefined,
  width: 320,
  height: 240,
  extra: undefined,
};

/** An Opus packet of 20 ms of silence at a time. */
export function opusPacket(timeMs: number, track = 0): Packet {
  return {
    track,
    timeNs: timeMs * 1e6,
    data: Buffer.from([0xf8, 0xff, 0xfe]),
    keyframe: true,
    durationNs: 20e6,
    discardPaddingNs: undefined,
  };
}

export function videoPacket(timeMs: number, keyframe: boolean, sizeBytes = 100): Packet {
  return {
    track: 0,
    timeNs: timeMs * 1e6,
    data: Buffer.alloc(sizeBytes, timeMs & 0xff),
    keyframe,
    durationNs: undefined,
    discardPaddingNs: undefined,
  };
}

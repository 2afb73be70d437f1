/** Opus packets and headers → what containers need to know of them (RFC 6716, RFC 7845). */

/** Samples per second of every Opus time, whatever was recorded (RFC 7845 §4). */
export const OPUS_RATE = 48_000;

/** What a player decodes ahead of a seek target (RFC 7845 §4.6). */
export const SEEK_PRE_ROLL_NS = 80_000_000;

/** No packet lasts longer: 120 ms (RFC 6716 §3.4, R5). */
export const MAX_PACKET_SAMPLES = 5760;

/** Samples per frame by configuration number: SILK, hybrid and CELT in all their bandwidths (RFC 6716 §3.1 table 2). */
const SILK = [480, 960, 1920, 2880];
const HYBRID = [480, 960];
export const CELT_FRAMES: readonly number[] = [120, 240, 480, 960];
const FRAME_SAMPLES: readonly number[] = [
  SILK,
  SILK,
  SILK,
  HYBRID,
  HYBRID,
  CELT_FRAMES,
  CELT_FRAMES,
  CELT_FRAMES,
  CELT_FRAMES,
].flat();

/** Nanoseconds of a number of samples, rounded. */
export function samplesToNs(samples: number): number {
  return Math.round((samples * 62_500) / 3);
}

/** Samples of a number of nanoseconds, rounded: the reverse of {@link samplesToNs}. */
export function nsToSamples(ns: number): number {
  return Math.round((ns * 3) / 62_500);
}

/** Samples of one frame of the packets that begin with this byte. */
export function frameSamples(toc: number): number {
  return FRAME_SAMPLES[toc >> 3] ?? 0;
}

/** Samples a packet decodes to; undefined where it is no valid packet (empty, no frame, longer than 120 ms). */
export function packetSamples(packet: Uint8Array): number | undefined {
  const toc = packet[0];
  return toc === undefined ? undefined : samplesByHead(toc, packet[1] ?? 0);
}

/** The same by a packet's first bytes; the second is 0 where there is none. */
export function samplesByHead(toc: number, second: number): number | undefined {
  const frame = frameSamples(toc);
  const code = toc & 3;
  if (code === 0) return frame;
  if (code < 3) return frame <= MAX_PACKET_SAMPLES / 2 ? frame * 2 : undefined;
  const samples = frame * (second & 63);
  return samples > 0 && samples <= MAX_PACKET_SAMPLES ? samples : undefined;
}

/** A packet's parts in the order they lie in it; every number counts bytes. */
export interface OpusFraming {
  readonly toc: number;
  /** 0 one frame, 1 two of equal length, 2 two, 3 any number (RFC 6716 §3.2). */
  readonly code: number;
  readonly sizes: readonly number[];
  /** First byte of the first frame. */
  readonly start: number;
  /** Padding at the end, without the bytes that tell its length. */
  readonly padding: number;
}

/** Whether a packet keeps the rules of RFC 6716 §3.4. */
export function isValidPacket(packet: Uint8Array): boolean {
  const toc = packet[0];
  // Most hold one frame, and there is nothing to take apart.
  if (toc !== undefined && isOneFrame(toc)) return !isNoFrameSize(packet.length - 1);
  return parsePacket(packet) !== undefined;
}

/** Code 0, by a packet's first byte: the frame is all that follows it. */
export function isOneFrame(toc: number): boolean {
  return (toc & 3) === 0;
}

/** Takes a packet apart; undefined where it breaks a rule of RFC 6716 §3.4. */
export function parsePacket(packet: Uint8Array): OpusFraming | undefined {
  const toc = packet[0];
  if (toc === undefined || packetSamples(packet) === undefined) return undefined;
  const framing = parseFrames(packet, toc);
  return framing === undefined || framing.sizes.some(isNoFrameSize) ? undefined : framing;
}

/** No frame is longer than 1275 bytes (R2). */
export function isNoFrameSize(size: number): boolean {
  return size < 0 || size > 1275;
}

function parseFrames(packet: Uint8Array, toc: number): OpusFraming | undefined {
  const code = toc & 3;
  if (code === 0) return { toc, code, sizes: [packet.length - 1], start: 1, padding: 0 };
  if (code === 1) {
    const size = (packet.length - 1) / 2;
    return Number.isInteger(size) ? { toc, code, sizes: [size, size], start: 1, padding: 0 } : undefined;
  }
  if (code === 2) {
    const first = readLength(packet, 1);
    if (first === undefined) return undefined;
    return { toc, code, sizes: [first.size, packet.length - first.next - first.size], start: first.next, padding: 0 };
  }
  return parseCode3(packet, toc);
}

function parseCode3(packet: Uint8Array, toc: number): OpusFraming | undefined {
  const info = packet[1];
  if (info === undefined) return undefined;
  const count = info & 63;
  const pad = (info & 64) === 0 ? { padding: 0, next: 2 } : readPadding(packet, 2);
  if (pad === undefined) return undefined;
  const end = packet.length - pad.padding;
  if ((info & 128) === 0) {
    const size = (end - pad.next) / count;
    if (!Number.isInteger(size)) return undefined;
    return { toc, code: 3, sizes: Array.from({ length: count }, () => size), start: pad.next, padding: pad.padding };
  }
  const sizes: number[] = [];
  let at = pad.next;
  let left = end;
  while (sizes.length < count - 1) {
    const length = readLength(packet, at);
    if (length === undefined) return undefined;
    sizes.push(length.size);
    left -= length.size;
    at = length.next;
  }
  return { toc, code: 3, sizes: [...sizes, left - at], start: at, padding: pad.padding };
}

/** A packet whose end its own bytes tell, and how many those are. */
export interface SelfDelimited {
  readonly framing: OpusFraming;
  readonly sizeBytes: number;
}

/** The reverse of {@link writeSelfDelimited}: the packet that `bytes` begin with; undefined where there is none. */
export function parseSelfDelimited(bytes: Uint8Array): SelfDelimited | undefined {
  const toc = bytes[0];
  if (toc === undefined || packetSamples(bytes) === undefined) return undefined;
  const code = toc & 3;
  const info = code === 3 ? (bytes[1] ?? 0) : 0;
  const pad = code < 3 ? AT_FIRST : (info & 64) === 0 ? AT_SECOND : readPadding(bytes, 2);
  if (pad === undefined) return undefined;
  const count = code === 3 ? info & 63 : Math.min(code + 1, 2);
  // Frames of equal length share one.
  const isEqual = code === 1 || (code === 3 && (info & 128) === 0);
  const lengths = readLengths(bytes, pad.next, isEqual ? 1 : count);
  if (lengths === undefined || lengths.sizes.some(isNoFrameSize)) return undefined;
  const sizes = isEqual ? Array.from({ length: count }, () => lengths.sizes[0] ?? 0) : lengths.sizes;
  const sizeBytes = sizes.reduce((sum, size) => sum + size, lengths.next + pad.padding);
  if (sizeBytes > bytes.length) return undefined;
  return { framing: { toc, code, sizes, start: lengths.next, padding: pad.padding }, sizeBytes };
}

const AT_FIRST = { padding: 0, next: 1 };
const AT_SECOND = { padding: 0, next: 2 };

function readLengths(
  bytes: Uint8Array,
  at: number,
  count: number,
): { readonly sizes: readonly number[]; readonly next: number } | undefined {
  const sizes: number[] = [];
  let next = at;
  while (sizes.length < count) {
    const length = readLength(bytes, next);
    if (length === undefined) return undefined;
    sizes.push(length.size);
    next = length.next;
  }
  return { sizes, next };
}

/** Frame length in one or two bytes (RFC 6716 §3.2.1). */
function readLength(packet: Uint8Array, at: number): { readonly size: number; readonly next: number } | undefined {
  const first = packet[at];
  if (first === undefined) return undefined;
  if (first < 252) return { size: first, next: at + 1 };
  const second = packet[at + 1];
  return second === undefined ? undefined : { size: second * 4 + first, next: at + 2 };
}

/** Padding length in any number of bytes, 255 meaning 254 and more to come (RFC 6716 §3.2.5). */
function readPadding(
  packet: Uint8Array,
  offset: number,
): { readonly padding: number; readonly next: number } | undefined {
  let padding = 0;
  for (let at = offset; at < packet.length; at += 1) {
    const byte = packet[at] ?? 0;
    if (byte !== 255) return { padding: padding + byte, next: at + 1 };
    padding += 254;
  }
  return undefined;
}

/** Bytes {@link writeSelfDelimited} adds to a packet at most: the length of its last frame. */
export const SELF_DELIMITING_BYTES = 2;

/**
 * Writes a packet so that its end can be told without its length (RFC 6716 appendix B): the length of the last frame (codes 1
 * and 3 CBR: of every frame) goes where the other lengths end. Returns the offset behind it, undefined for an invalid packet.
 */
export function writeSelfDelimited(target: Uint8Array, offset: number, packet: Uint8Array): number | undefined {
  if (!isValidPacket(packet)) return undefined;
  const framing = isOneFrame(packet[0] ?? 0) ? undefined : parsePacket(packet);
  const start = framing?.start ?? 1;
  const size = framing?.sizes.at(-1) ?? packet.length - 1;
  // All of it behind the place of the length; what belongs in front of that is written again.
  target.set(packet, offset + lengthBytes(size));
  for (let index = 0; index < start; index += 1) target[offset + index] = packet[index] ?? 0;
  return writeLength(target, offset + start, size) + packet.length - start;
}

function lengthBytes(size: number): number {
  return size < 252 ? 1 : 2;
}

/** Frame length, in one or two bytes (RFC 6716 §3.2.1). Returns the offset behind it. */
export function writeLength(target: Uint8Array, offset: number, size: number): number {
  const first = size < 252 ? size : 252 + (size & 3);
  target[offset] = first;
  if (first < 252) return offset + 1;
  target[offset + 1] = (size - first) / 4;
  return offset + 2;
}

/** The identification header (RFC 7845 §5.1), which Matroska keeps as CodecPrivate. */
export interface OpusHead {
  readonly channels: number;
  /** Samples at 48 kHz to drop from the start of the decoder's output. */
  readonly preSkip: number;
  /** Of the original, for information; 0 where unknown. */
  readonly inputSampleRate: number;
  /** Q7.8 dB, to be applied by the decoder. */
  readonly outputGain: number;
  /** 0 mono or stereo, 1 Vorbis order, 255 no meaning. */
  readonly mappingFamily: number;
  readonly streams: number;
  readonly coupled: number;
  /** Decoded channel each output channel is taken from. */
  readonly mapping: readonly number[];
}

/** Undefined where it is no OpusHead of a known version, or contradicts itself. */
export function parseOpusHead(bytes: Buffer): OpusHead | undefined {
  if (bytes.length < 19 || bytes.toString('latin1', 0, 8) !== 'OpusHead') return undefined;
  // The upper four bits are the major version: only 0 is known (RFC 7845 §5.1).
  if (bytes.readUInt8(8) >= 16) return undefined;
  const channels = bytes.readUInt8(9);
  const mappingFamily = bytes.readUInt8(18);
  const fixed = {
    channels,
    preSkip: bytes.readUInt16LE(10),
    inputSampleRate: bytes.readUInt32LE(12),
    outputGain: bytes.readInt16LE(16),
    mappingFamily,
  };
  if (mappingFamily === 0) {
    if (channels < 1 || channels > 2) return undefined;
    return { ...fixed, streams: 1, coupled: channels - 1, mapping: channels === 1 ? [0] : [0, 1] };
  }
  return withMapping(fixed, bytes.subarray(19));
}

type Fixed = Omit<OpusHead, 'streams' | 'coupled' | 'mapping'>;

function withMapping(fixed: Fixed, table: Buffer): OpusHead | undefined {
  const [streams, coupled] = table;
  const mapping = [...table.subarray(2, 2 + fixed.channels)];
  if (streams === undefined || coupled === undefined || mapping.length !== fixed.channels) return undefined;
  if (streams === 0 || fixed.channels === 0 || coupled > streams || streams + coupled > 255) return undefined;
  if (mapping.some((index) => index !== 255 && index >= streams + coupled)) return undefined;
  return { ...fixed, streams, coupled, mapping };
}

/** Whether a decoder set up for one plays the other as well, at its level; pre-skips may differ. */
export function isSameShape(a: OpusHead, b: OpusHead): boolean {
  return a.outputGain === b.outputGain && isSameMapping(a, b);
}

function isSameMapping(a: OpusHead, b: OpusHead): boolean {
  return (
    a.channels === b.channels &&
    a.mappingFamily === b.mappingFamily &&
    a.streams === b.streams &&
    a.coupled === b.coupled &&
    a.mapping.every((index, channel) => index === b.mapping[channel])
  );
}

/** Whether a decoder set up for `head` gives all of the other's channels, their gains aside: one for stereo plays mono on both sides. */
export function canDecode(head: OpusHead, other: OpusHead): boolean {
  const isStereo = head.mappingFamily === 0 && head.channels === 2;
  return isSameMapping(head, other) || (isStereo && other.mappingFamily === 0);
}

/** The header's bytes, version 1. */
export function opusHeadBytes(head: OpusHead): Buffer {
  const bytes = Buffer.alloc(19);
  bytes.write('OpusHead', 'latin1');
  bytes.writeUInt8(1, 8);
  bytes.writeUInt8(head.channels, 9);
  bytes.writeUInt16LE(head.preSkip, 10);
  bytes.writeUInt32LE(head.inputSampleRate, 12);
  bytes.writeInt16LE(head.outputGain, 16);
  bytes.writeUInt8(head.mappingFamily, 18);
  if (head.mappingFamily === 0) return bytes;
  return Buffer.concat([bytes, Buffer.from([head.streams, head.coupled, ...head.mapping])]);
}

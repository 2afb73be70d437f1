/** EBML elements (RFC 8794) ↔ bytes: the alphabet of WebM, without its grammar. */
import { Failure } from '../../failure.ts';

/** Element ids as they stand in the file, marker bits included (RFC 8794 §11.2, RFC 9559 §5). */
export const ID = {
  EBML: 0x1a45dfa3,
  EBMLVersion: 0x4286,
  EBMLReadVersion: 0x42f7,
  EBMLMaxIDLength: 0x42f2,
  EBMLMaxSizeLength: 0x42f3,
  DocType: 0x4282,
  DocTypeVersion: 0x4287,
  DocTypeReadVersion: 0x4285,
  Void: 0xec,
  CRC32: 0xbf,
  Segment: 0x18538067,
  SeekHead: 0x114d9b74,
  Seek: 0x4dbb,
  SeekID: 0x53ab,
  SeekPosition: 0x53ac,
  Info: 0x1549a966,
  TimestampScale: 0x2ad7b1,
  Duration: 0x4489,
  MuxingApp: 0x4d80,
  WritingApp: 0x5741,
  Tracks: 0x1654ae6b,
  TrackEntry: 0xae,
  TrackNumber: 0xd7,
  TrackUID: 0x73c5,
  TrackType: 0x83,
  FlagLacing: 0x9c,
  DefaultDuration: 0x23e383,
  TrackTimestampScale: 0x23314f,
  Language: 0x22b59c,
  CodecID: 0x86,
  CodecPrivate: 0x63a2,
  CodecDelay: 0x56aa,
  SeekPreRoll: 0x56bb,
  ContentEncodings: 0x6d80,
  Audio: 0xe1,
  SamplingFrequency: 0xb5,
  Channels: 0x9f,
  BitDepth: 0x6264,
  Video: 0xe0,
  PixelWidth: 0xb0,
  PixelHeight: 0xba,
  Cues: 0x1c53bb6b,
  CuePoint: 0xbb,
  CueTime: 0xb3,
  CueTrackPositions: 0xb7,
  CueTrack: 0xf7,
  CueClusterPosition: 0xf1,
  Cluster: 0x1f43b675,
  Timestamp: 0xe7,
  SimpleBlock: 0xa3,
  BlockGroup: 0xa0,
  Block: 0xa1,
  BlockDuration: 0x9b,
  ReferenceBlock: 0xfb,
  DiscardPadding: 0x75a2,
  Tags: 0x1254c367,
  Attachments: 0x1941a469,
  Chapters: 0x1043a770,
} as const;

/** Elements that may stand between Clusters: where a Cluster has no size, one of them ends it. */
export const SEGMENT_LEVEL: ReadonlySet<number> = new Set([
  ID.Cluster,
  ID.Cues,
  ID.Tags,
  ID.SeekHead,
  ID.Info,
  ID.Tracks,
  ID.Attachments,
  ID.Chapters,
]);

/** Damage at a byte of the media: permanent, because the same bytes will be read again. */
export function damagedWebm(offset: number, what: string): Failure {
  return new Failure('unreadable-media', `The WebM is damaged at byte ${offset}: ${what}.`);
}

// ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** An element of known size, its content given in parts. */
export function element(id: number, ...content: readonly Buffer[]): Buffer {
  const size = content.reduce((sum, part) => sum + part.length, 0);
  const { bytes, at } = beginElement(id, size);
  let end = at;
  for (const part of content) end += part.copy(bytes, end);
  return bytes;
}

/** Room for an element, its id and size written; its content begins at `at`. */
function beginElement(id: number, size: number): { readonly bytes: Buffer; readonly at: number } {
  const [idLength, sizeLength] = [idWidth(id), sizeWidth(size)];
  const bytes = Buffer.allocUnsafe(idLength + sizeLength + size);
  writeUint(bytes, 0, id, idLength);
  return { bytes, at: writeSize(bytes, idLength, size, sizeLength) };
}

/** Unsigned integer in as few bytes as it needs, or in exactly `width` where others count on its length. */
export function uintElement(id: number, value: number, width = uintWidth(value)): Buffer {
  const { bytes, at } = beginElement(id, width);
  writeUint(bytes, at, value, width);
  return bytes;
}

/** Signed integer, eight bytes (RFC 8794 §7.1). */
export function sintElement(id: number, value: number): Buffer {
  const { bytes, at } = beginElement(id, 8);
  bytes.writeBigInt64BE(BigInt(value), at);
  return bytes;
}

/** Double precision (RFC 8794 §7.3). */
export function floatElement(id: number, value: number): Buffer {
  const { bytes, at } = beginElement(id, 8);
  bytes.writeDoubleBE(value, at);
  return bytes;
}

export function textElement(id: number, value: string): Buffer {
  return element(id, Buffer.from(value, 'utf8'));
}

export function idBytes(id: number): Buffer {
  const bytes = Buffer.allocUnsafe(idWidth(id));
  writeUint(bytes, 0, id, bytes.length);
  return bytes;
}

/** Length of an id in the file. */
function idWidth(id: number): number {
  return uintWidth(id);
}

/** Bytes of the shortest data size field that can say `size`; all ones is kept for "unknown" (RFC 8794 §6.2). */
export function sizeWidth(size: number): number {
  if (size < 0x7f) return 1;
  if (size < 0x3fff) return 2;
  let width = 3;
  while (size >= 2 ** (7 * width) - 1) width += 1;
  return width;
}

/** Data size field, in `width` bytes where its length must not depend on the value. */
export function sizeBytes(size: number, width = sizeWidth(size)): Buffer {
  const bytes = Buffer.alloc(width);
  writeSize(bytes, 0, size, width);
  return bytes;
}

/** Writes a data size field of `width` bytes into `target`; returns the offset behind it. */
export function writeSize(target: Buffer, offset: number, size: number, width: number): number {
  let rest = size;
  for (let i = width - 1; i > 0; i -= 1) {
    target[offset + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  target[offset] = rest | (0x100 >> width);
  return offset + width;
}

/** The eight-byte size field that means "unknown". */
export const UNKNOWN_SIZE: Buffer = Buffer.from([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);

/** Bytes an unsigned integer needs, at least one. */
export function uintWidth(value: number): number {
  let width = 1;
  while (value >= 2 ** (8 * width)) width += 1;
  return width;
}

function writeUint(target: Buffer, offset: number, value: number, width: number): void {
  let rest = value;
  for (let i = width - 1; i >= 0; i -= 1) {
    target[offset + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

// ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

export interface ElementHead {
  readonly id: number;
  /** Content bytes; undefined means "unknown" (RFC 8794 §6.2). */
  readonly size: number | undefined;
  /** Bytes of id and size together. */
  readonly headLength: number;
}

/**
 * The element that begins at `at`; undefined where `bytes` ends too early to tell. `base` is the absolute offset of `bytes`,
 * for the message. @throws Failure `unreadable-media`
 */
export function readHead(bytes: Buffer, at: number, base: number): ElementHead | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  const idLength = Math.clz32(first) - 23;
  if (idLength > 4) throw damagedWebm(base + at, 'no element begins here');
  const sizeFirst = bytes[at + idLength];
  if (sizeFirst === undefined) return undefined;
  const sizeLength = Math.clz32(sizeFirst) - 23;
  if (sizeLength > 8) throw damagedWebm(base + at + idLength, 'no element size stands here');
  const headLength = idLength + sizeLength;
  if (at + headLength > bytes.length) return undefined;
  const id = idLength === 1 ? first : bytes.readUIntBE(at, idLength);
  return { id, size: readVint(bytes, at + idLength, sizeLength, base), headLength };
}

/** Value of a variable-length integer of known length; undefined where all its bits are ones. */
export function readVint(bytes: Buffer, at: number, length: number, base: number): number | undefined {
  let value = (bytes[at] ?? 0) & (0xff >> length);
  if (length === 1) return value === 0x7f ? undefined : value;
  let ones = value === 0xff >> length;
  for (let i = 1; i < length; i += 1) {
    const byte = bytes[at + i] ?? 0;
    ones &&= byte === 0xff;
    value = value * 256 + byte;
  }
  if (ones) return undefined;
  if (value > Number.MAX_SAFE_INTEGER) throw damagedWebm(base + at, 'an element claims an impossible size');
  return value;
}

/** What lies inside an element, wholly in memory. */
export interface Content {
  readonly content: Buffer;
  /** Absolute offset of its first byte, for messages. */
  readonly offset: number;
}

export interface Child extends Content {
  readonly id: number;
  /** The whole element, its head included. */
  readonly whole: Buffer;
}

/** Tracks, blocks and their like have a dozen. */
const MAX_CHILDREN = 1000;

/** The children of a master element that is wholly in memory. @throws Failure `unreadable-media` */
export function* childrenOf({ content: bytes, offset: base }: Content): Generator<Child> {
  let at = 0;
  for (let count = 0; at < bytes.length; count += 1) {
    if (count === MAX_CHILDREN) throw damagedWebm(base + at, `an element holds more than ${MAX_CHILDREN} others`);
    const head = readHead(bytes, at, base);
    const end = at + (head?.headLength ?? 0) + (head?.size ?? Number.POSITIVE_INFINITY);
    if (head === undefined || end > bytes.length) throw damagedWebm(base + at, 'an element reaches beyond its parent');
    const start = at + head.headLength;
    yield {
      id: head.id,
      content: bytes.subarray(start, end),
      offset: base + start,
      whole: bytes.subarray(at, end),
    };
    at = end;
  }
}

/** @throws Failure `unreadable-media` where it is no integer of at most eight bytes below 2^53. */
export function readUint(child: Content): number {
  let value = 0;
  for (const byte of child.content) value = value * 256 + byte;
  if (child.content.length > 8 || value > Number.MAX_SAFE_INTEGER) {
    throw damagedWebm(child.offset, 'an integer is out of range');
  }
  return value;
}

/** @throws Failure `unreadable-media` */
export function readSint(child: Content): number {
  const { content } = child;
  if (content.length === 0) return 0;
  if (content.length > 8) throw damagedWebm(child.offset, 'an integer is out of range');
  const wide = Buffer.alloc(8, (content[0] ?? 0) >= 0x80 ? 0xff : 0);
  content.copy(wide, 8 - content.length);
  const value = Number(wide.readBigInt64BE());
  if (!Number.isSafeInteger(value)) throw damagedWebm(child.offset, 'an integer is out of range');
  return value;
}

/** @throws Failure `unreadable-media` where it is neither 0, 4 nor 8 bytes, or not a finite number. */
export function readFloat(child: Content): number {
  const { content } = child;
  const value = content.length === 8 ? content.readDoubleBE() : content.length === 4 ? content.readFloatBE() : 0;
  if (![0, 4, 8].includes(content.length) || !Number.isFinite(value)) {
    throw damagedWebm(child.offset, 'a number is out of range');
  }
  return value;
}

/** Text up to the first NUL (RFC 8794 §7.4). */
export function readUtf8(child: Content): string {
  const end = child.content.indexOf(0);
  return child.content.toString('utf8', 0, end === -1 ? child.content.length : end);
}

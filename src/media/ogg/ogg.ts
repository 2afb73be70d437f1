/** The bytes of an Ogg file, as they come in → pages of sound and pictures with the packets that end on them (RFC 3533). */
import { Failure } from '../../failure.ts';
import { KeptBytes } from '../kept-bytes.ts';
import type { Parser } from '../batches.ts';
import { ID3_HEADER_BYTES, id3Bytes } from '../id3.ts';
import { MediaTail } from '../tail.ts';

/** Packets one behind the other: there are so many of them that a view of each costs as much as to read it. */
export interface LacedPackets {
  readonly bytes: Uint8Array;
  /** Where each of them begins, and where the last one ends. */
  readonly edges: readonly number[];
}

/** One of them; no Buffer, whose views take twice as long to make. */
export function viewOf({ bytes, edges }: LacedPackets, index: number): Uint8Array {
  const start = edges[index] ?? 0;
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, (edges[index + 1] ?? start) - start);
}

export function viewsOf(packets: LacedPackets): readonly Uint8Array[] {
  return packets.edges.slice(1).map((_end, index) => viewOf(packets, index));
}

export interface OggPage {
  /** Absolute offset of the page, for messages. */
  readonly offset: number;
  readonly serial: number;
  /** First page of a logical stream: one at the start of a link for each stream side by side, more where links are chained. */
  readonly isFirst: boolean;
  /** Marked as the last of its logical stream, and none of it follows. */
  readonly isLast: boolean;
  /** What it means is the codec's business; -1 where no packet ends on the page. */
  readonly granule: number;
  /** The packets that end here, whole, whichever page they began on. */
  readonly packets: LacedPackets;
  /** All of the page. */
  readonly bytes: Buffer;
}

/** Fixed part of a page's header. */
const HEADER = 27;

const CAPTURE = 0x4f676753;
const CAPTURE_BYTES = Buffer.from('OggS');

/** Comments may hold a picture; an Opus packet cannot come near it. */
const MAX_PACKET_BYTES = 16 * 1024 * 1024;

/** Sound, pictures, what describes them: recordings have two or three; a thousand is an attack. */
const MAX_STREAMS = 8;

/** First bytes of streams that say something about the others and cannot be seen or heard: Skeleton, CMML, Kate. */
const DESCRIPTIONS = ['fishead\0', 'CMML\0\0\0\0', '\x80kate\0\0\0'];

/** Damage at a byte of the media: permanent, because the same bytes will be read again. */
export function damagedOgg(offset: number, what: string): Failure {
  return new Failure('unreadable-media', `The Ogg stream is damaged at byte ${offset}: ${what}.`);
}

const NO_PAGE = 'no page begins here';

const NO_PACKETS: LacedPackets = { bytes: Buffer.alloc(0), edges: [0] };

/** One logical stream of the link that is being read. */
class LogicalStream {
  /** Sound or pictures. */
  readonly isMedia: boolean;
  sequence: number;
  /** Its last page so far was marked as its last one. */
  hasEndMark = false;
  /** The page that was marked: whether it is the last one, the next page tells. */
  held: OggPage | undefined;
  /** Of a packet that goes on on the next page. */
  unfinished: Buffer[] = [];
  #unfinishedBytes = 0;

  constructor(isMedia: boolean, sequence: number) {
    this.isMedia = isMedia;
    this.sequence = sequence;
  }

  packetsOf(page: Buffer, offset: number): LacedPackets {
    const segments = page.readUInt8(26);
    const continues = (page.readUInt8(5) & 1) !== 0;
    if (segments > 0 && continues !== this.unfinished.length > 0) {
      throw damagedOgg(offset, continues ? 'a packet is continued that never began' : 'a packet is not continued');
    }
    const start = HEADER + segments;
    const edges = [start];
    let end = start;
    for (let i = HEADER; i < start; i += 1) {
      const lace = page[i] ?? 0;
      end += lace;
      if (lace < 255) edges.push(end);
    }
    const packets = edges.length > 1 ? this.#finish(page, edges) : NO_PACKETS;
    if (segments > 0 && page[start - 1] === 255) this.#keep(page.subarray(edges.at(-1), end), offset);
    return packets;
  }

  /** Puts what came before in front of the first packet. */
  #finish(page: Buffer, edges: readonly number[]): LacedPackets {
    if (this.unfinished.length === 0) return { bytes: page, edges };
    const [start = 0, ...ends] = edges;
    const bytes = Buffer.concat([...this.unfinished, page.subarray(start, edges.at(-1))]);
    const shift = this.#unfinishedBytes - start;
    this.unfinished = [];
    this.#unfinishedBytes = 0;
    return { bytes, edges: [0, ...ends.map((end) => end + shift)] };
  }

  #keep(part: Buffer, offset: number): void {
    this.unfinished.push(part);
    this.#unfinishedBytes += part.length;
    if (this.#unfinishedBytes > MAX_PACKET_BYTES) throw damagedOgg(offset, 'a packet is larger than any can be');
  }
}

/**
 * Reads one logical stream or several side by side (multiplexed), and such links one after the other (chained). The checksum
 * and the number of every page are verified; pages of streams that only describe others are not handed out, nor is what stands
 * in front of the first page (ID3v2 tags) or behind the last.
 * `push` and `end` throw Failure `unreadable-media` for damage and lost pages, `incomplete` for an early end, both with the
 * byte offset, and `unsupported-media` for more streams than a recording has.
 */
export class OggParser implements Parser<OggPage> {
  /** Streams of sound and pictures in the link that is being read; complete behind its first pages. */
  mediaStreams = 0;
  readonly #backlog = new KeptBytes();
  #need = HEADER;
  /** Bytes of a tag in front that are still to come. */
  #skip = 0;
  #sawPage = false;
  /** Of the link that is being read, by serial number. */
  #streams = new Map<number, LogicalStream>();
  /** A link begins with the first pages of all its streams (RFC 3533 §4). */
  #isBeginning = false;
  #isCut = false;
  #tail: MediaTail | undefined;

  /**
   * Whether the last page of every stream of sound or pictures so far was marked as the last. A file without the mark may have
   * been cut between two pages.
   */
  get hasEndMark(): boolean {
    return this.#media.length > 0 && !this.#isCut && this.#media.every(({ hasEndMark }) => hasEndMark);
  }

  get #media(): readonly LogicalStream[] {
    return [...this.#streams.values()].filter(({ isMedia }) => isMedia);
  }

  push(chunk: Buffer): readonly OggPage[] {
    const pages: OggPage[] = [];
    this.#backlog.add(chunk);
    if (this.#backlog.length < this.#need) return pages;
    const bytes = this.#backlog.bytes();
    let at = 0;
    for (let used = 1; used > 0; at += used) used = this.#step(bytes, at, pages);
    this.#backlog.consume(at);
    return pages;
  }

  end(): readonly OggPage[] {
    const { offset, length } = this.#backlog;
    const at = offset + length;
    if (length > 0 && !this.#takesAsTail(this.#backlog.bytes())) {
      throw new Failure('incomplete', `The Ogg stream ends at byte ${at}, in the middle of a page.`);
    }
    if (!this.#sawPage || this.#media.some(({ unfinished }) => unfinished.length > 0)) {
      throw new Failure('incomplete', `The Ogg stream ends at byte ${at}, in the middle of a packet.`);
    }
    return heldPages(this.#media);
  }

  /** Handles what begins at `at`; returns the bytes used, 0 where more are needed first. */
  #step(bytes: Buffer, at: number, pages: OggPage[]): number {
    const offset = this.#backlog.offset + at;
    const rest = bytes.length - at;
    if (this.#skip > 0) return this.#pass(Math.min(this.#skip, rest));
    if (this.#tail !== undefined) return this.#passTail(this.#tail, bytes.subarray(at));
    // All that may begin here can be told by as much, and at the very end without.
    if (rest < ID3_HEADER_BYTES) return this.#wait(HEADER);
    if (bytes.readUInt32BE(at) !== CAPTURE) return this.#stepOutside(bytes, at);
    const size = pageSize(bytes, at, this.#backlog.offset);
    if (size > rest) return this.#wait(size);
    this.#need = HEADER;
    this.#page(bytes.subarray(at, at + size), offset, pages);
    return size;
  }

  #wait(need: number): number {
    this.#need = need;
    return 0;
  }

  #pass(count: number): number {
    this.#skip -= count;
    this.#need = 1;
    return count;
  }

  #passTail(tail: MediaTail, bytes: Buffer): number {
    if (bytes.length > 0) tail.push(bytes);
    return this.#wait(1) + bytes.length;
  }

  /** Where no page begins: a tag in front of all pages, whatever stands behind them, or damage. */
  #stepOutside(bytes: Buffer, at: number): number {
    const rest = bytes.subarray(at);
    const tagBytes = this.#sawPage ? undefined : id3Bytes(rest);
    if (tagBytes !== undefined) {
      this.#skip = tagBytes;
      return this.#pass(Math.min(tagBytes, rest.length));
    }
    if (!this.#takesAsTail(rest)) throw damagedOgg(this.#backlog.offset + at, NO_PAGE);
    return rest.length;
  }

  /** Whether what is no page may stand behind the last one. */
  #takesAsTail(rest: Buffer): boolean {
    const isCutPage = CAPTURE_BYTES.subarray(0, rest.length).equals(rest.subarray(0, CAPTURE_BYTES.length));
    if (!this.#sawPage || isCutPage) return false;
    this.#tail ??= new MediaTail(this.#backlog.offset + this.#backlog.length - rest.length, {
      marker: CAPTURE_BYTES,
      isBehindEnd: this.hasEndMark,
      damaged: damagedOgg,
      otherwise: NO_PAGE,
    });
    this.#tail.push(rest);
    return true;
  }

  #page(page: Buffer, offset: number, pages: OggPage[]): void {
    if (page.readUInt32LE(22) !== pageChecksum(page)) throw damagedOgg(offset, 'the checksum of the page is wrong');
    this.#sawPage = true;
    const serial = page.readUInt32LE(14);
    const sequence = page.readUInt32LE(18);
    const flags = page.readUInt8(5);
    const known = this.#streams.get(serial);
    // Some writers mark the page of the comments as a first one as well.
    const continues = known !== undefined && sequence === (known.sequence + 1) >>> 0;
    const isFirst = (flags & 2) !== 0 && !continues;
    const stream = isFirst ? this.#begin(page, offset, pages) : this.#follow(page, offset);
    stream.sequence = sequence;
    stream.hasEndMark = (flags & 4) !== 0;
    const packets = stream.packetsOf(page, offset);
    if (!stream.isMedia) return;
    if (stream.held !== undefined) pages.push({ ...stream.held, isLast: false });
    const isLast = stream.hasEndMark;
    const found = { offset, serial, isFirst, isLast, granule: granuleOf(page, offset), packets, bytes: page };
    stream.held = isLast ? found : undefined;
    if (!isLast) pages.push(found);
  }

  /** The first page of a stream: of the next link, or side by side with those before (RFC 3533 §4). */
  #begin(page: Buffer, offset: number, pages: OggPage[]): LogicalStream {
    const serial = page.readUInt32LE(14);
    const same = this.#streams.get(serial);
    if (same !== undefined && (this.#isBeginning || !same.hasEndMark))
      throw damagedOgg(offset, 'a stream begins twice');
    if (!this.#isBeginning) pages.push(...this.#leaveLink(offset));
    this.#isBeginning = true;
    if (this.#streams.size >= MAX_STREAMS)
      throw new Failure('unsupported-media', `The Ogg file has more than ${MAX_STREAMS} streams side by side.`);
    const stream = new LogicalStream(isMedia(page), page.readUInt32LE(18));
    this.#streams.set(serial, stream);
    if (stream.isMedia) this.mediaStreams += 1;
    return stream;
  }

  #leaveLink(offset: number): readonly OggPage[] {
    const media = this.#media;
    this.#isCut ||= media.some(({ hasEndMark }) => !hasEndMark);
    if (media.some(({ unfinished }) => unfinished.length > 0))
      throw damagedOgg(offset, 'a packet of the stream before never ends');
    this.#streams = new Map();
    this.mediaStreams = 0;
    return heldPages(media);
  }

  /** Checks that the page is the next one of its stream. */
  #follow(page: Buffer, offset: number): LogicalStream {
    this.#isBeginning = false;
    const stream = this.#streams.get(page.readUInt32LE(14));
    if (stream === undefined && this.#streams.size === 0)
      throw damagedOgg(offset, 'the stream does not begin with its first page');
    if (stream === undefined) throw damagedOgg(offset, 'another stream is mixed into this one');
    const sequence = page.readUInt32LE(18);
    if (sequence === (stream.sequence + 1) >>> 0) return stream;
    throw damagedOgg(offset, `page ${sequence} follows page ${stream.sequence}: some are missing`);
  }
}

/** A packet that is a header, whose fields are read. */
export function packetBuffer(packet: Uint8Array): Buffer {
  return Buffer.from(packet.buffer, packet.byteOffset, packet.length);
}

function heldPages(streams: readonly LogicalStream[]): readonly OggPage[] {
  return streams.flatMap(({ held }) => held ?? []);
}

function isMedia(firstPage: Buffer): boolean {
  return !isDescription(firstPage.subarray(HEADER + firstPage.readUInt8(26)));
}

/** Whether the stream of this first packet only describes the others. */
export function isDescription(firstPacket: Buffer): boolean {
  return DESCRIPTIONS.some((start) => firstPacket.toString('latin1', 0, start.length) === start);
}

/** Bytes of the page at `at`; where too few are there to tell, how many it takes to know more (always more than there are). */
function pageSize(bytes: Buffer, at: number, base: number): number {
  if (at + 4 <= bytes.length && bytes.readUInt32BE(at) !== CAPTURE) throw damagedOgg(base + at, 'no page begins here');
  if (at + HEADER > bytes.length) return HEADER;
  if (bytes[at + 4] !== 0) throw damagedOgg(base + at, 'the page has an unknown version');
  const table = at + HEADER;
  const segments = bytes[at + 26] ?? 0;
  let size = HEADER + segments;
  if (table + segments > bytes.length) return size;
  for (let i = 0; i < segments; i += 1) size += bytes[table + i] ?? 0;
  return size;
}

function granuleOf(page: Buffer, offset: number): number {
  const granule = page.readInt32LE(10) * 2 ** 32 + page.readUInt32LE(6);
  if (granule < -1 || granule > Number.MAX_SAFE_INTEGER)
    throw damagedOgg(offset, 'the granule position is out of range');
  return granule;
}

// ── checksum ────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * CRC-32 with polynomial 04c11db7, most significant bit first (RFC 3533 §6, field 7): entry `256 * k + b` is the checksum of the
 * byte `b` with `k` zero bytes behind it, so that sixteen bytes take sixteen look-ups that do not wait for each other.
 */
const TABLE = crcTable();

function crcTable(): Int32Array {
  const table = new Int32Array(16 * 256);
  for (let i = 0; i < 256; i += 1) {
    let crc = i << 24;
    for (let bit = 0; bit < 8; bit += 1) crc = crc < 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
    table[i] = crc;
  }
  for (let i = 256; i < table.length; i += 1) {
    const before = table[i - 256] ?? 0;
    table[i] = (before << 8) ^ (table[before >>> 24] ?? 0);
  }
  return table;
}

/** The checksum a page should have: over all of it, the checksum's own four bytes taken as zero. */
export function pageChecksum(page: Buffer): number {
  let crc = 0;
  for (let at = 0; at < HEADER; at += 1) crc = withByte(crc, at < 22 || at >= 26 ? (page[at] ?? 0) : 0);
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  let at = HEADER;
  for (; at + 16 <= page.length; at += 16) {
    crc =
      crcOfFour(crc ^ view.getInt32(at), 3072) ^
      crcOfFour(view.getInt32(at + 4), 2048) ^
      crcOfFour(view.getInt32(at + 8), 1024) ^
      crcOfFour(view.getInt32(at + 12), 0);
  }
  for (; at < page.length; at += 1) crc = withByte(crc, page[at] ?? 0);
  return crc >>> 0;
}

function withByte(crc: number, byte: number): number {
  return (crc << 8) ^ crcOfByte((crc >>> 24) ^ byte);
}

/** Four bytes, the first in the highest bits; the last of them is followed by as many as the entries from `from` on stand for. */
function crcOfFour(word: number, from: number): number {
  return (
    crcOfByte(from + 768 + (word >>> 24)) ^
    crcOfByte(from + 512 + ((word >>> 16) & 255)) ^
    crcOfByte(from + 256 + ((word >>> 8) & 255)) ^
    crcOfByte(from + (word & 255))
  );
}

function crcOfByte(entry: number): number {
  return TABLE[entry] ?? 0;
}

/** Turns the bytes of an Ogg stream, as they come in, into pages with the packets that end on them (RFC 3533). */
import { Failure } from '../../failure.ts';
import { Backlog } from '../backlog.ts';
import type { Parser } from '../batches.ts';

export interface OggPage {
  /** Absolute offset of the page, for messages. */
  readonly offset: number;
  /** First page of a logical stream: one at the start, more where streams are chained. */
  readonly isFirst: boolean;
  /** The page is marked as the last of its logical stream. */
  readonly isLast: boolean;
  /** What it means is the codec's business; -1 where no packet ends on the page. */
  readonly granule: number;
  /** The packets that end here, whole, whichever page they began on; views of larger buffers where they fit into one. */
  readonly packets: readonly Buffer[];
}

/** Fixed part of a page's header. */
const HEADER = 27;

const CAPTURE = 0x4f676753;

/** Comments may hold a picture; an Opus packet cannot come near it. */
const MAX_PACKET_BYTES = 16 * 1024 * 1024;

/** Damage at a byte of the media: permanent, because the same bytes will be read again. */
export function damagedOgg(offset: number, what: string): Failure {
  return new Failure('unreadable-media', `The Ogg stream is damaged at byte ${offset}: ${what}.`);
}

/**
 * Reads one logical stream, or several one after the other (chained). Every page's checksum is verified.
 * `push` and `end` throw Failure `unreadable-media` for damage, lost pages and streams mixed into each other, `incomplete` for an
 * early end, both with the byte offset.
 */
export class OggParser implements Parser<OggPage> {
  readonly #backlog = new Backlog();
  #need = HEADER;
  #serial: number | undefined;
  #sequence = 0;
  #pagesOfStream = 0;
  #ended = false;
  #isCut = false;
  #unfinished: Buffer[] = [];
  #unfinishedBytes = 0;

  /**
   * Whether the last page of every logical stream so far was marked as the last. A file without the mark may have been cut
   * between two pages.
   */
  get hasEndMark(): boolean {
    return this.#ended && !this.#isCut;
  }

  push(chunk: Buffer): readonly OggPage[] {
    const pages: OggPage[] = [];
    this.#backlog.add(chunk);
    if (this.#backlog.length < this.#need) return pages;
    const bytes = this.#backlog.bytes();
    let at = 0;
    for (;;) {
      const size = pageSize(bytes, at, this.#backlog.offset);
      this.#need = size;
      if (at + size > bytes.length) break;
      pages.push(this.#page(bytes.subarray(at, at + size), this.#backlog.offset + at));
      at += size;
    }
    this.#backlog.consume(at);
    return pages;
  }

  end(): readonly OggPage[] {
    const { offset, length } = this.#backlog;
    const at = offset + length;
    if (length > 0) throw new Failure('incomplete', `The Ogg stream ends at byte ${at}, in the middle of a page.`);
    if (this.#unfinishedBytes > 0 || this.#unfinished.length > 0 || at === 0) {
      throw new Failure('incomplete', `The Ogg stream ends at byte ${at}, in the middle of a packet.`);
    }
    return [];
  }

  #page(page: Buffer, offset: number): OggPage {
    if (page.readUInt32LE(22) !== pageChecksum(page)) throw damagedOgg(offset, 'the checksum of the page is wrong');
    const flags = page.readUInt8(5);
    const isFirst = (flags & 2) !== 0;
    const isLast = (flags & 4) !== 0;
    this.#follow(page, offset, isFirst);
    this.#ended = isLast;
    const packets = this.#packets(page, offset, (flags & 1) !== 0);
    return { offset, isFirst, isLast, granule: granuleOf(page, offset), packets };
  }

  /** Checks that the page is the next one of the stream, or the first of the next stream. */
  #follow(page: Buffer, offset: number, isFirst: boolean): void {
    const serial = page.readUInt32LE(14);
    const sequence = page.readUInt32LE(18);
    if (isFirst) this.#begin(serial, offset);
    else if (this.#serial === undefined) throw damagedOgg(offset, 'the stream does not begin with its first page');
    else if (serial !== this.#serial) throw damagedOgg(offset, 'another stream is mixed into this one');
    else if (this.#ended) throw damagedOgg(offset, 'a page follows the last one');
    else if (sequence !== (this.#sequence + 1) >>> 0) {
      throw damagedOgg(offset, `page ${sequence} follows page ${this.#sequence}: some are missing`);
    }
    this.#sequence = sequence;
    this.#pagesOfStream += 1;
  }

  #begin(serial: number, offset: number): void {
    // Streams side by side have all their first pages in front (RFC 3533 §4); a chained one comes behind a whole stream.
    if (this.#pagesOfStream === 1) throw damagedOgg(offset, 'several streams are mixed');
    if (serial === this.#serial && !this.#ended) throw damagedOgg(offset, 'a stream begins twice');
    if (this.#unfinished.length > 0) throw damagedOgg(offset, 'a packet of the stream before never ends');
    this.#isCut ||= this.#serial !== undefined && !this.#ended;
    this.#serial = serial;
    this.#pagesOfStream = 0;
  }

  #packets(page: Buffer, offset: number, continues: boolean): Buffer[] {
    const segments = page.readUInt8(26);
    if (segments > 0 && continues !== this.#unfinished.length > 0) {
      throw damagedOgg(offset, continues ? 'a packet is continued that never began' : 'a packet is not continued');
    }
    const packets: Buffer[] = [];
    let start = HEADER + segments;
    let end = start;
    for (let i = 0; i < segments; i += 1) {
      const lace = page[HEADER + i] ?? 0;
      end += lace;
      if (lace === 255) continue;
      packets.push(this.#finish(page.subarray(start, end)));
      start = end;
    }
    if (segments > 0 && page[HEADER + segments - 1] === 255) this.#keep(page.subarray(start, end), offset);
    return packets;
  }

  #finish(rest: Buffer): Buffer {
    if (this.#unfinished.length === 0) return rest;
    const packet = Buffer.concat([...this.#unfinished, rest]);
    this.#unfinished = [];
    this.#unfinishedBytes = 0;
    return packet;
  }

  #keep(part: Buffer, offset: number): void {
    this.#unfinished.push(part);
    this.#unfinishedBytes += part.length;
    if (this.#unfinishedBytes > MAX_PACKET_BYTES) throw damagedOgg(offset, 'a packet is larger than any can be');
  }
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
 * byte `b` with `k` zero bytes behind it, so that eight bytes take eight look-ups that do not wait for each other.
 */
const TABLE = crcTable();

function crcTable(): Int32Array {
  const table = new Int32Array(8 * 256);
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
  const front = crc32(0, page.subarray(0, 22));
  const zeros = crc32(front, FOUR_ZEROS);
  return crc32(zeros, page.subarray(26)) >>> 0;
}

const FOUR_ZEROS = Buffer.alloc(4);

function crc32(start: number, bytes: Buffer): number {
  let crc = start;
  let at = 0;
  for (const last = bytes.length - 8; at <= last; at += 8) {
    crc ^= ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    crc =
      (TABLE[1792 + (crc >>> 24)] ?? 0) ^
      (TABLE[1536 + ((crc >>> 16) & 255)] ?? 0) ^
      (TABLE[1280 + ((crc >>> 8) & 255)] ?? 0) ^
      (TABLE[1024 + (crc & 255)] ?? 0) ^
      (TABLE[768 + (bytes[at + 4] ?? 0)] ?? 0) ^
      (TABLE[512 + (bytes[at + 5] ?? 0)] ?? 0) ^
      (TABLE[256 + (bytes[at + 6] ?? 0)] ?? 0) ^
      (TABLE[bytes[at + 7] ?? 0] ?? 0);
  }
  for (; at < bytes.length; at += 1) crc = (crc << 8) ^ (TABLE[(crc >>> 24) ^ (bytes[at] ?? 0)] ?? 0);
  return crc;
}

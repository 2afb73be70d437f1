/** The headers of a Vorbis stream → how many samples each of its packets adds (Vorbis I specification §4.2, §1.3.2). */

interface Blocks {
  /** Samples of a short and of a long block. */
  readonly sizes: readonly [number, number];
}

/** The identification header: what granule positions count in. */
export interface VorbisHead extends Blocks {
  /** Granule positions per second. */
  readonly rate: number;
}

/** Undefined where it is no Vorbis identification header (§4.2.2). */
export function parseVorbisHead(packet: Buffer): VorbisHead | undefined {
  if (packet.length < 30 || packet.toString('latin1', 0, 7) !== '\x01vorbis') return undefined;
  const rate = packet.readUInt32LE(12);
  const exponents = packet.readUInt8(28);
  if (rate === 0) return undefined;
  return { rate, sizes: [2 ** (exponents & 15), 2 ** (exponents >> 4)] };
}

/** The identification header out of Matroska's CodecPrivate: three headers, laced as Xiph does (RFC 9559 §10.3.2). */
export function parseVorbisPrivate(codecPrivate: Buffer): VorbisHead | undefined {
  if (codecPrivate[0] !== 2) return undefined;
  let at = 1;
  for (let sizes = 0; sizes < 2 && at < codecPrivate.length; at += 1) if (codecPrivate[at] !== 255) sizes += 1;
  return parseVorbisHead(codecPrivate.subarray(at));
}

/** Which of its modes use long blocks; enough to tell a packet's block without decoding it. */
export interface VorbisModes {
  readonly isLong: readonly boolean[];
}

/** Bits of a mode: block flag, window type and transform type (both 0), mapping. */
const MODE_BITS = 41;

/**
 * The modes stand at the end of the setup header, behind code books that would have to be decoded to be skipped: so they are
 * read from the end, as long as what is read looks like a mode, and the longest run that its own count agrees with counts.
 * Undefined where there is none.
 */
export function parseVorbisModes(setup: Buffer): VorbisModes | undefined {
  if (setup.toString('latin1', 0, 7) !== '\x05vorbis') return undefined;
  const bits = new BitsFromEnd(setup);
  const end = bits.lastOne();
  if (end === undefined) return undefined;
  const isLong: boolean[] = [];
  let found: readonly boolean[] | undefined;
  for (let at = end; isLong.length < 64 && bits.has(at + MODE_BITS + 6); at += MODE_BITS) {
    if (bits.read(at, 8) > 63 || bits.read(at + 8, 16) !== 0 || bits.read(at + 24, 16) !== 0) break;
    isLong.unshift(bits.read(at + 40, 1) === 1);
    if (bits.read(at + MODE_BITS, 6) + 1 === isLong.length) found = [...isLong];
  }
  return found === undefined ? undefined : { isLong: found };
}

/** Vorbis packs from the lowest bit of each byte up (§2.1.4): from the end, its numbers read from their highest bit down. */
class BitsFromEnd {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  has(count: number): boolean {
    return count <= this.#bytes.length * 8;
  }

  /** Behind the framing bit, the last one that is set: only padding may follow it. */
  lastOne(): number | undefined {
    for (let at = 0; at < 16; at += 1) if (this.has(at + 1) && this.read(at, 1) === 1) return at + 1;
    return undefined;
  }

  read(at: number, count: number): number {
    let value = 0;
    for (let bit = at; bit < at + count; bit += 1) {
      const byte = this.#bytes[this.#bytes.length - 1 - (bit >> 3)] ?? 0;
      value = value * 2 + ((byte >> (7 - (bit & 7))) & 1);
    }
    return value;
  }
}

/** Samples that packets add, one after the other: each gives the second half of the block before and the first of its own. */
export class VorbisClock {
  readonly #sizes: readonly [number, number];
  readonly #modes: VorbisModes;
  readonly #modeBits: number;
  #before: number | undefined;

  constructor(head: VorbisHead, modes: VorbisModes) {
    this.#sizes = head.sizes;
    this.#modes = modes;
    this.#modeBits = 32 - Math.clz32(modes.isLong.length - 1);
  }

  /** 0 for the very first packet, and for what is no packet of sound. */
  samplesOf(packet: Uint8Array): number {
    const first = packet[0];
    if (first === undefined || (first & 1) === 1) return 0;
    const mode = (first >> 1) & ((1 << this.#modeBits) - 1);
    const size = this.#sizes[this.#modes.isLong[mode] === true ? 1 : 0];
    const samples = this.#before === undefined ? 0 : (this.#before + size) / 4;
    this.#before = size;
    return samples;
  }
}

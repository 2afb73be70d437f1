/** Speex packets and their header → single frames, each in a packet of its own (Speex codec manual, "Speex wideband mode", "in-band signalling"). */

export interface SpeexHead {
  /** Hertz. */
  readonly rate: number;
  readonly channels: number;
  /** Narrow-band, wide-band and ultra-wide-band: 0, 1, 2. */
  readonly mode: number;
  /** Of one frame, per channel. */
  readonly frameSamples: number;
  /** Headers behind that of comments. */
  readonly extraHeaders: number;
}

/** Samples of a narrow-band frame; each further band doubles them. */
const NARROW_SAMPLES = 160;

/** Undefined where it is no Speex header, or of none that a decoder knows. */
export function parseSpeexHead(packet: Buffer): SpeexHead | undefined {
  if (packet.length < 72 || packet.toString('latin1', 0, 8) !== 'Speex   ') return undefined;
  const [rate, mode, channels] = [packet.readUInt32LE(36), packet.readUInt32LE(40), packet.readUInt32LE(48)];
  if (rate === 0 || mode > 2 || channels === 0 || channels > 2) return undefined;
  return { rate, channels, mode, frameSamples: NARROW_SAMPLES << mode, extraHeaders: packet.readUInt32LE(68) };
}

/** Bits of a narrow-band frame by its submode, that and the bit in front included; none has a number above 8. */
const NARROW_BITS = [5, 43, 119, 160, 220, 300, 364, 492, 79];

/** The same of a further band. */
const BAND_BITS = [4, 36, 112, 192, 352];

/** In place of a submode. */
const OF_USER = 13;
const IN_BAND = 14;
const TERMINATOR = 15;

/** Bits of an in-band message behind its number. */
const MESSAGE_BITS = [1, 1, 4, 4, 4, 4, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64];

/** More than a second of sound; a packet of nothing but silent frames would fill memory with them. */
const MAX_FRAMES = 64;

/** Frames one behind the other up to the terminator; undefined where the packet is none of Speex. */
export function framesOfSpeex(packet: Uint8Array, { mode }: Pick<SpeexHead, 'mode'>): Buffer[] | undefined {
  const bits = new Bits(packet);
  const frames: Buffer[] = [];
  while (bits.left >= 5 && bits.peek(0, 5) !== TERMINATOR) {
    const start = bits.at;
    if (frames.length === MAX_FRAMES || !passFrame(bits, mode)) return undefined;
    frames.push(bits.copy(start, bits.at));
    // Bands that the header does not announce belong to no frame.
    passBands(bits, 2);
  }
  return frames;
}

/** Messages, the narrow band, and as many further bands. */
function passFrame(bits: Bits, mode: number): boolean {
  for (;;) {
    const submode = bits.left < 5 ? TERMINATOR : bits.peek(0, 5);
    if (submode === IN_BAND) bits.pass(9 + (MESSAGE_BITS[bits.peek(5, 4)] ?? 0));
    else if (submode === OF_USER) bits.pass(10 + 8 * bits.peek(5, 5));
    else {
      const size = NARROW_BITS[submode];
      if (size === undefined) return false;
      bits.pass(size);
      return passBands(bits, mode) && bits.left >= 0;
    }
  }
}

/** A further band begins with a bit that is set, where everything else begins with one that is not. */
function passBands(bits: Bits, most: number): boolean {
  for (let band = 0; band < most && bits.left >= 4 && bits.peek(0, 1) === 1; band += 1) {
    const size = BAND_BITS[bits.peek(1, 3)];
    if (size === undefined) return false;
    bits.pass(size);
  }
  return true;
}

class Bits {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Less than 0 behind the end. */
  get left(): number {
    return this.#bytes.length * 8 - this.at;
  }

  pass(count: number): void {
    this.at += count;
  }

  /** So many bits from so many further on; 0 behind the end. */
  peek(further: number, count: number): number {
    let value = 0;
    for (let bit = this.at + further; bit < this.at + further + count; bit += 1)
      value = value * 2 + (((this.#bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    return value;
  }

  /** As bytes, filled up as a terminator begins. */
  copy(from: number, to: number): Buffer {
    const shift = from & 7;
    const copied = Buffer.alloc(Math.ceil((to - from) / 8));
    for (let index = 0; index < copied.length; index += 1) {
      const first = (from >> 3) + index;
      copied[index] = ((this.#bytes[first] ?? 0) << shift) | ((this.#bytes[first + 1] ?? 0) >> (8 - shift));
    }
    const used = (to - from) & 7;
    if (used > 0) copied[copied.length - 1] = ((copied.at(-1) ?? 0) & (0xff00 >> used)) | (0x7f >> used);
    return copied;
  }
}

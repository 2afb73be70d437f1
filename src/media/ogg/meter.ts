/** Turns the pages of an Ogg file, as they pass on their way to the encoder, into how long it plays, and proves that none is missing. */
import { OggParser, type OggPage } from './ogg.ts';
import type { MediaKind } from '../sniff.ts';

const KINDS = ['ogg-opus', 'ogg-vorbis', 'ogg'] as const;
export type OggKind = (typeof KINDS)[number];

export const isOgg = (kind: MediaKind): kind is OggKind => KINDS.some((ogg) => ogg === kind);

/**
 * The last granule position of a stream is its length, for each chained stream (RFC 3533 §6). All pages are checked: ffmpeg
 * passes over damaged and lost ones, and the times of those behind hide that sound is missing.
 */
export class OggMeter {
  readonly #pages = new OggParser();
  #clock: Clock | undefined;
  #granule = 0;
  #endedS = 0;

  push(chunk: Buffer): void {
    for (const page of this.#pages.push(Buffer.from(chunk))) this.#page(page);
  }

  #page({ isFirst, granule, packets }: OggPage): void {
    if (isFirst) {
      this.#endedS += this.#playedS();
      this.#clock = clockOf(packets[0]);
      this.#granule = 0;
    }
    this.#granule = Math.max(this.#granule, granule);
  }

  #playedS(): number {
    return this.#clock === undefined ? 0 : Math.max(0, this.#granule - this.#clock.preSkip) / this.#clock.rate;
  }

  /** Its beginning does not tell. */
  declaredMs(): undefined {}

  durationOf(): number | undefined {
    this.#pages.end();
    return this.#clock === undefined ? undefined : (this.#endedS + this.#playedS()) * 1000;
  }

  lacksEndMark(): boolean {
    return !this.#pages.hasEndMark;
  }
}

interface Clock {
  /** Granule positions per second. */
  readonly rate: number;
  readonly preSkip: number;
}

/** Opus counts in 48 kHz whatever the source was (RFC 7845 §4); Vorbis in its own rate. */
function clockOf(packet: Buffer | undefined): Clock | undefined {
  if (packet === undefined) return undefined;
  if (packet.length >= 19 && packet.toString('latin1', 0, 8) === 'OpusHead') {
    return { rate: 48_000, preSkip: packet.readUInt16LE(10) };
  }
  if (packet.length < 16 || packet.toString('latin1', 0, 7) !== '\x01vorbis') return undefined;
  const rate = packet.readUInt32LE(12);
  return rate === 0 ? undefined : { rate, preSkip: 0 };
}

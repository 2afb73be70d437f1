/** A source on its way to the encoder → what of it there is to decode, what is in it, how long it plays, and the proof that all of it came. */
import type { MediaKind } from './sniff.ts';
import { walkMp4 } from './mp4/walk.ts';
import type { OggKind } from './ogg/meter.ts';
import type { Contents } from './source/contents.ts';
import { walkFlac } from './source/flac.ts';
import { walkMatroska } from './source/matroska.ts';
import { walkMpeg } from './source/mpeg.ts';
import { Sieve, type Walk } from './source/sieve.ts';
import { type Announced, type Lengths, type SourceFigures, Tally, UNKNOWN_LENGTHS } from './source/tally.ts';
import { walkWav } from './source/wav.ts';

/** Pages of Ogg are judged by their own meter (ogg/meter.ts). */
export type MeteredKind = Exclude<MediaKind, OggKind>;

const WALKS: Readonly<Record<MeteredKind, (tally: Tally, sieve: Sieve) => Walk>> = {
  wav: walkWav,
  mp3: walkMpeg,
  'aac-adts': walkMpeg,
  flac: walkFlac,
  mp4: walkMp4,
  webm: walkMatroska,
};

export class SourceMeter implements SourceFigures {
  readonly #tally: Tally;
  readonly #sieve: Sieve;
  #lengths: Lengths = UNKNOWN_LENGTHS;

  constructor(kind: MeteredKind, announced?: Announced) {
    const tally = new Tally(announced);
    this.#tally = tally;
    this.#sieve = new Sieve((sieve) => WALKS[kind](tally, sieve));
  }

  /**
   * All of the file, its chunks given up → what there is to decode.
   * @throws Failure `unreadable-media` or `unsupported-media` naming byte, box or codec; `incomplete` where the file itself says
   * that more should have come
   */
  async *through(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    for await (const chunk of chunks) yield* this.push(chunk);
    yield* this.end();
  }

  push(chunk: Buffer): readonly Buffer[] {
    return this.#sieve.push(chunk);
  }

  end(): readonly Buffer[] {
    const last = this.#sieve.end();
    this.#lengths = this.#tally.settle(this.#sieve);
    return last;
  }

  get contents(): Contents | undefined {
    return this.#tally.contents;
  }

  get declaredMs(): number | undefined {
    return this.#tally.declaredMs;
  }

  get lengths(): Lengths {
    return this.#lengths;
  }

  get lacksEndMark(): boolean {
    return this.#tally.lacksEndMark;
  }

  get notes(): readonly string[] {
    return this.#tally.notes;
  }
}

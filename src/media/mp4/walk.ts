/** An MP4 on its way to the encoder → its boxes without what stands behind them, how long each kind of track plays, and the proof that all is there. */
import { Failure } from '../../failure.ts';
import { walkForeign } from '../source/foreign.ts';
import type { Sieve, Walk } from '../source/sieve.ts';
import { type KindEnd, incomplete, type Lengths, type Tally } from '../source/tally.ts';
import { type Box, type BoxContent, parseBox, printableType, unreadableMp4 } from './box.ts';
import { Fragments } from './fragments.ts';
import { contentsOfMovie, MAX_INDEX_BYTES, type Movie, parseMovie } from './movie.ts';

/** Boxes of any size; four letters of text, read as the size of a box, are more than 150 MB. */
const LARGE_BOXES = new Set(['mdat', 'moov', 'free', 'skip', 'wide', 'uuid']);
const LEAST_TEXT_SIZE = 0x0909_0909;

/** More than clocks and edits can make of the same length. */
const SLACK_S = 0.5;

const READ = new Set(['moov', 'moof', 'sidx']);

/** ISO/IEC 14496-12 §4.2. */
export function* walkMp4(tally: Tally, sieve: Sieve): Walk {
  const boxes = new Boxes(tally);
  for (;;) {
    const head = yield { look: 16 };
    const box = readBox(head, sieve.position);
    if (box === undefined) return yield* walkForeign(sieve, 'the last box of the MP4');
    boxes.begin(box);
    if (READ.has(box.type)) boxes.read(box, yield { look: indexBytes(box) });
    yield { keep: (box.end ?? Infinity) - box.start };
    boxes.end(box);
  }
}

/** undefined for what is no box of a file: text, padding, or nothing at all. */
function readBox(head: Buffer, position: number): Box | undefined {
  const type = head.toString('latin1', 4, 8);
  const isNamed = /^[\x20-\x7e\xa9]{4}$/.test(type);
  const isBox =
    LARGE_BOXES.has(type) || (isNamed && head.readUInt32BE(0) > 1 && head.readUInt32BE(0) < LEAST_TEXT_SIZE);
  return isBox ? parseBox(head, position) : undefined;
}

function indexBytes({ type, start, end }: Box): number {
  const sizeBytes = (end ?? Infinity) - start;
  if (sizeBytes <= MAX_INDEX_BYTES) return sizeBytes;
  throw unreadableMp4(start, `a "${printableType(type)}" box is larger than any real one`);
}

class Boxes {
  readonly #tally: Tally;
  #movie: Movie | undefined;
  #fragments = new Fragments([]);
  #within: Box | undefined;
  #sawMedia = false;
  /** A fragment's index without its media yet. */
  #awaited: Box | undefined;
  #isMarked = false;

  constructor(tally: Tally) {
    this.#tally = tally;
    tally.settle = (end) => {
      this.#requireWhole(end);
      tally.lacksEndMark = this.#movie?.isFragmented === true && !this.#isMarked;
      return this.#lengths();
    };
  }

  /** @throws Failure `unsupported-media` where a second recording begins */
  begin(box: Box): void {
    this.#within = box;
    const { type } = box;
    const hasIndex = this.#movie !== undefined;
    if ((type === 'moov' && hasIndex) || (type === 'ftyp' && (hasIndex || this.#sawMedia))) throw secondAt(box);
    this.#sawMedia ||= type === 'mdat';
    if (type === 'mdat') this.#awaited = undefined;
  }

  read(box: Box, bytes: Buffer): void {
    if (bytes.length < (box.end ?? Infinity) - box.start) return;
    const content = { type: box.type, body: bytes.subarray(box.headBytes), offset: box.start + box.headBytes };
    if (box.type === 'moov') return this.#readMovie(content);
    if (box.type === 'sidx') return this.#fragments.announce(content);
    this.#fragments.add(content);
    this.#awaited = box;
    this.#tell();
  }

  #readMovie(moov: BoxContent): void {
    const movie = parseMovie(moov);
    this.#movie = movie;
    this.#fragments = new Fragments(movie.tracks);
    this.#tally.declaredMs = movie.isFragmented ? movie.fragmentsMs : movie.headerMs;
    if (movie.isFragmented) this.#tell();
    else this.#tally.contents ??= contentsOfMovie(movie);
  }

  #tell(): void {
    if (this.#movie === undefined || !this.#fragments.haveBegun) return;
    this.#tally.contents ??= contentsOfMovie(this.#movie, this.#fragments.startS);
  }

  end({ type }: Box): void {
    this.#within = undefined;
    this.#isMarked ||= type === 'mfra';
  }

  #requireWhole(end: KindEnd): void {
    if (this.#within !== undefined && end.missing > 0) throw incomplete(`within ${named(this.#within)}`, end);
    if (this.#awaited !== undefined) throw incomplete(`without the media of ${named(this.#awaited)}`, end);
    const lackingBytes = Math.max(this.#movie?.endByte ?? 0, this.#fragments.announcedByte) - end.position;
    if (lackingBytes > 0) throw incomplete(`${String(lackingBytes)} bytes before the samples of its index do`, end);
    const announcedS = Math.max((this.#movie?.fragmentsMs ?? 0) / 1000, this.#fragments.announcedS);
    const { heardS } = this.#fragments;
    if (announcedS - heardS > SLACK_S)
      throw incomplete(`at ${heardS.toFixed(2)} s, although its fragments are to play ${announcedS.toFixed(2)} s`, end);
    this.#isMarked ||= announcedS > 0;
  }

  /** Of all tracks of a kind the longest, from the first moment of any. */
  #lengths(): Lengths {
    const { played, startS } = this.#fragments;
    const longest = (wanted: 'sound' | 'picture', withoutRepeats = false): number | undefined => {
      const ends = played
        .filter(({ kind }) => kind === wanted)
        .map(({ endS, repeatsS }) => endS - (withoutRepeats ? repeatsS : 0) - startS);
      return ends.length === 0 ? undefined : Math.max(...ends) * 1000;
    };
    return { soundMs: longest('sound'), picturesMs: longest('picture'), repeatsFromMs: longest('picture', true) };
  }
}

const named = ({ type, start }: Box): string =>
  `a "${printableType(type)}" box of an MP4 that began at byte ${String(start)}`;

function secondAt({ start }: Box): Failure {
  const text = `A second MP4 begins at byte ${String(start)} behind the first: that is no one recording.`;
  return new Failure('unsupported-media', text);
}

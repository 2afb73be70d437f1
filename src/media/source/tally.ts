/** What a walk through a source has learnt of it so far: its author is the walk, its readers are the proof and the live head. */
import { Failure } from '../../failure.ts';
import type { Contents } from './contents.ts';

/** Milliseconds from the source's first moment; undefined where it does not tell without decoding. */
export interface Lengths {
  readonly soundMs: number | undefined;
  readonly picturesMs: number | undefined;
  /** From here on there are so few pictures that an encoder may have left out all of them as repeats; undefined where nobody counted. */
  readonly repeatsFromMs: number | undefined;
}

/** Where the file ended. */
export interface KindEnd {
  readonly position: number;
  /** Bytes of what was begun that never came. */
  readonly missing: number;
}

/** What is known of a source that passes, or has passed. */
export interface SourceFigures {
  /** Once its beginning has passed. */
  readonly contents: Contents | undefined;
  /** Milliseconds as its header announces them, once that has passed. */
  readonly declaredMs: number | undefined;
  /** After its end. */
  readonly lengths: Lengths;
  /** After its end: it may have been cut there, for its kind marks its end, and this one does not. */
  readonly lacksEndMark: boolean;
  /** After its end, for the manifest. */
  readonly notes: readonly string[];
}

/** What is known of the file from elsewhere. */
export interface Announced {
  /** Of the whole file, by its server. */
  readonly sizeBytes: number | undefined;
  /** Its duration by Genesys. */
  readonly genesysMs: number | undefined;
}

export const UNKNOWN_LENGTHS: Lengths = { soundMs: undefined, picturesMs: undefined, repeatsFromMs: undefined };

export class Tally {
  readonly announced: Announced;
  /** As the header announces it, once it has passed. */
  declaredMs: number | undefined;
  /** As the beginning tells it, once it has passed. */
  contents: Contents | undefined;
  /** The file may have been cut where it ends: its kind has a mark for that, and this one has none. */
  lacksEndMark = false;
  /** For the manifest: what is not as it should be, and is kept all the same. */
  readonly notes: string[] = [];
  /** Lengths at the end. @throws Failure `incomplete` where the file itself says that more should have come */
  settle: (end: KindEnd) => Lengths = () => UNKNOWN_LENGTHS;

  constructor(announced: Announced = { sizeBytes: undefined, genesysMs: undefined }) {
    this.announced = announced;
  }
}

export function incomplete(what: string, { position }: Pick<KindEnd, 'position'>): Failure {
  return new Failure('incomplete', `The media ends at byte ${String(position)}, ${what}.`);
}

export const ofSound = (soundMs: number | undefined): Lengths => ({ ...UNKNOWN_LENGTHS, soundMs });

/** What lies under recordings/, recording by recording, as the store itself describes it: no media is read for it. */
import { keyOf, recordingOfKey, spellingsOf, type Recording } from '../recording.ts';
import { erasedIn, type ErasedNames } from './erased-names.ts';
import { erasedNames } from './erased.ts';
import { canonicalSubject, MANIFEST_FILE, RECORDINGS, subjectKey } from './names.ts';

export interface ShelfFile {
  /** Its name in the recording's folder: `recording.webm`. */
  readonly file: string;
  readonly sizeBytes: number;
  /** As Cloud Storage counted it when it was written; a folder knows none. */
  readonly crc32c: string | undefined;
  /** Whether the store forbids its deletion for a hold; undefined where it knows no holds. */
  readonly isHeld: boolean | undefined;
  /** The manifest that the WebM carries itself, as text. */
  readonly carried: string | undefined;
  /** ISO 8601, UTC. */
  readonly writtenAt: string;
}

/** Everything that belongs to one recording, or lies where nothing belongs. */
export interface Shelf {
  /** `{conversationId|_}/{recordingId}`; less than that for what lies beside all recordings. */
  readonly path: string;
  readonly files: readonly ShelfFile[];
  /** It, or its conversation, was erased on purpose. */
  readonly isErased: boolean;
  /** What manifest.json says; undefined where it is gone meanwhile. */
  readonly readManifest: () => Promise<string | undefined>;
}

/** Names of conversations from `from` (inclusive) to `to` (exclusive; undefined for all the rest). */
export interface NameRange {
  readonly from: string;
  readonly to: string | undefined;
}

export const WHOLE_RANGE: NameRange = { from: '', to: undefined };

/** GUIDs begin with sixteen digits, about as often with each; what begins otherwise falls between them. */
export const SIXTEEN_RANGES: readonly NameRange[] = Array.from('0123456789abcdef').map((digit, index, digits) => ({
  from: index === 0 ? '' : digit,
  to: digits[index + 1],
}));

export interface FoundFile extends Omit<ShelfFile, 'file'> {
  /** As the archive calls it: `recordings/…`. */
  readonly name: string;
}

type ReadText = (name: string) => Promise<string | undefined>;

export interface ShelvesNeeds {
  readonly files: AsyncIterable<FoundFile>;
  /** Marks of what was erased, in the order of names, from the same place on. */
  readonly erased: AsyncIterable<string>;
  readonly read: ReadText;
}

/** Files come in the order of their names, so those of one recording come together. */
export async function* shelvesOf({ files, erased, read }: ShelvesNeeds): AsyncGenerator<Shelf> {
  await using marks = erasedIn(erased);
  let path: string | undefined;
  let held: ShelfFile[] = [];
  for await (const { name, ...facts } of files) {
    const place = shelfPlaceOf(name);
    if (path !== undefined && place.path !== path) yield await shelfAt({ path, files: held }, marks, read);
    if (place.path !== path) held = [];
    path = place.path;
    held.push({ file: place.file, ...facts });
  }
  if (path !== undefined) yield await shelfAt({ path, files: held }, marks, read);
}

async function shelfAt(shelf: Pick<Shelf, 'path' | 'files'>, marks: ErasedNames, read: ReadText): Promise<Shelf> {
  const { path } = shelf;
  const recording = recordingOfKey(path.replace('/', '.'));
  const isErased = recording !== undefined && (await isMarked(recording, marks, read));
  return { ...shelf, isErased, readManifest: () => read(`${RECORDINGS}${path}/${MANIFEST_FILE}`) };
}

/** Marks are written in one spelling; what lies under another one is not met in their order, and asked for by name. */
async function isMarked(recording: Recording, marks: ErasedNames, read: ReadText): Promise<boolean> {
  if (spellingsOf(recording).length === 1 || keyOf(recording) === subjectKey(canonicalSubject(recording)))
    return marks.holds(keyOf(recording));
  const texts = await Promise.all(erasedNames(recording).map((name) => read(name)));
  return texts.some((text) => text !== undefined);
}

/** `recordings/{C}/{R}/{file}`; a file higher up is on a shelf of its folder, one further down on that of its recording. */
function shelfPlaceOf(name: string): { readonly path: string; readonly file: string } {
  const segments = name.slice(RECORDINGS.length).split('/');
  const depth = Math.min(2, segments.length - 1);
  return { path: segments.slice(0, depth).join('/'), file: segments.slice(depth).join('/') };
}

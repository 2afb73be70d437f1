/**
 * The small texts an archive is made of besides its media, by name: what a folder and a bucket can both do, and no more. Records,
 * marks, proofs, holds and listings are written once, over this.
 */
import { Failure } from '../failure.ts';

export interface StoredObject {
  readonly name: string;
  readonly sizeBytes: number;
  /** When it was last written; ISO 8601, UTC. */
  readonly writtenAt: string;
}

/** `kept`: a retention policy or a hold forbids it. */
export type Removal = 'removed' | 'absent' | 'kept';

export interface Children {
  /** Ends in a slash. */
  readonly folder: string;
  /** Names behind this one alone. */
  readonly after?: string;
  /** About how many will be taken: no more are fetched at first. */
  readonly expected?: number;
}

/** One of the versions of an object: in a folder there is only the live one. */
export interface Generation {
  readonly name: string;
  readonly sizeBytes: number;
  /** False for one that was replaced or removed, and that the bucket's versioning keeps. */
  readonly isLive: boolean;
  /** It carries a hold, whoever set it. */
  readonly isHeld: boolean;
  /** A lock of its own, or a retention policy, keeps it until then; ISO 8601, UTC. */
  readonly retainedUntil: string | undefined;
}

/** Names are relative, with at least one slash ({@link requireName}). All orders are those of code units. */
export interface Objects {
  /** undefined where there is none. */
  get(name: string, signal: AbortSignal): Promise<string | undefined>;
  /** The same, of what is no text. */
  getBytes(name: string, signal: AbortSignal): Promise<Buffer | undefined>;
  /** Creates it, whole and durable when it resolves; false where something lies there already, which stays as it is. */
  put(name: string, content: string | Uint8Array, signal: AbortSignal): Promise<boolean>;
  /** Creates or overwrites it, whole and durable; false where a retention policy or a hold keeps the earlier one. */
  replace(name: string, text: string, signal: AbortSignal): Promise<boolean>;
  remove(name: string, signal: AbortSignal): Promise<Removal>;
  /** Makes an empty object by which a listing finds another one. A power cut may take it back: whoever uses it can make it anew. */
  mark(name: string, signal: AbortSignal): Promise<void>;
  /** As little durable. What a retention policy keeps, stays. */
  unmark(name: string, signal: AbortSignal): Promise<void>;
  /** Everything whose name begins with `prefix`, in order, one after the other. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<StoredObject>;
  /** Every version of whatever {@link isAmong} `target`. */
  generations(target: string, signal: AbortSignal): AsyncIterable<Generation>;
  /** Removes them for good, or only the `old` ones; the names of those that a hold or a retention policy keeps. */
  purge(target: string, which: 'all' | 'old', signal: AbortSignal): Promise<readonly string[]>;
  /** Until when the last of what was removed there can still be restored (soft delete); undefined where nothing can. */
  recoverableUntil(target: string, signal: AbortSignal): Promise<string | undefined>;
  /** What lies directly in a folder, by its name there, in order; folders end in a slash. */
  children(asked: Children, signal: AbortSignal): AsyncIterable<string>;
}

/** When an object was last written; now, where it is gone again. ISO 8601, UTC. */
export async function writtenAt(name: string, objects: Objects, signal: AbortSignal): Promise<string> {
  for await (const found of objects.list(name, signal)) if (found.name === name) return found.writtenAt;
  return new Date().toISOString();
}

/** A target that ends in a slash or a dot, as no name does, means all names that begin with it; any other is one name. */
export function isAmong(name: string, target: string): boolean {
  return /[/.]$/.test(target) ? name.startsWith(target) : name === target;
}

const SEGMENT = /^[0-9A-Za-z_=:.-]{1,512}$/;
/** Bytes. https://cloud.google.com/storage/docs/objects#naming */
const LONGEST_NAME = 1024;

/** Whether it may be ours: two segments or more, each of `0-9 A-Z a-z _ = : . -`, none ending in a dot. */
function isName(name: string): boolean {
  const segments = name.split('/');
  const fits = segments.every((segment) => SEGMENT.test(segment) && !segment.endsWith('.'));
  return fits && segments.length > 1 && name.length <= LONGEST_NAME;
}

/** Without what others have put there under names that none of ours has. */
export async function* ownAmong(found: AsyncIterable<StoredObject>): AsyncGenerator<StoredObject> {
  for await (const object of found) if (isName(object.name)) yield object;
}

/** A name that no one can leave the archive with. @throws Failure `bad-request` */
export function requireName(name: string): string {
  if (isName(name)) return name;
  throw new Failure(
    'bad-request',
    'A name in the archive is folder/name, of 0-9 A-Z a-z _ = : . - in each part, and no part ends in a dot.',
  );
}

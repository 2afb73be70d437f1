/** The small texts beside recordings (proofs, holds, marks, audit, details, index, status): the contract of where they lie. */
import { Failure } from '../failure.ts';
import { ownAmong, requireName, type Objects, type StoredObject } from './objects.ts';

/** Folders of the archive that hold notes; nothing else can be written, read or removed by way of them. */
const NOTE_FOLDERS = ['proofs', 'holds', 'erased', 'audit', 'conversations', 'index', 'status', 'staging'] as const;

export type ListedNote = StoredObject;

export interface Notes {
  /** Durable when it resolves. False where something lies there already, which stays as it is. */
  create(name: string, text: string, signal: AbortSignal): Promise<boolean>;
  /** For `conversations/`, `index/` and `status/`, which mean "the latest". Where the bucket forbids it, the earlier one stays: false. */
  replace(name: string, text: string, signal: AbortSignal): Promise<boolean>;
  /** undefined where there is none. */
  read(name: string, signal: AbortSignal): Promise<string | undefined>;
  /** Whose names begin with `prefix`, in order, by code unit. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ListedNote>;
  /** False where there was none. @throws Failure `conflict` where a hold or a retention policy keeps it */
  remove(name: string, signal: AbortSignal): Promise<boolean>;
}

/** The name itself. @throws Failure `bad-request` where it is no name of a note, so that no case or id leads out of its folder */
function noteName(name: string): string {
  const folder = requireName(name).slice(0, name.indexOf('/'));
  if (NOTE_FOLDERS.some((known) => known === folder)) return name;
  throw new Failure('bad-request', `${folder}/ holds no notes; expected ${NOTE_FOLDERS.join(', ')}.`);
}

/** Notes as objects of an archive, of whatever kind that is. */
export class ObjectNotes implements Notes {
  readonly #objects: Objects;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  async create(name: string, text: string, signal: AbortSignal): Promise<boolean> {
    return this.#objects.put(noteName(name), text, signal);
  }

  async replace(name: string, text: string, signal: AbortSignal): Promise<boolean> {
    return this.#objects.replace(noteName(name), text, signal);
  }

  async read(name: string, signal: AbortSignal): Promise<string | undefined> {
    return this.#objects.get(noteName(name), signal);
  }

  list(prefix: string, signal: AbortSignal): AsyncIterable<ListedNote> {
    return ownAmong(this.#objects.list(prefix, signal));
  }

  async remove(name: string, signal: AbortSignal): Promise<boolean> {
    const removal = await this.#objects.remove(noteName(name), signal);
    if (removal !== 'kept') return removal === 'removed';
    throw new Failure(
      'conflict',
      `${name} is kept by a hold or a retention policy of the bucket: it can be removed once that ends.`,
    );
  }
}

/** The small texts beside recordings (proofs, holds, marks, audit, details, index, status): the contract of where they lie. */
import { Failure } from '../failure.ts';

/** Folders of the archive that hold notes; nothing else can be written, read or removed by way of them. */
export const NOTE_FOLDERS = [
  'proofs',
  'holds',
  'erased',
  'audit',
  'conversations',
  'index',
  'status',
  'staging',
] as const;

export interface ListedNote {
  readonly name: string;
  readonly sizeBytes: number;
  /** ISO 8601, UTC. */
  readonly writtenAt: string;
}

export interface Notes {
  /** Durable when it resolves. False where something lies there already, which stays as it is. */
  create(name: string, text: string, signal: AbortSignal): Promise<boolean>;
  /** For `conversations/`, `index/` and `status/`, which mean "the latest". Where the bucket forbids it, the earlier one stays: false. */
  replace(name: string, text: string, signal: AbortSignal): Promise<boolean>;
  /** undefined where there is none. */
  read(name: string, signal: AbortSignal): Promise<string | undefined>;
  /** Whose names begin with `prefix`, by code unit within each folder. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ListedNote>;
  /** False where there was none. @throws Failure `conflict` where a hold or a retention policy keeps it */
  remove(name: string, signal: AbortSignal): Promise<boolean>;
}

const SEGMENT = /^[0-9A-Za-z_.=:-]{1,300}$/;

/** The name itself. @throws Failure `bad-request` where it is no name of a note, so that no case or id leads out of its folder */
export function noteName(name: string): string {
  const [folder = '', ...rest] = name.split('/');
  const isKnown = NOTE_FOLDERS.some((known) => known === folder);
  const isNamed = rest.length > 0 && rest.every((segment) => SEGMENT.test(segment) && !/^\.+$/.test(segment));
  if (isKnown && isNamed) return name;
  throw new Failure('bad-request', 'A name in the archive holds 0-9 A-Z a-z _ . = : - only, between slashes.');
}

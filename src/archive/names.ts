/** Where everything lies in an archive: names with slashes, the same in a folder and, behind its prefix, in a bucket. */
import { Failure } from '../failure.ts';
import { canonicalId, keyOf, pathOf, recordingOfKey, type Recording } from '../recording.ts';

export const RECORDINGS = 'recordings/';
export const DAYS = 'days/';
export const STAGING = 'staging/';
export const ERASED = 'erased/';
export const WEBM_FILE = 'recording.webm';
export const MANIFEST_FILE = 'manifest.json';
export const LEVELS_FILE = 'levels.bin';
/** In a folder archive alone: what lies beside it may not be removed. A bucket has flags of its own. */
export const HELD_FILE = 'held';

/** `recordings/{conversationId|_}/{recordingId}/{file}` */
export function besideName(recording: Recording, file: string): string {
  return `${RECORDINGS}${pathOf(recording)}/${file}`;
}

export function heldName(recording: Recording): string {
  return besideName(recording, HELD_FILE);
}

export function webmName(recording: Recording): string {
  return besideName(recording, WEBM_FILE);
}

export function manifestName(recording: Recording): string {
  return besideName(recording, MANIFEST_FILE);
}

/** Who speaks when: its bytes are those of src/levels.ts. */
export function levelsName(recording: Recording): string {
  return besideName(recording, LEVELS_FILE);
}

/** `days/{yyyy-mm-dd}/{key}`: an empty object that a listing finds. */
export function dayName(day: string, recording: Recording): string {
  return `${DAYS}${day}/${keyOf(recording)}`;
}

export function stagingName(name: string): string {
  return `${STAGING}${name}`;
}

/** A recording, or (where `recordingId` is undefined) a whole conversation, of which a record may say why it is not archived. */
export interface Subject {
  readonly recordingId: string | undefined;
  readonly conversationId: string | undefined;
}

/** A recording's key; `{conversationId}._` for a whole conversation, which no recording's key can be. @throws Failure `bad-request` */
export function subjectKey({ recordingId, conversationId }: Subject): string {
  if (recordingId !== undefined) return keyOf({ recordingId, conversationId });
  if (conversationId !== undefined) return `${conversationId}._`;
  throw new Failure('bad-request', 'A record needs a recordingId or a conversationId.');
}

/** The reverse of {@link subjectKey}; undefined for a name that is no key. */
export function subjectOfKey(key: string): Subject | undefined {
  const recording = recordingOfKey(key);
  if (recording !== undefined) return recording;
  const conversation = key.endsWith('._') ? recordingOfKey(`_.${key.slice(0, -2)}`) : undefined;
  return conversation === undefined ? undefined : { recordingId: undefined, conversationId: conversation.recordingId };
}

/** As it is spoken of, whatever spelling it lies under. */
export function canonicalSubject({ recordingId, conversationId }: Subject): Subject {
  return {
    recordingId: recordingId === undefined ? undefined : canonicalId(recordingId),
    conversationId: conversationId === undefined ? undefined : canonicalId(conversationId),
  };
}

/** Why something is not there, or not yet. */
export type ReasonKind = 'failures' | 'waiting';

export function reasonName(kind: ReasonKind, subject: Subject): string {
  return `${kind}/${subjectKey(subject)}.json`;
}

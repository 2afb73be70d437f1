/** Untrusted ids → the recording value everything else works with, and its names in the archive. */
import { Failure } from './failure.ts';

/** Ids only, never a URL: media URLs live for minutes and are bearer secrets. */
export interface Recording {
  readonly recordingId: string;
  /** Absent where only the Media API is spoken to. */
  readonly conversationId: string | undefined;
}

const ID = /^[0-9A-Za-z_-]{1,128}$/;
const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** As some tools print a GUID: in braces, or as a URN (RFC 9562 §4). */
const DRESSED_GUID = /^(?:\{([0-9a-f-]{36})\}|urn:uuid:([0-9a-f-]{36}))$/i;

/**
 * An id as it may appear in a path, URL or object name. `_` alone is the archive's word for "none". GUIDs compare without
 * case (RFC 9562 §4: read in either, written in lower case) and are one object: they come out in lower case.
 */
export function parseId(value: unknown, field: string): string {
  return canonicalId(parseStoredId(undressed(value), field));
}

function undressed(value: unknown): unknown {
  const [, braced, bare] = typeof value === 'string' ? (DRESSED_GUID.exec(value) ?? []) : [];
  return braced ?? bare ?? value;
}

/** Like {@link parseId}, where `undefined` and `null` mean "none". */
export function parseOptionalId(value: unknown, field: string): string | undefined {
  return value === undefined || value === null ? undefined : parseId(value, field);
}

/** An id as it lies in an archive: there a GUID may be in capitals, from before they were read without case. */
export function parseStoredId(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new Failure('bad-request', `${field}: expected a string.`);
  if (!isId(value)) {
    throw new Failure('bad-request', `${field}: expected 1 to 128 characters of 0-9 A-Z a-z _ - (and not "_" alone).`);
  }
  return value;
}

/** Whether a text may be an id; `_` alone is the archive's word for "none", and is none. */
export function isId(text: string): boolean {
  return ID.test(text) && text !== '_';
}

/** A GUID in lower case; other ids mean what they say. */
export function canonicalId(id: string): string {
  return GUID.test(id) ? id.toLowerCase() : id;
}

/** As it is asked for and archived today, however it lies in an archive. */
export function canonicalRecording({ recordingId, conversationId }: Recording): Recording {
  return {
    recordingId: canonicalId(recordingId),
    conversationId: conversationId === undefined ? undefined : canonicalId(conversationId),
  };
}

/** The names a recording may lie under in an archive: its own, then with GUIDs in capitals, as they once were taken. */
export function spellingsOf(recording: Recording): readonly Recording[] {
  const { recordingId, conversationId } = recording;
  const capitals = {
    recordingId: inCapitals(recordingId),
    conversationId: conversationId === undefined ? undefined : inCapitals(conversationId),
  };
  return keyOf(capitals) === keyOf(recording) ? [recording] : [recording, capitals];
}

function inCapitals(id: string): string {
  return GUID.test(id) ? id.toUpperCase() : id;
}

/** `{conversationId|_}/{recordingId}`: where the recording lies under recordings/. */
export function pathOf(recording: Recording): string {
  return `${recording.conversationId ?? '_'}/${recording.recordingId}`;
}

/** `{conversationId|_}.{recordingId}`: its name under days/ and failures/. Ids hold no dot, so it splits uniquely. */
export function keyOf(recording: Recording): string {
  return `${recording.conversationId ?? '_'}.${recording.recordingId}`;
}

/** The reverse of {@link keyOf}; undefined for a name that is no key. */
export function recordingOfKey(key: string): Recording | undefined {
  const [conversation, recording, ...rest] = key.split('.');
  if (conversation === undefined || recording === undefined || rest.length > 0) return undefined;
  if (!ID.test(recording) || recording === '_' || !ID.test(conversation)) return undefined;
  return { recordingId: recording, conversationId: conversation === '_' ? undefined : conversation };
}

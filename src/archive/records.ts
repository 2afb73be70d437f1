/** The JSON that lies in an archive → typed records. */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { PICTURE_COLUMNS } from '../levels.ts';
import { canonicalId, parseStoredId, type Recording } from '../recording.ts';
import type { FailureRecord, Manifest, SourceFacts, WaitingRecord, WebmFacts } from './manifest.ts';
import type { Subject } from './names.ts';

/** GUIDs without case: a file system may not tell their folders apart either. */
export function isOf(manifest: Manifest, recording: Recording): boolean {
  const { recordingId, conversationId } = manifest;
  return (
    canonicalId(recordingId) === canonicalId(recording.recordingId) &&
    canonicalId(conversationId ?? '') === canonicalId(recording.conversationId ?? '')
  );
}

/** What a record that was read is about. */
export function subjectOf(record: FailureRecord | WaitingRecord): Subject {
  return { recordingId: record.recordingId ?? undefined, conversationId: record.conversationId ?? undefined };
}

/** Something lies there, but not what this service writes. */
export function isUnreadable(thrown: unknown): thrown is Failure {
  return thrown instanceof Failure && thrown.code === 'conflict';
}

/** What stands for something that cannot be read: a failure since it was last written. */
export function unreadableRecord(subject: Subject, { code, message }: Failure, failedAt: string): FailureRecord {
  return {
    version: 1,
    recordingId: subject.recordingId ?? null,
    conversationId: subject.conversationId ?? null,
    status: 'failed',
    code,
    reason: message,
    attempts: 0,
    failedAt,
    service: '',
  };
}

/** The UTC day (`yyyy-mm-dd`) a recording is listed under: the day it started, else the day it was archived. */
export function dayOf(manifest: Manifest): string {
  return (manifest.recordedAt ?? manifest.finishedAt).slice(0, 10);
}

/** @throws Failure `conflict` naming the field: what lies there was not written by this service, or was damaged. */
export function parseManifest(text: string): Manifest {
  return parseRecord(text, 'manifest.json', (fields) => ({
    version: 1,
    ...recordingIds(fields),
    api: fields.requireChoice('api', ['recordings', 'media', 'voicemail']),
    medium: fields.requireChoice('medium', ['audio', 'video']),
    recordedAt: fields.raw('recordedAt') === null ? null : requireUtc(fields, 'recordedAt'),
    sources: fields.requireArray('sources').map(parseSource),
    way: fields.requireText('way'),
    why: fields.requireText('why'),
    encoder: fields.raw('encoder') === null ? null : fields.requireText('encoder'),
    webm: parseWebm(fields.requireFields('webm')),
    startedAt: requireUtc(fields, 'startedAt'),
    finishedAt: requireUtc(fields, 'finishedAt'),
    attempt: fields.requireCount('attempt'),
    service: fields.requireText('service'),
    ...(fields.raw('traceparent') === undefined ? {} : { traceparent: fields.requireText('traceparent') }),
    ...parseLevelFacts(fields),
  }));
}

/** undefined for no text, and for one that is no manifest. */
export function tryManifest(text: string | undefined): Manifest | undefined {
  try {
    return text === undefined ? undefined : parseManifest(text);
  } catch {
    return undefined;
  }
}

/** @throws Failure `conflict` naming the field */
export function parseFailureRecord(text: string): FailureRecord {
  return parseRecord(text, 'The failure record', (fields) => ({
    version: 1,
    ...subjectIds(fields),
    status: fields.requireChoice('status', ['failed', 'no-media', 'no-recordings']),
    code: fields.requireText('code'),
    reason: fields.requireText('reason'),
    attempts: fields.requireCount('attempts'),
    failedAt: requireUtc(fields, 'failedAt'),
    service: fields.requireText('service'),
  }));
}

/** @throws Failure `conflict` naming the field */
export function parseWaitingRecord(text: string): WaitingRecord {
  return parseRecord(text, 'The record of what waits', (fields) => ({
    version: 1,
    ...subjectIds(fields),
    code: fields.requireText('code'),
    sort: fields.requireText('sort'),
    reason: fields.requireText('reason'),
    since: requireUtc(fields, 'since'),
    nextTry: requireUtc(fields, 'nextTry'),
    attempts: fields.requireCount('attempts'),
    service: fields.requireText('service'),
  }));
}

function parseRecord<T>(text: string, what: string, parse: (fields: Fields) => T): T {
  try {
    const fields = Fields.of(JSON.parse(text), '');
    if (fields.raw('version') !== 1) throw new Error('version: expected 1; a newer service may have written it');
    return parse(fields);
  } catch (cause) {
    const detail = cause instanceof SyntaxError || !(cause instanceof Error) ? 'expected JSON' : cause.message;
    throw new Failure(
      'conflict',
      `${what} in the archive cannot be read (${detail.replace(/\.$/, '')}): restore it, or move it away so that it is made anew.`,
      { cause },
    );
  }
}

function recordingIds(fields: Fields): Pick<Manifest, 'recordingId' | 'conversationId'> {
  return {
    recordingId: parseStoredId(fields.raw('recordingId'), 'recordingId'),
    conversationId: storedIdOrNull(fields, 'conversationId'),
  };
}

/** An id as it lies there, `null` where there is none. @throws Failure `bad-request` naming the field */
export function storedIdOrNull(fields: Fields, name: string): string | null {
  const value = fields.raw(name) ?? null;
  return value === null ? null : parseStoredId(value, name);
}

function subjectIds(fields: Fields): Pick<FailureRecord, 'recordingId' | 'conversationId'> {
  return {
    recordingId: storedIdOrNull(fields, 'recordingId'),
    conversationId: storedIdOrNull(fields, 'conversationId'),
  };
}

/** Records are listed by the first ten letters of their moments: these have to be UTC's. */
function requireUtc(fields: Fields, name: string): string {
  const text = fields.requireInstant(name);
  if (text.endsWith('Z')) return text;
  throw new Error(`${fields.nameOf(name)}: expected a date in UTC, ending in Z`);
}

function parseSource(value: unknown, index: number): SourceFacts {
  const fields = Fields.of(value, `sources[${String(index)}]`);
  return {
    channel: fields.requireText('channel'),
    contentType: fields.requireText('contentType'),
    sizeBytes: fields.requireCount('sizeBytes'),
    sha256: fields.requireText('sha256', SHA256),
    ...(fields.raw('original') === undefined ? {} : { original: fields.requireText('original', ORIGINAL) }),
  };
}

function parseWebm(fields: Fields): WebmFacts {
  return {
    contentType: fields.requireChoice('contentType', ['audio/webm', 'video/webm']),
    sizeBytes: fields.requireCount('sizeBytes'),
    sha256: fields.requireText('sha256', SHA256),
    crc32c: fields.requireText('crc32c', CRC32C),
    durationMs: fields.requireNumber('durationMs'),
    channels: fields.requireCount('channels'),
    codecs: fields.requireArray('codecs').map((codec) => parseCodec(codec, fields)),
  };
}

/** Only a picture of the recording: what cannot be read of it is left out, and is no reason to refuse the rest. */
function parseLevelFacts(manifest: Fields): Pick<Manifest, 'levels'> {
  if (manifest.raw('levels') === undefined) return {};
  try {
    const fields = manifest.requireFields('levels');
    return {
      levels: {
        picture: fields.requireArray('picture').map(parsePicture),
        speakingS: fields.requireArray('speakingS').map(parseSeconds),
        bothS: parseSeconds(fields.raw('bothS')),
        silentS: parseSeconds(fields.raw('silentS')),
        longestSilenceS: parseSeconds(fields.raw('longestSilenceS')),
      },
    };
  } catch {
    return {};
  }
}

function parsePicture(value: unknown): string {
  if (typeof value === 'string' && PICTURE.test(value)) return value;
  throw new Error('levels.picture: expected 28 hex digits for each channel');
}

function parseSeconds(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new Error('levels: expected seconds');
}

function parseCodec(value: unknown, webm: Fields): string {
  if (typeof value === 'string') return value;
  throw new Error(`${webm.nameOf('codecs')}: expected strings`);
}

const SHA256 = /^[0-9a-f]{64}$/;
const PICTURE = new RegExp(`^[0-9a-f]{${String(PICTURE_COLUMNS)}}$`);
const CRC32C = /^[A-Za-z0-9+/]{5}[AQgw]==$/;
/** `original[.N].{ext}`: a name in the recording's own folder, never a path. */
const ORIGINAL = /^original(\.\d{1,4})?\.[0-9a-z]{1,16}$/;

/** `original.{ext}` for a single source file, `original.{index}.{ext}` for one of several. */
export function originalName(index: number, count: number, extension: string): string {
  const name = count === 1 ? `original.${extension}` : `original.${String(index)}.${extension}`;
  if (!ORIGINAL.test(name)) {
    throw new Failure('internal', `"${extension}" cannot end the name of an original: expected 1 to 16 of a-z 0-9.`);
  }
  return name;
}

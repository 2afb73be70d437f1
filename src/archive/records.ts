/** Turns the JSON that lies in an archive into typed records, and records into the names they lie under. */
import { Failure } from '../failure.ts';
import { isDay } from '../instant.ts';
import { keyOf, parseId, parseOptionalId } from '../recording.ts';
import type { FailureRecord, Manifest, SourceFacts, WaitingRecord, WebmFacts } from './manifest.ts';

/** What a failure record is about: a recording, or a conversation whose recordings could not be found out. */
export interface FailureSubject {
  readonly recordingId: string | undefined;
  readonly conversationId: string | undefined;
}

/** What a record that was read is about. */
export function subjectOf(record: FailureRecord | WaitingRecord): FailureSubject {
  return { recordingId: record.recordingId ?? undefined, conversationId: record.conversationId ?? undefined };
}

/** A recording's key; `{conversationId}._` for a whole conversation, which no recording's key can be. */
export function failureKeyOf(subject: FailureSubject): string {
  if (subject.recordingId !== undefined) {
    return keyOf({ recordingId: subject.recordingId, conversationId: subject.conversationId });
  }
  if (subject.conversationId !== undefined) return `${subject.conversationId}._`;
  throw new Failure('bad-request', 'A failure record needs a recordingId or a conversationId.');
}

/** The UTC day (`yyyy-mm-dd`) a recording is listed under: the day it started, else the day it was archived. */
export function dayOf(manifest: Manifest): string {
  return (manifest.recordedAt ?? manifest.finishedAt).slice(0, 10);
}

/** @throws Failure `conflict` naming the field: what lies there was not written by this service, or was damaged. */
export function parseManifest(text: string): Manifest {
  return damaged('manifest.json', () => {
    const fields = parseFields(JSON.parse(text), '');
    if (fields.get('version') !== 1) throw new Error('version: expected 1; a newer service may have written it');
    const traceparent = fields.get('traceparent');
    return {
      version: 1,
      recordingId: parseId(fields.get('recordingId'), 'recordingId'),
      conversationId: parseOptionalId(fields.get('conversationId'), 'conversationId') ?? null,
      api: parseChoice(fields.get('api'), 'api', ['recordings', 'media']),
      medium: parseChoice(fields.get('medium'), 'medium', ['audio', 'video']),
      recordedAt: fields.get('recordedAt') === null ? null : parseInstant(fields.get('recordedAt'), 'recordedAt'),
      sources: parseArray(fields.get('sources'), 'sources').map(parseSource),
      way: parseText(fields.get('way'), 'way'),
      why: parseText(fields.get('why'), 'why'),
      encoder: fields.get('encoder') === null ? null : parseText(fields.get('encoder'), 'encoder'),
      webm: parseWebm(fields.get('webm')),
      startedAt: parseInstant(fields.get('startedAt'), 'startedAt'),
      finishedAt: parseInstant(fields.get('finishedAt'), 'finishedAt'),
      attempt: parseCount(fields.get('attempt'), 'attempt'),
      service: parseText(fields.get('service'), 'service'),
      ...(traceparent === undefined ? {} : { traceparent: parseText(traceparent, 'traceparent') }),
    };
  });
}

/** @throws Failure `conflict` naming the field */
export function parseFailureRecord(text: string): FailureRecord {
  return damaged('The failure record', () => {
    const fields = parseFields(JSON.parse(text), '');
    if (fields.get('version') !== 1) throw new Error('version: expected 1; a newer service may have written it');
    return {
      version: 1,
      recordingId: parseOptionalId(fields.get('recordingId'), 'recordingId') ?? null,
      conversationId: parseOptionalId(fields.get('conversationId'), 'conversationId') ?? null,
      status: parseChoice(fields.get('status'), 'status', ['failed', 'no-media', 'no-recordings']),
      code: parseText(fields.get('code'), 'code'),
      reason: parseText(fields.get('reason'), 'reason'),
      attempts: parseCount(fields.get('attempts'), 'attempts'),
      failedAt: parseInstant(fields.get('failedAt'), 'failedAt'),
      service: parseText(fields.get('service'), 'service'),
    };
  });
}

/** @throws Failure `conflict` naming the field */
export function parseWaitingRecord(text: string): WaitingRecord {
  return damaged('The record of what waits', () => {
    const fields = parseFields(JSON.parse(text), '');
    if (fields.get('version') !== 1) throw new Error('version: expected 1; a newer service may have written it');
    return {
      version: 1,
      recordingId: parseOptionalId(fields.get('recordingId'), 'recordingId') ?? null,
      conversationId: parseOptionalId(fields.get('conversationId'), 'conversationId') ?? null,
      code: parseText(fields.get('code'), 'code'),
      sort: parseText(fields.get('sort'), 'sort'),
      reason: parseText(fields.get('reason'), 'reason'),
      since: parseInstant(fields.get('since'), 'since'),
      nextTry: parseInstant(fields.get('nextTry'), 'nextTry'),
      attempts: parseCount(fields.get('attempts'), 'attempts'),
      service: parseText(fields.get('service'), 'service'),
    };
  });
}

function damaged<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    const detail = cause instanceof SyntaxError || !(cause instanceof Error) ? 'expected JSON' : cause.message;
    throw new Failure(
      'conflict',
      `${what} in the archive cannot be read (${detail.replace(/\.$/, '')}): restore it, or move it away so that it is made anew.`,
      { cause },
    );
  }
}

function parseSource(value: unknown, index: number): SourceFacts {
  const field = `sources[${String(index)}]`;
  const fields = parseFields(value, field);
  const original = fields.get('original');
  return {
    channel: parseText(fields.get('channel'), `${field}.channel`),
    contentType: parseText(fields.get('contentType'), `${field}.contentType`),
    sizeBytes: parseCount(fields.get('sizeBytes'), `${field}.sizeBytes`),
    sha256: parsePattern(fields.get('sha256'), `${field}.sha256`, SHA256),
    ...(original === undefined ? {} : { original: parsePattern(original, `${field}.original`, ORIGINAL) }),
  };
}

function parseWebm(value: unknown): WebmFacts {
  const fields = parseFields(value, 'webm');
  return {
    contentType: parseChoice(fields.get('contentType'), 'webm.contentType', ['audio/webm', 'video/webm']),
    sizeBytes: parseCount(fields.get('sizeBytes'), 'webm.sizeBytes'),
    sha256: parsePattern(fields.get('sha256'), 'webm.sha256', SHA256),
    crc32c: parsePattern(fields.get('crc32c'), 'webm.crc32c', CRC32C),
    durationMs: parseNumber(fields.get('durationMs'), 'webm.durationMs'),
    channels: parseCount(fields.get('channels'), 'webm.channels'),
    codecs: parseArray(fields.get('codecs'), 'webm.codecs').map((codec) => parseText(codec, 'webm.codecs')),
  };
}

const SHA256 = /^[0-9a-f]{64}$/;
const CRC32C = /^[A-Za-z0-9+/]{5}[AQgw]==$/;
/** `original[.N].{ext}`: a name in the recording's own folder, never a path. */
const ORIGINAL = /^original(\.\d{1,4})?\.[0-9a-z]{1,16}$/;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;

/** `original.{ext}` for a single source file, `original.{index}.{ext}` for one of several. */
export function originalName(index: number, count: number, extension: string): string {
  const name = count === 1 ? `original.${extension}` : `original.${String(index)}.${extension}`;
  if (!ORIGINAL.test(name)) {
    throw new Failure('internal', `"${extension}" cannot end the name of an original: expected 1 to 16 of a-z 0-9.`);
  }
  return name;
}

function parseFields(value: unknown, field: string): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw expected(field, 'an object');
  return new Map<string, unknown>(Object.entries(value));
}

function parseArray(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value)) throw expected(field, 'an array');
  return value;
}

function parseText(value: unknown, field: string): string {
  if (typeof value !== 'string') throw expected(field, 'a string');
  return value;
}

function parsePattern(value: unknown, field: string, pattern: RegExp): string {
  const text = parseText(value, field);
  if (!pattern.test(text)) throw expected(field, `text like ${pattern.source}`);
  return text;
}

function parseInstant(value: unknown, field: string): string {
  const text = parsePattern(value, field, INSTANT);
  if (!isDay(text.slice(0, 10)) || Number.isNaN(Date.parse(text))) throw expected(field, 'a date that exists');
  return text;
}

function parseNumber(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw expected(field, 'a number from 0');
  return value;
}

function parseCount(value: unknown, field: string): number {
  const number = parseNumber(value, field);
  if (!Number.isSafeInteger(number)) throw expected(field, 'a whole number');
  return number;
}

function parseChoice<const T extends string>(value: unknown, field: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw expected(field, choices.join(' or '));
  return found;
}

function expected(field: string, what: string): Error {
  return new Error(`${field === '' ? 'its top level' : field}: expected ${what}`);
}

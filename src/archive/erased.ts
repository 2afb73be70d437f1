/**
 * The mark that something is gone on purpose and stays gone: `erased/{conversationId|_}.{recordingId|_}.json`, created once. A
 * conversation's mark (`C._`) covers whatever of it would still come.
 */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { isDay } from '../instant.ts';
import { canonicalId, type Recording } from '../recording.ts';
import { inBatches } from './in-batches.ts';
import { canonicalSubject, ERASED, subjectKey, subjectOfKey, type Subject } from './names.ts';
import type { Notes } from './notes.ts';
import type { Objects } from './objects.ts';
import { storedIdOrNull } from './records.ts';

const WIDTH = 16;
/** Names that Cloud Storage lists by one request. */
const ONE_PAGE = 1_000;
/** A page costs as much as 12 questions: https://cloud.google.com/storage/pricing#operations-pricing */
const LISTED_FOR_EACH = 80;

export interface ErasedRecord {
  readonly version: 1;
  readonly conversationId: string | null;
  /** null for a whole conversation. */
  readonly recordingId: string | null;
  readonly reason: string;
  /** As the audit names them. */
  readonly by: string;
  /** When its erasure began: the mark comes first. ISO 8601, UTC. */
  readonly erasedAt: string;
  /** UTC days it was listed or indexed under. */
  readonly days: readonly string[];
  /** SHA-256, hex, of its manifest.json as it lay there; absent where there was none. */
  readonly manifestSha256?: string;
}

/** Durable when it resolves: from here on nobody makes it again. False where the mark lies there already. */
export async function markErased(mark: ErasedRecord, notes: Notes, signal: AbortSignal): Promise<boolean> {
  const subject = { recordingId: mark.recordingId ?? undefined, conversationId: mark.conversationId ?? undefined };
  return notes.create(erasedName(subject), `${JSON.stringify(mark, null, 2)}\n`, signal);
}

/** Asked where nothing was found, and once more before something is stored: two names at once. @throws Failure `erased` */
export async function requireNotErased(recording: Recording, objects: Objects, signal: AbortSignal): Promise<void> {
  const marks = await Promise.all(erasedNames(recording).map((name) => objects.get(name, signal)));
  if (marks.every((mark) => mark === undefined)) return;
  throw new Failure('erased', 'This recording was erased on purpose: it is neither played nor made again.');
}

/** By its own mark or by its conversation's. */
export async function isErased(subject: Subject, notes: Notes, signal: AbortSignal): Promise<boolean> {
  const marks = await Promise.all(erasedNames(subject).map((name) => notes.read(name, signal)));
  return marks.some((mark) => mark !== undefined);
}

/** Each of them. */
export async function areErased(subjects: readonly Subject[], notes: Notes, signal: AbortSignal): Promise<boolean> {
  for (const subject of subjects) if (!(await isErased(subject, notes, signal))) return false;
  return true;
}

/**
 * Those of them that are marked, in their order. Where marks are few, which is nearly always, one listing tells of all; else each is
 * asked for, {@link WIDTH} at once.
 */
export function erasedAmong<T extends Subject>(
  subjects: readonly T[],
  notes: Notes,
  signal: AbortSignal,
): Promise<readonly T[]> {
  return erasedBeside({ subjects, beside: () => [] }, notes, signal);
}

/** The same, and then those of `beside`, where one listing tells of them as well: no question is asked for these. */
export async function erasedBeside<T extends Subject>(
  { subjects, beside }: { readonly subjects: readonly T[]; readonly beside: () => Iterable<T> },
  notes: Notes,
  signal: AbortSignal,
): Promise<readonly T[]> {
  const marks = await listFewMarks(notes, LISTED_FOR_EACH * subjects.length, signal);
  if (marks?.size === 0) return [];
  if (marks !== undefined)
    return [...subjects, ...beside()].filter((subject) => erasedNames(subject).some((name) => marks.has(name)));
  const erased: T[] = [];
  for await (const some of inBatches(subjects, WIDTH)) {
    const areErased = await Promise.all(some.map((subject) => isErased(subject, notes, signal)));
    erased.push(...some.filter((_, at) => areErased[at] === true));
  }
  return erased;
}

/** Names of all marks; undefined where there are more. */
async function listFewMarks(notes: Notes, most: number, signal: AbortSignal): Promise<ReadonlySet<string> | undefined> {
  const marks = new Set<string>();
  for await (const { name } of notes.list(ERASED, signal)) {
    if (marks.size >= Math.max(most, ONE_PAGE)) return undefined;
    marks.add(name);
  }
  return marks;
}

/** Its own mark alone. @throws Failure `conflict` where it cannot be read */
export async function erasedMark(
  subject: Subject,
  notes: Notes,
  signal: AbortSignal,
): Promise<ErasedRecord | undefined> {
  const name = erasedName(subject);
  const text = await notes.read(name, signal);
  return text === undefined ? undefined : parseErasedMark(text, name);
}

/** Its own mark and its conversation's, those that there are. @throws Failure `conflict` where one cannot be read */
export async function erasedMarks(
  subject: Subject,
  notes: Notes,
  signal: AbortSignal,
): Promise<readonly ErasedRecord[]> {
  const names = erasedNames(subject);
  const texts = await Promise.all(names.map((name) => notes.read(name, signal)));
  return names.flatMap((name, at) => (texts[at] === undefined ? [] : [parseErasedMark(texts[at], name)]));
}

/** By name; of one conversation, or all. @throws Failure `conflict` where one cannot be read */
export async function* listErased(
  notes: Notes,
  signal: AbortSignal,
  conversationId?: string,
): AsyncGenerator<ErasedRecord> {
  const prefix = conversationId === undefined ? ERASED : `${ERASED}${canonicalId(conversationId)}.`;
  for await (const { name } of notes.list(prefix, signal)) {
    const text = isMark(name) ? await notes.read(name, signal) : undefined;
    if (text !== undefined) yield parseErasedMark(text, name);
  }
}

/** For whoever finds that it has to stay. False where a retention policy of the bucket keeps the mark. */
export async function takeBackErasure(subject: Subject, notes: Notes, signal: AbortSignal): Promise<boolean> {
  try {
    await notes.remove(erasedName(subject), signal);
    return true;
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === 'conflict') return false;
    throw thrown;
  }
}

export function erasedNames({ recordingId, conversationId }: Subject): readonly string[] {
  if (recordingId === undefined || conversationId === undefined) return [erasedName({ recordingId, conversationId })];
  return [erasedName({ recordingId, conversationId }), erasedName({ recordingId: undefined, conversationId })];
}

function isMark(name: string): boolean {
  return name.endsWith('.json') && subjectOfKey(name.slice(ERASED.length, -'.json'.length)) !== undefined;
}

function erasedName(subject: Subject): string {
  return `${ERASED}${subjectKey(canonicalSubject(subject))}.json`;
}

function parseErasedMark(text: string, name: string): ErasedRecord {
  try {
    const value: unknown = JSON.parse(text);
    const fields = Fields.of(value, '');
    const manifestSha256 = fields.text('manifestSha256');
    return {
      version: 1,
      conversationId: storedIdOrNull(fields, 'conversationId'),
      recordingId: storedIdOrNull(fields, 'recordingId'),
      reason: fields.requireText('reason'),
      by: fields.requireText('by'),
      erasedAt: fields.requireInstant('erasedAt'),
      days: (fields.array('days') ?? []).filter((day) => typeof day === 'string').filter(isDay),
      ...(manifestSha256 === undefined ? {} : { manifestSha256 }),
    };
  } catch (cause) {
    throw new Failure(
      'conflict',
      `${name} cannot be read: restore it from a copy, so that it is known what was erased.`,
      { cause },
    );
  }
}

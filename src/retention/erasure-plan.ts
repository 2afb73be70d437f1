/** What somebody wants erased → each recording and conversation that would go, and what forbids it. */
import type { Archive } from '../archive/archive.ts';
import { listedEntries } from '../archive/page.ts';
import { readIndexFile } from '../archive/day-index.ts';
import { erasedMark, isErased, listErased } from '../archive/erased.ts';
import { holdsOn } from '../archive/holds.ts';
import { inBatches } from '../archive/in-batches.ts';
import { canonicalSubject, subjectKey, subjectOfKey, type Subject } from '../archive/names.ts';
import type { Removable, Remains } from '../archive/remains.ts';
import { dayBefore } from '../instant.ts';
import { isHeldFirst } from './erasure.ts';

/** One thing that was looked at. */
export type Planned = Removable & { readonly remains: Remains } & (
    | { readonly state: 'to-erase' }
    /** Nothing is left of it but what Cloud Storage can restore until then. */
    | { readonly state: 'before'; readonly until: string | undefined }
    | { readonly state: 'held'; readonly cases: readonly string[] }
    /** By itself, or by a retention policy of the bucket. */
    | { readonly state: 'locked'; readonly until: string }
  );

/** Looked at side by side. */
const WIDTH = 8;

/** Each of them; of a conversation first all its recordings, and then itself. */
export async function* planNamed(
  targets: readonly Subject[],
  archive: Archive,
  signal: AbortSignal,
): AsyncGenerator<Planned> {
  yield* lookAtAll(withoutRepeats(withTheirRecordings(targets, archive, signal)), archive, signal);
}

/**
 * Whatever is listed on a day before `before`; and what never was archived, but stands in the index of such a day, or stood there
 * before its erasure was begun.
 */
export async function* planOlder(before: string, archive: Archive, signal: AbortSignal): AsyncGenerator<Planned> {
  const dated = async function* (): AsyncGenerator<Removable> {
    for await (const { recording, day } of archive.dated(before, signal)) yield { subject: recording, days: [day] };
    yield* missedBefore(before, archive, signal);
    yield* begunBefore(before, archive, signal);
  };
  yield* lookAtAll(withoutRepeats(dated()), archive, signal);
}

/** What failed, waits or has no media may have its numbers and names kept all the same. What is archived goes by its own day. */
async function* missedBefore(before: string, { notes }: Archive, signal: AbortSignal): AsyncGenerator<Removable> {
  for await (const { name } of notes.list('index/', signal)) {
    const [, day] = /^index\/day=(\d{4}-\d\d-\d\d)\/.*\.jsonl$/.exec(name) ?? [];
    if (day === undefined || day >= before) continue;
    for (const { key, status } of await readIndexFile(name, notes, signal)) {
      const subject = status === 'archived' || status === 'moved' ? undefined : subjectOfKey(key);
      if (subject !== undefined) yield { subject, days: [day] };
    }
  }
}

/** Its lines of the index go first, and the reason why it is not there last. */
async function* begunBefore(before: string, archive: Archive, signal: AbortSignal): AsyncGenerator<Removable> {
  const to = dayBefore(before, 1);
  for (const status of MISSED)
    for await (const { recording } of listedEntries({ to, status, limit: 200 }, archive, signal))
      if (await isErased(recording, archive.notes, signal)) yield { subject: recording, days: [] };
}

const MISSED = ['failed', 'waiting', 'no-media', 'no-recordings'] as const;

async function* withTheirRecordings(
  targets: readonly Subject[],
  archive: Archive,
  signal: AbortSignal,
): AsyncGenerator<Removable> {
  for (const subject of targets) {
    const { recordingId, conversationId } = subject;
    if (recordingId === undefined && conversationId !== undefined) {
      for await (const recording of archive.recordingsOf(conversationId, signal))
        yield { subject: recording, days: [] };
      for await (const recording of reasonsOf(conversationId, archive, signal)) yield { subject: recording, days: [] };
      for await (const mark of listErased(archive.notes, signal, conversationId))
        if (mark.recordingId !== null)
          yield { subject: { recordingId: mark.recordingId, conversationId }, days: mark.days };
    }
  }
  for (const subject of targets) yield { subject, days: [] };
}

/** What failed or waits of it. */
async function* reasonsOf(conversationId: string, archive: Archive, signal: AbortSignal): AsyncGenerator<Subject> {
  for await (const { recording } of listedEntries({ conversationId, limit: 200 }, archive, signal))
    if (recording.recordingId !== undefined) yield recording;
}

async function* withoutRepeats(removables: AsyncIterable<Removable>): AsyncGenerator<Removable> {
  const seen = new Set<string>();
  for await (const removable of removables) {
    const key = subjectKey(canonicalSubject(removable.subject));
    if (seen.has(key)) continue;
    seen.add(key);
    yield removable;
  }
}

async function* lookAtAll(
  removables: AsyncIterable<Removable>,
  archive: Archive,
  signal: AbortSignal,
): AsyncGenerator<Planned> {
  for await (const batch of inBatches(removables, WIDTH))
    yield* await Promise.all(batch.map((removable) => lookAt(removable, archive, signal)));
}

async function lookAt({ subject, days }: Removable, archive: Archive, signal: AbortSignal): Promise<Planned> {
  const mark = await erasedMark(subject, archive.notes, signal);
  const remains = await archive.remains({ subject, days: [...days, ...(mark?.days ?? [])] }, signal);
  const looked = { subject, days: remains.days, remains };
  const isMarked = mark !== undefined || (await isErased(subject, archive.notes, signal));
  const holds = await holdsOn(subject, archive.notes, signal);
  const isHeldBefore = mark !== undefined && isHeldFirst(mark, holds);
  const isBefore = isMarked && remains.objects === 0 && !isHeldBefore;
  if (isBefore) return { ...looked, state: 'before', until: remains.recoverableUntil };
  const isGoing =
    mark !== undefined &&
    !isHeldBefore &&
    subject.recordingId !== undefined &&
    remains.manifestSha256 === undefined &&
    remains.objects > 0;
  if (!isGoing && (holds.length > 0 || remains.isHeld))
    return { ...looked, state: 'held', cases: [...new Set(holds.map((hold) => hold.case))] };
  if (remains.retainedUntil !== undefined && remains.retainedUntil > new Date().toISOString())
    return { ...looked, state: 'locked', until: remains.retainedUntil };
  return { ...looked, state: 'to-erase' };
}

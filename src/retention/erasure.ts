/**
 * Recordings and conversations that are to go → gone for good, each by the same steps, on record before and after. Killed at any
 * of them, the next run ends what was begun.
 *
 *   on record ▸ mark: nobody makes it again ▸ holds once more ▸ index ▸ media, and all that speaks of it ▸ read back ▸ on record
 *
 * A hold that comes in between wins for as long as nothing was removed, and the mark is taken back. Who was first is settled by
 * the archive, which removes nothing that carries a flag.
 */
import type { Archive } from '../archive/archive.ts';
import { forgetIndexRows } from '../archive/day-index.ts';
import { erasedMark, type ErasedRecord, markErased, takeBackErasure } from '../archive/erased.ts';
import { flagByHolds, type HoldRecord, holdsOn } from '../archive/holds.ts';
import { inBatches } from '../archive/in-batches.ts';
import { canonicalSubject, subjectKey, type Subject } from '../archive/names.ts';
import type { Erasure, Removable } from '../archive/remains.ts';
import type { Audit, AuditEntry } from '../audit/audit.ts';

export interface ErasureNeeds {
  readonly archive: Archive;
  readonly audit: Pick<Audit, 'record'>;
  /** As the audit names whoever erases. */
  readonly by: Pick<AuditEntry, 'who' | 'way' | 'from' | 'requestId'>;
  readonly reason: string;
  /** Once more at the end of each batch, for what a worker stored in the last moment: of what is too old to be on its way nobody does. */
  readonly looksAgain: boolean;
  readonly now?: () => Date;
}

/** `cases` may be none: something else keeps it, a lock or a hold that is not ours. */
interface YieldedToHold {
  readonly state: 'held';
  readonly cases: readonly string[];
}

export type ErasureEnd = { readonly subject: Subject } & (Exclude<Erasure, { readonly state: 'kept' }> | YieldedToHold);

/** Marked one after the other; the index is gone through once for each batch. */
const BATCH = 50;

/** In their order, which has whole conversations behind their recordings. @throws Failure where the archive or its audit cannot be used */
export async function* eraseAll(
  items: Iterable<Removable> | AsyncIterable<Removable>,
  needs: ErasureNeeds,
  signal: AbortSignal,
): AsyncGenerator<ErasureEnd> {
  for await (const batch of inBatches(items, BATCH)) {
    const begun: Removable[] = [];
    for (const item of batch) {
      signal.throwIfAborted();
      const start = await beginErasure(item, needs, signal);
      if (start.state === 'held') yield { subject: item.subject, ...start };
      else begun.push(start);
    }
    await forgetInIndex(begun, needs, signal);
    for (const one of begun) yield { subject: one.subject, ...(await endErasure(one, needs, signal)) };
    if (!needs.looksAgain) continue;
    for (const one of begun) if (await isKeptLate(one, needs.archive, signal)) yield { subject: one.subject, ...KEPT };
  }
}

/** By a lock: its mark stays, so that nobody sees it, and a later run takes it. */
const KEPT: YieldedToHold = { state: 'held', cases: [] };

/** Of a worker that had looked for the mark just before it was written. Where a hold lies instead, nothing is begun any more. */
async function isKeptLate(item: Removable, archive: Archive, signal: AbortSignal): Promise<boolean> {
  if ((await erasedMark(item.subject, archive.notes, signal)) === undefined) return false;
  if ((await archive.remains(item, signal)).objects === 0) return false;
  return (await archive.erase(item, signal)).state === 'kept';
}

/** Up to the point from which it can only go on. */
async function beginErasure(
  { subject, days }: Removable,
  needs: ErasureNeeds,
  signal: AbortSignal,
): Promise<YieldedToHold | (Removable & { readonly state: 'begun' })> {
  const { archive, audit, by, reason, now = () => new Date() } = needs;
  const remains = await archive.remains({ subject, days }, signal);
  await audit.record({ action: 'erasing', ...by, ...canonicalSubject(subject), why: reason }, signal);
  const mark = {
    version: 1,
    conversationId: subject.conversationId ?? null,
    recordingId: subject.recordingId ?? null,
    reason,
    by: by.who,
    erasedAt: now().toISOString(),
    days: remains.days,
    ...(remains.manifestSha256 === undefined ? {} : { manifestSha256: remains.manifestSha256 }),
  } as const;
  const isNew = await markErased(mark, archive.notes, signal);
  const earlier = isNew ? undefined : await erasedMark(subject, archive.notes, signal);
  const isWhole = isNew || subject.recordingId === undefined || remains.manifestSha256 !== undefined;
  if (isWhole && (await holdsOn(subject, archive.notes, signal)).length > 0) return yieldToHold(subject, needs, signal);
  const allDays = [...new Set([...remains.days, ...(earlier?.days ?? [])])];
  return { state: 'begun', subject, days: allDays, isBegun: !isWhole };
}

async function endErasure(
  item: Removable,
  needs: ErasureNeeds,
  signal: AbortSignal,
): Promise<Exclude<Erasure, { readonly state: 'kept' }> | YieldedToHold> {
  const { archive, audit, by } = needs;
  const { recordingId, conversationId } = item.subject;
  if (recordingId === undefined && conversationId !== undefined && (await isAnyHeld(conversationId, needs, signal)))
    return yieldToHold(item.subject, needs, signal);
  const erasure = await archive.erase(item, signal);
  if (erasure.state === 'kept') return yieldToHold(item.subject, needs, signal);
  await audit.record({ action: 'erased', ...by, ...canonicalSubject(item.subject), about: { ...erasure } }, signal);
  return erasure;
}

/** What came to a conversation since its erasure was planned goes with it. */
async function isAnyHeld(conversationId: string, needs: ErasureNeeds, signal: AbortSignal): Promise<boolean> {
  let isHeld = false;
  const recordings = needs.archive.recordingsOf(conversationId, signal);
  for await (const end of eraseAll(removables(recordings), needs, signal)) if (end.state === 'held') isHeld = true;
  return isHeld;
}

async function* removables(subjects: AsyncIterable<Subject>): AsyncGenerator<Removable> {
  for await (const subject of subjects) yield { subject, days: [] };
}

async function yieldToHold(
  subject: Subject,
  { archive, audit, by }: ErasureNeeds,
  signal: AbortSignal,
): Promise<YieldedToHold> {
  await takeBackErasure(subject, archive.notes, signal);
  const holds = await holdsOn(subject, archive.notes, signal);
  const cases = [...new Set(holds.map((hold) => hold.case))];
  const about = { command: 'erase', because: 'held', cases: cases.join(',') };
  await audit.record({ action: 'refused', ...by, ...canonicalSubject(subject), about }, signal);
  return { state: 'held', cases };
}

/**
 * An erasure that was killed behind its mark, of something that is held: the mark goes. Flagged first, so that another one that
 * runs meanwhile removes nothing any more; what it was faster with keeps its mark.
 */
export async function giveBackHeld(subject: Subject, archive: Archive, signal: AbortSignal): Promise<void> {
  const mark = await erasedMark(subject, archive.notes, signal);
  if (mark === undefined) return;
  await flagByHolds(subject, archive, signal);
  const { manifestSha256 } = await archive.remains({ subject, days: [] }, signal);
  const isToCome = isHeldFirst(mark, await holdsOn(subject, archive.notes, signal));
  if (subject.recordingId === undefined || manifestSha256 !== undefined || isToCome)
    await takeBackErasure(subject, archive.notes, signal);
}

/** Of what never lay here: the hold is for what comes, and was there before the mark. */
export function isHeldFirst(mark: ErasedRecord, holds: readonly HoldRecord[]): boolean {
  return mark.manifestSha256 === undefined && holds.some(({ heldAt }) => heldAt <= mark.erasedAt);
}

async function forgetInIndex(
  items: readonly Removable[],
  { archive }: ErasureNeeds,
  signal: AbortSignal,
): Promise<void> {
  const days = items.flatMap((item) => item.days);
  if (days.length === 0) return;
  await forgetIndexRows(
    new Set(items.map(({ subject }) => subjectKey(canonicalSubject(subject)))),
    { days, notes: archive.notes },
    signal,
  );
  await archive.forgetOldIndex(days, signal);
}

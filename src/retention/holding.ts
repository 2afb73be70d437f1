/** A case and what it is about → held, or released again, on record before; by the same steps whoever asks. */
import type { Archive } from '../archive/archive.ts';
import { erasedMarks, isErased, listErased, takeBackErasure } from '../archive/erased.ts';
import {
  flagByHolds,
  flagWithout,
  type HoldRecord,
  holdsOn,
  placeHold,
  removeHold,
  subjectOfHold,
} from '../archive/holds.ts';
import { canonicalSubject, type Subject, subjectKey } from '../archive/names.ts';
import type { Audit, AuditEntry } from '../audit/audit.ts';
import { DAY_MS, dayAt } from '../instant.ts';
import type { Recording } from '../recording.ts';
import { isHeldFirst } from './erasure.ts';

export interface HoldingNeeds {
  readonly archive: Archive;
  readonly audit: Pick<Audit, 'record'>;
  /** As the audit names whoever holds or releases. */
  readonly by: Pick<AuditEntry, 'who' | 'way' | 'from' | 'requestId'>;
  /** What else the record says. */
  readonly about?: AuditEntry['about'];
}

export interface HoldFacts {
  readonly caseName: string;
  readonly reason: string;
  readonly by: string;
  readonly at: Date;
}

/** What is noted of a hold: which case, why, by whom and since when. */
export function newHold({ recordingId, conversationId }: Subject, { caseName, reason, by, at }: HoldFacts): HoldRecord {
  return {
    version: 1,
    case: caseName,
    conversationId: conversationId ?? null,
    recordingId: recordingId ?? null,
    reason,
    by,
    heldAt: at.toISOString(),
  };
}

export interface HoldEnd {
  readonly state: 'held' | 'already' | 'too-late';
  /** Recordings of a held conversation that had been erased before. */
  readonly gone: readonly Subject[];
  /** Something of it is archived; where nothing is, what comes later is held. */
  readonly isHere: boolean;
}

/**
 * The note first, which every erasure looks for; then the flags, which settle who was first: what carries one can no longer be
 * removed. Only then a mark of an erasure says whether it came too late.
 */
export async function holdSubject(
  hold: HoldRecord,
  { archive, audit, by, about: more }: HoldingNeeds,
  signal: AbortSignal,
): Promise<HoldEnd> {
  const subject = subjectOfHold(hold);
  const about = { case: hold.case, ...more };
  await audit.record({ action: 'held', ...by, ...subject, why: hold.reason, about }, signal);
  const isNew = await placeHold(hold, archive.notes, signal);
  const isHere = await flagByHolds(subject, archive, signal);
  const gone = await goneOf(subject, archive, signal);
  if (gone !== 'all') return { state: isNew ? 'held' : 'already', gone, isHere };
  if (isNew || !(await wasHeldFirst(hold, archive, signal))) await removeHold(hold, archive.notes, signal);
  await flagByHolds(subject, archive, signal);
  await audit.record(
    { action: 'refused', ...by, ...subject, about: { ...about, command: 'hold', because: 'erased' } },
    signal,
  );
  return { state: 'too-late', gone: [], isHere: false };
}

/** By an earlier run of the same case, of what never lay here: that one was told that it holds, and its note is not ours to remove. */
async function wasHeldFirst(hold: HoldRecord, { notes }: Archive, signal: AbortSignal): Promise<boolean> {
  const subject = subjectOfHold(hold);
  const lying = (await holdsOn(subject, notes, signal)).filter((other) => other.case === hold.case);
  const marks = await erasedMarks(subject, notes, signal);
  return marks.some((mark) => isHeldFirst(mark, lying));
}

/**
 * On record first; then the flags, and only then the note, so that a run that ends between them is run again. Until the note is
 * gone nothing is erased. @returns the cases that hold it still
 */
export async function releaseHold(
  hold: HoldRecord,
  { archive, audit, by, about }: HoldingNeeds,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const subject = subjectOfHold(hold);
  await audit.record({ action: 'released', ...by, ...subject, about: { case: hold.case, ...about } }, signal);
  await flagWithout(hold, archive, signal);
  try {
    await removeHold(hold, archive.notes, signal);
  } finally {
    // Where it stays, or another case came in between.
    await flagByHolds(subject, archive, signal);
  }
  return casesOn(subject, archive, signal);
}

/** Whoever releases again what was cut off midway does so soon. */
const RELEASED_WITHIN_DAYS = 30;

/**
 * What the case does not hold any more, by its name on record: the note went, and what follows its going may not have been done.
 * Each once, by its key; what the case holds now may be among them.
 */
export async function releasedBefore(
  caseName: string,
  audit: Pick<Audit, 'read'>,
  signal: AbortSignal,
): Promise<Map<string, Subject>> {
  const now = Date.now();
  const [from, to] = [dayAt(now - RELEASED_WITHIN_DAYS * DAY_MS), dayAt(now + DAY_MS)];
  const released = new Map<string, Subject>();
  for await (const { recordingId, conversationId, about } of audit.read({ from, to, action: 'released' }, signal)) {
    if (about?.['case'] !== caseName) continue;
    const subject = canonicalSubject({ recordingId, conversationId });
    released.set(subjectKey(subject), subject);
  }
  return released;
}

/** Ends what a release that was cut off behind the removal of its note had left. @returns the cases that hold it still */
export async function endRelease(subject: Subject, archive: Archive, signal: AbortSignal): Promise<readonly string[]> {
  await flagByHolds(subject, archive, signal);
  return casesOn(subject, archive, signal);
}

async function casesOn(subject: Subject, { notes }: Archive, signal: AbortSignal): Promise<readonly string[]> {
  return [...new Set((await holdsOn(subject, notes, signal)).map((hold) => hold.case))];
}

/** What of it an erasure was faster with. A mark on what is still there is taken back: the hold has won. */
async function goneOf(subject: Subject, archive: Archive, signal: AbortSignal): Promise<readonly Subject[] | 'all'> {
  const { recordingId, conversationId } = subject;
  if (recordingId !== undefined) return goneOfRecording({ recordingId, conversationId }, archive, signal);
  const gone: Subject[] = [];
  for await (const { recordingId: marked } of listErased(archive.notes, signal, conversationId)) {
    const recording = marked === null ? undefined : { recordingId: marked, conversationId };
    if (recording === undefined) continue;
    if ((await goneOfRecording(recording, archive, signal)) === 'all') gone.push(recording);
  }
  if (!(await isErased(subject, archive.notes, signal))) return gone;
  for await (const recording of archive.recordingsOf(conversationId ?? '', signal))
    if (await isWhole(recording, archive, signal)) {
      await takeBackErasure(subject, archive.notes, signal);
      return gone;
    }
  return 'all';
}

async function goneOfRecording(
  recording: Recording,
  archive: Archive,
  signal: AbortSignal,
): Promise<readonly Subject[] | 'all'> {
  if (!(await isErased(recording, archive.notes, signal))) return [];
  if (!(await isWhole(recording, archive, signal))) return 'all';
  await takeBackErasure(recording, archive.notes, signal);
  const { conversationId } = recording;
  if (conversationId !== undefined)
    await takeBackErasure({ recordingId: undefined, conversationId }, archive.notes, signal);
  return [];
}

/** Its manifest is what an erasure removes first. Nothing is completed by looking: whoever stores it does that. */
async function isWhole(recording: Recording, archive: Archive, signal: AbortSignal): Promise<boolean> {
  return (await archive.remains({ subject: recording, days: [] }, signal)).manifestSha256 !== undefined;
}

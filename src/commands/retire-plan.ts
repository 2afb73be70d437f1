/** Archived recordings of some days → which of them Genesys may delete, and of each other the condition that fails. */
import type { Archive } from '../archive/archive.ts';
import { listedEntries } from '../archive/page.ts';
import { noTranscriptName, type RecordingOfConversation, transcriptName } from '../archive/details.ts';
import { holdsOn } from '../archive/holds.ts';
import { inBatches } from '../archive/in-batches.ts';
import type { Manifest } from '../archive/manifest.ts';
import { newestProof, wasReadSince } from '../archive/proofs.ts';
import { dayOf } from '../archive/records.ts';
import { Failure } from '../failure.ts';
import { type GenesysRetention, MOST_PROTECTED_AT_ONCE } from '../genesys/retention.ts';
import { DAY_MS } from '../instant.ts';
import { canonicalId, keyOf, type Recording } from '../recording.ts';

export interface RetirePlanNeeds {
  readonly archive: Archive;
  readonly retention: GenesysRetention;
  /** A transcript goes with its recording at Genesys: where they are kept it has to be here first. */
  readonly keepsTranscripts: boolean;
  readonly now: Date;
}

export type RetireCandidate =
  | {
      readonly state: 'to-retire';
      readonly recording: RecordingOfConversation;
      /** When Genesys would delete it by itself; ISO 8601. */
      readonly before: string | undefined;
    }
  | { readonly state: 'kept'; readonly recording: Recording; readonly because: string };

/** A call may look after so long, and everything that comes late has come. */
export const OLDEST_YOUNG_DAYS = 30;
const READ_WITHIN_MS = 30 * DAY_MS;
/** Nothing of what was recorded is lost in these. */
const LOSSLESS = new Set(['rewrap', 'join']);

/** Oldest day first. Genesys is asked last, about what nothing here speaks against. */
export async function* planRetiring(
  days: readonly string[],
  needs: RetirePlanNeeds,
  signal: AbortSignal,
): AsyncGenerator<RetireCandidate> {
  for (const day of days) {
    const proof = await newestProof('complete', day, needs.archive.notes, signal);
    const isComplete = proof?.verdict === 'complete';
    for await (const batch of inBatches(archivedOn(day, needs.archive, signal), MOST_PROTECTED_AT_ONCE))
      yield* await judgeBatch(batch, { ...needs, isComplete }, signal);
  }
}

async function* archivedOn(day: string, archive: Archive, signal: AbortSignal): AsyncGenerator<Manifest> {
  const query = { from: day, to: day, status: 'archived', limit: 200 } as const;
  for await (const entry of listedEntries(query, archive, signal))
    if (entry.status === 'archived') yield entry.manifest;
}

type Judging = RetirePlanNeeds & { readonly isComplete: boolean };

async function judgeBatch(
  batch: readonly Manifest[],
  judging: Judging,
  signal: AbortSignal,
): Promise<readonly RetireCandidate[]> {
  const judged: RetireCandidate[] = [];
  const free: { readonly manifest: Manifest; readonly recording: RecordingOfConversation }[] = [];
  for (const manifest of batch) {
    const conversationId = manifest.conversationId === null ? undefined : canonicalId(manifest.conversationId);
    const recording = { recordingId: canonicalId(manifest.recordingId), conversationId };
    const because = await speaksAgainst(manifest, judging, signal);
    if (because === undefined && conversationId !== undefined)
      free.push({ manifest, recording: { ...recording, conversationId } });
    else judged.push({ state: 'kept', recording, because: because ?? NO_CONVERSATION });
  }
  if (free.length === 0) return judged;
  const ids = [...new Set(free.map(({ recording }) => recording.conversationId))];
  const isProtected = await judging.retention.protectedAmong(ids, signal);
  for (const { recording } of free)
    judged.push(
      isProtected.has(recording.conversationId)
        ? { state: 'kept', recording, because: 'Genesys protects its conversation from deletion' }
        : await judgeAtSource(recording, judging, signal),
    );
  return judged;
}

const NO_CONVERSATION = 'it is no recording of the Recording API, whose dates alone can be set';

/** The first condition that fails; undefined where all of them hold, as far as is known here. */
async function speaksAgainst(manifest: Manifest, judging: Judging, signal: AbortSignal): Promise<string | undefined> {
  const { archive, keepsTranscripts, now, isComplete } = judging;
  const { conversationId } = manifest;
  if (manifest.api !== 'recordings' || conversationId === null) return NO_CONVERSATION;
  if (!isComplete) return 'its day is not proven to be complete: archiver reconcile says why';
  const recording = { recordingId: manifest.recordingId, conversationId };
  const place = { key: keyOf(recording), day: dayOf(manifest) };
  if (!(await wasReadSince(now.getTime() - READ_WITHIN_MS, place, archive.notes, signal)))
    return 'it was not read back within 30 days: archiver verify --read does it';
  const isKept = manifest.sources.length > 0 && manifest.sources.every(({ original }) => original !== undefined);
  if (!LOSSLESS.has(manifest.way) && !isKept) return `it was encoded (${manifest.way}), and its original is not kept`;
  const recordedAt = Date.parse(manifest.recordedAt ?? manifest.finishedAt);
  if (now.getTime() - recordedAt < OLDEST_YOUNG_DAYS * DAY_MS) return 'it is younger than 30 days';
  const [hold] = await holdsOn(recording, archive.notes, signal);
  if (hold !== undefined) return `case ${hold.case} holds it`;
  return keepsTranscripts ? lacksTranscript(recording, archive, signal) : undefined;
}

async function lacksTranscript(
  recording: RecordingOfConversation,
  { notes }: Archive,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const name of [transcriptName(recording), noTranscriptName(recording)])
    if ((await notes.read(name, signal)) !== undefined) return undefined;
  return 'its transcript is not here yet, and would be deleted with it';
}

async function judgeAtSource(
  recording: RecordingOfConversation,
  { archive, retention }: Judging,
  signal: AbortSignal,
): Promise<RetireCandidate> {
  try {
    const { fileState, deleteDate } = await retention.stateOf(recording, signal);
    if (fileState === 'DELETED') return { state: 'kept', recording, because: 'Genesys has deleted it already' };
    // What is not here whole, whatever the listing says, stays there.
    if ((await archive.findUnerased(recording, signal)) === undefined)
      return { state: 'kept', recording, because: 'it is not archived' };
    return { state: 'to-retire', recording, before: deleteDate?.toISOString() };
  } catch (thrown) {
    const { code, message } = Failure.from(thrown);
    if (code === 'not-found' || code === 'gone')
      return { state: 'kept', recording, because: 'Genesys does not have it any more' };
    if (code === 'conflict' || code === 'erased' || code === 'upstream-error')
      return { state: 'kept', recording, because: message };
    throw thrown;
  }
}

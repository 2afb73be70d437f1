/** Everything that lies in an archive of a recording or of a conversation: where, how much, and removed for good. */
import { createHash } from 'node:crypto';
import { Failure } from '../failure.ts';
import { type Recording, spellingsOf } from '../recording.ts';
import { conversationPrefix, readDetails } from './details.ts';
import { besideName, dayName, manifestName, reasonName, type Subject, subjectKey } from './names.ts';
import type { Notes } from './notes.ts';
import type { Objects } from './objects.ts';
import type { Reasons } from './reasons.ts';
import { dayOf, parseManifest } from './records.ts';
import type { Erasure, Remains, Removable } from './remains.ts';

export interface RemovalPlace {
  readonly objects: Objects;
  readonly notes: Notes;
  readonly reasons: Reasons;
  /** What all names under staging/ of a recording begin with; ends in a dot. */
  readonly stagedAs: (recording: Recording) => string;
  /** Removes what is under way of it, and what lies under recordings/: whole, or `kept` and nothing at all. */
  readonly removeMedia: (recording: Recording, isBegun: boolean, signal: AbortSignal) => Promise<'removed' | 'kept'>;
}

export async function remainsOf(
  { subject, days }: Removable,
  place: RemovalPlace,
  signal: AbortSignal,
): Promise<Remains> {
  const facts = await tellingFacts(subject, place, signal);
  const allDays = [...new Set([...days, ...facts.days])].toSorted();
  const found = { objects: 0, sizeBytes: 0, isHeld: false };
  let [retainedUntil, recoverableUntil]: (string | undefined)[] = [];
  for (const target of namesUnder({ subject, days: allDays }, place)) {
    for await (const { sizeBytes, isHeld, retainedUntil: until } of place.objects.generations(target, signal)) {
      found.objects += 1;
      found.sizeBytes += sizeBytes;
      found.isHeld ||= isHeld;
      retainedUntil = laterOf(retainedUntil, until);
    }
    if (found.objects === 0)
      recoverableUntil = laterOf(recoverableUntil, await place.objects.recoverableUntil(target, signal));
  }
  return { ...found, retainedUntil, recoverableUntil, days: allDays, manifestSha256: facts.manifestSha256 };
}

/**
 * The media first, which decide: where a hold keeps them nothing else is touched. Then all that speaks of it, with every old
 * version; of a conversation's last recording also what is kept of the conversation. What it leaves, another run finds.
 * @throws Failure `conflict` where a retention policy keeps something once the media are gone
 */
export async function removeForGood(
  { subject, days, isBegun = false }: Removable,
  place: RemovalPlace,
  signal: AbortSignal,
): Promise<Erasure> {
  const { recordingId, conversationId } = subject;
  const targets = namesUnder({ subject, days }, place);
  if (recordingId !== undefined)
    for (const spelling of spellingsOf({ recordingId, conversationId }))
      if ((await place.removeMedia(spelling, isBegun, signal)) === 'kept') return { state: 'kept' };
  await removeReasons(subject, place, signal);
  if (recordingId !== undefined && conversationId !== undefined && (await isLast(conversationId, place, signal)))
    targets.push(...spelledConversations(conversationId).map(conversationPrefix));
  const kept: string[] = [];
  for (const target of targets) kept.push(...(await place.objects.purge(target, 'all', signal)));
  if (kept[0] !== undefined) throw keptMidway(kept[0]);
  return readBack(targets, place, signal);
}

/** What was removed is asked for once more, with everything that can still be restored. */
async function readBack(targets: readonly string[], { objects }: RemovalPlace, signal: AbortSignal): Promise<Erasure> {
  let until: string | undefined;
  for (const target of targets) {
    for await (const { name } of objects.generations(target, signal)) throw cameBack(name);
    until = laterOf(until, await objects.recoverableUntil(target, signal));
  }
  return until === undefined ? { state: 'gone' } : { state: 'recoverable', until };
}

async function removeReasons(subject: Subject, { reasons }: RemovalPlace, signal: AbortSignal): Promise<void> {
  for (const spelled of spellingsOfSubject(subject))
    for (const kind of ['failures', 'waiting'] as const) await reasons.remove(kind, spelled, signal);
}

/** Nothing of the conversation lies under recordings/ any more. */
async function isLast(conversationId: string, { objects }: RemovalPlace, signal: AbortSignal): Promise<boolean> {
  for (const spelled of spelledConversations(conversationId))
    for await (const _ of objects.children({ folder: `recordings/${spelled}/` }, signal)) return false;
  return true;
}

function namesUnder({ subject, days }: Removable, { stagedAs }: RemovalPlace): string[] {
  return spellingsOfSubject(subject).flatMap((spelled) => {
    const { recordingId, conversationId } = spelled;
    const reasons = [reasonName('failures', spelled), reasonName('waiting', spelled)];
    if (recordingId === undefined) return [...reasons, conversationPrefix(conversationId ?? '_')];
    const recording = { recordingId, conversationId };
    const beside =
      conversationId === undefined
        ? []
        : ['recording', 'transcript'].map((kind) => `${conversationPrefix(conversationId)}${kind}.${recordingId}.`);
    return [
      besideName(recording, ''),
      stagedAs(recording),
      ...reasons,
      ...beside,
      ...days.map((day) => dayName(day, recording)),
    ];
  });
}

/** Days and hash, from whatever of it can be read. */
async function tellingFacts(
  subject: Subject,
  place: RemovalPlace,
  signal: AbortSignal,
): Promise<Pick<Remains, 'days' | 'manifestSha256'>> {
  const { recordingId, conversationId } = subject;
  const days = [...(await daysOfReasons(subject, place, signal))];
  const details = conversationId === undefined ? undefined : await readDetails(conversationId, place.notes, signal);
  if (details?.startedAt !== null && details !== undefined) days.push(details.startedAt.slice(0, 10));
  if (recordingId === undefined) return { days, manifestSha256: undefined };
  for (const spelling of spellingsOf({ recordingId, conversationId })) {
    const text = await place.objects.get(manifestName(spelling), signal);
    if (text === undefined) continue;
    return {
      days: [...days, ...daysOfManifest(text)],
      manifestSha256: createHash('sha256').update(text).digest('hex'),
    };
  }
  return { days, manifestSha256: undefined };
}

/** One that cannot be read is removed like any other. */
function daysOfManifest(text: string): readonly string[] {
  try {
    const manifest = parseManifest(text);
    return [dayOf(manifest), manifest.finishedAt.slice(0, 10)];
  } catch {
    return [];
  }
}

async function daysOfReasons(
  subject: Subject,
  { reasons }: RemovalPlace,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = await Promise.all(
    (['failures', 'waiting'] as const).map((kind) => reasons.read(kind, subjectKey(subject), signal)),
  );
  return found.flatMap((reason) => (reason === undefined ? [] : [reason.day]));
}

function spellingsOfSubject({ recordingId, conversationId }: Subject): readonly Subject[] {
  if (recordingId !== undefined) return spellingsOf({ recordingId, conversationId });
  return spelledConversations(conversationId ?? '_').map((spelled) => ({
    recordingId: undefined,
    conversationId: spelled,
  }));
}

function spelledConversations(conversationId: string): readonly string[] {
  return spellingsOf({ recordingId: conversationId, conversationId: undefined }).map(({ recordingId }) => recordingId);
}

/** Of two moments in UTC, as text. */
function laterOf(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a > b ? a : b;
}

function keptMidway(name: string): Failure {
  return new Failure(
    'conflict',
    `${name} is kept by a hold or a retention policy of the bucket, though its recording is gone: run the same line again once that ends.`,
  );
}

function cameBack(name: string): Failure {
  return new Failure('conflict', `${name} came while it was being removed: run the same line again, which ends it.`);
}

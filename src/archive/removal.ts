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
  const look = async (target: string): Promise<void> => {
    for await (const { sizeBytes, isHeld, retainedUntil: until } of place.objects.generations(target, signal)) {
      found.objects += 1;
      found.sizeBytes += sizeBytes;
      found.isHeld ||= isHeld;
      retainedUntil = laterOf(retainedUntil, until);
    }
    if (found.objects === 0)
      recoverableUntil = laterOf(recoverableUntil, await place.objects.recoverableUntil(target, signal));
  };
  const targets = [...namesUnder(subject, place), ...namesListing({ subject, days: allDays })];
  for (const target of targets) await look(target);
  // What a removal ends with.
  if (found.objects === 0) for (const target of await orphanedBy(subject, place, signal)) await look(target);
  return { ...found, retainedUntil, recoverableUntil, days: allDays, manifestSha256: facts.manifestSha256 };
}

/**
 * The media first, which decide: where a hold keeps them nothing else is touched. Then all that speaks of it, with every old
 * version; of a conversation's last recording also what is kept of the conversation. By what lists it another run finds what this
 * one leaves: that is last.
 * @throws Failure `conflict` where a retention policy keeps something once the media are gone
 */
export async function removeForGood(
  { subject, days, isBegun = false }: Removable,
  place: RemovalPlace,
  signal: AbortSignal,
): Promise<Erasure> {
  const { recordingId, conversationId } = subject;
  if (recordingId !== undefined)
    for (const spelling of spellingsOf({ recordingId, conversationId }))
      if ((await place.removeMedia(spelling, isBegun, signal)) === 'kept') return { state: 'kept' };
  const targets = [...namesUnder(subject, place), ...(await orphanedBy(subject, place, signal))];
  await purgeAll(targets, place, signal);
  await removeReasons(subject, place, signal);
  const listing = namesListing({ subject, days });
  await purgeAll(listing, place, signal);
  return readBack([...targets, ...listing], place, signal);
}

async function purgeAll(targets: readonly string[], { objects }: RemovalPlace, signal: AbortSignal): Promise<void> {
  const kept: string[] = [];
  for (const target of targets) kept.push(...(await objects.purge(target, 'all', signal)));
  if (kept[0] !== undefined) throw keptMidway(kept[0]);
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

/** What is kept of a recording's conversation, once nothing of that lies under recordings/ any more. */
async function orphanedBy(
  { recordingId, conversationId }: Subject,
  { objects }: RemovalPlace,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (recordingId === undefined || conversationId === undefined) return [];
  const spelled = spelledConversations(conversationId);
  for (const one of spelled)
    for await (const _ of objects.children({ folder: `recordings/${one}/` }, signal)) return [];
  return spelled.map(conversationPrefix);
}

function namesUnder(subject: Subject, { stagedAs }: RemovalPlace): readonly string[] {
  return spellingsOfSubject(subject).flatMap(({ recordingId, conversationId }) => {
    if (recordingId === undefined) return [conversationPrefix(conversationId ?? '_')];
    const recording = { recordingId, conversationId };
    const beside =
      conversationId === undefined
        ? []
        : ['recording', 'transcript'].map((kind) => `${conversationPrefix(conversationId)}${kind}.${recordingId}.`);
    return [besideName(recording, ''), stagedAs(recording), ...beside];
  });
}

/** What lists it: why it is not there, and its days. */
function namesListing({ subject, days }: Removable): readonly string[] {
  return spellingsOfSubject(subject).flatMap((spelled) => {
    const { recordingId, conversationId } = spelled;
    const listed = recordingId === undefined ? [] : days.map((day) => dayName(day, { recordingId, conversationId }));
    return [reasonName('failures', spelled), reasonName('waiting', spelled), ...listed];
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

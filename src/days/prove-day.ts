/** A UTC day → looked at, what is missing fetched where that is wanted, and what was established put on record. */
import type { Archive } from '../archive/archive.ts';
import type { Notes } from '../archive/notes.ts';
import { newestProof, proofsOf, writeProof, type WrittenProof } from '../archive/proofs.ts';
import { type DayNeeds, type DayProof, examineDay, type Finding } from './day.ts';
import { parseProvenDay, type ProvenDay } from './proven-day.ts';
import { divisionsLost, type EarlierLook } from './sight.ts';
import { Fields } from '../fields.ts';
import type { DayLines, IndexDays } from './index-days.ts';
import type { Census } from '../genesys/census.ts';
import { dayAt, dayBefore, daysBetween } from '../instant.ts';
import { type Recording, recordingOfKey } from '../recording.ts';

export interface ProofNeeds {
  readonly census: Census;
  readonly archive: Pick<Archive, 'find' | 'failureOf' | 'waitingOf' | 'list' | 'notes'>;
  /** Version of this program, for the proof. */
  readonly version: string;
  /** Puts the lines of each day that is looked at together anew. */
  readonly index?: IndexDays | undefined;
  readonly now?: () => Date;
  /** Which divisions the client is shown just now, for the proof; undefined where Genesys does not say. */
  readonly inSight?: (signal: AbortSignal) => Promise<readonly string[] | undefined>;
}

/** Whoever tells an operator what is found. */
export interface DayWatcher {
  readonly onFinding: (finding: Finding) => void;
  /** Told after each conversation. */
  readonly onProgress?: (conversations: number) => void;
}

type LookNeeds = ProofNeeds & DayWatcher & Pick<DayNeeds, 'earlier'>;

/** Looks at a day; what is over is put on record. */
export async function proveDay(day: string, needs: LookNeeds, signal: AbortSignal): Promise<DayProof> {
  const { proof, lines } = await lookAtDay(day, needs, signal);
  await recordDay(proof, { needs, lines }, signal);
  return proof;
}

/** What the newest proof was shown, or this run before. */
async function earlierLookAt(
  day: string,
  { archive, earlier }: ProofNeeds & Pick<DayNeeds, 'earlier'>,
  signal: AbortSignal,
): Promise<EarlierLook | undefined> {
  const written = await newestProof('complete', day, archive.notes, signal);
  const known = written === undefined ? undefined : parseProvenDay(written);
  if (known === undefined) return earlier;
  const { conversations, divisions } = known.proof;
  const look = { conversations, divisions, provenAt: isSettled(written) ? known.at : undefined };
  return earlier === undefined || earlier.conversations < conversations
    ? look
    : { ...earlier, provenAt: look.provenAt };
}

interface DayLook {
  readonly proof: DayProof;
  readonly lines: DayLines | undefined;
}

async function lookAtDay(day: string, needs: LookNeeds, signal: AbortSignal): Promise<DayLook> {
  const lines = await needs.index?.begin(day, signal);
  const onConversation = lines?.seen.bind(lines);
  const looking = { ...needs, earlier: await earlierLookAt(day, needs, signal) };
  const watching = onConversation === undefined ? looking : { ...looking, onConversation };
  return { proof: await examineDay(day, watching, signal), lines };
}

export interface MendNeeds extends ProofNeeds, DayWatcher {
  /** States of recordings that are fetched; `missing` ones, and at times `failed`. */
  readonly fetchable: ReadonlySet<Finding['state']>;
  /** Resolves when it is over with all of them, however each ended. */
  readonly fetch: (recordings: readonly Recording[], signal: AbortSignal) => Promise<void>;
}

/** Looks at a day, fetches what can be had, and looks again; one look is enough where there is nothing to fetch. */
export async function mendDay(day: string, needs: MendNeeds, signal: AbortSignal): Promise<DayProof> {
  const found: Finding[] = [];
  const first = await lookAtDay(day, { ...needs, onFinding: (finding) => found.push(finding) }, signal);
  const wanted = found.flatMap(({ state, key }) => (needs.fetchable.has(state) ? (recordingOfKey(key) ?? []) : []));
  if (wanted.length > 0) {
    await needs.fetch(wanted, signal);
    signal.throwIfAborted();
    return proveDay(day, { ...needs, earlier: first.proof }, signal);
  }
  for (const finding of found) needs.onFinding(finding);
  await recordDay(first.proof, { needs, lines: first.lines }, signal);
  return first.proof;
}

async function recordDay(
  proof: DayProof,
  { needs, lines }: { readonly needs: ProofNeeds; readonly lines: DayLines | undefined },
  signal: AbortSignal,
): Promise<void> {
  await lines?.end(signal);
  if (proof.verdict === 'open') return;
  const { archive, version, now = () => new Date() } = needs;
  const inSight = await needs.inSight?.(signal);
  const written = { ...proof, service: version, ...(inSight === undefined ? {} : { inSight }) };
  await writeProof('complete', written, { notes: archive.notes, at: now() }, signal);
}

/** The last three days, and of the last thirty each that is not proven to be complete or accounted for; oldest first. */
export async function daysInNeed(notes: Notes, now: Date, signal: AbortSignal): Promise<readonly string[]> {
  const today = dayAt(now.getTime());
  const open: string[] = [];
  for (const day of daysBetween(dayBefore(today, 29), dayBefore(today, 3)))
    if (!(await isProven(day, { notes }, signal))) open.push(day);
  return [...open, ...daysBetween(dayBefore(today, 2), today)];
}

/**
 * What the service looks at by itself: the last three days, and of the last thirty those without such a proof since somebody
 * first looked. What lies before an archive began is fetched by whoever asks for it; oldest first.
 */
export async function daysSinceFirstLook(
  { notes, now, inSight }: DaysKnown,
  signal: AbortSignal,
): Promise<DaysSinceFirstLook> {
  const today = dayAt(now.getTime());
  const [open, seen]: [string[], Set<string>] = [[], new Set()];
  let isSeen = false;
  for (const day of daysBetween(dayBefore(today, 29), today)) {
    const proof = await newestProof('complete', day, notes, signal);
    for (const division of sightOf(proof) ?? []) seen.add(division);
    isSeen ||= proof !== undefined;
    if (day >= dayBefore(today, 2) || (isSeen && !isSettled(proof, inSight))) open.push(day);
  }
  return { days: open, seen: [...seen] };
}

interface DaysKnown {
  readonly notes: Notes;
  readonly now: Date;
  /** Divisions that the client is shown now; a day that was proven without one of them is not settled. */
  readonly inSight: readonly string[] | undefined;
}

interface DaysSinceFirstLook {
  readonly days: readonly string[];
  /** Divisions that it was shown when one of the last thirty was proven. */
  readonly seen: readonly string[];
}

/** When one of the last days was last looked at; undefined where none was. */
export async function lastLookAt(notes: Notes, now: Date, signal: AbortSignal): Promise<Date | undefined> {
  const today = dayAt(now.getTime());
  const looks: Date[] = [];
  for (const day of daysBetween(dayBefore(today, 4), today)) {
    const at = Fields.in(await newestProof('complete', day, notes, signal))?.instant('at');
    if (at !== undefined) looks.push(at);
  }
  return looks.toSorted((a, b) => a.getTime() - b.getTime()).at(-1);
}

/** Since when each look at the day has found that something can still be fetched. */
export async function incompleteSince(day: string, notes: Notes, signal: AbortSignal): Promise<Date | undefined> {
  let since: Date | undefined;
  for await (const proof of proofsOf('complete', day, notes, signal)) {
    if (proof.verdict !== 'incomplete') break;
    const at = Fields.in(proof)?.instant('at');
    if (at !== undefined && (since === undefined || at < since)) since = at;
  }
  return since;
}

/** A day that lacks something for so long needs a person. */
const OVERDUE_MS = 48 * 3_600_000;

/** Whether {@link incompleteSince} is two days ago or more. */
export function isOverdue(since: Date | undefined, now: Date): boolean {
  return since !== undefined && now.getTime() - since.getTime() >= OVERDUE_MS;
}

/**
 * Of a day whose newest proof says that all is there: another look could name nothing. One that is only accounted for has names that
 * a proof does not keep, and is looked at again by whoever wants them.
 */
export async function provenComplete(day: string, notes: Notes, signal: AbortSignal): Promise<ProvenDay | undefined> {
  const written = await newestProof('complete', day, notes, signal);
  return written?.verdict === 'complete' ? parseProvenDay(written) : undefined;
}

/** Nothing is left to fetch of it, of the divisions `inSight`, where these are known. */
export async function isProven(
  day: string,
  { notes, inSight }: { readonly notes: Notes; readonly inSight?: readonly string[] | undefined },
  signal: AbortSignal,
): Promise<boolean> {
  return isSettled(await newestProof('complete', day, notes, signal), inSight);
}

function isSettled(proof: WrittenProof | undefined, inSight?: readonly string[]): boolean {
  if (proof?.verdict !== 'complete' && proof?.verdict !== 'accounted') return false;
  const then = sightOf(proof);
  return then === undefined || inSight === undefined || divisionsLost(inSight, then).length === 0;
}

/** Earlier versions, and commands, do not write it down. */
function sightOf(proof: WrittenProof | undefined): readonly string[] | undefined {
  return Fields.in(proof)?.array('inSight')?.map(String);
}

/** A UTC day → looked at, what is missing fetched where that is wanted, and what was established put on record. */
import type { Archive } from './archive/archive.ts';
import type { Notes } from './archive/notes.ts';
import { newestProof, writeProof } from './archive/proofs.ts';
import { type DayProof, examineDay, type Finding } from './day.ts';
import type { Census } from './genesys/census.ts';
import { DAY_MS, dayAt, daysBetween } from './instant.ts';
import { type Recording, recordingOfKey } from './recording.ts';

export interface ProofNeeds {
  readonly census: Census;
  readonly archive: Pick<Archive, 'find' | 'failureOf' | 'waitingOf' | 'notes'>;
  /** Version of this program, for the proof. */
  readonly version: string;
  readonly now?: () => Date;
}

/** Whoever tells an operator what is found. */
export interface DayWatcher {
  readonly onFinding: (finding: Finding) => void;
  /** Told after each conversation. */
  readonly onProgress?: (conversations: number) => void;
}

/** Looks at a day; what is over is put on record. */
export async function proveDay(day: string, needs: ProofNeeds & DayWatcher, signal: AbortSignal): Promise<DayProof> {
  const proof = await examineDay(day, needs, signal);
  await recordDay(proof, needs, signal);
  return proof;
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
  const first = await examineDay(day, { ...needs, onFinding: (finding) => found.push(finding) }, signal);
  const wanted = found.flatMap(({ state, key }) => (needs.fetchable.has(state) ? (recordingOfKey(key) ?? []) : []));
  if (wanted.length > 0) {
    await needs.fetch(wanted, signal);
    signal.throwIfAborted();
    return proveDay(day, needs, signal);
  }
  for (const finding of found) needs.onFinding(finding);
  await recordDay(first, needs, signal);
  return first;
}

async function recordDay(proof: DayProof, needs: ProofNeeds, signal: AbortSignal): Promise<void> {
  if (proof.verdict === 'open') return;
  const { archive, version, now = () => new Date() } = needs;
  await writeProof('complete', { ...proof, service: version }, { notes: archive.notes, at: now() }, signal);
}

/** The last three days, and of the last thirty each that is not proven to be complete or accounted for; oldest first. */
export async function daysInNeed(notes: Notes, now: Date, signal: AbortSignal): Promise<readonly string[]> {
  const last = now.getTime();
  const recent = daysBetween(dayAt(last - 2 * DAY_MS), dayAt(last));
  const older = daysBetween(dayAt(last - 29 * DAY_MS), dayAt(last - 3 * DAY_MS));
  const open: string[] = [];
  for (const day of older) if (!(await isProven(day, notes, signal))) open.push(day);
  return [...open, ...recent];
}

/** Nothing is left to fetch of it. */
export async function isProven(day: string, notes: Notes, signal: AbortSignal): Promise<boolean> {
  const proof = await newestProof('complete', day, notes, signal);
  return proof?.verdict === 'complete' || proof?.verdict === 'accounted';
}

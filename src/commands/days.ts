/** The days a command is about: from its flags, or those that need a look. */
import { newestProof } from '../archive/proofs.ts';
import type { Notes } from '../archive/notes.ts';
import { type FlagValues, UsageError } from './flags.ts';

export const DAY_MS = 24 * 3_600_000;

export function dayAt(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** Oldest first, both ends included: retention deletes the oldest first. @throws UsageError naming the flag */
export function daysAsked(flags: FlagValues, now: Date): readonly string[] | undefined {
  const [from, to] = [flags.text('from'), flags.text('to')];
  if (from === undefined && to === undefined) return undefined;
  const today = dayAt(now.getTime());
  const first = from ?? to ?? today;
  const last = to ?? today;
  if (first > last) throw new UsageError(`--from ${first} lies after --to ${last}: swap them.`);
  if (last > today) throw new UsageError(`--to ${last} has not come yet: today is ${today} (UTC).`);
  return daysBetween(first, last);
}

export function daysBetween(first: string, last: string): readonly string[] {
  const start = Date.parse(`${first}T00:00:00Z`);
  const count = Math.round((Date.parse(`${last}T00:00:00Z`) - start) / DAY_MS) + 1;
  return Array.from({ length: count }, (_, index) => dayAt(start + index * DAY_MS));
}

/** The last three days, and of the last thirty each that is not proven to be complete or accounted for. */
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

/** The days a command is about, from its flags. */
import { dayAt, daysBetween } from '../instant.ts';
import { type FlagValues, UsageError } from './flags.ts';

/** Oldest first, both ends included: retention deletes the oldest first. @throws UsageError naming the flag */
export function daysAsked(flags: FlagValues, now: Date): readonly string[] | undefined {
  const [from, to] = [flags.text('from'), flags.text('to')];
  requireRange(flags, now);
  if (from === undefined && to === undefined) return undefined;
  const today = dayAt(now.getTime());
  return daysBetween(from ?? to ?? today, to ?? today);
}

/** @throws UsageError naming the flag, where the ends cannot be meant */
export function requireRange(flags: FlagValues, now: Date): void {
  const today = dayAt(now.getTime());
  for (const flag of ['to', 'from', 'day'] as const) {
    const day = flags.text(flag);
    if (day !== undefined && day > today)
      throw new UsageError(`--${flag} ${day} has not come yet: today is ${today} (UTC, by the clock of this machine).`);
  }
  const [from, to] = [flags.text('from'), flags.text('to')];
  if (from !== undefined && to !== undefined && from > to)
    throw new UsageError(`--from ${from} lies after --to ${to}: swap them.`);
}

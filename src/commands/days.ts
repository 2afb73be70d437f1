/** The days a command is about, from its flags. */
import { dayAt, daysBetween } from '../instant.ts';
import { type FlagValues, UsageError } from './flags.ts';

/** Oldest first, both ends included: retention deletes the oldest first. @throws UsageError naming the flag */
export function daysAsked(flags: FlagValues, now: Date): readonly string[] | undefined {
  const [from, to] = [flags.text('from'), flags.text('to')];
  if (from === undefined && to === undefined) return undefined;
  const today = dayAt(now.getTime());
  for (const [flag, day] of [
    ['to', to],
    ['from', from],
  ] as const)
    if (day !== undefined && day > today)
      throw new UsageError(`--${flag} ${day} has not come yet: today is ${today} (UTC).`);
  const first = from ?? to ?? today;
  const last = to ?? today;
  if (first > last) throw new UsageError(`--from ${first} lies after --to ${last}: swap them.`);
  return daysBetween(first, last);
}

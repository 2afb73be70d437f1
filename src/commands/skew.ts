/** A clock that differs from this machine's → what an operator is told of it. */
import { isWrongClock } from '../clock.ts';
import type { Task } from './task.ts';

const UNITS = [
  ['days', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
] as const;

/** Of Genesys' clock, where it was heard and is another one than ours. */
export function tellSkew(
  { heardSkewMs }: { readonly heardSkewMs: number | undefined },
  { report }: Pick<Task, 'report'>,
): void {
  if (heardSkewMs !== undefined && isWrongClock(heardSkewMs))
    report.problem(
      `The clock of this machine is ${skewText(heardSkewMs)} Genesys': ages and the days of today were taken from Genesys'. Set it right (NTP).`,
    );
}

/** How far ours is off, where the other one goes so much before it: `3 days behind`. */
export function skewText(skewMs: number): string {
  const ms = Math.abs(skewMs);
  const [unit, size] = UNITS.find(([, each]) => ms >= 2 * each) ?? ['s', 1_000];
  return `${String(Math.round(ms / size))} ${unit} ${skewMs > 0 ? 'behind' : 'ahead of'}`;
}

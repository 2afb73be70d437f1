/** `--older-than DAYS` → the first day that stays, by the clock that is behind. */
import type { Archive } from '../archive/archive.ts';
import { DAY_MS, dayAt } from '../instant.ts';
import { UsageError } from './flags.ts';

/**
 * The first UTC day that is young enough to stay. Asked of two clocks, ours and that of the archive's place, of which the one
 * that is behind counts: a clock that runs ahead erases nothing.
 * @throws UsageError
 */
export async function cutoffOf(text: string, archive: Archive, signal: AbortSignal): Promise<string> {
  const [, days] = /^([1-9]\d{0,4})d$/.exec(text) ?? [];
  if (days === undefined) throw new UsageError(`--older-than ${text}: expected a number of days, such as 2555d.`);
  const now = Math.min(Date.now(), await clockOf(archive, signal));
  return dayAt(now - Number(days) * DAY_MS);
}

async function clockOf({ notes }: Archive, signal: AbortSignal): Promise<number> {
  const name = `staging/clock.${String(process.pid)}.${String(Date.now())}`;
  await notes.create(name, '{}', signal);
  try {
    for await (const { writtenAt } of notes.list(name, signal)) return Date.parse(writtenAt);
    return Date.now();
  } finally {
    await notes.remove(name, signal);
  }
}

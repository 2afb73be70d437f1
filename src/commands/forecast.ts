/** Many days → how many calls to Genesys and hours they will take, said before the first one is made. */
import type { Notes } from '../archive/notes.ts';
import { dayAt, dayBefore, daysBetween } from '../instant.ts';
import { statesOfDays } from '../overview.ts';
import type { Report } from './report.ts';

export interface ForecastNeeds {
  readonly notes: Notes;
  /** Of Genesys' calls a minute. */
  readonly share: number;
  readonly report: Report;
  readonly now: Date;
}

/** Fewer days need no warning. */
const FEW_DAYS = 31;
const CALLS_A_DAY = 3;
/** What Genesys allows a token. */
const CALLS_A_MINUTE = 300;

/** By what the proofs of the last ten days counted. */
export async function forecast(days: readonly string[], needs: ForecastNeeds, signal: AbortSignal): Promise<void> {
  if (days.length <= FEW_DAYS) return;
  const { notes, share, report, now } = needs;
  const conversations = await conversationsADay(notes, now, signal);
  const count = String(days.length);
  if (conversations === undefined) {
    const text = `${count} days: ${String(CALLS_A_DAY * days.length)} calls to Genesys, and 1 for each recorded conversation.`;
    return report.line(text, { type: 'forecast', days: days.length, calls: null, hours: null });
  }
  const calls = Math.round(days.length * (CALLS_A_DAY + conversations * 1.001));
  const hours = Math.ceil(calls / (CALLS_A_MINUTE * share) / 60);
  const text = `${count} days: about ${String(calls)} calls to Genesys, ${String(hours)} h at ${String(CALLS_A_MINUTE * share)} a minute (by the conversations of the last days); days that are proven already cost nothing.`;
  report.line(text, { type: 'forecast', days: days.length, calls, hours });
}

async function conversationsADay(notes: Notes, now: Date, signal: AbortSignal): Promise<number | undefined> {
  const today = dayAt(now.getTime());
  const states = await statesOfDays(daysBetween(dayBefore(today, 10), dayBefore(today, 1)), notes, signal);
  const counts = states.flatMap(({ conversations }) => conversations ?? []);
  return counts.length === 0 ? undefined : counts.reduce((sum, count) => sum + count, 0) / counts.length;
}

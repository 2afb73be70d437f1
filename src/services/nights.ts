/** Nights → one piece of work each: at three o'clock by this machine's clock, and soon after a start that comes too late for one. */
import { sleep } from '../waiting.ts';

export interface NightsNeeds {
  /** Never rejects. */
  readonly work: (signal: AbortSignal) => Promise<void>;
  /** When the work was last done, by whomever; undefined where that is not known. */
  readonly lastAt: (signal: AbortSignal) => Promise<Date | undefined>;
  readonly now?: () => Date;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** A service that has just been started has other work to do. */
const SETTLE_MS = 15 * 60_000;
const HOUR = 3;
/** Several services of one archive, and many organisations at one Genesys, do not all begin at once. */
const SPREAD_MS = 45 * 60_000;
const DAY_MS = 24 * 3_600_000;
/** A machine that slept is noticed by its clock. */
const LOOK_UP_MS = 5 * 60_000;
/** No night is so far away: one that seems to be was named before the clock was set back. */
const FURTHEST_MS = 26 * 3_600_000;

/** Until `signal` aborts; then it resolves. */
export async function everyNight(needs: NightsNeeds, signal: AbortSignal): Promise<void> {
  const { now = () => new Date(), sleep: wait = sleep, work, lastAt } = needs;
  try {
    await wait(SETTLE_MS, signal);
    const last = await lastAt(signal);
    let due = last === undefined || now().getTime() - last.getTime() > DAY_MS ? now() : nextNight(now());
    for (;;) {
      for (let leftMs = NaN; (leftMs = due.getTime() - now().getTime()) > 0;) {
        if (leftMs > FURTHEST_MS) due = nextNight(now());
        else await wait(Math.min(leftMs, LOOK_UP_MS), signal);
      }
      await work(signal);
      due = nextNight(now());
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
}

/** The first three o'clock in local time that has not come yet, and a little later. */
export function nextNight(now: Date, random = Math.random()): Date {
  const tonight = new Date(now.getFullYear(), now.getMonth(), now.getDate(), HOUR);
  if (tonight <= now) tonight.setDate(tonight.getDate() + 1);
  return new Date(tonight.getTime() + random * SPREAD_MS);
}

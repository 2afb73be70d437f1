/** Remembers why the messages of this process wait: for the metrics, to record each reason once, and to notice one that gets nowhere. */
import type { FailureCode, Sort } from '../failure.ts';

export interface Wait {
  readonly code: FailureCode;
  readonly sort: Sort;
  readonly reason: string;
  /** When the event was accepted; wall clock, ms. */
  readonly sinceMs: number;
  /** When it is tried again; wall clock, ms. */
  readonly nextMs: number;
}

/** What waits for one reason. */
export interface WaitTotal {
  readonly code: FailureCode;
  readonly sort: Sort;
  readonly count: number;
  readonly oldestSinceMs: number;
}

interface WaitingEntry {
  /** Deliveries since `countedFromMs`. */
  count: number;
  countedFromMs: number;
  wait: Wait | undefined;
  /** What the archive says of it. */
  recorded: Wait | undefined;
}

const HOUR_MS = 3_600_000;
/** A message delivered so often within an hour without progress is an alarm: the schedule delivers none half as often. */
export const STUCK_AT = 50;
/** About 300 bytes each. Of more than these the oldest are forgotten: their reasons are recorded once more, nothing else. */
const MAX_ENTRIES = 10_000;

export class WaitingList {
  readonly #entries = new Map<string, WaitingEntry>();

  /** Counts a delivery; true for the one that makes the message stuck, once in an hour. */
  delivered(key: string): boolean {
    const entry = this.#entryOf(key);
    const now = Date.now();
    if (now - entry.countedFromMs >= HOUR_MS || now < entry.countedFromMs) {
      entry.count = 0;
      entry.countedFromMs = now;
    }
    entry.count += 1;
    return entry.count === STUCK_AT;
  }

  /** True where the archive has to be told: another reason than it has, or a next try so far away that somebody asks for it. */
  postponed(key: string, wait: Wait): boolean {
    const entry = this.#entryOf(key);
    entry.wait = wait;
    const { recorded } = entry;
    if (recorded === undefined || recorded.code !== wait.code || recorded.reason !== wait.reason) return true;
    return wait.nextMs - Date.now() >= HOUR_MS;
  }

  /** The archive has been told. */
  recorded(key: string, wait: Wait): void {
    this.#entryOf(key).recorded = wait;
  }

  /** It ended, well or not. */
  forget(key: string): void {
    this.#entries.delete(key);
  }

  /** By reason; without what another process has taken over. */
  totals(): readonly WaitTotal[] {
    const totals = new Map<FailureCode, WaitTotal>();
    for (const [key, { wait }] of this.#entries) {
      if (wait === undefined) continue;
      if (wait.nextMs + HOUR_MS < Date.now()) this.#entries.delete(key);
      else totals.set(wait.code, added(totals.get(wait.code), wait));
    }
    return [...totals.values()];
  }

  #entryOf(key: string): WaitingEntry {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const entry: WaitingEntry = { count: 0, countedFromMs: Date.now(), wait: undefined, recorded: undefined };
    this.#entries.set(key, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest);
    return entry;
  }
}

function added(total: WaitTotal | undefined, { code, sort, sinceMs }: Wait): WaitTotal {
  if (total === undefined) return { code, sort, count: 1, oldestSinceMs: sinceMs };
  return { ...total, count: total.count + 1, oldestSinceMs: Math.min(total.oldestSinceMs, sinceMs) };
}

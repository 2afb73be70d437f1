/** Time as it passes: whoever has to wait for it takes it from here, so that a test can let it pass at once; and when a clock is wrong. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

export interface Clock {
  /** Milliseconds that only ever grow. */
  now(): number;
  /** Calls once `ms` have passed; disposing forgets it. Keeps no process alive. */
  after(ms: number, call: () => void): Disposable;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms).unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** A clock that nobody sets. */
export interface SteadyClock {
  /** Times are comparable where this is the same. */
  readonly of: string;
  /** Milliseconds that only grow. */
  readonly nowMs: () => number;
}

/** One for all processes of a machine since its start, where its system names that (Linux: random(4)); else of this process alone. */
export function steadyClock(): SteadyClock {
  return { of: startOfMachine() ?? randomUUID(), nowMs: () => Number(process.hrtime.bigint()) / 1e6 };
}

function startOfMachine(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** A time on a wall clock, milliseconds of `Date.now()`. */
export interface WallSpan {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Where the clock was set back behind its beginning it is over as well: nothing lasts longer than it was meant to. */
export function isWithin({ fromMs, untilMs }: WallSpan, nowMs = Date.now()): boolean {
  return fromMs <= nowMs && nowMs < untilMs;
}

/** Where signatures and tokens begin to be refused. */
const WRONG_FROM_MS = 60_000;

/** Of two clocks that differ by so many milliseconds, whether that is more than drift. */
export function isWrongClock(skewMs: number): boolean {
  return Math.abs(skewMs) >= WRONG_FROM_MS;
}

/**
 * Libraries keep what they fetched until a time of the wall clock: where that is set back they would keep it for as long as it was
 * ahead, keys among it that nothing is signed with any more. Whoever holds such a library makes it anew then.
 */
export class ClockWatch {
  #latestMs = -Infinity;

  /** Since it was asked last. */
  wasSetBack(): boolean {
    const [wasMs, nowMs] = [this.#latestMs, Date.now()];
    this.#latestMs = nowMs;
    return nowMs < wasMs && isWrongClock(wasMs - nowMs);
  }
}

/** Turns the rate-limit headers of one token into how long its next call has to wait. */
import type { Answer } from './exchange.ts';

/** From this share of the allowance on, what is left is spread over the rest of the window. */
const SLOW_FROM = 0.9;

interface Window {
  readonly allowed: number;
  readonly resetAt: number;
  /** As the last answer counted, plus the calls that were still out then, plus those begun since. */
  used: number;
}

/**
 * `inin-ratelimit-count`, `-allowed` and `-reset` (seconds to the end of the window) are counted per token:
 * https://developer.genesys.cloud/platform/api/rate-limits. All times are `performance.now()` milliseconds.
 */
export class Pace {
  #window: Window | undefined;
  #out = 0;
  #nextAt = 0;
  #closedUntil = 0;

  /** Milliseconds the next call would have to wait. */
  delayMs(now: number): number {
    const window = this.#current(now);
    if (window === undefined || window.used < window.allowed * SLOW_FROM) return Math.max(0, this.#closedUntil - now);
    const turnAt = window.used >= window.allowed ? window.resetAt : Math.min(this.#nextAt, window.resetAt);
    return Math.max(0, turnAt - now, this.#closedUntil - now);
  }

  /** Books the next call; it may be sent after `delayMs`. Each booked call is followed by one {@link settle}. */
  book(now: number): void {
    this.#out += 1;
    const window = this.#current(now);
    if (window === undefined) return;
    const left = window.allowed - window.used;
    window.used += 1;
    if (left <= 0 || window.used < window.allowed * SLOW_FROM) return;
    this.#nextAt = Math.max(this.#nextAt, now) + (window.resetAt - now) / left;
  }

  /** The call is over: answered with these headers, or not at all. */
  settle(headers: Answer['headers'] | undefined, now: number): void {
    this.#out -= 1;
    if (headers === undefined) return;
    const allowed = count(headers['inin-ratelimit-allowed']);
    const used = count(headers['inin-ratelimit-count']);
    const resetS = count(headers['inin-ratelimit-reset']);
    if (allowed === undefined || used === undefined || resetS === undefined || allowed === 0) return;
    this.#window = { allowed, resetAt: now + resetS * 1_000, used: used + this.#out };
  }

  /** Nothing is sent for so long: what a 429 asked for holds for every call with this token. */
  pause(ms: number, now: number): void {
    this.#closedUntil = Math.max(this.#closedUntil, now + ms);
  }

  #current(now: number): Window | undefined {
    if (this.#window !== undefined && now >= this.#window.resetAt) {
      this.#window = undefined;
      this.#nextAt = 0;
    }
    return this.#window;
  }
}

function count(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,6}$/.test(header) ? Number(header) : undefined;
}

/** The rate limit of one token, and what Genesys asked it to wait, → whose call may be sent when. */
import { CALLS } from '../bounds.ts';
import type { JsonAnswer } from './exchange.ts';
import type { GenesysCaller } from './genesys.ts';

/** Per token, until an answer says otherwise: https://developer.genesys.cloud/organization/organization/limits#platform-api */
const USUAL = { allowed: 300, lengthMs: 60_000 };
/** From this share of the window on, what is left is spread over the rest of it. */
const SLOW_FROM = 0.9;
/** A pause of the whole client is believed for so long at a time; then one call tries. */
const BELIEVED_MS = 15 * 60_000;
/** Nobody else is sent while that one call is out; it is over by then. */
const TRIAL_MS = 30_000;
/** A client that was told to wait, and shares its organization with live work, does with half of its share for so long. */
const HALVED_MS = 10 * 60_000;

interface Window {
  readonly allowed: number;
  readonly resetAt: number;
  /** As the last answer said. */
  readonly counted: number;
  /** The same, plus the calls that were still out then, plus those booked since. */
  used: number;
}

/** Of one window, or of several together. */
export interface CallsSpent {
  readonly made: number;
  readonly allowed: number;
}

/** A call that was booked. Each is ended by one {@link Allowance.settle}. */
export interface BookedCall {
  readonly caller: GenesysCaller;
  readonly dueAt: number;
}

/**
 * `inin-ratelimit-count`, `-allowed` and `-reset` (seconds to the end of the window) are counted per token:
 * https://developer.genesys.cloud/platform/api/rate-limits. All times are `performance.now()` milliseconds.
 */
export class Allowance {
  readonly #share: number;
  #window: Window | undefined;
  #lengthMs: number | undefined;
  #out = 0;
  #nextAt = 0;
  #closedUntil = 0;
  #halvedUntil = 0;
  /** `due`: the pause was longer than is believed, and the next call finds out; `out`: it is on its way. */
  #trial: 'none' | 'due' | { readonly turn: BookedCall; readonly until: number } = 'none';

  /** `share` of each window is all that this process uses, from 0 to 1. */
  constructor(share = 1) {
    this.#share = share;
  }

  /** Milliseconds a call booked now would have to wait. */
  delayMs(caller: GenesysCaller, now: number): number {
    return Math.max(0, this.#dueAt(caller, now) - now, this.#heldMs(undefined, now));
  }

  /** Whether that is because Genesys said so, and not for what was used already. */
  isPaused(now: number): boolean {
    return this.#heldMs(undefined, now) > 0;
  }

  /** Calls of this window, as Genesys counted them last; undefined before it told. */
  spent(now: number): CallsSpent | undefined {
    if (this.#lengthMs === undefined) return undefined;
    const { allowed, counted, used } = this.#current(now);
    return { made: Math.min(allowed, Math.max(counted, used)), allowed };
  }

  book(caller: GenesysCaller, now: number): BookedCall {
    const turn = { caller, dueAt: this.#dueAt(caller, now) };
    const window = this.#current(now);
    const left = window.allowed - window.used;
    this.#out += 1;
    window.used += 1;
    if (left > 0 && window.used >= window.allowed * SLOW_FROM)
      this.#nextAt = Math.max(this.#nextAt, now) + (window.resetAt - now) / left;
    return turn;
  }

  /**
   * What a booked call still has to wait: to be asked again after each wait until it is 0, because a pause may have come,
   * or grown, meanwhile.
   */
  leftMs(turn: BookedCall, now: number): number {
    const window = this.#current(now);
    const usedUp = window.counted >= this.#limitOf(turn.caller, window, now) ? window.resetAt - now : 0;
    const leftMs = Math.max(0, turn.dueAt - now, usedUp, this.#heldMs(turn, now));
    if (leftMs === 0 && this.#trial === 'due') this.#trial = { turn, until: now + TRIAL_MS };
    return leftMs;
  }

  /** The call is over: answered with these headers, or not at all, or never sent. */
  settle(turn: BookedCall, headers: JsonAnswer['headers'] | undefined, now: number): void {
    this.#out -= 1;
    if (typeof this.#trial === 'object' && this.#trial.turn === turn)
      this.#trial = headers === undefined ? 'due' : 'none';
    const allowed = countInHeader(headers?.['inin-ratelimit-allowed']);
    const counted = countInHeader(headers?.['inin-ratelimit-count']);
    const resetS = countInHeader(headers?.['inin-ratelimit-reset']);
    if (allowed === undefined || counted === undefined || resetS === undefined || allowed === 0) return;
    this.#lengthMs = Math.max(this.#lengthMs ?? 0, resetS * 1_000);
    this.#window = { allowed, resetAt: now + resetS * 1_000, counted, used: counted + this.#out };
  }

  /** Nothing is sent for so long: what a 429 asked for holds for every call with this token. */
  pause(ms: number, now: number): void {
    const until = now + Math.min(ms, BELIEVED_MS);
    if (until >= this.#closedUntil) this.#trial = ms > BELIEVED_MS ? 'due' : 'none';
    this.#closedUntil = Math.max(this.#closedUntil, until);
    if (this.#share < 1) this.#halvedUntil = now + HALVED_MS;
  }

  #dueAt(caller: GenesysCaller, now: number): number {
    const window = this.#current(now);
    const limit = this.#limitOf(caller, window, now);
    if (window.used >= limit) {
      const windowsLater = Math.floor((window.used - limit) / limit);
      return window.resetAt + windowsLater * (this.#lengthMs ?? USUAL.lengthMs);
    }
    return window.used < window.allowed * SLOW_FROM ? now : Math.min(this.#nextAt, window.resetAt);
  }

  #limitOf(caller: GenesysCaller, window: Window, now: number): number {
    const share =
      this.#share * (caller === 'listener' ? CALLS.listenersShare : 1) * (now < this.#halvedUntil ? 0.5 : 1);
    return Math.max(1, Math.floor(window.allowed * share));
  }

  #heldMs(turn: BookedCall | undefined, now: number): number {
    const closedMs = Math.max(0, this.#closedUntil - now);
    const trial = this.#trial;
    if (typeof trial !== 'object' || trial.turn === turn) return closedMs;
    return Math.max(closedMs, trial.until - now);
  }

  /** After its end, a new window that nobody has told of yet: of the same size, used by what is still out. */
  #current(now: number): Window {
    if (this.#window !== undefined && now < this.#window.resetAt) return this.#window;
    const allowed = this.#window?.allowed ?? USUAL.allowed;
    this.#nextAt = 0;
    return (this.#window = {
      allowed,
      resetAt: now + (this.#lengthMs ?? USUAL.lengthMs),
      counted: 0,
      used: this.#out,
    });
  }
}

function countInHeader(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,6}$/.test(header) ? Number(header) : undefined;
}

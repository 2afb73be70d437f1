/** What answers tell of the rate windows of one token, in whole seconds → when each ends, nearly to the millisecond, and how much of it is used. */
import type { JsonAnswer } from './exchange.ts';

/**
 * Per token, until an answer says otherwise: 300 a minute, and a second for the way there and back.
 * https://developer.genesys.cloud/organization/organization/limits#platform-api
 */
const USUAL = { allowed: 300, lengthMs: 61_000 };
/** The end of a window is told in whole seconds. */
const SECOND_MS = 1_000;

export interface RateWindow {
  readonly allowed: number;
  /** Calls that left before belong to the window before this one, as far as is known here. */
  readonly beganAt: number;
  /** A guess until an answer tells one; then the earliest of all that were told, for none of them is before the true one. */
  readonly endsAt: number;
  readonly isTold: boolean;
  /** The most that an answer said. */
  readonly counted: number;
  /** Counted beyond what was sent from here. */
  readonly others: number;
  /** Booked since it began, or out when it did. */
  ours: number;
}

/** What one answer says of the window that its call was counted in. */
interface ToldWindow {
  readonly allowed: number;
  /** The call included. */
  readonly counted: number;
  /** To the end; undefined where the answer does not say. */
  readonly leftMs: number | undefined;
}

/** When a call was sent, and when it was answered. */
interface CallTimes {
  readonly sentAt: number;
  readonly now: number;
}

/**
 * `inin-ratelimit-count`, `-allowed` and `-reset` (seconds to the end of the window) are counted per token:
 * https://developer.genesys.cloud/platform/api/rate-limits. All times are `performance.now()` milliseconds.
 */
export class RateWindows {
  #window: RateWindow | undefined;
  #lengthMs: number | undefined;
  /** When the window before this one ended; NaN where no answer told it. */
  #lastEndedAt = NaN;
  /** What is added to an end that was told: a second, once calls went out before the end because seconds are rounded down. */
  #roundedMs = 0;
  #foundRoundedAt = -Infinity;
  /** Calls that were booked and are not over. */
  #out = 0;
  /** Of those, the ones that were sent. */
  #flying = 0;

  /** As answers told; the usual one before they did. */
  get lengthMs(): number {
    return this.#lengthMs ?? USUAL.lengthMs;
  }

  get isTold(): boolean {
    return this.#lengthMs !== undefined;
  }

  /** When calls that went out too early told how seconds are rounded; never, at first. */
  get foundRoundedAt(): number {
    return this.#foundRoundedAt;
  }

  /** After its end, a new window that nobody has told of yet: of the same size, used by what is still out. */
  at(now: number): RateWindow {
    const before = this.#window;
    if (before !== undefined && now < before.endsAt) return before;
    this.#lastEndedAt = before?.isTold === true ? before.endsAt : NaN;
    return (this.#window = {
      allowed: before?.allowed ?? USUAL.allowed,
      beganAt: now,
      endsAt: now + this.lengthMs,
      isTold: false,
      counted: 0,
      others: 0,
      ours: this.#out,
    });
  }

  /** Calls that it counts, or will. */
  usedAt(now: number): number {
    const { ours, others } = this.at(now);
    return ours + others;
  }

  /** The same without those that are booked and wait. */
  sentAt(now: number): number {
    return this.usedAt(now) - this.#waiting;
  }

  book(now: number): void {
    this.at(now).ours += 1;
    this.#out += 1;
  }

  send(): void {
    this.#flying += 1;
  }

  /** A booked call is over that was never sent. */
  forget(now: number): void {
    this.#drop(now);
    this.#out -= 1;
  }

  /** A call is over that was sent; without headers where nothing answered it. */
  settle(headers: JsonAnswer['headers'] | undefined, times: CallTimes): void {
    this.at(times.now);
    this.#out -= 1;
    this.#flying -= 1;
    const told = toldIn(headers ?? {});
    if (told !== undefined) this.#hear(told, times);
  }

  get #waiting(): number {
    return this.#out - this.#flying;
  }

  /**
   * Each answer bounds the end of its window to the second, and the tightest of many bounds is nearly the end itself; what the last
   * of them says would be half a second late on the average, in each window.
   */
  #hear(told: ToldWindow, times: CallTimes): void {
    const window = this.at(times.now);
    // "0" is said in the last moment of a window, and not of windows without length.
    this.#lengthMs = Math.max(this.#lengthMs ?? SECOND_MS, told.leftMs ?? USUAL.lengthMs);
    if (this.#isOfLast(window, told, times)) return this.#hearOfLast(window, told, times);
    // Perhaps counted before this window began; as one of those that were out then, it is among ours already.
    if (times.sentAt < window.beganAt) return;
    if (this.#isFollowed(window, told, times)) this.#begin(told, times);
    else this.#learn(window, told, times);
  }

  /** Of a call that another window than this one counted. */
  #hearOfLast(window: RateWindow, told: ToldWindow, times: CallTimes): void {
    const isEarly = times.sentAt >= this.#lastEndedAt;
    if (isEarly && this.#roundedMs === 0) {
      this.#roundedMs = SECOND_MS;
      this.#foundRoundedAt = times.now;
      if (window.isTold) this.#window = { ...window, endsAt: window.endsAt + SECOND_MS };
    }
    // The window before has not ended: all that follows waits for it.
    if (isEarly && !window.isTold) return this.#learn(window, told, times);
    this.#drop(times.now);
  }

  /** A window that began while the one before it was thought to last: all that are out are counted there, and this answer's call. */
  #begin(told: ToldWindow, { sentAt, now }: CallTimes): void {
    const window = this.at(now);
    this.#lastEndedAt = window.endsAt;
    const begun = { ...window, beganAt: sentAt, isTold: false, counted: 0, others: 0, ours: this.#out + 1 };
    this.#window = begun;
    this.#learn(begun, told, { sentAt, now });
  }

  #learn(window: RateWindow, { allowed, counted, leftMs }: ToldWindow, { now }: CallTimes): void {
    const endsAt = leftMs === undefined ? window.endsAt : now + leftMs + this.#roundedMs;
    this.#window = {
      ...window,
      allowed,
      endsAt: window.isTold ? Math.min(window.endsAt, endsAt) : endsAt,
      isTold: true,
      counted: Math.max(window.counted, counted),
      others: Math.max(window.others, counted - (this.sentAt(now) - window.others)),
    };
  }

  #drop(now: number): void {
    const window = this.at(now);
    window.ours = Math.max(0, window.ours - 1);
  }

  /** Its end is told to the second: that of the window before, and not of this one. */
  #isOfLast(window: RateWindow, { leftMs }: ToldWindow, { sentAt, now }: CallTimes): boolean {
    const halfMs = this.lengthMs / 2;
    if (leftMs === undefined || leftMs >= halfMs) return false;
    return window.isTold
      ? now + leftMs + this.#roundedMs + Math.max(SECOND_MS, halfMs) < window.endsAt
      : sentAt + leftMs <= this.#lastEndedAt + SECOND_MS;
  }

  /** Another window has begun than the one that was told of: that of a new token. */
  #isFollowed(window: RateWindow, { leftMs }: ToldWindow, { sentAt }: CallTimes): boolean {
    return leftMs !== undefined && window.isTold && sentAt + leftMs - SECOND_MS > window.endsAt;
  }
}

function toldIn(headers: JsonAnswer['headers']): ToldWindow | undefined {
  const allowed = countInHeader(headers['inin-ratelimit-allowed']);
  const counted = countInHeader(headers['inin-ratelimit-count']);
  const resetS = countInHeader(headers['inin-ratelimit-reset']);
  if (allowed === undefined || counted === undefined || allowed === 0) return undefined;
  return { allowed, counted, leftMs: resetS === undefined ? undefined : resetS * SECOND_MS };
}

function countInHeader(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,6}$/.test(header) ? Number(header) : undefined;
}

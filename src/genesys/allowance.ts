/** The rate limit of one token, and what Genesys asked it to wait, → whose call may be sent when. */
import { CALLS } from '../bounds.ts';
import type { JsonAnswer } from './exchange.ts';
import type { GenesysCaller } from './genesys.ts';
import { type RateWindow, RateWindows } from './rate-windows.ts';

/** From this share of the window on, what is left is spread over the rest of it. */
const SLOW_FROM = 0.9;
/** Nobody else is sent while that one call is out; it is over by then. */
const TRIAL_MS = 30_000;
/** A client that was told to wait, and shares its organization with live work, does with half of its share for so long. */
const HALVED_MS = 10 * 60_000;
/** So long after it was found out by calls of our own how seconds are rounded, what is refused is refused to those. */
const OWN_FAULT_MS = 5_000;

/** Of one window, or of several together. */
export interface CallsSpent {
  readonly made: number;
  readonly allowed: number;
}

/** A call that was booked. Each is ended by one {@link Allowance.settle}. */
export interface BookedCall {
  readonly caller: GenesysCaller;
  readonly dueAt: number;
  /** When nothing was left to wait for. */
  sentAt?: number;
}

/** All times are `performance.now()` milliseconds. */
export class Allowance {
  readonly #share: number;
  readonly #windows = new RateWindows();
  /** When the next of the last calls of a window is due. */
  #next = { at: 0, windowBeganAt: 0 };
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
    return Math.max(0, this.#dueAt(caller, now) - now, this.#heldMs(now));
  }

  /** Whether that is because Genesys said so, and not for what was used already. */
  isPaused(now: number): boolean {
    return this.#heldMs(now) > 0;
  }

  /** Calls of this window, as Genesys counted them last; undefined before it told. */
  spent(now: number): CallsSpent | undefined {
    if (!this.#windows.isTold) return undefined;
    const { allowed } = this.#windows.at(now);
    return { made: Math.min(allowed, this.#windows.usedAt(now)), allowed };
  }

  book(caller: GenesysCaller, now: number): BookedCall {
    const turn = { caller, dueAt: this.#dueAt(caller, now) };
    const { allowed, beganAt, endsAt } = this.#windows.at(now);
    const left = allowed - this.#windows.usedAt(now);
    this.#windows.book(now);
    if (left <= 0 || left - 1 > allowed * (1 - SLOW_FROM)) return turn;
    const nextAt = this.#nextAt(now);
    this.#next = { at: nextAt + (endsAt - nextAt) / left, windowBeganAt: beganAt };
    return turn;
  }

  /**
   * What a booked call still has to wait: to be asked again after each wait until it is 0, because a pause may have come,
   * or grown, meanwhile.
   */
  leftMs(turn: BookedCall, now: number): number {
    if (turn.sentAt !== undefined) return 0;
    const window = this.#windows.at(now);
    const isUsedUp = this.#windows.sentAt(now) >= this.#limitOf(turn.caller, window, now);
    const leftMs = Math.max(0, turn.dueAt - now, isUsedUp ? window.endsAt - now : 0, this.#heldMs(now));
    if (leftMs > 0) return leftMs;
    turn.sentAt = now;
    this.#windows.send();
    if (this.#trial === 'due') this.#trial = { turn, until: now + TRIAL_MS };
    return 0;
  }

  /** The call is over: answered with these headers, or not at all, or never sent. */
  settle(turn: BookedCall, headers: JsonAnswer['headers'] | undefined, now: number): void {
    if (typeof this.#trial === 'object' && this.#trial.turn === turn)
      this.#trial = headers === undefined ? 'due' : 'none';
    if (turn.sentAt === undefined) this.#windows.forget(now);
    else this.#windows.settle(headers, { sentAt: turn.sentAt, now });
  }

  /** Nothing is sent for so long: what a 429 asked for holds for every call with this token. */
  pause(ms: number, now: number): void {
    const until = now + Math.min(ms, CALLS.believedMs);
    if (until >= this.#closedUntil) this.#trial = ms > CALLS.believedMs ? 'due' : 'none';
    this.#closedUntil = Math.max(this.#closedUntil, until);
    const isOwnFault = now - this.#windows.foundRoundedAt < OWN_FAULT_MS;
    if (this.#share < 1 && !isOwnFault) this.#halvedUntil = now + HALVED_MS;
  }

  #dueAt(caller: GenesysCaller, now: number): number {
    const window = this.#windows.at(now);
    const limit = this.#limitOf(caller, window, now);
    const used = this.#windows.usedAt(now);
    if (used < limit) return used < window.allowed * SLOW_FROM ? now : Math.min(this.#nextAt(now), window.endsAt);
    const waiting = used - Math.max(limit, this.#windows.sentAt(now));
    return window.endsAt + Math.floor(waiting / limit) * this.#windows.lengthMs;
  }

  #nextAt(now: number): number {
    const { at, windowBeganAt } = this.#next;
    return windowBeganAt === this.#windows.at(now).beganAt ? Math.max(at, now) : now;
  }

  #limitOf(caller: GenesysCaller, window: RateWindow, now: number): number {
    const share =
      this.#share * (caller === 'listener' ? CALLS.listenersShare : 1) * (now < this.#halvedUntil ? 0.5 : 1);
    return Math.max(1, Math.floor(window.allowed * share));
  }

  #heldMs(now: number): number {
    const closedMs = Math.max(0, this.#closedUntil - now);
    return typeof this.#trial === 'object' ? Math.max(closedMs, this.#trial.until - now) : closedMs;
  }
}

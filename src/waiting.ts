/** A request to come back later (a Retry-After header, or nothing at all) → milliseconds, and work → work that ends in time. */
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from './failure.ts';

/** The least anyone waits who was told to wait: "0" and a date in the past would otherwise be a hot loop. */
const FLOOR_MS = 1_000;

/** Node fires timers above this at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Milliseconds to wait, at least 1,000; undefined where the header says nothing that RFC 9110 §10.2.3 allows
 * (delay-seconds or an IMF-fixdate; the obsolete date forms are refused). Of several headers the longest valid one
 * counts. Never shortened, however far away it is: the caller decides whether to wait or to give the work back.
 */
export function parseRetryAfter(header: string | readonly string[] | undefined, now: Date): number | undefined {
  const values = typeof header === 'string' ? [header] : (header ?? []);
  const waits = values.map((value) => parseOne(value.trim(), now)).filter((wait) => wait !== undefined);
  return waits.length === 0 ? undefined : Math.max(...waits);
}

function parseOne(value: string, now: Date): number | undefined {
  if (/^\d{1,9}$/.test(value)) return Math.max(Number(value) * 1_000, FLOOR_MS);
  const date = new Date(value);
  // Date parsing takes "5" and "-5" for years; only an IMF-fixdate prints back to itself.
  if (Number.isNaN(date.getTime()) || date.toUTCString() !== value) return undefined;
  return Math.max(date.getTime() - now.getTime(), FLOOR_MS);
}

export interface Backoff {
  readonly baseMs: number;
  readonly capMs: number;
}

/** Exponential with full jitter: anywhere from 0 to `baseMs * 2^(attempt - 1)`, at most `capMs`. `attempt` counts from 1. */
export function backoffMs(attempt: number, backoff: Backoff): number {
  const ceiling = Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.max(0, attempt - 1));
  return Math.random() * ceiling;
}

/** Resolves no earlier than `ms` from now, also where `ms` is beyond what one timer can hold. Rejects when `signal` aborts. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const until = performance.now() + ms;
  for (let left = ms; left > 0; left = until - performance.now()) {
    await delay(Math.min(Math.ceil(left), LONGEST_TIMER_MS), undefined, { signal });
  }
  signal.throwIfAborted();
}

export interface Patience {
  /** The longest all tries and waits together may take before the work is handed back. */
  readonly patienceMs: number;
  /** Tries at most, the first included. */
  readonly tries: number;
  /** The wait before try `attempt + 1` where the other side named none. */
  readonly waitMs: (attempt: number) => number;
  /** Told of what is waited for before each wait. */
  readonly onWait?: ((failure: Failure) => void) | undefined;
  /** Asked after each try that failed, unless it was the last: false ends them early. */
  readonly isWorthwhile?: (failure: Failure, tries: number) => Promise<boolean>;
}

const PASSING = new Set(['rate-limited', 'upstream-unavailable', 'upstream-timeout']);

/**
 * Tries again while the failure is a passing one and its wait fits into what is left of the patience; otherwise the
 * failure goes up whole, with `afterMs` as the other side asked for it. `attempt` is told how much patience is left.
 */
export async function persist<T>(
  attempt: (leftMs: number) => Promise<T>,
  patience: Patience,
  signal: AbortSignal,
): Promise<T> {
  const end = performance.now() + patience.patienceMs;
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(Math.max(0, end - performance.now()));
    } catch (thrown) {
      signal.throwIfAborted();
      if (!(thrown instanceof Failure) || !PASSING.has(thrown.code) || tries >= patience.tries) throw thrown;
      const waitMs = thrown.afterMs ?? patience.waitMs(tries);
      if (waitMs > end - performance.now()) throw thrown;
      if ((await patience.isWorthwhile?.(thrown, tries)) === false) throw thrown;
      patience.onWait?.(thrown);
      await sleep(waitMs, signal);
    }
  }
}

/**
 * The outcome of `work`, or a rejection with the signal's reason as soon as it aborts. `work` itself goes on: whoever needs
 * it ended ends it.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = (): void => reject(signal.reason);
  const over = (): void => signal.removeEventListener('abort', abort);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  work.then(
    (outcome) => {
      over();
      resolve(outcome);
    },
    (error: unknown) => {
      over();
      reject(error);
    },
  );
  return promise;
}

/**
 * The outcome of `work`, or a rejection with `late()` after `ms`; the signal that `work` is given aborts with the same reason.
 * Whatever `work` does with it, the answer comes in time.
 */
export async function inTime<T>(work: (signal: AbortSignal) => Promise<T>, ms: number, late: () => Error): Promise<T> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(late()), Math.min(ms, LONGEST_TIMER_MS));
  try {
    return await unlessAborted(work(deadline.signal), deadline.signal);
  } catch (thrown) {
    deadline.signal.throwIfAborted();
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * As `AbortSignal.any()`, for what is done many times a second: disposed of once what it rules is over. That one's signal holds
 * all that ever heard of it until V8 has looked through its whole heap, twice: that, and not the work, fills the heap.
 */
export class Scope implements Disposable {
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];
  readonly #follow = (): void => this.abort(this.#signals.find(({ aborted }) => aborted)?.reason);

  /** Aborts when one of `signals` does, with its reason. */
  constructor(...signals: readonly AbortSignal[]) {
    this.#signals = signals;
    for (const signal of signals) signal.addEventListener('abort', this.#follow);
    if (signals.some(({ aborted }) => aborted)) this.#follow();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this[Symbol.dispose]();
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#follow);
  }
}

export interface DeadlineOptions {
  /** Aborts it earlier, with its reason. */
  readonly signal?: AbortSignal;
  /** The reason when the time is over. */
  readonly late?: () => Error;
}

/**
 * As `AbortSignal.timeout()`, for the same: that one's timer keeps all that hears of it until it rings, also where the work was over
 * within a millisecond.
 */
export class Deadline implements Disposable {
  readonly #scope: Scope;
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number, { signal, late = timeIsOver }: DeadlineOptions = {}) {
    this.#scope = new Scope(...(signal === undefined ? [] : [signal]));
    this.#timer = setTimeout(() => this.#scope.abort(late()), Math.min(ms, LONGEST_TIMER_MS));
  }

  get signal(): AbortSignal {
    return this.#scope.signal;
  }

  /** What it was for came in time: from now on only the signal that it was given aborts it. */
  meet(): void {
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#scope[Symbol.dispose]();
  }
}

function timeIsOver(): DOMException {
  return new DOMException('The time for it is over.', 'TimeoutError');
}

/** Resolves when the signal aborts, also where it did before anyone listened. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) resolve();
  });
}

/** Why the signal aborted, as a Failure: its own reason where that is one, else `stopped`. */
export function reasonOf(signal: AbortSignal, message = 'The work was stopped before it ended.'): Failure {
  const reason: unknown = signal.reason;
  return reason instanceof Failure ? reason : new Failure('stopped', message, { cause: reason });
}

/** Whether `work` ended, well or not, within `ms`. */
export async function endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const over = new AbortController();
  const late = delay(ms, false, { signal: over.signal }).catch(() => false);
  const ended = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([ended, late]);
  } finally {
    over.abort();
  }
}

/** Once the last of them is over, also where one has failed: nothing of it goes on by itself. @throws what the first in order failed with */
export async function allOver(works: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((work) => work.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

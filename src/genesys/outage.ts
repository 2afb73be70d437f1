/** Notices that Genesys is out of order for everybody, and then lets one call after the other find out whether it still is. */
import { CALLS } from '../bounds.ts';
import { Failure, type FailureCode } from '../failure.ts';

/** So many different questions in a row without an answer are no longer the fault of one of them. */
const ENOUGH = 5;
const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;
/** How long the others wait for the word of the one that asks; longer than an answer may take. */
const PROBE_MS = 20_000;

const OUT_OF_ORDER: ReadonlySet<FailureCode> = new Set(['upstream-unavailable', 'upstream-timeout']);
/** Said by ourselves, or of our own rate: nothing of Genesys' health. */
const NO_WORD: ReadonlySet<FailureCode> = new Set(['stopped', 'rate-limited', 'busy', 'misconfigured', 'internal']);

/** All times are `performance.now()` milliseconds. */
export class Outage {
  /** What was asked in vain since the last answer. */
  readonly #unanswered = new Set<string>();
  #last: Failure | undefined;
  #closedMs = 0;
  #closedUntil = 0;

  /** To be asked before each call. @throws Failure as everybody met it, `afterMs` until somebody asks again */
  check(now: number): void {
    if (this.#last === undefined || this.#unanswered.size < ENOUGH) return;
    const afterMs = Math.ceil(this.#closedUntil - now);
    if (afterMs > 0) throw new Failure(this.#last.code, this.#last.message, { cause: this.#last, afterMs });
    this.#closedUntil = now + PROBE_MS;
  }

  /** The call ended with a failure: only that nobody answers counts, whatever else is said is an answer. */
  failed(path: string, failure: Failure, now: number): void {
    if (NO_WORD.has(failure.code)) return;
    if (!OUT_OF_ORDER.has(failure.code)) return this.answered();
    this.#last = failure;
    if (this.#unanswered.size < ENOUGH) this.#unanswered.add(path);
    if (this.#unanswered.size < ENOUGH) return;
    this.#closedMs = Math.min(Math.max(this.#closedMs * 2, FIRST_MS), LONGEST_MS);
    this.#closedUntil = now + Math.max(this.#closedMs, Math.min(failure.afterMs ?? 0, CALLS.believedMs));
  }

  answered(): void {
    this.#unanswered.clear();
    this.#last = undefined;
    this.#closedMs = 0;
  }
}

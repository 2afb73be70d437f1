/** How long to go on asking Cloud Storage when nothing moves, and how long to wait in between. */
import type { Failure } from '../../failure.ts';
import { backoffMs, sleep } from '../../waiting.ts';

/** Counts and clock start anew with every bit of progress. */
export interface RetryPolicy {
  /** Failures in a row without progress. */
  readonly attempts: number;
  /** First wait; doubles, with full jitter. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** Time without progress. */
  readonly withoutProgressMs: number;
  /** One request and its answer: a connection into nowhere ends here. */
  readonly requestTimeoutMs: number;
}

export const USUAL_RETRY: RetryPolicy = {
  attempts: 9,
  firstDelayMs: 500,
  longestDelayMs: 32_000,
  withoutProgressMs: 180_000,
  requestTimeoutMs: 60_000,
};

/** What is left of a {@link RetryPolicy} for one piece of work. */
export class RetryBudget {
  readonly #policy: RetryPolicy;
  #failures = 0;
  #since = performance.now();

  constructor(policy: RetryPolicy) {
    this.#policy = policy;
  }

  progress(): void {
    this.#failures = 0;
    this.#since = performance.now();
  }

  /** Waits before the next attempt, never less than the server asked for. @throws the failure, once the budget is spent */
  async again(failure: Failure, signal: AbortSignal): Promise<void> {
    this.#failures += 1;
    const { firstDelayMs, longestDelayMs, attempts, withoutProgressMs } = this.#policy;
    const jitteredMs = backoffMs(this.#failures, { baseMs: firstDelayMs, capMs: longestDelayMs });
    const waitMs = Math.max(jitteredMs, failure.afterMs ?? 0);
    const endMs = performance.now() - this.#since + waitMs;
    if (this.#failures >= attempts || endMs > withoutProgressMs) throw failure;
    await sleep(waitMs, signal);
  }
}

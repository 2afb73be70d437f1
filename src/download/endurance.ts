/** One try at the media host → as many as are worth while: bounded without progress, and patient only so long. */
import { breakOf } from './answer.ts';
import { Failure } from '../failure.ts';
import { backoffMs, sleep, type Backoff } from '../waiting.ts';

export interface EnduranceLimits {
  readonly backoff: Backoff;
  /** For Retry-After: all waits since the last progress together; a longer one gives the work back, with `afterMs` whole. */
  readonly patienceMs: number;
}

const MAX_BREAKS = 5;
const MAX_STALE = 2;
const PROGRESS_BYTES = 1024 ** 2;

/** Counts what went wrong since the last mebibyte of progress, so a long download may break often and a dead one only so often. */
export class Endurance {
  readonly #limits: EnduranceLimits;
  #breaks = 0;
  #stale = 0;
  #waitedMs = 0;
  #progressBytes = 0;

  constructor(limits: EnduranceLimits) {
    this.#limits = limits;
  }

  /** New bytes arrived. Bytes read a second time are no progress. */
  progressed(bytes: number): void {
    this.#progressBytes += bytes;
    if (this.#progressBytes < PROGRESS_BYTES) return;
    this.#progressBytes = 0;
    this.#breaks = 0;
    this.#stale = 0;
    this.#waitedMs = 0;
  }

  /** @throws Failure when another try is not worth while; the signal's reason once it is aborted */
  async through<T>(attempt: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await attempt();
      } catch (thrown) {
        signal.throwIfAborted();
        await this.#recover(thrown, signal);
      }
    }
  }

  async #recover(thrown: unknown, signal: AbortSignal): Promise<void> {
    const broken = breakOf(thrown);
    if (broken instanceof Failure) throw broken;
    const { failure, stale } = broken;
    if (stale) {
      if (++this.#stale > MAX_STALE) throw failure;
      return;
    }
    if (++this.#breaks > MAX_BREAKS) throw failure;
    if (failure.afterMs === undefined) return sleep(backoffMs(this.#breaks, this.#limits.backoff), signal);
    this.#waitedMs += failure.afterMs;
    if (this.#waitedMs > this.#limits.patienceMs) throw failure;
    await sleep(failure.afterMs, signal);
  }
}

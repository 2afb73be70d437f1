/** A wall clock that may be set → what may be believed of it: whether leases that look over are, how old things are, and whether waits lie in the future. */

/** Smaller differences are the ordinary drift of two clocks. */
const JUMP_MS = 1000;
/** By so much less the age of a message decides nothing. */
const AGED_FROM_MS = 60_000;

export class LeaseClock {
  readonly #now: () => number;
  readonly #leaseMs: number;
  #offsetMs: number;
  /** True at first: what lies there may have been written before the clock was set back. */
  #setBack = true;
  #reclaimFromMs = 0;
  #agedMs = 0;

  /** `now`: wall clock, ms. */
  constructor(now: () => number, leaseMs: number) {
    this.#now = now;
    this.#leaseMs = leaseMs;
    this.#offsetMs = this.#now() - performance.now();
  }

  /** Whether the clock was set back since {@link rebased}: what lies in the future has to be counted from now then. */
  get isSetBack(): boolean {
    return this.#setBack;
  }

  rebased(): void {
    this.#setBack = false;
  }

  /**
   * By how much everything has become older since {@link rejuvenated} than the time that passed: the clock was set forward, or the
   * machine slept, and nobody could work meanwhile. Asked as {@link mayReclaim} is.
   */
  agedMs(): number {
    this.#notice();
    return this.#agedMs < AGED_FROM_MS ? 0 : this.#agedMs;
  }

  rejuvenated(ms: number): void {
    this.#agedMs -= ms;
  }

  /**
   * Whether leases that look over may be taken from their owners: not right after the clock was set forward, when
   * those of living owners look over too. To be asked in the same turn of the event loop as the clock is used.
   */
  mayReclaim(): boolean {
    this.#notice();
    return performance.now() >= this.#reclaimFromMs;
  }

  #notice(): void {
    const offsetMs = this.#now() - performance.now();
    const jumpMs = offsetMs - this.#offsetMs;
    this.#offsetMs = offsetMs;
    if (jumpMs > JUMP_MS) {
      this.#reclaimFromMs = performance.now() + this.#leaseMs;
      this.#agedMs += jumpMs;
    }
    if (jumpMs < -JUMP_MS) this.#setBack = true;
  }
}

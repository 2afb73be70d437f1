/** A number of encoders → permissions to run one: archiving first (what is new before what gives way), listeners as long as it has another, each first come, first served. */
import { ENCODERS } from '../../bounds.ts';
import { type Clock, SYSTEM_CLOCK } from '../../clock.ts';
import { Failure } from '../../failure.ts';
import { reasonOf } from '../../waiting.ts';
import type { Purpose } from '../purpose.ts';

export interface SlotsOptions {
  readonly slots: number;
  /** Listeners that may wait. */
  readonly maxWaiting: number;
  /** Whether this process archives: then one slot is kept for that. */
  readonly archives: boolean;
  readonly clock?: Clock;
}

interface Waiter {
  readonly purpose: Purpose;
  readonly turn: PromiseWithResolvers<void>;
}

export class Slots {
  readonly #slots: number;
  readonly #maxWaiting: number;
  /** How many of the slots listeners may hold; a single one is lent to them. */
  readonly #lent: number;
  readonly #clock: Clock;
  /** In the order they were granted. */
  readonly #held = new Set<Purpose>();
  readonly #waiting = new Set<Waiter>();

  constructor({ slots, maxWaiting, archives, clock = SYSTEM_CLOCK }: SlotsOptions) {
    this.#slots = slots;
    this.#maxWaiting = maxWaiting;
    this.#lent = archives && slots > 1 ? slots - 1 : slots;
    this.#clock = clock;
  }

  get running(): number {
    return this.#held.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for its turn; disposing gives the slot to the next. What is made for the archive waits as long as it takes, and
   * takes a slot away from what gives way, or from listeners where they have them all. A purpose that changes meanwhile changes its turn.
   * @throws Failure `busy` with `afterMs`, for a listener who would wait too long; the signal's reason as `stopped`
   */
  async acquire(purpose: Purpose, signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) throw slotStopped(signal);
    const waiter: Waiter = { purpose, turn: Promise.withResolvers() };
    this.#waiting.add(waiter);
    const heeding = purpose.onChange(() => this.#handOut());
    try {
      this.#handOut();
      if (this.#isHopeless(waiter)) this.#refuse(waiter, busy());
      await this.#turnOf(waiter, signal);
    } catch (error) {
      heeding[Symbol.dispose]();
      throw error;
    }
    return {
      [Symbol.dispose]: () => {
        heeding[Symbol.dispose]();
        if (this.#held.delete(purpose)) this.#handOut();
      },
    };
  }

  /** Resolves when it was handed out. */
  async #turnOf(waiter: Waiter, signal: AbortSignal): Promise<void> {
    const { purpose, turn } = waiter;
    const stop = (): void => this.#refuse(waiter, slotStopped(signal));
    const tire = (): Disposable | undefined =>
      purpose.archiving ? undefined : this.#clock.after(ENCODERS.waitMs, () => this.#refuse(waiter, busy()));
    let patience = tire();
    using _heeding = purpose.onChange(() => {
      patience?.[Symbol.dispose]();
      patience = tire();
    });
    signal.addEventListener('abort', stop, { once: true });
    try {
      await turn.promise;
    } finally {
      patience?.[Symbol.dispose]();
      signal.removeEventListener('abort', stop);
    }
  }

  #refuse(waiter: Waiter, failure: Failure): void {
    if (this.#waiting.delete(waiter)) waiter.turn.reject(failure);
  }

  #handOut(): void {
    while (this.#held.size < this.#slots) {
      const next = this.#next();
      if (next === undefined) return;
      this.#waiting.delete(next);
      this.#held.add(next.purpose);
      next.turn.resolve();
    }
    const held = [...this.#held];
    if (this.#waitingFor(isNew) === undefined || held.some(({ yielded }) => yielded.aborted)) return;
    const givingWay = held.findLast(({ givesWay }) => givesWay);
    if (givingWay !== undefined) givingWay.yield();
    else if (!held.some(({ archiving }) => archiving)) held.at(-1)?.yield();
  }

  #next(): Waiter | undefined {
    const listening = [...this.#held].filter(({ archiving }) => !archiving).length;
    const first = this.#waitingFor(isNew) ?? this.#waitingFor(({ givesWay }) => givesWay);
    return first ?? (listening < this.#lent ? this.#waitingFor(({ archiving }) => !archiving) : undefined);
  }

  /** The one that waits longest. */
  #waitingFor(isMeant: (purpose: Purpose) => boolean): Waiter | undefined {
    return [...this.#waiting].find(({ purpose }) => isMeant(purpose));
  }

  /** A listener's turn comes after all that is archived, and after the listeners before it. */
  #isHopeless(waiter: Waiter): boolean {
    if (!this.#waiting.has(waiter) || waiter.purpose.archiving) return false;
    const listeners = [...this.#waiting].filter(({ purpose }) => !purpose.archiving);
    return listeners.length > this.#maxWaiting || listeners.length < this.#waiting.size;
  }
}

function isNew({ archiving, givesWay }: Purpose): boolean {
  return archiving && !givesWay;
}

function busy(): Failure {
  const text = 'All encoders are busy; try again in a few seconds.';
  return new Failure('busy', text, { afterMs: ENCODERS.retryAfterMs });
}

function slotStopped(signal: AbortSignal): Failure {
  return reasonOf(signal, 'The work was stopped while it waited for an encoder.');
}

/** Messages that wait on SUBSCRIPTION-later → messages on TOPIC, each when it is due: no slot, no encoder, only a lease. */
import { Failure } from '../../failure.ts';
import type { Conversations } from './conversations.ts';
import { copyOf, countedAttempt, restMsOf } from './envelope.ts';
import type { Leased, PubsubLibrary, Subscribed } from './library.ts';
import { endsWithin } from '../../waiting.ts';
import { staySubscribed } from './stay.ts';
import type { Desk } from './settle.ts';

export interface LaterNeeds extends Desk {
  readonly library: PubsubLibrary;
  readonly laterSubscription: string;
  readonly conversations: Conversations;
  readonly onTrouble: (failure: Failure) => void;
}

/** Of about 500 bytes each. What is beyond waits at Pub/Sub and is late by as much as those before it. */
const MAX_HELD = 10_000;
/** Extended in time by whoever lives; after a crash another worker holds them so much later. */
const LEASE_S = 120;
/** What waits longer is published anew as often: neither its lease nor its retention runs out. */
const HELD_AT_MOST_MS = 12 * 3_600_000;
const RELEASED_WITHIN_MS = 2_000;
/** A timer may end so much before its time. */
const EARLY_BY_MS = 1;

export class WaitingRoom {
  readonly #parts: LaterNeeds;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #releasing = new Set<Promise<void>>();
  #stopped = false;

  constructor(parts: LaterNeeds) {
    this.#parts = parts;
  }

  /** Until `signal` aborts; then everything is given back. */
  async run(signal: AbortSignal): Promise<void> {
    await staySubscribed({ open: () => this.#open(), onLost: () => this.#forget() }, signal);
  }

  #open(): Subscribed {
    const { library, laterSubscription, onTrouble } = this.#parts;
    const subscribed = library.subscribe({
      name: laterSubscription,
      maxMessages: MAX_HELD,
      leaseS: LEASE_S,
      take: (leased) => this.#take(leased),
      onTrouble,
    });
    return { ended: subscribed.ended, close: () => this.#close(subscribed) };
  }

  #take(leased: Leased): void {
    if (this.#stopped) return leased.nack();
    if (this.#parts.conversations.isSuperseded(leased)) return leased.ack();
    const restMs = restMsOf(leased) ?? 0;
    const heldMs = Math.max(0, Math.min(restMs, HELD_AT_MOST_MS));
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      const releasing = this.#release(leased, restMs - heldMs).finally(() => this.#releasing.delete(releasing));
      this.#releasing.add(releasing);
    }, heldMs + EARLY_BY_MS);
    this.#timers.add(timer);
  }

  /** Publish first, acknowledge after. What cannot be published now comes back with its time in it. */
  async #release(leased: Leased, restMs: number): Promise<void> {
    if (this.#parts.conversations.isSuperseded(leased)) return leased.ack();
    const { library, topic, laterTopic, onTrouble } = this.#parts;
    const attempt = countedAttempt(leased);
    const waiting = { waitMs: restMs, fromMs: Date.now() };
    try {
      if (restMs <= 0) await library.publish(topic, [copyOf(leased, { attempt })]);
      else await library.publish(laterTopic, [copyOf(leased, { attempt, waiting })]);
      leased.ack();
    } catch (error) {
      leased.nack();
      if (!this.#stopped) onTrouble(Failure.from(error));
    }
  }

  #forget(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  async #close(subscribed: Subscribed): Promise<void> {
    this.#stopped = true;
    this.#forget();
    await endsWithin(Promise.all(this.#releasing), RELEASED_WITHIN_MS);
    await subscribed.close();
  }
}

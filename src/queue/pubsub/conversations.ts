/**
 * Several events of one conversation, each a message of its own on Pub/Sub → one series of looks at it, as a table would keep it:
 * the newest event goes on for all, and none is worked on sooner than the last look allows.
 *
 * Kept in memory, by what this process has been delivered: a bucket would have it exact for one more write and four more reads
 * per conversation. Whatever is forgotten (a restart, another worker) costs looks and loses nothing.
 */
import type { Envelope } from '../envelope.ts';
import { messageKey, type Delivery, type Settlement } from '../queue.ts';
import { parseEnvelope } from './envelope.ts';

interface KnownConversation {
  /** When its newest event was accepted; wall clock, ms. */
  readonly newestMs: number;
  /** The event whose message was worked on last, the same. */
  readonly lookedByMs: number | undefined;
  /** Others that come before this wait; wall clock, ms. */
  readonly soonestMs: number;
  /** So long, and at least until they are so old themselves: a look counts by the age of its event. */
  readonly pauseMs: number;
}

/** Of about 200 bytes each. */
const REMEMBERED = 20_000;
/** While a look is under way: it says itself, soon, how long the others have to wait. */
const UNDER_WAY_MS = 10_000;

export class Conversations {
  readonly #known = new Map<string, KnownConversation>();

  /**
   * To be asked of whatever comes: whether a newer event of its conversation has come, too. That one's message lives until it
   * has been worked on for as long as this one's would have been, so that this one may be let go.
   */
  isSuperseded(envelope: Envelope): boolean {
    const event = eventIn(envelope);
    if (event === undefined) return false;
    const known = this.#known.get(event.key);
    const newestMs = Math.max(known?.newestMs ?? 0, event.acceptedMs);
    this.#remember(event.key, { lookedByMs: undefined, soonestMs: 0, pauseMs: 0, ...known, newestMs });
    return newestMs > event.acceptedMs;
  }

  /** Milliseconds until it may be worked on: 0 unless another event of its conversation has just been. */
  restMs({ message, acceptedAt }: Delivery): number {
    const known = message.kind === 'conversation' ? this.#known.get(messageKey(message)) : undefined;
    if (known === undefined || known.lookedByMs === acceptedAt.getTime()) return 0;
    const nowMs = Date.now();
    if (nowMs >= known.soonestMs) return 0;
    const restMs = Math.max(known.soonestMs, acceptedAt.getTime() + known.pauseMs) - nowMs;
    // Never longer than it was meant to be, also where the clock was set back meanwhile.
    return Math.min(restMs, known.pauseMs);
  }

  begins(delivery: Delivery): void {
    this.#note(delivery, UNDER_WAY_MS);
  }

  /** A time that somebody else named holds for every event of the conversation; our own guess says how far it may be shortened. */
  ended(delivery: Delivery, settlement: Settlement): void {
    this.#note(delivery, 'afterMs' in settlement ? (settlement.soonestMs ?? settlement.afterMs) : 0);
  }

  #note({ message, acceptedAt }: Delivery, pauseMs: number): void {
    if (message.kind !== 'conversation') return;
    const key = messageKey(message);
    const lookedByMs = acceptedAt.getTime();
    const newestMs = Math.max(this.#known.get(key)?.newestMs ?? 0, lookedByMs);
    this.#remember(key, { newestMs, lookedByMs, soonestMs: Date.now() + pauseMs, pauseMs });
  }

  /** What was not heard of for longest is forgotten. */
  #remember(key: string, known: KnownConversation): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= REMEMBERED) return;
      this.#known.delete(oldest);
    }
  }
}

/** undefined for whatever is no conversation; whoever works on what cannot be read says what is wrong with it. */
function eventIn(envelope: Envelope): { readonly key: string; readonly acceptedMs: number } | undefined {
  try {
    const { message, acceptedAt } = parseEnvelope(envelope);
    if (message.kind !== 'conversation') return undefined;
    return { key: messageKey(message), acceptedMs: acceptedAt.getTime() };
  } catch {
    return undefined;
  }
}

/** Published messages → deliveries under a lease, each again until it is acknowledged or dead (https://cloud.google.com/pubsub/docs/subscription-properties). */

export interface StoredMessage {
  readonly messageId: string;
  readonly data: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  readonly publishedMs: number;
}

export interface SubscriptionRules {
  readonly name: string;
  readonly ackDeadlineS: number;
  /** What is not acknowledged comes back after these, doubled each time; at once without. */
  readonly backoffMs: { readonly min: number; readonly max: number } | undefined;
  readonly maxDeliveryAttempts: number | undefined;
  /** Takes what was delivered so often. */
  readonly bury: (message: StoredMessage, attempts: number) => void;
}

export interface ReceivedMessage {
  readonly ackId: string;
  readonly message: StoredMessage;
  /** 0 where there is no policy for dead letters. */
  readonly deliveryAttempt: number;
}

/** A pull that waits, or a stream that goes on. */
export interface Taker {
  /** More messages than these are not given to it now. */
  room(): number;
  give(received: readonly ReceivedMessage[]): void;
  /** One of its messages is settled, or its lease is over. */
  settled?(): void;
  readonly leaseS?: number;
}

interface Kept {
  readonly message: StoredMessage;
  attempts: number;
}

interface Lease {
  readonly kept: Kept;
  readonly taker: Taker;
  timer: NodeJS.Timeout;
}

export class Subscription {
  readonly rules: SubscriptionRules;
  readonly #ready: Kept[] = [];
  readonly #leases = new Map<string, Lease>();
  readonly #takers = new Set<Taker>();
  #count = 0;

  constructor(rules: SubscriptionRules) {
    this.rules = rules;
  }

  put(message: StoredMessage): void {
    this.#ready.push({ message, attempts: 0 });
    this.#deliver();
  }

  /** Until `gone`: the leases of what it was given last on. */
  attach(taker: Taker, gone: AbortSignal): void {
    if (gone.aborted) return;
    this.#takers.add(taker);
    gone.addEventListener('abort', () => this.#takers.delete(taker), { once: true });
    this.#deliver();
  }

  detach(taker: Taker): void {
    this.#takers.delete(taker);
  }

  /** What nobody holds any more comes again whatever is said of it. */
  acknowledge(ackIds: readonly string[]): void {
    for (const ackId of ackIds) this.#release(ackId);
    this.#deliver();
  }

  /** From now on; 0 gives them back. */
  modifyDeadline(ackIds: readonly string[], seconds: number): void {
    for (const ackId of ackIds) {
      if (seconds <= 0) this.#giveUp(ackId);
      else this.#extend(ackId, seconds);
    }
    this.#deliver();
  }

  /** Held by somebody or not: published since then, it is delivered anew. */
  seek(sinceMs: number): void {
    for (const [ackId, { kept }] of this.#leases) {
      if (kept.message.publishedMs < sinceMs) continue;
      this.#release(ackId);
      this.#ready.push(kept);
    }
    this.#deliver();
  }

  close(): void {
    for (const ackId of this.#leases.keys()) this.#release(ackId);
    this.#takers.clear();
  }

  /** To one after the other, so that nobody who asks is left out. */
  #deliver(): void {
    while (this.#ready.length > 0) {
      const taker = [...this.#takers].find((one) => one.room() > 0);
      if (taker === undefined) return;
      this.#takers.delete(taker);
      this.#takers.add(taker);
      const taken = this.#ready.splice(0, taker.room());
      taker.give(taken.map((kept) => this.#lease(kept, taker)));
    }
  }

  #lease(kept: Kept, taker: Taker): ReceivedMessage {
    const { name, ackDeadlineS, maxDeliveryAttempts } = this.rules;
    const ackId = `${name}:${String(++this.#count)}`;
    kept.attempts += 1;
    const seconds = taker.leaseS ?? ackDeadlineS;
    this.#leases.set(ackId, { kept, taker, timer: this.#timer(ackId, seconds) });
    return { ackId, message: kept.message, deliveryAttempt: maxDeliveryAttempts === undefined ? 0 : kept.attempts };
  }

  #timer(ackId: string, seconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#giveUp(ackId);
      this.#deliver();
    }, seconds * 1000);
  }

  #extend(ackId: string, seconds: number): void {
    const lease = this.#leases.get(ackId);
    if (lease === undefined) return;
    clearTimeout(lease.timer);
    lease.timer = this.#timer(ackId, seconds);
  }

  #release(ackId: string): Kept | undefined {
    const lease = this.#leases.get(ackId);
    if (lease === undefined) return undefined;
    clearTimeout(lease.timer);
    this.#leases.delete(ackId);
    lease.taker.settled?.();
    return lease.kept;
  }

  #giveUp(ackId: string): void {
    const kept = this.#release(ackId);
    if (kept === undefined) return;
    const { backoffMs, maxDeliveryAttempts = Infinity, bury } = this.rules;
    if (kept.attempts >= maxDeliveryAttempts) return bury(kept.message, kept.attempts);
    if (backoffMs === undefined) return void this.#ready.push(kept);
    const afterMs = Math.min(backoffMs.min * 2 ** (kept.attempts - 1), backoffMs.max);
    setTimeout(() => {
      this.#ready.push(kept);
      this.#deliver();
    }, afterMs);
  }
}

/**
 * A subscription → messages that are taken when a slot is free for them and never ahead of one, each under a
 * lease until it is settled. A stream fetches ahead, and what it has fetched comes to nobody while its worker is busy or
 * after it has stopped; a pull asks for exactly as many (https://cloud.google.com/pubsub/docs/pull#unary_pull).
 */
import type { Failure } from '../../failure.ts';
import { endsWithin, sleep } from '../../waiting.ts';
import { pubsubFailure } from './failure.ts';
import type { Leased, PubsubLibrary, Pulled } from './library.ts';

/** A message that takes a slot until it is settled, or yields it before. */
export interface Slotted extends Leased {
  yieldSlot(): void;
}

export interface PullerNeeds {
  readonly library: Pick<PubsubLibrary, 'pull' | 'acknowledge' | 'extend'>;
  /** Short name of the subscription. */
  readonly name: string;
  /** Held at once; of those that have yielded theirs as many again. */
  readonly slots: number;
  /** How long the messages of a killed process stay taken; extended three times as often. */
  readonly leaseS: number;
  readonly take: (leased: Slotted) => void;
  /** The same for what came with the last answer, after the stop. */
  readonly giveBack: (leased: Leased) => void;
  /** No lease could be extended in time: Pub/Sub delivers everything that is held to somebody else. */
  readonly onLost: () => void;
  readonly onTrouble: (failure: Failure) => void;
}

/** What an operator has to change may take hours; an outage mends itself. */
const ASK_AGAIN_AFTER_MS = 5_000;
const CLOSE_WITHIN_MS = 3_000;
/** A server that does not notice that a pull was called off (the emulator: 4 s) would answer it, and hold what it answers with. */
const ANSWERED_WITHIN_MS = 4_500;
/** A subscription leases for 10 s or more; by then a longer lease has been asked for, also by an event loop that was blocked for 5 s. */
const FIRST_EXTENSION_AFTER_MS = 2_000;

export class Puller {
  readonly #needs: PullerNeeds;
  /** What is worked on, by ackId: monotonic ms of the last extension that is known to have happened. */
  readonly #held = new Map<string, number>();
  /** Those of them that take no slot any more. */
  readonly #yielded = new Set<string>();
  /** Settled, and Pub/Sub is not told yet: what comes next is asked for meanwhile. */
  #acked: string[] = [];
  #nacked: string[] = [];
  #telling: Promise<void> | undefined;
  #firstExtension: NodeJS.Timeout | undefined;
  #freed = Promise.withResolvers<void>();

  constructor(needs: PullerNeeds) {
    this.#needs = needs;
  }

  /** Takes messages until `signal` aborts; ends with the answer that was still due then. */
  async run(signal: AbortSignal): Promise<void> {
    const free = (): void => this.#freed.resolve();
    signal.addEventListener('abort', free, { once: true });
    while (!signal.aborted) {
      const slots = this.#freeSlots();
      if (slots > 0) await this.#pull(slots, signal);
      else await this.#freed.promise;
      this.#freed = Promise.withResolvers();
    }
  }

  /** What is only being stored holds memory all the same: no more of it than there are slots. */
  #freeSlots(): number {
    const { slots } = this.#needs;
    const [held, yielded] = [this.#held.size, this.#yielded.size];
    return Math.min(slots - (held - yielded), 2 * slots - held);
  }

  /** Resolves when everything that is held is settled and told, or has been given back after a while. */
  async close(): Promise<void> {
    const settled = async (): Promise<void> => {
      while (this.#held.size > 0 || this.#telling !== undefined) {
        const freed = this.#freed;
        await (this.#telling ?? freed.promise);
        // One that stays resolved would be asked again and again, and nothing else would ever run.
        if (this.#freed === freed) this.#freed = Promise.withResolvers();
      }
    };
    const isSettled = await endsWithin(settled(), CLOSE_WITHIN_MS);
    clearTimeout(this.#firstExtension);
    if (isSettled) return;
    this.#nacked.push(...this.#held.keys());
    this.#letGo();
    await endsWithin(this.#tell(), CLOSE_WITHIN_MS);
  }

  /** To be called three times as often as leases end. */
  async extend(): Promise<void> {
    const { library, name, leaseS, onLost } = this.#needs;
    const ackIds = [...this.#held.keys()];
    if (ackIds.length === 0) return;
    const startedAtMs = performance.now();
    try {
      await library.extend(name, ackIds, leaseS);
      for (const ackId of ackIds) if (this.#held.has(ackId)) this.#held.set(ackId, startedAtMs);
    } catch {
      const keptAtMs = Math.min(...ackIds.map((ackId) => this.#held.get(ackId) ?? Infinity));
      if (performance.now() - keptAtMs < leaseS * 1000) return;
      this.#letGo();
      onLost();
      this.#freed.resolve();
    }
  }

  async #pull(slots: number, signal: AbortSignal): Promise<void> {
    const { library, name, onTrouble } = this.#needs;
    const late = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const stop = (): void => void (timer = setTimeout(() => late.abort(), ANSWERED_WITHIN_MS));
    signal.addEventListener('abort', stop, { once: true });
    try {
      const pulled = await library.pull({ name, maxMessages: slots }, late.signal);
      for (const one of pulled) this.#hold(one, signal);
      if (pulled.length > 0) this.#extendSoon();
    } catch (error) {
      if (signal.aborted) return;
      onTrouble(pubsubFailure(error, { what: 'consume', name }));
      await sleep(ASK_AGAIN_AFTER_MS, signal).catch(() => undefined);
    } finally {
      signal.removeEventListener('abort', stop);
      clearTimeout(timer);
    }
  }

  #hold({ ackId, ...envelope }: Pulled, signal: AbortSignal): void {
    this.#held.set(ackId, performance.now());
    const leased = {
      ...envelope,
      ack: () => this.#settle(ackId, 'acked'),
      nack: () => this.#settle(ackId, 'nacked'),
      yieldSlot: () => this.#yieldSlot(ackId),
    };
    if (signal.aborted) this.#needs.giveBack(leased);
    else this.#needs.take(leased);
  }

  /** Most work ends before, and its lease needs none. */
  #extendSoon(): void {
    this.#firstExtension ??= setTimeout(() => {
      this.#firstExtension = undefined;
      void this.extend();
    }, FIRST_EXTENSION_AFTER_MS);
  }

  #yieldSlot(ackId: string): void {
    if (!this.#held.has(ackId)) return;
    this.#yielded.add(ackId);
    this.#freed.resolve();
  }

  #letGo(): void {
    this.#held.clear();
    this.#yielded.clear();
  }

  /** Its slot is free at once. Whatever is settled in this turn is told together. */
  #settle(ackId: string, how: 'acked' | 'nacked'): void {
    if (!this.#held.delete(ackId)) return;
    this.#yielded.delete(ackId);
    if (how === 'acked') this.#acked.push(ackId);
    else this.#nacked.push(ackId);
    this.#freed.resolve();
    this.#telling ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#tell());
  }

  /** Where Pub/Sub cannot be told, the lease ends by itself. */
  async #tell(): Promise<void> {
    const { library, name, onTrouble } = this.#needs;
    const [acked, nacked] = [this.#acked, this.#nacked];
    [this.#acked, this.#nacked] = [[], []];
    try {
      if (acked.length > 0) await library.acknowledge(name, acked);
      if (nacked.length > 0) await library.extend(name, nacked, 0);
    } catch (error) {
      onTrouble(pubsubFailure(error, { what: 'consume', name }));
    }
    this.#telling = this.#acked.length + this.#nacked.length > 0 ? this.#tell() : undefined;
    this.#freed.resolve();
  }
}

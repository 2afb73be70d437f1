/** Messages of a subscription → running deliveries, at most as many as there are slots, each settled before it is acknowledged. */
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../../failure.ts';
import type { Conversations } from './conversations.ts';
import { acceptedAtOf, countedAttempt, parseEnvelope, restMsOf } from './envelope.ts';
import { unreadableTopic } from './failure.ts';
import type { Leased, PubsubLibrary } from './library.ts';
import { settle, type Desk } from './settle.ts';
import { endsWithin, untilAborted } from '../../waiting.ts';
import { Puller, type Slotted } from './puller.ts';
import { isForNewer, messageKey, UNKNOWN_WAITS_MS, type Delivery, type Handle, type Settlement } from '../queue.ts';

export interface ConsumerNeeds extends Desk {
  readonly library: PubsubLibrary;
  readonly subscription: string;
  readonly handle: Handle;
  readonly conversations: Conversations;
  readonly slots: number;
  /** How long the messages of a killed process stay taken. */
  readonly leaseS: number;
  /** How long stopped work has to settle before its message is given back. */
  readonly stopGraceMs: number;
  /** Hears what nobody waits for: a message nobody can read, a handler that threw, a stream that ended. */
  readonly onTrouble: (failure: Failure) => void;
}

/** The copy of a message that is given back while the service stops is published within this, or it is a nack. */
const GIVEN_BACK_WITHIN_MS = 1_000;
/** While the broker takes no copy, the message stays under its lease: giving it up would shorten its wait. */
const SETTLE_AGAIN_AFTER_MS = 2_000;

/** One piece of work and every delivery of it that came while it ran. */
interface Job {
  readonly key: string;
  readonly delivery: Delivery;
  readonly leases: Slotted[];
  readonly controller: AbortController;
  /** Its messages have been given back: how it ends no longer matters. */
  over: boolean;
}

/** A delivery with all that was delivered of it. */
interface HeldDelivery {
  readonly delivery: Delivery;
  readonly leases: readonly Leased[];
}

export class PullConsumer {
  readonly #parts: ConsumerNeeds;
  readonly #jobs = new Map<Job, Promise<void>>();

  constructor(parts: ConsumerNeeds) {
    this.#parts = parts;
  }

  /** Until `signal` aborts and everything is settled or given back: within 7 s. */
  async run(signal: AbortSignal): Promise<void> {
    const { library, subscription: name, slots, leaseS, onTrouble } = this.#parts;
    const puller = new Puller({
      library,
      name,
      slots,
      leaseS,
      onTrouble,
      take: (leased) => this.#take(leased),
      giveBack: (leased) => void this.#return(leased),
      onLost: () => this.#lose(),
    });
    const heartbeat = setInterval(() => void puller.extend(), (leaseS * 1000) / 3);
    try {
      const pulling = puller.run(signal);
      await untilAborted(signal);
      // Nothing is pulled any more: what is given back as a copy comes to somebody else.
      await this.#stop();
      await pulling;
      await puller.close();
    } finally {
      clearInterval(heartbeat);
    }
  }

  #take(leased: Slotted): void {
    let delivery: Delivery;
    try {
      delivery = parseEnvelope(leased);
    } catch (error) {
      if (isForNewer(error, acceptedAtOf(leased))) return void this.#postpone(leased);
      leased.nack();
      return this.#parts.onTrouble(unreadableTopic(leased, error));
    }
    if (this.#parts.conversations.isSuperseded(leased)) return leased.ack();
    const key = jobKeyOf(leased, delivery);
    const running = [...this.#jobs.keys()].find((job) => job.key === key);
    if (running !== undefined) return void running.leases.push(leased);
    const leases = [leased];
    const yieldSlot = (): void => leases.forEach((each) => each.yieldSlot());
    const job = { key, delivery: { ...delivery, yieldSlot }, leases, controller: new AbortController(), over: false };
    this.#jobs.set(
      job,
      this.#work(job).finally(() => this.#jobs.delete(job)),
    );
  }

  /** What a newer revision wrote waits for one; a nack would count towards the dead letters. */
  async #postpone(leased: Leased): Promise<void> {
    try {
      const attempt = countedAttempt(leased);
      await settle(leased, { outcome: 'wait', afterMs: UNKNOWN_WAITS_MS, attempt }, this.#parts);
      leased.ack();
    } catch (error) {
      leased.nack();
      this.#parts.onTrouble(Failure.from(error));
    }
  }

  async #work(job: Job): Promise<void> {
    const settlement = await this.#settlementOf(job);
    if (job.over) return;
    const settled = settlement !== undefined && (await this.#settle(job, settlement));
    if (job.over) return;
    for (const leased of job.leases) {
      if (settled) leased.ack();
      else leased.nack();
    }
  }

  /** undefined where the handler threw: a nack, which counts as an attempt. */
  async #settlementOf({ delivery, leases, controller }: Job): Promise<Settlement | undefined> {
    const { handle, conversations } = this.#parts;
    const dueInMs = leases.map((leased) => restMsOf(leased) ?? 0);
    const restMs = Math.max(conversations.restMs(delivery), ...dueInMs);
    if (restMs > 0) return { outcome: 'wait', afterMs: restMs };
    conversations.begins(delivery);
    try {
      const settlement = await handle(delivery, controller.signal);
      conversations.ended(delivery, settlement);
      // Stopped work tends to call itself failed: it is not held against the message.
      const stopped = controller.signal.aborted && settlement.outcome === 'again';
      return stopped ? { outcome: 'wait', afterMs: settlement.afterMs } : settlement;
    } catch (error) {
      if (controller.signal.aborted) return { outcome: 'back' };
      this.#parts.onTrouble(new Failure('internal', 'The work on a message threw.', { cause: error }));
      return undefined;
    }
  }

  /** Tries for as long as the message is ours. Resolves with whether it may be acknowledged. */
  async #settle(job: Job, settlement: Settlement): Promise<boolean> {
    const { signal } = job.controller;
    for (let troubled = false; !job.over;) {
      try {
        await this.#publishCopy(job, settlement);
        return true;
      } catch (error) {
        if (!troubled) this.#parts.onTrouble(Failure.from(error));
        troubled = true;
        if (signal.aborted) return false;
        await delay(SETTLE_AGAIN_AFTER_MS, undefined, { signal }).catch(() => undefined);
      }
    }
    return false;
  }

  async #publishCopy({ delivery, leases }: HeldDelivery, settlement: Settlement): Promise<void> {
    const [first] = leases;
    if (first !== undefined) await settle(first, { ...settlement, attempt: delivery.attempt }, this.#parts);
  }

  /** The stream ended without us: Pub/Sub delivers its messages to somebody else. */
  #lose(): void {
    for (const job of this.#jobs.keys()) {
      job.over = true;
      job.controller.abort(new Failure('stopped', 'The lease of a message was lost; another worker takes it up.'));
    }
  }

  /** What ends within the grace is settled as it says; the rest goes back as a copy, which counts no delivery. */
  async #stop(): Promise<void> {
    for (const { controller } of this.#jobs.keys())
      controller.abort(new Failure('stopped', 'The service stops; the message was given back.'));
    await endsWithin(Promise.all(this.#jobs.values()), this.#parts.stopGraceMs);
    await Promise.all([...this.#jobs.keys()].map((job) => this.#giveBack(job)));
  }

  async #giveBack(job: Job): Promise<void> {
    job.over = true;
    await this.#copyBack(job);
  }

  /** Nobody has worked on it: it goes back like what was worked on. */
  async #return(leased: Leased): Promise<void> {
    try {
      await this.#copyBack({ delivery: parseEnvelope(leased), leases: [leased] });
    } catch {
      leased.nack();
    }
  }

  async #copyBack(held: HeldDelivery): Promise<void> {
    const published = this.#publishCopy(held, { outcome: 'back' }).then(
      () => true,
      () => false,
    );
    const copied = (await endsWithin(published, GIVEN_BACK_WITHIN_MS)) && (await published);
    for (const leased of held.leases) {
      if (copied) leased.ack();
      else leased.nack();
    }
  }
}

/**
 * Deliveries with the same key are the same work, and end together: one message delivered twice, or one recording
 * named by two events. A conversation named again may have become longer: that is work of its own.
 */
function jobKeyOf(leased: Leased, { message }: Delivery): string {
  return message.kind === 'recording' ? messageKey(message) : `id:${leased.id}`;
}

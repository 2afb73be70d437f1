/** A topic and a subscription of Google Cloud Pub/Sub → a queue. What has to exist there: settle.ts. */
import { Failure } from '../../failure.ts';
import { unlessAborted } from '../../waiting.ts';
import { PullConsumer } from './consumer.ts';
import type { Envelope } from '../envelope.ts';
import { Conversations } from './conversations.ts';
import { acceptedAtOf, copyOf, countedAttempt, encodeEvent, parseEnvelope, restMsOf } from './envelope.ts';
import { unreadableTopic, type PubsubDoing } from './failure.ts';
import { WaitingRoom } from './later.ts';
import { PubsubLibrary } from './library.ts';
import { laterNameOf, longNameOf, settle, type Desk } from './settle.ts';
import {
  delayOf,
  isForNewer,
  messageKey,
  UNKNOWN_WAITS_MS,
  type Delivery,
  type Handle,
  type Message,
  type Queue,
  type Settlement,
} from '../queue.ts';

export interface PubsubConfig {
  readonly project: string;
  readonly topic: string;
  /** Absent where nothing is pulled: the receiver, and a worker that is pushed to. */
  readonly subscription?: string | undefined;
}

export interface PubsubOptions {
  /** This process is pushed to: check() asks for what that takes. */
  readonly pushed?: boolean;
  /** How long the messages of a killed process stay taken (60 s). */
  readonly leaseS?: number;
  /** How long stopped handlers have to settle before their messages are given back (3 s). */
  readonly stopGraceMs?: number;
  /** Hears what nobody waits for; for the log. */
  readonly onTrouble?: (failure: Failure) => void;
}

/** Messages in one call: a long list neither fills memory nor keeps others waiting. */
const TURN = 1000;
/** Pub/Sub waits at most 600 s for the answer to a push. */
const PUSH_WITHIN_MS = 540_000;

export interface PubsubQueue extends Queue {
  /**
   * Works on one message that was pushed, and settles it as a pulled one; what a push is too short for moves to the topic
   * TOPIC-long, for workers that pull. Resolves when it may be acknowledged.
   * @throws Failure where Pub/Sub has to deliver it again: `busy` before its time, `bad-request` (no message at all),
   * `queue-unavailable` or `misconfigured` where the copy that waits could not be published
   */
  readonly take: (envelope: Envelope, handle: Handle, signal: AbortSignal) => Promise<void>;
}

/** Connects when it is first used; honours PUBSUB_EMULATOR_HOST. */
export function openPubsubQueue(config: PubsubConfig, options: PubsubOptions = {}): PubsubQueue {
  return new QueueOnPubsub(config, options);
}

class QueueOnPubsub implements PubsubQueue {
  readonly #config: PubsubConfig;
  readonly #options: PubsubOptions;
  readonly #library: PubsubLibrary;
  readonly #desk: Desk;
  readonly #conversations = new Conversations();
  readonly #closing = new AbortController();
  readonly #consumers = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor(config: PubsubConfig, options: PubsubOptions) {
    this.#config = config;
    this.#options = options;
    this.#library = new PubsubLibrary(config.project);
    this.#desk = { library: this.#library, topic: config.topic, laterTopic: laterNameOf(config.topic) };
  }

  /** Pub/Sub has no transaction over several calls: where it fails, some may be there already. Sent again, they are duplicates. */
  async publish(messages: readonly Message[], signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new Failure('queue-unavailable', 'The request ended before its events were published.');
    if (this.#closed !== undefined)
      throw new Failure('queue-unavailable', 'The queue is closed; the service is stopping.');
    if (messages.length === 0) return;
    const acceptedAt = new Date();
    const once = [...new Map(messages.map((message) => [messageKey(message), message])).values()];
    for (let start = 0; start < once.length; start += TURN) {
      const turn = Map.groupBy(once.slice(start, start + TURN), (message) => this.#topicFor(message));
      for (const [topic, some] of turn) {
        const outgoing = some.map((message) => encodeEvent(message, acceptedAt));
        await unlessLeft(this.#library.publish(topic, outgoing), signal);
      }
    }
  }

  #topicFor(message: Message): string {
    return delayOf(message) > 0 ? this.#desk.laterTopic : this.#desk.topic;
  }

  /** The waiting room is kept beside it. */
  async consume(handle: Handle, slots: number, signal: AbortSignal): Promise<void> {
    const { subscription } = this.#config;
    if (subscription === undefined)
      throw new Failure('misconfigured', 'QUEUE_URL: nothing can be pulled without ?subscription=NAME at its end.');
    const { leaseS = 60, stopGraceMs = 3_000, onTrouble = () => undefined } = this.#options;
    const parts = { ...this.#desk, library: this.#library, conversations: this.#conversations, onTrouble };
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    const running = Promise.all([
      new PullConsumer({ ...parts, subscription, handle, slots, leaseS, stopGraceMs }).run(stop),
      new WaitingRoom({ ...parts, laterSubscription: laterNameOf(subscription) }).run(stop),
    ]);
    this.#consumers.add(running);
    await running.finally(() => this.#consumers.delete(running));
  }

  readonly take: PubsubQueue['take'] = async (envelope, handle, signal) => {
    if (this.#conversations.isSuperseded(envelope)) return;
    const dueInMs = restMsOf(envelope);
    if (dueInMs !== undefined) return this.#takeLater(envelope, dueInMs);
    const delivery = await this.#read(envelope);
    if (delivery === undefined) return;
    const restMs = this.#conversations.restMs(delivery);
    const settlement =
      restMs > 0 ? ({ outcome: 'wait', afterMs: restMs } as const) : await this.#workOn(delivery, handle, signal);
    await settle(envelope, { ...settlement, attempt: delivery.attempt }, this.#desk);
  };

  async #workOn(delivery: Delivery, handle: Handle, signal: AbortSignal): Promise<Settlement> {
    this.#conversations.begins(delivery);
    const pushed = { ...delivery, withinMs: PUSH_WITHIN_MS };
    const settlement = await handle(pushed, AbortSignal.any([signal, this.#closing.signal]));
    this.#conversations.ended(delivery, settlement);
    return settlement;
  }

  async check(signal: AbortSignal): Promise<void> {
    const asked = this.#needs().map((doing) => this.#library.requireRight(doing));
    await unlessLeft(Promise.all(asked), signal);
  }

  /** Cloud Monitoring has these figures. */
  depth(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort(new Failure('stopped', 'The queue is closed; the service is stopping.'));
    await Promise.allSettled(this.#consumers);
    await this.#library.close();
  }

  /**
   * Nobody reads the answer to a push, so a message that cannot be read is reported here, as a pulled one is. undefined where a
   * newer revision wrote it: it waits for one.
   */
  async #read(envelope: Envelope): Promise<Delivery | undefined> {
    try {
      return parseEnvelope(envelope);
    } catch (error) {
      if (isForNewer(error, acceptedAtOf(envelope))) {
        const ended = { outcome: 'wait', afterMs: UNKNOWN_WAITS_MS, attempt: countedAttempt(envelope) } as const;
        await settle(envelope, ended, this.#desk);
        return undefined;
      }
      const failure = unreadableTopic(envelope, error);
      this.#options.onTrouble?.(failure);
      throw failure;
    }
  }

  /** What is not due is pushed again after the subscription's backoff: up to 600 s late, never early. */
  async #takeLater(envelope: Envelope, restMs: number): Promise<void> {
    if (restMs > 0) throw new Failure('busy', 'The message is pushed before its time.', { afterMs: restMs });
    const attempt = countedAttempt(envelope);
    await this.#library.publish(this.#desk.topic, [copyOf(envelope, { attempt })]);
  }

  #needs(): readonly PubsubDoing[] {
    const { topic, subscription } = this.#config;
    const { pushed = false } = this.#options;
    const needs: PubsubDoing[] = [{ what: 'publish', name: topic }];
    if (subscription !== undefined || pushed) needs.push({ what: 'publish', name: this.#desk.laterTopic });
    if (pushed) needs.push({ what: 'publish', name: longNameOf(topic) });
    if (subscription !== undefined)
      needs.push({ what: 'consume', name: subscription }, { what: 'consume', name: laterNameOf(subscription) });
    return needs;
  }
}

/** Whoever asked has gone: the work itself goes on and is bounded by its own time. */
async function unlessLeft(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  try {
    await unlessAborted(work, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new Failure('queue-unavailable', 'The queue did not answer in time.', { cause: signal.reason });
  }
}

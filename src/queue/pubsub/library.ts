/**
 * The official client → four things that can be relied on: a publish that ends in time, a pull that takes what
 * it was asked to and can be called off, a stream of what waits, and a question about rights. The only place that imports it.
 */
import { Duration, PubSub, SubscriptionCloseBehaviors, v1, type Message, type Topic } from '@google-cloud/pubsub';
import { Failure } from '../../failure.ts';
import { inTime, unlessAborted } from '../../waiting.ts';
import type { Envelope, Outgoing } from '../envelope.ts';
import {
  isDeadlineExceeded,
  isPermissionDenied,
  isUnimplemented,
  pubsubFailure,
  withoutRights,
  type PubsubDoing,
} from './failure.ts';

export interface SubscriptionFacts {
  /** Short name of the topic that it takes from; undefined where that was deleted. */
  readonly topic: string | undefined;
  readonly ackDeadlineS: number;
  /** Seconds that a message is kept. */
  readonly retentionS: number;
  /** Seconds without use after which Pub/Sub deletes the subscription; undefined where it never does. */
  readonly expiresAfterS: number | undefined;
  readonly hasDeadLetters: boolean;
}

/** A message under a lease, which is extended until one of the two is called. Later calls do nothing. */
export interface Leased extends Envelope {
  ack(): void;
  nack(): void;
}

export interface Subscribing {
  readonly name: string;
  /** Held at once, those that nobody works on yet included. */
  readonly maxMessages: number;
  /** How long the messages of a killed process stay taken. */
  readonly leaseS: number;
  readonly take: (leased: Leased) => void;
  readonly onTrouble: (failure: Failure) => void;
}

export interface Subscribed {
  /** Resolves when the stream is over, also by an error that trying again does not mend; what was held is given back then. */
  readonly ended: Promise<void>;
  /** Takes nothing more at once, gives back what was held, and resolves within 5 s. */
  close(): Promise<void>;
}

/** A message that was pulled, and the name of its lease. */
export interface Pulled extends Envelope {
  readonly ackId: string;
}

/** A hanging server is given up after this, retries included; a webhook's sender waits no longer than 5 s. */
const PUBLISH_WITHIN_MS = 4_500;
const CALL_WITHIN_MS = 2_500;
/** The server answers an empty subscription long before, with nothing; this ends a call that nobody answers. */
const PULL_WITHIN_MS = 90_000;
/** More messages waiting for the server's word than this are refused: memory has a bound. */
const MAX_UNDER_WAY = 20_000;
/** UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE: publishing twice is harmless here. */
const RETRIED = [2, 4, 8, 10, 13, 14];
/** The lease of a message outlasts the longest work on it: MAX_DURATION_S allows 12 h, played in real time. */
const LEASE_AT_MOST = { hours: 24 };
const CLOSE_WITHIN_MS = 5_000;
/** A burst shares its calls. */
const SHARED = { maxMessages: 1000, maxBytes: 4 * 1024 * 1024, maxMilliseconds: 5 };
/** Nothing is under way: a message that comes alone is kept for no other. */
const AT_ONCE = { ...SHARED, maxMessages: 1 };
/** Left alone, up to two minutes pass after an outage before the channel looks whether it is over. */
const CHANNEL = { 'grpc.max_reconnect_backoff_ms': 2_000, 'grpc.initial_reconnect_backoff_ms': 200 };

export class PubsubLibrary {
  readonly #client: PubSub;
  readonly #project: string;
  #opened: Promise<v1.SubscriberClient> | undefined;
  readonly #topics = new Map<string, Topic>();
  readonly #underWay = new Set<Promise<unknown>>();
  #closed = false;
  #isSignedIn: boolean;

  /** Honours PUBSUB_EMULATOR_HOST. */
  constructor(project: string) {
    this.#project = project;
    this.#client = new PubSub({
      projectId: project,
      ...CHANNEL,
    });
    // What this one has found all that it makes have.
    this.#client.options.auth = this.#client.auth;
    this.#isSignedIn = this.#client.isEmulator;
  }

  /** Resolves once the server has named every message. @throws Failure within 5 s; some may have arrived then. */
  async publish(topicName: string, outgoing: readonly Outgoing[]): Promise<void> {
    const doing: PubsubDoing = { what: 'publish', name: topicName };
    if (this.#closed) throw new Failure('queue-unavailable', 'The queue is closed; the service is stopping.');
    if (this.#underWay.size + outgoing.length > MAX_UNDER_WAY)
      throw new Failure('queue-unavailable', 'Too many messages wait for the queue already; try again later.');
    const sent = async (): Promise<void> => {
      if (!this.#isSignedIn) await this.#signIn();
      const isAlone = outgoing.length === 1 && this.#underWay.size === 0;
      const topic = this.#topic(topicName, isAlone ? AT_ONCE : SHARED);
      const sending = outgoing.map(({ data, attributes }) =>
        this.#track(topic.publishMessage({ data: Buffer.from(data), attributes: { ...attributes } })),
      );
      await Promise.all(sending);
    };
    await inTime(sent, PUBLISH_WITHIN_MS, noAnswerIn(PUBLISH_WITHIN_MS)).catch((error: unknown) => {
      throw pubsubFailure(error, doing);
    });
  }

  /** Starts at once. What goes wrong without ending the stream goes to `onTrouble`. */
  subscribe(subscribing: Subscribing): Subscribed {
    const { name, maxMessages, leaseS } = subscribing;
    const lease = Duration.from({ seconds: leaseS });
    const subscription = this.#client.subscription(name, {
      // allowExcessMessages is true by default; and each of five streams would be given maxMessages.
      flowControl: { maxMessages, allowExcessMessages: false },
      streamingOptions: { maxStreams: 1, retryMaxBackoff: Duration.from({ seconds: 5 }) },
      minAckDeadline: lease,
      maxAckDeadline: lease,
      maxExtensionTime: Duration.from(LEASE_AT_MOST),
      closeOptions: {
        behavior: SubscriptionCloseBehaviors.NackImmediately,
        timeout: Duration.from({ milliseconds: CLOSE_WITHIN_MS }),
      },
    });
    const ended = Promise.withResolvers<void>();
    subscription.on('error', (error: unknown) =>
      subscribing.onTrouble(pubsubFailure(error, { what: 'consume', name })),
    );
    subscription.once('close', () => ended.resolve());
    const takeAll = (): unknown =>
      subscription.on('message', (message: Message) => subscribing.take(leasedOf(message)));
    if (this.#isSignedIn) takeAll();
    else
      this.#signIn().then(takeAll, (error: unknown) => {
        subscribing.onTrouble(pubsubFailure(error, { what: 'consume', name }));
        ended.resolve();
      });
    return { ended: ended.promise, close: () => subscription.close() };
  }

  /** At least one message as soon as there is one, at most `maxMessages`; none when nothing came for a while. */
  async pull(
    { name, maxMessages }: { readonly name: string; readonly maxMessages: number },
    signal: AbortSignal,
  ): Promise<readonly Pulled[]> {
    const subscriber = await this.#subscriber();
    const request = { subscription: this.#pathOf(name), maxMessages };
    const call = calledOff(subscriber, { method: 'pull', request, withinMs: PULL_WITHIN_MS }, signal);
    try {
      return parsePulled(await call);
    } catch (error) {
      if (isDeadlineExceeded(error)) return [];
      throw error;
    }
  }

  async acknowledge(name: string, ackIds: readonly string[]): Promise<void> {
    const subscriber = await this.#subscriber();
    await subscriber.acknowledge(
      { subscription: this.#pathOf(name), ackIds: [...ackIds] },
      callOptions(CALL_WITHIN_MS),
    );
  }

  /** From now on for `seconds`; 0 gives them back. */
  async extend(name: string, ackIds: readonly string[], seconds: number): Promise<void> {
    const subscriber = await this.#subscriber();
    const request = { subscription: this.#pathOf(name), ackIds: [...ackIds], ackDeadlineSeconds: seconds };
    await subscriber.modifyAckDeadline(request, callOptions(CALL_WITHIN_MS));
  }

  /**
   * Asks for rights instead of looking the thing up: neither a publisher nor a subscriber may do that.
   * @throws Failure `misconfigured` naming role and thing, `queue-unavailable` where nobody answers
   */
  async requireRight(doing: PubsubDoing): Promise<void> {
    try {
      await inTime(() => this.#hasRight(doing), CALL_WITHIN_MS, noAnswerIn(CALL_WITHIN_MS));
    } catch (error) {
      throw pubsubFailure(error, doing);
    }
  }

  /** undefined where this account may not see it. @throws Failure `misconfigured` where there is none, `queue-unavailable` */
  async settingsOf(subscription: string): Promise<SubscriptionFacts | undefined> {
    const asked = async (): Promise<readonly unknown[]> => {
      await this.#signIn();
      return this.#client.subscription(subscription).getMetadata(callOptions(CALL_WITHIN_MS));
    };
    try {
      const [settings] = await inTime(asked, CALL_WITHIN_MS, noAnswerIn(CALL_WITHIN_MS));
      return settingsIn(settings);
    } catch (error) {
      if (isPermissionDenied(error)) return undefined;
      throw pubsubFailure(error, { what: 'consume', name: subscription });
    }
  }

  /** Waits for what is being published. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#underWay);
    await this.#opened?.then((subscriber) => subscriber.close());
    await this.#client.close();
  }

  /** With the address and credentials of the other one. */
  async #subscriber(): Promise<v1.SubscriberClient> {
    await this.#signIn();
    this.#opened ??= this.#client.getClientConfig().then((config) => new v1.SubscriberClient({ ...config }));
    return this.#opened;
  }

  /**
   * Before the first call of any sort: what the library makes while it has no credentials it keeps for ever, and a publish by
   * that ends the process, since nobody hears its rejection (googleapis/gax-nodejs: `initialize().catch(err => { throw err })`).
   */
  async #signIn(): Promise<void> {
    if (this.#isSignedIn) return;
    await this.#client.auth.getClient();
    this.#isSignedIn = true;
  }

  #pathOf(subscription: string): string {
    return `projects/${this.#project}/subscriptions/${subscription}`;
  }

  async #hasRight(doing: PubsubDoing): Promise<void> {
    await this.#signIn();
    const isTopic = doing.what === 'publish';
    const permission = isTopic ? 'pubsub.topics.publish' : 'pubsub.subscriptions.consume';
    const thing = isTopic ? this.#topic(doing.name, SHARED) : this.#client.subscription(doing.name);
    try {
      const [granted] = await thing.iam.testPermissions([permission], callOptions(CALL_WITHIN_MS));
      if (granted?.[permission] !== true) throw withoutRights(doing);
    } catch (error) {
      // The emulator knows no rights, but whether a thing exists.
      if (!isUnimplemented(error)) throw error;
      await thing.getMetadata(callOptions(CALL_WITHIN_MS));
    }
  }

  #topic(name: string, batching: typeof SHARED): Topic {
    const key = `${name} ${String(batching.maxMessages)}`;
    const known = this.#topics.get(key);
    if (known !== undefined) return known;
    const topic = this.#client.topic(name, { batching, gaxOpts: callOptions(PUBLISH_WITHIN_MS - 1_000) });
    this.#topics.set(key, topic);
    return topic;
  }

  #track<T>(sending: Promise<T>): Promise<T> {
    const settled: Promise<unknown> = sending.then(
      () => this.#underWay.delete(settled),
      () => this.#underWay.delete(settled),
    );
    this.#underWay.add(settled);
    return sending;
  }
}

interface CallOff {
  readonly method: 'pull';
  readonly request: { readonly subscription: string; readonly maxMessages: number };
  readonly withinMs: number;
}

/** The client's own methods hide that a call can be cancelled; what they call themselves does not (google-gax, CancellablePromise). */
async function calledOff(
  subscriber: v1.SubscriberClient,
  { method, request, withinMs }: CallOff,
  signal: AbortSignal,
): Promise<unknown> {
  await subscriber.initialize();
  signal.throwIfAborted();
  const inner: unknown = subscriber.innerApiCalls[method];
  if (typeof inner !== 'function') throw new Failure('internal', `The Pub/Sub client has no call ${method}.`);
  // https://google.aip.dev/client-libraries/4222
  const headers = { 'x-goog-request-params': `subscription=${encodeURIComponent(request.subscription)}` };
  const options = { timeout: withinMs, retry: { retryCodes: [] }, otherArgs: { headers } };
  const call: unknown = Reflect.apply(inner, undefined, [request, options]);
  if (!(call instanceof Promise)) throw new Failure('internal', `The Pub/Sub client does not answer ${method}.`);
  const cancel = (): void => {
    if ('cancel' in call && typeof call.cancel === 'function') Reflect.apply(call.cancel, call, []);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const answer: unknown = await unlessAborted(call, signal);
    return Array.isArray(answer) ? answer[0] : undefined;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#pullresponse */
function parsePulled(response: unknown): readonly Pulled[] {
  const received = fieldOf(response, 'receivedMessages');
  return Array.isArray(received) ? received.map(parseReceived) : [];
}

function parseReceived(received: unknown): Pulled {
  const message = fieldOf(received, 'message');
  const ackId = fieldOf(received, 'ackId');
  if (typeof ackId !== 'string') throw new Failure('queue-unavailable', 'Pub/Sub sent a message without a lease.');
  const attributes = fieldOf(message, 'attributes');
  return {
    ackId,
    id: textIn(message, 'messageId'),
    data: dataOf(fieldOf(message, 'data')),
    attributes: typeof attributes === 'object' && attributes !== null ? textsOf(attributes) : {},
    publishedAt: momentOf(fieldOf(message, 'publishTime')),
    deliveryAttempt: Number(fieldOf(received, 'deliveryAttempt') ?? 0),
  };
}

/** https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions */
function settingsIn(subscription: unknown): SubscriptionFacts {
  const topic = textIn(subscription, 'topic');
  const expiration = fieldOf(fieldOf(subscription, 'expirationPolicy'), 'ttl');
  return {
    topic: topic === '_deleted-topic_' ? undefined : topic.slice(topic.lastIndexOf('/') + 1),
    ackDeadlineS: Number(fieldOf(subscription, 'ackDeadlineSeconds') ?? 0),
    retentionS: Number(fieldOf(fieldOf(subscription, 'messageRetentionDuration'), 'seconds') ?? 0),
    expiresAfterS: fieldOf(expiration, 'seconds') === undefined ? undefined : Number(fieldOf(expiration, 'seconds')),
    hasDeadLetters: textIn(fieldOf(subscription, 'deadLetterPolicy'), 'deadLetterTopic') !== '',
  };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function textIn(value: unknown, name: string): string {
  const text = fieldOf(value, name);
  return typeof text === 'string' ? text : '';
}

function dataOf(data: unknown): string {
  if (data instanceof Uint8Array) return Buffer.from(data).toString('utf8');
  return typeof data === 'string' ? Buffer.from(data, 'base64').toString('utf8') : '';
}

function textsOf(attributes: object): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, String(value)]));
}

/** Seconds are a number, a text or a Long. */
function momentOf(timestamp: unknown): Date {
  const date = new Date(Number(fieldOf(timestamp, 'seconds')) * 1000 + Number(fieldOf(timestamp, 'nanos') ?? 0) / 1e6);
  return Number.isNaN(date.getTime()) ? new Date() : date;
}

/** Left alone, the library tries for 600 s. */
function callOptions(withinMs: number): {
  timeout: number;
  retry: { retryCodes: number[]; backoffSettings: Record<GaxBackoff, number> };
} {
  const backoffSettings = {
    initialRetryDelayMillis: 100,
    retryDelayMultiplier: 1.5,
    maxRetryDelayMillis: 500,
    initialRpcTimeoutMillis: withinMs,
    rpcTimeoutMultiplier: 1,
    maxRpcTimeoutMillis: withinMs,
    totalTimeoutMillis: withinMs,
  };
  return { timeout: withinMs, retry: { retryCodes: RETRIED, backoffSettings } };
}

type GaxBackoff =
  | 'initialRetryDelayMillis'
  | 'retryDelayMultiplier'
  | 'maxRetryDelayMillis'
  | 'initialRpcTimeoutMillis'
  | 'rpcTimeoutMultiplier'
  | 'maxRpcTimeoutMillis'
  | 'totalTimeoutMillis';

function leasedOf(message: Message): Leased {
  return {
    id: message.id,
    data: message.data.toString('utf8'),
    attributes: message.attributes,
    publishedAt: new Date(message.publishTime.getTime()),
    deliveryAttempt: message.deliveryAttempt,
    ack: () => message.ack(),
    nack: () => message.nack(),
  };
}

/** The library bounds its calls, but not its wait for credentials. */
function noAnswerIn(ms: number): () => Error {
  return () => new Error(`No answer within ${String(ms)} ms.`);
}

/** The calls of Pub/Sub that the service, its tests and Terraform's things need → topics and subscriptions kept in memory. */
import protos from '@google-cloud/pubsub/build/protos/protos.js';
import { RpcError, STATUS, type RpcCall } from './rpc.ts';
import {
  Subscription,
  type ReceivedMessage,
  type StoredMessage,
  type SubscriptionRules,
  type Taker,
} from './subscription.ts';

const v1 = protos.google.pubsub.v1;
const { Empty } = protos.google.protobuf;

interface Topic {
  readonly subscriptions: Set<Subscription>;
}

interface Described {
  readonly subscription: Subscription;
  /** As it was asked for. */
  readonly settings: InstanceType<typeof v1.Subscription>;
}

/** An empty pull is answered after so long, as Pub/Sub does. */
const PULL_WAITS_MS = 60_000;
const DEFAULT_LEASE_S = 10;
const LONGEST_BACKOFF_S = 600;

type Answer = (request: Buffer) => Uint8Array;

export class Broker {
  readonly #topics = new Map<string, Topic>();
  readonly #subscriptions = new Map<string, Described>();
  readonly #streams = new Map<RpcCall, OpenStream>();
  #count = 0;

  /** @throws RpcError */
  hear(call: RpcCall, request: Buffer): void {
    const name = call.name.slice(call.name.lastIndexOf('/') + 1);
    if (name === 'StreamingPull') return this.#stream(call, v1.StreamingPullRequest.decode(request));
    if (name === 'Pull') return this.#pull(call, v1.PullRequest.decode(request));
    const answer = this.#answers[name];
    if (answer === undefined) throw new RpcError(STATUS.unimplemented, `${call.name} is not known here.`);
    call.reply(answer(request));
    call.end(STATUS.ok);
  }

  /** As Pub/Sub does now and then, with whatever its streams hold still under lease. */
  breakStreams(): void {
    for (const [call, stream] of this.#streams) {
      stream.subscription.detach(stream);
      call.end(STATUS.unavailable, 'The server is moving elsewhere.');
    }
  }

  readonly #answers: Readonly<Record<string, Answer>> = {
    CreateTopic: (request) => {
      const topic = v1.Topic.decode(request);
      if (this.#topics.has(topic.name)) throw new RpcError(STATUS.alreadyExists, `${topic.name} is there already.`);
      this.#topics.set(topic.name, { subscriptions: new Set() });
      return v1.Topic.encode(topic).finish();
    },
    GetTopic: (request) => {
      const { topic: name } = v1.GetTopicRequest.decode(request);
      this.#topic(name);
      return v1.Topic.encode({ name }).finish();
    },
    DeleteTopic: (request) => {
      const { topic } = v1.DeleteTopicRequest.decode(request);
      this.#topic(topic);
      this.#topics.delete(topic);
      for (const { settings } of this.#subscriptions.values())
        if (settings.topic === topic) settings.topic = '_deleted-topic_';
      return EMPTY;
    },
    Publish: (request) => {
      const { topic, messages } = v1.PublishRequest.decode(request);
      const messageIds = messages.map(({ data, attributes }) => {
        const message = { messageId: String(++this.#count), data: bytesOf(data), attributes: { ...attributes } };
        this.#put(topic, { ...message, publishedMs: Date.now() });
        return message.messageId;
      });
      return v1.PublishResponse.encode({ messageIds }).finish();
    },
    CreateSubscription: (request) => {
      const settings = v1.Subscription.decode(request);
      if (this.#subscriptions.has(settings.name))
        throw new RpcError(STATUS.alreadyExists, `${settings.name} is there already.`);
      if (settings.ackDeadlineSeconds === 0) settings.ackDeadlineSeconds = DEFAULT_LEASE_S;
      const topic = this.#topic(settings.topic);
      const subscription = new Subscription(this.#rulesOf(settings));
      topic.subscriptions.add(subscription);
      this.#subscriptions.set(settings.name, { subscription, settings });
      return v1.Subscription.encode(settings).finish();
    },
    GetSubscription: (request) => {
      const { settings } = this.#described(v1.GetSubscriptionRequest.decode(request).subscription);
      return v1.Subscription.encode(settings).finish();
    },
    DeleteSubscription: (request) => {
      const { subscription: name } = v1.DeleteSubscriptionRequest.decode(request);
      const { subscription, settings } = this.#described(name);
      subscription.close();
      this.#topics.get(settings.topic)?.subscriptions.delete(subscription);
      this.#subscriptions.delete(name);
      for (const [call, stream] of this.#streams)
        if (stream.subscription === subscription) call.end(STATUS.notFound, `${name} was deleted.`);
      return EMPTY;
    },
    Acknowledge: (request) => {
      const { subscription, ackIds } = v1.AcknowledgeRequest.decode(request);
      this.#described(subscription).subscription.acknowledge(ackIds);
      return EMPTY;
    },
    ModifyAckDeadline: (request) => {
      const { subscription, ackIds, ackDeadlineSeconds } = v1.ModifyAckDeadlineRequest.decode(request);
      this.#described(subscription).subscription.modifyDeadline(ackIds, ackDeadlineSeconds);
      return EMPTY;
    },
    Seek: (request) => {
      const { subscription, time } = v1.SeekRequest.decode(request);
      this.#described(subscription).subscription.seek(Number(time?.seconds ?? 0) * 1000 + (time?.nanos ?? 0) / 1e6);
      return v1.SeekResponse.encode({}).finish();
    },
    // google.iam.v1 is not among these protos; its request has the fields of this one, its answer those of that.
    TestIamPermissions: (request) => {
      const { subscription: resource, ackIds: permissions } = v1.AcknowledgeRequest.decode(request);
      if (resource.includes('/topics/')) this.#topic(resource);
      else this.#described(resource);
      return v1.PublishResponse.encode({ messageIds: permissions }).finish();
    },
  };

  #pull(call: RpcCall, { subscription: name, maxMessages }: InstanceType<typeof v1.PullRequest>): void {
    const { subscription } = this.#described(name);
    const reply = (received: readonly ReceivedMessage[]): void => {
      clearTimeout(timer);
      subscription.detach(taker);
      call.reply(v1.PullResponse.encode({ receivedMessages: received.map(wireOf) }).finish());
      call.end(STATUS.ok);
    };
    const taker: Taker = { room: () => maxMessages, give: reply };
    const timer = setTimeout(() => reply([]), PULL_WAITS_MS);
    call.gone.addEventListener('abort', () => clearTimeout(timer), { once: true });
    subscription.attach(taker, call.gone);
  }

  /** The first request opens it; of the others whatever they settle is settled, and each is answered, so that the client knows us alive. */
  #stream(call: RpcCall, request: InstanceType<typeof v1.StreamingPullRequest>): void {
    const open = this.#streams.get(call);
    if (open === undefined) return this.#openStream(call, request);
    open.subscription.acknowledge(request.ackIds);
    for (const [at, ackId] of request.modifyDeadlineAckIds.entries())
      open.subscription.modifyDeadline([ackId], request.modifyDeadlineSeconds[at] ?? 0);
    if (request.streamAckDeadlineSeconds > 0) open.leaseS = request.streamAckDeadlineSeconds;
    call.reply(v1.StreamingPullResponse.encode({}).finish());
  }

  #openStream(call: RpcCall, request: InstanceType<typeof v1.StreamingPullRequest>): void {
    const { subscription } = this.#described(request.subscription);
    const stream = new OpenStream(subscription, request, call);
    this.#streams.set(call, stream);
    call.gone.addEventListener('abort', () => this.#streams.delete(call), { once: true });
    subscription.attach(stream, call.gone);
  }

  #put(topicName: string, message: StoredMessage): void {
    for (const subscription of this.#topic(topicName).subscriptions) subscription.put(message);
  }

  #rulesOf(settings: InstanceType<typeof v1.Subscription>): SubscriptionRules {
    const { name, ackDeadlineSeconds: ackDeadlineS, retryPolicy, deadLetterPolicy } = settings;
    const { deadLetterTopic = '', maxDeliveryAttempts } = deadLetterPolicy ?? {};
    const { minimumBackoff, maximumBackoff } = retryPolicy ?? {};
    const backoffMs = {
      min: Number(minimumBackoff?.seconds ?? 10) * 1000,
      max: Number(maximumBackoff?.seconds ?? LONGEST_BACKOFF_S) * 1000,
    };
    const source = name.slice(name.lastIndexOf('/') + 1);
    return {
      name,
      ackDeadlineS,
      backoffMs: retryPolicy ? backoffMs : undefined,
      maxDeliveryAttempts: deadLetterPolicy ? (maxDeliveryAttempts ?? 5) : undefined,
      bury: (message, attempts) => {
        const attributes = {
          ...message.attributes,
          CloudPubSubDeadLetterSourceSubscription: source,
          CloudPubSubDeadLetterSourceDeliveryCount: String(attempts),
        };
        if (deadLetterTopic) this.#put(deadLetterTopic, { ...message, messageId: String(++this.#count), attributes });
      },
    };
  }

  #topic(name: string): Topic {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw new RpcError(STATUS.notFound, `Resource not found (resource=${name}).`);
    return topic;
  }

  #described(name: string): Described {
    const described = this.#subscriptions.get(name);
    if (described === undefined) throw new RpcError(STATUS.notFound, `Resource not found (resource=${name}).`);
    return described;
  }
}

/** Never has more than it said it would hold: the next comes when one is settled. */
class OpenStream implements Taker {
  readonly subscription: Subscription;
  leaseS: number;
  readonly #most: number;
  readonly #call: RpcCall;
  #held = 0;

  constructor(subscription: Subscription, request: InstanceType<typeof v1.StreamingPullRequest>, call: RpcCall) {
    this.subscription = subscription;
    this.leaseS = request.streamAckDeadlineSeconds;
    this.#most = Number(request.maxOutstandingMessages) || Infinity;
    this.#call = call;
  }

  room(): number {
    return Math.min(this.#most - this.#held, 1000);
  }

  give(received: readonly ReceivedMessage[]): void {
    this.#held += received.length;
    this.#call.reply(v1.StreamingPullResponse.encode({ receivedMessages: received.map(wireOf) }).finish());
  }

  settled(): void {
    this.#held -= 1;
  }
}

function wireOf({ ackId, message, deliveryAttempt }: ReceivedMessage): protos.google.pubsub.v1.IReceivedMessage {
  const { messageId, data, attributes, publishedMs } = message;
  const publishTime = { seconds: Math.floor(publishedMs / 1000), nanos: (publishedMs % 1000) * 1e6 };
  return { ackId, deliveryAttempt, message: { messageId, data, attributes, publishTime } };
}

const EMPTY = Empty.encode({}).finish();

function bytesOf(data: Uint8Array | string | null | undefined): Uint8Array {
  return typeof data === 'string' ? Buffer.from(data, 'base64') : (data ?? new Uint8Array());
}

/**
 * A message → what lies on a topic, and back. The data is the message; how far the work on it has come
 * lies in the attributes, so that a copy can be published without reading the data.
 */
import { Failure } from '../../failure.ts';
import type { Envelope, Outgoing } from '../envelope.ts';
import { delayOf, encodeMessage, parseMessage, type Delivery, type Message } from '../queue.ts';

/**
 * The attributes. Lower case, because an unwrapped push makes HTTP headers of them, which have no other.
 * Ids and kind are there for filters and for people; the data is what counts.
 */
const NAMES = [
  'kind',
  'conversation-id',
  'recording-id',
  'traceparent',
  'accepted-at',
  'attempt',
  'not-before',
] as const;

type AttributeName = (typeof NAMES)[number];
type Attributes = { [name in AttributeName]?: string };

/** A message that nobody has worked on yet. */
export function encodeEvent(message: Message, acceptedAt: Date): Outgoing {
  const attributes: Attributes = { kind: message.kind, 'accepted-at': acceptedAt.toISOString(), attempt: '1' };
  const delayMs = delayOf(message);
  if (delayMs > 0) attributes['not-before'] = new Date(acceptedAt.getTime() + delayMs).toISOString();
  if (message.conversationId !== undefined) attributes['conversation-id'] = message.conversationId;
  if (message.kind === 'recording' || message.kind === 'levels') attributes['recording-id'] = message.recordingId;
  if (message.traceparent !== undefined) attributes.traceparent = message.traceparent;
  return { data: encodeMessage(message), attributes };
}

/** @throws Failure `bad-request` naming the field: such a message can never be delivered */
export function parseEnvelope(envelope: Envelope): Delivery {
  const { data, attributes } = envelope;
  if (data.length === 0) throw new Failure('bad-request', 'message: expected JSON, but it is empty.');
  return {
    message: parseMessage(data, attributes['traceparent']),
    attempt: attemptOf(envelope),
    lost: lostOf(envelope),
    acceptedAt: acceptedAtOf(envelope),
  };
}

/** Also of what cannot be read. */
export function acceptedAtOf({ attributes, publishedAt }: Envelope): Date {
  return dateOf(attributes['accepted-at']) ?? publishedAt;
}

/** Failed attempts are counted by us, deliveries that never came back by Pub/Sub: a copy starts its count anew. */
function attemptOf(envelope: Envelope): number {
  return countedAttempt(envelope) + lostOf(envelope);
}

/** Without what Pub/Sub counts: how often it delivered what merely waits is no attempt. */
export function countedAttempt({ attributes }: Pick<Envelope, 'attributes'>): number {
  return /^[1-9]\d{0,3}$/.test(attributes['attempt'] ?? '') ? Number(attributes['attempt']) : 1;
}

function lostOf({ deliveryAttempt }: Envelope): number {
  return Math.max(0, deliveryAttempt - 1);
}

/** Wall clock, ms; undefined where the message is for now. Only what lies on the waiting topic has one. */
export function notBeforeOf({ attributes }: Pick<Envelope, 'attributes'>): number | undefined {
  return dateOf(attributes['not-before'])?.getTime();
}

/** The same work once more, with other progress. Attributes that are not ours (dead letters, headers of a push) stay behind. */
export function copyOf(
  envelope: Envelope,
  progress: { readonly attempt: number; readonly notBefore?: Date },
): Outgoing {
  const attributes: Attributes = {};
  for (const name of NAMES) {
    const value = envelope.attributes[name];
    if (value !== undefined) attributes[name] = value;
  }
  delete attributes['not-before'];
  attributes['accepted-at'] ??= envelope.publishedAt.toISOString();
  attributes.attempt = String(progress.attempt);
  if (progress.notBefore !== undefined) attributes['not-before'] = progress.notBefore.toISOString();
  return { data: envelope.data, attributes };
}

function dateOf(text: string | undefined): Date | undefined {
  const date = new Date(text ?? NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

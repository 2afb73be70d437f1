/**
 * A message → what lies on a topic, and back. The data is the message; how far the work on it has come
 * lies in the attributes, so that a copy can be published without reading the data.
 */
import { isWrongClock } from '../../clock.ts';
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
  'wait-ms',
] as const;

/** Marks what was published as soon as it was accepted: no copy has it. */
const ORIGINAL = 'original';

type AttributeName = (typeof NAMES)[number] | typeof ORIGINAL;
type Attributes = { [name in AttributeName]?: string };

/** A message that nobody has worked on yet. */
export function encodeEvent(message: Message, acceptedAt: Date): Outgoing {
  const attributes: Attributes = {
    kind: message.kind,
    'accepted-at': acceptedAt.toISOString(),
    attempt: '1',
    [ORIGINAL]: 'yes',
  };
  const delayMs = delayOf(message);
  if (delayMs > 0) Object.assign(attributes, attributesOf({ waitMs: delayMs, fromMs: acceptedAt.getTime() }));
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

/**
 * Also of what cannot be read. Nothing is accepted after it was published, nor long before where it was published at once: whoever
 * says so had a wrong clock, and then it is the publication that counts.
 */
export function acceptedAtOf({ attributes, publishedAt }: Envelope): Date {
  const acceptedAt = dateOf(attributes['accepted-at']);
  if (acceptedAt === undefined) return publishedAt;
  const waitedMs = publishedAt.getTime() - acceptedAt.getTime();
  const isOff = isWrongClock(waitedMs) && (waitedMs < 0 || attributes[ORIGINAL] === 'yes');
  return isOff ? publishedAt : acceptedAt;
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

/** How long a message waits, from when on; milliseconds, and of the wall clock. */
export interface OrderedWait {
  readonly waitMs: number;
  readonly fromMs: number;
}

/** The last moment a Date can hold: no Retry-After makes an invalid one. */
const LATEST_MS = 8.64e15;

/** When it is due by the clock of whoever publishes it, and how long that is: another clock may not be the same. */
function attributesOf({ waitMs, fromMs }: OrderedWait): Attributes {
  return {
    'not-before': new Date(Math.min(fromMs + Math.ceil(waitMs), LATEST_MS)).toISOString(),
    'wait-ms': String(Math.ceil(waitMs)),
  };
}

/**
 * Milliseconds that it has to wait from now on, never more than it was meant to; undefined where the message is for now. Only what
 * lies on the waiting topic has such a time. It is that of whoever published it, unless their clock is ahead of ours: then that of
 * the publication, which Pub/Sub's own clock tells.
 */
export function restMsOf({ attributes, publishedAt }: Envelope, nowMs = Date.now()): number | undefined {
  const dueMs = dateOf(attributes['not-before'])?.getTime();
  if (dueMs === undefined) return undefined;
  // What an older version published says no more than when.
  if (!/^\d{1,16}$/.test(attributes['wait-ms'] ?? '')) return dueMs - nowMs;
  const waitMs = Number(attributes['wait-ms']);
  const begunMs = dueMs - waitMs;
  const isAhead = begunMs > nowMs && isWrongClock(begunMs - nowMs);
  return Math.min(waitMs, waitMs - (nowMs - (isAhead ? publishedAt.getTime() : begunMs)));
}

/** The same work once more, with other progress. Attributes that are not ours (dead letters, headers of a push) stay behind. */
export function copyOf(
  envelope: Envelope,
  progress: { readonly attempt: number; readonly waiting?: OrderedWait },
): Outgoing {
  const attributes: Attributes = {};
  for (const name of NAMES) {
    const value = envelope.attributes[name];
    if (value !== undefined) attributes[name] = value;
  }
  delete attributes['not-before'];
  delete attributes['wait-ms'];
  attributes['accepted-at'] = acceptedAtOf(envelope).toISOString();
  attributes.attempt = String(progress.attempt);
  if (progress.waiting !== undefined) Object.assign(attributes, attributesOf(progress.waiting));
  return { data: envelope.data, attributes };
}

function dateOf(text: string | undefined): Date | undefined {
  const date = new Date(text ?? NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

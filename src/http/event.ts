/** Turns what senders call an event into messages for the queue, and counts what is not for us. */
import { Failure } from '../failure.ts';
import type { Message } from '../queue/queue.ts';
import { parseId, parseOptionalId } from '../recording.ts';

export interface Events {
  readonly messages: readonly Message[];
  /** Kinds this service does not archive. */
  readonly ignored: number;
}

/** More at once is refused: a batch is one transaction. */
const MAX_EVENTS = 1000;

/**
 * Topics that carry a recording: transcoding done, or restored from the long-term archive.
 * Ad hoc recordings (`userrecordings`) belong to no conversation and are not ours.
 */
const RECORDING_TOPIC = /^v2\.users\.[^.]+\.(?:conversations\.([^.]+)\.recordings(?:\.[^.]+)?|recordings)$/;

/**
 * Topics after which a conversation may have something new to archive. None carries a recording id, so the worker looks
 * them all up; looking twice is cheap, missing one is not.
 * - customer.end   the caller is gone: the call's recordings are complete
 * - user.end       an agent is gone: internal calls have no customer, and transfers end a recording midway
 * - acw            after-call work is done: screens are recorded until then
 * - voicemail.end  a voicemail has been left
 * Not counted: acd.end and flow.end (the call goes on, or customer.end follows at once), wrapup (acw follows), all starts.
 *
 * Chats, emails and messages count like calls: agents' screens are recorded for them too, and they may turn into calls.
 * Whether anything is there is for the worker to find out.
 */
const END_TOPIC = /^v2\.detail\.events\.conversation\.([^.]+)\.(customer\.end|user\.end|voicemail\.end|acw)$/;

/**
 * One event, an array of them, or `{events: […]}`. Who may send is decided before (signature or token), not by
 * EventBridge's `source`: whoever forwards events through a bus of their own would silently lose them.
 * @throws Failure `bad-request` naming the field, e.g. `events[3].recordingId: …`; then none is accepted.
 */
export function parseEvents(body: unknown): Events {
  const list = listOf(body);
  const messages = list === undefined ? [messageOf(body, '')] : list.map((event, i) => messageOf(event, indexed(i)));
  const wanted = messages.filter((message) => message !== undefined);
  return { messages: wanted.flatMap(withRecordings), ignored: messages.length - wanted.length };
}

/** Who left a voicemail may have spoken to somebody before. */
function withRecordings(message: Message): readonly Message[] {
  if (message.kind === 'recording' || message.voicemail === undefined) return [message];
  const { voicemail: _, ...conversation } = message;
  return [conversation, message];
}

function listOf(body: unknown): readonly unknown[] | undefined {
  const list = isObject(body) ? field(body, 'events') : body;
  if (isObject(body) && list === undefined) return undefined;
  if (!Array.isArray(list)) {
    throw isObject(body)
      ? refused('events', 'expected an array')
      : new Failure('bad-request', 'The body: expected an object or an array.');
  }
  if (list.length > MAX_EVENTS) throw refused('events', `expected at most ${String(MAX_EVENTS)} at once`);
  return list;
}

function indexed(index: number): string {
  return `events[${String(index)}].`;
}

function messageOf(event: unknown, at: string): Message | undefined {
  const fields = objectOf(event, at === '' ? 'The body' : at.slice(0, -1));
  const template = field(fields, 'detail-type');
  if (template !== undefined) return bridged(fields, textOf(template, `${at}detail-type`), at);
  const topic = field(fields, 'topicName');
  if (topic !== undefined) return notified(fields, textOf(topic, `${at}topicName`), at);
  return plain(fields, at);
}

/** EventBridge: `detail-type` holds the topic with `{id}` in place of ids, `detail.topicName` the topic itself. */
function bridged(fields: object, template: string, at: string): Message | undefined {
  const detail = objectOf(field(fields, 'detail'), `${at}detail`);
  const topic = field(detail, 'topicName');
  return notified(detail, topic === undefined ? template : textOf(topic, `${at}detail.topicName`), `${at}detail.`);
}

function notified(fields: object, topic: string, at: string): Message | undefined {
  const recording = RECORDING_TOPIC.exec(topic);
  const ended = END_TOPIC.exec(topic);
  if (recording === null && ended === null) return undefined;
  const body = objectOf(field(fields, 'eventBody'), `${at}eventBody`);
  const conversationId = field(body, 'conversationId') ?? recording?.[1] ?? ended?.[1];
  if (recording === null) {
    const conversation = conversationMessage(conversationId, `${at}eventBody.`);
    return ended?.[2] === 'voicemail.end' ? { ...conversation, voicemail: true } : conversation;
  }
  return {
    kind: 'recording',
    recordingId: parseId(field(body, 'id'), `${at}eventBody.id`),
    conversationId: parseOptionalId(conversationId, `${at}eventBody.conversationId`),
  };
}

/** What an administrator wrote into a data action, or a script sends. */
function plain(fields: object, at: string): Message | undefined {
  const kind = ['type', 'eventType', 'event'].map((name) => field(fields, name)).find((value) => value !== undefined);
  // Beside a stated kind, `id` is the recording's only where the kind says so; else it is most likely the event's own.
  const idIsOurs = kind === undefined || (typeof kind === 'string' && /recording/i.test(kind));
  const named = field(fields, 'recordingId');
  const recordingId = named ?? (idIsOurs ? field(fields, 'id') : undefined);
  const conversationId = field(fields, 'conversationId');
  if (isPresent(recordingId)) {
    return {
      kind: 'recording',
      recordingId: parseId(recordingId, `${at}${isPresent(named) ? 'recordingId' : 'id'}`),
      conversationId: parseOptionalId(conversationId, `${at}conversationId`),
    };
  }
  if (isPresent(conversationId)) return conversationMessage(conversationId, at);
  if (kind !== undefined) return undefined;
  throw refused(`${at}recordingId`, 'expected recordingId (or id), conversationId, or a Genesys notification');
}

function conversationMessage(conversationId: unknown, at: string): Message & { readonly kind: 'conversation' } {
  return { kind: 'conversation', conversationId: parseId(conversationId, `${at}conversationId`) };
}

function textOf(value: unknown, name: string): string {
  if (typeof value === 'string') return value;
  throw refused(name, 'expected a string');
}

function objectOf(value: unknown, name: string): object {
  if (isObject(value)) return value;
  throw refused(name, 'expected an object');
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Own fields only: nothing a prototype carries is an id. */
function field(fields: object, name: string): unknown {
  return Object.hasOwn(fields, name) ? Reflect.get(fields, name) : undefined;
}

function refused(name: string, expected: string): Failure {
  return new Failure('bad-request', `${name}: ${expected}.`);
}

/** What senders call an event → messages for the queue; what is not for us is counted. */
import { ONE_REQUEST } from '../bounds.ts';
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { isNotice, type Message } from '../queue/queue.ts';
import { parseId, parseOptionalId } from '../recording.ts';

export interface Events {
  readonly messages: readonly Message[];
  /** Kinds this service does not archive. */
  readonly ignored: number;
}

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
  const messages =
    list === undefined
      ? [messageOf(body, '')]
      : list.map((event, index) => messageOf(event, `events[${String(index)}]`));
  const wanted = messages.filter((message) => message !== undefined);
  return { messages: wanted.flatMap(withRecordings), ignored: messages.length - wanted.length };
}

/** Who left a voicemail may have spoken to somebody before. */
function withRecordings(message: Message): readonly Message[] {
  if (message.kind !== 'conversation' || message.voicemail === undefined) return [message];
  const { voicemail: _, ...conversation } = message;
  return [conversation, message];
}

function listOf(body: unknown): readonly unknown[] | undefined {
  const fields = Fields.in(body);
  const list = fields === undefined ? body : fields.raw('events');
  if (fields !== undefined && list === undefined) return undefined;
  if (!Array.isArray(list)) {
    throw fields === undefined
      ? new Failure('bad-request', 'The body: expected an object or an array.')
      : eventRefused('events', 'expected an array');
  }
  // A batch is one transaction.
  if (list.length > ONE_REQUEST.events)
    throw eventRefused('events', `expected at most ${String(ONE_REQUEST.events)} at once`);
  return list;
}

function messageOf(event: unknown, at: string): Message | undefined {
  const fields = Fields.in(event, at);
  if (fields === undefined) throw eventRefused(at === '' ? 'The body' : at, 'expected an object');
  if (fields.raw('detail-type') !== undefined) return bridged(fields);
  if (fields.raw('topicName') !== undefined) return notified(fields, fields.requireText('topicName'));
  return plain(fields);
}

/** EventBridge: `detail-type` holds the topic with `{id}` in place of ids, `detail.topicName` the topic itself. */
function bridged(fields: Fields): Message | undefined {
  const template = fields.requireText('detail-type');
  const detail = fields.requireFields('detail');
  return notified(detail, detail.raw('topicName') === undefined ? template : detail.requireText('topicName'));
}

function notified(fields: Fields, topic: string): Message | undefined {
  const recording = RECORDING_TOPIC.exec(topic);
  const ended = END_TOPIC.exec(topic);
  if (recording === null && ended === null) return undefined;
  const body = fields.requireFields('eventBody');
  const conversationId = given(body, 'conversationId') ?? recording?.[1] ?? ended?.[1];
  const name = body.nameOf('conversationId');
  if (recording === null) {
    const conversation = { kind: 'conversation', conversationId: parseId(conversationId, name) } as const;
    return ended?.[2] === 'voicemail.end' ? { ...conversation, voicemail: true } : conversation;
  }
  const recordingId = parseId(body.raw('id'), body.nameOf('id'));
  return { kind: 'recording', recordingId, conversationId: parseOptionalId(conversationId, name) };
}

/** What an administrator wrote into a data action, or a script sends. */
function plain(fields: Fields): Message | undefined {
  const kind = statedKind(fields);
  const isNamed = ['recordingId', 'conversationId'].some((name) => given(fields, name) !== undefined);
  const message = (isNamed ? undefined : enveloped(fields, kind)) ?? identified(fields, kind);
  if (message !== undefined || kind !== undefined) return message;
  const expected = 'expected recordingId (or id), conversationId, or a Genesys notification';
  throw eventRefused(fields.nameOf('recordingId'), expected);
}

/**
 * Standard Webhooks and CloudEvents (structured) have what happened under `data`, beside a type, and an `id` of the event's own.
 * Our own notices are news to nobody here.
 */
function enveloped(fields: Fields, kind: unknown): Message | undefined {
  const data = fields.fields('data');
  if (data === undefined || isNotice(kind)) return undefined;
  if (data.raw('detail-type') !== undefined) return bridged(data);
  if (data.raw('topicName') !== undefined) return notified(data, data.requireText('topicName'));
  return identified(data, statedKind(data) ?? kind ?? 'unknown');
}

function statedKind(fields: Fields): unknown {
  return ['type', 'eventType', 'event'].map((name) => fields.raw(name)).find((value) => value !== undefined);
}

/** undefined where it has no id of ours. */
function identified(fields: Fields, kind: unknown): Message | undefined {
  // Beside a stated kind, `id` is the recording's only where the kind says so; else it is most likely the event's own.
  const idIsOurs = kind === undefined || (typeof kind === 'string' && /recording/i.test(kind));
  const named = given(fields, 'recordingId') === undefined ? 'id' : 'recordingId';
  const recordingId = named === 'id' && !idIsOurs ? undefined : given(fields, named);
  const conversationId = given(fields, 'conversationId');
  if (recordingId !== undefined)
    return {
      kind: 'recording',
      recordingId: parseId(recordingId, fields.nameOf(named)),
      conversationId: parseOptionalId(conversationId, fields.nameOf('conversationId')),
    };
  if (conversationId === undefined) return undefined;
  return { kind: 'conversation', conversationId: parseId(conversationId, fields.nameOf('conversationId')) };
}

/** undefined for `null` and the empty text as well: templates leave a field empty where they know nothing for it. */
function given(fields: Fields, name: string): unknown {
  const value = fields.raw(name);
  const isNone = value === null || (typeof value === 'string' && value.trim() === '');
  return isNone ? undefined : value;
}

function eventRefused(name: string, expected: string): Failure {
  return new Failure('bad-request', `${name}: ${expected}.`);
}

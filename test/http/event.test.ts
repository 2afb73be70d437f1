import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { parseEvents } from '../../src/http/event.ts';

const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const recording = (conversationId: string | undefined = C): object => ({
  kind: 'recording',
  recordingId: R,
  conversationId,
});
const conversation: object = { kind: 'conversation', conversationId: C };

/** As Genesys sends it over EventBridge (its event streaming blueprint), shortened. */
const bridged = (end: string, mediaType: string): object => ({
  version: '0',
  id: '58fb5dac-f077-4eec-a25f-c638dbdd4368',
  'detail-type': `v2.detail.events.conversation.{id}.${end}`,
  source: 'aws.partner/genesys.com/cloud/32aa07aa-db1b-4987-abd0-9483601ec29d/bus',
  account: '123456789012',
  time: '2022-06-14T16:12:11.000Z',
  region: 'us-east-1',
  resources: [],
  detail: {
    topicName: `v2.detail.events.conversation.${C}.${end}`,
    version: '2',
    eventBody: {
      eventTime: 1649237504949,
      conversationId: C,
      participantId: '9fb2ca78-8389-4758-b76a-9b0300de1fce',
      mediaType,
      provider: 'Edge',
      direction: 'INBOUND',
      ani: 'tel:+15551234567',
      interactingDurationMs: 60000,
    },
    metadata: { CorrelationId: '7272d362-23b2-4c14-9d40-dc7b7683153a' },
    timestamp: '2022-04-06T09:30:45.013Z',
  },
});

const transcoded = {
  topicName: `v2.users.9fb2ca78-8389-4758-b76a-9b0300de1fce.conversations.${C}.recordings.${R}`,
  eventBody: {
    id: R,
    conversationId: C,
    fileState: 'AVAILABLE',
    mediaUris: [{ channelId: '0', mediaUri: 'https://x' }],
  },
  metadata: { CorrelationId: 'x' },
};

const ACCEPTED: Readonly<Record<string, readonly [body: unknown, messages: readonly object[], ignored?: number]>> = {
  'a recording with its conversation': [{ recordingId: R, conversationId: C }, [recording()]],
  'a recording alone': [{ recordingId: R }, [{ kind: 'recording', recordingId: R, conversationId: undefined }]],
  'a recording by id': [{ id: R, conversationId: C }, [recording()]],
  'recordingId before id': [{ id: 'evt-1', recordingId: R, conversationId: C }, [recording()]],
  'a conversation': [{ conversationId: C }, [conversation]],
  'a conversation with what nobody needs': [{ conversationId: C, mediaType: 5, ani: 'tel:+1555' }, [conversation]],
  'null for "none"': [{ recordingId: null, conversationId: C, mediaType: null }, [conversation]],
  'E4 an empty conversation is none': [
    { recordingId: R, conversationId: '' },
    [{ kind: 'recording', recordingId: R, conversationId: undefined }],
  ],
  'E4 a blank conversation beside an id': [
    { id: R, conversationId: '  ' },
    [{ kind: 'recording', recordingId: R, conversationId: undefined }],
  ],
  'E4 an empty recording leaves the conversation': [{ recordingId: '', conversationId: C }, [conversation]],
  'E4 an empty recording leaves the id': [{ recordingId: '', id: R, conversationId: C }, [recording()]],
  'E4 an empty conversation in a notification, by its topic': [
    { ...transcoded, eventBody: { id: R, conversationId: '' } },
    [recording()],
  ],
  'an array': [
    [{ recordingId: R, conversationId: C }, { conversationId: C }],
    [recording(), conversation],
  ],
  'an events field': [{ events: [{ recordingId: R, conversationId: C }] }, [recording()]],
  'no events at all': [[], []],
  'transcoding done': [transcoded, [recording()]],
  'transcoding done, topic without the recording': [
    { ...transcoded, topicName: `v2.users.u.conversations.${C}.recordings` },
    [recording()],
  ],
  'a recording topic whose body lacks the conversation': [{ ...transcoded, eventBody: { id: R } }, [recording()]],
  'a recording restored': [
    { topicName: 'v2.users.u.recordings', eventBody: { id: R, conversationId: C } },
    [recording()],
  ],
  'the customer left': [bridged('customer.end', 'VOICE'), [conversation]],
  'an agent left': [bridged('user.end', 'VOICE'), [conversation]],
  'after-call work ended': [bridged('acw', 'VOICE'), [conversation]],
  'a voicemail ended: what was said before it is a recording as well': [
    bridged('voicemail.end', 'VOICE'),
    [conversation, { ...conversation, voicemail: true }],
  ],
  'a chat ended: its screens may be recorded': [bridged('customer.end', 'CHAT'), [conversation]],
  'a detail without topic, by its type': [
    { 'detail-type': 'v2.detail.events.conversation.{id}.customer.end', detail: { eventBody: { conversationId: C } } },
    [conversation],
  ],
  'a kind of its own with ids': [{ eventType: 'conversation.ended', conversationId: C }, [conversation]],
  'an id beside a kind that says recording': [{ type: 'recording.available', id: R, conversationId: C }, [recording()]],
  'an id beside another kind is the event’s own': [
    { type: 'call.ended', id: 'evt-1', conversationId: C },
    [conversation],
  ],
  'Standard Webhooks: the ids are under data': [
    { type: 'call.ended', timestamp: '2026-08-05T12:00:00Z', data: { conversationId: C, recordingId: R } },
    [recording()],
  ],
  'CloudEvents, structured': [
    { specversion: '1.0', type: 'com.example.call.ended', source: '/pbx', id: 'evt-1', data: { conversationId: C } },
    [conversation],
  ],
  'CloudEvents around a notification of Genesys': [
    { specversion: '1.0', type: 'genesys', source: '/bus', id: 'evt-1', data: bridged('customer.end', 'VOICE') },
    [conversation],
  ],
  'an id under data, beside a type that says recording': [
    { type: 'recording.available', id: 'evt-1x', data: {} },
    [{ kind: 'recording', recordingId: 'evt-1x', conversationId: undefined }],
  ],
  'the id of a CloudEvent is the event’s own, whatever its type says': [
    {
      specversion: '1.0',
      type: 'recording.available',
      source: '/pbx',
      id: 'evt-1',
      data: { recordingId: R, conversationId: C },
    },
    [recording()],
  ],
  'what stands at the top counts before what lies under data': [
    { recordingId: R, conversationId: C, data: { recordingId: 'r-2', id: 'r-3' } },
    [recording()],
  ],
  'an id at the top, beside data of something else': [{ id: R, conversationId: C, data: { id: 'r-3' } }, [recording()]],
  'ids under data, without any type': [{ data: { conversationId: C } }, [conversation]],
  'IN-25 something of no concern under data': [{ type: 'user.created', data: { id: 'u-1', name: 'canary' } }, [], 1],
  'IN-25 a notice of our own': [
    { type: 'recording.failed', timestamp: '2026-08-05T12:00:00Z', data: { conversationId: C, recordingId: R } },
    [],
    1,
  ],
  'IN-25 a flow that ended': [bridged('flow.end', 'VOICE'), [], 1],
  'IN-25 a queue left': [bridged('acd.end', 'VOICE'), [], 1],
  'IN-25 a start': [bridged('customer.start', 'VOICE'), [], 1],
  'IN-25 another topic': [{ topicName: 'v2.users.u.presence', eventBody: { id: R } }, [], 1],
  'IN-25 a topic that only looks like ours': [{ topicName: `x.v2.users.u.recordings`, eventBody: { id: R } }, [], 1],
  'IN-25 an ad hoc recording': [{ topicName: 'v2.users.u.userrecordings', eventBody: { id: R } }, [], 1],
  'IN-26 a heartbeat': [{ topicName: 'channel.metadata', eventBody: { message: 'WebSocket Heartbeat' } }, [], 1],
  'IN-26 a ping': [{ type: 'ping', id: 'evt-1' }, [], 1],
  'IN-25 strangers among ours': [
    [bridged('wrapup', 'VOICE'), { conversationId: C }, { event: 'hello' }],
    [conversation],
    2,
  ],
};

for (const [name, [body, messages, ignored = 0]] of Object.entries(ACCEPTED)) {
  test(`${name}: ${String(messages.length)} accepted, ${String(ignored)} ignored`, () => {
    assert.deepEqual(parseEvents(body), { messages, ignored });
  });
}

const REFUSED: Readonly<Record<string, readonly [body: unknown, field: string]>> = {
  'nothing known in it': [{}, 'recordingId'],
  'IN-12 an id as number': [{ recordingId: 7 }, 'recordingId'],
  'IN-12 an id as array': [{ recordingId: [R] }, 'recordingId'],
  'IN-12 an id as object': [{ id: { toString: 'x' } }, 'id'],
  'IN-12 a conversation as array': [{ conversationId: [C] }, 'conversationId'],
  'IN-13 a path for an id': [{ recordingId: '../../etc/passwd' }, 'recordingId'],
  'IN-13 a NUL in an id': [{ recordingId: 'a\0b' }, 'recordingId'],
  'IN-13 a line break in an id': [{ recordingId: `${R}\r\nX: y` }, 'recordingId'],
  'IN-13 a trailing line break': [{ recordingId: `${R}\n` }, 'recordingId'],
  'IN-13 an encoded slash': [{ recordingId: 'a%2fb' }, 'recordingId'],
  'IN-13 an id of 10 kB': [{ recordingId: 'a'.repeat(10_000) }, 'recordingId'],
  'IN-13 an underscore for a conversation': [{ recordingId: R, conversationId: '_' }, 'conversationId'],
  'nothing but empty ids': [{ recordingId: '', id: '', conversationId: ' ' }, 'recordingId'],
  'a template that was not filled in': [{ conversationId: '${input.conversationId}' }, 'conversationId'],
  'the fourth of many': [[{ id: R }, { id: R }, { id: R }, { recordingId: 'ä' }], 'events[3].recordingId'],
  'an element that is no object': [[{ id: R }, 'x'], 'events[1]'],
  'an element that is an array': [[[{ id: R }]], 'events[0]'],
  'events that are no array': [{ events: { 0: { id: R } } }, 'events'],
  'a text': ['hello', 'The body'],
  'a number': [5, 'The body'],
  null: [null, 'The body'],
  'more than 1000 events': [Array.from({ length: 1001 }, () => ({ id: R })), 'events'],
  'nothing known under data': [{ data: { name: 'x' } }, 'recordingId'],
  'a path for an id under data': [{ type: 'x', data: { conversationId: '../a' } }, 'data.conversationId'],
  'a topic that is no text': [{ topicName: 5, eventBody: {} }, 'topicName'],
  'a topic of ours without a body': [{ ...transcoded, eventBody: undefined }, 'eventBody'],
  'a topic of ours without an id': [{ ...transcoded, eventBody: { conversationId: C } }, 'eventBody.id'],
  'a template for a topic, and no id': [
    { 'detail-type': 'v2.detail.events.conversation.{id}.customer.end', detail: { eventBody: {} } },
    'detail.eventBody.conversationId',
  ],
  'EventBridge without detail': [{ 'detail-type': 'x' }, 'detail'],
  'EventBridge in a batch': [
    { events: [{ 'detail-type': 'x', detail: { topicName: [] } }] },
    'events[0].detail.topicName',
  ],
};

for (const [name, [body, field]] of Object.entries(REFUSED)) {
  test(`${name} is refused, naming ${field}`, () => {
    assert.throws(
      () => parseEvents(body),
      (error) => error instanceof Failure && error.code === 'bad-request' && error.message.startsWith(`${field}: `),
    );
  });
}

test('ids in capitals become the same messages, in every form (C9)', () => {
  const shouted = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value).replaceAll(C, C.toUpperCase()).replaceAll(R, R.toUpperCase()));
  for (const [name, [body, messages, ignored = 0]] of Object.entries(ACCEPTED))
    assert.deepEqual(parseEvents(shouted(body)), { messages, ignored }, name);
});

test('what a prototype carries is no id (IN-11)', () => {
  const inherited: unknown = Object.create({ recordingId: R, conversationId: C });
  assert.throws(() => parseEvents(inherited), /^Failure: recordingId: /);
});

/** What a list becomes, whatever its order. */
function becomes(list: readonly object[]): readonly string[] {
  return parseEvents(list)
    .messages.map((message) => JSON.stringify(message))
    .toSorted();
}

test('the order of events does not change what they become (IN-20)', () => {
  const events = [{ recordingId: R, conversationId: C }, bridged('customer.end', 'VOICE'), transcoded];
  const [a, b, c] = events;
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  for (const order of [
    [a, c, b],
    [b, a, c],
    [b, c, a],
    [c, a, b],
    [c, b, a],
  ])
    assert.deepEqual(becomes(order), becomes(events));
});

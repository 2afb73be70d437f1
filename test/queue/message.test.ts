/** The message as text: what is written can be read, and nothing else can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { Failure } from '../../src/failure.ts';
import type { Message } from '../../src/queue/queue.ts';
import { ageOf, delayOf, encodeMessage, isForNewer, messageKey, parseMessage } from '../../src/queue/queue.ts';

const id = fc.stringMatching(/^[0-9A-Za-z_-]{1,128}$/).filter((text) => text !== '_');
const plain = { noNullPrototype: true };
const recording = fc.record(
  { kind: fc.constant('recording' as const), recordingId: id, conversationId: fc.option(id, { nil: undefined }) },
  plain,
);
const conversation = fc.record({ kind: fc.constant('conversation' as const), conversationId: id }, plain);
const voicemail = conversation.map((one) => ({ ...one, voicemail: true as const }));
const details = fc.record({ kind: fc.constant('details' as const), conversationId: id }, plain);
const levels = recording.map((one) => ({ ...one, kind: 'levels' as const }));
const at = '2026-03-01T10:00:00.000Z';
const about = {
  kind: fc.constant('notice' as const),
  event: fc.constantFrom('recording.archived' as const, 'recording.failed' as const),
  at: fc.constant(at),
  conversationId: fc.option(id, { nil: undefined }),
  recordingId: id,
};
const notice = fc.record(about, plain);
const message: fc.Arbitrary<Message> = fc.oneof(recording, conversation, voicemail, details, levels, notice);

/** What makes two messages the same work, said another way than messageKey() does. */
function work(one: Message): string {
  if (one.kind === 'notice') return JSON.stringify([one.event, one.recordingId, one.conversationId ?? null]);
  if (one.kind === 'details') return JSON.stringify(['details', one.conversationId]);
  if (one.kind === 'levels') return JSON.stringify(['levels', one.recordingId, one.conversationId ?? null]);
  return one.kind === 'recording'
    ? JSON.stringify([one.recordingId, one.conversationId ?? null])
    : JSON.stringify([one.conversationId, 'voicemail' in one]);
}

test('what was accepted by a clock that went ahead is as young as can be, and waits no longer for that', () => {
  const message = { kind: 'conversation', conversationId: 'c' } as const;
  const ahead = { message, attempt: 1, lost: 0, acceptedAt: new Date(Date.now() + 365 * 24 * 3_600_000) };
  assert.equal(ageOf(ahead), 0);
});

test('a message survives being written and read', () => {
  fc.assert(fc.property(message, (one) => assert.deepEqual(parseMessage(encodeMessage(one)), one)));
});

test('what an older revision wrote beside the ids of a conversation is passed over', () => {
  const text = '{"v":1,"kind":"conversation","conversationId":"c","mediaType":"VOICE","more":{}}';
  assert.deepEqual(parseMessage(text), { kind: 'conversation', conversationId: 'c' });
});

test('a notice of a day, and of a failure with its code, survives being written and read', () => {
  for (const one of [
    {
      kind: 'notice',
      event: 'day.incomplete',
      day: '2026-03-01',
      at,
      conversationId: undefined,
      recordingId: undefined,
    },
    { kind: 'notice', event: 'recording.failed', code: 'forbidden', at, conversationId: 'c', recordingId: undefined },
  ] as const)
    assert.deepEqual(parseMessage(encodeMessage(one)), one);
});

test('details are a look at a conversation to a revision that does not know them', () => {
  const { v, kind, conversationId } = JSON.parse(encodeMessage({ kind: 'details', conversationId: 'c' })) as {
    v: number;
    kind: string;
    conversationId: string;
  };
  assert.deepEqual({ v, kind, conversationId }, { v: 1, kind: 'conversation', conversationId: 'c' });
});

test('how long details wait is told to the queue, and lies not on it', () => {
  const details = { kind: 'details', conversationId: 'c' } as const;
  assert.equal(encodeMessage({ ...details, afterMs: 7 }), encodeMessage(details));
  assert.deepEqual([delayOf({ ...details, afterMs: 7 }), delayOf(details)], [7, 0]);
});

test('levels are a recording, which is archived already, to a revision that does not know them', () => {
  const text = encodeMessage({ kind: 'levels', recordingId: 'r', conversationId: 'c' });
  assert.deepEqual(
    { ...JSON.parse(text), levels: undefined },
    {
      ...JSON.parse(encodeMessage({ kind: 'recording', recordingId: 'r', conversationId: 'c' })),
      levels: undefined,
    },
  );
});

test('what a newer revision may read waits for one, for a week; what nobody can read does not', () => {
  const newer = ['{"v":2}', '{"v":1,"kind":"other"}', '{"v":1,"kind":"notice","event":"day.complete"}'];
  const nobodys = ['', '[]', '{}', '{"v":"2"}', '{"v":0}', '{"v":1}', '{"v":1,"kind":7}', '{"v":1,"kind":"recording"}'];
  const isFor = (text: string, acceptedAt: Date): boolean => {
    try {
      parseMessage(text);
    } catch (error) {
      return isForNewer(error, acceptedAt);
    }
    return assert.fail(text);
  };
  for (const text of newer) assert.equal(isFor(text, new Date()), true, text);
  for (const text of nobodys) assert.equal(isFor(text, new Date()), false, text);
  for (const text of newer) assert.equal(isFor(text, new Date(Date.now() - 8 * 24 * 3_600_000)), false, text);
});

test('the trace travels beside the message, not in it', () => {
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const one: Message = { kind: 'recording', recordingId: 'r', conversationId: 'c', traceparent: trace };
  assert.ok(!encodeMessage(one).includes(trace));
  assert.deepEqual(parseMessage(encodeMessage(one), trace), one);
});

test('messages have one key exactly when they are the same work', () => {
  fc.assert(
    fc.property(message, message, (one, other) => {
      assert.equal(messageKey(one) === messageKey(other), work(one) === work(other));
      assert.equal(messageKey(one), messageKey({ ...one, traceparent: 'any' }));
    }),
  );
});

test('unreadable messages are refused with the name of the field', () => {
  const cases: readonly (readonly [text: string, names: RegExp])[] = [
    ['', /^message: expected JSON/],
    ['null', /^message: expected an object/],
    ['[]', /^message: expected an object/],
    ['{}', /^message\.v/],
    ['{"v":2,"kind":"recording","recordingId":"r"}', /^message\.v.*newer/],
    ['{"v":1,"kind":"other"}', /^message\.kind/],
    ['{"v":1,"kind":"recording"}', /^message\.recordingId/],
    ['{"v":1,"kind":"recording","recordingId":"../r"}', /^message\.recordingId/],
    ['{"v":1,"kind":"recording","recordingId":"r","conversationId":"_"}', /^message\.conversationId/],
    ['{"v":1,"kind":"conversation"}', /^message\.conversationId/],
    ['{"v":1,"kind":"conversation","__proto__":{"conversationId":"c"}}', /^message\.conversationId/],
  ];
  for (const [text, names] of cases) {
    assert.throws(
      () => parseMessage(text),
      (error) => error instanceof Failure && error.code === 'bad-request' && names.test(error.message),
      text,
    );
  }
});

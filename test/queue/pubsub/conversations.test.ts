/** Three days of a conversation with several events on Pub/Sub, in simulated time: the looks at it are counted, message by message. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { fc } from '../../support/generated.ts';
import { Conversations } from '../../../src/queue/pubsub/conversations.ts';
import { copyOf, encodeEvent, parseEnvelope } from '../../../src/queue/pubsub/envelope.ts';
import type { Envelope, Outgoing } from '../../../src/queue/envelope.ts';
import type { Message, Settlement } from '../../../src/queue/queue.ts';
import { LOOK_AGAIN_AFTER_MS, nextLookAfter, type HowMuchIsListed } from '../../../src/delivery/schedule.ts';
import { SEED } from '../../support/soak.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const START = Date.UTC(2026, 10, 2);
const CONVERSATION = { kind: 'conversation', conversationId: 'c-1' } as const;

interface Look {
  readonly atMs: number;
  readonly acceptedMs: number;
}

const lying = (outgoing: Outgoing): Envelope => ({
  ...outgoing,
  id: '1',
  publishedAt: new Date(
    outgoing.attributes['original'] === 'yes' ? (outgoing.attributes['accepted-at'] ?? '') : Date.now(),
  ),
  deliveryAttempt: 1,
});

/** Events at these times after the first; what lies on the queue is delivered when it is due. */
function looksAt(
  t: TestContext,
  eventsMs: readonly number[],
  listed: HowMuchIsListed,
  message: Message = CONVERSATION,
) {
  t.mock.timers.enable({ apis: ['Date'], now: START });
  const conversations = new Conversations();
  const looks: Look[] = [];
  const queued = eventsMs.map((afterMs) => lying(encodeEvent(message, new Date(START + afterMs))));
  const dueOf = (envelope: Envelope): number =>
    Date.parse(envelope.attributes['not-before'] ?? '') || parseEnvelope(envelope).acceptedAt.getTime() + SECOND;
  for (;;) {
    const next = queued.toSorted((a, b) => dueOf(a) - dueOf(b))[0];
    if (next === undefined) break;
    queued.splice(queued.indexOf(next), 1);
    t.mock.timers.setTime(Math.max(Date.now(), dueOf(next)));
    const settlement = deliver(next);
    if (settlement === undefined || !('afterMs' in settlement)) continue;
    const waiting = { waitMs: settlement.afterMs, fromMs: Date.now() };
    queued.push(lying(copyOf(next, { attempt: 1, waiting })));
  }
  t.mock.timers.reset();
  return looks;

  function deliver(envelope: Envelope): Settlement | undefined {
    if (conversations.isSuperseded(envelope)) return undefined;
    const delivery = parseEnvelope(envelope);
    const restMs = conversations.restMs(delivery);
    if (restMs > 0) return { outcome: 'wait', afterMs: restMs };
    conversations.begins(delivery);
    const acceptedMs = delivery.acceptedAt.getTime();
    looks.push({ atMs: Date.now(), acceptedMs });
    const afterMs = nextLookAfter(Date.now() - acceptedMs, listed);
    const settlement: Settlement =
      afterMs === undefined ? { outcome: 'done' } : { outcome: 'wait', afterMs, soonestMs: LOOK_AGAIN_AFTER_MS };
    conversations.ended(delivery, settlement);
    return settlement;
  }
}

const BOUNDS = [
  ['nothing', 6],
  ['something', 4],
  ['all', 3],
] as const;

for (const [listed, bound] of BOUNDS)
  test(`five events at the end of a conversation with ${listed} make ${String(bound)} looks at most, as one does (C1)`, (t) => {
    const apart = fc.array(fc.integer({ min: 1, max: 20 * SECOND }), { minLength: 0, maxLength: 6 });
    const check = (gaps: readonly number[]): void => {
      const eventsMs = gaps.reduce((at: readonly number[], gap) => [...at, (at.at(-1) ?? 0) + gap], [0]);
      const looks = looksAt(t, eventsMs, listed);
      // A list that seems complete is asked for once more: the last event may have come after it.
      assert.ok(looks.length <= bound + (listed === 'all' ? 1 : 0), `${String(looks.length)} looks`);
      assert.ok(
        (looks.at(-1)?.atMs ?? 0) >= START + (eventsMs.at(-1) ?? 0) + 72 * HOUR - SECOND,
        'until three days after the last',
      );
    };
    fc.assert(fc.property(apart, check), { numRuns: 60, seed: SEED });
  });

test('events all through a call: each burst of them makes its own looks, none within three minutes of another, and the last goes on (C1)', (t) => {
  const eventsMs = [0, MINUTE, 10 * MINUTE, 50 * MINUTE, 51 * MINUTE, 3 * HOUR];
  for (const [listed, bound] of BOUNDS) {
    const looks = looksAt(t, eventsMs, listed);
    const last = START + (eventsMs.at(-1) ?? 0);
    assert.ok(looks.filter(({ acceptedMs }) => acceptedMs === last).length <= bound);
    assert.ok(looks.length <= 4 * bound, `${listed}: ${String(looks.length)} looks`);
    for (const [index, { atMs }] of looks.entries())
      assert.ok(index === 0 || atMs - (looks[index - 1]?.atMs ?? 0) >= LOOK_AGAIN_AFTER_MS - SECOND);
  }
});

test('voicemails and recordings of a conversation are looked at beside each other, and a recording by every event of its own', (t) => {
  const both = looksAt(t, [0], 'nothing', { ...CONVERSATION, voicemail: true });
  assert.equal(both.length, 6);
  const conversations = new Conversations();
  const at = (message: Message, ms: number): Envelope => lying(encodeEvent(message, new Date(ms)));
  assert.equal(conversations.isSuperseded(at({ ...CONVERSATION, voicemail: true }, 2)), false);
  assert.equal(conversations.isSuperseded(at(CONVERSATION, 1)), false, 'another kind of look');
  const recording = { kind: 'recording', recordingId: 'r', conversationId: 'c-1' } as const;
  assert.equal(conversations.isSuperseded(at(recording, 2)), false);
  assert.equal(conversations.isSuperseded(at(recording, 1)), false, 'one piece of work while it runs, and not beyond');
});

test('what cannot be read, or was forgotten, is superseded by nothing', () => {
  const conversations = new Conversations();
  const at = (id: number, ms: number): Envelope =>
    lying(encodeEvent({ ...CONVERSATION, conversationId: `c-${String(id)}` }, new Date(ms)));
  assert.equal(conversations.isSuperseded({ ...at(0, 2), data: '{"v":9}' }), false);
  assert.equal(conversations.isSuperseded(at(0, 2)), false);
  assert.equal(conversations.isSuperseded(at(0, 1)), true);
  for (let id = 1; id <= 20_000; id += 1) conversations.isSuperseded(at(id, 2));
  assert.equal(conversations.isSuperseded(at(0, 1)), false, 'memory has a bound');
});

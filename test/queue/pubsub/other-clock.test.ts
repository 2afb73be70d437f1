/** Messages whose publisher's clock was days ahead or behind: none waits longer than it was meant to, none is lost, and what the same clock publishes and takes waits its time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Conversations } from '../../../src/queue/pubsub/conversations.ts';
import { acceptedAtOf, copyOf, encodeEvent, restMsOf } from '../../../src/queue/pubsub/envelope.ts';
import { settle } from '../../../src/queue/pubsub/settle.ts';
import type { Envelope, Outgoing } from '../../../src/queue/envelope.ts';
import { type Jobs, openJobs } from '../../support/pubsub/broker/open-jobs.ts';
import { consuming, conversationMessage, recordingMessage } from '../suite.ts';

const NEVER = new AbortController().signal;
const [SECOND, HOUR, DAY] = [1_000, 3_600_000, 86_400_000];
/** By Pub/Sub's own clock. */
const START = Date.UTC(2027, 2, 1);

/** As it lies at Pub/Sub. */
function lying(outgoing: Outgoing, publishedMs: number): Envelope {
  return { ...outgoing, id: '1', publishedAt: new Date(publishedMs), deliveryAttempt: 0 };
}

/** Accepted and made to wait by somebody whose clock was off by so much. */
function waitingFor(waitMs: number, skewMs: number): Envelope {
  const event = encodeEvent(recordingMessage('r-1'), new Date(START + skewMs));
  return lying(copyOf(lying(event, START), { attempt: 1, waiting: { waitMs, fromMs: START + skewMs } }), START);
}

const SKEWS = { 'a second': SECOND, 'two hours': 2 * HOUR, 'two days': 2 * DAY, 'ten years': 3_650 * DAY };
const WAITS = [SECOND, 30 * SECOND, HOUR, 3 * DAY];

for (const [what, skewMs] of Object.entries(SKEWS))
  for (const waitMs of WAITS)
    test(`what waits ${String(waitMs / SECOND)} s and was published by a clock ${what} ahead is due in time, and stays due as long as that clock is ahead`, () => {
      const waiting = waitingFor(waitMs, skewMs);
      const isSeen = skewMs >= 60 * SECOND;
      for (const afterMs of [0, 1, waitMs / 2, waitMs - 1]) {
        const restMs = restMsOf(waiting, START + afterMs) ?? NaN;
        assert.ok(restMs > 0 && restMs <= waitMs, `${String(afterMs)}: ${String(restMs)}`);
        if (isSeen && afterMs < skewMs - 60 * SECOND) assert.equal(restMs, waitMs - afterMs);
      }
      if (waitMs < skewMs - 60 * SECOND) assert.equal(restMsOf(waiting, START + waitMs), 0);
      // A later worker meets it when that clock's time has come: at most the same wait once more.
      const late = restMsOf(waiting, START + skewMs + waitMs) ?? NaN;
      assert.ok(late <= 0, String(late));
    });

for (const [what, skewMs] of Object.entries(SKEWS))
  for (const sign of [1, -1])
    test(`who has the same clock, ${what} ${sign > 0 ? 'ahead' : 'behind'}, makes it wait its time`, () => {
      const waiting = waitingFor(HOUR, sign * skewMs);
      for (const afterMs of [0, HOUR / 2, HOUR])
        assert.equal(restMsOf(waiting, START + sign * skewMs + afterMs), HOUR - afterMs);
    });

test('whose own clock is behind holds it for its wait, and no longer', () => {
  const waiting = waitingFor(30 * SECOND, 0);
  for (const behindMs of Object.values(SKEWS)) assert.equal(restMsOf(waiting, START - behindMs), 30 * SECOND);
});

test('what an earlier version published is due when it says', () => {
  const { 'wait-ms': _, ...attributes } = waitingFor(HOUR, 0).attributes;
  const waiting = { ...waitingFor(HOUR, 0), attributes };
  assert.equal(restMsOf(waiting, START + SECOND), HOUR - SECOND);
  for (const odd of ['', '-1', '1e3', 'x'])
    assert.equal(
      restMsOf({ ...waiting, attributes: { ...attributes, 'wait-ms': odd } }, START + SECOND),
      HOUR - SECOND,
    );
});

test('a wait of any length is a time, and what is published for now has none', async () => {
  const sent: Outgoing[] = [];
  const desk = {
    library: { publish: async (_: string, some: readonly Outgoing[]) => void sent.push(...some) },
    topic: 'jobs',
    laterTopic: 'jobs-later',
  };
  const event = lying(encodeEvent(recordingMessage('r-1'), new Date()), Date.now());
  for (const afterMs of [0.2, 1e12, 8.64e15]) {
    await settle(event, { outcome: 'wait', afterMs, attempt: 1 }, desk);
    const restMs = restMsOf(lying(sent.pop() ?? event, Date.now())) ?? NaN;
    assert.ok(
      restMs > Math.min(afterMs, 8.64e15 - Date.now()) - 2 * HOUR && restMs <= Math.ceil(afterMs),
      String(restMs),
    );
  }
  assert.equal(restMsOf(event), undefined);
});

test('nothing was accepted after it was published: its age counts from then, and no event of today is let go for one of the future', () => {
  const ahead = lying(encodeEvent(conversationMessage('c-1'), new Date(START + 3 * DAY)), START);
  assert.equal(acceptedAtOf(ahead).getTime(), START);
  const copy = lying(copyOf(ahead, { attempt: 1 }), START + HOUR);
  assert.equal(acceptedAtOf(copy).getTime(), START, 'nor does a copy make it younger');
  const conversations = new Conversations();
  assert.equal(conversations.isSuperseded(ahead), false);
  const newer = lying(encodeEvent(conversationMessage('c-1'), new Date(START + SECOND)), START + SECOND);
  assert.equal(conversations.isSuperseded(newer), false);
  assert.equal(conversations.isSuperseded(ahead), true);
});

test('what somebody accepted whose clock was behind is no older for that, nor are its copies; what waited long is as old as it is', () => {
  const behind = lying(encodeEvent(conversationMessage('c-1'), new Date(0)), START);
  assert.equal(acceptedAtOf(behind).getTime(), START);
  const copy = lying(copyOf(behind, { attempt: 1 }), START + 3 * DAY);
  assert.equal(acceptedAtOf(copy).getTime(), START);
  const late = lying(encodeEvent(conversationMessage('c-1'), new Date(START)), START + 30 * SECOND);
  assert.equal(acceptedAtOf(late).getTime(), START, 'a call that took its time');
});

/** What a process whose clock is off leaves on the waiting topic. */
async function leaveWaiting(id: string, { waitMs, skewMs }: { waitMs: number; skewMs: number }, jobs: Jobs) {
  const offMs = Date.now() + skewMs;
  const event = lying(encodeEvent(recordingMessage(id), new Date(offMs)), Date.now());
  const { data, attributes } = copyOf(event, { attempt: 1, waiting: { waitMs, fromMs: offMs } });
  await jobs.broker.admin
    .topic('jobs-later')
    .publishMessage({ data: Buffer.from(data), attributes: { ...attributes } });
}

test(
  'what a process published whose clock was days ahead is worked on after its wait, pulled',
  { timeout: 240_000 },
  async (t) => {
    const jobs = await openJobs(t);
    const publishedAtMs = Date.now();
    for (const [index, skewMs] of Object.values(SKEWS).entries())
      await leaveWaiting(`r-${String(index)}`, { waitMs: 1_500, skewMs }, jobs);
    await leaveWaiting('r-right', { waitMs: 1_500, skewMs: 0 }, jobs);
    const consumer = consuming(jobs.queue, () => ({ outcome: 'done' }));
    const seen = await consumer.first(Object.keys(SKEWS).length + 1);
    await consumer.stop();
    assert.deepEqual(seen.map(({ name }) => name).toSorted(), ['r-0', 'r-1', 'r-2', 'r-3', 'r-right']);
    for (const { name, atMs, attempt, acceptedAt } of seen) {
      assert.ok(atMs >= publishedAtMs + 1_500, `${name} came before its time`);
      assert.equal(attempt, 1);
      assert.ok(acceptedAt.getTime() <= atMs, `${name} is as old as it is`);
    }
    assert.deepEqual(jobs.troubles, []);
  },
);

test('the same, pushed: sent back until its wait is over, and then worked on', { timeout: 240_000 }, async (t) => {
  const { queue } = await openJobs(t);
  const waiting = waitingFor(30 * SECOND, 3 * DAY);
  const pushed = (publishedMs: number): Envelope => {
    const offMs = publishedMs + 3 * DAY;
    return lying(copyOf(waiting, { attempt: 1, waiting: { waitMs: 30 * SECOND, fromMs: offMs } }), publishedMs);
  };
  const refuse = (): never => assert.fail('it was worked on');
  await assert.rejects(queue.take(pushed(Date.now()), refuse, NEVER), { code: 'busy' });
  await queue.take(pushed(Date.now() - 31 * SECOND), refuse, NEVER);
  const consumer = consuming(queue, () => ({ outcome: 'done' }));
  const [one] = await consumer.first(1);
  await consumer.stop();
  assert.equal(one?.name, 'r-1');
});

/** What is remembered of messages that wait, and how much of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STUCK_AT, WaitingList, type Wait } from '../../src/delivery/waiting-list.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function waitOf(change: Partial<Wait> = {}): Wait {
  const sinceMs = Date.now() - HOUR;
  return {
    code: 'not-ready',
    sort: 'surroundings',
    reason: 'Not yet.',
    sinceMs,
    nextMs: Date.now() + 5_000,
    ...change,
  };
}

test('fifty deliveries are an alarm only within one hour, and once in each', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 0, 1) });
  const list = new WaitingList();
  const deliver = (times: number, everyMs: number): number => {
    let alarms = 0;
    for (let count = 0; count < times; count += 1) {
      t.mock.timers.tick(everyMs);
      if (list.delivered('a')) alarms += 1;
    }
    return alarms;
  };
  assert.equal(deliver(1_000, 80_000), 0, 'by the schedule');
  assert.ok(deliver(4 * 3_600, 1_000) >= 3, 'each hour again');
  list.forget('a');
  assert.equal(deliver(STUCK_AT - 1, 1_000), 0, 'what ended is counted anew');
  assert.equal(list.delivered('b'), false, 'each message by itself');
});

test('a reason is news until the archive has it, and again when it changes', () => {
  const list = new WaitingList();
  assert.equal(list.postponed('a', waitOf()), true);
  assert.equal(list.postponed('a', waitOf()), true);
  list.recorded('a', waitOf());
  assert.equal(list.postponed('a', waitOf()), false);
  assert.equal(list.postponed('a', waitOf({ reason: 'Not yet (UPLOADING).' })), true);
  assert.equal(list.postponed('a', waitOf({ code: 'forbidden', sort: 'operator' })), true);
  assert.equal(list.postponed('a', waitOf({ nextMs: Date.now() + 2 * HOUR })), true);
});

test('what another process has taken over is counted there, not here', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 0, 1) });
  const list = new WaitingList();
  list.delivered('running');
  list.postponed('a', waitOf());
  list.postponed('b', waitOf({ sinceMs: 5 }));
  assert.deepEqual(list.totals(), [{ code: 'not-ready', sort: 'surroundings', count: 2, oldestSinceMs: 5 }]);
  t.mock.timers.tick(2 * HOUR);
  assert.deepEqual(list.totals(), []);
});

test('however many messages wait, only so many are remembered', () => {
  const list = new WaitingList();
  for (let count = 0; count < 25_000; count += 1) list.postponed(String(count), waitOf());
  assert.equal(list.totals()[0]?.count, 10_000);
  assert.equal(list.postponed('24999', waitOf()), true);
});

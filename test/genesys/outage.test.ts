/** When Genesys is believed to be out of order, and who asks then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure, type FailureCode } from '../../src/failure.ts';
import { Outage } from '../../src/genesys/outage.ts';

const DOWN = new Failure('upstream-unavailable', 'Genesys has a fault.');

function begin(questions: number): Outage {
  const outage = new Outage();
  for (let count = 0; count < questions; count += 1) outage.failed(`/${String(count)}`, DOWN, 0);
  return outage;
}

/** Milliseconds that a call at `now` is told to wait; 0 where it may ask. */
function waitAt(outage: Outage, now: number): number {
  try {
    outage.check(now);
    return 0;
  } catch (error) {
    assert.ok(error instanceof Failure && error.code === 'upstream-unavailable');
    return error.afterMs ?? assert.fail('it does not say when');
  }
}

test('one question that is never answered is its own fault, however often it is asked', () => {
  const outage = new Outage();
  for (let count = 0; count < 100; count += 1) outage.failed('/poison', DOWN, count);
  assert.equal(waitAt(outage, 100), 0);
});

test('five different questions without an answer are an outage: nobody asks for a while (SR-11)', () => {
  assert.equal(waitAt(begin(4), 1), 0);
  assert.equal(waitAt(begin(5), 1), 999);
});

test('in an outage one asks at a time, ever less often, up to once a minute (SR-11)', () => {
  const outage = begin(5);
  const asked: number[] = [];
  for (let now = 0; now < 3_600_000; now += 500) {
    if (waitAt(outage, now) > 0) continue;
    asked.push(now);
    assert.ok(waitAt(outage, now + 1) > 0, 'the others wait for its word');
    outage.failed('/probe', DOWN, now + 100);
  }
  assert.ok(asked.length <= 66, `${String(asked.length)} calls in an hour`);
  const gaps = asked.slice(1).map((at, index) => at - (asked[index] ?? 0));
  assert.deepEqual(
    gaps.slice(0, 6).map((gap) => Math.floor(gap / 1000)),
    [2, 4, 8, 16, 32, 60],
  );
});

test('any answer ends it for everybody at once, a refusal too', () => {
  for (const code of ['not-found', 'forbidden', 'upstream-error', 'gone'] as const satisfies FailureCode[]) {
    const outage = begin(5);
    outage.failed('/0', new Failure(code, 'No.'), 10);
    assert.equal(waitAt(outage, 11), 0, code);
  }
  const outage = begin(5);
  outage.answered();
  assert.equal(waitAt(outage, 1), 0);
});

test('a call that was stopped, or had no turn, says nothing of Genesys', () => {
  const outage = begin(4);
  for (const code of ['stopped', 'rate-limited', 'busy'] as const) outage.failed('/5', new Failure(code, 'No.'), 0);
  assert.equal(waitAt(outage, 1), 0);
  outage.failed('/6', DOWN, 0);
  assert.ok(waitAt(outage, 1) > 0);
});

test('invariant 7: what Genesys asks for in its outage is not shortened', () => {
  const outage = begin(4);
  outage.failed('/4', new Failure('upstream-unavailable', 'Later.', { afterMs: 90_000 }), 0);
  assert.equal(waitAt(outage, 1_000), 89_000);
});

for (const afterMs of [15 * 60_000 + 1, 31_536_000_000, 1e15])
  test(`an outage that is to last for ${String(afterMs)} ms is believed 15 min, then one finds out (A7)`, () => {
    const outage = begin(4);
    outage.failed('/4', new Failure('upstream-unavailable', 'Much later.', { afterMs }), 0);
    assert.equal(waitAt(outage, 1_000), 15 * 60_000 - 1_000);
    assert.equal(waitAt(outage, 15 * 60_000), 0);
  });

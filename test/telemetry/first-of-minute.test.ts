import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FirstOfMinute } from '../../src/telemetry/first-of-minute.ts';

test('the first of a minute is taken, with how many were passed over since the one before (B11)', () => {
  const start = 10_000_000;
  let now = start;
  const seldom = new FirstOfMinute(() => now);
  assert.equal(seldom.take('a'), 0);
  for (; now < start + 59_000; now += 1_000) assert.equal(seldom.take('a'), undefined);
  assert.equal(seldom.take('b'), 0, 'each reason has its own minute');
  now = start + 60_000;
  assert.equal(seldom.take('a'), 59);
  now = start + 600_000;
  assert.equal(seldom.take('a'), 0);
});

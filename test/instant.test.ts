import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from './support/generated.ts';
import { clockSkewMs, dayAt, daysBetween, isDay, isInstant } from '../src/instant.ts';

test('days exist or are none', () => {
  for (const day of ['2026-08-05', '2024-02-29', '0000-01-01', '9999-12-31']) assert.ok(isDay(day), day);
  for (const day of ['2026-02-30', '2025-02-29', '2026-8-5', '2026-13-01', '+10000-01-01', '20260805', ''])
    assert.ok(!isDay(day), day);
});

test('moments are RFC 3339 of years that a manifest can hold (B10)', () => {
  for (const text of [
    '2026-08-05T12:00:00Z',
    '2026-08-05T12:00:00.123456789Z',
    '2026-08-05T12:00Z',
    '2026-08-05T12:00:00+02:00',
  ])
    assert.ok(isInstant(text), text);
  for (const text of [
    '2026-08-05',
    '2026-08-05T25:00:00Z',
    '2026-02-30T00:00:00Z',
    '+012026-08-05T12:00:00Z',
    '-000001-08-05T12:00:00Z',
    '9999-12-31T23:59:59-01:00',
    'Wed, 05 Aug 2026 09:12:33 GMT',
    '1754400000',
  ])
    assert.ok(!isInstant(text), text);
});

test('every moment that prints is one', () => {
  fc.assert(
    fc.property(fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true }), (date) =>
      isInstant(date.toISOString()),
    ),
  );
});

test('days are counted over months, leap days and changes of the clock, both ends included', () => {
  assert.deepEqual(daysBetween('2028-02-28', '2028-03-01'), ['2028-02-28', '2028-02-29', '2028-03-01']);
  assert.equal(daysBetween('2026-01-01', '2026-12-31').length, 365);
  assert.deepEqual(daysBetween('2026-11-26', '2026-11-26'), ['2026-11-26']);
  assert.deepEqual(daysBetween('2026-11-27', '2026-11-26'), []);
  assert.equal(dayAt(Date.parse('2026-11-26T23:59:59.999Z')), '2026-11-26');
});

test('a clock agrees that told its time while the answer was under way, however long that took', () => {
  const skew = (dateMs: number, askedMs: number, toldMs: number): number => clockSkewMs(dateMs, { askedMs, toldMs });
  assert.deepEqual(
    [skew(10_000, 10_400, 40_000), skew(39_000, 10_400, 40_000), skew(40_000, 10_400, 40_000)],
    [0, 0, 0],
  );
  assert.deepEqual([skew(50_000, 10_000, 40_000), skew(2_000, 10_000, 40_000)], [10_000, -7_000]);
});

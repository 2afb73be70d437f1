/** When something is tried again, over every age. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure, type FailureCode, type FailureOptions } from '../../src/failure.ts';
import {
  type HowMuchIsListed,
  LATE_MS,
  MAX_AGE_MS,
  MAX_ATTEMPTS,
  nextLookAfter,
  nextTryOf,
} from '../../src/delivery/schedule.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** The ages at which something that never mends is tried, until it is given up or a week is over. */
function triesOf(code: FailureCode, options: FailureOptions = {}): readonly number[] {
  const ages: number[] = [];
  const failure = new Failure(code, 'It is still so.', options);
  let attempt = 1;
  for (let ageMs = 0; ageMs < MAX_AGE_MS;) {
    ages.push(ageMs);
    const next = nextTryOf(failure, { attempt, ageMs });
    if (next === undefined) break;
    if (next.outcome === 'again') attempt += 1;
    ageMs += next.afterMs;
  }
  return ages;
}

test('whatever waits gets rarer with its age, everywhere (C12)', (t) => {
  const most: Readonly<Partial<Record<FailureCode, number>>> = {
    'not-ready': 230,
    'upstream-unavailable': 230,
    'archive-unavailable': 230,
    forbidden: 30,
    'needs-restore': 30,
    misconfigured: 30,
  };
  t.mock.method(Math, 'random', () => 0.5);
  for (const [code, count] of Object.entries(most)) {
    // A guess of 5 s, as Genesys makes them, is no reason to ask every 5 s for a week.
    for (const options of [{}, { afterMs: 5_000 }]) {
      const ages = triesOf(code as FailureCode, options);
      assert.ok(ages.length <= count, `${code}: ${String(ages.length)} tries`);
      const gaps = ages.slice(1).map((ageMs, index) => ageMs - (ages[index] ?? 0));
      assert.ok(gaps.every((gap, index) => index === 0 || gap >= (gaps[index - 1] ?? 0) - 1));
    }
  }
});

test('whoever stands in line comes back within minutes of his time, however long he has stood', () => {
  for (const code of ['rate-limited', 'busy'] as const) {
    const next = nextTryOf(new Failure(code, 'Not now.', { afterMs: 2_000 }), { attempt: 1, ageMs: 50 * HOUR });
    assert.deepEqual(next, { outcome: 'wait', afterMs: 5 * MINUTE });
  }
});

test('a new event brings forward what waits by our own guess, and never what somebody else named (invariant 7)', () => {
  for (const code of ['forbidden', 'upstream-unavailable', 'internal'] as const) {
    const guessed = nextTryOf(new Failure(code, 'No.'), { attempt: 1, ageMs: HOUR });
    const named = nextTryOf(new Failure(code, 'No.', { afterMs: 2 * HOUR }), { attempt: 1, ageMs: HOUR });
    assert.deepEqual([guessed?.soonestMs, named?.soonestMs], [1_000, undefined], code);
  }
});

test('a Retry-After of years is believed for 30 days: one bad hour loses nothing (A7)', () => {
  const month = 30 * 24 * HOUR;
  for (const afterMs of [month - 1, month, month + 1, 31_536_000_000, 1e15])
    for (const failure of [
      new Failure('upstream-unavailable', 'In a year.', { afterMs }),
      new Failure('rate-limited', 'In a year.', { afterMs }),
      new Failure('misconfigured', 'In a year.', { afterMs }),
      new Failure('internal', 'In a year.', { afterMs }),
    ])
      assert.equal(nextTryOf(failure, { attempt: 1, ageMs: 0 })?.afterMs, Math.min(afterMs, month), failure.code);
});

test('what nobody can tell apart is tried eight times, over hours', () => {
  for (const code of ['internal', 'encoder-failed'] as const) {
    const ages = triesOf(code);
    assert.equal(ages.length, MAX_ATTEMPTS);
    const [, second = 0, third = 0] = ages;
    assert.ok(second <= 10_000 && third <= MINUTE && (ages.at(-1) ?? 0) > 4 * HOUR, ages.join(' '));
  }
});

/** The ages at which a conversation is looked at of which something is listed from `listedFromMs` on; each look may be late. */
function looksAt(listedFromMs: number, lateMs = 0, listed: HowMuchIsListed = 'something'): readonly number[] {
  const ages: number[] = [];
  for (let ageMs: number | undefined = 0; ageMs !== undefined;) {
    ages.push(ageMs);
    const nextMs = nextLookAfter(ageMs, ageMs < listedFromMs ? 'nothing' : listed);
    ageMs = nextMs === undefined ? undefined : ageMs + nextMs + lateMs;
  }
  return ages;
}

test('a conversation with nothing is looked at six times in three days (C1)', () => {
  assert.deepEqual(
    looksAt(Number.POSITIVE_INFINITY).map((ageMs) => ageMs / MINUTE),
    [0, 3, 15, 120, 960, 4320],
  );
});

test('a conversation with something is looked at four times (C1)', () => {
  for (const [listedFromMs, minutes] of [
    [0, [0, 30, 240, 4320]],
    [MINUTE, [0, 3, 240, 4320]],
    [10 * MINUTE, [0, 3, 15, 4320]],
  ] as const)
    assert.deepEqual(
      looksAt(listedFromMs).map((ageMs) => ageMs / MINUTE),
      minutes,
    );
});

test('a conversation whose list was complete by its own words is looked at twice more, hours and days later', () => {
  for (const [listedFromMs, minutes] of [
    [0, [0, 240, 4320]],
    [MINUTE, [0, 3, 240, 4320]],
    [10 * MINUTE, [0, 3, 15, 4320]],
    [20 * MINUTE, [0, 3, 15, 120, 4320]],
  ] as const)
    assert.deepEqual(
      looksAt(listedFromMs, 0, 'all').map((ageMs) => ageMs / MINUTE),
      minutes,
    );
});

test('whenever Genesys lists something within three days, it is found; never by more than six looks (C1)', () => {
  for (let listedFromMs = 0; listedFromMs <= LATE_MS; listedFromMs += 7 * MINUTE) {
    for (const lateMs of [0, 1, 30_000, 20 * MINUTE, 5 * HOUR]) {
      const ages = looksAt(listedFromMs, lateMs);
      const about = `listed after ${String(listedFromMs / MINUTE)} min, looks late by ${String(lateMs)} ms: ${ages.join(' ')}`;
      assert.ok((ages.at(-1) ?? 0) >= LATE_MS - 1_000, about);
      assert.ok(ages.length <= 6, about);
      if (listedFromMs <= 15 * MINUTE && lateMs === 0) assert.ok(ages.length <= 4, about);
    }
  }
});

test('a timer that ends a moment early is no look more (C1)', () => {
  for (const early of [1, 15, 900])
    for (const atMs of [3 * MINUTE, 15 * MINUTE, 2 * HOUR, 16 * HOUR, LATE_MS])
      assert.ok((nextLookAfter(atMs - early, 'nothing') ?? Infinity) > 10 * MINUTE);
});

test('a clock that was set back costs neither looks nor tries', () => {
  assert.equal(nextLookAfter(-HOUR, 'nothing'), HOUR + 3 * MINUTE);
  const next = nextTryOf(new Failure('not-ready', 'Not yet.'), { attempt: 1, ageMs: -HOUR });
  assert.ok(next !== undefined && next.afterMs >= 3_750 && next.afterMs <= 6_250);
});

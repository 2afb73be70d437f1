import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fc } from './support/generated.ts';
import { Failure } from '../src/failure.ts';
import {
  allOver,
  backoffMs,
  Deadline,
  inTime,
  parseRetryAfter,
  persist,
  reasonOf,
  Scope,
  sleep,
  unlessAborted,
  untilAborted,
} from '../src/waiting.ts';

const NOW = new Date('2026-08-05T09:12:03.500Z');

test('reads delay-seconds and an IMF-fixdate as milliseconds (SR-07) (SR-08)', () => {
  assert.equal(parseRetryAfter('13', NOW), 13_000);
  assert.equal(parseRetryAfter(' 13 ', NOW), 13_000);
  assert.equal(parseRetryAfter('Wed, 05 Aug 2026 09:12:33 GMT', NOW), 29_500);
});

test('waits at least a second where told to wait no time, or until the past (SR-08)', () => {
  assert.equal(parseRetryAfter('0', NOW), 1_000);
  assert.equal(parseRetryAfter('Wed, 05 Aug 2026 09:12:03 GMT', NOW), 1_000);
  assert.equal(parseRetryAfter('Sun, 06 Nov 1994 08:49:37 GMT', NOW), 1_000);
});

test('invariant 7: an enormous Retry-After is returned whole, never shortened (SR-09)', () => {
  assert.equal(parseRetryAfter('999999999', NOW), 999_999_999_000);
  assert.equal(parseRetryAfter('2147484', NOW), 2_147_484_000);
  assert.equal(parseRetryAfter('Thu, 05 Aug 2027 09:12:03 GMT', NOW), 365 * 86_400_000 - 500);
});

const NOT_SECONDS = ['', ' ', 'abc', '-5', '+5', '5.5', '1e9', '0x10', '1_000', '5s', '5, 6', '9999999999', 'Infinity'];
const NOT_FIXDATES = [
  '2026-08-05T09:12:33.000Z',
  'Wed, 05 Aug 2026 09:12:33 +0200',
  'Tue, 05 Aug 2026 09:12:33 GMT',
  'Sunday, 06-Nov-94 08:49:37 GMT',
  'Sun Nov  6 08:49:37 1994',
  'wed, 05 aug 2026 09:12:33 gmt',
];

test('takes nothing else for a Retry-After (SR-09)', () => {
  for (const value of [...NOT_SECONDS, ...NOT_FIXDATES]) assert.equal(parseRetryAfter(value, NOW), undefined, value);
  assert.equal(parseRetryAfter(undefined, NOW), undefined);
  assert.equal(parseRetryAfter([], NOW), undefined);
});

test('of two headers the longer valid one counts (SR-09)', () => {
  assert.equal(parseRetryAfter(['5', '60'], NOW), 60_000);
  assert.equal(parseRetryAfter(['60', 'abc', '5'], NOW), 60_000);
  assert.equal(parseRetryAfter(['-1', 'abc'], NOW), undefined);
});

test('whatever the header says, the wait is absent or at least a second', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.integer().map(String), fc.date({ noInvalidDate: true }).map(String)),
      (value) => {
        const waitMs = parseRetryAfter(value, NOW);
        return waitMs === undefined || (Number.isFinite(waitMs) && waitMs >= 1_000);
      },
    ),
  );
});

test('backs off with full jitter below a doubling, capped ceiling (SR-10)', () => {
  for (const [attempt, ceiling] of [
    [1, 100],
    [2, 200],
    [3, 400],
    [4, 800],
    [50, 800],
    [2_000, 800],
  ] as const) {
    const drawn = Array.from({ length: 200 }, () => backoffMs(attempt, { baseMs: 100, capMs: 800 }));
    assert.ok(Math.max(...drawn) <= ceiling && Math.max(...drawn) > ceiling * 0.8, `attempt ${String(attempt)}`);
    assert.ok(Math.min(...drawn) < ceiling * 0.2);
  }
});

test('a sleep longer than one timer holds is no hot loop, and ends when it is told to stop (SR-09)', async (t) => {
  const warnings: string[] = [];
  const note = (warning: Error): number => warnings.push(warning.name);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  const stop = new AbortController();
  t.after(() => stop.abort());
  const asleep = sleep(2 ** 40, stop.signal).then(() => 'woke');
  const first = await Promise.race([asleep, setTimeout(50, 'asleep')]);
  assert.equal(first, 'asleep');
  assert.deepEqual(warnings, [], 'Node warns of timers it fires at once');
  stop.abort();
  await assert.rejects(asleep, { name: 'AbortError' });
});

const LIMITED = (afterMs: number) => new Failure('rate-limited', 'Slow down.', { afterMs });
const never = new AbortController().signal;

test('invariant 7: gives the work back, whole wait included, when Retry-After exceeds its patience', async () => {
  let tries = 0;
  const attempt = async () => {
    tries += 1;
    throw LIMITED(999_999_999_000);
  };
  await assert.rejects(persist(attempt, { patienceMs: 20_000, tries: 5, waitMs: () => 1 }, never), {
    code: 'rate-limited',
    afterMs: 999_999_999_000,
  });
  assert.equal(tries, 1);
});

test('invariant 7: waits no less than it was told when it waits itself', async () => {
  const times: number[] = [];
  const attempt = async () => {
    times.push(performance.now());
    if (times.length < 3) throw LIMITED(60);
    return 'done';
  };
  assert.equal(await persist(attempt, { patienceMs: 20_000, tries: 5, waitMs: () => 1 }, never), 'done');
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  assert.ok(gaps.length === 2 && gaps.every((gap) => gap >= 60), String(gaps));
});

/** An attempt that always fails, and how often it was made. */
function failing(code: 'upstream-unavailable' | 'forbidden') {
  let tries = 0;
  const attempt = async () => {
    tries += 1;
    throw new Failure(code, 'No.');
  };
  return { attempt, tries: () => tries };
}

test('tries a passing failure a bounded number of times, a lasting one once', async () => {
  const patience = { patienceMs: 20_000, tries: 4, waitMs: () => 1 };
  const passing = failing('upstream-unavailable');
  await assert.rejects(persist(passing.attempt, patience, never), { code: 'upstream-unavailable' });
  assert.equal(passing.tries(), 4);
  const lasting = failing('forbidden');
  await assert.rejects(persist(lasting.attempt, patience, never), { code: 'forbidden' });
  assert.equal(lasting.tries(), 1);
});

test('an attempt is told how much patience is left', async () => {
  const left: number[] = [];
  const attempt = async (leftMs: number) => {
    left.push(leftMs);
    if (left.length < 3) throw LIMITED(40);
  };
  await persist(attempt, { patienceMs: 20_000, tries: 5, waitMs: () => 1 }, never);
  const [first = NaN, second = NaN, third = NaN] = left;
  assert.ok(first <= 20_000 && second <= first - 40 && third <= second - 40 && third >= 0, String(left));
});

test('stops waiting when the signal aborts', async () => {
  const stop = new AbortController();
  const attempt = async () => {
    queueMicrotask(() => stop.abort());
    throw LIMITED(10_000);
  };
  await assert.rejects(persist(attempt, { patienceMs: 20_000, tries: 5, waitMs: () => 1 }, stop.signal), {
    name: 'AbortError',
  });
});

test('work is left when its signal aborts, and not before', async () => {
  const stop = new AbortController();
  const work = Promise.withResolvers<string>();
  const left = unlessAborted(work.promise, stop.signal);
  const stayed = unlessAborted(work.promise, new AbortController().signal);
  stop.abort(new Failure('stopped', 'Enough.'));
  await assert.rejects(left, { message: 'Enough.' });
  work.resolve('done');
  assert.equal(await stayed, 'done');
  await assert.rejects(unlessAborted(new Promise(() => undefined), stop.signal), { message: 'Enough.' });
});

test('a signal hears no more of work that is over, however it ended', async () => {
  const { signal } = new AbortController();
  await unlessAborted(Promise.resolve(), signal);
  await assert.rejects(unlessAborted(Promise.reject(new Error('No.')), signal));
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('work that comes too late is left, told why, and its own end is nobody’s concern', async () => {
  const late = new Failure('queue-unavailable', 'Too late.');
  let told: unknown;
  const hanging = inTime(
    (signal) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          told = signal.reason;
          reject(new Error('nobody sees this'));
        }),
      ),
    5,
    () => late,
  );
  await assert.rejects(hanging, { message: 'Too late.' });
  assert.equal(told, late);
  assert.equal(
    await inTime(
      async () => 7,
      60_000,
      () => late,
    ),
    7,
  );
});

test('the reason of a signal is a Failure, its own where it has one', async () => {
  const own = new Failure('misconfigured', 'No.');
  assert.equal(reasonOf(AbortSignal.abort(own)), own);
  const other = reasonOf(AbortSignal.abort(new Error('x')), 'Left.');
  assert.deepEqual([other.code, other.message], ['stopped', 'Left.']);
  await untilAborted(AbortSignal.abort());
});

test('a scope ends with the first of its signals or when it is told to, and hears of none once it is over', () => {
  const [one, two] = [new AbortController(), new AbortController()];
  using first = new Scope(one.signal, two.signal);
  using told = new Scope(one.signal, two.signal);
  using over = new Scope(one.signal, two.signal);
  told.abort('told');
  over[Symbol.dispose]();
  assert.equal(getEventListeners(one.signal, 'abort').length, 1);
  two.abort('two');
  one.abort('one');
  assert.deepEqual([first.signal.reason, told.signal.reason, over.signal.aborted], ['two', 'told', false]);
  assert.equal(new Scope(one.signal).signal.reason, 'one');
  for (const { signal } of [one, two]) assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a deadline also ends with the signal that it was given, or with the reason it was told to have', async () => {
  const stop = new AbortController();
  using stopped = new Deadline(30_000, { signal: stop.signal });
  stop.abort('stopped');
  assert.equal(stopped.signal.reason, 'stopped');
  using late = new Deadline(1, { signal: new AbortController().signal, late: () => new Error('late') });
  await untilAborted(late.signal);
  assert.throws(() => late.signal.throwIfAborted(), /^Error: late$/);
  using already = new Deadline(30_000, { signal: stop.signal });
  assert.equal(already.signal.reason, 'stopped');
});

test('a deadline ends what hears of it, and leaves no timer behind what was over in time', async () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  for (let index = 0; index < 100; index += 1) {
    using inTimeFor = new Deadline(30_000);
    assert.equal(inTimeFor.signal.aborted, false);
  }
  assert.equal(timers(), before);
  using late = new Deadline(1);
  await untilAborted(late.signal);
  assert.throws(() => late.signal.throwIfAborted(), { name: 'TimeoutError' });
});

test('works side by side end with the last of them, and fail as the first in order', async () => {
  const ended: string[] = [];
  const late = Promise.withResolvers<undefined>();
  const works = [
    late.promise.then(() => ended.push('late')),
    late.promise.then(() => Promise.reject(new Error('first'))),
    Promise.reject(new Error('second')),
  ];
  const over = allOver(works).catch((error: unknown) => ended.push(String(error)));
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  assert.deepEqual(ended, []);
  late.resolve(undefined);
  await over;
  assert.deepEqual(ended, ['late', 'Error: first']);
  await allOver([]);
});

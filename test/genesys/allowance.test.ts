import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Allowance } from '../../src/genesys/allowance.ts';

const MINUTE = 60_000;

function headers(count: number, allowed: number, resetS: number): Record<string, string> {
  return {
    'inin-ratelimit-count': String(count),
    'inin-ratelimit-allowed': String(allowed),
    'inin-ratelimit-reset': String(resetS),
  };
}

/** An allowance whose first call was answered at 0 so. */
function answered(count: number, allowed: number, resetS: number, share = 1): Allowance {
  const allowance = new Allowance(share);
  const turn = allowance.book('worker', 0);
  assert.equal(allowance.leftMs(turn, 0), 0);
  allowance.settle(turn, headers(count, allowed, resetS), 0);
  return allowance;
}

test('spreads the last tenth of the allowance over the rest of the window', () => {
  const allowance = answered(90, 100, 30);
  const waits = Array.from({ length: 11 }, () => Math.round(allowance.book('worker', 0).dueAt));
  assert.deepEqual(
    waits,
    Array.from({ length: 11 }, (_, index) => index * 3_000),
    'the eleventh has no room in it',
  );
});

test('what no window has room for is due in the one after it', () => {
  const allowance = answered(10, 10, 30);
  for (let i = 0; i < 10; i++) assert.equal(allowance.book('worker', 0).dueAt, 30_000);
  for (let i = 0; i < 10; i++) assert.equal(allowance.book('worker', 0).dueAt, 60_000);
  assert.equal(allowance.delayMs('worker', 0), 90_000);
});

test('a window that ended is followed by one of the same size, used by what is still out', () => {
  const allowance = answered(10, 10, 30);
  for (let i = 0; i < 4; i++) allowance.book('worker', 0);
  const waits = Array.from({ length: 8 }, () => allowance.book('worker', 30_000).dueAt - 30_000);
  assert.deepEqual(waits.slice(0, 5), [0, 0, 0, 0, 0]);
  assert.ok((waits[6] ?? 0) > 0 && waits.at(-1) === 30_000, String(waits));
});

test('the last third of a window is kept for archiving (A5)', () => {
  const allowance = answered(199, 300, 40);
  assert.equal(allowance.delayMs('listener', 0), 0);
  allowance.book('listener', 0);
  assert.equal(allowance.delayMs('listener', 0), 40_000);
  assert.equal(allowance.delayMs('worker', 0), 0);
  assert.equal(answered(250, 300, 40).delayMs('listener', 0), 40_000);
});

test('a share is of the window as Genesys counts it, whoever used it', () => {
  assert.equal(answered(149, 300, 20, 0.5).delayMs('worker', 0), 0);
  assert.equal(answered(150, 300, 20, 0.5).delayMs('worker', 0), 20_000);
  assert.equal(answered(99, 300, 20, 0.5).delayMs('listener', 0), 0);
  assert.equal(answered(100, 300, 20, 0.5).delayMs('listener', 0), 20_000);
});

test('a process with a share that is told to wait does with half of it for ten minutes', () => {
  const allowance = answered(80, 300, 3_600, 0.5);
  allowance.pause(1_000, 0);
  assert.equal(allowance.delayMs('worker', 2_000), 3_598_000);
  assert.equal(allowance.delayMs('worker', 10 * MINUTE + 1), 0);
  const whole = answered(80, 300, 3_600);
  whole.pause(1_000, 0);
  assert.equal(whole.delayMs('worker', 2_000), 0);
});

test('invariant 7: a pause is waited out, and the longest of several counts (F2)', () => {
  const allowance = answered(1, 300, 60);
  const turn = allowance.book('worker', 0);
  allowance.pause(2_000, 0);
  assert.equal(allowance.leftMs(turn, 0), 2_000);
  allowance.pause(5_000, 1_000);
  allowance.pause(1_000, 1_500);
  assert.equal(allowance.leftMs(turn, 2_000), 4_000);
  assert.equal(allowance.leftMs(turn, 6_000), 0);
});

const YEAR_MS = 31_536_000_000;

test('a pause of a year is believed 15 minutes at a time; then one call finds out, and the others wait for it (A7)', () => {
  const allowance = answered(1, 300, 60);
  allowance.pause(YEAR_MS, 0);
  const [first, second] = [allowance.book('worker', 0), allowance.book('worker', 0)];
  assert.equal(allowance.leftMs(first, 0), 15 * MINUTE);
  const later = 15 * MINUTE;
  assert.equal(allowance.leftMs(first, later), 0);
  assert.equal(allowance.leftMs(first, later), 0, 'it is still the one');
  assert.equal(allowance.leftMs(second, later), 30_000);
  assert.equal(allowance.delayMs('worker', later), 30_000);
  allowance.settle(first, headers(1, 300, 60), later + 50);
  allowance.pause(YEAR_MS, later + 50);
  assert.equal(allowance.leftMs(second, later + 60), 15 * MINUTE - 10, 'refused again: another quarter of an hour');
  const again = 2 * later + 50;
  assert.equal(allowance.leftMs(second, again), 0);
  allowance.settle(second, headers(1, 300, 60), again + 50);
  assert.equal(allowance.delayMs('worker', again + 50), 0, 'answered: all may go on');
});

test('a trial that got no answer is followed by another (A7)', () => {
  const allowance = answered(1, 300, 60);
  allowance.pause(YEAR_MS, 0);
  const [first, second] = [allowance.book('worker', 0), allowance.book('worker', 0)];
  const later = 15 * MINUTE;
  assert.deepEqual([allowance.leftMs(first, later), allowance.leftMs(second, later)], [0, 30_000]);
  allowance.settle(first, undefined, later + 10);
  assert.equal(allowance.leftMs(second, later + 10), 0);
  assert.equal(allowance.delayMs('worker', later + 10), 30_000);
});

test('a pause of up to 15 minutes ends for all at once', () => {
  const allowance = answered(1, 300, 3_600);
  allowance.pause(15 * MINUTE, 0);
  const turns = [allowance.book('worker', 0), allowance.book('worker', 0)];
  assert.deepEqual(
    turns.map((turn) => allowance.leftMs(turn, 15 * MINUTE)),
    [0, 0],
  );
});

test('what was called in a window is told once Genesys told of it, and begins anew with the next one', () => {
  const allowance = new Allowance();
  assert.equal(allowance.spent(0), undefined);
  const turn = allowance.book('worker', 0);
  allowance.leftMs(turn, 0);
  const headers = { 'inin-ratelimit-allowed': '300', 'inin-ratelimit-count': '29', 'inin-ratelimit-reset': '60' };
  allowance.settle(turn, headers, 0);
  assert.deepEqual(allowance.spent(1), { made: 29, allowed: 300 });
  allowance.book('worker', 2);
  assert.deepEqual(allowance.spent(3), { made: 30, allowed: 300 });
  assert.deepEqual(allowance.spent(61_000), { made: 1, allowed: 300 }, 'a new window, but for what is still out');
});

test('a window ends when the earliest of its answers says: each tells whole seconds, rounded up', () => {
  const allowance = new Allowance(0.5);
  for (const [at, resetS] of [
    [0, 30],
    [900, 30],
    [1_010, 29],
    [1_700, 29],
  ] as const) {
    const turn = allowance.book('worker', at);
    allowance.leftMs(turn, at);
    allowance.settle(turn, headers(150, 300, resetS), at);
  }
  assert.equal(allowance.delayMs('worker', 2_000), 28_000);
});

test('a new token has a window of its own: what the old one used is not counted there', () => {
  const allowance = answered(149, 300, 20, 0.5);
  const turn = allowance.book('worker', 5_000);
  allowance.leftMs(turn, 5_000);
  allowance.settle(turn, headers(1, 300, 60), 5_050);
  assert.deepEqual(allowance.spent(5_100), { made: 1, allowed: 300 });
  assert.equal(allowance.delayMs('worker', 5_100), 0);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everyNight, nextNight } from '../../src/services/nights.ts';

/** Time that passes only while somebody waits for it. */
class Sleeper {
  ms: number;
  readonly #stop = new AbortController();
  readonly nights: string[] = [];

  constructor(start: Date) {
    this.ms = start.getTime();
  }

  /** Runs until so many nights were worked; `workMs` is how long each takes. */
  async run(count: number, lastAt: Date | undefined, workMs = 60_000): Promise<readonly Date[]> {
    const worked: Date[] = [];
    await everyNight(
      {
        now: () => new Date(this.ms),
        sleep: async (ms, signal) => {
          signal.throwIfAborted();
          this.ms += ms;
        },
        lastAt: async () => lastAt,
        work: async () => {
          worked.push(new Date(this.ms));
          this.ms += workMs;
          if (worked.length === count) this.#stop.abort();
        },
      },
      this.#stop.signal,
    );
    return worked;
  }
}

const NOON = new Date(2026, 10, 26, 12, 0);

function isNight(date: Date): boolean {
  return date.getHours() === 3 && date.getMinutes() < 46;
}

test('the work is done once each night, whatever it takes', async () => {
  const worked = await new Sleeper(NOON).run(4, NOON, 5 * 3_600_000);
  assert.deepEqual(
    worked.map((date) => date.getDate()),
    [27, 28, 29, 30],
  );
  assert.ok(worked.every(isNight), worked.join());
});

test('work that takes longer than a day leaves out nights, and is never done twice at once', async () => {
  const worked = await new Sleeper(NOON).run(3, NOON, 30 * 3_600_000);
  assert.deepEqual(
    worked.map((date) => date.getDate()),
    [27, 29, 31].map((day) => (day === 31 ? 1 : day)),
  );
});

test('a start after a night that nobody worked does it a quarter of an hour later, and then each night', async () => {
  for (const lastAt of [undefined, new Date(2026, 10, 24, 3)]) {
    const [first, second] = await new Sleeper(NOON).run(2, lastAt);
    assert.equal(first?.getTime(), NOON.getTime() + 15 * 60_000);
    assert.ok(second !== undefined && isNight(second) && second.getDate() === 27);
  }
});

test('a service that is stopped at once ends its waiting at once', async () => {
  const stopped = AbortSignal.abort(new Error('stopping'));
  await everyNight({ work: () => assert.fail(), lastAt: () => assert.fail() }, stopped);
});

test('a clock that is set back or forward leaves out no night, and works none twice', async () => {
  const HOUR_MS = 3_600_000;
  for (const jumpMs of [-36 * 365 * 24, -400 * 24, -27, -3, -0.2, 0.2, 3, 27, 400 * 24].map(
    (hours) => hours * HOUR_MS,
  )) {
    let [ms, passedMs] = [NOON.getTime(), 0];
    const worked: number[] = [];
    const stop = new AbortController();
    await everyNight(
      {
        now: () => new Date(ms),
        sleep: async (waitMs, signal) => {
          signal.throwIfAborted();
          const before = passedMs;
          passedMs += waitMs;
          ms += waitMs;
          // Four hours from the start, between two looks at the clock.
          if (before < 4 * HOUR_MS && passedMs >= 4 * HOUR_MS) ms += jumpMs;
          if (passedMs > 30 * 24 * HOUR_MS) stop.abort();
        },
        lastAt: async () => NOON,
        work: async () => {
          worked.push(passedMs);
          ms += 60_000;
          passedMs += 60_000;
          if (worked.length === 4) stop.abort();
        },
      },
      stop.signal,
    );
    const gaps = worked.map((at, index) => (at - (worked[index - 1] ?? 0)) / HOUR_MS);
    assert.equal(worked.length, 4, `${String(jumpMs / HOUR_MS)} h: ${gaps.join()}`);
    // One that is set by less than a day may make one night earlier or later by as much.
    assert.ok(
      gaps.every((hours, index) => hours < 32 && (index < 2 || hours > 22)),
      `${String(jumpMs / HOUR_MS)} h: ${gaps.join()}`,
    );
  }
});

test('the next night is in the future, within a day and an hour, at any time of any day of the year', () => {
  for (let hour = 0; hour < 366 * 24; hour += 1) {
    const now = new Date(2026, 0, 1, hour, 30);
    const next = nextNight(now, (hour % 10) / 10);
    const hours = (next.getTime() - now.getTime()) / 3_600_000;
    assert.ok(hours > 0 && hours < 26, `${now.toISOString()} ${String(hours)}`);
  }
});

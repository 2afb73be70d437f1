/** The clock of the machine jumps by hours, days and years while messages are ready, waiting, worked on and given up: none is lost, late or called too old. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fc } from '../../support/generated.ts';
import type { Settlement } from '../../../src/queue/queue.ts';
import { openSqliteQueue, type SqliteQueue } from '../../../src/queue/sqlite/sqlite.ts';
import { SEED } from '../../support/soak.ts';
import { consuming, conversationMessage, gate, recordingMessage, type Seen } from '../suite.ts';

const NEVER = new AbortController().signal;
const DONE: Settlement = { outcome: 'done' };
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;
/** What a message may have aged by itself while a test runs on a busy machine. */
const BUSY_MS = 5 * 60_000;

interface Scene {
  jumpMs: number;
  /** Sets the clock, and resolves once every queue has looked at it. */
  readonly jump: (ms: number) => Promise<void>;
  readonly now: () => number;
  readonly open: () => SqliteQueue;
}

async function setUp(t: TestContext): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'jumping-clock-'));
  const opened: SqliteQueue[] = [];
  t.after(async () => {
    for (const queue of opened) await queue.close();
    await rm(folder, { recursive: true });
  });
  const looks: number[] = [];
  const scene: Scene = {
    jumpMs: 0,
    jump: async (ms) => {
      scene.jumpMs += ms;
      const before = [...looks];
      // A turn of a consumer looks a few times.
      while (looks.some((count, index) => count - (before[index] ?? 0) < 30)) await delay(5);
    },
    now: () => Date.now() + scene.jumpMs,
    open: () => {
      const index = looks.push(0) - 1;
      const now = (): number => {
        looks[index] = (looks[index] ?? 0) + 1;
        return scene.now();
      };
      const queue = openSqliteQueue({ path: join(folder, 'queue.db'), now, leaseMs: 2_000, pollMs: 20 });
      opened.push(queue);
      return queue;
    },
  };
  return scene;
}

/** Each jump of a list comes when the one before has been noticed. */
const JUMPS: readonly (readonly [string, readonly number[]])[] = [
  ['ten minutes ahead', [10 * 60_000]],
  ['ten minutes back', [-10 * 60_000]],
  ['three hours ahead', [3 * HOUR_MS]],
  ['three hours back', [-3 * HOUR_MS]],
  ['ten days ahead', [10 * DAY_MS]],
  ['ten days back', [-10 * DAY_MS]],
  ['from 1990 to now', [36 * YEAR_MS]],
  ['to 1990', [-36 * YEAR_MS]],
  ['a year ahead, and set right', [YEAR_MS, -YEAR_MS]],
  ['a year back, and set right', [-YEAR_MS, YEAR_MS]],
  ['to and fro by hours', [5 * HOUR_MS, -7 * HOUR_MS, 3 * HOUR_MS]],
];

const MARKS = ['first', 'second', 'third'] as const;

for (const [name, jumps] of JUMPS)
  test(`the clock jumps ${name}: what is ready, waits and is worked on is delivered, each as often as it has to be, and is no older than it is`, async (t) => {
    const scene = await setUp(t);
    const [own, other] = [scene.open(), scene.open()];
    const release = gate();
    const ages = new Map<string, number[]>();
    let isTaken = false;
    const answer = async (one: Seen, signal: AbortSignal): Promise<Settlement> => {
      const known = ages.get(one.name) ?? [];
      ages.set(one.name, [...known, scene.now() - one.acceptedAt.getTime()]);
      if (one.name === 'long') {
        await release.opened;
        isTaken ||= signal.aborted;
        // Comes back once: its age is that of the row then.
        return known.length === 0 ? { outcome: 'again', afterMs: 1 } : DONE;
      }
      if (one.name === 'dead') return { outcome: 'dead', reason: 'no record of it', unrecorded: true };
      if (one.name === 'waits') return known.length === 0 ? { outcome: 'wait', afterMs: 400 } : DONE;
      // Our own guess: somebody who names it again brings it forward to 300 ms.
      if (one.name === 'named')
        return known.length === 0 ? { outcome: 'wait', afterMs: 2 * YEAR_MS, soonestMs: 300 } : DONE;
      return DONE;
    };
    await own.publish(
      [recordingMessage('long'), recordingMessage('waits'), recordingMessage('dead'), conversationMessage('named')],
      NEVER,
    );
    const owner = consuming(own, answer, 4);
    await owner.first(4);
    while ((await own.depth())?.waiting !== 2) await delay(5);
    const thief = consuming(other, answer, 4);
    for (const [index, ms] of jumps.entries()) {
      await scene.jump(ms);
      const mark = MARKS[index] ?? '';
      await other.publish([recordingMessage(mark)], NEVER);
      while (!ages.has(mark))
        await Promise.race([thief.first(thief.seen.length + 1), owner.first(owner.seen.length + 1)]);
    }
    await own.publish([conversationMessage('named')], NEVER);
    while (!['waits', 'named'].every((one) => (ages.get(one)?.length ?? 0) >= 2))
      await Promise.race([thief.first(thief.seen.length + 1), owner.first(owner.seen.length + 1)]);
    release.open();
    while (ages.get('long')?.length !== 2)
      await Promise.race([thief.first(thief.seen.length + 1), owner.first(owner.seen.length + 1)]);
    await Promise.all([owner.stop(), thief.stop()]);
    assert.equal(isTaken, false, 'nothing is taken from who lives');
    assert.deepEqual(
      { ...(await own.depth()), dead: (await own.dead(9)).map(({ key }) => key) },
      { ready: 0, waiting: 0, running: 0, dead: ['recording:c-1.dead'] },
    );
    const expected = (one: string): number => (['long', 'waits', 'named'].includes(one) ? 2 : 1);
    // By the wall clock two years are over then.
    const isPassed = jumps.some((ms) => ms > 2 * YEAR_MS);
    for (const [one, known] of ages) {
      const most = one === 'named' && isPassed ? 3 : expected(one);
      assert.ok(known.length >= expected(one) && known.length <= most, `${String(known.length)} deliveries of ${one}`);
      const age = known.at(-1) ?? NaN;
      assert.ok(age > -BUSY_MS && age < BUSY_MS, `${one} is ${String(age / HOUR_MS)} h old`);
    }
  });

test('whatever the clock does between deliveries, every message ends, as often delivered as it asked to be (property)', async (t) => {
  const scene = await setUp(t);
  const jump = fc.oneof(
    fc.integer({ min: -50 * YEAR_MS, max: 50 * YEAR_MS }),
    fc.integer({ min: -2 * HOUR_MS, max: 2 * HOUR_MS }),
    fc.integer({ min: -3_000, max: 3_000 }),
  );
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(jump, { minLength: 1, maxLength: 6 }), async (jumps) => {
      const queue = scene.open();
      const names = Array.from({ length: 4 }, (_, index) => `r${String((run += 1))}-${String(index)}`);
      await queue.publish(
        names.map((name) => recordingMessage(name)),
        NEVER,
      );
      let left = [...jumps];
      const consumer = consuming(queue, (one) => {
        const [ms = 0, ...rest] = left;
        left = rest;
        scene.jumpMs += ms;
        return one.attempt < 3 ? { outcome: 'again', afterMs: 30 } : DONE;
      });
      await consumer.first(3 * names.length);
      await consumer.stop();
      assert.deepEqual(await queue.depth(), { ready: 0, waiting: 0, running: 0, dead: 0 });
      await queue.close();
    }),
    { seed: SEED, numRuns: 12 },
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { catchUp } from '../../src/days/catch-up.ts';
import { Failure, type FailureCode } from '../../src/failure.ts';
import type { Delivery, Settlement } from '../../src/queue/queue.ts';
import type { Recording } from '../../src/recording.ts';
import { SEED } from '../support/soak.ts';

const { signal } = new AbortController();

async function* recordings(count: number): AsyncGenerator<Recording> {
  for (let index = 0; index < count; index++) yield { recordingId: `r${String(index)}`, conversationId: 'c' };
}

function idOf({ message }: Delivery): string {
  return message.kind === 'recording' ? message.recordingId : '';
}

test('each recording is worked on in its order, at most so many at once', async () => {
  const order: string[] = [];
  let [running, most] = [0, 0];
  const handle = async (delivery: Delivery): Promise<Settlement> => {
    order.push(idOf(delivery));
    most = Math.max(most, (running += 1));
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return { outcome: 'done' };
  };
  assert.deepEqual(await catchUp(recordings(20), { handle, slots: 3 }, signal), { done: 20, failed: 0, left: 0 });
  assert.deepEqual(
    order,
    Array.from({ length: 20 }, (_, index) => `r${String(index)}`),
  );
  assert.equal(most, 3);
});

test('what is to be tried again comes back with one attempt more, what waits with none, and others go on meanwhile', async () => {
  const seen: string[] = [];
  const handle = async (delivery: Delivery): Promise<Settlement> => {
    seen.push(`${idOf(delivery)}/${String(delivery.attempt)}`);
    if (delivery.attempt === 1 && idOf(delivery) === 'r0') return { outcome: 'again', afterMs: 20 };
    if (idOf(delivery) === 'r1' && seen.filter((one) => one === 'r1/1').length === 1)
      return { outcome: 'wait', afterMs: 20 };
    return { outcome: 'done' };
  };
  assert.deepEqual(await catchUp(recordings(4), { handle, slots: 1 }, signal), { done: 4, failed: 0, left: 0 });
  assert.deepEqual(seen, ['r0/1', 'r1/1', 'r2/1', 'r3/1', 'r0/2', 'r1/1']);
});

test('what would have to be held longer is left for the next run; what was given up is counted as that', async () => {
  const handle = async (delivery: Delivery): Promise<Settlement> =>
    idOf(delivery) === 'r0' ? { outcome: 'wait', afterMs: 900_001 } : { outcome: 'dead', reason: 'gone' };
  const ends: string[] = [];
  const counts = await catchUp(
    recordings(2),
    { handle, slots: 2, onEnd: ({ recordingId }, end) => ends.push(`${recordingId} ${end}`) },
    signal,
  );
  assert.deepEqual(counts, { done: 0, failed: 1, left: 1 });
  assert.deepEqual(ends.toSorted(), ['r0 left', 'r1 failed']);
});

test('what a role does not allow is left at once, with the words of what is missing; others go on', async () => {
  const because = new Failure('forbidden', 'Genesys denied access; give the role recording:recording:view.');
  const handle = async (delivery: Delivery): Promise<Settlement> =>
    idOf(delivery) === 'r1' ? { outcome: 'wait', afterMs: 60_000, because } : { outcome: 'done' };
  const ends: (string | undefined)[] = [];
  const counts = await catchUp(
    recordings(3),
    { handle, slots: 1, onEnd: ({ recordingId }, end, why) => ends.push(recordingId, end, why?.code) },
    signal,
  );
  assert.deepEqual(counts, { done: 2, failed: 0, left: 1 });
  assert.deepEqual(ends.slice(3, 6), ['r1', 'left', 'forbidden']);
});

for (const code of ['upstream-unavailable', 'upstream-timeout', 'upstream-error'] as const)
  test(`what Genesys answers nothing of while others are archived is left after three tries, and not waited for (${code})`, async () => {
    const tries = new Map<string, number>();
    const because = new Failure(code, 'Nothing.');
    const handle = async (delivery: Delivery): Promise<Settlement> => {
      const id = idOf(delivery);
      tries.set(id, (tries.get(id) ?? 0) + 1);
      return id === 'r1' ? { outcome: 'wait', afterMs: 1, because } : { outcome: 'done' };
    };
    assert.deepEqual(await catchUp(recordings(4), { handle, slots: 1, holdMs: 5_000 }, signal), {
      done: 3,
      failed: 0,
      left: 1,
    });
    assert.deepEqual([...tries.values()], [1, 3, 1, 1]);
  });

test('where none is archived it is waited for as long as for anything: it may be an outage', async () => {
  let tries = 0;
  const because = new Failure('upstream-unavailable', 'Nothing.');
  const handle = async (): Promise<Settlement> =>
    (tries += 1) > 20 ? { outcome: 'done' } : { outcome: 'wait', afterMs: 1, because };
  assert.deepEqual(await catchUp(recordings(2), { handle, slots: 1 }, signal), { done: 2, failed: 0, left: 0 });
});

test('a stop takes nothing more, waits for what is under way, and leaves what is held', async () => {
  const stop = new AbortController();
  let begun = 0;
  const handle = async (delivery: Delivery, ended: AbortSignal): Promise<Settlement> => {
    begun += 1;
    if (idOf(delivery) === 'r0') return { outcome: 'wait', afterMs: 60_000 };
    if (begun === 3) stop.abort();
    return ended.aborted ? { outcome: 'wait', afterMs: 1_000 } : { outcome: 'done' };
  };
  const counts = await catchUp(recordings(1_000_000), { handle, slots: 1 }, stop.signal);
  assert.deepEqual([begun, counts], [3, { done: 1, failed: 0, left: 2 }]);
});

test('whatever the settlements, every recording ends exactly once', async () => {
  const outcome = fc.constantFrom<Settlement>(
    { outcome: 'done' },
    { outcome: 'dead', reason: 'x' },
    { outcome: 'again', afterMs: 1 },
    { outcome: 'wait', afterMs: 0 },
    { outcome: 'wait', afterMs: 10_000_000 },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(outcome, { maxLength: 40 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 0, max: 12 }),
      async (script, slots, count) => {
        const left = [...script];
        const ends = new Map<string, number>();
        const onEnd = ({ recordingId }: Recording): unknown => ends.set(recordingId, (ends.get(recordingId) ?? 0) + 1);
        const handle = async (): Promise<Settlement> => left.pop() ?? { outcome: 'done' };
        const counts = await catchUp(recordings(count), { handle, slots, onEnd }, signal);
        assert.equal(counts.done + counts.failed + counts.left, count);
        assert.deepEqual(
          [...ends.values()].filter((times) => times !== 1),
          [],
        );
        assert.equal(ends.size, count);
      },
    ),
    { numRuns: 100, seed: SEED },
  );
});

/** What no recording is to blame for. */
function standing(code: FailureCode): Settlement {
  return { outcome: 'wait', afterMs: 1, because: new Failure(code, 'Mend it.') };
}

test('where nothing can be stored any more it ends after five in a row, with what has to be mended', async () => {
  for (const code of ['archive-unavailable', 'misconfigured'] as const) {
    let begun = 0;
    const ends: string[] = [];
    const handle = async (): Promise<Settlement> => ((begun += 1) <= 3 ? { outcome: 'done' } : standing(code));
    await assert.rejects(
      catchUp(recordings(1_000_000), { handle, slots: 1, onEnd: (_, end) => ends.push(end) }, signal),
      (thrown) => thrown instanceof Failure && thrown.code === code,
    );
    assert.equal(begun, 8);
    assert.equal(ends.filter((end) => end === 'done').length, 3);
    assert.ok(ends.includes('left'), 'what was begun is left to the next run');
  }
});

test('one that gets somewhere in between, or waits for a reason of its own, ends nothing', async () => {
  let begun = 0;
  const handle = async (delivery: Delivery): Promise<Settlement> => {
    begun += 1;
    if (begun % 5 === 0) return { outcome: 'done' };
    return begun > 40 ? { outcome: 'done' } : standing(idOf(delivery) === 'r0' ? 'not-ready' : 'archive-unavailable');
  };
  assert.deepEqual(await catchUp(recordings(10), { handle, slots: 1 }, signal), { done: 10, failed: 0, left: 0 });
});

test('where no more can be named, or the work throws, it ends once what is under way has ended, with that', async () => {
  const lost = new Failure('archive-unavailable', 'The listing ended.');
  for (const breaks of ['source', 'work'] as const) {
    const [begun, broken, gate] = [0, 0, 0].map(() => Promise.withResolvers<void>());
    let isOver = false;
    const named = async function* (): AsyncGenerator<Recording> {
      yield { recordingId: 'r0', conversationId: 'c' };
      await begun?.promise;
      if (breaks === 'work') yield { recordingId: 'r1', conversationId: 'c' };
      broken?.resolve();
      throw lost;
    };
    const handle = async (delivery: Delivery): Promise<Settlement> => {
      if (idOf(delivery) === 'r1') {
        broken?.resolve();
        throw lost;
      }
      begun?.resolve();
      await gate?.promise;
      isOver = true;
      return { outcome: 'done' };
    };
    const ended = catchUp(named(), { handle, slots: 2 }, signal).then(
      () => assert.fail('it cannot have ended well'),
      (thrown: unknown) => ({ thrown, isOver }),
    );
    await broken?.promise;
    await new Promise((resolve) => setImmediate(resolve));
    gate?.resolve();
    assert.deepEqual(await ended, { thrown: lost, isOver: true }, breaks);
  }
});

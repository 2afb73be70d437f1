/** What the player makes of levels: lanes, moments and the silences it skips. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lanesIn, lengthOfAll, momentsOf, skipsOf, speakingAt } from '../../src/console/browser/speech.ts';
import { encodeLevels } from '../../src/levels.ts';
import { SEED, seeded } from '../support/soak.ts';

/** Spans in tenths of a second, of each channel. */
function bytesOf(tenths: number, ...channels: readonly (readonly (readonly [number, number])[])[]): ArrayBuffer {
  const bytes = encodeLevels({
    channels: channels.map((spans, index) => ({
      values: new Uint8Array(tenths).fill(index + 1),
      speech: spans.map(([start, end]) => ({ start, end })),
    })),
  });
  return new Uint8Array(bytes).buffer;
}

test('lanes are those that were written, of one channel, of two and of none; of anything else there are none', () => {
  const lanes = lanesIn(
    bytesOf(
      100,
      [
        [10, 20],
        [30, 40],
      ],
      [[15, 25]],
    ),
  );
  assert.deepEqual(
    lanes.map(({ speech }) => speech),
    [
      [
        { start: 1, end: 2 },
        { start: 3, end: 4 },
      ],
      [{ start: 1.5, end: 2.5 }],
    ],
  );
  assert.deepEqual(
    lanes.map(({ values }) => [values.length, values[0]]),
    [
      [100, 1],
      [100, 2],
    ],
  );
  assert.equal(lanesIn(bytesOf(50, [[0, 50]])).length, 1);
  assert.deepEqual(lanesIn(bytesOf(0)), []);
  for (const size of [0, 19, 20, 40]) assert.deepEqual(lanesIn(new Uint8Array(size).fill(255).buffer), []);
  const whole = bytesOf(100, [[10, 20]]);
  assert.deepEqual(lanesIn(whole.slice(0, whole.byteLength - 1)), []);
});

test('moments are turns, talking at once from half a second on, and silences from ten seconds on, in order', () => {
  const lanes = lanesIn(
    bytesOf(
      600,
      [
        [10, 40],
        [45, 60],
        [300, 330],
      ],
      [
        [36, 41],
        [55, 100],
        [325, 329],
      ],
    ),
  );
  const said = momentsOf(lanes, 60).map(({ kind, lane, start }) => `${kind} ${String(lane)} ${String(start)}`);
  assert.deepEqual(said, [
    'turn 0 1',
    'turn 1 3.6',
    'turn 0 4.5',
    'turn 1 5.5',
    'both -1 5.5',
    'silence -1 10',
    'turn 0 30',
    'turn 1 32.5',
    'silence -1 33',
  ]);
  assert.deepEqual(momentsOf([], 60), []);
});

test('silences above a second and a half are skipped, but for what sounds on and for a breath; nothing that anybody says is', () => {
  const lanes = lanesIn(
    bytesOf(
      200,
      [
        [20, 40],
        [54, 60],
      ],
      [
        [38, 45],
        [100, 120],
      ],
    ),
  );
  const skips = skipsOf(lanes, 20);
  assert.deepEqual(skips, [
    { start: 0, end: 1.7 },
    { start: 6.2, end: 9.7 },
    { start: 12.2, end: 20 },
  ]);
  assert.ok(Math.abs(lengthOfAll(skips) - 13) < 1e-9);
  for (const { start, end } of skips)
    for (let at = start; at < end; at += 0.05) assert.deepEqual(speakingAt(lanes, at), [], String(at));
  assert.deepEqual(skipsOf([], 20), [], 'without levels nothing is');
});

test('where both speak is found in any two lists of who speaks when, in one step along both', () => {
  const random = seeded(SEED);
  const spansOf = (count: number): (readonly [number, number])[] => {
    let at = 0;
    return Array.from({ length: count }, () => {
      const start = at + 1 + Math.floor(random() * 30);
      at = start + 1 + Math.floor(random() * 30);
      return [start, at] as const;
    });
  };
  for (let run = 0; run < 50; run += 1) {
    const lanes = lanesIn(bytesOf(4_000, spansOf(1 + run), spansOf(1 + ((7 * run) % 50))));
    const found = momentsOf(lanes, 400).filter(({ kind }) => kind === 'both');
    const isBoth = (tenth: number): boolean => speakingAt(lanes, tenth / 10 + 0.05).length === 2;
    let spans = 0;
    for (let tenth = 0; tenth < 4_000; tenth += 1) {
      if (!isBoth(tenth) || isBoth(tenth - 1)) continue;
      let end = tenth;
      while (isBoth(end)) end += 1;
      if (end - tenth < 5) continue;
      const { start, end: until } = found[spans] ?? { start: NaN, end: NaN };
      assert.deepEqual([Math.round(start * 10), Math.round(until * 10)], [tenth, end], `run ${String(run)}`);
      spans += 1;
    }
    assert.equal(found.length, spans);
  }
});

test('of a call in which nobody speaks nothing is skipped: nothing would be left', () => {
  assert.deepEqual(skipsOf(lanesIn(bytesOf(200, [], [])), 20), []);
  assert.deepEqual(skipsOf(lanesIn(bytesOf(200, [])), 20), []);
});

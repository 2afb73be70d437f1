import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { Absences } from '../../src/genesys/absences.ts';

const UNKNOWN = new Failure('not-found', 'Genesys does not know it.');

function recording(number: number): { readonly recordingId: string; readonly conversationId: string } {
  return { recordingId: `r${String(number)}`, conversationId: 'c' };
}

function knows(absences: Absences, number: number): boolean {
  try {
    absences.check(recording(number));
    return false;
  } catch (thrown) {
    assert.equal(thrown, UNKNOWN);
    return true;
  }
}

test('remembers for half a minute (A5)', (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const absences = new Absences();
  absences.note(recording(1), UNKNOWN);
  now = 29_999;
  assert.ok(knows(absences, 1) && !knows(absences, 2));
  absences.note(recording(2), UNKNOWN);
  now = 30_000;
  assert.ok(!knows(absences, 1) && knows(absences, 2));
  absences.forget(recording(2));
  assert.ok(!knows(absences, 2));
});

test('remembers the last thousand, however many are asked for (A5)', () => {
  const absences = new Absences();
  for (let number = 0; number < 5_000; number++) absences.note(recording(number), UNKNOWN);
  absences.note(recording(4_001), UNKNOWN);
  const known = Array.from({ length: 5_000 }, (_, number) => number).filter((number) => knows(absences, number));
  assert.deepEqual([known.length, known.at(0)], [1_000, 4_000]);
});

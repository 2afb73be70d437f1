/** Marks of runs: renewed, gone with the run, and what one that was killed leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { RunMark } from '../../src/days/run-marks.ts';
import { Failure } from '../../src/failure.ts';

test('a mark that could not be taken away at once goes with the run, so that nobody takes it for killed', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'] });
  const lying = new Set<string>();
  const created: string[] = [];
  let refusals = 1;
  const notes = {
    create: async (name: string) => {
      lying.add(name);
      created.push(name);
      return true;
    },
    remove: async (name: string) => {
      if (refusals-- > 0) throw new Failure('archive-unavailable', 'Not now.');
      return lying.delete(name);
    },
  };
  const mark = await RunMark.begin('task', notes as never);
  for (const renewed of [2, 3]) {
    t.mock.timers.tick(60_000);
    while (created.length < renewed) await nextTurn();
  }
  await mark[Symbol.asyncDispose]();
  assert.deepEqual([...lying], []);
});

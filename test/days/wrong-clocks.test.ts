/** Clocks that differ, or jump: a run elsewhere is dead only by the clock that stamped its marks, and what is proven last is the newest. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import type { Notes } from '../../src/archive/notes.ts';
import { newestProof, proofsOf, writeProof } from '../../src/archive/proofs.ts';
import { findEarlierRuns, RunMark, whileTrying } from '../../src/days/run-marks.ts';

const signal = (): AbortSignal => AbortSignal.timeout(100_000);
const MINUTE_MS = 60_000;
const YEAR_MS = 365 * 24 * 60 * MINUTE_MS;
const SKEWS_MS = [-30 * YEAR_MS, -YEAR_MS, -5 * MINUTE_MS, 0, 5 * MINUTE_MS, YEAR_MS, 30 * YEAR_MS];

async function openNotes(t: TestContext): Promise<Notes> {
  const path = await mkdtemp(join(tmpdir(), 'wrong-clocks-'));
  const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  t.after(async () => {
    await archive.close();
    await rm(path, { recursive: true, force: true });
  });
  return archive.notes;
}

/** The same notes where they are stamped by another clock, those of `old` names ten minutes before the others. */
function stampedBy(notes: Notes, skewMs: number, old: (name: string) => boolean): Notes {
  const stamp = (name: string, writtenAt: string): string =>
    new Date(Date.parse(writtenAt) + skewMs - (old(name) ? 10 * MINUTE_MS : 0)).toISOString();
  return {
    create: (...args) => notes.create(...args),
    replace: (...args) => notes.replace(...args),
    read: (...args) => notes.read(...args),
    remove: (...args) => notes.remove(...args),
    async *list(prefix, stop) {
      for await (const note of notes.list(prefix, stop)) yield { ...note, writtenAt: stamp(note.name, note.writtenAt) };
    },
  };
}

for (const skewMs of SKEWS_MS)
  test(`a run whose archive is stamped by a clock ${String(skewMs / MINUTE_MS)} min off is under way, or dead, by that clock`, async (t) => {
    const notes = await openNotes(t);
    const recording = { recordingId: 'r', conversationId: 'c' };
    await using _mark = await RunMark.begin('work', notes);
    await whileTrying(recording, notes, async () => {
      const fresh = await findEarlierRuns(
        'work',
        stampedBy(notes, skewMs, () => false),
        signal(),
      );
      assert.deepEqual(fresh, { isUnderWay: true, wasKilled: false, culprits: [] });
      const elsewhere = await findEarlierRuns(
        'other work',
        stampedBy(notes, skewMs, () => false),
        signal(),
      );
      assert.deepEqual(elsewhere.culprits, [], 'what is being worked on elsewhere killed nobody');
      const dead = await findEarlierRuns(
        'work',
        stampedBy(notes, skewMs, (name) => !name.startsWith('staging/clock.')),
        signal(),
      );
      assert.deepEqual(dead, { isUnderWay: false, wasKilled: true, culprits: [recording] });
    });
  });

test('whichever way clocks jump between looks, the proof that is written last is the newest, with the time it was made by', async (t) => {
  const notes = await openNotes(t);
  const day = '2026-03-01';
  const now = Date.parse('2026-03-03T03:00:00.000Z');
  const times = [now, now - YEAR_MS, now + 30 * YEAR_MS, now + MINUTE_MS, now + MINUTE_MS, 0].map((ms) => new Date(ms));
  for (const [index, at] of times.entries()) {
    await writeProof('complete', { day, verdict: 'complete', look: index }, { notes, at }, signal());
    const newest = await newestProof('complete', day, notes, signal());
    assert.deepEqual([newest?.['look'], newest?.['at']], [index, at.toISOString()]);
  }
  const looks: unknown[] = [];
  for await (const proof of proofsOf('complete', day, notes, signal())) looks.push(proof['look']);
  assert.deepEqual(looks, [5, 4, 3, 2, 1, 0], 'none took the place of another');
});

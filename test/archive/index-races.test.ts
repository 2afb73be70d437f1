/** An erasure beside whoever writes lines of the index, in every order that their steps can come in: what was erased is in no file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DayCompaction, forgetIndexRows, listIndexFiles, readIndexFile } from '../../src/archive/day-index.ts';
import { erasedAmong, markErased } from '../../src/archive/erased.ts';
import { archivedRow, type IndexRow } from '../../src/archive/index-row.ts';
import { IndexWriter } from '../../src/archive/index-writer.ts';
import type { ListedNote, Notes } from '../../src/archive/notes.ts';
import { manifestOf } from '../support/archive/content.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fc } from '../support/generated.ts';

const DAY = '2026-03-01';
const HANG_GUARD = { timeout: 400_000 };
const { signal } = new AbortController();

class MemoryNotes implements Notes {
  readonly #texts = new Map<string, { readonly text: string; readonly writtenAt: string }>();
  #writes = 0;

  async create(name: string, text: string): Promise<boolean> {
    return !this.#texts.has(name) && this.replace(name, text);
  }

  async replace(name: string, text: string): Promise<boolean> {
    this.#texts.set(name, { text, writtenAt: new Date((this.#writes += 1)).toISOString() });
    return Promise.resolve(true);
  }

  async read(name: string): Promise<string | undefined> {
    return Promise.resolve(this.#texts.get(name)?.text);
  }

  async *list(prefix: string): AsyncGenerator<ListedNote> {
    for (const [name, { text, writtenAt }] of [...this.#texts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      if (name.startsWith(prefix)) yield await Promise.resolve({ name, sizeBytes: text.length, writtenAt });
  }

  async remove(name: string): Promise<boolean> {
    return Promise.resolve(this.#texts.delete(name));
  }
}

/** Somebody who does one thing after the other, each when it is his turn. */
class Actor {
  #reached = Promise.withResolvers<void>();
  #turn: PromiseWithResolvers<void> | undefined;
  isDone = false;

  /** The same place, gone into step by step. */
  over(notes: Notes): Notes {
    const turn = async (): Promise<void> => {
      this.#turn = Promise.withResolvers();
      this.#reached.resolve();
      return this.#turn.promise;
    };
    return {
      create: async (...asked) => turn().then(() => notes.create(...asked)),
      replace: async (...asked) => turn().then(() => notes.replace(...asked)),
      read: async (...asked) => turn().then(() => notes.read(...asked)),
      remove: async (...asked) => turn().then(() => notes.remove(...asked)),
      async *list(...asked) {
        await turn();
        yield* notes.list(...asked);
      },
    };
  }

  async begin(work: () => Promise<unknown>): Promise<void> {
    const end = (): void => {
      this.isDone = true;
      this.#reached.resolve();
    };
    void work().finally(end);
    await this.#reached.promise;
  }

  async step(): Promise<void> {
    this.#reached = Promise.withResolvers();
    this.#turn?.resolve();
    await this.#reached.promise;
  }
}

type Work = (notes: Notes) => Promise<unknown>;

/** `choose` says whose turn it is, of how many who are not done. */
async function inTurns(works: readonly Work[], notes: Notes, choose: (of: number) => number): Promise<void> {
  const actors: Actor[] = [];
  for (const work of works) {
    const actor = new Actor();
    actors.push(actor);
    await actor.begin(() => work(actor.over(notes)));
  }
  for (;;) {
    const left = actors.filter(({ isDone }) => !isDone);
    if (left.length === 0) return;
    await left[choose(left.length)]?.step();
  }
}

function rowOf(recordingId: string): IndexRow {
  const stored = { sizeBytes: 1_000, sha256: 'ab', crc32c: 'AAAAAA==' };
  return archivedRow(manifestOf({ recordingId, conversationId: 'c' }, stored, {}));
}

function erasing(recordingId: string): Work {
  return async (notes) => {
    const mark = { version: 1, conversationId: 'c', recordingId, reason: 'x', by: 'y', days: [DAY] } as const;
    await markErased({ ...mark, erasedAt: '2026-11-28T10:00:00.000Z' }, notes, signal);
    await forgetIndexRows(new Set([`c.${recordingId}`]), { days: [DAY], notes }, signal);
  };
}

const compacting: Work = async (notes) => {
  const compaction = await DayCompaction.begin(DAY, { notes, refresh: async (row) => row }, signal);
  await compaction.add(rowOf('new'), signal);
  await compaction.end(signal);
};

/** Whose file has lines of `before`, and gets one more. */
class Worker {
  #place: Notes | undefined;
  readonly #writer: IndexWriter;

  constructor() {
    const place = (): Notes => this.#place ?? assert.fail();
    this.#writer = new IndexWriter({
      notes: {
        create: (...asked) => place().create(...asked),
        replace: (...asked) => place().replace(...asked),
        read: (...asked) => place().read(...asked),
        remove: (...asked) => place().remove(...asked),
        list: (...asked) => place().list(...asked),
      },
      erasedAmong: async (rows) => {
        const subjects = rows.map((row) => ({ row, recordingId: row.recordingId ?? undefined, conversationId: 'c' }));
        return new Set((await erasedAmong(subjects, place(), signal)).map(({ row }) => row));
      },
      onTrouble: (error) => assert.fail(String(error)),
      clock: new FakeClock(),
    });
  }

  writes(...ids: readonly string[]): Work {
    return async (notes) => {
      this.#place = notes;
      for (const id of ids) this.#writer.note(rowOf(id));
      await this.#writer.flush(signal);
    };
  }
}

interface Race {
  readonly works: readonly Work[];
  readonly notes: Notes;
}

async function race(others: (worker: Worker) => readonly Work[]): Promise<Race> {
  const [notes, worker] = [new MemoryNotes(), new Worker()];
  await worker.writes('x', 'y', 'kept')(notes);
  return { notes, works: others(worker) };
}

async function keysIn(notes: Notes): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { name } of listIndexFiles(DAY, notes, signal))
    keys.push(...(await readIndexFile(name, notes, signal)).map(({ key }) => key));
  return keys;
}

const RACES: readonly (readonly [
  name: string,
  erased: readonly string[],
  others: (worker: Worker) => readonly Work[],
])[] = [
  ['a worker that adds a line', ['x'], (worker) => [erasing('x'), worker.writes('new')]],
  ['a worker that adds the very line', ['new'], (worker) => [erasing('new'), worker.writes('new')]],
  ['a reconciliation', ['x'], () => [erasing('x'), compacting]],
  ['another erasure', ['x', 'y'], () => [erasing('x'), erasing('y')]],
];

for (const [name, erased, others] of RACES)
  test(`an erasure has the last word in every order of its steps and those of ${name}`, HANG_GUARD, async () => {
    let orders = 0;
    for (let path: number[] | undefined = []; path !== undefined; orders += 1) {
      const taken: { readonly at: number; readonly of: number }[] = [];
      const { works, notes } = await race(others);
      await inTurns(works, notes, (of) => {
        const at = path?.[taken.length] ?? 0;
        taken.push({ at, of });
        return at;
      });
      const keys = await keysIn(notes);
      const order = taken.map(({ at }) => at).join('');
      for (const id of erased) assert.ok(!keys.includes(`c.${id}`), `${id} in the order ${order}`);
      assert.ok(keys.includes('c.kept'), order);
      const last = taken.findLastIndex(({ at, of }) => at + 1 < of);
      path = last < 0 ? undefined : [...taken.slice(0, last).map(({ at }) => at), (taken[last]?.at ?? 0) + 1];
    }
    assert.ok(orders > 50, String(orders));
  });

test('and where a worker, a reconciliation and two erasures come together', HANG_GUARD, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat({ max: 11 }), { minLength: 60, maxLength: 60 }), async (choices) => {
      const { works, notes } = await race((worker) => [worker.writes('new'), compacting, erasing('x'), erasing('y')]);
      let step = 0;
      await inTurns(works, notes, (of) => (choices[step++ % choices.length] ?? 0) % of);
      const keys = await keysIn(notes);
      assert.ok(!keys.includes('c.x') && !keys.includes('c.y'), keys.join(' '));
      assert.ok(keys.includes('c.kept'), keys.join(' '));
    }),
    { numRuns: 300 },
  );
});

/** The index of a day as tests: every archive runs them, over its real store. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Manifest } from '../../src/archive/manifest.ts';
import {
  DayCompaction,
  forgetIndexRows,
  listIndexFiles,
  readIndexDay,
  readIndexFile,
} from '../../src/archive/day-index.ts';
import { markErased } from '../../src/archive/erased.ts';
import { archivedRow, failedRow, type IndexRow, movedRow } from '../../src/archive/index-row.ts';
import { IndexWriter } from '../../src/archive/index-writer.ts';
import type { Notes } from '../../src/archive/notes.ts';
import { failureOf, manifestOf } from '../support/archive/content.ts';
import { FakeClock } from '../support/fake-clock.ts';
import type { ArchiveHarness } from './suite.ts';

const DAY = '2026-03-01';
const signal = (): AbortSignal => AbortSignal.timeout(200_000);

function rowOf(recordingId: string, facts: Partial<Manifest> = {}): IndexRow {
  const stored = { sizeBytes: 1_000, sha256: 'ab', crc32c: 'AAAAAA==' };
  return archivedRow(manifestOf({ recordingId, conversationId: 'c' }, stored, facts));
}

const EVERY_MS = 5 * 60_000;

function writerOf(notes: Notes, clock = new FakeClock()): IndexWriter {
  const onTrouble = (error: unknown): void => assert.fail(String(error));
  return new IndexWriter({ notes, clock, everyMs: EVERY_MS, onTrouble });
}

async function filesOf(notes: Notes, day = DAY): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of listIndexFiles(day, notes, signal())) names.push(name);
  return names;
}

/** All that is in the index holds, but for what is named. */
async function compact(notes: Notes, rows: readonly IndexRow[] = [], gone: readonly string[] = []): Promise<number> {
  const refresh = async (row: IndexRow): Promise<IndexRow | undefined> => (gone.includes(row.key) ? undefined : row);
  const compaction = await DayCompaction.begin(DAY, { notes, refresh }, signal());
  for (const row of rows) await compaction.add(row, signal());
  return compaction.end(signal());
}

export function indexSuite(name: string, open: () => Promise<ArchiveHarness>): void {
  const check = (sentence: string, run: (notes: Notes, harness: ArchiveHarness) => Promise<void>): void => {
    test(sentence, { timeout: 400_000 }, async () => {
      const harness = await open();
      try {
        await run(harness.archive.notes, harness);
      } finally {
        await harness.close();
      }
    });
  };

  describe(`${name} keeps the index of a day`, () => {
    /** As an erasure does, once its mark lies there. */
    const forget = async (recordingId: string, notes: Notes): Promise<void> => {
      const mark = { version: 1, conversationId: 'c', recordingId, reason: 'x', by: 'y', days: [DAY] } as const;
      await markErased({ ...mark, erasedAt: new Date().toISOString() }, notes, signal());
      await forgetIndexRows(new Set([`c.${recordingId}`]), { days: [DAY], notes }, signal());
    };

    /** In which another one's erasure of this recording comes just before the first line is written. */
    const interrupted = (notes: Notes, recordingId: string): Notes => {
      let isDue = true;
      const before = async (): Promise<void> => {
        if (!isDue) return;
        isDue = false;
        await forget(recordingId, notes);
      };
      return {
        read: (...asked) => notes.read(...asked),
        list: (...asked) => notes.list(...asked),
        remove: (...asked) => notes.remove(...asked),
        create: async (...asked) => before().then(() => notes.create(...asked)),
        replace: async (...asked) => before().then(() => notes.replace(...asked)),
      };
    };

    check('an erasure has the last word, whoever writes a line while it looks for it', async (notes) => {
      const writing: Readonly<Record<string, (meanwhile: Notes) => Promise<void>>> = {
        reconciliation: async (meanwhile) => void (await compact(meanwhile, [rowOf('new')])),
        'another erasure': (meanwhile) =>
          forgetIndexRows(new Set(['c.a']), { days: [DAY], notes: meanwhile }, signal()).then(() => undefined),
        worker: async (meanwhile) => {
          const erasedAmong = (): Promise<ReadonlySet<IndexRow>> => Promise.resolve(new Set<IndexRow>());
          await using writer = new IndexWriter({
            notes: meanwhile,
            erasedAmong,
            onTrouble: (error) => assert.fail(String(error)),
          });
          writer.note(rowOf('b'));
        },
      };
      for (const [who, write] of Object.entries(writing)) {
        await compact(
          notes,
          ['a', 'b', 'kept'].map((recordingId) => rowOf(recordingId)),
        );
        await write(interrupted(notes, 'b'));
        for (const name of await filesOf(notes)) {
          const rows = await readIndexFile(name, notes, signal());
          assert.ok(!rows.some(({ key }) => key === 'c.b'), who);
        }
        assert.ok((await readIndexDay(DAY, notes, signal())).has('c.kept'), who);
        await notes.remove('erased/c.b.json', signal());
      }
    });

    check('two workers write a file each, and the day has the lines of both', async (notes) => {
      const writers = [writerOf(notes), writerOf(notes)];
      for (const [at, writer] of writers.entries())
        for (let n = 0; n < 3; n += 1) writer.note(rowOf(`r${String(at)}${String(n)}`));
      for (const writer of writers) await writer.flush(signal());
      writers[0]?.note(rowOf('late'));
      for (const writer of writers) await writer[Symbol.asyncDispose]();
      assert.equal((await filesOf(notes)).length, 2);
      const day = await readIndexDay(DAY, notes, signal());
      assert.deepEqual([...day.keys()].toSorted(), ['c.late', 'c.r00', 'c.r01', 'c.r02', 'c.r10', 'c.r11', 'c.r12']);
    });

    check(
      'nothing is written before five minutes are over, then all of it at once, and nothing while nothing comes',
      async (notes, harness) => {
        const clock = new FakeClock();
        await using writer = writerOf(notes, clock);
        assert.equal(clock.alarms, 0);
        writer.note(rowOf('a'));
        writer.note(rowOf('b'));
        clock.advance(EVERY_MS - 1);
        assert.deepEqual(await harness.objects(), []);
        assert.equal(clock.alarms, 1);
        clock.advance(1);
        // Whatever the alarm began is awaited by the end.
        await writer[Symbol.asyncDispose]();
        assert.deepEqual([...(await readIndexDay(DAY, notes, signal())).keys()], ['c.a', 'c.b']);
        assert.equal(clock.alarms, 0);
      },
    );

    check('of several lines of one recording the newest counts, in whatever file it is', async (notes) => {
      const [first, second] = [writerOf(notes), writerOf(notes)];
      first.note(
        failedRow(failureOf({ recordingId: 'r', conversationId: 'c' }, { failedAt: '2026-03-01T23:00:00.000Z' })),
      );
      first.note(rowOf('s'));
      await first.flush(signal());
      second.note(rowOf('r'));
      second.note(movedRow({ recordingId: 's', conversationId: 'c' }, '2026-03-02T10:00:00.000Z'), DAY);
      await second.flush(signal());
      const found = [...(await readIndexDay(DAY, notes, signal())).values()];
      assert.deepEqual(
        found.map(({ key, status }) => [key, status]),
        [['c.r', 'archived']],
      );
    });

    check(
      'a day is put into one file; done again it writes nothing; what no longer holds is left out',
      async (notes, harness) => {
        for (const id of ['a', 'b']) {
          await using writer = writerOf(notes);
          writer.note(rowOf(id));
          writer.note(rowOf('shared'));
        }
        assert.equal(await compact(notes, [rowOf('new')], ['c.b']), 3);
        const [one, ...others] = await filesOf(notes);
        assert.deepEqual(others, []);
        assert.deepEqual([...(await readIndexDay(DAY, notes, signal())).keys()], ['c.a', 'c.new', 'c.shared']);
        const before = await harness.fingerprint(one ?? '');
        await compact(notes, [rowOf('new'), rowOf('a')]);
        assert.deepEqual(await filesOf(notes), [one]);
        assert.equal(await harness.fingerprint(one ?? ''), before);
      },
    );

    check('a line that a worker wrote meanwhile is newer than what was seen before it', async (notes) => {
      await using writer = writerOf(notes);
      writer.note(rowOf('r'));
      await writer.flush(signal());
      const seen = failedRow(
        failureOf({ recordingId: 'r', conversationId: 'c' }, { failedAt: '2026-03-01T12:00:00.000Z' }),
      );
      await compact(notes, [seen]);
      assert.equal((await readIndexDay(DAY, notes, signal())).get('c.r')?.status, 'archived');
    });

    check(
      'a worker that goes on after its file was put together begins it anew, and nothing is there twice',
      async (notes) => {
        await using writer = writerOf(notes);
        writer.note(rowOf('a'));
        await writer.flush(signal());
        await compact(notes);
        writer.note(rowOf('b'));
        await writer.flush(signal());
        assert.equal((await filesOf(notes)).length, 2);
        assert.equal((await readIndexDay(DAY, notes, signal())).size, 2);
        const sizes = await Promise.all(
          (await filesOf(notes)).map(async (file) => (await readIndexFile(file, notes, signal())).length),
        );
        assert.deepEqual(sizes, [1, 1]);
      },
    );

    check(
      'what was erased is in no file any more, and does not come back with the next lines',
      async (notes, harness) => {
        await using writer = writerOf(notes);
        writer.note(rowOf('old'));
        writer.note(rowOf('canary'));
        await writer.flush(signal());
        await compact(notes);
        writer.note(rowOf('canary'));
        writer.note(rowOf('new'));
        await writer.flush(signal());
        assert.equal(await forgetIndexRows(new Set(['c.canary']), { days: [DAY, DAY], notes }, signal()), 2);
        writer.note(rowOf('last'));
        await writer.flush(signal());
        for (const object of await harness.objects())
          assert.doesNotMatch((await harness.bytes(object)).toString(), /canary/, object);
        assert.deepEqual([...(await readIndexDay(DAY, notes, signal())).keys()].toSorted(), [
          'c.last',
          'c.new',
          'c.old',
        ]);
      },
    );

    check('a damaged line costs itself alone', async (notes) => {
      await using writer = writerOf(notes);
      writer.note(rowOf('a'));
      await writer.flush(signal());
      const [file = ''] = await filesOf(notes);
      const damaged = ['{', '[]', '{"key":"c.x"}', '{"key":"c.y","at":"never","status":"archived"}', ''].join('\n');
      await notes.replace(file, `${damaged}\n${(await notes.read(file, signal())) ?? ''}`, signal());
      assert.deepEqual([...(await readIndexDay(DAY, notes, signal())).keys()], ['c.a']);
    });
  });
}

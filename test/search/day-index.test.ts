import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linesOf, partName } from '../../src/archive/day-index.ts';
import { DayIndex } from '../../src/search/day-index.ts';
import { openBucketHarness } from '../support/archive/bucket.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { rowAt } from '../support/search/rows.ts';
import { searchSuite } from './suite.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);

searchSuite('search in the index of a bucket', async () => {
  const harness = await openBucketHarness();
  const { notes } = harness.archive;
  return { notes, open: async (clock) => new DayIndex({ notes, clock }), close: () => harness.close() };
});

const NOVEMBER = { text: '', from: '2026-11-01', to: '2026-11-28', mayFindNumbers: true, limit: 5 } as const;
const now = (): Date => new Date('2026-11-28T12:00:00.000Z');

test('memory is bounded: of more days than fit the oldest asked for are let go, and a full page is counted no further', async () => {
  const harness = await openBucketHarness();
  const { archive } = harness;
  try {
    for (let day = 1; day <= 28; day += 1) {
      const date = `2026-11-${String(day).padStart(2, '0')}`;
      const rows = Array.from({ length: 20 }, (_, n) =>
        rowAt(`${date}T10:00:${String(n).padStart(2, '0')}.000Z`, `c${String(day)}-${String(n)}.r`, {
          agent: day === 1 ? 'Ines' : 'Wen',
        }),
      );
      await archive.notes.create(partName(date, 'w'), linesOf(rows), signal());
    }
    const clock = new FakeClock();
    const search = new DayIndex({ notes: archive.notes, now, clock }, { mostRows: 100 });
    const first = await search.search(NOVEMBER, signal());
    assert.equal(first.rows[0]?.key.startsWith('c28-'), true);
    assert.deepEqual([first.isMore, first.found < 560], [true, true]);
    // What is rare is looked for to the end, day by day.
    const rare = await search.search({ ...NOVEMBER, text: 'ines' }, signal());
    assert.deepEqual([rare.found, rare.isMore, rare.rows.length], [20, false, 5]);
    assert.ok(search.rows <= 100 + 20, `${String(search.rows)} rows are held`);
    const roomy = new DayIndex({ notes: archive.notes, now, clock });
    const all = await roomy.search(NOVEMBER, signal());
    assert.deepEqual([all.found, all.isMore], [560, false]);
    await search.close();
    await roomy.close();
  } finally {
    await harness.close();
  }
});

test('the answer says up to when the index knows, where the days asked for are not over', async () => {
  const harness = await openBucketHarness();
  const { archive } = harness;
  try {
    const search = new DayIndex({ notes: archive.notes, now, clock: new FakeClock() });
    assert.equal((await search.search(NOVEMBER, signal())).upTo, undefined);
    await archive.notes.create(
      partName('2026-11-27', 'w'),
      linesOf([rowAt('2026-11-27T10:00:00.000Z', 'c.r')]),
      signal(),
    );
    const fresh = new DayIndex({ notes: archive.notes, now, clock: new FakeClock() });
    const { upTo } = await fresh.search(NOVEMBER, signal());
    for await (const { writtenAt } of archive.notes.list('index/', signal())) assert.equal(upTo, writtenAt);
    assert.equal((await fresh.search({ ...NOVEMBER, to: '2026-11-27' }, signal())).upTo, undefined);
    await search.close();
    await fresh.close();
  } finally {
    await harness.close();
  }
});

test('many ask at once: each day is loaded once', async () => {
  const harness = await openBucketHarness();
  const { archive, server } = harness;
  try {
    await archive.notes.create(
      partName('2026-11-27', 'w'),
      linesOf([rowAt('2026-11-27T10:00:00.000Z', 'c.r')]),
      signal(),
    );
    const search = new DayIndex({ notes: archive.notes, now, clock: new FakeClock() });
    const before = server.seen.length;
    const pages = await Promise.all(
      Array.from({ length: 20 }, () => search.search({ ...NOVEMBER, from: '2026-11-27', to: '2026-11-27' }, signal())),
    );
    assert.ok(pages.every(({ found }) => found === 1));
    assert.equal(server.seen.length - before, 3, 'looked at, listed and read once');
    await search.close();
  } finally {
    await harness.close();
  }
});

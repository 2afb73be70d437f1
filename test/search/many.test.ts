/** A day of very many calls: each is found, once, whatever the page. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openIndexInMemory } from '../../src/search/index-database.ts';
import { PageInParts } from '../../src/search/page-in-parts.ts';
import { placesOf } from '../../src/search/place.ts';
import { RowTable } from '../../src/search/row-table.ts';
import type { SearchPage } from '../../src/search/search.ts';
import { rowAt } from '../support/search/rows.ts';

const DAY = '2026-11-27';

test(
  'all calls of a busy day come page by page, once each, by day and by name, and their number is right',
  { timeout: 300_000 },
  () => {
    const count = 10_500;
    const table = new RowTable(openIndexInMemory());
    const start = Date.parse(`${DAY}T00:00:00Z`);
    table.load(
      Array.from({ length: count }, (_, n) =>
        rowAt(new Date(start + n * 8_000).toISOString(), `c${String(n)}.r${String(n)}`, {
          agent: `Agent ${n % 2 === 0 ? 'Even' : 'Odd'}`,
        }),
      ),
    );
    const pageOf = (text: string, cursor: string | undefined): Omit<SearchPage, 'upTo' | 'backTo'> => {
      const page = new PageInParts({ text, from: DAY, to: DAY, mayFindNumbers: true, limit: 500, cursor });
      page.add(table, placesOf(DAY, DAY));
      return page.end(false);
    };
    for (const [text, expected] of [
      ['', count],
      ['even', count / 2],
    ] as const) {
      const seen = new Set<string>();
      let cursor: string | undefined;
      let shown = 0;
      do {
        const page = pageOf(text, cursor);
        assert.deepEqual([page.found, page.isMore], [Math.min(expected, 10_000), expected > 10_000]);
        for (const { key } of page.rows) seen.add(key);
        shown += page.rows.length;
        ({ cursor } = page);
      } while (cursor !== undefined);
      assert.deepEqual([seen.size, shown], [expected, expected]);
    }
  },
);

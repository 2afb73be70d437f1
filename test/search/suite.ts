/** The contract of search as tests: both places run them, over their real stores. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { linesOf, partName } from '../../src/archive/day-index.ts';
import { indexDayOf, type IndexRow } from '../../src/archive/index-row.ts';
import type { Notes } from '../../src/archive/notes.ts';
import type { FoundRow, Search, SearchPage, SearchQuery } from '../../src/search/search.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { rowAt, type RowFacts } from '../support/search/rows.ts';

export interface SearchHarness {
  readonly notes: Notes;
  /** Over what lies there. Another one of the same place may be open. */
  open(clock: FakeClock): Promise<Search>;
  close(): Promise<void>;
}

interface Scene {
  readonly search: Search;
  readonly notes: Notes;
  readonly clock: FakeClock;
  find(asked?: Partial<SearchQuery>): Promise<SearchPage>;
  keys(asked?: Partial<SearchQuery>): Promise<readonly string[]>;
  write(...rows: readonly IndexRow[]): Promise<void>;
}

const signal = (): AbortSignal => AbortSignal.timeout(200_000);
/** Longer than anything is believed to be as it was. */
const LATER_MS = 600_000;

const C1 = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const R1 = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';

let part = 0;

/** As one more worker. */
export async function writeRows(notes: Notes, rows: readonly IndexRow[]): Promise<void> {
  for (const [day, some] of Map.groupBy(rows, indexDayOf))
    await notes.create(partName(day, `w${String((part += 1))}`), linesOf(some), signal());
}

export function searchSuite(name: string, open: () => Promise<SearchHarness>): void {
  const check = (sentence: string, run: (scene: Scene) => Promise<void>): void => {
    test(sentence, { timeout: 300_000 }, async () => {
      const harness = await open();
      const clock = new FakeClock();
      const search = await harness.open(clock);
      const find: Scene['find'] = (asked = {}) => search.search({ ...EVERYTHING, ...asked }, signal());
      try {
        await run({
          search,
          clock,
          notes: harness.notes,
          find,
          keys: async (asked) => (await find(asked)).rows.map(({ key }) => key),
          write: (...rows) => writeRows(harness.notes, rows),
        });
      } finally {
        await search.close();
        await harness.close();
      }
    });
  };

  describe(`${name} finds`, () => {
    check('by the beginning of agent, queue, number and ids, whatever case, accents and punctuation', async (scene) => {
      await scene.write(
        rowAt('2026-11-27T16:58:07.000Z', `${C1}.${R1}`, {
          agent: 'Inês O’Brien-Carvalho',
          inQueue: 'Claims & Returns',
          customerNumber: '+442079460183',
        }),
        rowAt('2026-11-27T16:51:00.000Z', 'c2.r2', {
          agent: 'Tomas Brandt',
          inQueue: 'Renewals',
          customerNumber: '+49301234567',
        }),
      );
      for (const text of [
        'ines',
        'INES',
        'Inê',
        'carv',
        'o’brien',
        "O'Brien",
        'ines carvalho',
        'carvalho ines',
        'claims',
        'retur',
        '+44 20 7946 0183',
        '+442079460183',
        '0044 20 7946',
        '442079',
        '020 7946 0183',
        '0183',
        '7946 0183',
        C1,
        C1.toUpperCase(),
        C1.slice(0, 8),
        'b0c5b9e0-5b',
        R1,
        '8f1c',
        `ines ${R1.slice(0, 9)}`,
        `${C1}/${R1}`,
        `${C1}.${R1}`,
        `${C1}.${R1.slice(0, 9)}`,
        `_/${R1}`,
        'ines 0183',
      ])
        assert.deepEqual(await scene.keys({ text }), [`${C1}.${R1}`], text);
      for (const text of [
        'nes',
        'alho',
        'ines brandt',
        '9999',
        C1.slice(1),
        `${C1}0`,
        `${C1}/r2`,
        `c2/${R1}`,
        'ines claimsx',
        'zz top',
      ])
        assert.deepEqual(await scene.keys({ text }), [], text);
      for (const text of ['', '   ', '"', '***', "' OR 1=1 --", 'NEAR(', '()', '*', '+', '-'])
        await assert.doesNotReject(scene.keys({ text }), text);
      for (const text of ['', '  ', '!?']) assert.deepEqual(await scene.keys({ text }), [`${C1}.${R1}`, 'c2.r2'], text);
    });

    check(
      'names that are scripts, of any writing, and numbers of 300 characters, and gives them back as they are',
      async (scene) => {
        const names = [
          '<script>alert(1)</script>',
          'مها العتيبي',
          '山田 太郎',
          'Ḑ̷̛e̴m̵o̶',
          '"; DROP TABLE row;--',
          '\u202Egnp.exe',
          '👩‍💻 Ada',
        ];
        const long = `+${'1234567890'.repeat(30)}`;
        await scene.write(
          ...names.map((agent, n) => rowAt(`2026-11-27T10:00:0${String(n)}.000Z`, `c${String(n)}.r`, { agent })),
          rowAt('2026-11-27T09:00:00.000Z', 'long.r', { customerNumber: long }),
          rowAt('2026-11-27T08:00:00.000Z', 'sip.r', { customerNumber: 'maya.okoro@example.com' }),
        );
        for (const [n, text] of ['script', 'مها', '山', 'demo', 'drop tab', 'gnp', 'ada'].entries()) {
          const { rows } = await scene.find({ text });
          assert.deepEqual(
            rows.map(({ agents }) => agents),
            [[names[n]]],
            text,
          );
        }
        assert.deepEqual(
          (await scene.find({ text: '1234567890' })).rows.map(({ number }) => number),
          [long],
        );
        assert.deepEqual(await scene.keys({ text: 'maya' }), ['sip.r']);
      },
    );

    check('nobody by a part of a number who may not see numbers, and still by a whole one', async (scene) => {
      const number = { customerNumber: '+442079460183' };
      await scene.write(rowAt('2026-11-27T16:58:07.000Z', 'c1.r1', { agent: 'Ines', ...number }));
      await scene.write(rowAt('2026-11-27T16:58:07.000Z', 'c2.r2', { customerNumber: 'maya@example.com' }));
      const hidden = { mayFindNumbers: false };
      for (const text of ['4420', '0183', '44207946018', '+44 20', '2079460183', 'maya', 'example'])
        assert.deepEqual(await scene.keys({ text, ...hidden }), [], text);
      assert.deepEqual(await scene.keys({ text: '+44 20 7946 0183', ...hidden }), ['c1.r1']);
      assert.deepEqual(await scene.keys({ text: 'ines', ...hidden }), ['c1.r1']);
    });

    check('of what is found what the filters say: days, length, status, direction, queue', async (scene) => {
      const missing = { medium: null, durationMs: null, archivedAt: null } as const;
      await scene.write(
        rowAt('2026-11-25T23:59:59.999Z', 'c0.r', { durationMs: 60_000, direction: 'inbound', inQueue: 'Claims' }),
        rowAt('2026-11-26T00:00:00.000Z', 'c1.r', { durationMs: 61_000, direction: 'outbound', inQueue: 'Claims' }),
        rowAt('2026-11-26T10:00:00.000Z', 'c2.r', { ...missing, status: 'failed', code: 'unreadable-media' }),
        rowAt('2026-11-26T11:00:00.000Z', 'c3._', { ...missing, status: 'no-recordings', code: 'no-recordings' }),
        rowAt('2026-11-26T12:00:00.000Z', 'c4._', { ...missing, status: 'waiting', code: 'not-ready' }),
        rowAt('2026-11-26T23:59:59.999Z', 'c5.r', {
          durationMs: 7_200_000,
          direction: 'inbound',
          inQueue: 'Claims Two',
        }),
        rowAt('2026-11-27T00:00:00.000Z', 'c6.r', { ...missing, status: 'no-media', code: 'no-media' }),
      );
      const table: readonly (readonly [Partial<SearchQuery>, readonly string[]])[] = [
        [{}, ['c6.r', 'c5.r', 'c4._', 'c2.r', 'c1.r', 'c0.r']],
        [{ from: '2026-11-26', to: '2026-11-26' }, ['c5.r', 'c4._', 'c2.r', 'c1.r']],
        [{ minDurationMs: 60_000 }, ['c5.r', 'c1.r', 'c0.r']],
        [{ minDurationMs: 60_001 }, ['c5.r', 'c1.r']],
        [{ status: 'failed' }, ['c2.r']],
        [{ status: 'waiting' }, ['c4._']],
        [{ status: 'no-recordings' }, ['c3._']],
        [{ status: 'no-media' }, ['c6.r']],
        [{ status: 'archived' }, ['c5.r', 'c1.r', 'c0.r']],
        [{ direction: 'inbound' }, ['c5.r', 'c0.r']],
        [{ direction: 'outbound', minDurationMs: 1 }, ['c1.r']],
        [{ queue: 'Claims' }, ['c1.r', 'c0.r']],
        [{ queue: 'claims two', status: 'archived' }, ['c5.r']],
        [{ text: 'claims', direction: 'inbound', to: '2026-11-25' }, ['c0.r']],
        [{ text: 'c4' }, ['c4._']],
        [{ text: 'c4x' }, []],
        [{ status: 'failed', text: 'claims' }, []],
      ];
      for (const [asked, expected] of table) {
        const page = await scene.find(asked);
        assert.deepEqual(
          page.rows.map(({ key }) => key),
          expected,
          JSON.stringify(asked),
        );
        assert.equal(page.found, expected.length, JSON.stringify(asked));
        assert.equal(page.isMore, false);
      }
    });

    check('of each division what is its own, and what has none for those who see all', async (scene) => {
      await scene.write(
        rowAt('2026-11-27T10:00:00.000Z', 'c1.r', { divisions: ['d-1'], agent: 'Ines' }),
        rowAt('2026-11-27T11:00:00.000Z', 'c2.r', { divisions: ['d-2', 'd-3'], agent: 'Ines' }),
        rowAt('2026-11-27T12:00:00.000Z', 'c3.r', { divisions: [], agent: 'Ines' }),
      );
      const seen = async (divisions: readonly string[] | undefined, text = ''): Promise<readonly string[]> =>
        scene.keys({ divisions, text });
      assert.deepEqual(await seen(undefined), ['c3.r', 'c2.r', 'c1.r']);
      assert.deepEqual(await seen(['d-1']), ['c1.r']);
      assert.deepEqual(await seen(['d-3', 'd-1'], 'ines'), ['c2.r', 'c1.r']);
      assert.deepEqual(await seen(['d-']), []);
      assert.deepEqual(await seen([]), []);
    });

    check('all facts of a row as they were', async (scene) => {
      const lanes = ['0123456789abcdef0123456789ab', 'ffffffffffffffffffffffffffff'];
      await scene.write(
        rowAt('2026-11-27T16:58:07.125Z', `${C1}.${R1}`, {
          agents: [
            { id: 'u1', name: 'Ines Carvalho' },
            { id: 'u2', name: null },
          ],
          inQueue: 'Claims',
          customerNumber: '+442079460183',
          direction: 'inbound',
          durationMs: 462_000.4,
          divisions: ['d-1'],
          picture: lanes,
        }),
      );
      const expected: FoundRow = {
        key: `${C1}.${R1}`,
        conversationId: C1,
        recordingId: R1,
        status: 'archived',
        startedAt: '2026-11-27T16:58:07.125Z',
        medium: 'audio',
        durationMs: 462_000,
        direction: 'inbound',
        agents: ['Ines Carvalho', 'u2'],
        queues: ['Claims'],
        number: '+442079460183',
        divisions: ['d-1'],
        picture: lanes,
        code: null,
      };
      assert.deepEqual((await scene.find()).rows, [expected]);
    });

    check(
      'page after page everything once, the newest first, also within one second and while more comes',
      async (scene) => {
        const rows = Array.from({ length: 120 }, (_, n) => {
          const day = 25 + Math.floor(n / 50);
          return rowAt(
            `2026-11-${String(day)}T10:00:${String(Math.floor((n % 50) / 10)).padStart(2, '0')}.000Z`,
            `c${String(n)}.r`,
            { agent: 'Ines' },
          );
        });
        await scene.write(...rows);
        for (const text of ['', 'ines']) {
          const seen: FoundRow[] = [];
          let cursor: string | undefined;
          do {
            const page = await scene.find({ text, limit: 7, cursor });
            assert.equal(page.found, 120);
            seen.push(...page.rows);
            ({ cursor } = page);
          } while (cursor !== undefined);
          assert.equal(new Set(seen.map(({ key }) => key)).size, 120);
          assert.equal(seen.length, 120);
          const moments = seen.map(({ startedAt }) => startedAt);
          assert.deepEqual(moments, moments.toSorted().toReversed());
        }
        const first = await scene.find({ limit: 40 });
        await scene.write(rowAt('2026-11-27T23:00:00.000Z', 'new.r', { agent: 'Ines' }));
        scene.clock.advance(LATER_MS);
        const second = await scene.find({ limit: 40, cursor: first.cursor });
        assert.equal(
          second.rows.some(({ key }) => first.rows.some((row) => row.key === key)),
          false,
        );
        assert.equal(second.found, 121);
      },
    );

    check('what counts: of several rows of a recording the newest, and none where it moved', async (scene) => {
      const started = '2026-11-27T10:00:00.000Z';
      const missing = { medium: null, durationMs: null, archivedAt: null } as const;
      await scene.write(rowAt(started, 'c1.r', { at: '2026-11-27T10:05:00.000Z', agent: 'Ines' }));
      await scene.write(
        rowAt(started, 'c1.r', { at: '2026-11-27T10:01:00.000Z', ...missing, status: 'waiting', code: 'not-ready' }),
      );
      await scene.write(rowAt(started, 'c2.r', { at: '2026-11-27T10:01:00.000Z' }));
      assert.deepEqual((await scene.find()).rows.map(({ key, status }) => `${key} ${status}`).toSorted(), [
        'c1.r archived',
        'c2.r archived',
      ]);
      await scene.write(rowAt(started, 'c1.r', { at: '2026-11-27T11:00:00.000Z', agent: 'Wen' }));
      scene.clock.advance(LATER_MS);
      assert.deepEqual(await scene.keys({ text: 'ines' }), []);
      assert.deepEqual(await scene.keys({ text: 'wen' }), ['c1.r']);
      // Known by now to have begun on the day before.
      await scene.write(
        rowAt(started, 'c1.r', { at: '2026-11-27T12:00:00.000Z', ...missing, status: 'moved' }),
        rowAt('2026-11-26T23:59:00.000Z', 'c1.r', { at: '2026-11-27T12:00:00.000Z', agent: 'Wen' }),
      );
      scene.clock.advance(LATER_MS);
      assert.deepEqual(
        (await scene.find({ text: 'wen' })).rows.map(({ startedAt }) => startedAt),
        ['2026-11-26T23:59:00.000Z'],
      );
    });

    check('nothing of what is taken out of the index and marked as erased', async (scene) => {
      await scene.write(
        rowAt('2026-11-27T10:00:00.000Z', 'c1.r1', { agent: 'Ines' }),
        rowAt('2026-11-27T10:00:01.000Z', 'c1.r2', { agent: 'Ines' }),
        rowAt('2026-11-27T10:00:02.000Z', 'c2.r3', { agent: 'Ines' }),
        rowAt('2026-11-27T10:00:03.000Z', 'c3.r4', { agent: 'Ines' }),
      );
      assert.equal((await scene.keys({ text: 'ines' })).length, 4);
      for await (const { name: file } of scene.notes.list('index/', signal())) await scene.notes.remove(file, signal());
      await scene.write(rowAt('2026-11-27T10:00:03.000Z', 'c3.r4', { agent: 'Ines' }));
      await scene.notes.create('erased/c1._.json', '{}', signal());
      await scene.notes.create('erased/c2.r3.json', '{}', signal());
      scene.clock.advance(LATER_MS);
      assert.deepEqual(await scene.keys({ text: 'ines' }), ['c3.r4']);
    });

    check('no more than 92 days at once, and says which field is wrong', async (scene) => {
      const table: readonly (readonly [Partial<SearchQuery>, RegExp])[] = [
        [{ from: '2026-08-28', to: '2026-11-28' }, /^from: at most 92/],
        [{ from: '2026-11-28', to: '2026-11-27' }, /^to: /],
        [{ from: '2026-02-30' }, /^from: /],
        [{ to: '2569-11-28x' }, /^to: /],
        [{ text: 'x'.repeat(201) }, /^q: /],
        [{ cursor: 'ü' }, /^cursor: /],
        [{ cursor: '99999999999999' }, /^cursor: /],
        [{ limit: 0 }, /^limit: /],
        [{ limit: 501 }, /^limit: /],
        [{ minDurationMs: NaN }, /^minLength: /],
      ];
      for (const [asked, message] of table)
        await assert.rejects(scene.find(asked), { code: 'bad-request', message }, JSON.stringify(asked));
      await assert.doesNotReject(scene.find({ from: '2026-08-29', to: '2026-11-28' }));
      await assert.doesNotReject(scene.find({ from: '2569-11-28', to: '2569-11-28' }));
    });

    check('nothing where nothing lies, and what is damaged costs no more than itself', async (scene) => {
      assert.deepEqual((await scene.find()).rows, []);
      const good = linesOf([rowAt('2026-11-27T10:00:00.000Z', 'c1.r1', { agent: 'Ines' })]);
      const wrongKey = linesOf([{ ...rowAt('2026-11-27T10:00:01.000Z', 'c2.r2'), key: 'c9.r9' }]);
      const noKey = linesOf([{ ...rowAt('2026-11-27T10:00:01.000Z', 'c2.r2'), key: '../../x' }]);
      const noTime = linesOf([
        rowAt('yesterday', 'c4.r4'),
        { ...rowAt('2026-11-27T10:00:01.000Z', 'c5.r5'), startedAt: 'soon', conversationStart: 'soon' },
      ]);
      await scene.notes.create(
        partName('2026-11-27', 'x'),
        `{"key":\n${good}nonsense\n${wrongKey}${noKey}${noTime}[]\nnull\n`,
        signal(),
      );
      scene.clock.advance(LATER_MS);
      assert.deepEqual(await scene.keys(), ['c1.r1']);
    });

    check('nothing for a caller who has left', async (scene) => {
      const gone = AbortSignal.abort(new Error('left'));
      await assert.rejects(scene.search.search(EVERYTHING, gone), /left/);
    });
  });
}

const EVERYTHING: SearchQuery = { text: '', from: '2026-11-20', to: '2026-11-28', mayFindNumbers: true, limit: 50 };

export function manyRows(count: number, facts: (n: number) => RowFacts = () => ({})): readonly IndexRow[] {
  return Array.from({ length: count }, (_, n) =>
    rowAt(new Date(Date.UTC(2026, 10, 27) + n * 1_000).toISOString(), `c${String(n)}.r${String(n)}`, facts(n)),
  );
}

/** Rows that come, change, move and go, in any order → found by every question as a plain look at all of them finds them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATUSES } from '../../src/archive/archive.ts';
import type { IndexRow } from '../../src/archive/index-row.ts';
import { openIndexInMemory } from '../../src/search/index-database.ts';
import { placesOf } from '../../src/search/place.ts';
import { RowTable } from '../../src/search/row-table.ts';
import { runs, SEED, seeded } from '../support/soak.ts';
import { rowAt } from '../support/search/rows.ts';

const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 10, 1);
const DAYS = 6;
const AGENTS = ['Ines Carvalho', 'Inès O’Brien', '山田 太郎', 'mitarbeiterin', 'Wen', 'Queue Queue', '𠮷野 Ken'];
const QUEUES = ['Queue', 'Queue 3', 'Queue 31', 'Kundenservice', 'Q'];
/** More than are looked for one by one. */
const CROWD = 90;

interface Wanted {
  readonly text: string;
  readonly status?: (typeof STATUSES)[number];
  readonly direction?: 'inbound' | 'outbound';
  readonly minDurationMs?: number;
}

for (let round = 0; round < runs(3, 60); round += 1) {
  const seed = SEED + round;
  test(
    `whatever comes in whatever order is found by whatever is asked (seed ${String(seed)})`,
    { timeout: 300_000 },
    () => {
      const random = seeded(seed);
      const pick = <T>(from: readonly T[]): T => {
        const picked = from[Math.floor(random() * from.length)];
        return picked === undefined ? assert.fail() : picked;
      };
      const database = openIndexInMemory();
      const table = new RowTable(database);
      const model = new Map<string, IndexRow>();
      for (let batch = 0; batch < 25; batch += 1) {
        const rows = Array.from({ length: 1 + Math.floor(random() * 30) }, () => someRow(random, pick, batch));
        table.put(rows);
        for (const row of newestOfEach(rows)) keepNewest(model, row);
        if (batch % 4 === 3) {
          const gone = [...model.keys()].filter(() => random() < 0.2);
          table.remove(gone);
          for (const key of gone) model.delete(key);
        }
        database.exec("INSERT INTO word (word) VALUES ('integrity-check')");
        for (let asked = 0; asked < 12; asked += 1) {
          const wanted = someQuestion(random, pick);
          const [one, other] = [Math.floor(random() * DAYS), Math.floor(random() * DAYS)];
          const days = [
            dayOf(START + Math.min(one, other) * DAY_MS),
            dayOf(START + Math.max(one, other) * DAY_MS),
          ] as const;
          const found = table.rows(table.ids({ ...wanted, mayFindNumbers: true }, placesOf(...days), 10_000));
          const expected = [...model.values()].filter((row) => isWanted(row, wanted) && isWithin(row, days));
          assert.deepEqual(
            found.map(({ key }) => key).toSorted(),
            expected.map(({ key }) => key).toSorted(),
            JSON.stringify({ wanted, days }),
          );
        }
      }
      table.remove(model.keys());
      assert.equal(table.size, 0);
      database.exec("CREATE VIRTUAL TABLE temp.left USING fts5vocab (main, word, 'row')");
      assert.deepEqual(database.prepare('SELECT term FROM temp.left').all(), [], 'no word outlives its rows');
      database.close();
    },
  );
}

type Pick = <T>(from: readonly T[]) => T;

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** `batch` sets later rows of a key apart from earlier ones, now and then not. */
function someRow(random: () => number, pick: Pick, batch: number): IndexRow {
  const n = Math.floor(random() * 150);
  const status = random() < 0.7 ? 'archived' : pick([...STATUSES, 'moved' as const]);
  return rowAt(new Date(START + Math.floor(random() * DAYS * DAY_MS)).toISOString(), `c${String(n)}.r${String(n)}`, {
    at: new Date(START + DAYS * DAY_MS + Math.max(batch - Math.floor(random() * 3), 0) * 1_000).toISOString(),
    status,
    agent: random() < 0.3 ? `benutzer${String(Math.floor(random() * CROWD) + 100)}` : pick(AGENTS),
    inQueue: pick(QUEUES),
    customerNumber: pick([null, '+442079460183', '+442079', `+4930${String(Math.floor(random() * 1e7))}`]),
    direction: pick([null, 'inbound', 'outbound']),
    durationMs: pick([null, 0, 59_999, 60_000, 60_001, Math.floor(random() * 4e6), 1e9]),
  });
}

function newestOfEach(rows: readonly IndexRow[]): readonly IndexRow[] {
  const newest = new Map<string, IndexRow>();
  for (const row of rows) if ((newest.get(row.key)?.at ?? '') <= row.at) newest.set(row.key, row);
  return [...newest.values()];
}

/** Of what has moved away nothing is remembered. */
function keepNewest(model: Map<string, IndexRow>, row: IndexRow): void {
  const known = model.get(row.key);
  if (known !== undefined && known.at > row.at) return;
  if (row.status === 'moved') model.delete(row.key);
  else model.set(row.key, row);
}

function someQuestion(random: () => number, pick: Pick): Wanted {
  const name = pick([
    ...AGENTS,
    ...QUEUES,
    `benutzer${String(Math.floor(random() * CROWD) + 100)}`,
    '+442079460183',
    '+4930',
  ]);
  const start = name.slice(0, 1 + Math.floor(random() * name.length));
  return {
    text: random() < 0.2 ? '' : random() < 0.3 ? `${start} ${pick(['q', 'ines', 'kun'])}` : start,
    ...(random() < 0.3 ? { status: pick(STATUSES) } : {}),
    ...(random() < 0.3 ? { direction: pick(['inbound', 'outbound'] as const) } : {}),
    ...(random() < 0.3 ? { minDurationMs: pick([0, 1, 59_999, 60_000, 60_001, 2e6, 5e8, 2e9]) } : {}),
  };
}

function isWithin(row: IndexRow, [from, to]: readonly [string, string]): boolean {
  const day = row.startedAt?.slice(0, 10) ?? '';
  return from <= day && day <= to;
}

function isWanted(row: IndexRow, { text, status, direction, minDurationMs }: Wanted): boolean {
  if (status === undefined ? row.status === 'no-recordings' : row.status !== status) return false;
  if (direction !== undefined && row.direction !== direction) return false;
  if (minDurationMs !== undefined && (row.durationMs === null || row.durationMs < minDurationMs)) return false;
  return partsOf(text).every((part) => meets(row, part));
}

/** Digits that follow each other are one number. */
function partsOf(text: string): readonly string[] {
  return text.split(' ').filter((part) => /[\p{L}\p{N}]/u.test(part));
}

function plain(text: string): readonly string[] {
  return text
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '');
}

function meets(row: IndexRow, part: string): boolean {
  const words = [...row.agents, ...row.queues].flatMap(({ name }) => plain(name ?? ''));
  if (plain(part).every((typed) => words.some((word) => word.startsWith(typed)))) return true;
  const id = part.toLowerCase();
  const ids = [row.conversationId ?? '', row.recordingId ?? ''];
  if (ids.some((known) => (id.length >= 4 ? known.startsWith(id) : known === id))) return true;
  if (!/^\+?\d+$/.test(part)) return false;
  const number = (row.customerNumber ?? '').replaceAll(/\D/g, '');
  const digits = part.replaceAll(/\D/g, '');
  return digits.length >= 4 ? number.startsWith(digits) || number.endsWith(digits) : number === digits;
}

/** The embedded search, fed with many rows → rows: what each costs to feed and to keep, and how soon the first page is there. */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { IndexRow } from '../../src/archive/index-row.ts';
import { openArchive } from '../../src/archive/open-archive.ts';
import { readConfig } from '../../src/config/config.ts';
import type { SearchQuery } from '../../src/search/search.ts';
import { SqliteSearch } from '../../src/search/sqlite-search.ts';
import { rowAt } from '../support/search/rows.ts';
import type { Bench, Row } from './row.ts';

const DAYS = 90;
const FIRST_DAY_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const BATCH = 1_000;
const AGENTS = 500;
const TIMES = 5;

const QUERY: SearchQuery = { text: '', from: '2026-01-01', to: '2026-03-31', mayFindNumbers: true, limit: 50 };
/** Everything, one agent, a word that half of all rows have, and one row. */
const TEXTS = ['', 'agent-77', 'billing', 'conv-4711'];

export async function searchRows(bench: Bench): Promise<readonly Row[]> {
  const count = bench.quick ? 100_000 : 1_000_000;
  const root = join(bench.folder, 'search');
  mkdirSync(root);
  const config = readConfig({ ARCHIVE_URL: `file:${join(root, 'archive')}`, WEBHOOK_AUTH: 'none' }, 'receiver');
  const { archive } = await openArchive(config, { publicUrl: '' });
  const onTrouble = (error: unknown): void => bench.say(`search: ${String(error)}`);
  const path = join(root, 'index.db');
  const search = new SqliteSearch({ path, archive, onTrouble });
  try {
    bench.say(`search: ${String(count)} recordings`);
    const feedUs = feed(search, count) / count;
    const pages: number[] = [];
    for (const text of TEXTS) pages.push(await firstPageMs(search, { ...QUERY, text }));
    const slowest = Math.max(...pages);
    const bytes = (statSync(path).size + sizeOrNone(`${path}-wal`)) / count;
    const each = pages.map((ms) => ms.toFixed(1)).join(', ');
    const among = `search, ${count.toLocaleString('en')} recordings embedded`;
    return [
      rowOf(`${among}: first page of ${String(DAYS)} days: all, an agent, half of all, one`, `${each} ms`, [
        slowest,
        100,
        'ms',
      ]),
      rowOf(`${among}: kept`, `${bytes.toFixed(0)} bytes a row`, [bytes, 500, 'bytes']),
      rowOf(`${among}: fed, CPU`, `${feedUs.toFixed(1)} µs a row`, [feedUs, 40, 'µs']),
    ];
  } finally {
    await search.close();
    await archive.close();
  }
}

/** CPU in µs, without that of making the rows. */
function feed(search: SqliteSearch, count: number): number {
  let spent = 0;
  for (let start = 0; start < count; start += BATCH) {
    const rows = Array.from({ length: Math.min(BATCH, count - start) }, (_, at) => rowNumber(start + at, count));
    const before = process.cpuUsage();
    search.put(rows);
    const { user, system } = process.cpuUsage(before);
    spent += user + system;
  }
  return spent;
}

function rowNumber(index: number, count: number): IndexRow {
  const at = new Date(FIRST_DAY_MS + Math.floor((index / count) * DAYS * DAY_MS)).toISOString();
  const id = index.toString(16).padStart(12, '0');
  const agent = `Agent-${String((index * 7919) % AGENTS)} Smith`;
  return rowAt(at, `conv-${String(index)}.0d5f1c3e-0000-4000-8000-${id}`, {
    agent,
    inQueue: index % 2 === 0 ? 'Billing' : 'Service desk',
  });
}

/** The least of several, CPU: nothing waits for anything here. */
async function firstPageMs(search: SqliteSearch, query: SearchQuery): Promise<number> {
  const taken: number[] = [];
  for (let time = 0; time < TIMES; time += 1) {
    const before = process.cpuUsage();
    const { rows } = await search.search(query, AbortSignal.timeout(60_000));
    const { user, system } = process.cpuUsage(before);
    taken.push((user + system) / 1000);
    if (rows.length === 0) throw new Error(`Nothing was found for "${query.text}".`);
  }
  return Math.min(...taken);
}

function sizeOrNone(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function rowOf(work: string, ours: string, [value, most, unit]: readonly [number, number, string]): Row {
  return { work, reference: '–', ours, target: `${String(most)} ${unit}`, met: value <= most };
}

/**
 * Rows of the index in SQLite → those that are asked for, the newest first. A row's number is its place in time, so that order,
 * range of days and cursor are one and the same number.
 */
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import type { Status } from '../archive/archive.ts';
import type { IndexRow } from '../archive/index-row.ts';
import { subjectOfKey } from '../archive/names.ts';
import { isInstant } from '../instant.ts';
import { packRow, unpackRow } from './packed.ts';
import { hashOfKey, rowPlace } from './place.ts';
import type { FoundRow, SearchQuery } from './search.ts';
import { expressionOf, idExpression, MOST_SPELLED, wordsOf } from './words.ts';

/** Raise it with every change of tables or words: what is found under another one is made anew. */
export const ROWS_VERSION = 2;

/**
 * Contentless: the words of a row are not kept twice, and are made again of the row where it is taken out
 * (https://sqlite.org/fts5.html#contentless_tables), leaving no trace. `hash` is that of its key: two rows may share it. `about` is
 * JSON: what is shown and not asked for. Merged twice as seldom as by default: rows come all the time, questions now and then.
 */
export const ROWS_SCHEMA = `
  CREATE TABLE row (
    id INTEGER PRIMARY KEY,
    hash INTEGER NOT NULL,
    conversation ANY,
    recording ANY,
    status INTEGER NOT NULL,
    direction INTEGER,
    duration_ms INTEGER,
    at_ms INTEGER NOT NULL,
    picture BLOB,
    about TEXT NOT NULL
  ) STRICT;
  CREATE INDEX row_hash ON row (hash);
  CREATE VIRTUAL TABLE word USING fts5 (words, content = '', detail = none, columnsize = 0, tokenize = 'ascii');
  INSERT INTO word (word, rank) VALUES ('secure-delete', 1), ('automerge', 8);
`;

/** Where in time to look: places, both inclusive. */
export interface PlaceRange {
  readonly first: number;
  readonly last: number;
}

export type Conditions = Pick<
  SearchQuery,
  'text' | 'queue' | 'divisions' | 'mayFindNumbers' | 'status' | 'direction' | 'minDurationMs'
>;

interface PlacedRow {
  readonly id: number;
  readonly row: FoundRow;
  /** As of when it speaks. */
  readonly atMs: number;
}

interface WantedRow {
  readonly key: string;
  readonly hash: number;
  readonly place: number;
  readonly atMs: number;
  /** undefined where nothing is to be there any more. */
  readonly found: FoundRow | undefined;
}

export class RowTable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Of a database that has {@link ROWS_SCHEMA}; one table of a connection. */
  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec("CREATE VIRTUAL TABLE temp.spelling USING fts5vocab (main, word, 'row')");
  }

  /** In one transaction. A row that is known as of later stays. */
  put(rows: Iterable<IndexRow>): void {
    this.#together(() => {
      for (const wanted of inOrder(rows)) this.#put(wanted);
    });
  }

  /** Like {@link put}, for a table that has none of them yet, each once: nothing is looked up. */
  load(rows: Iterable<IndexRow>): void {
    this.#together(() => {
      for (const wanted of inOrder(rows)) if (wanted.found !== undefined) this.#bringIn(wanted, wanted.found);
    });
  }

  /** In one transaction. `{conversationId}._` takes out the conversation with all that is in it. */
  remove(keys: Iterable<string>): void {
    this.#together(() => {
      for (const key of keys)
        for (const placed of this.#about(key))
          if (placed.row.key === key || key === `${placed.row.conversationId ?? ''}._`) this.#takeOut(placed);
    });
  }

  /** Numbers of the rows, the newest first, at most `most`. */
  ids(conditions: Conditions, { first, last }: PlaceRange, most: number): readonly number[] {
    const words = expressionOf(conditions, (beginning, longest) => this.#spell(beginning, longest));
    const { minDurationMs } = conditions;
    // By their words some may be a little too short.
    const long =
      minDurationMs === undefined ? '' : 'AND (SELECT duration_ms FROM row WHERE id = word.rowid) >= :duration';
    const sql = `SELECT rowid AS id FROM word
      WHERE word MATCH :words AND rowid BETWEEN :first AND :last ${long} ORDER BY rowid DESC LIMIT :most`;
    const values = { words, first, last, most, ...(minDurationMs === undefined ? {} : { duration: minDurationMs }) };
    return this.#prepared(sql)
      .all(values)
      .map(({ id }) => Number(id));
  }

  /** In the order of the numbers. */
  rows(ids: readonly number[]): readonly FoundRow[] {
    return ids.flatMap((id) => this.#read(id)?.row ?? []);
  }

  get size(): number {
    return Number(this.#prepared('SELECT count(*) AS count FROM row').get()?.['count'] ?? 0);
  }

  /** https://sqlite.org/fts5.html#the_fts5vocab_virtual_table_module */
  #spell(beginning: string, longest: number): readonly string[] | undefined {
    const sql = 'SELECT term FROM temp.spelling WHERE term >= ? AND term < ? AND length(term) <= ? LIMIT ?';
    const found = this.#prepared(sql).all(beginning, `${beginning}\u{10ffff}`, longest, MOST_SPELLED + 1);
    return found.length > MOST_SPELLED ? undefined : found.map(({ term }) => String(term));
  }

  #put(wanted: WantedRow): void {
    const { key, hash, atMs, found } = wanted;
    const known = this.#find(key, hash);
    if (known !== undefined && known.atMs > atMs) return;
    if (known?.atMs === atMs && isDeepStrictEqual(known.row, found)) return;
    if (known !== undefined) this.#takeOut(known);
    if (found !== undefined) this.#bringIn(wanted, found);
  }

  /** The first place from its own on that is free. */
  #bringIn({ place, hash, atMs }: WantedRow, found: FoundRow): void {
    const insert = this.#prepared('INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING');
    const { conversation, recording, status, direction, duration, picture, about } = packRow(found);
    let id = place;
    const add = (): boolean =>
      insert.run(id, hash, conversation, recording, status, direction, duration, atMs, picture, about).changes === 1;
    while (!add()) id += 1;
    this.#prepared('INSERT INTO word (rowid, words) VALUES (?, ?)').run(id, wordsOf(found));
  }

  #takeOut({ id, row }: PlacedRow): void {
    this.#prepared("INSERT INTO word (word, rowid, words) VALUES ('delete', ?, ?)").run(id, wordsOf(row));
    this.#prepared('DELETE FROM row WHERE id = ?').run(id);
  }

  #find(key: string, hash: number): PlacedRow | undefined {
    const stored = this.#prepared('SELECT * FROM row WHERE hash = ?').all(hash);
    return stored.map(placedRow).find(({ row }) => row.key === key);
  }

  /** Ids are words too: no index of their own. A word may stand for two ids, so that whoever asks looks at the key. */
  #about(key: string): readonly PlacedRow[] {
    const { recordingId, conversationId } = subjectOfKey(key) ?? {};
    const words = idExpression(recordingId ?? conversationId ?? '');
    const found = this.#prepared('SELECT rowid AS id FROM word WHERE word MATCH ?').all(words);
    return found.flatMap(({ id }) => this.#read(Number(id)) ?? []);
  }

  #read(id: number): PlacedRow | undefined {
    const stored = this.#prepared('SELECT * FROM row WHERE id = ?').get(id);
    return stored === undefined ? undefined : placedRow(stored);
  }

  #together(change: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      change();
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #prepared(sql: string): StatementSync {
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

/** Of several lines of one key the newest counts, of those of one moment the last. By place: others cost a new part of the index each. */
function inOrder(rows: Iterable<IndexRow>): readonly WantedRow[] {
  const wanted = new Map<string, WantedRow>();
  for (const row of rows) {
    if (!hasPlace(row)) continue;
    const { key, status } = row;
    const atMs = Date.parse(row.at);
    const before = wanted.get(key);
    if (before !== undefined && before.atMs > atMs) continue;
    const [place, hash] = [rowPlace(Date.parse(rowMoment(row)), row), hashOfKey(key)];
    wanted.set(key, { key, hash, place, atMs, found: status === 'moved' ? undefined : foundRow(row, status) });
  }
  return [...wanted.values()].toSorted((a, b) => a.place - b.place);
}

function placedRow(stored: Readonly<Record<string, SQLOutputValue>>): PlacedRow {
  return { id: Number(stored['id']), atMs: Number(stored['at_ms']), row: unpackRow(stored) };
}

/** A line that has no place in time, or whose ids are not those of its key, could not be found again. */
function hasPlace(row: IndexRow): boolean {
  const { key, conversationId, recordingId, at } = row;
  const isNamed = key === `${conversationId ?? '_'}.${recordingId ?? '_'}` && subjectOfKey(key) !== undefined;
  return isNamed && [...new Set([at, rowMoment(row), row.startedAt ?? at])].every(isInstant);
}

/** On the day of its index, so that days of a search are days of the index, whatever a recording's own clock says. */
function rowMoment(row: IndexRow): string {
  return row.conversationStart ?? row.startedAt ?? row.archivedAt ?? row.at;
}

function foundRow(row: IndexRow, status: Status): FoundRow {
  const { key, conversationId, recordingId, medium, durationMs, direction, divisions, picture, code } = row;
  return {
    key,
    conversationId,
    recordingId,
    status,
    startedAt: new Date(row.startedAt ?? rowMoment(row)).toISOString(),
    medium,
    durationMs: durationMs === null ? null : Math.round(durationMs),
    direction,
    agents: namesOf(row.agents),
    queues: namesOf(row.queues),
    number: row.customerNumber,
    divisions,
    picture: picture.filter((lane) => /^[0-9a-f]{28}$/.test(lane)),
    code,
  };
}

function namesOf(parties: IndexRow['agents']): readonly string[] {
  return parties.flatMap(({ name, id }) => name ?? id ?? []);
}

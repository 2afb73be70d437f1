/**
 * Rows of the index in SQLite → those that are asked for, the newest first. A row's number is its place in time, so that order,
 * range of days and cursor are one and the same number.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import { STATUSES, type Status } from '../archive/archive.ts';
import type { IndexRow } from '../archive/index-row.ts';
import { subjectOfKey } from '../archive/names.ts';
import { isInstant } from '../instant.ts';
import { DIRECTIONS, packRow, unpackRow } from './packed.ts';
import { rowPlace } from './place.ts';
import type { FoundRow, SearchQuery } from './search.ts';
import { expressionOf, idExpression, INDEXED_PREFIXES, wordsOf } from './words.ts';

/** Raise it with every change of tables or words: what is found under another one is made anew. */
export const ROWS_VERSION = 1;

/**
 * Contentless: the words of a row are not kept twice, and are made again of the row where it is taken out
 * (https://sqlite.org/fts5.html#contentless_tables), leaving no trace. `about` is JSON: what is shown and not asked for.
 */
export const ROWS_SCHEMA = `
  CREATE TABLE row (
    id INTEGER PRIMARY KEY,
    conversation ANY,
    recording ANY,
    status INTEGER NOT NULL,
    direction INTEGER,
    duration_ms INTEGER,
    at_ms INTEGER NOT NULL,
    picture BLOB,
    about TEXT NOT NULL
  ) STRICT;
  CREATE INDEX row_facts ON row (id, status, direction, duration_ms);
  CREATE VIRTUAL TABLE word USING fts5 (
    words, content = '', detail = none, columnsize = 0, prefix = '${INDEXED_PREFIXES}', tokenize = 'ascii'
  );
  INSERT INTO word (word, rank) VALUES ('secure-delete', 1);
`;

/** Looked for one by one instead of by what they begin with. */
const MOST_SPELLED = 16;
const NO_RECORDINGS = STATUSES.indexOf('no-recordings');
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
      for (const row of rows) this.#put(row);
    });
  }

  /** Like {@link put}, for a table that has none of them yet, each once: nothing is looked up. */
  load(rows: Iterable<IndexRow>): void {
    this.#together(() => {
      for (const row of rows)
        if (hasPlace(row) && row.status !== 'moved') this.#bringIn(row, foundRow(row, row.status));
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
    const expression = expressionOf(conditions, (beginning) => this.#spell(beginning));
    const facts = factsAsked(conditions);
    const values = { first, last, most, ...facts.values };
    const sql =
      expression === undefined
        ? `SELECT id FROM row INDEXED BY row_facts WHERE id BETWEEN :first AND :last ${facts.sql} ORDER BY id DESC LIMIT :most`
        : `SELECT word.rowid AS id FROM word CROSS JOIN row ON row.id = word.rowid
           WHERE word MATCH :words AND word.rowid BETWEEN :first AND :last ${facts.sql} ORDER BY word.rowid DESC LIMIT :most`;
    const found = this.#prepared(sql).all(expression === undefined ? values : { ...values, words: expression });
    return found.map(({ id }) => Number(id));
  }

  /** In the order of the numbers. */
  rows(ids: readonly number[]): readonly FoundRow[] {
    return ids.flatMap((id) => this.#read(id)?.row ?? []);
  }

  get size(): number {
    return Number(this.#prepared('SELECT count(*) AS count FROM row').get()?.['count'] ?? 0);
  }

  /** https://sqlite.org/fts5.html#the_fts5vocab_virtual_table_module */
  #spell(beginning: string): readonly string[] | undefined {
    const sql = 'SELECT term FROM temp.spelling WHERE term >= :first AND term < :last LIMIT :most';
    const found = this.#prepared(sql).all({ first: beginning, last: `${beginning}\u{10ffff}`, most: MOST_SPELLED + 1 });
    return found.length > MOST_SPELLED ? undefined : found.map(({ term }) => String(term));
  }

  #put(row: IndexRow): void {
    if (!hasPlace(row)) return;
    const { key, status } = row;
    const known = this.#find(key);
    const atMs = Date.parse(row.at);
    if (known !== undefined && known.atMs > atMs) return;
    const found = status === 'moved' ? undefined : foundRow(row, status);
    if (known?.atMs === atMs && isDeepStrictEqual(known.row, found)) return;
    if (known !== undefined) this.#takeOut(known);
    if (found !== undefined) this.#bringIn(row, found);
  }

  #bringIn(row: IndexRow, found: FoundRow): void {
    const id = this.#freePlace(rowPlace(Date.parse(rowMoment(row)), row));
    this.#prepared(
      'INSERT INTO row VALUES (:id, :conversation, :recording, :status, :direction, :duration, :at, :picture, :about)',
    ).run({ id, at: Date.parse(row.at), ...packRow(found) });
    this.#prepared('INSERT INTO word (rowid, words) VALUES (:id, :words)').run({ id, words: wordsOf(found).join(' ') });
  }

  #takeOut({ id, row }: PlacedRow): void {
    this.#prepared("INSERT INTO word (word, rowid, words) VALUES ('delete', :id, :words)").run({
      id,
      words: wordsOf(row).join(' '),
    });
    this.#prepared('DELETE FROM row WHERE id = :id').run({ id });
  }

  #find(key: string): PlacedRow | undefined {
    return this.#about(key).find(({ row }) => row.key === key);
  }

  /** Ids are words too: no index of their own. A word may stand for two ids, so that whoever asks looks at the key. */
  #about(key: string): readonly PlacedRow[] {
    const { recordingId, conversationId } = subjectOfKey(key) ?? {};
    const words = idExpression(recordingId ?? conversationId ?? '');
    const found = this.#prepared('SELECT rowid AS id FROM word WHERE word MATCH :words').all({ words });
    return found.flatMap(({ id }) => this.#read(Number(id)) ?? []);
  }

  #read(id: number): PlacedRow | undefined {
    const stored = this.#prepared('SELECT * FROM row WHERE id = :id').get({ id });
    return stored === undefined ? undefined : { id, atMs: Number(stored['at_ms']), row: unpackRow(stored) };
  }

  #freePlace(wanted: number): number {
    const taken = this.#prepared('SELECT 1 FROM row WHERE id = :id');
    let id = wanted;
    while (taken.get({ id }) !== undefined) id += 1;
    return id;
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

interface Facts {
  readonly sql: string;
  readonly values: Readonly<Record<string, SQLInputValue>>;
}

function factsAsked({ status, direction, minDurationMs }: Conditions): Facts {
  const sql = [status === undefined ? `status <> ${String(NO_RECORDINGS)}` : 'status = :status'];
  if (direction !== undefined) sql.push('direction = :direction');
  if (minDurationMs !== undefined) sql.push('duration_ms >= :duration');
  return {
    sql: sql.map((one) => `AND row.${one}`).join(' '),
    values: {
      ...(status === undefined ? {} : { status: STATUSES.indexOf(status) }),
      ...(direction === undefined ? {} : { direction: DIRECTIONS.indexOf(direction) }),
      ...(minDurationMs === undefined ? {} : { duration: minDurationMs }),
    },
  };
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

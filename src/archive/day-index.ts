/**
 * The lines of a day under `index/day={yyyy-mm-dd}/`: read from all its files, put together into one, or taken out of all of them.
 * Everything here can be made anew from manifests and details.
 */
import { createHash } from 'node:crypto';
import { Failure } from '../failure.ts';
import { encodeIndexRow, parseIndexRow, type IndexRow } from './index-row.ts';
import { erasedBeside } from './erased.ts';
import { type Subject, subjectOfKey } from './names.ts';
import type { ListedNote, Notes } from './notes.ts';

/** `index/day=…/`, as BigQuery reads partitions. https://cloud.google.com/bigquery/docs/hive-partitioned-queries */
export function indexFolder(day: string): string {
  return `index/day=${day}/`;
}

/** One worker's own file; nobody else writes it. */
export function partName(day: string, part: string): string {
  return `${indexFolder(day)}${PART}${part}.jsonl`;
}

const PART = 'part-';

/** Whether a worker's own file lies beside what was put together. */
export async function hasParts(day: string, notes: Notes, signal: AbortSignal): Promise<boolean> {
  for await (const { name } of listIndexFiles(day, notes, signal))
    if (name.startsWith(`${indexFolder(day)}${PART}`)) return true;
  return false;
}

/** Its files, in order of their names. One whose `writtenAt` and `sizeBytes` are unchanged has not changed. */
export async function* listIndexFiles(day: string, notes: Notes, signal: AbortSignal): AsyncGenerator<ListedNote> {
  for await (const note of notes.list(indexFolder(day), signal)) if (note.name.endsWith('.jsonl')) yield note;
}

/** Its lines in their order; none where it is gone again. Lines that are none are left out. */
export async function readIndexFile(name: string, notes: Notes, signal: AbortSignal): Promise<readonly IndexRow[]> {
  const text = (await notes.read(name, signal)) ?? '';
  return text.split('\n').flatMap((line) => (line === '' ? [] : (parseIndexRow(line) ?? [])));
}

/** By key: of several lines the newest, and nothing that has moved to another day. */
export async function readIndexDay(
  day: string,
  notes: Notes,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, IndexRow>> {
  const rows = new Map<string, IndexRow>();
  for await (const { name } of listIndexFiles(day, notes, signal))
    for (const row of await readIndexFile(name, notes, signal)) putNewest(rows, row);
  for (const [key, { status }] of rows) if (status === 'moved') rows.delete(key);
  return rows;
}

function putNewest(rows: Map<string, IndexRow>, row: IndexRow): void {
  const known = rows.get(row.key);
  if (known === undefined || known.at <= row.at) rows.set(row.key, row);
}

/** About 16 MB each. */
const ROWS_IN_A_FILE = 20_000;

export interface CompactionNeeds {
  readonly notes: Notes;
  /** What holds now of a line that is in the index already; undefined where nothing does, or not on this day. */
  readonly refresh: (row: IndexRow, signal: AbortSignal) => Promise<IndexRow | undefined>;
}

/**
 * Puts a day's lines into one file (of very many several), whose name is made of what is in it: where nothing has changed nothing
 * is written. What workers write meanwhile stays beside it. Left without its end it changes nothing that is read.
 */
export class DayCompaction {
  readonly #day: string;
  readonly #needs: CompactionNeeds;
  readonly #writer: FileWriter;
  readonly #before: readonly ListedNote[];
  /** Of what the index has, by key. */
  readonly #newestAt: ReadonlyMap<string, string>;

  static async begin(day: string, needs: CompactionNeeds, signal: AbortSignal): Promise<DayCompaction> {
    const before: ListedNote[] = [];
    for await (const file of listIndexFiles(day, needs.notes, signal)) before.push(file);
    const newestAt = new Map<string, string>();
    for (const { name } of before)
      for (const { key, at } of await readIndexFile(name, needs.notes, signal))
        if ((newestAt.get(key) ?? '') <= at) newestAt.set(key, at);
    return new DayCompaction(day, needs, { before, newestAt });
  }

  private constructor(
    day: string,
    needs: CompactionNeeds,
    found: { readonly before: readonly ListedNote[]; readonly newestAt: ReadonlyMap<string, string> },
  ) {
    this.#day = day;
    this.#needs = needs;
    this.#before = found.before;
    this.#newestAt = found.newestAt;
    this.#writer = new FileWriter(day, needs.notes);
  }

  /** What is known now. Where the index has a newer line of the same recording, that one counts. */
  async add(row: IndexRow, signal: AbortSignal): Promise<void> {
    const isNewest = (this.#newestAt.get(row.key) ?? '') <= row.at;
    if (isNewest && !this.#writer.has(row.key)) await this.#writer.add(row, signal);
  }

  /** With what else is in the index and holds. Resolves with how many lines there are. */
  async end(signal: AbortSignal): Promise<number> {
    const { notes, refresh } = this.#needs;
    for (const { name } of this.#before) {
      for (const row of await readIndexFile(name, notes, signal)) {
        const counts = row.at === this.#newestAt.get(row.key) && row.status !== 'moved' && !this.#writer.has(row.key);
        const now = counts ? await refresh(row, signal) : undefined;
        if (now !== undefined && !this.#writer.has(now.key)) await this.#writer.add(now, signal);
      }
    }
    await this.#writer.end(signal);
    const others = this.#before.filter(({ name }) => !this.#writer.names.has(name));
    await removeUnchanged(others, { day: this.#day, notes }, signal);
    await forgetErased(
      this.#writer.keys.map((key) => ({ key })),
      { days: [this.#day], notes },
      signal,
    );
    return this.#writer.count;
  }
}

/** Lines into files of bounded size; memory holds one file's and the keys of all. */
class FileWriter {
  readonly names = new Set<string>();
  readonly #day: string;
  readonly #notes: Notes;
  readonly #keys = new Set<string>();
  #rows: IndexRow[] = [];

  constructor(day: string, notes: Notes) {
    this.#day = day;
    this.#notes = notes;
  }

  get count(): number {
    return this.#keys.size;
  }

  get keys(): readonly string[] {
    return [...this.#keys];
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  async add(row: IndexRow, signal: AbortSignal): Promise<void> {
    this.#keys.add(row.key);
    this.#rows.push(row);
    if (this.#rows.length >= ROWS_IN_A_FILE) await this.end(signal);
  }

  async end(signal: AbortSignal): Promise<void> {
    if (this.#rows.length === 0) return;
    this.names.add(await addIndexLines(this.#rows, { day: this.#day, notes: this.#notes }, signal));
    this.#rows = [];
  }
}

interface DayFolder {
  readonly day: string;
  readonly notes: Notes;
}

/** Under a name that is made of the lines: nobody ever changes it. Resolves with the name. */
export async function addIndexLines(
  rows: readonly IndexRow[],
  { day, notes }: DayFolder,
  signal: AbortSignal,
): Promise<string> {
  const text = linesOf(rows.toSorted((a, b) => (a.key < b.key ? -1 : 1)));
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 32);
  const name = `${indexFolder(day)}${WHOLE}${hash}.jsonl`;
  await notes.create(name, text, signal);
  return name;
}

const WHOLE = 'all-';

export function linesOf(rows: readonly IndexRow[]): string {
  return rows.map((row) => `${encodeIndexRow(row)}\n`).join('');
}

/** A worker may have written to its file since it was read: then it stays, and is put together the next time. */
async function removeUnchanged(
  files: readonly ListedNote[],
  { day, notes }: DayFolder,
  signal: AbortSignal,
): Promise<void> {
  const now = new Map<string, ListedNote>();
  for await (const file of listIndexFiles(day, notes, signal)) now.set(file.name, file);
  for (const { name, sizeBytes, writtenAt } of files) {
    const current = now.get(name);
    if (current?.sizeBytes === sizeBytes && current.writtenAt === writtenAt) await removeIfFree(name, notes, signal);
  }
}

/** Lines that a retention policy keeps are harmless: of the same recording the newest counts. */
async function removeIfFree(name: string, notes: Notes, signal: AbortSignal): Promise<void> {
  try {
    await notes.remove(name, signal);
  } catch (thrown) {
    if (!(thrown instanceof Failure) || thrown.code !== 'conflict') throw thrown;
  }
}

/**
 * Takes the lines of these recordings out of every file of these days. Returns how many there were.
 * @throws Failure `conflict` where a retention policy of the bucket keeps a file
 */
export async function forgetIndexRows(
  keys: ReadonlySet<string>,
  { days, notes }: { readonly days: Iterable<string>; readonly notes: Notes },
  signal: AbortSignal,
): Promise<number> {
  let forgotten = 0;
  for (const day of new Set(days)) {
    const files: ListedNote[] = [];
    for await (const file of listIndexFiles(day, notes, signal)) files.push(file);
    for (const { name } of files) {
      const rows = await readIndexFile(name, notes, signal);
      const kept = rows.filter(({ key }) => !keys.has(key));
      if (kept.length < rows.length) await shrink(name, kept, { day, notes }, signal);
      forgotten += rows.length - kept.length;
    }
  }
  return forgotten;
}

/**
 * An erasure that came while they were written has looked for their lines too soon: asked behind each writing. `beside` are other
 * lines that were written again with them: what it took out in between goes again, where that costs no question more.
 */
export async function forgetErased(
  rows: Iterable<Pick<IndexRow, 'key'>>,
  place: {
    readonly days: Iterable<string>;
    readonly notes: Notes;
    readonly beside?: () => Iterable<Pick<IndexRow, 'key'>>;
  },
  signal: AbortSignal,
): Promise<void> {
  const { notes, beside = () => [] } = place;
  const asked = { subjects: [...keyed(rows)], beside: () => keyed(beside()) };
  const erased = await erasedBeside(asked, notes, signal);
  if (erased.length > 0) await forgetIndexRows(new Set(erased.map(({ key }) => key)), place, signal);
}

function* keyed(rows: Iterable<Pick<IndexRow, 'key'>>): Generator<Subject & Pick<IndexRow, 'key'>> {
  for (const { key } of rows) {
    const subject = subjectOfKey(key);
    if (subject !== undefined) yield { ...subject, key };
  }
}

/** Keys of the lines of a file, which need not be read for that. */
export function* keysIn(text: string): Generator<Pick<IndexRow, 'key'>> {
  for (const [, key = ''] of text.matchAll(/^\{"key":"([^"\\]*)"/gm)) yield { key };
}

async function shrink(
  name: string,
  kept: readonly IndexRow[],
  { day, notes }: DayFolder,
  signal: AbortSignal,
): Promise<void> {
  const isWhole = name.startsWith(`${indexFolder(day)}${WHOLE}`);
  if (isWhole && kept.length > 0) await addIndexLines(kept, { day, notes }, signal);
  if (isWhole || kept.length === 0) {
    await notes.remove(name, signal);
  } else if (!(await notes.replace(name, linesOf(kept), signal))) {
    throw new Failure('conflict', `${name} is kept by a retention policy of the bucket: run it again once that ends.`);
  }
  await forgetErased(kept, { days: [day], notes }, signal);
}

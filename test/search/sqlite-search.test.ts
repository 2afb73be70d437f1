import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { linesOf, partName } from '../../src/archive/day-index.ts';
import { detailsName, encodeDetails } from '../../src/archive/details.ts';
import type { Archive } from '../../src/archive/archive.ts';
import { forgetRows, SqliteSearch } from '../../src/search/sqlite-search.ts';
import type { SearchQuery } from '../../src/search/search.ts';
import { bytesOf, failureOf, store, waitingOf } from '../support/archive/content.ts';
import { openFolderHarness, type FolderHarness } from '../support/archive/folder.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { rowAt } from '../support/search/rows.ts';
import { searchSuite } from './suite.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);
const noTrouble = (error: unknown): void => assert.fail(String(error));
const MARCH: SearchQuery = { text: '', from: '2026-02-01', to: '2026-03-31', mayFindNumbers: true, limit: 50 };

function pathIn({ parent }: FolderHarness): string {
  return join(parent, 'var', 'index.db');
}

function searchOver(
  harness: FolderHarness,
  facts: { archive?: Pick<Archive, 'list' | 'notes'>; clock?: FakeClock; onTrouble?: (error: unknown) => void } = {},
): SqliteSearch {
  return new SqliteSearch({ path: pathIn(harness), archive: harness.archive, onTrouble: noTrouble, ...facts });
}

async function keysOf(search: SqliteSearch, asked: Partial<SearchQuery> = {}): Promise<readonly string[]> {
  return (await search.search({ ...MARCH, ...asked }, signal())).rows.map(({ key }) => key);
}

searchSuite('search in the file of an archive folder', async () => {
  const harness = await openFolderHarness();
  const { notes } = harness.archive;
  return { notes, open: async (clock) => searchOver(harness, { clock }), close: () => harness.close() };
});

/** As of version 0.1.0: no line of an index anywhere. */
async function oldArchive(harness: FolderHarness, count: number): Promise<void> {
  const { archive } = harness;
  for (let n = 0; n < count; n += 1) {
    const facts = { recordedAt: `2026-03-${String((n % 20) + 1).padStart(2, '0')}T09:30:00.000Z` };
    const content = { head: bytesOf('head', 10), clusters: [bytesOf('body', 10)], facts };
    await store(archive, { conversationId: `c${String(n)}`, recordingId: `r${String(n)}` }, content);
  }
  await archive.recordFailure(
    { conversationId: 'f', recordingId: 'f1' },
    failureOf({ conversationId: 'f', recordingId: 'f1' }),
    signal(),
  );
  await archive.recordWaiting(
    { conversationId: 'w', recordingId: undefined },
    waitingOf({ conversationId: 'w' }),
    signal(),
  );
  const none = failureOf({ conversationId: 'n' }, { status: 'no-recordings', code: 'no-recordings' });
  await archive.recordFailure({ conversationId: 'n', recordingId: undefined }, none, signal());
  const participants = [{ purpose: 'agent', participantName: 'Ines Carvalho', userId: 'u1', sessions: [] }];
  const conversation = { conversationId: 'c3', conversationStart: '2026-03-04T09:29:00.000Z', participants };
  await archive.notes.create(
    detailsName('c3'),
    encodeDetails(conversation, { conversationId: 'c3', at: new Date('2026-03-05T00:00:00Z'), service: '0' }),
    signal(),
  );
}

test('an archive without an index is read once, from manifests, details and reasons, and says how far back it is', async () => {
  const harness = await openFolderHarness();
  try {
    await oldArchive(harness, 230);
    const search = searchOver(harness);
    assert.equal((await search.search(MARCH, signal())).backTo, new Date().toISOString().slice(0, 10));
    const stop = new AbortController();
    const pages: string[] = [];
    const stopping: Pick<Archive, 'list' | 'notes'> = {
      notes: harness.archive.notes,
      list: async (query, at) => {
        pages.push(query.cursor ?? 'first');
        if (pages.length === 3) stop.abort(new Error('stopped midway'));
        at.throwIfAborted();
        return harness.archive.list(query, at);
      },
    };
    await search.close();
    const stopped = searchOver(harness, { archive: stopping });
    await assert.rejects(stopped.fill(stop.signal), /stopped midway/);
    const { backTo, found } = await stopped.search(MARCH, signal());
    assert.equal(found, 200);
    assert.match(backTo ?? '', /^2026-03-\d\d$/);
    await stopped.close();

    const again = searchOver(harness, { archive: stopping });
    const before = pages.length;
    await again.fill(signal());
    assert.equal(pages.slice(before).includes('first'), true, 'the newest days are looked at anew');
    const page = await again.search(MARCH, signal());
    assert.deepEqual([page.found, page.backTo, page.upTo], [232, undefined, undefined]);
    assert.deepEqual(await keysOf(again, { text: 'ines' }), ['c3.r3']);
    assert.deepEqual(await keysOf(again, { status: 'failed' }), ['f.f1']);
    assert.deepEqual(await keysOf(again, { status: 'waiting' }), ['w._']);
    assert.deepEqual(await keysOf(again, { status: 'no-recordings' }), ['n._']);
    await again.close();
  } finally {
    await harness.close();
  }
});

test('what is made in this process is found at once, and after a restart', async () => {
  const harness = await openFolderHarness();
  try {
    const search = searchOver(harness, { clock: new FakeClock() });
    assert.deepEqual(await keysOf(search), []);
    search.put([rowAt('2026-03-01T10:00:00.000Z', 'c1.r1', { agent: 'Ines' })]);
    assert.deepEqual(await keysOf(search, { text: 'ines' }), ['c1.r1']);
    await search.close();
    const again = searchOver(harness, { clock: new FakeClock() });
    assert.deepEqual(await keysOf(again, { text: 'ines' }), ['c1.r1']);
    await again.close();
  } finally {
    await harness.close();
  }
});

test('rows noted one by one are found at once here, together in the file a little later, and at its end', async () => {
  const harness = await openFolderHarness();
  try {
    const clock = new FakeClock();
    const search = searchOver(harness, { clock });
    const other = searchOver(harness, { clock: new FakeClock() });
    const noted = (n: number): void => search.note(rowAt(`2026-03-01T10:00:0${String(n)}.000Z`, `c${String(n)}.r`));
    noted(1);
    assert.deepEqual(await keysOf(search), ['c1.r']);
    noted(2);
    noted(3);
    assert.deepEqual(await keysOf(other), ['c1.r']);
    clock.advance(1_000);
    assert.deepEqual(await keysOf(other), ['c3.r', 'c2.r', 'c1.r']);
    noted(4);
    await search.close();
    assert.deepEqual(await keysOf(other), ['c4.r', 'c3.r', 'c2.r', 'c1.r']);
    await other.close();
  } finally {
    await harness.close();
  }
});

test('an archive that is away costs nobody what is known, and the answer says as of when', async () => {
  const harness = await openFolderHarness();
  try {
    const clock = new FakeClock();
    const troubles: unknown[] = [];
    const { notes } = harness.archive;
    let isAway = false;
    const archive = {
      list: harness.archive.list.bind(harness.archive),
      notes: {
        create: notes.create.bind(notes),
        replace: notes.replace.bind(notes),
        remove: notes.remove.bind(notes),
        list: (prefix: string, at: AbortSignal) => {
          if (isAway) throw new Error('the disk is gone');
          return notes.list(prefix, at);
        },
        read: notes.read.bind(notes),
      },
    };
    const search = searchOver(harness, { archive, clock, onTrouble: (error) => troubles.push(error) });
    search.put([rowAt('2026-03-01T10:00:00.000Z', 'c1.r1')]);
    assert.equal((await search.search(MARCH, signal())).upTo, undefined);
    isAway = true;
    clock.advance(60_000);
    const page = await search.search(MARCH, signal());
    assert.deepEqual(
      page.rows.map(({ key }) => key),
      ['c1.r1'],
    );
    assert.match(page.upTo ?? '', /^\d{4}-/);
    assert.equal(troubles.length, 1);
    isAway = false;
    clock.advance(60_000);
    assert.equal((await search.search(MARCH, signal())).upTo, undefined);
    await search.close();
  } finally {
    await harness.close();
  }
});

test('what is forgotten stands nowhere in the file any more: neither name nor number nor id', async () => {
  const harness = await openFolderHarness();
  try {
    const search = searchOver(harness);
    const rows = Array.from({ length: 300 }, (_, n) =>
      rowAt(new Date(Date.UTC(2026, 2, 1) + n * 1_000).toISOString(), `c${String(n)}.r${String(n)}`, {
        agent: `Somebody ${String(n)}`,
      }),
    );
    search.put(rows);
    search.put([
      rowAt('2026-03-01T00:01:00.500Z', 'canaryconversation.canaryrecording', {
        agent: 'Canary YellowFeather',
        customerNumber: '+49301234567',
        inQueue: 'Canaryqueue',
      }),
    ]);
    await search.close();
    const path = pathIn(harness);
    const folder = dirname(path);
    const bytes = async (): Promise<string> => {
      const files = await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name), 'latin1')));
      return files.join('\n');
    };
    const traces = [
      // Of a word in the index what no other one begins with (https://sqlite.org/fts5.html, prefix compression).
      'feather',
      'YellowFeather',
      '49301234567',
      '76543210394',
      'canaryrecording',
      'canaryconversation',
      'anaryqueue',
    ];
    for (const trace of traces.slice(0, 5)) assert.ok((await bytes()).includes(trace), `${trace} is there before`);
    forgetRows(path, ['canaryconversation.canaryrecording']);
    for (const trace of traces) assert.equal((await bytes()).includes(trace), false, trace);
    const again = searchOver(harness);
    assert.equal(again.size, 300);
    assert.deepEqual(await keysOf(again, { text: 'yellow' }), []);
    assert.deepEqual(await keysOf(again, { text: 'somebody 299' }), ['c299.r299']);
    await again.close();
  } finally {
    await harness.close();
  }
});

/** As version 0.3.0 made it. */
const FIRST_SCHEMA = `
  PRAGMA application_id = ${String(0x47524149)};
  PRAGMA user_version = 1;
  PRAGMA journal_mode = WAL;
  CREATE TABLE file (name TEXT PRIMARY KEY, stamp TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE row (
    id INTEGER PRIMARY KEY, conversation ANY, recording ANY, status INTEGER NOT NULL, direction INTEGER, duration_ms INTEGER,
    at_ms INTEGER NOT NULL, picture BLOB, about TEXT NOT NULL
  ) STRICT;
  CREATE INDEX row_facts ON row (id, status, direction, duration_ms);
  CREATE VIRTUAL TABLE word USING fts5 (
    words, content = '', detail = none, columnsize = 0, prefix = '2 5', tokenize = 'ascii'
  );
  INSERT INTO word (word, rank) VALUES ('secure-delete', 1);
  INSERT INTO mark VALUES ('rows', 'done'), ('no-recordings', 'done');
`;

test('a file of an earlier version is made anew from the archive, though it says that all of it was read', async () => {
  const harness = await openFolderHarness();
  try {
    await oldArchive(harness, 30);
    await mkdir(dirname(pathIn(harness)), { recursive: true });
    const old = new DatabaseSync(pathIn(harness));
    old.exec(FIRST_SCHEMA);
    old.close();
    const search = searchOver(harness);
    await search.fill(signal());
    assert.equal(search.size, 33);
    assert.deepEqual(await keysOf(search, { text: 'ines' }), ['c3.r3']);
    await search.close();
  } finally {
    await harness.close();
  }
});

test('a file that is damaged, cut short or of another version is made anew; one of another program is left alone', async () => {
  const harness = await openFolderHarness();
  try {
    const path = pathIn(harness);
    await harness.archive.notes.create(
      partName('2026-03-01', 'w'),
      linesOf([rowAt('2026-03-01T10:00:00.000Z', 'c1.r1')]),
      signal(),
    );
    const first = searchOver(harness);
    assert.deepEqual(await keysOf(first), ['c1.r1']);
    await first.close();
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const whole = await readFile(path);
    const newer = new DatabaseSync(path);
    newer.exec('PRAGMA user_version = 999');
    newer.close();
    const broken = Buffer.from(whole).fill(0x5a, 200, whole.length);
    for (const bytes of [undefined, Buffer.alloc(0), whole.subarray(0, 1_000), broken, Buffer.from('no database')]) {
      if (bytes !== undefined) await writeFile(path, bytes);
      const search = searchOver(harness);
      assert.deepEqual(await keysOf(search), ['c1.r1']);
      await search.close();
    }
    const other = join(harness.parent, 'other', 'index.db');
    await mkdir(dirname(other));
    const foreign = new DatabaseSync(other);
    foreign.exec('PRAGMA application_id = 77; CREATE TABLE theirs (x)');
    foreign.close();
    const theirs = await readFile(other);
    assert.throws(() => new SqliteSearch({ path: other, archive: harness.archive, onTrouble: noTrouble }), {
      code: 'misconfigured',
    });
    assert.deepEqual(await readFile(other), theirs);
  } finally {
    await harness.close();
  }
});

test('a file that is damaged while it is open is an index that is away, and says what makes it anew', async () => {
  const harness = await openFolderHarness();
  const search = searchOver(harness, { onTrouble: () => undefined });
  search.put([rowAt('2026-03-01T09:30:00.000Z', 'c.r', {})]);
  assert.deepEqual(await keysOf(search), ['c.r']);
  const other = new DatabaseSync(pathIn(harness));
  other.exec('DROP TABLE word; DROP TABLE row');
  other.close();
  await assert.rejects(keysOf(search), { code: 'archive-unavailable', message: /remove index\.db beside the archive/ });
  await search.close();
  await harness.close();
});

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fc } from '../support/generated.ts';
import { type AuditEntry, hashOf, parseAuditRecord } from '../../src/audit/audit.ts';
import { FolderAudit } from '../../src/audit/folder-audit.ts';
import { cannotListOpenFiles, openFilesBelow } from '../support/open-files.ts';
import { SEED } from '../support/soak.ts';

const { signal } = new AbortController();
const WRITER = join(import.meta.dirname, '../support/audit/writer.ts');

async function folder(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'audit-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  return root;
}

function entry(index: number, more: Partial<AuditEntry> = {}): AuditEntry {
  return { action: 'listened', who: 'qa', way: 'key', recordingId: `r${String(index)}`, conversationId: 'c', ...more };
}

async function linesIn(root: string): Promise<string[]> {
  const days = (await readdir(join(root, 'audit'))).filter((name) => name.endsWith('.ndjson')).toSorted();
  const texts = await Promise.all(days.map((day) => readFile(join(root, 'audit', day), 'utf8')));
  return texts.flatMap((text) => text.split('\n').filter((line) => line !== ''));
}

test('a record is a line that carries the hash of the line before, over days', async (t) => {
  const root = await folder(t);
  let now = new Date('2026-11-27T23:59:59Z');
  const audit = new FolderAudit({ root, now: () => now });
  await audit.record(entry(1), signal);
  await audit.record(entry(2, { why: 'line\nbreak "and" ü', about: { bytes: 7 } }), signal);
  now = new Date('2026-11-28T00:00:01Z');
  await audit.record(entry(3), signal);
  await audit.close();
  assert.deepEqual(await readdir(join(root, 'audit')).then((names) => names.filter((name) => !name.startsWith('.'))), [
    '2026-11-27.ndjson',
    '2026-11-28.ndjson',
  ]);
  const lines = await linesIn(root);
  const records = lines.map(parseAuditRecord);
  assert.deepEqual(
    records.map((record) => record?.sequence),
    [1, 2, 3],
  );
  assert.deepEqual(
    records.map((record) => record?.previous),
    ['0'.repeat(64), hashOf(lines[0] ?? ''), hashOf(lines[1] ?? '')],
  );
  assert.equal(records[1]?.why, 'line\nbreak "and" ü');
  assert.deepEqual(records[1].about, { bytes: 7 });
  assert.equal((await stat(join(root, 'audit', '2026-11-28.ndjson'))).mode & 0o027, 0o000 | 0o000);
});

test('another process goes on where this one ended, and a clock that goes back writes no older day', async (t) => {
  const root = await folder(t);
  const first = new FolderAudit({ root, now: () => new Date('2026-11-28T10:00:00Z') });
  const second = new FolderAudit({ root, now: () => new Date('2026-11-27T10:00:00Z') });
  await first.record(entry(1), signal);
  await second.record(entry(2), signal);
  await first.record(entry(3), signal);
  assert.deepEqual(await first.verify(signal), { records: 3, findings: [] });
  assert.deepEqual((await linesIn(root)).length, 3);
  assert.deepEqual(
    (await readdir(join(root, 'audit'))).filter((name) => name.endsWith('.ndjson')),
    ['2026-11-28.ndjson'],
  );
});

test('200 records that arrive together are one chain, whoever waits for them', async (t) => {
  const root = await folder(t);
  const [one, other] = [new FolderAudit({ root }), new FolderAudit({ root })];
  await Promise.all(
    Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? one : other).record(entry(index), signal)),
  );
  assert.deepEqual(await one.verify(signal), { records: 200, findings: [] });
});

test('a query finds by day, by who and by recording', async (t) => {
  const root = await folder(t);
  let now = new Date('2026-11-27T12:00:00Z');
  const audit = new FolderAudit({ root, now: () => now });
  await audit.record(entry(1), signal);
  await audit.record(entry(2, { who: 'dpo', action: 'erased' }), signal);
  now = new Date('2026-11-28T12:00:00Z');
  await audit.record(entry(1), signal);
  const found = async (query: { who?: string; recordingId?: string; from?: string }): Promise<number[]> => {
    const records: number[] = [];
    for await (const record of audit.read({ from: '2026-11-01', to: '2026-11-30', ...query }, signal))
      records.push(record.sequence);
    return records;
  };
  assert.deepEqual(await found({}), [1, 2, 3]);
  assert.deepEqual(await found({ who: 'dpo' }), [2]);
  assert.deepEqual(await found({ recordingId: 'r1' }), [1, 3]);
  assert.deepEqual(await found({ recordingId: 'r1', from: '2026-11-28' }), [3]);
});

test('who stops reading leaves no file open', { skip: cannotListOpenFiles }, async (t) => {
  const root = await folder(t);
  const audit = new FolderAudit({ root });
  await audit.record(entry(1), signal);
  const [name = assert.fail()] = (await readdir(join(root, 'audit'))).filter((one) => one.endsWith('.ndjson'));
  // More than is read ahead.
  await appendFile(join(root, 'audit', name), 'a line of another\n'.repeat(100_000));
  for await (const _ of audit.read({ from: '2000-01-01', to: '2999-01-01' }, signal)) break;
  while (openFilesBelow(root).some((path) => path.endsWith(name)))
    await new Promise((resolve) => setImmediate(resolve));
  await audit.close();
});

test('what was changed, removed or moved is found, and where (every place, every kind)', async (t) => {
  const root = await folder(t);
  const audit = new FolderAudit({ root, now: () => new Date('2026-11-28T12:00:00Z') });
  for (let index = 0; index < 8; index++) await audit.record(entry(index), signal);
  const path = join(root, 'audit', '2026-11-28.ndjson');
  const lines = await linesIn(root);
  const states = async (changed: readonly string[]): Promise<readonly string[]> => {
    await writeFile(path, `${changed.join('\n')}\n`);
    const { findings } = await new FolderAudit({ root }).verify(signal);
    return findings.map(({ state, where }) => `${state} ${where}`);
  };
  for (let at = 0; at < 7; at++) {
    const own = `2026-11-28 line ${String(at + 1)}`;
    assert.deepEqual(await states(lines.with(at, (lines[at] ?? '').replace('"qa"', '"qb"'))), [`changed ${own}`]);
    assert.deepEqual(await states(lines.toSpliced(at, 1)), [`missing 2026-11-28 line ${String(at + 1)}`]);
    const swapped = lines.with(at, lines[at + 1] ?? '').with(at + 1, lines[at] ?? '');
    assert.ok(
      (await states(swapped)).some((state) => state.startsWith('reordered')),
      `swap ${String(at)}`,
    );
    assert.ok((await states(lines.toSpliced(at, 0, lines[at] ?? ''))).length > 0, `doubled ${String(at)}`);
  }
  assert.deepEqual(await states(lines), []);
});

test('no single changed byte goes unseen, but in the last line, which nothing follows', async (t) => {
  const root = await folder(t);
  const audit = new FolderAudit({ root, now: () => new Date('2026-11-28T12:00:00Z') });
  for (let index = 0; index < 5; index++) await audit.record(entry(index), signal);
  const path = join(root, 'audit', '2026-11-28.ndjson');
  const whole = await readFile(path);
  const until = whole.lastIndexOf('\n', whole.length - 2);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: until - 1 }), fc.integer({ min: 1, max: 255 }), async (at, by) => {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ by;
      await writeFile(path, changed);
      const { findings } = await new FolderAudit({ root }).verify(signal);
      assert.notDeepEqual(findings, []);
    }),
    { numRuns: 200, seed: SEED },
  );
});

test('a line that a crash cut is passed over and said, and the chain goes on behind it', async (t) => {
  const root = await folder(t);
  const now = (): Date => new Date('2026-11-28T12:00:00Z');
  const audit = new FolderAudit({ root, now });
  await audit.record(entry(1), signal);
  await appendFile(join(root, 'audit', '2026-11-28.ndjson'), '{"v":1,"at":"2026-11-28T12:0');
  assert.deepEqual(
    (await audit.verify(signal)).findings.map(({ state }) => state),
    ['torn'],
  );
  await audit.record(entry(2), signal);
  assert.deepEqual(await new FolderAudit({ root }).verify(signal), { records: 2, findings: [] });
  await audit.record(entry(3), signal);
  assert.deepEqual(await audit.verify(signal), { records: 3, findings: [] });
});

test('no record, no act: where the disk takes nothing the record fails and says what to mend', async (t) => {
  const root = await folder(t);
  await writeFile(join(root, 'audit'), 'a file where the folder should be');
  await assert.rejects(new FolderAudit({ root }).record(entry(1), signal), (thrown: unknown) => {
    assert.match(String(thrown), /nothing is played or changed/);
    return true;
  });
});

test('three processes killed at random leave one chain that holds all they were told is durable', async (t) => {
  const root = await folder(t);
  const told: string[] = [];
  for (let round = 0; round < 4; round++) {
    const writers = [0, 1, 2].map((writer) => {
      const child = spawn(process.execPath, [WRITER, root, `w${String(round)}-${String(writer)}-`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        if (text.split('\n').length > 10 + 7 * writer + 3 * round) child.kill('SIGKILL');
      });
      return once(child, 'close').then(() => told.push(...text.split('\n').slice(0, -1)));
    });
    await Promise.all(writers);
  }
  const audit = new FolderAudit({ root });
  const kept = new Set((await linesIn(root)).map((line) => parseAuditRecord(line)?.recordingId));
  assert.ok(told.length >= 100, String(told.length));
  assert.deepEqual(
    told.filter((id) => !kept.has(id)),
    [],
  );
  assert.deepEqual(
    (await audit.verify(signal)).findings.filter(({ state }) => state !== 'torn'),
    [],
  );
  await audit.record(entry(0), signal);
  assert.deepEqual((await audit.verify(signal)).findings, []);
});

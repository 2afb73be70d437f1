import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { FolderAudit } from '../../src/audit/folder-audit.ts';
import { runInside } from '../support/commands/inside.ts';
import { linesOf, runArchiver } from '../support/commands/run.ts';

const { signal } = new AbortController();

async function setUp(t: TestContext): Promise<Readonly<Record<string, string>>> {
  const root = await mkdtemp(join(tmpdir(), 'audit-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const audit = new FolderAudit({ root });
  for (const [who, recordingId, why] of [
    ['qa', 'r1', undefined],
    ['dpo', 'r2', 'on request\nof a person'],
    ['qa', 'r2', undefined],
  ] as const)
    await audit.record({ action: 'listened', who, way: 'key', conversationId: 'c', recordingId, why }, signal);
  await audit.close();
  return { ARCHIVE_URL: `file:${root}` };
}

test('who heard what is listed, filtered, and that it was read is on record', async (t) => {
  const env = await setUp(t);
  const all = await runArchiver(['audit'], env);
  assert.equal(all.code, 0, all.stderr);
  assert.match(all.stdout, /^\S+Z {2}listened {4}qa {4}c\/r1\n/);
  assert.match(all.stdout, / {2}"on request\\nof a person"\n/, 'a reason with line breaks is one line');
  const ofPerson = linesOf(await runInside(['audit', '--who', 'dpo', '--json'], env));
  assert.deepEqual(
    ofPerson.map(({ type, recordingId }) => [type, recordingId]),
    [
      ['record', 'r2'],
      ['summary', undefined],
    ],
  );
  const ofRecording = linesOf(await runInside(['audit', '--recording', 'c/r2', '--json'], env));
  assert.deepEqual(
    ofRecording.slice(0, -1).map(({ who }) => who),
    ['dpo', 'qa'],
  );
  const readings = linesOf(await runInside(['audit', '--json'], env)).filter(({ action }) => action === 'looked');
  assert.equal(readings.length, 4);
  assert.match(String(readings[0]?.['who']), /^command:/);
});

test('what was done to a whole conversation was done to its recordings, and to those of no other', async (t) => {
  const env = await setUp(t);
  const audit = new FolderAudit({ root: (env['ARCHIVE_URL'] ?? '').slice('file:'.length) });
  const by = { who: 'dpo', way: 'command' } as const;
  await audit.record({ action: 'held', ...by, conversationId: 'c' }, signal);
  await audit.record({ action: 'held', ...by, conversationId: 'c2' }, signal);
  await audit.record({ action: 'searched', ...by }, signal);
  await audit.record({ action: 'listened', ...by, recordingId: 'r1' }, signal);
  await audit.close();
  const told = async (recording: string): Promise<readonly string[]> =>
    linesOf(await runInside(['audit', '--recording', recording, '--json'], env))
      .slice(0, -1)
      .map(({ action, conversationId = '_', recordingId = '*' }) => [action, conversationId, recordingId].join(' '));
  assert.deepEqual(await told('c/r1'), ['listened c r1', 'held c *']);
  assert.deepEqual(await told('_/r1'), ['listened _ r1']);
  assert.deepEqual(await told('c2/r1'), ['held c2 *']);
});

test('a recording that is none is refused with what to write', async (t) => {
  const env = await setUp(t);
  for (const value of ['r1', '../x', 'c/r/x', 'c/']) {
    const refused = await runInside(['audit', '--recording', value], env);
    assert.equal(refused.code, 2, value);
    assert.match(refused.stderr, /expected CONVERSATION\/RECORDING/);
  }
});

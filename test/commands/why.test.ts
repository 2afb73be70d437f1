import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { linesOf, runArchiver } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';

const DAY = '2026-11-26';

test('reconcile --why says what became of what is lost or unlisted, and asks nothing without it', async (t) => {
  const server = await startGenesysServer();
  const folder = await mkdtemp(join(tmpdir(), 'why-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  Object.assign(server.analytics, { pendingPolls: 0 });
  Object.assign(server.inquiries, { pendingPolls: 0 });
  const at = { start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` };
  for (const conversationId of ['deleted', 'unlisted', 'unknown']) server.analyze({ conversationId, ...at });
  server.addRecording({ recordingId: 'r1', conversationId: 'deleted', fileState: 'DELETED', startTime: at.start });
  server.inquiries.deletions = [
    { recordingId: 'r1', conversationId: 'deleted', eventDate: `${DAY}T12:00:00.000Z`, user: 'u1' },
  ];
  server.inquiries.orphans = [{ id: 'o1', conversationId: 'unlisted', status: 'CONVERSATION_NOT_COMPLETE' }];
  const env = { ...server.environment(), ARCHIVE_URL: `file:${join(folder, 'archive')}` };
  const range = ['--from', DAY, '--to', DAY];
  const plain = await runArchiver(['reconcile', ...range], env);
  assert.equal(plain.code, 3, plain.stderr);
  assert.equal(server.requests('audits*').length + server.requests('orphans').length, 0);
  const asked = await runArchiver(['reconcile', ...range, '--why', '--json'], env);
  assert.equal(asked.code, 3, asked.stderr);
  const whys = linesOf(asked).filter(({ type }) => type === 'why');
  assert.deepEqual(
    whys.map(({ key, witness }) => [key, witness]).toSorted((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
    [
      ['deleted.r1', 'audit'],
      ['unknown._', 'nobody'],
      ['unlisted._', 'orphans'],
    ],
  );
  server.fault('audits', 'return-403;code:missing.any.permissions', 9);
  const refused = await runArchiver(['reconcile', ...range, '--why'], env);
  assert.equal(refused.code, 3, refused.stderr);
  assert.match(refused.stderr, /2026-11-26: Genesys' audits could not be asked: .*audits:interactionDetails:view/);
  assert.match(refused.stdout, /^why +2026-11-26 +unlisted\._ +orphan o1 \(CONVERSATION_NOT_COMPLETE\): assign it/m);
  assert.doesNotMatch(refused.stdout, /neither audits/);
});

test('a day that stays incomplete for two days is said to be overdue, and not before', async (t) => {
  const server = await startGenesysServer();
  const folder = await mkdtemp(join(tmpdir(), 'overdue-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  server.analytics.pendingPolls = 0;
  server.analyze({ conversationId: 'c', start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
  server.addRecording({
    recordingId: 'r',
    conversationId: 'c',
    fileState: 'AVAILABLE',
    startTime: `${DAY}T10:00:00.000Z`,
  });
  const path = join(folder, 'archive');
  const env = { ...server.environment(), ARCHIVE_URL: `file:${path}` };
  const look = async (): Promise<readonly unknown[]> =>
    linesOf(await runArchiver(['reconcile', '--from', DAY, '--to', DAY, '--json'], env)).filter(
      ({ type }) => type === 'overdue',
    );
  assert.deepEqual(await look(), []);
  const { notes } = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  const since = new Date(Date.now() - 49 * 3_600_000);
  await writeProof('complete', { day: DAY, verdict: 'incomplete' }, { notes, at: since }, AbortSignal.timeout(60_000));
  assert.deepEqual(await look(), [
    { type: 'overdue', day: DAY, since: since.toISOString(), next: `archiver backfill --from ${DAY} --to ${DAY}` },
  ]);
});

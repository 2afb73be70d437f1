/** What one recording costs its archive: requests of a bucket, which are paid for, and inodes of a folder, which run out. */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { keyInEnvironment } from '../support/archive/bucket.ts';
import { auditArchive } from '../support/gcs/audit.ts';
import { auditLock } from '../support/gcs/lock.ts';
import { startGcsServer, type GcsServer } from '../support/gcs/server.ts';
import { startGenesysServer, type GenesysServer } from '../support/genesys/server.ts';
import { FIXTURES, simulated } from '../support/media/fixtures.ts';
import { bearer, send } from '../support/service/senders.ts';
import { type Service, startService } from '../support/service/service.ts';

const TOKEN = 'a-webhook-token-of-ours-0123456789';
const HANG_GUARD = { timeout: 240_000 };

interface Ids {
  readonly recordingId: string;
  readonly conversationId: string;
}

interface Scene extends AsyncDisposable {
  readonly genesys: GenesysServer;
  readonly folder: string;
  start(env: Readonly<Record<string, string>>): Promise<Service>;
}

async function openScene(): Promise<Scene> {
  const genesys = await startGenesysServer();
  const folder = await mkdtemp(join(tmpdir(), 'storage-cost-'));
  const env = { ...genesys.environment(), API_AUTH: 'none', WEBHOOK_TOKENS: TOKEN, RECONCILE: 'no' };
  return {
    genesys,
    folder,
    start: (own) => startService('serve', { ...env, QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`, ...own }),
    async [Symbol.asyncDispose]() {
      await genesys.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** Of today: a conversation that is old may have been noted as one without recordings, which is one request more. */
async function archive(service: Service, { genesys }: Scene, conversationId: string = randomUUID()): Promise<Ids> {
  const ids = { recordingId: randomUUID(), conversationId };
  const startTime = new Date(Date.now() - 60_000).toISOString();
  genesys.addRecording({ ...simulated(ids.recordingId, conversationId, FIXTURES.opus), startTime });
  const { status } = await send(service.url, ids, bearer(TOKEN));
  assert.equal(status, 202);
  const { recordingId } = ids;
  await service.logged({ message: 'Recording was archived.', recordingId }, AbortSignal.timeout(120_000));
  return ids;
}

/** A worker looks through a bucket once, as it starts; until then it asks more. */
async function namesAreKnown(server: GcsServer): Promise<void> {
  const name = 'calls/erased-of/known';
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  server.gate = (seen) => {
    if (seen.operation === 'insert' && seen.name === name) resolve();
    return undefined;
  };
  await asked;
  while (!server.names().includes(name)) await nextTurn();
}

/** Whatever was asked about these ids, in whatever spelling, or by the hash that stands for a conversation. */
function costOf({ recordingId, conversationId }: Ids, server: GcsServer, from = 0): Readonly<Record<string, number>> {
  const hash = createHash('sha256').update(conversationId).digest('hex').slice(0, 32);
  const about = server.seen.slice(from).filter(({ name }) => {
    const plain = name.toLowerCase();
    return [recordingId, conversationId, hash].some((text) => plain.includes(text));
  });
  const count = (...operations: readonly string[]): number =>
    about.filter(({ operation }) => operations.includes(operation)).length;
  const [written, read, deleted] = [count('insert', 'start', 'compose'), count('get', 'media'), count('delete')];
  return { written, read, deleted, other: about.length - written - read - deleted };
}

for (const [what, lock] of [
  ['', undefined],
  [', also where it is locked', { days: 30, mode: 'locked' }],
] as const)
  test(
    `a recording is four writes of a bucket with its levels${what}; the index is one for all of a day`,
    HANG_GUARD,
    async () => {
      await using scene = await openScene();
      const key = await keyInEnvironment();
      const server = await startGcsServer({
        signer: key.signer,
        audits: [auditArchive({ ebml: true }), auditLock(lock)],
      });
      server.store.objectRetention = lock !== undefined;
      try {
        const known = namesAreKnown(server);
        const service = await scene.start({
          ARCHIVE_URL: `gs://${server.bucket}/calls`,
          GCS_API_ENDPOINT: server.url,
          METADATA_SERVER_DETECTION: 'none',
          GOOGLE_APPLICATION_CREDENTIALS: process.env['GOOGLE_APPLICATION_CREDENTIALS'] ?? '',
          ...(lock === undefined ? {} : { LOCK_DAYS: String(lock.days), LOCK_MODE: lock.mode }),
        });
        await using running = service;
        await known;
        const all = [];
        for (const _each of [1, 2, 3]) all.push(await archive(running, scene));
        // WebM, the mark of its day, levels, manifest. Looked for once; whether it was erased is asked where it is not found, before it
        // is stored and before it is shown. A failure and a wait that it may have had: deletes are free.
        for (const ids of all) assert.deepEqual(costOf(ids, server), { written: 4, read: 4, deleted: 2, other: 0 });
        const from = server.seen.length;
        await running.stop();
        // An erasure may have come since the lines were made, or while they are written: asked twice for all of them.
        for (const ids of all)
          assert.deepEqual(costOf(ids, server, from), { written: 0, read: 0, deleted: 0, other: 0 });
        const index = server.seen.slice(from).filter(({ name }) => /^calls\/(index|erased)\//.test(name));
        assert.deepEqual(
          index.map(({ operation, name }) => `${operation} ${name.split('/')[1] ?? ''}`),
          ['list erased', 'media index', 'insert index', 'list erased'],
        );
      } finally {
        await server.close();
        await key.remove();
        server.assertSound();
      }
    },
  );

test('a recording is five inodes of a folder with its levels, and one for its conversation', HANG_GUARD, async () => {
  await using scene = await openScene();
  const root = join(scene.folder, 'archive');
  await using service = await scene.start({ ARCHIVE_URL: `file:${root}` });
  const first = await archive(service, scene);
  const before = await inodesBelow(root, first);
  assert.equal(before, 6);
  await archive(service, scene, first.conversationId);
  assert.equal(await inodesBelow(root, first), before + 5);
});

/** Files and folders whose path names the conversation. */
async function inodesBelow(root: string, { conversationId }: Ids): Promise<number> {
  const inodes = new Set<number>();
  for (const { parentPath, name } of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(parentPath, name);
    if (path.includes(conversationId)) inodes.add((await lstat(path)).ino);
  }
  return inodes.size;
}

/** What it costs that every listen is on record first: one fsync for all who come together, and nothing that waits for anything else. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Archive } from '../../src/archive/archive.ts';
import type { Audit, AuditEntry } from '../../src/audit/audit.ts';
import { BucketAudit } from '../../src/audit/bucket-audit.ts';
import { FolderAudit } from '../../src/audit/folder-audit.ts';
import { Failure } from '../../src/failure.ts';
import { openBucketHarness, PREFIX } from '../support/archive/bucket.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { replaceHandle } from '../support/archive/failing-fs.ts';
import { openFolderHarness } from '../support/archive/folder.ts';
import { keysOf } from '../support/keys.ts';
import { start, type Started } from '../http/far-ends.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);
const LISTENERS = 200;

/** Turns of the event loop until it holds; a test that waits in vain says so. */
async function until(holds: () => boolean): Promise<void> {
  const patience = AbortSignal.timeout(100_000);
  while (!holds()) {
    patience.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function entry(index: number): AuditEntry {
  return { action: 'listened', who: 'qa', way: 'key', recordingId: `r${String(index)}`, conversationId: 'c' };
}

interface Syncs {
  count: number;
  /** Each waits for it before it begins. */
  gate: Promise<void>;
}

/** fdatasync(2) of whatever is written from here on. */
async function countSyncs(t: TestContext): Promise<Syncs> {
  const syncs: Syncs = { count: 0, gate: Promise.resolve() };
  await replaceHandle(t, 'datasync', async (_handle, real) => {
    syncs.count += 1;
    await syncs.gate;
    return real();
  });
  return syncs;
}

/** Two, since one key may have only so many listeners. */
function keyOf(index: number): string {
  return `key-of-listener-${String(index % 2)}`;
}

/** Stored recordings r0, r1, … behind the real routes. */
async function serve(
  { archive, audit }: { readonly archive: Archive; readonly audit: Pick<Audit, 'record'> },
  count: number,
): Promise<Started> {
  for (let index = 0; index < count; index += 1)
    await store(
      archive,
      { recordingId: `r${String(index)}`, conversationId: 'c' },
      { head: bytesOf('head', 10), clusters: [bytesOf(`cluster ${String(index)}`, 100)] },
    );
  const listen = async (): Promise<never> => Promise.reject(new Failure('not-found', 'Genesys does not know it.'));
  const auth = { required: true, keys: keysOf(keyOf(0), keyOf(1)) };
  return start({
    audit,
    auth,
    playback: { transcode: { listen, archive }, recordings: { archive, linkLifetimeS: 900 } },
  });
}

test('200 who listen at once share one fsync, and 200 who come while it runs share the next', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'audit-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const audit = new FolderAudit({ root });
  await audit.record(entry(0), signal());
  const syncs = await countSyncs(t);
  const burst = (from: number): Promise<unknown> =>
    Promise.all(Array.from({ length: LISTENERS }, (_, index) => audit.record(entry(from + index), signal())));
  await burst(1);
  assert.equal(syncs.count, 1);
  const held = Promise.withResolvers<void>();
  syncs.gate = held.promise;
  const first = burst(1_000);
  await until(() => syncs.count === 2);
  const second = burst(2_000);
  held.resolve();
  await Promise.all([first, second]);
  assert.equal(syncs.count, 3);
  assert.deepEqual(await audit.verify(signal()), { records: 1 + 3 * LISTENERS, findings: [] });
  await audit.close();
});

test(
  '200 listeners of the real service, over as many connections: the first has an fsync, all others one together',
  { timeout: 240_000 },
  async (t) => {
    const harness = await openFolderHarness();
    t.after(() => harness.close());
    const audit = new FolderAudit({ root: harness.path });
    let asked = 0;
    const counting = {
      record: (act: AuditEntry, aborted: AbortSignal): Promise<void> => {
        asked += 1;
        return audit.record(act, aborted);
      },
    };
    await using service = await serve({ archive: harness.archive, audit: counting }, LISTENERS);
    const syncs = await countSyncs(t);
    const held = Promise.withResolvers<void>();
    syncs.gate = held.promise;
    const heard = Array.from({ length: LISTENERS }, async (_, index) => {
      const answer = await fetch(`${service.url}/transcode?id=r${String(index)}&conversationId=c`, {
        headers: { 'x-api-key': keyOf(index) },
        signal: signal(),
      });
      assert.equal(answer.status, 200);
      return answer.bytes();
    });
    await until(() => asked === LISTENERS && syncs.count === 1);
    held.resolve();
    await Promise.all(heard);
    assert.ok(syncs.count <= 2, `${String(syncs.count)} fsyncs`);
    assert.equal((await audit.verify(signal())).records, LISTENERS);
    await audit.close();
  },
);

test(
  'in a bucket the record is created beside the look-ups, and the first byte waits for both, whichever is last',
  { timeout: 240_000 },
  async (t) => {
    const harness = await openBucketHarness();
    t.after(() => harness.close());
    const { server, archive } = harness;
    await using service = await serve({ archive, audit: new BucketAudit(archive.notes) }, 2);
    const isRecord = /\/audit\//;
    for (const [late, recordingId] of [
      ['the record', 'r0'],
      ['the media', 'r1'],
    ] as const) {
      const held = Promise.withResolvers<void>();
      server.seen.length = 0;
      if (late === 'the record') server.faults.call('insert', () => held.promise, isRecord);
      else server.faults.call('media', () => held.promise, /recording\.webm$/);
      let status = 0;
      const heard = fetch(`${service.url}/transcode?id=${recordingId}&conversationId=c`, {
        headers: { 'x-api-key': keyOf(0) },
        signal: signal(),
      }).then(async (answer) => {
        status = answer.status;
        return answer.bytes();
      });
      const at = (name: RegExp): boolean => server.seen.some((seen) => name.test(seen.name));
      // While one of both is held, the other is done.
      await until(() => at(isRecord) && at(/r[01]\/recording\.webm$/));
      if (late === 'the media') await until(() => server.names().filter((name) => isRecord.test(name)).length === 2);
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(status, 0, `no answer before ${late}`);
      held.resolve();
      assert.equal((await heard).length, 110);
      assert.equal(status, 200);
    }
    assert.equal(server.names().filter((name) => name.startsWith(`${PREFIX}/audit/`)).length, 2);
  },
);

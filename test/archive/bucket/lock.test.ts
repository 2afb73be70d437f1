/** Recordings that Cloud Storage itself locks, object by object: https://docs.cloud.google.com/storage/docs/object-lock */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { besideName } from '../../../src/archive/names.ts';
import { Failure } from '../../../src/failure.ts';
import {
  type BucketHarness,
  type BucketHarnessOptions,
  openBucketHarness,
  PREFIX,
} from '../../support/archive/bucket.ts';
import { bytesOf, store, type Content } from '../../support/archive/content.ts';
import { auditArchive } from '../../support/gcs/audit.ts';
import { found } from '../../support/archive/found.ts';

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const LEVELS = bytesOf('levels', 333);
const DAY_MS = 86_400_000;

const signal = (): AbortSignal => AbortSignal.timeout(200_000);

async function setUp(t: TestContext, options: BucketHarnessOptions = {}): Promise<BucketHarness> {
  const harness = await openBucketHarness(options);
  t.after(() => harness.close());
  return harness;
}

/** Small enough for one insert, or composed; made so many days ago. */
function contentOf(size: 'small' | 'large', daysAgo = 0): Content {
  const sizeBytes = size === 'small' ? 5_000 : 700_000;
  const finishedAt = new Date(Date.now() - daysAgo * DAY_MS).toISOString();
  return { head: bytesOf('head', 90), clusters: [bytesOf('clusters', sizeBytes)], facts: { finishedAt } };
}

function whole(size: 'small' | 'large', daysAgo = 0): Content {
  return { ...contentOf(size, daysAgo), originals: [bytesOf('original', 999)], levels: LEVELS };
}

/** Each object by its name, with the retention of its own that it has. */
function retentions({ server }: BucketHarness): Readonly<Record<string, string>> {
  const objects = server.store.generations();
  return Object.fromEntries(
    objects.map(({ name, retention }) => [
      name.slice(PREFIX.length + 1),
      retention === undefined ? 'none' : `${retention.mode} ${retention.retainUntilTime}`,
    ]),
  );
}

for (const size of ['small', 'large'] as const)
  for (const mode of ['unlocked', 'locked'] as const)
    test(`all of a recording is locked from the instant it appears, and nothing else; ${size}, ${mode}`, async (t) => {
      const harness = await setUp(t, { lock: { days: 30, mode } });
      const { finishedAt } = await store(harness.archive, CALL, whole(size));
      const until = new Date(Date.parse(finishedAt) + 30 * DAY_MS).toISOString();
      const lock = `${mode === 'locked' ? 'Locked' : 'Unlocked'} ${until}`;
      assert.deepEqual(retentions(harness), {
        'days/2026-03-01/C1.R1': 'none',
        'recordings/C1/R1/levels.bin': lock,
        'recordings/C1/R1/manifest.json': lock,
        'recordings/C1/R1/original.opus': lock,
        'recordings/C1/R1/recording.webm': lock,
      });
    });

test('a lock costs not one request more', async (t) => {
  const asked: string[][] = [];
  for (const options of [{}, { lock: { days: 30, mode: 'locked' } }] as const) {
    const harness = await setUp(t, options);
    for (const size of ['small', 'large'] as const)
      await store(harness.archive, { ...CALL, recordingId: size }, whole(size));
    asked.push(
      harness.server.seen.map(({ operation, name }) => `${operation} ${name.replace(/\.[0-9a-f]{16}\//, '/')}`),
    );
  }
  assert.deepEqual(asked[1]?.toSorted(), asked[0]?.toSorted());
});

test('whatever is laid later is free together with the rest, and not locked any more once that is over', async (t) => {
  const harness = await setUp(t, { lock: { days: 30, mode: 'locked' } });
  const young = await store(harness.archive, { ...CALL, recordingId: 'young' }, contentOf('small', 29));
  const old = await store(harness.archive, { ...CALL, recordingId: 'old' }, contentOf('small', 29));
  harness.server.store.endLocks(`${PREFIX}/recordings/C1/old/`);
  for (const manifest of [young, old]) assert.equal(await harness.archive.putLevels(manifest, LEVELS, signal()), true);
  const all = retentions(harness);
  assert.equal(all['recordings/C1/young/levels.bin'], `Locked ${harness.lockEnd(young) ?? ''}`);
  assert.equal(all['recordings/C1/old/levels.bin'], 'none');
});

test('what a crash left to be done is locked by whoever ends it', async (t) => {
  const harness = await setUp(t, { lock: { days: 30, mode: 'unlocked' } });
  harness.server.deny('create', `${PREFIX}/days/`);
  await assert.rejects(store(harness.archive, CALL, whole('small')), Failure);
  harness.server.store.allowAll();
  const manifest = await found(await harness.another(), CALL);
  const lock = `Unlocked ${harness.lockEnd(manifest) ?? ''}`;
  const files = ['manifest.json', 'original.opus', 'recording.webm'].map((file) => besideName(CALL, file));
  const all = retentions(harness);
  assert.deepEqual(
    files.map((name) => all[name]),
    files.map(() => lock),
  );
});

test('what was archived before is locked neither by its levels nor by whoever ends what a crash left of it', async (t) => {
  const audits = [auditArchive({ ebml: false })];
  const harness = await setUp(t, { lock: { days: 30, mode: 'locked' }, audits });
  const before = harness.open({ lock: undefined });
  const manifest = await store(before, CALL, contentOf('small'));
  harness.server.deny('create', `${PREFIX}/days/`);
  await assert.rejects(store(before, { ...CALL, recordingId: 'R2' }, whole('small')), Failure);
  harness.server.store.allowAll();
  assert.equal(await harness.archive.putLevels(manifest, LEVELS, signal()), true);
  await found(harness.archive, { ...CALL, recordingId: 'R2' });
  const all = Object.values(retentions(harness));
  assert.deepEqual([...new Set(all)], ['none']);
  assert.ok(all.length >= 8, `${String(all.length)} objects`);
});

for (const size of ['small', 'large'] as const)
  test(`a bucket that locks nothing, or an account that may not: it waits for whoever mends it, and comes then; ${size}`, async (t) => {
    const harness = await setUp(t, { lock: { days: 30, mode: 'locked' } });
    const { server } = harness;
    const waits = async (message: RegExp): Promise<void> => {
      await assert.rejects(store(harness.archive, CALL, whole(size)), (error) => {
        assert.ok(error instanceof Failure);
        assert.deepEqual([error.code, error.sort, error.retry], ['misconfigured', 'operator', 'wait']);
        assert.match(error.message, message);
        return true;
      });
      assert.deepEqual(
        server.names().filter((name) => !name.startsWith(`${PREFIX}/staging/`)),
        [],
      );
    };
    server.store.objectRetention = false;
    await waits(/^Bucket recordings-test does not lock what is stored, .*enable object retention.*or unset LOCK_DAYS/);
    server.store.objectRetention = true;
    server.clockOffsetMs = 31 * DAY_MS;
    await waits(/^To Cloud Storage the lock .* is over: set the clock of this machine/);
    server.clockOffsetMs = 0;
    server.deny('setRetention', `${PREFIX}/recordings/`);
    await waits(/^The service account may not lock .*storage\.objects\.setRetention.*or unset LOCK_DAYS/);
    server.store.allowAll();
    await store(harness.archive, CALL, whole(size));
    assert.deepEqual(await harness.archive.levels(await found(harness.archive, CALL), signal()), LEVELS);
  });

test('what is locked is there to stay: nobody removes it, replaces it or shortens that before its time', async (t) => {
  const lock = { days: 30, mode: 'locked' } as const;
  const harness = await setUp(t, { lock });
  const { server } = harness;
  server.store.allowAll();
  const manifest = await store(harness.archive, CALL, whole('small'));
  const url = `${server.url}/storage/v1/b/${server.bucket}/o/${encodeURIComponent(`${PREFIX}/${besideName(CALL, 'recording.webm')}`)}`;
  const upload = `${server.url}/upload/storage/v1/b/${server.bucket}/o?uploadType=multipart`;
  const body = `--b\r\n\r\n{"name":"${PREFIX}/${besideName(CALL, 'recording.webm')}"}\r\n--b\r\n\r\nx\r\n--b--\r\n`;
  const headers = { 'content-type': 'multipart/related; boundary=b' };
  const ended = (retention: unknown): RequestInit => ({ method: 'PATCH', body: JSON.stringify({ retention }) });
  const sooner = new Date(Date.parse(harness.lockEnd(manifest) ?? '') - 1).toISOString();
  for (const [path, asked, words] of [
    [url, { method: 'DELETE' }, /retentionPolicyNotMet/],
    [upload, { method: 'POST', body, headers }, /retentionPolicyNotMet/],
    [`${url}?overrideUnlockedRetention=true`, ended(null), /locked object retention cannot be removed/],
    [
      `${url}?overrideUnlockedRetention=true`,
      ended({ mode: 'Locked', retainUntilTime: sooner }),
      /cannot be shortened/,
    ],
    [
      `${url}?overrideUnlockedRetention=true`,
      ended({ mode: 'Unlocked', retainUntilTime: sooner }),
      /cannot be changed/,
    ],
  ] as const) {
    const answer = await fetch(path, asked);
    assert.equal(answer.status, 403);
    assert.match(await answer.text(), words);
  }
  server.store.mayErase = true;
  assert.deepEqual(await harness.archive.erase({ subject: CALL, days: [] }, signal()), { state: 'kept' });
  assert.deepEqual(await harness.archive.find(CALL, signal()), manifest);
});

test('a hold is set and released while a lock lasts', async (t) => {
  const harness = await setUp(t, { lock: { days: 30, mode: 'locked' } });
  await store(harness.archive, CALL, whole('small'));
  const before = retentions(harness);
  for (const held of [true, false]) assert.equal(await harness.archive.flag(CALL, held, signal()), true);
  assert.deepEqual(retentions(harness), before);
});

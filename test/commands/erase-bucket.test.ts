import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { partName } from '../../src/archive/day-index.ts';
import { archivedRow, encodeIndexRow, failedRow } from '../../src/archive/index-row.ts';
import { detailsName } from '../../src/archive/details.ts';
import type { LockConfig } from '../../src/config/config.ts';
import { PREFIX } from '../support/archive/bucket.ts';
import { failureOf } from '../support/archive/content.ts';
import { found } from '../support/archive/found.ts';
import { type ArchiveScene, openBucketScene } from '../support/commands/archive-scene.ts';
import type { GcsServer } from '../support/gcs/server.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);
const R1 = { recordingId: 'r1', conversationId: 'c1' } as const;
const NUMBER = '+491701234567';

type BucketScene = ArchiveScene & { readonly server: GcsServer };

async function setUp(t: TestContext, lock?: LockConfig): Promise<BucketScene> {
  const scene = await openBucketScene(lock);
  t.after(() => scene.close());
  const { server } = scene;
  assert.ok(server !== undefined);
  return { ...scene, server };
}

/** A recording whose details and line of the index were written twice, each with a number in it. */
async function writtenTwice({ archive, store }: Pick<BucketScene, 'archive' | 'store'>): Promise<void> {
  await store(R1);
  const line = encodeIndexRow({ ...archivedRow(await found(archive, R1), undefined), customerNumber: NUMBER });
  for (const end of ['', '\n']) {
    await archive.notes.replace(partName('2026-03-01', 'w'), `${line}\n${end}`, signal());
    await archive.notes.replace(detailsName('c1'), `{"ani":"${NUMBER}"}${end}`, signal());
  }
}

function erase({ run }: Pick<BucketScene, 'run'>, ...more: readonly string[]): Promise<Printed> {
  return run('erase', '--conversation', 'c1', '--reason', 'x', '--confirm', '2', ...more);
}

test('versions are kept (operators 11): no generation is left of media, details or index', async (t) => {
  const scene = await setUp(t);
  scene.server.store.versioning = true;
  await writtenTwice(scene);
  assert.ok(scene.server.store.noncurrent.length >= 2, 'there are old generations to begin with');
  const erased = await erase(scene);
  assert.equal(erased.code, 0, erased.stdout + erased.stderr);
  assert.match(erased.stdout, /^2 gone\.$/m);
  const left = scene.server.store
    .generations()
    .filter(({ name, parts }) => /c1/.test(name) || Buffer.concat(parts).includes(NUMBER));
  assert.deepEqual(
    left.map(({ name }) => name.slice(PREFIX.length + 1)).filter((name) => !/^(erased|audit)\//.test(name)),
    [],
  );
});

test('soft delete is off (Terraform: soft_delete_days = 0): what was removed is gone; any other refusal is told in Cloud Storage’s own words', async (t) => {
  const scene = await setUp(t);
  await scene.store(R1);
  const erase = ['erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1'];
  scene.server.faults.plan('list', ['return-400'], /\/recordings\/c1\/r1\/$/);
  const refused = await scene.run(...erase);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(refused.stderr, /^internal: .*400.*\nThe answer was: "Ordered by the test: 400"$/m);
  const erased = await scene.run(...erase);
  assert.equal(erased.code, 0, erased.stdout + erased.stderr);
  assert.match(erased.stdout, /^1 gone\.$/m);
});

for (const versioning of [false, true])
  test(`soft delete is on, versions ${versioning ? 'too' : 'are not'} (operators 11): never called erased before the last moment it can be restored`, async (t) => {
    const scene = await setUp(t);
    Object.assign(scene.server.store, { softDeleteS: 7 * 86_400, versioning });
    await writtenTwice(scene);
    const before = Date.now();
    const erased = await erase(scene, '--json');
    assert.equal(erased.code, 0, erased.stdout + erased.stderr);
    const lines = linesOf(erased);
    const until = String(lines.at(-1)?.['until']);
    assert.ok(Math.abs(Date.parse(until) - before - 7 * 86_400_000) < 120_000, until);
    assert.deepEqual([lines.at(-1)?.['gone'], lines.at(-1)?.['recoverable']], [0, 2]);
    const texts = JSON.stringify(linesOf(await scene.run('audit', '--json')).map(({ about }) => about));
    assert.ok(texts.includes('"recoverable"') && !texts.includes('"gone"'), texts);
    const again = await scene.run('erase', '--conversation', 'c1');
    assert.match(again.stdout, /erased before, recoverable until 20/);
    scene.server.store.softDeleted.length = 0;
    const later = await scene.run('erase', '--conversation', 'c1');
    assert.match(later.stdout, /c1\/r1 {2}erased before$/m);
  });

test('a retention policy that lasts: exit 4 with its end, nothing changes; once it has ended it erases', async (t) => {
  const scene = await setUp(t);
  await scene.store(R1);
  scene.server.store.retain(`${PREFIX}/recordings/`, new Date(Date.now() + 86_400_000));
  const before = await scene.names();
  for (const more of [[], ['--json']]) {
    const refused = await erase(scene, ...more);
    assert.equal(refused.code, 4);
    assert.match(refused.stdout, /locked/);
  }
  assert.deepEqual(await scene.names(), before);
  scene.server.store.retain(`${PREFIX}/recordings/`, new Date(Date.now() - 1));
  assert.equal((await erase(scene)).code, 0);
});

test('a policy that comes in between keeps all of it, and the mark is taken back', async (t) => {
  const scene = await setUp(t);
  await scene.store(R1);
  const { server } = scene;
  server.gate = ({ operation, name }) => {
    if (operation !== 'insert' || !name.includes('/erased/')) return undefined;
    server.store.retain(`${PREFIX}/recordings/`, new Date(Date.now() + 86_400_000));
    return undefined;
  };
  const kept = await scene.run('erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1');
  assert.equal(kept.code, 4, kept.stdout + kept.stderr);
  assert.equal((await found(scene.archive, R1)).recordingId, 'r1');
  assert.deepEqual(
    (await scene.names()).filter((name) => name.startsWith('erased/')),
    [],
  );
});

for (const reason of ['forbidden', 'objectUnderActiveHold'])
  test(`a flag that comes in between keeps all of it, however Cloud Storage says so: ${reason}`, async (t) => {
    const scene = await setUp(t);
    await scene.store(R1);
    const { server } = scene;
    const before = await scene.names();
    server.store.heldReason = reason;
    server.gate = ({ operation, name }) => {
      if (operation !== 'insert' || !name.includes('/erased/')) return undefined;
      for (const object of server.store.objects.values())
        if (object.name.includes('/recordings/')) server.store.hold(object, true);
      return undefined;
    };
    const kept = await scene.run('erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1');
    assert.equal(kept.code, 4, kept.stdout + kept.stderr);
    assert.match(kept.stdout, /^held {5}c1\/r1 /m);
    assert.deepEqual(await scene.names(), before);
  });

const LOCK = { days: 30, mode: 'locked' } as const;
const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();

test('a lock of the recordings themselves: exit 4 until it ends, nothing changes; what it has ended for goes, also by age', async (t) => {
  const scene = await setUp(t, LOCK);
  const finishedAt = daysAgo(29);
  await scene.store(R1, { finishedAt });
  await scene.store({ ...R1, recordingId: 'r2' }, { finishedAt });
  scene.server.store.endLocks(`${PREFIX}/recordings/c1/r2/`);
  const before = await scene.names();
  const until = new Date(Date.parse(finishedAt) + LOCK.days * 86_400_000).toISOString();
  const refused = await scene.run('erase', '--conversation', 'c1', '--reason', 'x', '--confirm', '2');
  assert.equal(refused.code, 4, refused.stdout);
  assert.ok(refused.stdout.includes(`recording     c1/r1  locked until ${until}\n`), refused.stdout);
  assert.match(refused.stdout, /^Nothing was erased: 1 of these are held or locked/m);
  assert.deepEqual(await scene.names(), before);
  const byAge = await scene.run('erase', '--older-than', '30d', '--reason', 'x', '--confirm', '1');
  assert.equal(byAge.code, 0, byAge.stdout + byAge.stderr);
  assert.deepEqual(
    (await scene.names()).filter((name) => name.startsWith('recordings/')),
    before.filter((name) => name.startsWith('recordings/c1/r1/')),
  );
});

test('a locked WebM that a worker laid in the last moment of an erasure: said, seen by nobody, and gone once its lock ends', async (t) => {
  const scene = await setUp(t, LOCK);
  await scene.store(R1, { finishedAt: daysAgo(29) });
  const { server } = scene;
  server.store.endLocks(`${PREFIX}/recordings/`);
  const late = `${PREFIX}/recordings/c1/r1/recording.webm`;
  const made = server.store.objects.get(late);
  assert.ok(made !== undefined);
  server.gate = ({ operation, name }) => {
    if (operation !== 'insert' || !/\.erased\./.test(name)) return undefined;
    const retainUntilTime = new Date(Date.now() + 86_400_000).toISOString();
    server.put(late, Buffer.concat(made.parts), { ...made, retention: { mode: 'Locked', retainUntilTime } });
    server.gate = undefined;
    return undefined;
  };
  const line = ['erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1'];
  const erased = await scene.run(...line);
  assert.equal(erased.code, 4, erased.stdout + erased.stderr);
  assert.match(erased.stdout, /^held {5}c1\/r1 {2}by a lock or a hold that is not ours$/m);
  assert.ok(server.names().includes(late));
  await assert.rejects(scene.archive.find(R1, signal()), { code: 'erased' });
  assert.match((await scene.run('verify')).stdout, /^undead .*c1\.r1/m);
  const again = await scene.run(...line);
  assert.equal(again.code, 4);
  assert.match(again.stdout, /c1\/r1 {2}locked until 20/);
  server.store.endLocks(late);
  assert.equal((await scene.run(...line)).code, 0);
  assert.ok(!server.names().includes(late));
});

test('a hold that is not ours (event-based, of another tool) is named and honoured', async (t) => {
  const scene = await setUp(t);
  await scene.store(R1);
  const webm = scene.server.store.objects.get(`${PREFIX}/recordings/c1/r1/recording.webm`);
  assert.ok(webm !== undefined);
  scene.server.store.hold(webm, true);
  const refused = await erase(scene);
  assert.equal(refused.code, 4);
  assert.match(refused.stdout, /carries a hold that is not ours/);
});

for (const [named, count] of [
  [['--conversation', 'c1'], 2],
  [['--recording', 'c1/r1'], 1],
  [['--older-than', '30d'], 1],
] as const) {
  const eraseAgain = async (scene: BucketScene): Promise<void> => {
    const plan = linesOf(await scene.run('erase', ...named, '--json')).at(-1);
    const again = await scene.run('erase', ...named, '--reason', 'x', '--confirm', String(plan?.['toErase']));
    assert.equal(again.code, 0, again.stdout + again.stderr);
  };

  test(`permission denied in the middle of erase ${named.join(' ')}: the role is named, nothing half is visible, and the next run ends it`, async (t) => {
    for (const what of [
      'recordings/c1/r1/manifest.json',
      'recordings/c1/r1/recording.webm',
      'days/',
      'conversations/',
      'index/',
    ]) {
      const scene = await setUp(t);
      await writtenTwice(scene);
      scene.server.store.deny('delete', `${PREFIX}/${what}`);
      const failed = await scene.run('erase', ...named, '--reason', 'x', '--confirm', String(count));
      assert.equal(failed.code, 1, `${what}: ${failed.stdout}`);
      assert.match(failed.stderr, /may not delete objects .* grant it roles\/storage\.objectUser/);
      const answer = await scene.archive
        .find(R1, signal())
        .catch((thrown: unknown) => (thrown as { code: string }).code);
      assert.ok(answer === 'erased' || typeof answer === 'object', what);
      scene.server.store.allowAll();
      await eraseAgain(scene);
      assert.ok(!(await scene.everything()).includes(NUMBER), what);
      await assert.rejects(scene.archive.find(R1, signal()), { code: 'erased' });
    }
  });

  test(`permission denied in the middle of erase ${named.join(' ')}, of what never was archived: the next run ends it`, async (t) => {
    for (const what of ['failures/', 'conversations/', 'index/']) {
      const scene = await setUp(t);
      const { archive, server } = scene;
      const failure = failureOf(R1, { failedAt: '2026-03-01T10:00:00.000Z' });
      await archive.recordFailure(R1, failure, signal());
      const row = encodeIndexRow({ ...failedRow(failure), customerNumber: NUMBER });
      await archive.notes.replace(partName('2026-03-01', 'w'), `${row}\n`, signal());
      await archive.notes.replace(detailsName('c1'), `{"ani":"${NUMBER}"}`, signal());
      server.store.deny('delete', `${PREFIX}/${what}`);
      const failed = await scene.run('erase', ...named, '--reason', 'x', '--confirm', String(count));
      assert.equal(failed.code, 1, `${what}: ${failed.stdout}`);
      server.store.allowAll();
      await eraseAgain(scene);
      assert.ok(!(await scene.everything()).includes(NUMBER), what);
      assert.equal(await archive.failureOf(R1, signal()), undefined, what);
    }
  });
}

test('without the right to write the audit nothing is erased', async (t) => {
  const scene = await setUp(t);
  await scene.store(R1);
  const before = await scene.names();
  scene.server.store.deny('create', `${PREFIX}/audit/`);
  const failed = await erase(scene);
  assert.equal(failed.code, 1, failed.stdout);
  assert.deepEqual(await scene.names(), before);
});

test('a clock that runs ahead erases nothing by age: the bucket’s own is asked as well', async (t) => {
  const scene = await setUp(t);
  await scene.store(R1, { recordedAt: new Date(Date.now() - 20 * 86_400_000).toISOString() });
  const real = Date.now;
  t.mock.method(Date, 'now', () => real() + 30 * 86_400_000);
  const plan = linesOf(await scene.run('erase', '--older-than', '30d', '--json')).at(-1);
  assert.equal(plan?.['toErase'], 0);
});

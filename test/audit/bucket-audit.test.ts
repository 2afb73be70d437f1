import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { AuditEntry } from '../../src/audit/audit.ts';
import { BucketAudit } from '../../src/audit/bucket-audit.ts';
import { type BucketHarness, openBucketHarness } from '../support/archive/bucket.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);

async function setUp(
  t: TestContext,
): Promise<{ harness: Awaited<ReturnType<typeof openBucketHarness>>; audit: BucketAudit }> {
  const harness = await openBucketHarness();
  t.after(() => harness.close());
  return { harness, audit: new BucketAudit(harness.archive.notes, () => new Date('2026-11-28T12:00:00.000Z')) };
}

function entry(index: number): AuditEntry {
  return { action: 'listened', who: 'qa', way: 'key', recordingId: `r${String(index)}`, conversationId: 'c' };
}

async function records(harness: Pick<BucketHarness, 'objects'>): Promise<readonly string[]> {
  return (await harness.objects()).filter((name) => name.startsWith('audit/')).toSorted();
}

test('a record is an object that is created once, named by its instant and action', async (t) => {
  const { harness, audit } = await setUp(t);
  await audit.record(entry(1), signal());
  const [name = ''] = await records(harness);
  assert.match(name, /^audit\/2026-11-28\/2026-11-28T12:00:00\.000Z\.listened\.[0-9a-f]{16}\.json$/);
});

test('records created side by side are one chain, and other processes have their own', async (t) => {
  const { harness, audit } = await setUp(t);
  const other = new BucketAudit(harness.archive.notes);
  await Promise.all(
    Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? audit : other).record(entry(index), signal())),
  );
  assert.deepEqual(await audit.verify(signal()), { records: 40, findings: [] });
  const found: (string | undefined)[] = [];
  for await (const record of audit.read({ from: '2026-11-28', to: '2026-11-28', recordingId: 'r4' }, signal()))
    found.push(record.recordingId);
  assert.deepEqual(found, ['r4']);
});

test('what was removed or changed is found and named', async (t) => {
  const { harness, audit } = await setUp(t);
  for (let index = 0; index < 4; index++) await audit.record(entry(index), signal());
  const before = await records(harness);
  const texts = await Promise.all(
    before.map(async (name) => ({ name, text: (await harness.bytes(name)).toString('utf8') })),
  );
  const second = texts.find(({ text }) => text.includes('"sequence":2'));
  assert.ok(second);
  await harness.archive.notes.remove(second.name, signal());
  const [missing, ...more] = (await audit.verify(signal())).findings;
  assert.deepEqual([missing?.state, more], ['missing', []]);
  assert.match(missing?.reason ?? '', /records 2 to 2/);
  await harness.archive.notes.create(second.name, second.text.replace('"qa"', '"qb"'), signal());
  assert.deepEqual(
    (await audit.verify(signal())).findings.map(({ state }) => state),
    ['changed'],
  );
});

test('a record that could not be created fails the act, and the next one explains the gap', async (t) => {
  const { harness } = await setUp(t);
  const { notes } = harness.archive;
  let broken = false;
  const create: typeof notes.create = async (...asked) => {
    if (broken) throw new Error('the bucket is away');
    return notes.create(...asked);
  };
  const audit = new BucketAudit({
    create,
    read: (...asked) => notes.read(...asked),
    list: (...asked) => notes.list(...asked),
  });
  await audit.record(entry(1), signal());
  broken = true;
  await assert.rejects(audit.record(entry(2), signal()), /away/);
  broken = false;
  assert.deepEqual((await audit.verify(signal())).findings, []);
  await audit.record(entry(3), signal());
  assert.deepEqual(await audit.verify(signal()), { records: 2, findings: [] });
});

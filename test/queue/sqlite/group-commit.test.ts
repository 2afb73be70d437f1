/** Who waits for the disk of the queue, and who does not: a file whose fsync ends when a test says so. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { GroupCommit } from '../../../src/queue/sqlite/group-commit.ts';

/** What happens, in its order; `disk` ends the fsync that is under way. */
function slowDisk() {
  const seen: string[] = [];
  const database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE number (value INTEGER)');
  const syncs: PromiseWithResolvers<void>[] = [];
  const commit = new GroupCommit(
    {
      database,
      path: ':memory:',
      assertInPlace: () => seen.push('transaction'),
      sync: () => {
        seen.push('fsync');
        const sync = Promise.withResolvers<void>();
        syncs.push(sync);
        return sync.promise;
      },
      close: () => database.close(),
    },
    1_000,
  );
  const write = (name: string, durable: boolean): Promise<void> => {
    const change = (): unknown => database.exec('INSERT INTO number VALUES (1)');
    return commit.write(change, { durable }).then(
      () => void seen.push(`told ${name}`),
      (error: unknown) => void seen.push(`refused ${name}: ${String(error)}`),
    );
  };
  return { seen, commit, write, disk: async (error?: Error) => endSync(syncs.shift(), error) };
}

async function endSync(sync: PromiseWithResolvers<void> | undefined, error: Error | undefined): Promise<void> {
  assert.ok(sync !== undefined, 'no fsync is under way');
  if (error === undefined) sync.resolve();
  else sync.reject(error);
  await turns();
}

async function turns(): Promise<void> {
  for (let count = 0; count < 5; count += 1) await setImmediate();
}

test('an event is told once the disk has it; what a worker does with it waits for no disk, nor for that of an event (QU-18)', async () => {
  const { seen, write, disk } = slowDisk();
  void write('claim', false);
  await turns();
  assert.deepEqual(seen.splice(0), ['transaction', 'told claim']);
  void write('event', true);
  await turns();
  assert.deepEqual(seen.splice(0), ['transaction', 'fsync']);
  void write('ending', false);
  await turns();
  assert.deepEqual(seen.splice(0), ['transaction', 'told ending'], 'told while the disk is waited for');
  await disk();
  assert.deepEqual(seen.splice(0), ['told event']);
});

test('events that come while the disk is waited for share the next transaction and its fsync (QU-18)', async () => {
  const { seen, write, disk } = slowDisk();
  void write('first', true);
  await turns();
  for (const name of ['second', 'third']) {
    void write(name, true);
    await turns();
  }
  assert.deepEqual(seen.splice(0), ['transaction', 'fsync']);
  await disk();
  assert.deepEqual(seen.splice(0), ['told first', 'transaction', 'fsync']);
  await disk();
  assert.deepEqual(seen.splice(0), ['told second', 'told third']);
});

test('an event that was committed with what a worker did is told after an fsync that began behind it (QU-18)', async () => {
  const { seen, write, disk } = slowDisk();
  void write('first', true);
  await turns();
  void write('second', true);
  void write('ending', false);
  await turns();
  assert.deepEqual(seen.splice(0), ['transaction', 'fsync', 'transaction', 'told ending']);
  await disk();
  assert.deepEqual(seen.splice(0).toSorted(), ['fsync', 'told first'], 'the one under way is not for the second');
  await disk();
  assert.deepEqual(seen.splice(0), ['told second']);
});

test('an fsync that failed refuses those who wait for it, and all that is asked for later (QU-19)', async () => {
  const { seen, commit, write, disk } = slowDisk();
  const told = write('claim', false);
  void write('event', true);
  await told;
  void write('later', true);
  await turns();
  await disk(new Error('EIO'));
  await write('too late', false);
  const ends = seen.filter((line) => /^(?:told|refused)/.test(line)).map((line) => line.replace(/:.*/, ''));
  assert.deepEqual(ends.toSorted(), ['refused event', 'refused later', 'refused too late', 'told claim']);
  assert.equal(commit.ended?.code, 'queue-unavailable');
});

test('closing waits for the disk', async () => {
  const { seen, commit, write, disk } = slowDisk();
  void write('event', true);
  await turns();
  const closed = commit.close().then(() => seen.push('closed'));
  await turns();
  await disk();
  await disk();
  await closed;
  assert.deepEqual(
    seen.filter((line) => line !== 'transaction'),
    ['fsync', 'told event', 'fsync', 'closed'],
  );
});

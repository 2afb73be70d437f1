/** The queue in a file: the contract, and what only a file can suffer. */
import type { SqliteQueue, SqliteQueueOptions } from '../../../src/queue/sqlite/sqlite.ts';
import type { Settlement } from '../../../src/queue/queue.ts';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, copyFile, mkdtemp, readFile, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../../../src/failure.ts';
import { openSqliteQueue } from '../../../src/queue/sqlite/sqlite.ts';
import { consuming, conversationMessage, gate, queueSuite, recordingMessage } from '../suite.ts';

const NEVER = new AbortController().signal;
const DONE: Settlement = { outcome: 'done' };

queueSuite(
  'sqlite',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'queue-'));
    const path = join(folder, 'a', 'b', 'queue.db');
    const opened = [openSqliteQueue({ path })];
    const [queue] = opened;
    assert.ok(queue !== undefined);
    return {
      queue,
      async reopen() {
        await queue.close();
        const again = openSqliteQueue({ path });
        opened.push(again);
        return again;
      },
      async close() {
        for (const one of opened) await one.close();
        await rm(folder, { recursive: true });
      },
    };
  },
  { collapses: true, measuresDepth: true, revives: true },
);

interface Place {
  readonly folder: string;
  readonly path: string;
  readonly open: (options?: Omit<SqliteQueueOptions, 'path'>) => SqliteQueue;
}

/** A test with a folder of its own, whose queues are closed at its end. */
function fileTest(title: string, body: (place: Place) => Promise<void>): void {
  test(title, { timeout: 300_000 }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'queue-'));
    const path = join(folder, 'queue.db');
    const opened: SqliteQueue[] = [];
    t.after(async () => {
      for (const queue of opened) await queue.close();
      await rm(folder, { recursive: true });
    });
    const open = (options: Omit<SqliteQueueOptions, 'path'> = {}): SqliteQueue => {
      const queue = openSqliteQueue({ path, ...options });
      opened.push(queue);
      return queue;
    };
    await body({ folder, path, open });
  });
}

const refusal =
  (words: RegExp) =>
  (error: unknown): boolean =>
    error instanceof Failure && error.code === 'queue-unavailable' && words.test(error.message);

/** Reads the file with a connection of its own, as another program would. */
function look<T>(path: string, read: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path, { timeout: 1000 });
  try {
    return read(database);
  } finally {
    database.close();
  }
}

/** Transactions in the log of a queue: its frames that end one say how large the file is then (https://sqlite.org/fileformat.html#walformat). */
async function committedIn(path: string): Promise<number> {
  const log = await readFile(`${path}-wal`);
  const [salts, pageBytes] = [log.subarray(16, 24), log.readUInt32BE(8)];
  let committed = 0;
  for (let at = 32; at + 24 <= log.length; at += 24 + pageBytes)
    if (log.subarray(at + 8, at + 16).equals(salts) && log.readUInt32BE(at + 4) > 0) committed += 1;
  return committed;
}

fileTest('the end of a message and the taking of the next are one transaction', async ({ path, open }) => {
  const queue = open();
  const count = 24;
  await queue.publish(
    Array.from({ length: count }, (_, at) => recordingMessage(`r-${String(at)}`)),
    NEVER,
  );
  const before = await committedIn(path);
  const consumer = consuming(queue, () => DONE);
  const seen = await consumer.first(count);
  await consumer.stop();
  assert.equal(new Set(seen.map(({ name }) => name)).size, count);
  assert.deepEqual(await queue.depth?.(), { ready: 0, waiting: 0, running: 0, dead: 0 });
  // The first taking and the last end stand alone, and what is written once a minute.
  assert.ok(
    (await committedIn(path)) - before <= count + 4,
    `${String((await committedIn(path)) - before)} transactions`,
  );
});

fileTest('a burst of publishes shares transactions, and each is durable when it resolves', async ({ path, open }) => {
  const queue = open();
  const sizes: number[] = [];
  await Promise.all(
    Array.from({ length: 300 }, async (_, index) => {
      await queue.publish([recordingMessage(`r-${String(index)}`)], NEVER);
      sizes.push(look(path, (database) => Number(database.prepare('SELECT count(*) AS n FROM message').get()?.['n'])));
    }),
  );
  assert.equal(sizes[0], 300);
});

fileTest('what waits for an earlier commit is committed in the order it came', async ({ open }) => {
  const queue = open();
  const names = Array.from({ length: 1500 }, (_, index) => `r-${String(index)}`);
  await Promise.all(names.map((name) => queue.publish([recordingMessage(name)], NEVER)));
  const consumer = consuming(queue, () => DONE, 1);
  const seen = await consumer.first(20);
  await consumer.stop();
  assert.deepEqual(
    seen.map((one) => one.name),
    names.slice(0, 20),
  );
});

fileTest('refuses a publish, and checks as unready, while another program holds the lock (QU-16)', async (place) => {
  const queue = place.open({ patienceMs: 300 });
  const other = new DatabaseSync(place.path);
  other.exec('BEGIN IMMEDIATE');
  await assert.rejects(queue.publish([recordingMessage('r-1')], NEVER), refusal(/stayed locked/));
  await assert.rejects(queue.check(NEVER), refusal(/stayed locked/));
  const patient = queue.publish([recordingMessage('r-2')], NEVER);
  other.exec('ROLLBACK');
  other.close();
  await patient;
  assert.deepEqual(await queue.depth(), { ready: 1, waiting: 0, running: 0, dead: 0 });
});

fileTest('a consumer outlives a locked file and says so once', async (place) => {
  const troubles: Failure[] = [];
  const queue = place.open({ patienceMs: 100, pollMs: 50, onTrouble: (failure) => troubles.push(failure) });
  await queue.publish([recordingMessage('r-1')], NEVER);
  const other = new DatabaseSync(place.path);
  other.exec('BEGIN IMMEDIATE');
  const consumer = consuming(queue, () => DONE);
  while (troubles.length === 0) await delay(20);
  other.exec('ROLLBACK');
  other.close();
  await consumer.first(1);
  await consumer.stop();
  assert.equal(troubles.length, 1);
  assert.match(troubles[0]?.message ?? '', /stayed locked/);
});

fileTest(
  'a reader that never ends does not stop publishing, and the WAL stays bounded after it (QU-16)',
  async (place) => {
    const queue = place.open();
    const publish = async (name: string, count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1)
        await queue.publish([recordingMessage(`${name}-${String(index)}`)], NEVER);
    };
    const reader = new DatabaseSync(place.path);
    reader.exec('BEGIN; SELECT count(*) FROM message');
    await publish('under', 600);
    reader.exec('ROLLBACK');
    reader.close();
    await publish('after', 1800);
    const wal = await stat(`${place.path}-wal`);
    assert.ok(wal.size < 20 * 1024 * 1024, `the WAL has ${String(wal.size)} bytes`);
    assert.equal((await queue.depth())?.ready, 2400);
  },
);

fileTest('refuses what would wait in too long a line, and keeps the rest', async ({ open }) => {
  const queue = open();
  const results = await Promise.allSettled(
    Array.from({ length: 20_100 }, (_, index) => queue.publish([recordingMessage(`r-${String(index)}`)], NEVER)),
  );
  const refused = results.filter((result) => result.status === 'rejected');
  assert.equal(refused.length, 100);
  assert.ok(refused.every((result) => refusal(/Too many events wait/)(result.reason)));
  assert.equal((await queue.depth())?.ready, 20_000);
});

fileTest('two queues on one file share the work and notice each other (QU-14)', async ({ open }) => {
  const receiver = open();
  // So rare a poll that only the file events of the system can wake them in time.
  const [first, second] = [open({ pollMs: 3_600_000 }), open({ pollMs: 3_600_000 })] as const;
  const both = gate();
  let running = 0;
  const answer = async (): Promise<Settlement> => {
    running += 1;
    if (running === 2) both.open();
    await both.opened;
    return DONE;
  };
  const consumers = [consuming(first, answer), consuming(second, answer)];
  // Long enough for both to have looked and found nothing.
  await delay(300);
  await receiver.publish([recordingMessage('r-1'), recordingMessage('r-2')], NEVER);
  await both.opened;
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  const names = consumers.flatMap((consumer) => consumer.seen.map((one) => one.name));
  assert.deepEqual(names.toSorted(), ['r-1', 'r-2']);
});

fileTest('a lease is kept while the work lasts longer than it', async ({ open }) => {
  const queue = open({ leaseMs: 1000, pollMs: 50 });
  const other = open({ leaseMs: 1000, pollMs: 50 });
  await queue.publish([recordingMessage('long')], NEVER);
  let aborted = false;
  const ended = gate();
  const owner = consuming(queue, async (_, signal) => {
    await delay(2500);
    aborted = signal.aborted;
    ended.open();
    return DONE;
  });
  await owner.first(1);
  const thief = consuming(other, () => DONE);
  await queue.publish([recordingMessage('next')], NEVER);
  await thief.first(1);
  await ended.opened;
  await owner.stop();
  await thief.stop();
  assert.deepEqual([aborted, thief.seen.map((one) => one.name)], [false, ['next']]);
});

fileTest('a message that ends just while its lease is extended has lost nothing', async ({ open }) => {
  const troubles: string[] = [];
  const queue = open({ leaseMs: 30, pollMs: 5, onTrouble: ({ message }) => troubles.push(message) });
  const names = Array.from({ length: 600 }, (_, index) => `r-${String(index)}`);
  await queue.publish(
    names.map((name) => recordingMessage(name)),
    NEVER,
  );
  const owner = consuming(queue, () => DONE, 8);
  await owner.first(names.length);
  await owner.stop();
  assert.deepEqual(troubles, []);
  assert.deepEqual(owner.seen.map(({ name }) => name).toSorted(), names.toSorted(), 'each once');
});

fileTest('a process that is held up for longer than a lease takes nothing away from itself', async ({ open }) => {
  const troubles: string[] = [];
  const queue = open({ leaseMs: 300, pollMs: 10, onTrouble: ({ message }) => troubles.push(message) });
  const aborted: boolean[] = [];
  const ended = gate();
  const owner = consuming(
    queue,
    async ({ name }, signal) => {
      if (name === 'long') {
        // Nothing of this process runs: no heartbeat either.
        for (let held = 0; held < 3; held += 1) {
          await queue.publish([recordingMessage(`next-${String(held)}`)], NEVER);
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
        }
        await delay(50);
        aborted.push(signal.aborted);
        ended.open();
      }
      return DONE;
    },
    2,
  );
  await queue.publish([recordingMessage('long')], NEVER);
  await owner.first(4);
  await ended.opened;
  await owner.stop();
  assert.deepEqual([troubles, aborted], [[], [false]]);
  assert.equal(owner.seen.filter(({ name }) => name === 'long').length, 1);
});

fileTest('an owner that lost its lease is stopped and cannot settle (QU-15, QU-02)', async ({ path, open }) => {
  const queue = open({ leaseMs: 150, pollMs: 20 });
  await queue.publish([recordingMessage('r-1')], NEVER);
  const taken = gate();
  const stale = consuming(queue, async (one, signal) => {
    if (one.attempt > 1) return { outcome: 'dead', reason: 'the second delivery says so', unrecorded: true };
    taken.open();
    // As if this process had been stopped past its lease and another one had taken the message.
    look(path, (database) => database.exec(`UPDATE message SET token = 'another', due_at = 0`));
    if (!signal.aborted) await once(signal, 'abort');
    await settledElsewhere.opened;
    return DONE;
  });
  const settledElsewhere = gate();
  await taken.opened;
  const other = open({ leaseMs: 150, pollMs: 20 });
  const owner = consuming(other, () => ({
    outcome: 'dead',
    reason: 'the second delivery says so',
    unrecorded: true,
  }));
  const [second] = await owner.first(1);
  while ((await other.depth())?.dead !== 1) await delay(5);
  settledElsewhere.open();
  await stale.stop();
  await owner.stop();
  assert.equal(second?.attempt, 2);
  const dead = await other.dead(10);
  assert.deepEqual(
    dead.map((one) => [one.key, one.reason]),
    [['recording:c-1.r-1', 'the second delivery says so']],
  );
});

fileTest('a message whose process keeps dying is dead after so many times, with its reason (QU-04)', async (place) => {
  const troubles: Failure[] = [];
  const onTrouble = (failure: Failure): unknown => troubles.push(failure);
  const queue = place.open({ leaseMs: 100, pollMs: 10, maxLost: 3, onTrouble });
  await queue.publish([recordingMessage('poison'), recordingMessage('good')], NEVER);
  const killed = (): void =>
    look(place.path, (database) => database.exec(`UPDATE message SET token = 'gone', due_at = 0 WHERE token NOT NULL`));
  const consumer = consuming(
    queue,
    async (one, signal) => {
      if (one.name === 'good') return DONE;
      killed();
      if (!signal.aborted) await once(signal, 'abort');
      return DONE;
    },
    2,
  );
  while ((await queue.depth())?.dead !== 1) await delay(5);
  await consumer.stop();
  const attempts = consumer.seen.filter((one) => one.name === 'poison').map((one) => one.attempt);
  assert.deepEqual(attempts, [1, 2, 3]);
  const [dead] = await queue.dead(1);
  assert.match(dead?.reason ?? '', /Delivered 3 times in a row without coming back/);
  assert.deepEqual(
    troubles.filter((failure) => /given up/.test(failure.message)).map((failure) => failure.facts['key']),
    ['recording:c-1.poison'],
  );
});

fileTest('a handler that keeps throwing ends with a reason, told to who listens', async ({ path, open }) => {
  const troubles: Failure[] = [];
  const queue = open({ maxLost: 2, pollMs: 10, onTrouble: (failure) => troubles.push(failure) });
  await queue.publish([recordingMessage('bug')], NEVER);
  const consumer = consuming(queue, () => {
    throw new TypeError('a bug');
  });
  await consumer.first(1);
  while ((await queue.depth())?.waiting !== 1) await delay(5);
  look(path, (database) => database.exec('UPDATE message SET due_at = 0'));
  await consumer.first(2);
  while ((await queue.depth())?.dead !== 1) await delay(5);
  await consumer.stop();
  const [dead] = await queue.dead(1);
  assert.match(dead?.reason ?? '', /unexpected error 2 times in a row/);
  assert.deepEqual(
    troubles.map((failure) => failure.cause instanceof TypeError),
    [true, true],
  );
});

fileTest('gives back what ignores its signal, at once deliverable and uncounted', async ({ open }) => {
  const queue = open({ stopGraceMs: 50 });
  await queue.publish([recordingMessage('deaf')], NEVER);
  const release = gate();
  const deaf = consuming(queue, async () => {
    await release.opened;
    return { outcome: 'dead', reason: 'too late' };
  });
  await deaf.first(1);
  await deaf.stop();
  assert.deepEqual(await queue.depth(), { ready: 1, waiting: 0, running: 0, dead: 0 });
  release.open();
  const next = consuming(queue, () => DONE);
  const [one] = await next.first(1);
  await next.stop();
  assert.deepEqual([one?.name, one?.attempt, (await queue.depth())?.dead], ['deaf', 1, 0]);
});

fileTest('a message that cannot be read is dead with its reason, and the rest go on', async ({ path, open }) => {
  const queue = open();
  await queue.publish([recordingMessage('strange'), recordingMessage('good')], NEVER);
  look(path, (database) => database.exec(`UPDATE message SET body = '{"v":0}' WHERE key LIKE '%strange'`));
  const consumer = consuming(queue, () => DONE);
  const [one] = await consumer.first(1);
  await consumer.stop();
  const [dead] = await queue.dead(1);
  assert.equal(one?.name, 'good');
  assert.match(dead?.reason ?? '', /cannot be read: message\.v/);
});

fileTest('what a newer revision wrote waits for one, with nothing lost of it', async ({ path, open }) => {
  const queue = open();
  const names = ['version', 'kind'];
  await queue.publish([...names.map((name) => recordingMessage(name)), recordingMessage('good')], NEVER);
  const bodies = { version: '{"v":2,"kind":"recordings"}', kind: '{"v":1,"kind":"other","id":"x"}' };
  look(path, (database) => {
    for (const [name, body] of Object.entries(bodies))
      database.exec(`UPDATE message SET body = '${body}' WHERE key LIKE '%${name}'`);
  });
  const consumer = consuming(queue, () => DONE);
  const [one] = await consumer.first(1);
  while ((await queue.depth())?.waiting !== 2) await delay(5);
  await consumer.stop();
  assert.equal(one?.name, 'good');
  assert.deepEqual(await queue.depth(), { ready: 0, waiting: 2, running: 0, dead: 0 });
  const kept = look(path, (database) => database.prepare(`SELECT body, attempt FROM message ORDER BY id`).all());
  assert.deepEqual(
    kept.map((row) => ({ ...row })),
    Object.values(bodies).map((body) => ({ body, attempt: 0 })),
  );
});

fileTest(
  'a row that an older revision wrote is delivered, and events of one conversation are one',
  async ({ path, open }) => {
    const queue = open();
    await queue.publish([conversationMessage('c-1'), conversationMessage('c-2')], NEVER);
    const older = '{"v":1,"kind":"conversation","conversationId":"c-1","mediaType":"VOICE"}';
    look(path, (database) => database.exec(`UPDATE message SET body = '${older}' WHERE key LIKE '%c-1'`));
    await queue.publish([conversationMessage('c-1'), conversationMessage('c-2')], NEVER);
    const consumer = consuming(queue, () => DONE);
    const seen = await consumer.first(2);
    await consumer.stop();
    assert.deepEqual(
      seen.map((one) => one.message),
      [conversationMessage('c-1'), conversationMessage('c-2')],
    );
  },
);

function rowsIn(path: string): number {
  return look(path, (database) => Number(database.prepare('SELECT count(*) AS n FROM message').get()?.['n']));
}

fileTest(
  'what the archive has leaves no row behind, whether it was archived or given up (F8)',
  async ({ path, open }) => {
    const queue = open();
    const consumer = consuming(
      queue,
      (one) => (Number(one.name) % 2 === 0 ? DONE : { outcome: 'dead', reason: 'gone: Genesys has deleted it.' }),
      10,
    );
    for (let round = 0; round < 5; round += 1) {
      const ids = Array.from({ length: 200 }, (_, index) => recordingMessage(String(index)));
      await queue.publish(ids, NEVER);
      await consumer.first(200 * (round + 1));
    }
    await consumer.stop();
    assert.equal(rowsIn(path), 0);
    assert.deepEqual(await queue.depth(), { ready: 0, waiting: 0, running: 0, dead: 0 });
    await queue.close();
    const { size } = await stat(path);
    assert.ok(size < 512 * 1024, `the pages of 1,000 messages are used again: ${String(size)} bytes`);
  },
);

fileTest(
  'what only the queue knows to be given up is kept for its time with its reason, and not longer (F8)',
  async ({ path, open }) => {
    const queue = open({ keepDeadMs: 60_000 });
    const consumer = consuming(queue, () => ({ outcome: 'dead', reason: 'nobody could record it', unrecorded: true }));
    await queue.publish([recordingMessage('old'), recordingMessage('new')], NEVER);
    await consumer.first(2);
    await consumer.stop();
    look(path, (database) => database.exec(`UPDATE message SET changed_at = changed_at - 61000 WHERE key LIKE '%old'`));
    const next = consuming(queue, () => DONE);
    await queue.publish([recordingMessage('marker')], NEVER);
    await next.first(1);
    await next.stop();
    assert.deepEqual(
      (await queue.dead(10)).map((one) => [one.key, one.reason]),
      [['recording:c-1.new', 'nobody could record it']],
    );
  },
);

fileTest(
  'a file that version 0.1.0 wrote is served: all that waits in it, and nothing of what it called done',
  async (place) => {
    await copyFile(new URL('../../fixtures/queue-0.1.0.db', import.meta.url), place.path);
    const queue = place.open();
    assert.deepEqual(await queue.depth(), { ready: 6, waiting: 0, running: 1, dead: 1 });
    const consumer = consuming(queue, () => DONE, 20);
    const seen = await consumer.first(7);
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const attempts = new Map(seen.map(({ name, attempt }) => [name, attempt]));
    assert.deepEqual(Object.fromEntries(attempts), {
      again: 2,
      waits: 1,
      running: 2,
      queued: 1,
      alone: 1,
      'c-voice': 1,
      'c-any': 1,
    });
    const messages = new Map(seen.map(({ name, message }) => [name, message]));
    assert.deepEqual(messages.get('queued'), recordingMessage('queued', trace));
    assert.deepEqual(messages.get('alone'), { kind: 'recording', recordingId: 'alone', conversationId: undefined });
    assert.deepEqual(messages.get('c-voice'), conversationMessage('c-voice'));
    await queue.publish([recordingMessage('done'), recordingMessage('dead'), conversationMessage('c-done')], NEVER);
    const [, , , , , , , ...named] = await consumer.first(10);
    await consumer.stop();
    assert.deepEqual(named.map((one) => `${one.name} ${String(one.attempt)}`).toSorted(), [
      'c-done 1',
      'dead 1',
      'done 1',
    ]);
    assert.equal(rowsIn(place.path), 0);
  },
);

fileTest('rows that version 0.1.0 called done are forgotten, and what it gave up after 30 days', async (place) => {
  await copyFile(new URL('../../fixtures/queue-0.1.0.db', import.meta.url), place.path);
  const queue = place.open();
  const consumer = consuming(queue, () => DONE, 20);
  await consumer.first(7);
  while (rowsIn(place.path) > 0) await delay(5);
  await consumer.stop();
});

for (const umask of [0o000, 0o022, 0o777])
  fileTest(
    `nobody else may read the queue, whatever the umask: ${umask.toString(8)} (B8)`,
    async ({ folder, path, open }) => {
      const before = process.umask(umask);
      try {
        const queue = open();
        process.umask(before);
        await queue.publish([recordingMessage('r-1')], NEVER);
      } finally {
        process.umask(before);
      }
      const modes = await modesIn(folder);
      assert.deepEqual(modes, { 'queue.db': '600', 'queue.db-shm': '600', 'queue.db-wal': '600' });
      assert.ok(path.startsWith(folder));
    },
  );

fileTest(
  'a queue file that others may read is shut to them when it is opened; a group that may stays (B8)',
  async (place) => {
    const queue = place.open();
    await queue.publish([recordingMessage('r-1')], NEVER);
    for (const name of await readdir(place.folder)) await chmod(join(place.folder, name), 0o664);
    const again = place.open();
    await again.publish([recordingMessage('r-2')], NEVER);
    assert.deepEqual(await modesIn(place.folder), {
      'queue.db': '660',
      'queue.db-shm': '660',
      'queue.db-wal': '660',
    });
    await again.close();
    await queue.close();
    await place.open().publish([recordingMessage('r-3')], NEVER);
    assert.deepEqual(new Set(Object.values(await modesIn(place.folder))), new Set(['660']));
  },
);

async function modesIn(folder: string): Promise<Readonly<Record<string, string>>> {
  const names = (await readdir(folder)).toSorted();
  const modes = await Promise.all(
    names.map(async (name) => [name, ((await stat(join(folder, name))).mode & 0o777).toString(8)] as const),
  );
  return Object.fromEntries(modes);
}

fileTest(
  '60,000 recordings of one conversation hold nobody up: whoever asks meanwhile is answered first (A11)',
  async ({ open }) => {
    const queue = open();
    const order: string[] = [];
    const many = queue
      .publish(
        Array.from({ length: 60_000 }, (_, index) => recordingMessage(`r-${String(index)}`)),
        NEVER,
      )
      .then(() => order.push('many'));
    let turns = 0;
    let asked = 0;
    const others = (async () => {
      while (!order.includes('many')) {
        asked += 1;
        await queue.publish([recordingMessage(`other-${String(asked)}`)], NEVER);
        // Whatever else this process serves has its turn as well.
        await new Promise((resolve) => setImmediate(resolve));
        turns += 1;
      }
    })();
    await Promise.all([many, others]);
    assert.ok(asked >= 25 && turns >= 25, `${String(asked)} others were answered, ${String(turns)} turns of the loop`);
    assert.equal((await queue.depth())?.ready, 60_000 + asked);
  },
);

fileTest('a clock set back makes no wait longer than it was asked to be (QU-13)', async ({ open }) => {
  let setBackMs = 0;
  const queue = open({ now: () => Date.now() - setBackMs, pollMs: 20 });
  await queue.publish([recordingMessage('r-1')], NEVER);
  const consumer = consuming(queue, (one) => (one.attempt === 1 ? { outcome: 'again', afterMs: 300 } : DONE));
  await consumer.first(1);
  while ((await queue.depth())?.waiting !== 1) await delay(5);
  setBackMs = 7_200_000;
  await consumer.first(2);
  await consumer.stop();
});

fileTest('a lease from before the clock was set back ends all the same (QU-13)', async ({ path, open }) => {
  const queue = open({ leaseMs: 200, pollMs: 20 });
  await queue.publish([recordingMessage('r-1')], NEVER);
  look(path, (database) => {
    const ahead = Date.now() + 7_200_000;
    database
      .prepare(`UPDATE message SET state = 'running', token = 'killed', due_at = ?, changed_at = ?, attempt = 1`)
      .run(ahead + 200, ahead);
  });
  const consumer = consuming(queue, () => DONE);
  const [one] = await consumer.first(1);
  await consumer.stop();
  assert.equal(one?.attempt, 2);
});

fileTest('a clock set forward takes no message from a living owner (QU-13)', async ({ open }) => {
  let aheadMs = 0;
  const now = (): number => Date.now() + aheadMs;
  const queue = open({ now, leaseMs: 1000, pollMs: 20 });
  const other = open({ now, leaseMs: 1000, pollMs: 20 });
  await queue.publish([recordingMessage('long')], NEVER);
  const release = gate();
  let aborted = false;
  const owner = consuming(queue, async (_, signal) => {
    await release.opened;
    aborted = signal.aborted;
    return DONE;
  });
  await owner.first(1);
  const thief = consuming(other, () => DONE);
  await other.publish([recordingMessage('next')], NEVER);
  await thief.first(1);
  aheadMs = 7_200_000;
  await delay(2200);
  release.open();
  while ((await queue.depth())?.running !== 0) await delay(5);
  await Promise.all([owner.stop(), thief.stop()]);
  assert.deepEqual([aborted, thief.seen.map((one) => one.name)], [false, ['next']]);
});

fileTest('asserts WAL and a known schema on every open', async ({ path, open }) => {
  await open().close();
  look(path, (database) => database.exec('PRAGMA journal_mode = DELETE'));
  await open().close();
  const [journal, version] = look(path, (database) => [
    database.prepare('PRAGMA journal_mode').get()?.['journal_mode'],
    database.prepare('PRAGMA user_version').get()?.['user_version'],
  ]);
  assert.deepEqual([journal, version], ['wal', 1]);
});

fileTest('refuses files that are not its own, newer or damaged, and leaves them as they are (QU-17)', async (place) => {
  const queue = place.open();
  await queue.publish(
    Array.from({ length: 400 }, (_, index) => recordingMessage(`r-${String(index)}`)),
    NEVER,
  );
  await queue.close();
  const good = await readFile(place.path);
  const flipped = Buffer.from(good);
  flipped.fill(0x5a, 5 * 4096, 8 * 4096);
  const foreign = join(place.folder, 'foreign.db');
  look(foreign, (database) => database.exec('CREATE TABLE t (a)'));
  const newer = join(place.folder, 'newer.db');
  await writeFile(newer, good);
  look(newer, (database) => database.exec('PRAGMA user_version = 2'));
  const cases: readonly (readonly [what: string, bytes: Buffer, words: RegExp])[] = [
    ['empty', Buffer.alloc(0), /is damaged \(cut short\)/],
    ['text', Buffer.from('this is no database at all\n'.repeat(20)), /is no SQLite file/],
    ['foreign', await readFile(foreign), /belongs to another program/],
    ['newer', await readFile(newer), /schema version 2, this service knows 1/],
    ['cut', good.subarray(0, good.length / 2), /is damaged/],
    ['flipped', flipped, /is damaged/],
  ];
  for (const [what, bytes, words] of cases) {
    await writeFile(place.path, bytes);
    assert.throws(() => openSqliteQueue({ path: place.path }), refusal(words), what);
    assert.deepEqual(await readFile(place.path), bytes, `${what} was changed`);
  }
  await writeFile(place.path, good);
  assert.equal((await place.open().depth())?.ready, 400);
});

fileTest('refuses to start empty where only the WAL is left, and where it cannot write (QU-17)', async (place) => {
  await writeFile(`${place.path}-wal`, 'left behind');
  assert.throws(() => openSqliteQueue({ path: place.path }), refusal(/is missing, but its -wal file is there/));
  const inTheWay = join(place.folder, 'file');
  await writeFile(inTheWay, '');
  assert.throws(() => openSqliteQueue({ path: join(inTheWay, 'queue.db') }), refusal(/cannot be opened; check/));
  assert.deepEqual((await readdir(place.folder)).toSorted(), ['file', 'queue.db-wal']);
});

fileTest('acknowledges nothing into a file that was moved away, and says so', async (place) => {
  const queue = place.open();
  await queue.publish([recordingMessage('r-1')], NEVER);
  const consumer = consuming(queue, () => DONE);
  await consumer.first(1);
  while ((await queue.depth())?.running !== 0) await delay(5);
  await rename(place.path, `${place.path}.old`);
  await assert.rejects(queue.publish([recordingMessage('r-2')], NEVER), refusal(/moved, deleted or replaced/));
  await assert.rejects(queue.check(NEVER), refusal(/moved, deleted or replaced/));
  await assert.rejects(
    queue.consume(async () => DONE, 1, NEVER),
    refusal(/moved, deleted or replaced/),
  );
  await assert.rejects(consumer.first(2), refusal(/moved, deleted or replaced/), 'the idle consumer ends too');
});

fileTest('close() waits for what is being published and refuses what comes later', async ({ open }) => {
  const queue = open();
  const early = queue.publish([recordingMessage('r-1')], NEVER);
  await queue.close();
  await early;
  await queue.close();
  await assert.rejects(queue.publish([recordingMessage('r-2')], NEVER), refusal(/is closed/));
  assert.equal((await open().depth())?.ready, 1);
});

fileTest('close() ends its consumers and gives back what they hold', async ({ open }) => {
  const queue = open();
  await queue.publish([recordingMessage('r-1')], NEVER);
  const consumer = consuming(queue, async (_, signal) => {
    if (!signal.aborted) await once(signal, 'abort');
    return { outcome: 'wait', afterMs: 0 };
  });
  await consumer.first(1);
  await queue.close();
  await consumer.stop();
  assert.equal((await open().depth())?.ready, 1);
});

fileTest('a file cut short while in use ends the queue instead of hiding it', async (place) => {
  const queue = place.open();
  await queue.publish(
    Array.from({ length: 600 }, (_, index) => recordingMessage(`r-${String(index)}`)),
    NEVER,
  );
  await queue.close();
  const again = place.open();
  await truncate(place.path, 4096);
  await assert.rejects(
    async () => {
      for (;;) await again.publish([recordingMessage(crypto.randomUUID())], NEVER);
    },
    refusal(/damaged|reported an error/),
  );
  await assert.rejects(again.check(NEVER), refusal(/damaged|reported an error/));
});

/** The folder archive: the contract, and what only a folder can meet. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { folderFailure } from '../../../src/archive/folder/failure.ts';
import { openFolderArchive } from '../../../src/archive/folder/folder.ts';
import { verifyStored } from '../../../src/archive/verify.ts';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import { bytesOf, failureOf, manifestOf, store, type Content } from '../../support/archive/content.ts';
import { filesIn, openFolderHarness, type FolderHarness } from '../../support/archive/folder.ts';
import { archiveSuite } from '../suite.ts';
import { found } from '../../support/archive/found.ts';
import { cannotListOpenFiles, openFilesBelow } from '../../support/open-files.ts';

archiveSuite('the folder archive', openFolderHarness);

test('the sweep spares what is younger than told, and counts what it removed', async () => {
  await withFolder(async ({ archive, path }) => {
    await archive.check(signal());
    const old = join(path, 'staging', 'C1.R1.0123456789abcdef');
    await mkdir(old);
    await writeFile(join(old, 'clusters'), 'half');
    const hourAgo = new Date(Date.now() - 3_600_000);
    await utimes(old, hourAgo, hourAgo);
    assert.equal(await archive.sweep(1_800_000, signal()), 0, 'its file is still being written');
    await utimes(join(old, 'clusters'), hourAgo, hourAgo);
    assert.equal(await archive.sweep(7_200_000, signal()), 0);
    assert.equal(await archive.sweep(1_800_000, signal()), 1);
    assert.deepEqual(await readdir(join(path, 'staging')), []);
  });
});

test('staged clusters that the disk changed are noticed when they are read back, and nothing becomes visible', async () => {
  await withFolder(async ({ archive, path, holdBackBytes }) => {
    await using deposit = await archive.begin(CALL, signal());
    await deposit.clusters.write(bytesOf('clusters', holdBackBytes + 1));
    const [staged = ''] = await filesIn(join(path, 'staging'));
    await writeFile(join(path, 'staging', staged), 'X', { flag: 'r+' });
    const commit = deposit.commit(CONTENT.head, 'audio/webm', (stored) => manifestOf(CALL, stored));
    await assert.rejects(commit, isFailure('archive-unavailable', /gave back other bytes/));
    assert.deepEqual(await filesIn(join(path, 'recordings')), []);
  });
});

test('a reader that stops while its file is opened ends nobody else, and reads nothing', async () => {
  await withFolder(async ({ archive }) => {
    const manifest = await store(archive, CALL, CONTENT);
    const stop = new AbortController();
    const opening = archive.read(manifest, undefined, stop.signal);
    stop.abort();
    const stream = await opening;
    // An error that nobody hears would have ended this process by then.
    while (!stream.closed) await nextTurn();
    await assert.rejects(buffer(stream), (error) => Failure.from(error).code === 'stopped');
  });
});

test('a deposit that is disposed while it commits ends its commit first', async () => {
  await withFolder(async ({ archive }) => {
    const stored = async (): Promise<unknown> => {
      await using deposit = await archive.begin(CALL, signal());
      for (const cluster of CONTENT.clusters) await deposit.clusters.write(cluster);
      return deposit.commit(CONTENT.head, 'audio/webm', (facts) => manifestOf(CALL, facts));
    };
    assert.deepEqual(await stored(), await archive.find(CALL, signal()));
  });
});

test('a WebM without a manifest is not overwritten: the deposit is refused and says what to do (ST-13)', async () => {
  await withFolder(async ({ archive, path }) => {
    const foreign = join(path, 'recordings', 'C1', 'R1');
    await mkdir(foreign, { recursive: true });
    await writeFile(join(foreign, 'recording.webm'), 'foreign');
    assert.equal(await archive.find(CALL, signal()), undefined);
    await assert.rejects(store(archive, CALL, CONTENT), isFailure('conflict', /move it out of recordings/));
    assert.deepEqual(await filesIn(join(path, 'recordings')), ['C1/R1/recording.webm']);
    assert.deepEqual(await readdir(join(path, 'staging')), []);
    assert.deepEqual((await archive.list({ limit: 10 }, signal())).entries, []);
  });
});

test('a WebM that was cut or lost is a conflict for whoever looks for it, and verifyStored says so (ST-13)', async () => {
  await withFolder(async ({ archive, path }) => {
    await store(archive, CALL, CONTENT);
    const webm = join(path, 'recordings', 'C1', 'R1', 'recording.webm');
    for (const damage of [() => truncate(webm, 100), () => rm(webm)]) {
      await damage();
      await assert.rejects(archive.find(CALL, signal()), isFailure('conflict', /ARCHIVE_URL.*restore recording\.webm/));
      await assert.rejects(store(archive, CALL, CONTENT), isFailure('conflict', /replay/));
      assert.match((await verifyStored(archive, CALL, signal())).join(), /not what its manifest says/);
    }
  });
});

test('one changed byte of the right size is found by verifyStored', async () => {
  await withFolder(async ({ archive, path }) => {
    await store(archive, CALL, CONTENT);
    const webm = join(path, 'recordings', 'C1', 'R1', 'recording.webm');
    await chmod(webm, 0o640);
    await writeFile(webm, 'X', { flag: 'r+' });
    const problems = await verifyStored(archive, CALL, signal());
    assert.equal(problems.length, 2);
    assert.match(problems.join(), /sha256 is .* crc32c is /);
  });
});

test('a manifest that cannot be read is shown in the listing, not hidden', async () => {
  await withFolder(async ({ archive, path }) => {
    await store(archive, CALL, CONTENT);
    await writeFile(join(path, 'recordings', 'C1', 'R1', 'manifest.json'), '{"version":2}');
    for (const query of [{ limit: 10 }, { conversationId: 'C1', limit: 10 }]) {
      const [entry, ...more] = (await archive.list(query, signal())).entries;
      assert.deepEqual(more, []);
      assert.ok(entry?.status === 'failed' && entry.failure.code === 'conflict');
      assert.match(entry.failure.reason, /version: expected 1/);
    }
    assert.deepEqual((await archive.list({ status: 'archived', limit: 10 }, signal())).entries, []);
  });
});

test('day entries without a manifest, and foreign names, are not listed', async () => {
  await withFolder(async ({ archive, path }) => {
    await store(archive, CALL, CONTENT);
    await writeFile(join(path, 'days', '2026-03-01', 'C1.R2'), '');
    await writeFile(join(path, 'days', '2026-03-01', '.DS_Store'), '');
    await writeFile(join(path, 'days', 'notes.txt'), '');
    await writeFile(join(path, 'failures', 'notes.txt'), '');
    await mkdir(join(path, 'recordings', 'C1', 'R2'));
    const page = await archive.list({ limit: 10 }, signal());
    assert.deepEqual(
      page.entries.map((entry) => entry.recording),
      [CALL],
    );
    const ofCall = await archive.list({ conversationId: 'C1', limit: 10 }, signal());
    assert.deepEqual(
      ofCall.entries.map((entry) => entry.recording),
      [CALL],
    );
  });
});

test('a day of thousands of recordings is listed in pages, each once', async () => {
  await withFolder(async ({ archive, path }) => {
    const manifest = await store(archive, CALL, CONTENT);
    const count = 2300;
    for (let n = 0; n < count; n += 1) {
      const recordingId = `many-${String(n)}`;
      const folder = join(path, 'recordings', 'C2', recordingId);
      await mkdir(folder, { recursive: true });
      await writeFile(
        join(folder, 'manifest.json'),
        JSON.stringify({ ...manifest, recordingId, conversationId: 'C2' }),
      );
      await writeFile(join(path, 'days', '2026-03-01', `C2.${recordingId}`), '');
    }
    const seen = new Set<string | undefined>();
    let cursor: string | undefined;
    do {
      const page = await archive.list({ limit: 700, ...(cursor === undefined ? {} : { cursor }) }, signal());
      for (const entry of page.entries) seen.add(entry.recording.recordingId);
      cursor = page.cursor;
    } while (cursor !== undefined);
    assert.equal(seen.size, count + 1);
  });
});

test('what the archive holds is closed to other users of the machine', async () => {
  await withFolder(async ({ archive, path }) => {
    await store(archive, CALL, { ...CONTENT, originals: [bytesOf('o', 10)] });
    await archive.recordFailure({ ...CALL, recordingId: 'R2' }, failureOf(CALL), signal());
    for (const name of ['.', 'recordings', 'recordings/C1', 'recordings/C1/R1', ...(await filesIn(path))]) {
      assert.equal((await stat(join(path, name))).mode & 0o007, 0, name);
    }
  });
});

test('a failure without any id is refused', async () => {
  await withFolder(async ({ archive }) => {
    const nobody = { recordingId: undefined, conversationId: undefined };
    await assert.rejects(archive.recordFailure(nobody, failureOf({}), signal()), isFailure('bad-request', /needs/));
  });
});

test('each error of the file system says what to mend and keeps the work (ST-14)', () => {
  for (const [code, meaning, words] of [
    ['ENOSPC', 'archive-unavailable', /full: free space/],
    ['EDQUOT', 'archive-unavailable', /quota/],
    ['EIO', 'archive-unavailable', /input\/output error: check it/],
    ['EROFS', 'misconfigured', /read-only/],
    ['EACCES', 'misconfigured', /right to read and write/],
    ['EPERM', 'misconfigured', /right to read and write/],
    ['EXDEV', 'misconfigured', /one/],
    ['ESTALE', 'archive-unavailable', /\(ESTALE\): check that it exists/],
  ] as const) {
    const cause = Object.assign(new Error(`${code}: /private/path`), { code, syscall: 'write' });
    const failure = folderFailure(cause);
    assert.ok(failure instanceof Failure, code);
    assert.equal(failure.code, meaning);
    assert.equal(failure.retry, 'wait', 'nothing is given up for it');
    assert.match(failure.message, words);
    assert.match(failure.message, /ARCHIVE_URL/);
    assert.doesNotMatch(failure.message, /private/);
    assert.equal(failure.cause, cause);
  }
});

test('names that a file system does not take are refused for good, not retried for ever', () => {
  const cause = Object.assign(new Error('ENAMETOOLONG: /private/path'), { code: 'ENAMETOOLONG', syscall: 'open' });
  const failure = folderFailure(cause);
  assert.ok(failure instanceof Failure);
  assert.deepEqual([failure.code, failure.retry], ['bad-request', 'never']);
  assert.match(failure.message, /ARCHIVE_URL.* 255 bytes/);
});

test('an entry whose ids are too long for one name lies in a folder of its conversation', async () => {
  await withFolder(async ({ archive, path }) => {
    const long = { recordingId: 'r'.repeat(128), conversationId: 'c'.repeat(128) };
    const longest = { recordingId: 'r'.repeat(127), conversationId: 'c'.repeat(127) };
    for (const recording of [long, longest]) {
      await store(archive, recording, CONTENT);
      await archive.recordFailure(
        { ...recording, recordingId: `x${recording.recordingId.slice(1)}` },
        failureOf({}),
        signal(),
      );
    }
    const names = (folder: string): Promise<string[]> => filesIn(join(path, folder));
    const [c, r, x] = ['c'.repeat(127), 'r'.repeat(127), `x${'r'.repeat(126)}`];
    assert.deepEqual((await names('days/2026-03-01')).toSorted(), [`c${c}./r${r}`, `${c}.${r}`].toSorted());
    assert.deepEqual((await names('failures')).toSorted(), [`c${c}./${x}r.json`, `${c}./${x}.json`].toSorted());
  });
});

test('a full disk refuses the deposit, shows nothing, and the archive goes on once there is space (ST-14, PR-03)', async (t) => {
  await withTmpfs(t, async (path) => {
    const archive = openFolderArchive({ path, linkKeys: [], publicUrl: '', holdBackBytes: 1000 });
    await store(archive, CALL, CONTENT);
    const huge = { head: Buffer.alloc(100), clusters: Array.from({ length: 40 }, () => bytesOf('huge', 64 * 1024)) };
    await assert.rejects(store(archive, SCREEN, huge), isFailure('archive-unavailable', /full.*ARCHIVE_URL/));
    // The staged clusters fit, the copy behind the head does not.
    const twice = { ...huge, clusters: huge.clusters.slice(0, 20) };
    await assert.rejects(store(archive, SCREEN, twice), isFailure('archive-unavailable', /full/));
    const original = { ...CONTENT, originals: [bytesOf('original', 3_000_000)] };
    await assert.rejects(store(archive, SCREEN, original), isFailure('archive-unavailable', /full/));
    assert.deepEqual(await readdir(join(path, 'staging')), []);
    assert.equal(await archive.find(SCREEN, signal()), undefined);
    assert.deepEqual(await verifyStored(archive, CALL, signal()), []);
    await writeFile(join(path, 'filler'), Buffer.alloc(4096), { flag: 'a' }).then(() => fill(join(path, 'filler')));
    await assert.rejects(archive.check(signal()), isFailure('archive-unavailable', /full/));
    await rm(join(path, 'filler'));
    await archive.check(signal());
    await store(archive, SCREEN, CONTENT);
    assert.deepEqual(await verifyStored(archive, SCREEN, signal()), []);
  });
});

test('a read-only folder is misconfigured for writers and plays for readers (ST-14)', async (t) => {
  await withTmpfs(t, async (path) => {
    const archive = openFolderArchive({ path, linkKeys: ['k'.repeat(32)], publicUrl: '' });
    await store(archive, CALL, CONTENT);
    execFileSync('mount', ['-o', 'remount,ro', path]);
    await assert.rejects(archive.check(signal()), isFailure('misconfigured', /read-only/));
    await assert.rejects(store(archive, SCREEN, CONTENT), isFailure('misconfigured', /read-only/));
    await assert.rejects(
      archive.recordFailure(SCREEN, failureOf(SCREEN), signal()),
      isFailure('misconfigured', /read-only/),
    );
    assert.deepEqual(await verifyStored(archive, CALL, signal()), []);
    assert.equal((await archive.list({ limit: 10 }, signal())).entries.length, 1);
    await archive.link(await found(archive, CALL), { lifetimeS: 60 }, signal());
  });
});

test('folders on different file systems are named by the check, before work is lost on them', async (t) => {
  await withTmpfs(t, async (other) => {
    await withFolder(async ({ archive, path }) => {
      await archive.check(signal());
      const recordings = join(path, 'recordings');
      execFileSync('mount', ['--bind', other, recordings]);
      try {
        await assert.rejects(archive.check(signal()), isFailure('misconfigured', /different file systems/));
        await assert.rejects(store(archive, CALL, CONTENT), isFailure('misconfigured', /different file systems/));
        assert.deepEqual(await filesIn(recordings), []);
      } finally {
        execFileSync('umount', [recordings]);
      }
    });
  });
});

test('a manifest is given to the deposit with what was counted, and stored as it was returned', async () => {
  await withFolder(async ({ archive }) => {
    await using deposit = await archive.begin(CALL, signal());
    await deposit.clusters.write(Buffer.from('clusters'));
    const facts = { encoder: 'ffmpeg 5.1.9 libopus', traceparent: '00-1-2-01', attempt: 2 };
    const manifest = await deposit.commit(Buffer.from('head'), 'audio/webm', (stored) => {
      assert.equal(stored.sizeBytes, 12);
      return manifestOf(CALL, stored, facts);
    });
    assert.deepEqual({ ...manifest, ...facts }, manifest);
    const again = deposit.commit(Buffer.from('head'), 'audio/webm', (stored) => manifestOf(CALL, stored));
    await assert.rejects(again, isFailure('internal', /only once/));
    await assert.rejects(deposit.clusters.write(Buffer.from('more')), isFailure('internal', /only once/));
  });
});

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const SCREEN = { recordingId: 'R2', conversationId: 'C1' };
const CONTENT: Content = { head: bytesOf('head', 300), clusters: [bytesOf('one', 4000), bytesOf('two', 5000)] };

async function withFolder(run: (harness: FolderHarness) => Promise<void>): Promise<void> {
  const harness = await openFolderHarness();
  try {
    await run(harness);
  } finally {
    await harness.close();
  }
}

/** A file system of 2 MiB; skips, visibly, where none may be mounted. */
async function withTmpfs(t: { skip(message: string): void }, run: (path: string) => Promise<void>): Promise<void> {
  await withFolder(async ({ parent }) => {
    const path = join(parent, 'small');
    await mkdir(path);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', path], { stdio: 'ignore' });
    } catch {
      t.skip('mounting a small tmpfs needs root: run the tests as root to prove it');
      return;
    }
    try {
      await run(path);
    } finally {
      execFileSync('umount', [path]);
    }
  });
}

async function fill(path: string): Promise<void> {
  const block = Buffer.alloc(4096);
  for (;;) {
    try {
      await writeFile(path, block, { flag: 'a' });
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return;
      throw error;
    }
  }
}

function isFailure(code: FailureCode, words: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  };
}

function signal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

test('a deposit that is let go while it opens a file keeps none open', { skip: cannotListOpenFiles }, async () => {
  const harness = await openFolderHarness();
  for (let turns = 0; turns < 30; turns += 1) {
    const deposit = await harness.archive.begin(CALL, signal());
    const opening = deposit.original(0, 1, 'wav', 'audio/wav').catch(() => undefined);
    for (let turn = 0; turn < turns % 6; turn += 1) await nextTurn();
    await deposit[Symbol.asyncDispose]();
    await opening;
    assert.deepEqual(openFilesBelow(harness.path), [], `${String(turns % 6)} turns later`);
  }
  await harness.close();
});

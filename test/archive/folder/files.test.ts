/** Links, modes and odd file systems: what a folder may hold that is not the archive's, and what a file system may not be able to do. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { openFolderArchive } from '../../../src/archive/folder/folder.ts';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import { bytesOf, failureOf, store, type Content } from '../../support/archive/content.ts';
import { failCall, replaceCall, replaceHandle, systemError } from '../../support/archive/failing-fs.ts';
import { filesIn, openFolderHarness, type FolderHarness } from '../../support/archive/folder.ts';

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const OTHER = { recordingId: 'R2', conversationId: 'C1' };
const CONTENT: Content = { head: bytesOf('head', 300), clusters: [bytesOf('one', 4000)] };
const SECRET = Buffer.from('a secret of the same machine '.repeat(200)).subarray(0, 4300);

interface Trap {
  readonly harness: FolderHarness;
  /** A folder beside the archive with the same names in it, and a secret as the WebM. */
  readonly outside: string;
  readonly recording: string;
}

const TRAPS: Readonly<Record<string, (trap: Trap) => Promise<void>>> = {
  'the WebM is a link to another file': async ({ outside, recording }) => {
    await replaceBy(join(recording, 'recording.webm'), join(outside, 'recording.webm'));
  },
  'the WebM is a relative link within the archive': async ({ recording }) => {
    await rename(join(recording, 'recording.webm'), join(recording, 'moved'));
    await symlink('moved', join(recording, 'recording.webm'));
  },
  'the manifest is a link': async ({ outside, recording }) => {
    await replaceBy(join(recording, 'manifest.json'), join(outside, 'manifest.json'));
  },
  'the folder of the recording is a link': async ({ outside, recording }) => replaceBy(recording, outside),
  'the folder of the conversation is a link': async ({ harness, outside }) => {
    await mkdir(join(outside, 'C1'));
    await rename(join(harness.path, 'recordings', 'C1', 'R1'), join(outside, 'C1', 'R1'));
    await replaceBy(join(harness.path, 'recordings', 'C1'), join(outside, 'C1'));
  },
  'recordings/ is a link': async ({ harness, outside }) => {
    await rename(join(harness.path, 'recordings'), join(outside, 'recordings'));
    await symlink(join(outside, 'recordings'), join(harness.path, 'recordings'));
  },
  'the WebM is a FIFO': async ({ recording }) => replaceByNode(join(recording, 'recording.webm'), ['p']),
  'the manifest is a FIFO': async ({ recording }) => replaceByNode(join(recording, 'manifest.json'), ['p']),
  'the WebM is a device that never ends': async ({ recording }) => {
    await replaceByNode(join(recording, 'recording.webm'), ['c', '1', '5']);
  },
  'the manifest is a device that never ends': async ({ recording }) => {
    await replaceByNode(join(recording, 'manifest.json'), ['c', '1', '5']);
  },
  'the WebM is a folder': async ({ recording }) => {
    await rm(join(recording, 'recording.webm'));
    await mkdir(join(recording, 'recording.webm'));
  },
  'the manifest is a socket': async ({ recording }) => {
    await rm(join(recording, 'manifest.json'));
    const server = createServer().listen(join(recording, 'manifest.json'));
    await new Promise((resolve) => server.once('listening', resolve));
    await rename(join(recording, 'manifest.json'), join(recording, 'kept'));
    server.close();
    await rename(join(recording, 'kept'), join(recording, 'manifest.json'));
  },
};

for (const [what, set] of Object.entries(TRAPS)) {
  test(`${what}: it is never read, and named (B5)`, { timeout: 300_000 }, async (t) => {
    await withFolder(async (harness) => {
      const trap = await prepare(harness);
      const before = await harness.archive.find(CALL, signal());
      assert.ok(before);
      try {
        await set(trap);
      } catch (error) {
        if (!isDenied(error)) throw error;
        t.skip('this system lets nobody make such a file');
        return;
      }
      const archive = await harness.another();
      // Somebody found it before it was changed: what he reads then is his recording, or nothing.
      const read = archive.read(before, undefined, signal()).then((stream) => buffer(stream));
      const bytes = await read.catch((error: unknown) => error);
      if (Buffer.isBuffer(bytes)) assert.ok(bytes.equals(Buffer.concat([CONTENT.head, ...CONTENT.clusters])));
      else assert.ok(isFailure('conflict', /symbolic link|plain file/)(bytes), String(bytes));
      await assert.rejects(archive.find(CALL, signal()), isFailure('conflict', /ARCHIVE_URL/));
      for (const query of [{}, { conversationId: 'C1' }]) {
        const { entries } = await archive.list({ ...query, limit: 10 }, signal());
        assert.ok(!JSON.stringify(entries).includes('outside'), 'what lies elsewhere was listed');
        assert.ok(entries.length <= 1);
      }
    });
  });
}

test('a folder that is swapped for a link and back, again and again, gives its own bytes or none (B5)', async () => {
  await withFolder(async (harness) => {
    const { outside, recording } = await prepare(harness);
    const manifest = await harness.archive.find(CALL, signal());
    assert.ok(manifest);
    const whole = Buffer.concat([CONTENT.head, ...CONTENT.clusters]);
    await symlink(outside, `${recording}.link`);
    const found = { own: 0, none: 0, foreign: 0 };
    for (let round = 0; round < 400; round += 1) {
      await swap(recording, ['away', 'link']);
      const read = delayed(recording, round % 6)
        .then(() => harness.archive.read(manifest, undefined, signal()))
        .then((stream) => buffer(stream));
      const swapped = delayed(recording, round % 7).then(() => swap(recording, ['link', 'away']));
      const [bytes] = await Promise.all([read.catch(() => undefined), swapped]);
      found[bytes === undefined ? 'none' : bytes.equals(whole) ? 'own' : 'foreign'] += 1;
    }
    assert.equal(found.foreign, 0, 'it read what lies elsewhere');
    assert.ok(found.none > 0, JSON.stringify(found));
    const bytes = await buffer(await harness.archive.read(manifest, undefined, signal()));
    assert.ok(bytes.equals(whole), 'nothing can be read any more');
  });
});

/** What lies there goes to the first name, and what has the second comes in its place. */
async function swap(recording: string, [to, from]: readonly [string, string]): Promise<void> {
  await rename(recording, `${recording}.${to}`);
  await rename(`${recording}.${from}`, recording);
}

/** Some turns of the thread pool later. */
async function delayed(path: string, turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await lstat(path);
}

test('a writer is not led out of the archive by a folder that is a link (B5)', async () => {
  for (const name of ['recordings/C1', 'failures', 'waiting']) {
    await withFolder(async (harness) => {
      await harness.archive.check(signal());
      const outside = join(harness.parent, 'outside');
      await mkdir(outside);
      const path = join(harness.path, name);
      await rm(path, { recursive: true, force: true });
      await symlink(outside, path);
      const conflict = isFailure('conflict', /symbolic link/);
      if (name === 'recordings/C1') await assert.rejects(store(harness.archive, CALL, CONTENT), conflict);
      else await assert.rejects(harness.archive.check(signal()), conflict);
      assert.deepEqual(await readdir(outside), []);
    });
  }
});

test('the archive folder itself may be a link: it is the operator’s', async () => {
  await withFolder(async ({ parent }) => {
    await mkdir(join(parent, 'disk'));
    await symlink('disk', join(parent, 'linked'));
    const archive = openFolderArchive({ path: join(parent, 'linked'), linkKeys: [], publicUrl: '' });
    await archive.check(signal());
    await store(archive, CALL, CONTENT);
    const manifest = await archive.find(CALL, signal());
    assert.ok(manifest);
    const bytes = await buffer(await archive.read(manifest, undefined, signal()));
    assert.equal(bytes.length, manifest.webm.sizeBytes);
    assert.equal((await archive.list({ limit: 10 }, signal())).entries.length, 1);
  });
});

for (const umask of [0o000, 0o002, 0o022, 0o027, 0o077, 0o777]) {
  test(`files are 0640 and folders 0750 where the umask is ${umask.toString(8).padStart(3, '0')} (B5)`, async () => {
    const before = process.umask(umask);
    try {
      await withFolder(async ({ archive, path }) => {
        await archive.check(signal());
        await store(archive, CALL, { ...CONTENT, originals: [bytesOf('original', 1000)] });
        await archive.recordFailure(OTHER, failureOf(OTHER), signal());
        await archive.notes.create('proofs/2026-03-01/a.complete.json', '{}', signal());
        await archive.notes.replace('status/one.json', '{}', signal());
        await archive.sweep(3_600_000, signal());
        for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
          const { mode } = await stat(join(entry.parentPath, entry.name));
          const expected = entry.isDirectory() ? 0o750 : 0o640;
          assert.equal((mode & 0o777).toString(8), expected.toString(8), join(entry.parentPath, entry.name));
        }
        assert.equal((await stat(path)).mode & 0o777, 0o750);
      });
    } finally {
      process.umask(before);
    }
  });
}

test('whoever has seen that the umask takes nothing away asks no more', async (t) => {
  const before = process.umask(0o022);
  t.after(() => process.umask(before));
  await withFolder(async ({ archive }) => {
    await archive.check(signal());
    await store(archive, CALL, CONTENT);
    await replaceHandle(t, 'chmod', async () => Promise.reject(new Error('Asked for permissions that are there.')));
    const asked: unknown[] = [];
    await replaceHandle(t, 'stat', async (handle, real) => {
      asked.push(handle.fd);
      return real();
    });
    await store(archive, OTHER, CONTENT);
    // Of the WebM alone, whose size is compared.
    assert.equal(asked.length, 1);
  });
});

test('a group that folders inherit (setgid) goes on to new ones', async () => {
  await withFolder(async ({ archive, path }) => {
    await mkdir(path);
    await chmod(path, 0o2750);
    await store(archive, CALL, CONTENT);
    assert.equal(((await stat(join(path, 'recordings', 'C1'))).mode & 0o7777).toString(8), '2750');
  });
});

test('where permissions belong to the mount (EPERM and others), they are left alone', async (t) => {
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  for (const code of ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL']) {
    failCall(t, 'chmod', code);
    await replaceHandle(t, 'chmod', async () => {
      throw systemError(code, 'fchmod');
    });
    await assertWorks(t);
  }
});

for (const code of ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']) {
  test(`a file system that cannot fsync a folder (${code}) archives all the same, and says so once (E3)`, async (t) => {
    await replaceHandle(t, 'sync', async (handle, real) => {
      if ((await handle.stat()).isDirectory()) throw systemError(code, 'fsync');
      return real();
    });
    const notices = await assertWorks(t);
    assert.equal(notices.length, 1);
    assert.match(notices[0] ?? '', /cannot make new names durable/);
  });
}

test('levels that the disk does not take cost the recording nothing, and nothing of them is left', async (t) => {
  await replaceHandle(t, 'sync', async (handle, real) => {
    if ((await handle.stat()).size === 777) throw systemError('EIO', 'fsync');
    return real();
  });
  await withFolder(async ({ archive, path }) => {
    const lost: unknown[] = [];
    const levels = bytesOf('levels', 777);
    const manifest = await store(archive, CALL, { ...CONTENT, levels, onLost: (reason) => lost.push(reason) });
    assert.ok(lost.length === 1 && lost[0] instanceof Failure && lost[0].code === 'archive-unavailable');
    assert.equal(await archive.levels(manifest, signal()), undefined);
    assert.deepEqual(await archive.find(CALL, signal()), manifest);
    assert.deepEqual((await filesIn(`${path}/recordings`)).toSorted(), ['C1/R1/manifest.json', 'C1/R1/recording.webm']);
  });
});

test('all of a recording and every name of it is durable before it is visible, and its last name before that is said', async (t) => {
  await withFolder(async ({ archive, path }) => {
    const steps: string[] = [];
    const named = (place: string): string => relative(path, place).replace(/^staging\/C1\.R1\.[0-9a-f]{16}/, 'staged');
    await replaceHandle(t, 'sync', async (handle, real) => {
      const place = named(await readlink(`/proc/self/fd/${String(handle.fd)}`));
      await real();
      steps.push(place);
    });
    replaceCall(t, 'rename', async (real, from = '', to = '') => {
      await real(from, to);
      steps.push(`${named(from)} > ${named(to)}`);
    });
    await archive.check(signal());
    steps.length = 0;
    await store(archive, CALL, { ...CONTENT, originals: [bytesOf('original', 50)], levels: bytesOf('levels', 777) });
    const shown = steps.indexOf('staged > recordings/C1/R1');
    const files = ['levels.bin', 'manifest.json', 'original.opus', 'recording.webm'].map((name) => `staged/${name}`);
    const folders = ['days', 'days/2026-03-01', 'recordings', 'staged'];
    assert.deepEqual([...new Set(steps.slice(0, shown))].toSorted(), [...folders, ...files].toSorted());
    assert.ok(
      files.every((file) => steps.indexOf(file) < steps.indexOf('staged')),
      steps.join(', '),
    );
    assert.deepEqual(steps.slice(shown + 1).toSorted(), ['recordings/C1', 'staging']);
  });
});

for (const failing of [
  'recording.webm',
  'manifest.json',
  'original.opus',
  'days',
  'recordings',
  'recordings/C1',
  'staging',
]) {
  test(`where ${failing} cannot be made durable, what is written beside it is waited for, and nothing of it is left`, async (t) => {
    await withFolder(async ({ archive, path }) => {
      await archive.check(signal());
      let underWay = 0;
      let isSaid = false;
      await replaceHandle(t, 'sync', async (handle, real) => {
        const place = relative(path, await readlink(`/proc/self/fd/${String(handle.fd)}`));
        if (place === failing || place.endsWith(`/${failing}`)) throw systemError('EIO', 'fsync');
        underWay += 1;
        for (let turn = 0; turn < 20; turn += 1) await setImmediate();
        assert.equal(isSaid, false, `${place} was still being written`);
        await real();
        underWay -= 1;
      });
      const content = { ...CONTENT, originals: [bytesOf('original', 50)], levels: bytesOf('levels', 777) };
      await assert.rejects(
        store(archive, CALL, content).finally(() => (isSaid = true)),
        isFailure('archive-unavailable', /input\/output error/),
      );
      assert.equal(underWay, 0);
      assert.deepEqual(await filesIn(join(path, 'staging')), []);
    });
  });
}

test('levels of a recording that is erased while they are laid there are taken back, folder and all', async (t) => {
  await withFolder(async ({ archive, path }) => {
    const manifest = await store(archive, CALL, CONTENT);
    await mkdir(join(path, 'erased'), { recursive: true });
    replaceCall(t, 'link', async (real, from = '', to = '') => {
      await writeFile(join(path, 'erased', 'C1.R1.json'), '{"version":1}');
      await rm(join(path, 'recordings', 'C1'), { recursive: true });
      await mkdir(dirname(to), { recursive: true });
      return real(from, to);
    });
    await assert.rejects(
      archive.putLevels(manifest, bytesOf('levels', 777), signal()),
      isFailure('erased', /on purpose/),
    );
    assert.deepEqual(await filesIn(join(path, 'recordings')), []);
  });
});

test('an fsync of a folder that fails for another reason is a failure, for readiness as well (E3)', async (t) => {
  await replaceHandle(t, 'sync', async (handle, real) => {
    if ((await handle.stat()).isDirectory()) throw systemError('EIO', 'fsync');
    return real();
  });
  await withFolder(async ({ archive }) => {
    await assert.rejects(archive.check(signal()), isFailure('archive-unavailable', /input\/output error/));
  });
});

for (const code of ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES']) {
  test(`a file system without hard links (${code}) archives, and creates each note once (E3)`, async (t) => {
    failCall(t, 'link', code);
    await assertWorks(t);
  });
}

test('a note that a process began and did not end, where there are no hard links, is made by the next one (E3)', async (t) => {
  failCall(t, 'link', 'EPERM');
  await withFolder(async ({ archive, path }) => {
    await mkdir(join(path, 'erased'), { recursive: true });
    const note = join(path, 'erased', 'C1.R1.json');
    await writeFile(note, '');
    assert.equal(await archive.notes.create('erased/C1.R1.json', '{}', signal()), false, 'somebody may be at it');
    const longAgo = new Date(Date.now() - 120_000);
    await utimes(note, longAgo, longAgo);
    assert.equal(await archive.notes.create('erased/C1.R1.json', '{}', signal()), true);
    assert.equal(await readFile(note, 'utf8'), '{}');
    assert.equal(await archive.notes.create('erased/C1.R1.json', '{"b":1}', signal()), false);
    await truncate(note);
    await utimes(note, longAgo, longAgo);
  });
});

for (const code of ['EPERM', 'ENOSYS', 'ENOTSUP', 'EMFILE', 'EXDEV']) {
  test(`a file system that cannot rename a folder (${code}) is named before the first recording (E3)`, async (t) => {
    replaceCall(t, 'rename', async (real, from = '', to = '') => {
      if ((await lstat(from)).isDirectory()) throw systemError(code, 'rename');
      return real(from, to);
    });
    await withFolder(async ({ archive, path }) => {
      await assert.rejects(archive.check(signal()), isFailure('misconfigured', /cannot rename a folder/));
      assert.deepEqual(await readdir(join(path, 'staging')), []);
    });
  });
}

test('a file system on which a renamed folder replaces another one is named before the first recording (E3)', async (t) => {
  replaceCall(t, 'rename', async (real, from = '', to = '') => {
    if ((await lstat(from)).isDirectory()) await rm(to, { recursive: true, force: true });
    return real(from, to);
  });
  await withFolder(async ({ archive }) => {
    await assert.rejects(archive.check(signal()), isFailure('misconfigured', /replace one that holds files/));
  });
});

for (const code of ['EEXIST', 'ENOTEMPTY', 'EACCES', 'EPERM', 'EBUSY', 'EINVAL']) {
  test(`whoever comes second gets the first one’s recording, though the file system says ${code} (E3)`, async (t) => {
    replaceCall(t, 'rename', async (real, from = '', to = '') => {
      const isThere = await lstat(to).then(
        (found) => found.isDirectory(),
        () => false,
      );
      if (isThere) throw systemError(code, 'rename');
      return real(from, to);
    });
    await withFolder(async (harness) => {
      const { archive } = harness;
      await archive.check(signal());
      const first = await store(archive, CALL, CONTENT);
      const second = await store(await harness.another(), CALL, { ...CONTENT, clusters: [bytesOf('other', 999)] });
      assert.deepEqual(second, first);
    });
  });
}

/** The archive does all it does; what it said meanwhile. */
async function assertWorks(t: TestContext): Promise<readonly string[]> {
  const notices: string[] = [];
  await withFolder(async ({ path, parent }) => {
    const onNotice = (message: string): void => void notices.push(message);
    const archive = openFolderArchive({ path, linkKeys: [], publicUrl: '', holdBackBytes: 1000, onNotice });
    await archive.check(signal());
    const manifest = await store(archive, CALL, { ...CONTENT, originals: [bytesOf('original', 1000)] });
    assert.deepEqual(await archive.find(CALL, signal()), manifest);
    await archive.recordFailure(OTHER, failureOf(OTHER, { reason: 'first' }), signal());
    await archive.recordFailure(OTHER, failureOf(OTHER, { reason: 'second' }), signal());
    const { entries } = await archive.list({ limit: 10 }, signal());
    assert.deepEqual(
      entries.map(({ status }) => status),
      ['failed', 'archived'],
    );
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, n) => archive.notes.create('erased/C1.R9.json', String(n), signal())),
    );
    assert.equal(made.filter(Boolean).length, 1);
    assert.equal(await archive.notes.read('erased/C1.R9.json', signal()), String(made.indexOf(true)));
    assert.equal(await archive.notes.remove('erased/C1.R9.json', signal()), true);
    assert.ok((await archive.link(manifest, { lifetimeS: 60 }, signal())).url);
    assert.equal(await archive.sweep(0, signal()), 0);
    assert.deepEqual(
      (await filesIn(path)).filter((name) => name.startsWith('staging/')),
      [],
    );
    assert.deepEqual(await readdir(parent), ['archive']);
  });
  t.diagnostic(`${String(notices.length)} notices`);
  return notices;
}

/** A recording in the archive, and outside of it a folder that looks the same but holds a secret. */
async function prepare(harness: FolderHarness): Promise<Trap> {
  await store(harness.archive, CALL, CONTENT);
  const recording = join(harness.path, 'recordings', 'C1', 'R1');
  const outside = join(harness.parent, 'outside');
  await mkdir(outside);
  const text = await readFile(join(recording, 'manifest.json'), 'utf8');
  await writeFile(join(outside, 'manifest.json'), text.replace('"join"', '"outside"'));
  await writeFile(join(outside, 'recording.webm'), SECRET);
  return { harness, outside, recording };
}

async function replaceBy(path: string, target: string): Promise<void> {
  await rm(path, { recursive: true });
  await symlink(target, path);
}

async function replaceByNode(path: string, kind: readonly string[]): Promise<void> {
  await rm(path);
  execFileSync('mknod', [path, ...kind], { stdio: 'pipe' });
}

function isDenied(error: unknown): boolean {
  return error instanceof Error && /Operation not permitted|EPERM|EACCES/.test(error.message);
}

async function withFolder(run: (harness: FolderHarness) => Promise<void>): Promise<void> {
  const harness = await openFolderHarness();
  try {
    await run(harness);
  } finally {
    await harness.close();
  }
}

function isFailure(code: FailureCode, words: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof Failure && error.code === code && words.test(error.message);
}

function signal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

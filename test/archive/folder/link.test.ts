/** Signed links: what opens them, what does not, and where their key comes from. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { mock, test, type TestContext } from 'node:test';
import type { LinkHolder } from '../../../src/archive/archive.ts';
import { openFolderArchive } from '../../../src/archive/folder/folder.ts';
import { keepLinkKey } from '../../../src/archive/folder/link-key.ts';
import { type LinkRules, signPath, verifyPath } from '../../../src/archive/folder/link.ts';
import { openArchive } from '../../../src/archive/open-archive.ts';
import { readConfig } from '../../../src/config/config.ts';
import { Failure } from '../../../src/failure.ts';
import type { Recording } from '../../../src/recording.ts';
import { bytesOf, store } from '../../support/archive/content.ts';
import { found } from '../../support/archive/found.ts';

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const OLD = 'old-key-0123456789';
const NEW = 'new-key-0123456789';

test('a signed path gives back its recording, with and without a conversation', () => {
  for (const recording of [CALL, { recordingId: '_x-1', conversationId: undefined }]) {
    const { path, query } = signed(recording, inS(60), [NEW]);
    assert.deepEqual(verifyPath(path, query, by(NEW)), { recording, givenTo: undefined });
  }
  assert.match(
    signPath({ recording: CALL, expires: 2_000_000_000, givenTo: undefined }, [NEW]),
    /^\/media\/C1\/R1\?expires=2000000000&signature=[\w-]{43}$/,
  );
});

test('the first key signs and every key verifies, so that keys can be changed one by one', () => {
  const { path, query } = signed(CALL, inS(60), [OLD, NEW]);
  assert.deepEqual(verifyPath(path, query, by(OLD)).recording, CALL);
  assert.deepEqual(verifyPath(path, query, by(NEW, OLD)).recording, CALL);
  assert.throws(() => verifyPath(path, query, by(NEW)), forbidden(/not signed/));
  assert.throws(() => verifyPath(path, query, by()), forbidden(/not signed/));
});

test('a link ends when it says', () => {
  mock.timers.enable({ apis: ['Date'], now: 1_800_000_000_000 });
  try {
    const { path, query } = signed(CALL, 1_800_000_060, [NEW]);
    mock.timers.tick(59_999);
    assert.deepEqual(verifyPath(path, query, by(NEW)).recording, CALL);
    mock.timers.tick(1);
    assert.throws(() => verifyPath(path, query, by(NEW)), forbidden(/expired/));
  } finally {
    mock.timers.reset();
  }
});

test('a link that was signed while the clock was ahead is none once it is set right: it would outlive its time', () => {
  mock.timers.enable({ apis: ['Date'], now: 1_800_000_000_000 });
  try {
    const rules = { keys: [NEW], lifetimeS: 900 };
    const ahead = signed(CALL, 1_800_000_000 + 2 * 86_400 + 900, [NEW]);
    assert.throws(() => verifyPath(ahead.path, ahead.query, rules), forbidden(/ask for a new one/));
    const drifting = signed(CALL, 1_800_000_000 + 900 + 59, [NEW]);
    assert.deepEqual(
      verifyPath(drifting.path, drifting.query, rules).recording,
      CALL,
      'another instance, a minute ahead',
    );
  } finally {
    mock.timers.reset();
  }
});

test('any change of path, expiry or signature is refused, and says where a new link comes from', () => {
  const { path, query } = signed(CALL, inS(60), [NEW]);
  const expires = query.get('expires') ?? '';
  const signature = query.get('signature') ?? '';
  const flipped = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
  for (const [otherPath, otherQuery] of [
    ['/media/C1/R2', `expires=${expires}&signature=${signature}`],
    ['/media/_/R1', `expires=${expires}&signature=${signature}`],
    ['/media/C1/R1/', `expires=${expires}&signature=${signature}`],
    ['/media/C1/../C1/R1', `expires=${expires}&signature=${signature}`],
    ['/other/C1/R1', `expires=${expires}&signature=${signature}`],
    [path, `expires=${String(Number(expires) + 1)}&signature=${signature}`],
    [path, `expires=0${expires}&signature=${signature}`],
    [path, `expires=${expires}.0&signature=${signature}`],
    [path, `expires=1e10&signature=${signature}`],
    [path, `expires=&signature=${signature}`],
    [path, `expires=${expires}&signature=${flipped}`],
    [path, `expires=${expires}&signature=${signature}=`],
    [path, `expires=${expires}&signature=${signature.slice(0, -1)}`],
    [path, `expires=${expires}&signature=`],
    [path, `expires=${expires}`],
    [path, `signature=${signature}`],
    [path, `expires=${expires}&expires=${expires}&signature=${signature}`],
    [path, ''],
  ] as const) {
    assert.throws(
      () => verifyPath(otherPath, new URLSearchParams(otherQuery), by(NEW)),
      forbidden(/ask for a new one/),
      `${otherPath}?${otherQuery}`,
    );
  }
});

const MAYA: LinkHolder = { who: 'Maya O’Neil <maya@example.com>', requestId: 'request-17' };

test('a link says whom it was given to, to whoever has the key and to nobody else', () => {
  const { path, query } = signed(CALL, inS(60), [OLD, NEW], MAYA);
  assert.deepEqual(verifyPath(path, query, by(NEW, OLD)), { recording: CALL, givenTo: MAYA });
  const shown = [query.toString(), Buffer.from(query.get('to') ?? '', 'base64url').toString('latin1')].join('\n');
  assert.doesNotMatch(shown, /maya|neil|example|request-17/i);
  const again = signed(CALL, inS(60), [OLD, NEW], MAYA).query.get('to');
  assert.notEqual(again, query.get('to'), 'two links of one person look like those of two');
  const other = signed(CALL, inS(60), [OLD], { who: 'Jo', requestId: 'request-18' }).query.get('to') ?? '';
  const lengths = [other.length, (query.get('to') ?? '').length];
  assert.ok(
    lengths.every((length) => Number.isInteger((Buffer.byteLength('A'.repeat(length), 'base64url') - 28) / 32)),
  );
});

test('nobody can put another name into a link, take it out of one, or put one into a link of an earlier version', () => {
  const { path, query } = signed(CALL, inS(60), [NEW], MAYA);
  const jo = signed(CALL, inS(60), [NEW], { who: 'jo', requestId: 'r' }).query.get('to') ?? '';
  const to = query.get('to') ?? '';
  const plain = signed(CALL, inS(60), [NEW]).query;
  const change = (from: URLSearchParams, work: (query: URLSearchParams) => void): URLSearchParams => {
    const changed = new URLSearchParams(from);
    work(changed);
    return changed;
  };
  const forged: readonly URLSearchParams[] = [
    change(query, (q) => q.delete('to')),
    change(query, (q) => q.set('to', '')),
    change(query, (q) => q.set('to', jo)),
    change(query, (q) => q.append('to', to)),
    change(query, (q) => q.append('to', jo)),
    change(query, (q) => q.set('to', `${to}=`)),
    change(query, (q) => q.set('to', `${to}\n`)),
    change(plain, (q) => q.set('to', to)),
    // What is signed is lines: an expiry that brings its own holder with it.
    change(plain, (q) => q.set('expires', `${q.get('expires') ?? ''}\n${to}`)),
    ...Array.from({ length: to.length }, (_, at) =>
      change(query, (q) => q.set('to', `${to.slice(0, at)}${to[at] === 'A' ? 'B' : 'A'}${to.slice(at + 1)}`)),
    ),
  ];
  for (const changed of forged)
    assert.throws(() => verifyPath(path, changed, by(NEW)), forbidden(/ask for a new one/), changed.toString());
});

test('a link of 0.1.0 plays until it ends', () => {
  // As that version signed it: path and expiry.
  const signature = createHmac('sha256', NEW).update('/media/C1/R1\n4000000000').digest('base64url');
  const query = new URLSearchParams({ expires: '4000000000', signature });
  assert.deepEqual(verifyPath('/media/C1/R1', query, by(NEW)), { recording: CALL, givenTo: undefined });
});

test('without LINK_KEYS one key is made beside the archive folder, closed to others, and kept', async () => {
  await withFolder(async (folder) => {
    const open = (): ReturnType<typeof openFolderArchive> =>
      openFolderArchive({ path: join(folder, 'archive'), linkKeys: [], publicUrl: 'http://127.0.0.1:8080' });
    const archive = open();
    assert.deepEqual(await readdir(folder), [], 'no key before a link is asked for');
    await store(archive, CALL, { head: bytesOf('head', 10), clusters: [bytesOf('a', 100)] });
    const { url } = await archive.link(await found(archive, CALL), { lifetimeS: 60 }, AbortSignal.timeout(300_000));
    const key = join(folder, 'archive', 'link.key');
    assert.equal((await stat(key)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(folder), ['archive'], 'it lies inside what is persisted');
    const { pathname, searchParams } = new URL(url);
    assert.deepEqual(open().verifyLink(pathname, searchParams).recording, CALL, 'another process verifies it');
    assert.ok(!url.includes((await readFile(key, 'utf8')).trim()));
  });
});

test('LINK_LIFETIME_S holds for every link, also for those that were signed for longer', async () => {
  await withFolder(async (folder) => {
    const env = { ARCHIVE_URL: `file:${join(folder, 'archive')}`, LINK_LIFETIME_S: '600' };
    const genesys = {
      GENESYS_REGION: 'mypurecloud.de',
      GENESYS_CLIENT_ID: 'id',
      GENESYS_CLIENT_SECRET: 'canary-secret-0123',
    };
    const config = readConfig({ ...env, ...genesys, API_AUTH: 'none' }, 'playback');
    const { archive, media } = await openArchive(config, { publicUrl: 'http://127.0.0.1:8080' });
    const manifest = await store(archive, CALL, { head: bytesOf('head', 10), clusters: [bytesOf('a', 100)] });
    for (const [lifetimeS, isGood] of [
      [600, true],
      [3_600, false],
    ] as const) {
      const { url } = await archive.link(manifest, { lifetimeS }, AbortSignal.timeout(300_000));
      const { pathname, searchParams } = new URL(url);
      const verify = (): unknown => media?.verifyLink(pathname, searchParams).recording;
      if (isGood) assert.deepEqual(verify(), CALL);
      else assert.throws(verify, forbidden(/ask for a new one/));
    }
    await archive.close();
  });
});

test('a key that is taken away verifies no link any more, without opening the archive anew (B2)', async () => {
  await withFolder(async (folder) => {
    const file = join(folder, 'keys');
    await writeFile(file, `${OLD}\n`);
    const env = { LINK_KEYS_FILE: file, ARCHIVE_URL: `file:${join(folder, 'archive')}`, WEBHOOK_AUTH: 'none' };
    const config = readConfig(env, 'receiver');
    const { archive, media } = await openArchive(config, { publicUrl: 'http://127.0.0.1:8080' });
    assert.ok(media !== undefined);
    const opens = (link: string): Recording =>
      media.verifyLink(new URL(link).pathname, new URL(link).searchParams).recording;
    await store(archive, CALL, { head: bytesOf('head', 10), clusters: [bytesOf('a', 100)] });
    const make = async (): Promise<string> =>
      (await archive.link(await found(archive, CALL), { lifetimeS: 60 }, AbortSignal.timeout(300_000))).url;
    const before = await make();
    assert.deepEqual(opens(before), CALL);
    const change = Promise.withResolvers<void>();
    const [secretFile] = config.secretFiles;
    assert.ok(secretFile !== undefined);
    using _watching = secretFile.watch(() => change.resolve());
    // Whole at once: who reads while it is written would find it empty, and take nothing of it.
    await writeFile(`${file}.new`, `${NEW}\n`);
    await rename(`${file}.new`, file);
    await change.promise;
    assert.throws(() => opens(before), forbidden(/ask for a new one/));
    assert.deepEqual(opens(await make()), CALL);
  });
});

test('processes that start at once make one key', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'not', 'yet');
    const module = join(import.meta.dirname, '../../../src/archive/folder/link-key.ts');
    const program = `import(${JSON.stringify(module)}).then((m) => process.stdout.write(m.keepLinkKey(${JSON.stringify(path)})))`;
    const keys = await Promise.all(
      Array.from({ length: 4 }, () => {
        const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
        return text(child.stdout);
      }),
    );
    assert.match(keys[0] ?? '', /^[\w-]{43}$/);
    assert.equal(new Set(keys).size, 1);
    assert.deepEqual(await readdir(path), ['link.key'], 'a draft was left behind');
  });
});

test('a key that was there is never replaced, and one beside the folder, as it was kept before, is taken over (E3)', async () => {
  await withFolder(async (parent) => {
    const folder = join(parent, 'archive');
    const key = keepLinkKey(folder);
    assert.equal(keepLinkKey(folder), key);
    await rm(join(folder, 'link.key'));
    await writeFile(join(parent, 'link.key'), `${'k'.repeat(43)}\n`, { mode: 0o600 });
    assert.equal(keepLinkKey(folder), 'k'.repeat(43));
    await rm(join(parent, 'link.key'));
    assert.equal(keepLinkKey(folder), 'k'.repeat(43), 'links die with what lies outside of the volume');
  });
});

test('where nothing may be written, the key beside the folder still signs and verifies (E3)', async (t) => {
  await withFolder(async (parent) => {
    const folder = join(parent, 'archive');
    await writeFile(join(parent, 'link.key'), `${'k'.repeat(43)}\n`, { mode: 0o600 });
    failing(t, 'mkdirSync', 'EROFS');
    assert.equal(keepLinkKey(folder), 'k'.repeat(43));
  });
});

test('without hard links one key is made all the same, and what a process left that died midway is taken over (E3)', async (t) => {
  for (const code of ['EPERM', 'ENOTSUP', 'ENOSYS', 'EOPNOTSUPP']) {
    await withFolder(async (folder) => {
      failing(t, 'linkSync', code);
      const key = keepLinkKey(folder);
      assert.match(key, /^[\w-]{43}$/);
      assert.equal(keepLinkKey(folder), key);
      assert.equal((await stat(join(folder, 'link.key'))).mode & 0o777, 0o600);
      await writeFile(join(folder, 'link.key'), '');
      assert.match(keepLinkKey(folder), /^[\w-]{43}$/);
      assert.deepEqual(await readdir(folder), ['link.key'], 'a draft was left behind');
    });
  }
});

test('a key file that holds no key, is none of ours or cannot be read is named with what to do', async () => {
  await withFolder(async (folder) => {
    const path = join(folder, 'link.key');
    await writeFile(path, '\n');
    assert.throws(() => keepLinkKey(folder), misconfigured(/holds no key: remove it/));
    assert.throws(() => keepLinkKey(path), misconfigured(/mend its permissions, or set LINK_KEYS/));
    await rm(path);
    await mkdir(path);
    assert.throws(() => keepLinkKey(folder), misconfigured(/LINK_KEYS/));
    await rm(path, { recursive: true });
    await writeFile(join(folder, 'elsewhere'), 'k'.repeat(43));
    await symlink('elsewhere', path);
    assert.throws(() => keepLinkKey(folder), misconfigured(/holds no key: remove it/));
  });
});

/** As on a file system that refuses: `name` of node:fs fails with `code` until the test ends. */
function failing(t: TestContext, name: 'linkSync' | 'mkdirSync', code: string): void {
  t.mock.method(fs, name, () => {
    throw Object.assign(new Error(code), { code, syscall: name });
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

function signed(
  recording: Recording,
  expires: number,
  keys: readonly string[],
  givenTo?: LinkHolder,
): { path: string; query: URLSearchParams } {
  const url = new URL(signPath({ recording, expires, givenTo }, keys), 'http://127.0.0.1');
  return { path: url.pathname, query: url.searchParams };
}

function by(...keys: readonly string[]): LinkRules {
  return { keys, lifetimeS: Infinity };
}

function inS(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

function forbidden(words: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof Failure && error.code === 'forbidden' && words.test(error.message);
}

function misconfigured(words: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof Failure && error.code === 'misconfigured' && words.test(error.message);
}

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'link-'));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

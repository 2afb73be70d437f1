/** A folder that another process changes between two pages, and while it is read: no name is missed, none is shown that is gone. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs, { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { FolderFiles } from '../../../src/archive/folder/files.ts';
import { seeded } from '../../support/soak.ts';

let opened = 0;
const opendir = fs.opendir;
Reflect.set(fs, 'opendir', (...args: unknown[]): unknown => {
  opened += 1;
  return Reflect.apply(opendir, fs, args);
});
syncBuiltinESMExports();
const { FolderNames } = await import('../../../src/archive/folder/folder-names.ts');

const DAY = 'days/2026-03-20/';
/** For a process whose clock is so far ahead every folder has been still for long; for one that is behind none has. */
const AHEAD_MS = 10_000;

test('what another process adds and takes away between two pages is on the next one, whether the folder was still before or not', async (t) => {
  const scene = await openScene(t, 600);
  const random = seeded(20_260_320);
  for (let round = 0; round < 60; round += 1) {
    const there = await scene.there();
    const seen = there[Math.floor(random() * there.length)] ?? '';
    for (const names of scene.readers)
      assert.deepEqual(await pageOf(names, seen), there.filter(after(seen)).slice(0, 50));
    if (random() < 0.4) continue;
    const gone = there.filter(() => random() < 0.02);
    const come = Array.from(
      { length: Math.floor(random() * 5) },
      () => `${random().toString(36).slice(2)}.r${String(round)}`,
    );
    await scene.change([...gone.map((name) => `- ${name}`), ...come.map((name) => `+ ${name}`)]);
    for (const names of scene.readers)
      assert.deepEqual(
        await pageOf(names, seen),
        (await scene.there()).filter(after(seen)).slice(0, 50),
        `round ${String(round)}`,
      );
  }
});

test('a still folder is read once, and once more for each change', async (t) => {
  const { readers, change, there } = await openScene(t, 300);
  const [names] = readers;
  for (const line of ['', '+ a.r1', '- a.r1', '+ a.r1']) {
    if (line !== '') await change([line]);
    const before = opened;
    for (let page = 0; page < 3; page += 1) assert.deepEqual(await pageOf(names, ''), (await there()).slice(0, 50));
    assert.equal(opened - before, 1, `after "${line}"`);
  }
});

test('a folder that has just changed is read for each page: another change in the same moment might leave no trace', async (t) => {
  const { readers, there } = await openScene(t, 300);
  const [, names] = readers;
  const before = opened;
  for (let page = 0; page < 3; page += 1) assert.deepEqual(await pageOf(names, ''), (await there()).slice(0, 50));
  assert.equal(opened - before, 3);
});

test('names that stay are given once and in order, whatever comes and goes while the folder is read', async (t) => {
  const { readers, change, there } = await openScene(t, 5_000);
  const all = await there();
  for (const names of readers) {
    const given: string[] = [];
    for await (const name of names.in({ folder: DAY }, AbortSignal.timeout(60_000))) {
      given.push(name);
      if (given.length % 900 === 1) await change([`+ ${name}-new`, `- ${name}-new`, `+ zz.${String(given.length)}`]);
    }
    assert.deepEqual(
      given.filter((name) => all.includes(name)),
      all,
    );
    assert.deepEqual(given, [...new Set(given)].toSorted());
  }
});

test('as many names as are read at once, one fewer, one more, and those that a long name was cut into', async (t) => {
  for (const count of [0, 1, 1023, 1024, 1025, 2048]) {
    const { readers, path, there } = await openScene(t, count);
    await mkdir(join(path, DAY, 'c.'), { recursive: true });
    await writeFile(join(path, DAY, 'c.', 'r'), '');
    await mkdir(join(path, DAY, 'folder'));
    const expected = [
      ...(await there()).filter((name) => name !== 'c.' && name !== 'folder'),
      'c.r',
      'folder/',
    ].toSorted();
    for (const names of readers) assert.deepEqual(await allOf(names), expected);
  }
});

interface Scene {
  readonly path: string;
  /** Of one that takes the folder for still, and of one for which it has just changed. */
  readonly readers: readonly [InstanceType<typeof FolderNames>, InstanceType<typeof FolderNames>];
  /** In order, as the system gives them. */
  readonly there: () => Promise<readonly string[]>;
  /** By another process; `+ name` and `- name`. Done when it resolves, and later than the folder's last change. */
  readonly change: (lines: readonly string[]) => Promise<void>;
}

async function openScene(t: TestContext, count: number): Promise<Scene> {
  const path = await mkdtemp(join(tmpdir(), 'names-'));
  const folder = join(path, DAY);
  await mkdir(folder, { recursive: true });
  const other = spawn(process.execPath, ['-e', OTHER, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: other.stdout })[Symbol.asyncIterator]();
  t.after(async () => {
    other.kill();
    await rm(path, { recursive: true });
  });
  const change = async (lines: readonly string[]): Promise<void> => {
    await untilLater(path, folder);
    other.stdin.write(`${JSON.stringify(lines)}\n`);
    assert.equal((await answers.next()).value, 'done');
  };
  const random = seeded(count);
  await change(Array.from({ length: count }, (_, n) => `+ ${random().toString(36).slice(2)}.r${String(n)}`));
  const files = new FolderFiles(path);
  const readers = [new FolderNames(files, () => Date.now() + AHEAD_MS), new FolderNames(files, () => 0)] as const;
  return { path, readers, change, there: async () => (await readdir(folder)).toSorted() };
}

const OTHER = `
  const { rmSync, writeFileSync } = require('node:fs');
  require('node:readline').createInterface({ input: process.stdin }).on('line', (lines) => {
    for (const line of JSON.parse(lines)) {
      const path = process.argv[1] + '/' + line.slice(2);
      if (line[0] === '+') writeFileSync(path, '');
      else rmSync(path);
    }
    console.log('done');
  });`;

/** Until the file system's clock has moved on since the folder was changed: what a folder's time can tell of. */
async function untilLater(path: string, folder: string): Promise<void> {
  const probe = join(path, 'probe');
  for (;;) {
    await writeFile(probe, 'x');
    await utimes(probe, 0, 0);
    const [later, changed] = [await stat(probe, { bigint: true }), await stat(folder, { bigint: true })];
    if (later.ctimeNs > changed.ctimeNs) return;
  }
}

function after(seen: string): (name: string) => boolean {
  return (name) => name > seen;
}

async function pageOf(names: InstanceType<typeof FolderNames>, seen: string): Promise<readonly string[]> {
  const page: string[] = [];
  for await (const name of names.in({ folder: DAY, after: seen, expected: 60 }, AbortSignal.timeout(60_000))) {
    page.push(name);
    if (page.length === 50) break;
  }
  return page;
}

async function allOf(names: InstanceType<typeof FolderNames>): Promise<readonly string[]> {
  const all: string[] = [];
  for await (const name of names.in({ folder: DAY }, AbortSignal.timeout(60_000))) all.push(name);
  return all;
}

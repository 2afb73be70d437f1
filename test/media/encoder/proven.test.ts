/** What was proven of an ffmpeg is believed at the next start, as long as it is the same ffmpeg, and of the cage nothing is. */
import assert from 'node:assert/strict';
import { appendFile, chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { checkFfmpeg, type Ffmpeg } from '../../../src/media/encoder/check.ts';
import type { CageContents } from '../../../src/media/encoder/contents.ts';
import { keepProven, printOf, provenBefore } from '../../../src/media/encoder/proven.ts';

const root = await mkdtemp(join(tmpdir(), 'archiver-proven-'));
await chmod(root, 0o755);
after(() => rm(root, { recursive: true }));

const real = await checkFfmpeg({ provenIn: join(root, 'real.json') });
const ONLY_LINUX = { skip: process.platform === 'linux' ? false : 'only Linux says which libraries are loaded' };

/** An answer that no ffmpeg gives: whoever tells it has not asked. */
const KEPT = 'ffmpeg as it was kept';

interface Start {
  /** The ffmpeg that is found first. */
  readonly program: string;
  readonly provenIn: string;
  readonly check: (before?: readonly string[]) => Promise<Ffmpeg>;
}

/** An ffmpeg of its own that was proven once; what is kept of it was given the words of {@link KEPT} since. */
async function provenOnce(): Promise<Start> {
  const folder = await mkdtemp(join(root, 'bin-'));
  await chmod(folder, 0o755);
  const program = join(folder, 'ffmpeg');
  await copyFile(real.path, program);
  const provenIn = join(folder, 'cache', 'ffmpeg.json');
  const check = (before: readonly string[] = []): Promise<Ffmpeg> =>
    checkFfmpeg({ searchPath: [...before, folder, process.env['PATH'] ?? ''].join(':'), provenIn });
  const { version, path } = await check();
  assert.deepEqual([version, path], [real.version, program]);
  const kept: object = JSON.parse(await readFile(provenIn, 'utf8'));
  await writeFile(provenIn, JSON.stringify({ ...kept, version: KEPT }));
  return { program, provenIn, check };
}

test('the same ffmpeg is not asked again, and is caged as before', ONLY_LINUX, async () => {
  const { check } = await provenOnce();
  const { version, cage } = await check();
  assert.equal(version, KEPT);
  assert.deepEqual(cage, real.cage);
});

const CHANGES: Readonly<Record<string, (start: Start) => Promise<unknown>>> = {
  'of another size': ({ program }) => appendFile(program, '\0'),
  'of another time': async ({ program }) => utimes(program, new Date(), new Date((await stat(program)).mtimeMs - 5000)),
  'whose proof is no JSON': ({ provenIn }) => writeFile(provenIn, '{"print":'),
  'whose proof is a list': ({ provenIn }) => writeFile(provenIn, '[]'),
  'whose proof is of another one': ({ provenIn }) => keepProven({ print: 'another', version: KEPT }, provenIn),
  'whose proof is gone': ({ provenIn }) => rm(provenIn),
};

for (const [what, change] of Object.entries(CHANGES)) {
  test(`an ffmpeg ${what} is asked anew, and once`, ONLY_LINUX, async () => {
    const start = await provenOnce();
    await change(start);
    assert.equal((await start.check()).version, real.version);
    assert.equal(await provenBefore(await printIn(start.provenIn), start.provenIn), real.version);
  });
}

test('where nothing can be kept it is asked at each start', async () => {
  const { program, provenIn, check } = await provenOnce();
  await appendFile(program, '\0');
  await rm(dirname(provenIn), { recursive: true });
  await writeFile(dirname(provenIn), 'a file in the way of the folder');
  for (const _start of [1, 2]) assert.equal((await check()).version, real.version);
});

test('a wrapper is asked each time: what it starts may be another one tomorrow', async () => {
  const { provenIn, check } = await provenOnce();
  const bin = await mkdtemp(join(root, 'wrapper-'));
  await chmod(bin, 0o755);
  const asked = join(bin, 'asked');
  const script = `#!/bin/sh\n[ "$2" != -version ] || echo >> ${asked}\nexec ${real.path} "$@"\n`;
  await writeFile(join(bin, 'ffmpeg'), script, { mode: 0o755 });
  const before = await readFile(provenIn, 'utf8');
  for (const _start of [1, 2]) await check([bin]);
  assert.equal((await readFile(asked, 'utf8')).length, 2);
  assert.equal(await readFile(provenIn, 'utf8'), before);
});

test('what was proven says nothing of the cage: that is tried at each start', ONLY_LINUX, async () => {
  const { check } = await provenOnce();
  const bin = await mkdtemp(join(root, 'broken-'));
  await chmod(bin, 0o755);
  await writeFile(join(bin, 'prlimit'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  const { version, cage } = await check([bin]);
  assert.equal(version, KEPT);
  assert.ok(!cage.layers.includes('limits'), cage.layers.join());
});

test('each file of an ffmpeg counts: program, loader and libraries, by path, size and time', ONLY_LINUX, async () => {
  const folder = await mkdtemp(join(root, 'files-'));
  const paths = ['program', 'loader', 'one.so', 'two.so'].map((name) => join(folder, name));
  for (const path of paths) await writeFile(path, 'as it was');
  const [program = '', loader = '', ...reads] = paths;
  const contents: CageContents = {
    executes: [program, loader],
    reads,
    isScript: false,
    folders: [],
    alone: [],
    links: [],
  };
  const before = await printOf(contents, 'all');
  assert.ok(before !== undefined);
  assert.equal(await printOf(contents, 'all'), before);
  assert.notEqual(await printOf(contents, 'more'), before);
  for (const path of paths) {
    const { atime, mtime } = await stat(path);
    await writeFile(path, 'as it is now');
    await utimes(path, atime, mtime);
    assert.notEqual(await printOf(contents, 'all'), before, path);
    await writeFile(path, 'as it was');
    await utimes(path, atime, mtime);
    assert.equal(await printOf(contents, 'all'), before, path);
  }
  await mkdir(join(folder, 'elsewhere'));
  await copyFile(reads[0] ?? '', join(folder, 'elsewhere', 'one.so'));
  const moved = [join(folder, 'elsewhere', 'one.so'), ...reads.slice(1)];
  assert.notEqual(await printOf({ ...contents, reads: moved }, 'all'), before);
  await rm(reads[1] ?? '');
  assert.equal(await printOf(contents, 'all'), undefined);
});

async function printIn(place: string): Promise<string> {
  const kept: unknown = JSON.parse(await readFile(place, 'utf8'));
  assert.ok(typeof kept === 'object' && kept !== null && 'print' in kept);
  return String(kept.print);
}

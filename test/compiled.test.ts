/** What Node has compiled is kept for the next start, and believed only where nobody else can write. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';

const COMPILED = join(import.meta.dirname, '../src/compiled.ts');
const LATER = join(import.meta.dirname, '../src/recording.ts');

let folder: string;
let place: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'compiled-'));
  place = join(folder, 'node_modules/.cache/compiled');
});

afterEach(() => rm(folder, { recursive: true }));

test('the first start keeps what it has compiled, the second takes it', async () => {
  assert.ok(!start().said.includes('was accepted'));
  const [kept = ''] = await readdir(place);
  assert.ok((await readdir(join(place, kept))).length > 0);
  assert.match(start().said, /recording\.ts.* was accepted/);
});

test('a place made under a umask that lets everybody write is nobody else’s all the same', async () => {
  assert.equal(start('process.umask(0);').used, true);
  assert.equal((await stat(place)).mode & 0o777, 0o700);
});

test('where nothing can be written later, what lies there is taken all the same', async () => {
  start();
  const [kept = ''] = await readdir(place);
  for (const path of [join(place, kept), place]) await chmod(path, 0o555);
  assert.match(start().said, /recording\.ts.* was accepted/);
});

interface Doubtful {
  readonly what: string;
  readonly make: () => Promise<void>;
  /** Only root can give a folder away. */
  readonly asRoot?: boolean;
}

const DOUBTFUL: readonly Doubtful[] = [
  { what: 'a folder where everybody may write', make: () => madeWith(0o777) },
  { what: 'a folder where its group may write', make: () => madeWith(0o770) },
  { what: 'a folder where others may write and its group may not', make: () => madeWith(0o702) },
  {
    what: 'a folder with one where others may write',
    make: async () => {
      await madeWith(0o755);
      await mkdir(join(place, 'v24-x64-0-0'));
      await chmod(join(place, 'v24-x64-0-0'), 0o777);
    },
  },
  {
    what: 'a folder with a link to another',
    make: async () => {
      await madeWith(0o755);
      await symlink(folder, join(place, 'v24-x64-0-0'));
    },
  },
  {
    what: 'a link to a folder',
    make: async () => {
      await mkdir(join(folder, 'node_modules/.cache'), { recursive: true });
      await symlink(folder, place);
    },
  },
  {
    what: 'another user’s folder',
    asRoot: true,
    make: async () => {
      await madeWith(0o755);
      await chown(place, 65_532, 65_532);
    },
  },
  {
    what: 'a folder with another user’s',
    asRoot: true,
    make: async () => {
      await madeWith(0o755);
      await mkdir(join(place, 'v24-x64-0-0'));
      await chown(join(place, 'v24-x64-0-0'), 65_532, 65_532);
    },
  },
  { what: 'a place that is a file’s', make: () => writeFile(join(folder, 'node_modules'), '') },
];

for (const { what, make, asRoot } of DOUBTFUL) {
  const skip = asRoot === true && process.getuid?.() !== 0 && 'only root can give a folder away';
  test(`${what} is left alone, and the start goes on`, { skip }, async () => {
    await make();
    assert.equal(start().used, false);
  });
}

async function madeWith(mode: number): Promise<void> {
  await mkdir(place, { recursive: true });
  await chmod(place, mode);
}

/** As src/cli.ts does it; what Node says of each file it compiles, and whether it used the place. */
function start(before = ''): { readonly said: string; readonly used: boolean } {
  const script = `${before}
    const { keepCompiled } = await import(${JSON.stringify(COMPILED)});
    keepCompiled(${JSON.stringify(place)});
    await import(${JSON.stringify(LATER)});
    const { getCompileCacheDir } = await import('node:module');
    console.log('used: ' + (getCompileCacheDir()?.startsWith(${JSON.stringify(place)}) ?? false));`;
  const env = { PATH: process.env['PATH'], NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    env,
  });
  assert.equal(status, 0, stderr);
  return { said: stderr + stdout, used: stdout.includes('used: true') };
}

/** What makes a fresh machine ready, on one that has nothing but a package manager of ours. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SETUP = fileURLToPath(new URL('../../.ci/setup.mjs', import.meta.url));

interface Machine extends AsyncDisposable {
  /** Runs the set-up there, as this user, and says what it said and what was called. */
  start(uid: number, ...args: readonly string[]): Promise<{ readonly said: string; readonly calls: readonly string[] }>;
}

/** Its `apt-get` brings what is asked for, `sudo` does as it is told; both write down how they were called. */
async function freshMachine(): Promise<Machine> {
  const folder = await mkdtemp(join(tmpdir(), 'archiver-setup-'));
  const bin = join(folder, 'bin');
  await mkdir(bin);
  await mkdir(join(folder, '.ci'));
  await mkdir(join(folder, 'node_modules'));
  await copyFile(SETUP, join(folder, '.ci/setup.mjs'));
  await writeFile(join(folder, 'package-lock.json'), '{}');
  const stamp = createHash('sha256').update('{}').digest('hex');
  await writeFile(join(folder, 'node_modules/.installed'), stamp);
  const calls = join(folder, 'calls');
  await writeFile(calls, '');
  const script = async (name: string, lines: string): Promise<void> => {
    await writeFile(join(bin, name), `#!/bin/sh\necho "${name} $*" >> ${calls}\n${lines}\n`);
    await chmod(join(bin, name), 0o755);
  };
  await script('sudo', 'exec "$@"');
  await script(
    'apt-get',
    `[ "$1" = install ] || exit 0\n/bin/ln -s /bin/true ${bin}/ffmpeg; /bin/ln -s /bin/true ${bin}/bwrap`,
  );
  await symlink('/bin/sh', join(bin, 'sh'));
  return {
    async start(uid, ...args) {
      const preload = `data:text/javascript,process.getuid=()=>${String(uid)}`;
      const env = { PATH: bin, NODE_OPTIONS: `--import=${preload}` };
      const { stderr } = spawnSync(process.execPath, [join(folder, '.ci/setup.mjs'), ...args], {
        env,
        encoding: 'utf8',
      });
      return { said: stderr, calls: (await readFile(calls, 'utf8')).trim().split('\n') };
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

const UPDATE = 'apt-get update -qq';
const INSTALL = 'apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300';

test('root is told what is installed', async () => {
  await using machine = await freshMachine();
  const { said, calls } = await machine.start(0, '-e', '0');
  assert.match(said, /^Installing ffmpeg …$/m);
  assert.deepEqual(calls, [UPDATE, `${INSTALL} ffmpeg`]);
});

test('whoever is not root is told what sudo will be asked for, word by word', async () => {
  await using machine = await freshMachine();
  const { said, calls } = await machine.start(1000, '-e', '0');
  assert.match(said, new RegExp(`^As root, by sudo: ${UPDATE}; ${INSTALL} ffmpeg$`, 'm'));
  assert.deepEqual(calls, [`sudo ${UPDATE}`, UPDATE, `sudo ${INSTALL} ffmpeg`, `${INSTALL} ffmpeg`]);
});

test('what the tests alone need is installed for them alone, and its lack is no failure', async () => {
  await using machine = await freshMachine();
  const { said, calls } = await machine.start(0, '--for-tests', '--', '-e', 'console.error("it ran")');
  assert.deepEqual(calls, [UPDATE, `${INSTALL} ffmpeg bubblewrap chromium`]);
  assert.match(said, /^Chromium could not be installed: what needs it will be skipped, visibly\.$/m);
  assert.match(said, /^it ran$/m);
});

test('a machine that has everything is left alone', async () => {
  await using machine = await freshMachine();
  await machine.start(0, '-e', '0');
  const { said, calls } = await machine.start(0, '-e', '0');
  assert.equal(said, '');
  assert.equal(calls.length, 2);
});

test('what Node compiles is kept between the libraries, for all that is started from here', async () => {
  await using machine = await freshMachine();
  const say = 'console.error(require("node:module").getCompileCacheDir())';
  const { said } = await machine.start(0, '-e', say);
  assert.match(said, /\/archiver-setup-\w+\/node_modules\/\.cache\/compiled\/\S+$/m);
});

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { UNCONFIRMED } from '../../src/doctor/unconfirmed.ts';
import { openSqliteQueue } from '../../src/queue/sqlite/sqlite.ts';
import { linesOf, type Printed, runArchiver } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { NO_MOUNT, readOnly } from '../support/mounts.ts';

interface Scene {
  readonly genesys: GenesysServer;
  readonly folder: string;
  run(args: readonly string[], change?: Readonly<Record<string, string>>): Promise<Printed>;
}

async function setUp(t: TestContext): Promise<Scene> {
  const genesys = await startGenesysServer();
  genesys.analytics.dataUntil = new Date(Date.now() - 3_600_000).toISOString();
  const folder = await mkdtemp(join(tmpdir(), 'doctor-'));
  t.after(async () => {
    await genesys.close();
    await rm(folder, { recursive: true, force: true });
  });
  const env = {
    ...genesys.environment(),
    ARCHIVE_URL: `file:${join(folder, 'archive')}`,
    QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
  };
  return { genesys, folder, run: (args, change = {}) => runArchiver(['doctor', ...args], { ...env, ...change }) };
}

function checksOf(printed: Printed): readonly Readonly<Record<string, unknown>>[] {
  return linesOf(printed).filter(({ type }) => type === 'check');
}

test('doctor goes through everything, ends well where nothing is broken, and leaves nothing behind', async (t) => {
  const scene = await setUp(t);
  const printed = await scene.run(['--json']);
  assert.equal(printed.code, 0, printed.stdout + printed.stderr);
  const lines = linesOf(printed);
  const checks = checksOf(printed);
  assert.deepEqual(
    checks.filter(({ state }) => state === 'fail'),
    [],
  );
  assert.deepEqual([...new Set(checks.map(({ area }) => area))], ['genesys', 'machine', 'deployment']);
  for (const { state, next, found } of checks) {
    assert.ok(typeof found === 'string' && found !== '' && !found.includes('\n'));
    assert.equal(typeof next === 'string', state === 'warn' || state === 'fail', found);
  }
  assert.deepEqual(
    lines.filter(({ type }) => type === 'unconfirmed').map(({ what }) => what),
    [...UNCONFIRMED],
  );
  const { type, exit, ...counts } = lines.at(-1) ?? {};
  assert.deepEqual([type, exit], ['summary', 0]);
  assert.equal(
    Object.values(counts).reduce((sum: number, count) => sum + Number(count), 0),
    checks.length,
  );
  assert.deepEqual(await readdir(scene.folder), [], 'nothing is made where nothing is yet');
  const found = Object.fromEntries(checks.map(({ name, found }) => [name, found]));
  assert.equal(found['archive'], 'the archive is not there yet: it is made at the first start');
  assert.equal(found['queue'], 'the queue file is not there yet: it is made at the first start');
  for (const secret of scene.genesys.secrets()) assert.ok(!printed.stdout.includes(secret));
});

test('of what is there a probe is tried, and it is as it was', async (t) => {
  const scene = await setUp(t);
  const path = join(scene.folder, 'archive');
  await openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' }).check(t.signal);
  const file = join(scene.folder, 'queue.db');
  await openSqliteQueue({ path: file }).close();
  const before = await readdir(scene.folder, { recursive: true });
  const printed = await scene.run(['--json']);
  assert.equal(printed.code, 0, printed.stdout + printed.stderr);
  const found = Object.fromEntries(checksOf(printed).map(({ name, found }) => [name, found]));
  assert.deepEqual(
    [found['archive'], found['queue']],
    ['a probe was written, read and removed', 'messages can be published and taken'],
  );
  assert.deepEqual(await readdir(scene.folder, { recursive: true }), before);
});

test('what is not there yet, and could not be made, is said', { skip: NO_MOUNT }, async (t) => {
  const scene = await setUp(t);
  const [path, file] = [join(scene.folder, 'readable'), join(scene.folder, 'file')];
  await mkdir(path);
  await writeFile(file, '');
  using _shut = readOnly(path);
  const printed = await scene.run(['--json'], {
    ARCHIVE_URL: `file:${join(path, 'var', 'archive')}`,
    QUEUE_URL: `sqlite:${join(file, 'var', 'queue.db')}`,
  });
  assert.equal(printed.code, 3, printed.stdout);
  assert.deepEqual(
    checksOf(printed)
      .filter(({ name }) => name === 'archive' || name === 'queue')
      .map(({ state, found }) => [state, found]),
    [
      ['fail', `the archive is not there yet, and cannot be made in ${path} (EROFS)`],
      ['fail', `the queue file is not there yet, and cannot be made in ${file} (ENOTDIR)`],
    ],
  );
});

test('all faults at once are all lines, each with what to do, and the exit code says so', async (t) => {
  const scene = await setUp(t);
  scene.genesys.organization.grants = { default: [{ division: 'sales', permissions: ['recording:recording:view'] }] };
  scene.genesys.organization.triggers = [{ name: 'archive-recording', topicName: 'x', enabled: false }];
  scene.genesys.organization.playbackUrlTtl = 2;
  scene.genesys.organization.clockOffsetMs = 600_000;
  const printed = await scene.run([], {
    PATH: '/nowhere',
    QUEUE_URL: `sqlite:${join(scene.folder, 'no', 'folder', 'q.db')}`,
    ARCHIVE_ORIGINALS: 'yes',
  });
  assert.equal(printed.code, 3, printed.stdout + printed.stderr);
  for (const line of [
    /^fail +genesys +genesys-permissions\* +simulated-client: the role lacks analytics:conversationDetail:view/m,
    /^warn +genesys +genesys-permissions\* +simulated-client: the role lacks recording:screenRecording:view/m,
    /^warn +genesys +genesys-urls/m,
    /^fail +genesys +genesys-trigger\*/m,
    /^warn +configuration +environment +ARCHIVE_ORIGINALS is read by nobody here\n +→ .*ARCHIVE_ORIGINAL is meant/m,
    /^fail +genesys +genesys-clock/m,
    /^fail +machine +ffmpeg +There is no ffmpeg/m,
    /^skipped +machine +cage/m,
    /^warn +deployment +events/m,
    /\d+ well, \d+ worth a look, \d+ broken, \d+ not asked\./,
    /^Unconfirmed \(\*\) until a real organization was asked:$/m,
  ])
    assert.match(printed.stdout, line);
  assert.equal(printed.stdout.match(/^(warn|fail) /gm)?.length, printed.stdout.match(/^ {9}→ \S/gm)?.length);
});

test('an environment with faults is a line for each, and what can be asked all the same is', async (t) => {
  const scene = await setUp(t);
  const printed = await scene.run(['--json'], { GENESYS_CLIENT_SECRET: '', GENESYS_CLIENT_ID: '' });
  assert.equal(printed.code, 3, printed.stderr);
  const checks = checksOf(printed);
  const wrong = checks.filter(({ area }) => area === 'configuration');
  assert.deepEqual(
    wrong.map(({ state, found }) => [state, String(found).split(':')[0]]),
    [
      ['fail', 'GENESYS_CLIENT_ID'],
      ['fail', 'GENESYS_CLIENT_SECRET'],
    ],
  );
  assert.ok(checks.some(({ name, state }) => name === 'archive' && state === 'ok'));
  assert.ok(checks.some(({ name, state }) => name === 'genesys-token' && state === 'skipped'));
  const nothing = await scene.run([], { ARCHIVE_URL: 'ftp://x' });
  assert.equal(nothing.code, 3);
  assert.match(nothing.stdout, /^fail +configuration +environment +ARCHIVE_URL: expected file:PATH/m);
});

test('--only asks one area; a misspelt one is usage', async (t) => {
  const scene = await setUp(t);
  const printed = await scene.run(['--json', '--only', 'genesys']);
  assert.deepEqual([...new Set(checksOf(printed).map(({ area }) => area))], ['genesys']);
  const wrong = await scene.run(['--only', 'genesis']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /--only genesis: expected genesys, google, machine, deployment/);
});

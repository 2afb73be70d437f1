/** A disk that gets full in the middle of a command: what is there is whole, the command ends and says so, and goes on once there is room. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { readIndexDay } from '../../src/archive/day-index.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';
import { NO_MOUNT, type SmallDisk, smallDisk } from '../support/mounts.ts';

const DAY = '2026-11-26';
const RANGE = ['--from', DAY, '--to', DAY] as const;
const HOW = { skip: NO_MOUNT, timeout: 300_000 };
const MIB = 1024 * 1024;
/** Eight are tried at once: four may fail before each one that gets through, five before it ends, and seven are under way then. */
const mostInVain = (stored: number): number => 4 * stored + 5 + 7;
const signal = (): AbortSignal => AbortSignal.timeout(200_000);

interface Scene {
  readonly genesys: GenesysServer;
  readonly disk: SmallDisk;
  readonly path: string;
  readonly run: (...args: string[]) => Promise<Printed>;
}

async function setUp(t: TestContext, recordings: number): Promise<Scene> {
  const genesys = await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } });
  const disk = await smallDisk(MIB);
  t.after(async () => {
    await genesys.close();
    await disk[Symbol.asyncDispose]();
  });
  genesys.analytics.pendingPolls = 0;
  for (let index = 0; index < recordings; index += 1) {
    const conversationId = `c${String(index)}`;
    genesys.analyze({ conversationId, start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
    genesys.addRecording({
      recordingId: `r${String(index)}`,
      conversationId,
      startTime: `${DAY}T10:00:00.000Z`,
      files: [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }],
    });
  }
  const path = join(disk.path, 'archive');
  const env = { ...genesys.environment(), ARCHIVE_URL: `file:${path}`, LOG_LEVEL: 'error' };
  return { genesys, disk, path, run: (...args) => runInProcess(args, env) };
}

/** Until not one more page fits. */
function fill(disk: SmallDisk): void {
  for (const size of [256 * 1024, 4 * 1024])
    for (let index = 0; ; index += 1) {
      const name = join(disk.path, `ballast.${String(size)}.${String(index)}`);
      try {
        writeFileSync(name, Buffer.alloc(size));
      } catch {
        break;
      }
    }
}

async function empty(disk: SmallDisk): Promise<void> {
  for (const name of readdirSync(disk.path)) if (name.startsWith('ballast')) await rm(join(disk.path, name));
}

/** Every recording with the inode and size of its WebM: another one would have been written again. */
async function recordingsIn(path: string): Promise<ReadonlyMap<string, string>> {
  const names = await readdir(join(path, 'recordings'), { recursive: true }).catch(() => []);
  const found = names
    .filter((name) => name.endsWith('manifest.json'))
    .map((name) => name.slice(0, -'/manifest.json'.length));
  return new Map(
    await Promise.all(
      found.map(async (name) => {
        const { ino, size } = await stat(join(path, 'recordings', name, 'recording.webm'));
        return [name, `${String(ino)} ${String(size)}`] as const;
      }),
    ),
  );
}

async function stagedIn(path: string): Promise<readonly string[]> {
  return readdir(join(path, 'staging')).catch(() => []);
}

test(
  'backfill: a full disk ends it after a few tries, what was stored is whole, and with room it fetches the rest',
  HOW,
  async (t) => {
    const { genesys, disk, path, run } = await setUp(t, 13);
    const stopped = await run('backfill', ...RANGE, '--json');
    assert.equal(stopped.code, 1, stopped.stdout + stopped.stderr);
    assert.match(
      stopped.stderr,
      /archive-unavailable: The disk of the archive folder \(ARCHIVE_URL\) is full: free space there/,
    );
    assert.deepEqual(
      [linesOf(stopped).at(-1)?.['code'], linesOf(stopped).at(-1)?.['exit']],
      ['archive-unavailable', 1],
    );
    const first = await recordingsIn(path);
    assert.ok(first.size > 0 && first.size < 13, String(first.size));
    const downloads = genesys.requests('media:*').length;
    const inVain = downloads - first.size;
    assert.ok(inVain <= mostInVain(first.size), `${String(inVain)} in vain for ${String(first.size)} recordings`);
    assert.deepEqual(await stagedIn(path), [], 'nothing half is left, and no mark of a run');
    const verified = await run('verify', '--all', '--read', '--json');
    assert.deepEqual(
      linesOf(verified).filter(({ type }) => type === 'finding'),
      [],
      'all that is there is whole',
    );
    disk.resize(64 * MIB);
    const fetched = await run('backfill', ...RANGE);
    assert.equal(fetched.code, 0, fetched.stdout + fetched.stderr);
    const last = await recordingsIn(path);
    assert.equal(last.size, 13);
    for (const [name, print] of first) assert.equal(last.get(name), print, `${name} was stored twice`);
  },
);

test(
  'reconcile: a disk that gets full before the proof leaves none, names what was found, and proves the day the next time',
  HOW,
  async (t) => {
    const { genesys, disk, path, run } = await setUp(t, 3);
    const filled = genesys.reached('list:*', 1, signal()).then(() => fill(disk));
    const stopped = await run('reconcile', ...RANGE);
    await filled;
    assert.equal(stopped.code, 1, stopped.stdout + stopped.stderr);
    assert.match(stopped.stderr, /The disk of the archive folder \(ARCHIVE_URL\) is full: free space there/);
    assert.match(
      stopped.stdout,
      /missing {2}2026-11-26 {2}c0\.r0 {2}no event reached us/,
      'what was found is not lost',
    );
    await empty(disk);
    assert.deepEqual(await readdir(join(path, 'proofs', DAY)).catch(() => []), []);
    assert.deepEqual(await stagedIn(path), []);
    const proven = await run('reconcile', ...RANGE);
    assert.equal(proven.code, 3, proven.stderr);
    assert.equal((await readdir(join(path, 'proofs', DAY))).length, 1);
  },
);

test('reconcile: full before it begins, it asks Genesys nothing', HOW, async (t) => {
  const { genesys, disk, run } = await setUp(t, 3);
  fill(disk);
  for (const command of ['reconcile', 'backfill', 'replay']) {
    const printed = await run(command, ...RANGE);
    assert.equal(printed.code, 1, printed.stdout);
    assert.match(printed.stderr, /is full: free space there/);
  }
  assert.deepEqual(genesys.requests(), []);
});

test(
  'reconcile --index: an index that finds no room stays as it was, and is made anew once there is some',
  HOW,
  async (t) => {
    const { disk, path, run } = await setUp(t, 0);
    const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
    for (let index = 0; index < 12; index += 1)
      await store(
        archive,
        { recordingId: `r${String(index)}`, conversationId: 'c' },
        { head: bytesOf('head', 100), clusters: [bytesOf('a', 900)], facts: { recordedAt: `${DAY}T10:00:00.000Z` } },
      );
    const made = await run('reconcile', '--index');
    assert.equal(made.code, 0, made.stderr);
    const folder = join(path, 'index', `day=${DAY}`);
    const names = await readdir(folder);
    await store(
      archive,
      { recordingId: 'late', conversationId: 'c' },
      { head: bytesOf('head', 100), clusters: [bytesOf('a', 900)], facts: { recordedAt: `${DAY}T10:00:00.000Z` } },
    );
    fill(disk);
    // Room for the probe, and not for the lines.
    await rm(join(disk.path, 'ballast.4096.0'));
    await rm(join(disk.path, 'ballast.4096.1'), { force: true });
    const stopped = await run('reconcile', '--index');
    assert.equal(stopped.code, 1, stopped.stdout + stopped.stderr);
    assert.match(stopped.stderr, /is full: free space there/);
    assert.deepEqual(await readdir(folder), names, 'the index is the one from before');
    assert.equal((await readIndexDay(DAY, archive.notes, signal())).size, 12);
    await empty(disk);
    assert.deepEqual(await stagedIn(path), []);
    const again = await run('reconcile', '--index');
    assert.equal(again.code, 0, again.stderr);
    assert.equal((await readIndexDay(DAY, archive.notes, signal())).size, 13);
  },
);

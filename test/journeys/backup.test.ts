/** A backup of one machine that is taken while it works, by the very lines of the README, and restored elsewhere: nothing that was acknowledged is lost. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { runArchiver } from '../support/commands/run.ts';
import { openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { startService, until } from '../support/service/service.ts';

const HANG = { timeout: 400_000 };
const README = new URL('../../src/archive/README.md', import.meta.url);
const COUNT = 8;

/** The blocks of shell in the section, in order: to back up, to restore. */
async function linesOfReadme(): Promise<readonly string[]> {
  const [, section = ''] =
    /^## Backing up one machine[^\n]*\n([\s\S]*?)^## /m.exec(await readFile(README, 'utf8')) ?? [];
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, lines = '']) => lines);
}

async function shell(lines: string, env: Readonly<Record<string, string>>): Promise<void> {
  const child = spawn('sh', ['-ec', lines], { env: { PATH: process.env['PATH'], ...env }, stdio: 'inherit' });
  const [code] = (await once(child, 'close')) as [number | null];
  assert.equal(code, 0, lines);
}

test(
  'a backup taken while the service archives holds all that was acknowledged, and is served elsewhere',
  HANG,
  async (t) => {
    const [backUp = '', restore = ''] = await linesOfReadme();
    await using scene = await openFaultScene();
    const place = await mkdtemp(join(tmpdir(), 'backup-'));
    t.after(() => rm(place, { recursive: true, force: true }));
    const [VAR, BACKUP, ELSEWHERE] = [dirname(scene.embedded.path), join(place, 'backup'), join(place, 'elsewhere')];
    const recordings = Array.from({ length: COUNT }, () => scene.add(FIXTURES.opus));
    const first = await startService('serve', { ...scene.env, RECONCILE: 'no' });
    for (const recording of recordings) await scene.accept(first, recording);
    await first.logged({ message: 'Recording was archived.' }, patience());
    await shell(backUp, { VAR, BACKUP });
    await first.kill();
    // A second one goes over the first.
    await shell(backUp, { VAR, BACKUP });

    // What stands behind the first line are commands of ours, tried below.
    await shell(restore.split('\n')[0] ?? '', { VAR: ELSEWHERE, BACKUP });
    const env = {
      ...scene.env,
      QUEUE_URL: `sqlite:${join(ELSEWHERE, 'queue.db')}`,
      ARCHIVE_URL: `file:${join(ELSEWHERE, 'archive')}`,
      RECONCILE: 'no',
    };
    await using _second = await startService('serve', env);
    const archive = openFolderArchive({
      path: join(ELSEWHERE, 'archive'),
      linkKeys: [],
      publicUrl: 'http://localhost',
    });
    for (const recording of recordings) await until(() => archive.find(recording, patience()), patience());
    await archive.close();
    // What the first one was killed in the middle of is whole once the second has been at it.
    const verified = await runArchiver(['verify', '--all', '--read'], env);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  },
);

test('a backup is taken at once, and nothing of what is written last is missing', HANG, async (t) => {
  const [backUp = ''] = await linesOfReadme();
  await using scene = await openFaultScene();
  const place = await mkdtemp(join(tmpdir(), 'backup-'));
  t.after(() => rm(place, { recursive: true, force: true }));
  await mkdir(scene.embedded.path, { recursive: true });
  const receiver = await startService('receiver', scene.env);
  const recordings = Array.from({ length: COUNT }, () => scene.add(FIXTURES.opus));
  for (const recording of recordings) await scene.accept(receiver, recording);
  await shell(backUp, { VAR: dirname(scene.embedded.path), BACKUP: place });
  assert.equal((await receiver.stop()).code, 0);
  const env = { ...scene.env, QUEUE_URL: `sqlite:${join(place, 'queue.db')}`, RECONCILE: 'no' };
  await using worker = await startService('worker', env);
  for (const recording of recordings) await scene.archived(worker, recording);
});

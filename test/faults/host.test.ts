/** The machine around the service: a process that stands still for a while, a strange user, clock zone, language and umask, a root that cannot be written. */
import assert from 'node:assert/strict';
import { chown, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startConfined, unless } from '../support/media/confined.ts';
import { openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { startService, until } from '../support/service/service.ts';

const HANG = { timeout: 400_000 };
const BLOCKED_S = 5;

/** SIGUSR2 blocks the event loop, as a very long computation would. */
const BLOCK = `
  process.on('SIGUSR2', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${String(BLOCKED_S * 1000)}));`;

test(
  'an event loop blocked for 5 s is seen from outside, and neither loses its work nor lets another worker take it (PR-06)',
  HANG,
  async () => {
    await using scene = await openFaultScene();
    const trap = join(scene.folder, 'block.mjs');
    await writeFile(trap, BLOCK);
    await using service = await startService('serve', { ...scene.env, NODE_OPTIONS: `--import=${trap}` });
    const recording = scene.add(FIXTURES.wav);
    scene.genesys.fault(`media:${recording.recordingId}:0`, 'stall-for-2s-after-200K');
    await scene.accept(service, recording);
    await scene.genesys.reached(`media:${recording.recordingId}:0`, 1, patience());
    await using other = await startService('worker', scene.env);

    process.kill(service.pid, 'SIGUSR2');
    const alive = (): Promise<number> =>
      fetch(`${service.url}/healthz`, { signal: AbortSignal.timeout(1000) }).then(
        ({ status }) => status,
        () => 0,
      );
    await until(async () => ((await alive()) === 0 ? true : undefined), patience());
    await until(async () => ((await alive()) === 200 ? true : undefined), patience());
    const { attempt } = await scene.archived(service, recording);
    assert.equal(attempt, 1);
    assert.equal(scene.downloads(recording), 1);
    assert.ok(!other.output().includes(recording.recordingId), 'the other worker took it');
  },
);

const UID = 12_345;
const RIGHTS = ['setpriv', '--reuid', String(UID), '--regid', String(UID), '--clear-groups', '--no-new-privs'];
const READ_ONLY = 'mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro /';
const skip =
  unless('unshare', '-m', 'sh', '-c', READ_ONLY, 'sh', '/mnt') || unless(RIGHTS[0] ?? '', ...RIGHTS.slice(1), 'true');

for (const umask of ['077', '000']) {
  test(
    `on a read-only root, as a user without a name, in Kiritimati and in Turkish, with umask ${umask}, it does all its work (PR-10)`,
    { ...HANG, skip },
    async () => {
      await using scene = await openFaultScene();
      const folder = join(scene.folder, 'data');
      await mkdir(folder);
      for (const path of [scene.folder, folder]) await chown(path, UID, UID);
      const env = {
        ...scene.env,
        QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
        ARCHIVE_URL: `file:${join(folder, 'archive')}`,
        TZ: 'Pacific/Kiritimati',
        LANG: 'tr_TR.UTF-8',
        LC_ALL: 'tr_TR.UTF-8',
        HOME: '/nonexistent',
      };
      const script = `${READ_ONLY} && umask ${umask} && shift && exec "$@"`;
      await using service = await startConfined(['unshare', '-m', 'sh', '-c', script, 'sh', folder, ...RIGHTS], env);
      // There it is the sixth already.
      const startTime = '2026-08-05T12:30:00.000Z';
      const kinds = [FIXTURES.dual, FIXTURES.wav, FIXTURES.mp4IndexLast].map((fixture) =>
        scene.add(fixture, { startTime }),
      );
      await scene.accept(service, kinds);
      for (const { recordingId } of kinds)
        await service.logged({ message: 'Recording was archived.', recordingId }, patience());
      const days = join(folder, 'archive', 'days');
      assert.deepEqual(await readdir(days), ['2026-08-05']);
      assert.equal((await readdir(join(days, '2026-08-05'))).length, kinds.length);
      const stored = await stat(join(folder, 'archive', 'recordings'));
      assert.deepEqual([stored.uid, stored.mode & 0o027], [UID, 0], 'nobody else writes, and none but its group reads');
      assert.doesNotMatch(service.output(), /"severity":"(?:WARNING|ERROR)"/);
    },
  );
}

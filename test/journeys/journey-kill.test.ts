/** Kills and stops the real service, and its encoders, at every stage of a recording's way: what was acknowledged ends archived, once. */
import assert from 'node:assert/strict';
import { watch } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import type { Recording } from '../../src/recording.ts';
import { type Child, NO_CENSUS, survivors } from '../support/service/children.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { listing } from '../support/service/journey.ts';
import { CONVERSATION, type KillScene, openKillScene, patience, stopWell } from '../support/service/kill-scene.ts';
import { type Service, until } from '../support/service/service.ts';

const COMMITS = 3;
/** Decides nothing but whether a test hangs. */
const HANG_GUARD = { timeout: 600_000 };
const LINUX = { ...HANG_GUARD, skip: NO_CENSUS };

describe('killed at a stage', { ...HANG_GUARD, concurrency: 8 }, () => {
  test(
    'invariants 1, 2, 3 and 5: killed with a recording at each stage, all of them end archived once (QU-08, FF-12, IN-19)',
    LINUX,
    async (t) => {
      await using scene = await openKillScene({ TRANSCODE_SLOTS: '3' });
      const { genesys } = scene;
      const service = await scene.start();
      const settled = await scene.archive(service, scene.add('settled', FIXTURES.opus));
      const lookedUp = scene.add('looked-up', FIXTURES.opus);
      genesys.fault('metadata:looked-up', 'stall-after-0K');
      const downloading = scene.add('downloading', FIXTURES.opus);
      genesys.fault('media:downloading:0', 'stall-after-100K');
      const encoding = scene.add('encoding', FIXTURES.wav);
      genesys.fault('media:encoding:0', 'stall-after-300K');
      const queued = scene.add('queued', FIXTURES.opus);
      const received = scene.add('received', FIXTURES.wav);
      const all = [settled.recording, lookedUp, downloading, encoding, queued, received];

      for (const recording of [lookedUp, downloading, encoding, queued]) await scene.accept(service, recording);
      for (const route of ['metadata:looked-up', 'media:downloading:0', 'media:encoding:0'])
        await genesys.reached(route, 1, patience());
      await until(() => service.family().find(isFfmpeg), patience());
      await scene.accept(service, received);
      const left = await service.kill();
      assert.equal(left.filter(isFfmpeg).length, 1, 'one encoder was running');
      await assertGone(left, t);
      for (const recording of all.slice(1)) assert.equal(await scene.objects.find(recording, patience()), undefined);

      const next = await scene.start();
      for (const recording of all.slice(1)) await scene.archived(next, recording);
      await scene.audit(all);
      for (const recording of all) await scene.accept(next, recording);
      await scene.archive(next, scene.add('sentinel', FIXTURES.opus));
      assert.deepEqual(await scene.find(settled.recording), settled.manifest, 'what was archived is as it was');
      const downloads = all.map(({ recordingId }) => genesys.requests(`media:${recordingId}:0`).length);
      assert.deepEqual(downloads, [1, 1, 2, 2, 1, 1], 'once each, but for the two that were cut off');
      genesys.assertFaultsUsed();
    },
  );

  test(
    `invariants 2 and 3: killed in the midst of ${String(COMMITS)} commits, nothing partial is visible and all end archived (QU-08)`,
    LINUX,
    async (t) => {
      await using scene = await openKillScene({ TRANSCODE_SLOTS: '1' });
      const recordings: Recording[] = [];
      let service = await scene.start();
      for (let caught = 0; caught < COMMITS;) {
        assert.ok(recordings.length < 30, 'a commit is hardly ever caught');
        const recording = scene.add(`commit-${String(recordings.length)}`, FIXTURES.opus);
        recordings.push(recording);
        if (!(await freezeInCommit(scene, service, recording))) continue;
        caught += 1;
        await service.kill();
        assert.equal(await scene.objects.find(recording, patience()), undefined);
        assert.ok(
          (await listing(scene.objects)).every((entry) => entry.recording.recordingId !== recording.recordingId),
        );
        service = await scene.start();
      }
      t.diagnostic(`${String(recordings.length)} commits to catch ${String(COMMITS)}`);
      await scene.drained(service);
      await scene.audit(recordings);
    },
  );

  test(
    'an encoder that is killed midway leaves nothing visible, and the next attempt archives (FF-12)',
    LINUX,
    async () => {
      await using scene = await openKillScene({ TRANSCODE_SLOTS: '1' });
      const recording = scene.add('victim', FIXTURES.wav);
      scene.genesys.fault('media:victim:0', 'stall-after-500K');
      const service = await scene.start();
      await scene.accept(service, recording);
      await scene.genesys.reached('media:victim:0', 1, patience());
      const { pid } = await until(() => service.family().find(isFfmpeg), patience());
      process.kill(pid, 'SIGKILL');
      const { outcome } = await service.logged({ code: 'encoder-failed', recordingId: 'victim' }, patience());
      assert.equal(outcome, 'again');
      assert.equal(await scene.objects.find(recording, patience()), undefined);
      const { attempt } = await scene.archived(service, recording);
      assert.equal(attempt, 2);
      await scene.audit([recording]);
    },
  );

  test(
    'invariant 10: SIGTERM while archiving ends within 8 s, and gives the work back uncounted (PR-01)',
    LINUX,
    async (t) => {
      await using scene = await openKillScene({ TRANSCODE_SLOTS: '3' });
      const { genesys } = scene;
      const service = await scene.start();
      const held = [
        scene.add('looked-up', FIXTURES.opus),
        scene.add('downloading', FIXTURES.opus),
        scene.add('encoding', FIXTURES.wav),
      ];
      genesys.fault('metadata:looked-up', 'stall-after-0K');
      genesys.fault('media:downloading:0', 'stall-after-100K');
      genesys.fault('media:encoding:0', 'stall-after-300K');
      const queued = scene.add('queued', FIXTURES.opus);
      for (const recording of [...held, queued]) await scene.accept(service, recording);
      for (const route of ['metadata:looked-up', 'media:downloading:0', 'media:encoding:0'])
        await genesys.reached(route, 1, patience());
      await until(() => service.encoders()[0], patience());
      await stopWell(service, { t, what: 'while archiving' });

      const next = await scene.start();
      for (const recording of [...held, queued]) {
        const { attempt } = await scene.archived(next, recording);
        assert.equal(attempt, 1, `${recording.recordingId} was given back uncounted`);
      }
      await scene.audit([...held, queued]);
      await stopWhileListening(scene, next, t);
    },
  );
});

// ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whether the service now stands still with the recording staged but not in its place; else it is archived and the service goes on. */
async function freezeInCommit(scene: KillScene, service: Service, recording: Recording): Promise<boolean> {
  const staging = join(scene.path, 'staging');
  await mkdir(staging, { recursive: true });
  const watcher = watch(staging);
  try {
    const staged = once(watcher, 'change', { signal: patience() });
    await scene.accept(service, recording);
    await staged;
    await service.freeze();
  } finally {
    watcher.close();
  }
  const names = await readdir(staging);
  const isStaged = names.some((name) => name.includes(`.${recording.recordingId}.`));
  if (isStaged && (await scene.objects.find(recording, patience())) === undefined) return true;
  service.thaw();
  await scene.archived(service, recording);
  return false;
}

/** Whoever listens to what never comes to its end keeps the service a while, and is broken off visibly. */
async function stopWhileListening(scene: KillScene, service: Service, t: TestContext): Promise<void> {
  const recording = scene.add('heard', FIXTURES.wav);
  scene.genesys.fault('media:heard:0', 'stall-after-800K');
  const response = await fetch(`${service.url}/transcode?id=heard&conversationId=${CONVERSATION}`, {
    signal: patience(),
  });
  assert.equal(response.status, 200);
  const hearing = response.arrayBuffer();
  const rejected = assert.rejects(hearing, 'the listener is not told that this was all');
  await stopWell(service, { t, what: 'with a listener' });
  await rejected;
  assert.equal(await scene.objects.find(recording, patience()), undefined);
}

const isFfmpeg = ({ name }: Child): boolean => name === 'ffmpeg';

async function assertGone(encoders: readonly Child[], t: TestContext): Promise<void> {
  const since = performance.now();
  assert.deepEqual(await survivors(encoders, 2_000), [], 'an encoder outlived its service by 2 s');
  t.diagnostic(`its encoder was gone ${String(Math.round(performance.now() - since))} ms after the service`);
}

/** PID 1 of a container has to bury the dead of others: the init of the image does, and the service buries its own. */
import { readdirSync, readlinkSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkFfmpeg } from '../../src/media/encoder/check.ts';
import { familyOf } from '../support/service/children.ts';
import { type Confined, pathWith, startConfined, unless } from '../support/media/confined.ts';
import { type FaultScene, openFaultScene, patience, statusOf } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { until } from '../support/service/service.ts';

const NAMESPACE = ['--fork', '--pid', '--mount-proc', '--kill-child'];
const skip = unless('unshare', ...NAMESPACE, 'true');
const skipInit = skip === false ? unless('tini', '--version') : skip;
const HANG = { timeout: 400_000 };

test(
  'as PID 1 the service leaves no zombie of its encoders, ended well or killed (FF-15)',
  { ...HANG, skip },
  async () => {
    await using scene = await openFaultScene();
    await using service = await startConfined(['unshare', ...NAMESPACE], scene.env);
    await archiveAndKill(scene, service);
    await until(() => (zombiesUnder(service.pid).length === 0 ? true : undefined), patience());
  },
);

test(
  'under the init of the image what an encoder leaves behind is buried as well (FF-15)',
  { ...HANG, skip: skipInit },
  async (t) => {
    {
      await using scene = await openFaultScene();
      await using bare = await startConfined(['unshare', ...NAMESPACE], await orphaning(scene));
      await archiveAndKill(scene, bare);
      const left = await until(
        () => (zombiesUnder(bare.pid).length > 0 ? zombiesUnder(bare.pid) : undefined),
        patience(),
      );
      t.diagnostic(`without an init ${String(left.length)} zombies stay: that is what the init is for`);
    }
    // Another queue: in the first one the work of the encoder that was killed waits to be done again.
    await using scene = await openFaultScene();
    await using service = await startConfined(['unshare', ...NAMESPACE, 'tini', '--'], await orphaning(scene));
    await archiveAndKill(scene, service);
    await until(() => (zombiesUnder(service.pid).length === 0 ? true : undefined), patience());
  },
);

/** Two encoders that end well, and one that is killed midway and started again. */
async function archiveAndKill(scene: FaultScene, service: Confined): Promise<void> {
  const [first, second, victim] = [scene.add(FIXTURES.wav), scene.add(FIXTURES.mp3), scene.add(FIXTURES.wav)];
  scene.genesys.fault(`media:${victim.recordingId}:0`, 'stall-for-2s-after-500K');
  await scene.accept(service, [first, second]);
  for (const recording of [first, second]) await scene.archived(service, recording);
  await scene.accept(service, victim);
  const encoder = await until(
    () =>
      familyOf(service.pid)
        .map(({ pid }) => pid)
        .find(isEncoder),
    patience(),
  );
  process.kill(encoder, 'SIGKILL');
  await service.logged({ code: 'encoder-failed', recordingId: victim.recordingId }, patience());
}

/** With an ffmpeg that works as ever, and has a child that outlives it. */
async function orphaning({ folder, env }: FaultScene): Promise<Readonly<Record<string, string>>> {
  const { path } = await checkFfmpeg();
  const script = `#!/bin/sh\ncase "$*" in *pipe:0*) sleep 600 > /dev/null 2>&1 & esac\nexec ${path} "$@"\n`;
  await chmod(folder, 0o755);
  await writeFile(join(folder, 'ffmpeg'), script);
  await chmod(join(folder, 'ffmpeg'), 0o755);
  return { ...env, PATH: pathWith(folder) };
}

/** What is about to become something else, or was killed before it could, still has the name of who started it. */
function isEncoder(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${String(pid)}/exe`).endsWith('/ffmpeg');
  } catch {
    return false;
  }
}

/** Zombies whose parent is one of the family. */
function zombiesUnder(pid: number): readonly number[] {
  const family = new Set([pid, ...familyOf(pid).map((child) => child.pid)].map(String));
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((one) => statusOf(one, 'State') === 'Z' && family.has(statusOf(one, 'PPid') ?? ''));
}

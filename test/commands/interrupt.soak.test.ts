/** SIGINT while a command waits for each of the answers it needs: it ends at once, with 130, and what it did stays. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { failureOf } from '../support/archive/content.ts';
import { startCommand } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';
import { runs } from '../support/soak.ts';

const DAY = '2026-11-26';
const PHASES = [
  'list:*',
  'analytics-job',
  'token',
  'analytics-availability',
  'analytics-state:*',
  'analytics-results:*',
  'analytics-query',
];

for (const phase of PHASES.slice(0, runs(2, PHASES.length)))
  for (const command of ['reconcile', 'backfill'].slice(0, runs(1, 2)))
    test(`${command}: SIGINT while ${phase} does not answer`, async (t) => {
      const server = await startGenesysServer();
      const folder = await mkdtemp(join(tmpdir(), 'interrupt-'));
      t.after(async () => {
        await server.close();
        await rm(folder, { recursive: true, force: true });
      });
      server.analytics.pendingPolls = 0;
      server.addRecording({ recordingId: 'r', conversationId: 'c', startTime: `${DAY}T10:00:00.000Z` });
      server.analyze({ conversationId: 'c', start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
      server.fault(phase, 'stall-after-0K', 100);
      const env = { ...server.environment(), ARCHIVE_URL: `file:${join(folder, 'archive')}` };
      const child = startCommand([command, '--from', DAY, '--to', DAY], env);
      const ended = once(child, 'close');
      const [stderr] = [text(child.stderr), child.stdout.resume()];
      await server.reached(phase, 1, AbortSignal.timeout(300_000));
      child.kill('SIGINT');
      assert.deepEqual(await ended, [130, null], await stderr);
      assert.match(await stderr, /Run the same line again/);
      const staged = await readdir(join(folder, 'archive', 'staging')).catch(() => []);
      assert.deepEqual(
        staged.filter((name) => name.startsWith('run.')),
        [],
        'no mark of a run is left',
      );
      assert.deepEqual(await readdir(join(folder, 'archive', 'proofs')).catch(() => []), [], 'and no proof of a part');
    });

test('replay: SIGINT while the media do not come leaves the failure as it is on record, and nothing half', async (t) => {
  const server = await startGenesysServer();
  const folder = await mkdtemp(join(tmpdir(), 'interrupt-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const recording = { recordingId: 'r', conversationId: 'c' };
  const files = [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }];
  server.addRecording({ ...recording, startTime: `${DAY}T10:00:00.000Z`, files });
  server.fault('media:r:0', 'stall-after-64K', 100);
  const path = join(folder, 'archive');
  const archive = openFolderArchive({ path, linkKeys: [], publicUrl: 'http://localhost' });
  const signal = AbortSignal.timeout(300_000);
  await archive.recordFailure(recording, failureOf(recording), signal);
  const child = startCommand(['replay'], { ...server.environment(), ARCHIVE_URL: `file:${path}` });
  const ended = once(child, 'close');
  const [stderr] = [text(child.stderr), child.stdout.resume()];
  await server.reached('media:r:0', 1, signal);
  child.kill('SIGINT');
  assert.deepEqual(await ended, [130, null], await stderr);
  assert.match(await stderr, /Run the same line again/);
  assert.deepEqual(await archive.failureOf(recording, signal), failureOf(recording));
  assert.equal(await archive.find(recording, signal), undefined);
  assert.deepEqual(await readdir(join(path, 'staging')).catch(() => []), []);
});

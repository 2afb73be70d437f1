/** A recording that kills the process each time it is fetched: two crashes, then it is on record and passed over, and the rest is archived. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { startCommand } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';

const DAY = '2026-11-25';
const OTHERS = ['r1', 'r2', 'r3'];

/** As if it lay there for ten minutes: a run that is killed renews nothing. */
async function age(staging: string): Promise<readonly string[]> {
  const names = await readdir(staging);
  const before = new Date(Date.now() - 10 * 60_000);
  for (const name of names) await utimes(join(staging, name), before, before);
  return names;
}

for (const [what, more, isMarked] of [
  ['that is started again', {}, false],
  ['that its platform starts again', { CLOUD_RUN_TASK_ATTEMPT: '1' }, true],
] as const)
  test(`a recording that kills a backfill ${what} is passed over, on record, and the rest is archived`, async (t) => {
    const server = await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } });
    const folder = await mkdtemp(join(tmpdir(), 'poison-'));
    t.after(async () => {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    });
    server.analytics.pendingPolls = 0;
    for (const recordingId of ['poison', ...OTHERS]) {
      const conversationId = `c-${recordingId}`;
      const files = [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }];
      server.addRecording({ recordingId, conversationId, startTime: `${DAY}T10:00:00.000Z`, files });
      server.analyze({ conversationId, start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
    }
    const path = join(folder, 'archive');
    const env = { ...server.environment(), ARCHIVE_URL: `file:${path}`, LOG_LEVEL: 'error', ...more };
    let crashes = 0;
    const run = async (): Promise<number | null> => {
      const child = startCommand(['backfill', '--from', DAY, '--to', DAY], env);
      server.organization.onRequest = (route) => {
        if (route.startsWith('media:poison') && child.exitCode === null) crashes += child.kill('SIGKILL') ? 1 : 0;
      };
      const [[code]] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
      server.organization.onRequest = undefined;
      return code as number | null;
    };
    assert.equal(await run(), null, 'killed');
    const marks = await age(join(path, 'staging'));
    assert.equal(marks.includes('trying.c-poison.poison'), isMarked, marks.join());
    if (!isMarked) {
      assert.equal(await run(), null, 'killed once more');
      assert.ok((await age(join(path, 'staging'))).includes('trying.c-poison.poison'));
    }
    assert.equal(await run(), 3, 'to its end, with one that failed');
    assert.equal(crashes, isMarked ? 1 : 2);
    const record = JSON.parse(await readFile(join(path, 'failures', 'c-poison.poison.json'), 'utf8')) as object;
    assert.equal('code' in record && record.code, 'internal');
    assert.match(JSON.stringify(record), /The process ended while it worked on this recording/);
    for (const id of OTHERS) await readFile(join(path, 'recordings', `c-${id}`, id, 'manifest.json'));
    assert.deepEqual(await readdir(join(path, 'staging')), []);
    assert.equal(await run(), 3, 'passed over from then on');
    assert.equal(crashes, isMarked ? 1 : 2);
  });

/** A hold, a release or a retirement that is killed at any step: the same line again ends it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { holdsOn } from '../../src/archive/holds.ts';
import { writeProof, writeReading } from '../../src/archive/proofs.ts';
import { openFolderScene, runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, startCommand } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { runs } from '../support/soak.ts';

const signal = (): AbortSignal => AbortSignal.timeout(500_000);
const HANG_GUARD = { timeout: 560_000 };
const PROGRAM = join(import.meta.dirname, '../support/commands/killing-cli.ts');

/** Its exit code; null where it was killed. */
async function runKilled(
  at: number,
  line: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number | null> {
  const child = spawn(process.execPath, [PROGRAM, String(at), ...line], {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], ...env },
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}

test(
  'a hold and its release, killed at each change of the folder: again, and it is held whole, or free without a trace',
  HANG_GUARD,
  async (t) => {
    const scene = await openFolderScene();
    t.after(() => scene.close());
    const step = runs(17, 1);
    for (const kind of ['hold', 'release'] as const)
      for (let at = 1, code: number | null = null; code === null; at += step) {
        const recording = { recordingId: `${kind}${String(at)}`, conversationId: 'c1' };
        await scene.store(recording);
        const before = await scene.names();
        const hold = ['hold', 'K', '--recording', `c1/${recording.recordingId}`, '--reason', 'x'];
        const release = ['hold', 'K', '--recording', `c1/${recording.recordingId}`, '--release'];
        if (kind === 'release') await scene.run(...hold);
        code = await runKilled(at, kind === 'hold' ? hold : release, scene.env);
        assert.ok(code === null || code === 0, String(code));
        if (kind === 'release') assert.equal((await scene.run(...release)).code, 0, 'the same line ends it');
        const erased = await scene.run('erase', '--recording', `c1/${recording.recordingId}`, '--json');
        const isHeld = (await holdsOn(recording, scene.archive.notes, signal())).length > 0;
        assert.ok(!isHeld || erased.code === 4, 'whatever is on record as held is not erased');
        assert.equal((await scene.run(...hold)).code, 0);
        assert.ok((await scene.names()).includes(`recordings/c1/${recording.recordingId}/held`));
        assert.equal((await scene.run(...release)).code, 0);
        assert.deepEqual(
          (await scene.names()).filter((name) => !name.startsWith('staging/')),
          before.filter((name) => !name.startsWith('staging/')),
        );
      }
  },
);

test(
  'retire, killed at each request to Genesys: the next run ends it, and each recording is asked for twice at most',
  HANG_GUARD,
  async (t) => {
    const [scene, genesys] = [
      await openFolderScene(),
      await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } }),
    ];
    t.after(async () => {
      await genesys.close();
      await scene.close();
    });
    const env = { ...genesys.environment(), ...scene.env };
    let killed = 0;
    for (let at = 2; ; at += runs(7, 1)) {
      const day = new Date(Date.UTC(2026, 0, 1) + at * 86_400_000).toISOString().slice(0, 10);
      const ids = ['a', 'b', 'c'].map((id) => `${id}${String(at)}`);
      for (const recordingId of ids) {
        await scene.store({ recordingId, conversationId: `c-${recordingId}` }, { recordedAt: `${day}T10:00:00.000Z` });
        genesys.addRecording({
          recordingId,
          conversationId: `c-${recordingId}`,
          files: [],
          extra: { deleteDate: undefined },
        });
      }
      const { notes } = scene.archive;
      await writeProof('complete', { day, verdict: 'complete' }, { notes, at: new Date() }, signal());
      const run = { part: { part: 1, of: 1 }, days: [day, day], recordings: 3, findings: 0, damagedDays: [] } as const;
      await writeReading(run, { notes, at: new Date(), service: '0' }, signal());
      const range = ['retire', '--from', day, '--to', day];
      const already = genesys.requests().length;
      const child = startCommand([...range, '--confirm', '3'], env);
      const ended = once(child, 'close');
      child.stdout.resume();
      child.stderr.resume();
      const reached = new AbortController();
      await Promise.race([genesys.reached('*', already + at, reached.signal).catch(() => undefined), ended]);
      reached.abort();
      child.kill('SIGKILL');
      const [code] = (await ended) as [number | null];
      if (code === null) killed += 1;
      const plan = linesOf(await runInProcess([...range, '--json'], env)).at(-1);
      const again = await runInProcess([...range, '--confirm', String(plan?.['toChange'])], env);
      assert.equal(again.code, 0, again.stdout + again.stderr);
      assert.equal(linesOf(await runInProcess([...range, '--json'], env)).at(-1)?.['toChange'], 0);
      for (const id of ids) {
        const puts = genesys.requests(`restore:${id}`).length;
        assert.ok(puts >= 1 && puts <= 2, `${id}: ${String(puts)} requests`);
      }
      if (code !== null) break;
    }
    assert.ok(killed >= 2, String(killed));
  },
);

/** A permission that is missing at one single request of an act: it ends cleanly, says what is missing, nothing is half, and the next run ends it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { holdsOn } from '../../src/archive/holds.ts';
import { verifyStored } from '../../src/archive/verify.ts';
import { detailsName } from '../../src/archive/details.ts';
import { type ArchiveScene, openBucketScene } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { runs } from '../support/soak.ts';

const signal = (): AbortSignal => AbortSignal.timeout(runs(500_000, 2_900_000));
const HANG_GUARD = { timeout: runs(560_000, 3_000_000) };
const CANARY = '+491709876543';

type Subject = { readonly recordingId: string; readonly conversationId: string };

async function setUp(t: TestContext): Promise<ArchiveScene> {
  const scene = await openBucketScene();
  t.after(() => scene.close());
  return scene;
}

/** Of all requests of `work` the one at that place is refused; false where it made fewer. */
async function deniedAt(
  { server }: ArchiveScene,
  at: number,
  work: () => Promise<Printed>,
): Promise<{ readonly printed: Printed; readonly isReached: boolean }> {
  assert.ok(server !== undefined);
  let count = 0;
  server.gate = () => {
    count += 1;
    return count === at ? { kind: 'return', status: 403, afterBytes: undefined } : undefined;
  };
  const printed = await work();
  server.gate = undefined;
  return { printed, isReached: count >= at };
}

/** 0, or a reason with what to grant; 4 where something else forbade it. Never a stack. */
function assertClean({ code, stdout, stderr }: Printed, at: number): void {
  assert.ok(code === 0 || code === 1 || code === 4, `at ${String(at)}: ${String(code)} ${stdout}${stderr}`);
  assert.doesNotMatch(stderr, /^\s+at /m, `at ${String(at)}`);
  assert.doesNotMatch(stderr, /^internal:/m, `at ${String(at)}`);
  if (code === 1) assert.match(stderr, /grant it|role|permission/i, `at ${String(at)}: ${stderr}`);
}

async function isWhole({ archive }: ArchiveScene, recording: Subject): Promise<boolean> {
  const found = await archive.find(recording, signal()).catch((thrown: unknown) => {
    assert.equal((thrown as { code?: string }).code, 'erased');
    return undefined;
  });
  if (found === undefined) return false;
  assert.deepEqual(await verifyStored(archive, recording, signal()), []);
  return true;
}

test('erase, denied at each single request', HANG_GUARD, async (t) => {
  const scene = await setUp(t);
  for (let at = 1; ; at += runs(7, 1)) {
    const recording = { recordingId: `r${String(at)}`, conversationId: `c${String(at)}` };
    await scene.store(recording);
    await scene.archive.notes.replace(detailsName(recording.conversationId), `{"ani":"${CANARY}"}`, signal());
    const line = ['erase', '--conversation', recording.conversationId, '--reason', 'x', '--confirm'];
    const { printed, isReached } = await deniedAt(scene, at, () => scene.run(...line, '2'));
    assertClean(printed, at);
    await isWhole(scene, recording);
    const plan = linesOf(await scene.run('erase', '--conversation', recording.conversationId, '--json')).at(-1);
    const again = await scene.run(...line, String(plan?.['toErase']));
    assert.equal(again.code, 0, `after ${String(at)}: ${again.stdout}${again.stderr}`);
    assert.equal(await isWhole(scene, recording), false);
    assert.ok(!(await scene.everything()).includes(CANARY), `after ${String(at)}`);
    if (!isReached) break;
  }
});

test('hold and release, denied at each single request', HANG_GUARD, async (t) => {
  const scene = await setUp(t);
  for (let at = 1, isOver = false; !isOver; at += runs(5, 1)) {
    const recording = { recordingId: `r${String(at)}`, conversationId: `c${String(at)}` };
    await scene.store(recording);
    const name = `K${String(at)}`;
    const hold = (): Promise<Printed> =>
      scene.run('hold', name, '--conversation', recording.conversationId, '--reason', 'x');
    const held = await deniedAt(scene, at, hold);
    assertClean(held.printed, at);
    if (held.printed.code === 0)
      assert.equal((await holdsOn(recording, scene.archive.notes, signal())).length, 1, 'held is held');
    assert.equal((await hold()).code, 0, `after ${String(at)}`);
    const erase = ['erase', '--conversation', recording.conversationId, '--reason', 'x', '--confirm', '2'];
    assert.equal((await scene.run(...erase)).code, 4, `held at ${String(at)}`);
    const release = (): Promise<Printed> => scene.run('hold', name, '--release');
    const released = await deniedAt(scene, at, release);
    assertClean(released.printed, at);
    // Released, or still held as a whole: then the next run releases it.
    if (released.printed.code !== 0) await release();
    assert.deepEqual(await holdsOn(recording, scene.archive.notes, signal()), []);
    assert.equal(await isWhole(scene, recording), true);
    assert.equal((await scene.run(...erase)).code, 0, `after ${String(at)}`);
    isOver = !held.isReached && !released.isReached;
  }
});

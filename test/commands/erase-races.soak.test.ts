/** Holds, workers and kills against erasures: whoever is first, a recording is archived, held or erased, never two at once and never half. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { isErased } from '../../src/archive/erased.ts';
import { flagAllHeld, holdsOn } from '../../src/archive/holds.ts';
import { verifyStored } from '../../src/archive/verify.ts';
import type { Recording } from '../../src/recording.ts';
import { bytesOf, manifestOf, sourceOf } from '../support/archive/content.ts';
import { type ArchiveScene, openKnownBucketScene, SCENES } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed, startCommand } from '../support/commands/run.ts';
import { replaceCall } from '../support/archive/failing-fs.ts';
import { runs, SEED, seeded } from '../support/soak.ts';

const signal = (): AbortSignal => AbortSignal.timeout(runs(500_000, 2_900_000));
const HANG_GUARD = { timeout: runs(560_000, 3_000_000) };

type Condition = 'archived' | 'held' | 'erased';

/** What holds of a recording now; throws where it is two things at once, or half of one. */
async function conditionOf(scene: ArchiveScene, recording: Recording): Promise<Condition> {
  const { archive } = scene;
  const { recordingId, conversationId } = recording;
  const there = await archive.find(recording, signal()).then(
    (manifest) => (manifest === undefined ? 'nothing' : 'whole'),
    (thrown: unknown) => (thrown as { code?: string }).code ?? 'unknown',
  );
  const isMarked = await isErased(recording, archive.notes, signal());
  const all = await holdsOn(recording, archive.notes, signal());
  // A hold of its conversation stays for what is left of that.
  const holds = all.filter((hold) => there === 'whole' || hold.recordingId !== null).length;
  const left = (await scene.names()).filter((name) =>
    name.startsWith(`recordings/${conversationId ?? '_'}/${recordingId}/`),
  );
  const seen = JSON.stringify({ there, isMarked, holds, left });
  if (there === 'whole') {
    assert.deepEqual(await verifyStored(archive, recording, signal()), [], seen);
    assert.equal(isMarked, false, seen);
    return holds > 0 ? 'held' : 'archived';
  }
  assert.equal(there, 'erased', seen);
  assert.deepEqual([holds, left], [0, []], seen);
  return 'erased';
}

async function erase(scene: ArchiveScene, what: readonly string[]): Promise<Printed> {
  const plan = linesOf(await scene.run('erase', ...what, '--json')).at(-1);
  return scene.run('erase', ...what, '--reason', 'x', '--confirm', String(plan?.['toErase']), '--json');
}

for (const [where, open] of [...SCENES, ['a bucket whose names are known', openKnownBucketScene] as const]) {
  test(
    `in ${where}: a hold races an erasure (operators 8): never erased while a hold lies, never half erased`,
    HANG_GUARD,
    async (t) => {
      const scene = await open();
      t.after(() => scene.close());
      const random = seeded(SEED);
      if (scene.server !== undefined)
        scene.server.gate = () => ({ kind: 'call', run: () => turns(Math.floor(random() * 12)) });
      const ends = new Map<string, number>();
      for (let race = 0; race < runs(12, 200); race += 1) {
        const recording = { recordingId: `r${String(race)}`, conversationId: `c${String(race)}` };
        await scene.store(recording);
        const key = `c${String(race)}/r${String(race)}`;
        const target = race % 2 === 0 ? ['--recording', key] : ['--conversation', recording.conversationId];
        const [late, lateBy] = [random() < 0.8, Math.floor(random() ** 2 * (scene.kind === 'folder' ? 12_000 : 400))];
        const [held, erased] = await Promise.all([
          turns(late ? lateBy : 0).then(() => scene.run('hold', 'K', ...target, '--reason', 'x')),
          turns(late ? 0 : lateBy / 4).then(() =>
            scene.run('erase', '--recording', key, '--reason', 'x', '--confirm', '1'),
          ),
        ]);
        const condition = await conditionOf(scene, recording);
        const end = `hold ${String(held.code)}, erase ${String(erased.code)}: ${condition}`;
        ends.set(end, (ends.get(end) ?? 0) + 1);
        const fair = ['hold 0, erase 4: held', 'hold 4, erase 0: erased', 'hold 4, erase 4: archived'];
        assert.ok(fair.includes(end), `${end}\n${held.stdout}${held.stderr}${erased.stdout}${erased.stderr}`);
      }
      t.diagnostic(JSON.stringify(Object.fromEntries(ends)));
    },
  );

  test(
    `in ${where}: a worker commits at each step of an erasure (operators 9): gone after at most one more run`,
    HANG_GUARD,
    async (t) => {
      const scene = await open();
      t.after(() => scene.close());
      const steps = new Steps(scene, t);
      const every = runs(scene.kind === 'folder' ? 7 : 23, 1);
      for (let at = 1; ; at += every) {
        const recording = { recordingId: `r${String(at)}`, conversationId: `c${String(at)}` };
        if (at % 2 === 0) await scene.store(recording);
        const commit = await beginWork(scene, recording);
        const reached = await steps.during(
          at,
          () => erase(scene, ['--conversation', recording.conversationId]),
          commit,
        );
        if (!reached) break;
        await erase(scene, ['--conversation', recording.conversationId]);
        assert.equal(await conditionOf(scene, recording), 'erased', `at step ${String(at)}`);
        await assert.rejects(scene.store(recording), { code: 'erased' }, 'a redelivered event');
      }
      const left = (await scene.names()).filter((name) => /^(recordings|staging|days|failures|waiting)\//.test(name));
      assert.deepEqual(left, [], 'nothing of what was in the middle is left');
    },
  );

  test(
    `in ${where}: a hold comes at each step of an erasure (operators 8): it wins whole, or is too late and says so`,
    HANG_GUARD,
    async (t) => {
      const scene = await open();
      t.after(() => scene.close());
      const steps = new Steps(scene, t);
      const ends = new Map<string, number>();
      for (let at = 1; ; at += runs(scene.kind === 'folder' ? 5 : 13, 1)) {
        const recording = { recordingId: `r${String(at)}`, conversationId: `c${String(at)}` };
        await scene.store(recording);
        const key = `${recording.conversationId}/${recording.recordingId}`;
        const target = at % 2 === 0 ? ['--recording', key] : ['--conversation', recording.conversationId];
        const codes: (number | null)[] = [];
        const reached = await steps.during(
          at,
          async () =>
            codes.push((await scene.run('erase', '--recording', key, '--reason', 'x', '--confirm', '1')).code),
          async () => void codes.unshift((await scene.run('hold', 'K', ...target, '--reason', 'x')).code),
        );
        const end = `hold ${String(codes.at(0))}, erase ${String(codes.at(-1))}: ${await conditionOf(scene, recording)}`;
        ends.set(end, (ends.get(end) ?? 0) + 1);
        if (!reached) break;
        const fair = ['hold 0, erase 4: held', 'hold 4, erase 0: erased', 'hold 4, erase 4: archived'];
        assert.ok(fair.includes(end), `${end} at step ${String(at)}`);
      }
      t.diagnostic(JSON.stringify(Object.fromEntries(ends)));
    },
  );

  test(
    `in ${where}: a conversation is held at each step of the archiving of its recording: what comes is held, and flagged by the next look`,
    HANG_GUARD,
    async (t) => {
      const scene = await open();
      t.after(() => scene.close());
      const steps = new Steps(scene, t);
      for (let at = 1; ; at += runs(scene.kind === 'folder' ? 3 : 4, 1)) {
        const recording = { recordingId: `r${String(at)}`, conversationId: `c${String(at)}` };
        const commit = await beginWork(scene, recording);
        const reached = await steps.during(at, commit, async () => {
          const held = await scene.run('hold', 'K', '--conversation', recording.conversationId, '--reason', 'x');
          assert.equal(held.code, 0, held.stdout + held.stderr);
        });
        assert.equal(await conditionOf(scene, recording), 'held', `at step ${String(at)}`);
        const refused = await erase(scene, ['--recording', `${recording.conversationId}/${recording.recordingId}`]);
        assert.equal(refused.code, 4, `held at step ${String(at)}: ${refused.stdout}`);
        await flagAllHeld(scene.archive, signal());
        const found = linesOf(await scene.run('verify', '--json')).filter(({ type }) => type === 'finding');
        assert.deepEqual(found, [], `at step ${String(at)}`);
        if (!reached) break;
      }
    },
  );

  test(
    `in ${where}: killed at each step (operators 10), the next run ends the erasure, and nothing is half`,
    HANG_GUARD,
    async (t) => {
      const scene = await open();
      t.after(() => scene.close());
      let [killed, ended] = [0, false];
      for (let at = 1; !ended; at += runs(scene.kind === 'folder' ? 29 : 71, 1)) {
        const [one, two] = ['r1', 'r2'].map((id) => ({
          recordingId: `${id}-${String(at)}`,
          conversationId: `c${String(at)}`,
        }));
        assert.ok(one !== undefined && two !== undefined);
        for (const recording of [one, two]) await scene.store(recording);
        const line = ['erase', '--conversation', one.conversationId, '--reason', 'x', '--confirm', '3', '--quiet'];
        ended = await runKilled(scene, line, at);
        if (!ended) killed += 1;
        for (const recording of [one, two]) await neverHalf(scene, recording);
        const again = await erase(scene, ['--conversation', one.conversationId]);
        assert.equal(again.code, 0, again.stdout + again.stderr);
        for (const recording of [one, two])
          assert.equal(await conditionOf(scene, recording), 'erased', `killed at ${String(at)}`);
      }
      assert.ok(killed >= 3, `${String(killed)} kills`);
      assert.equal((await scene.run('audit', '--json')).code, 0);
      const left = (await scene.names()).filter((name) => !/^(erased|audit|staging\/text\.)/.test(name));
      assert.deepEqual(left, []);
    },
  );
}

/** Visible is only what is whole; what a killed erasure left of the rest answers as erased. */
async function neverHalf({ archive }: ArchiveScene, recording: Recording): Promise<void> {
  try {
    const manifest = await archive.find(recording, signal());
    assert.ok(manifest !== undefined, 'it is there, or erased');
    assert.deepEqual(await verifyStored(archive, recording, signal()), []);
  } catch (thrown) {
    assert.equal((thrown as { code?: string }).code, 'erased', String(thrown));
  }
}

async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await nextTurn();
}

/** A worker that has everything but the commit. */
async function beginWork({ archive }: ArchiveScene, recording: Recording): Promise<() => Promise<void>> {
  const deposit = await archive.begin(recording, signal());
  const original = await deposit.original(0, 1, 'opus', 'audio/ogg');
  const bytes = bytesOf('worker', 500);
  await original.write(bytes);
  await deposit.clusters.write(bytesOf(recording.recordingId, 400_000));
  return async () => {
    const source = sourceOf(bytes, original.name);
    const head = bytesOf('head', 90);
    // Whether it comes in time, or is refused, or its staged files are gone by then: all of these may be.
    await deposit
      .commit(head, 'audio/webm', (stored) => manifestOf(recording, stored, { sources: [source] }))
      .catch(() => undefined);
    await deposit[Symbol.asyncDispose]();
  };
}

/** Changes of a folder, requests to a bucket: at one of them something else happens first. */
class Steps {
  #count = 0;
  #at = 0;
  #meanwhile: (() => Promise<void>) | undefined;

  constructor({ server }: ArchiveScene, t: TestContext) {
    const step = (): Promise<void> => this.#step();
    if (server !== undefined) server.gate = () => ({ kind: 'call', run: step });
    else
      for (const name of ['rename', 'link', 'unlink', 'mkdir'] as const)
        replaceCall(t, name, async (real, ...args) => {
          await step();
          return real(...args);
        });
  }

  /** Whether `work` came as far as that step. */
  async during(at: number, work: () => Promise<unknown>, meanwhile: () => Promise<void>): Promise<boolean> {
    [this.#count, this.#at, this.#meanwhile] = [0, at, meanwhile];
    await work();
    const reached = this.#meanwhile === undefined;
    await this.#meanwhile?.();
    this.#meanwhile = undefined;
    return reached;
  }

  async #step(): Promise<void> {
    this.#count += 1;
    if (this.#count !== this.#at || this.#meanwhile === undefined) return;
    const meanwhile = this.#meanwhile;
    this.#meanwhile = undefined;
    await meanwhile();
  }
}

/** True where it came to its end before that step. */
async function runKilled(scene: ArchiveScene, line: readonly string[], at: number): Promise<boolean> {
  const { server, env } = scene;
  if (server === undefined) {
    const program = join(import.meta.dirname, '../support/commands/killing-cli.ts');
    const child = spawn(process.execPath, [program, String(at), ...line], {
      stdio: 'ignore',
      env: { PATH: process.env['PATH'], ...env },
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return code === 0;
  }
  const child = startCommand(line, env);
  const ended = once(child, 'close');
  child.stdout.resume();
  child.stderr.resume();
  let count = 0;
  // Of two kills one comes before what was asked for is done, the other behind it.
  server.gate = () => {
    count += 1;
    if (count < at) return undefined;
    child.kill('SIGKILL');
    return at % 2 === 0 || count > at ? { kind: 'reset', afterBytes: undefined } : undefined;
  };
  const [code] = (await ended) as [number | null];
  server.gate = undefined;
  return code === 0;
}

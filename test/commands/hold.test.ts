import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { erasedMark } from '../../src/archive/erased.ts';
import { holdsOn } from '../../src/archive/holds.ts';
import { type ArchiveScene, SCENES } from '../support/commands/archive-scene.ts';
import { linesOf } from '../support/commands/run.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);
const R1 = { recordingId: 'r1', conversationId: 'c1' };
const R2 = { recordingId: 'r2', conversationId: 'c1' };

/** Names under recordings/ that can neither be removed nor replaced. */
async function flagged(scene: ArchiveScene): Promise<readonly string[]> {
  if (scene.kind === 'folder')
    return (await scene.names()).flatMap((name) => (name.endsWith('/held') ? [name.slice(0, -'/held'.length)] : []));
  const held = scene.server?.store.generations().filter(({ temporaryHold }) => temporaryHold) ?? [];
  return [...new Set(held.map(({ name }) => name.split('/').slice(1, -1).join('/')))];
}

for (const [where, open] of SCENES)
  describe(`in ${where}`, () => {
    const check = (sentence: string, run: (scene: ArchiveScene) => Promise<void>): void => {
      test(sentence, { timeout: 200_000 }, async () => {
        const scene = await open();
        try {
          await run(scene);
        } finally {
          await scene.close();
        }
      });
    };

    check(
      'of two cases one is released: the other one still holds, and the flag stays until the last',
      async (scene) => {
        await scene.store(R1);
        const before = await scene.names();
        assert.equal((await scene.run('hold', 'K-1', '--recording', 'c1/r1', '--reason', 'a letter')).code, 0);
        assert.equal((await scene.run('hold', 'K-2', '--conversation', 'c1', '--reason', 'another')).code, 0);
        assert.deepEqual(await flagged(scene), ['recordings/c1/r1']);
        const released = await scene.run('hold', 'K-1', '--release');
        assert.equal(released.code, 0);
        assert.match(released.stdout, /^released {2}c1\/r1 {2}still held by K-2$/m);
        assert.deepEqual(await flagged(scene), ['recordings/c1/r1']);
        assert.deepEqual(
          (await holdsOn(R1, scene.archive.notes, signal())).map((hold) => hold.case),
          ['K-2'],
        );
        assert.equal((await scene.run('hold', 'K-2', '--release')).code, 0);
        assert.deepEqual(await flagged(scene), []);
        assert.deepEqual(await scene.names(), before, 'nothing is left of holds that were released');
      },
    );

    check('a release that was cut off once its note was gone is ended by the same line', async (scene) => {
      await scene.store(R1);
      await scene.store(R2);
      for (const recording of ['c1/r1', 'c1/r2'])
        assert.equal((await scene.run('hold', 'K', '--recording', recording, '--reason', 'x')).code, 0);
      assert.equal((await scene.run('hold', 'K', '--release', '--recording', 'c1/r1')).code, 0);
      // As a look at all holds leaves it that read the note just before it went.
      await scene.archive.flag(R1, true, signal());
      const both = ['hold', 'K', '--release', '--recording', 'c1/r1,c1/r2'];
      const ended = await scene.run(...both);
      assert.equal(ended.code, 0, ended.stdout + ended.stderr);
      assert.match(
        ended.stdout,
        /^released {2}c1\/r2$\n^released before {2}c1\/r1$\n\n1 released .*, 1 were before\.$/m,
      );
      assert.deepEqual(await flagged(scene), []);
      await scene.archive.flag(R2, true, signal());
      const all = await scene.run('hold', 'K', '--release', '--json');
      assert.equal(all.code, 0, all.stdout + all.stderr);
      assert.deepEqual(
        linesOf(all).map(({ type, recordingId, before }) => [type, recordingId, before]),
        [
          ['released', 'r1', true],
          ['released', 'r2', true],
          ['summary', undefined, 2],
        ],
      );
      assert.deepEqual(await flagged(scene), []);
      for (const never of [
        ['L', '--release'],
        ['K', '--release', '--recording', 'c1/r3'],
      ])
        assert.equal((await scene.run('hold', ...never)).code, 4, never.join(' '));
      const held = await scene.run('hold', 'L', '--recording', 'c1/r1', '--reason', 'y');
      assert.equal(held.code, 0);
      assert.match(
        (await scene.run('hold', 'K', '--release')).stdout,
        /^released before {2}c1\/r1 {2}still held by L$/m,
      );
      assert.deepEqual(await flagged(scene), ['recordings/c1/r1']);
    });

    check('a conversation is held with what comes later; held twice is held once', async (scene) => {
      const early = await scene.run('hold', 'K', '--conversation', 'c1', '--reason', 'x');
      assert.equal(early.code, 0);
      assert.match(early.stdout, /^held {10}c1 {2}nothing of it is archived: what comes is held$/m);
      await scene.store(R1);
      await scene.store(R2);
      assert.equal((await holdsOn(R2, scene.archive.notes, signal())).length, 1);
      const again = await scene.run('hold', 'K', '--conversation', 'c1', '--reason', 'y');
      assert.equal(again.code, 0);
      assert.match(again.stdout, /^held before {3}c1$/m);
      assert.deepEqual((await flagged(scene)).toSorted(), ['recordings/c1/r1', 'recordings/c1/r2']);
      const [hold] = await holdsOn(R1, scene.archive.notes, signal());
      assert.equal(hold?.reason, 'x', 'the first reason stays');
    });

    check('what is held is listed with its case, since when, by whom and why, in one line each', async (scene) => {
      await scene.run('hold', 'K-1', '--recording', 'c1/r1,_/m7', '--reason', 'on\nrequest "of"\u001B[31m');
      const all = await scene.run('hold', '--list');
      assert.equal(all.stdout.trimEnd().split('\n').length, 4, all.stdout);
      assert.match(all.stdout, /^K-1 {2}_\/m7 {2}\S+Z {2}command:\S+ {2}"on\\nrequest \\"of\\"\\u001b\[31m"$/m);
      const lines = linesOf(await scene.run('hold', 'K-1', '--list', '--json'));
      assert.deepEqual(
        lines.map(({ type, recordingId }) => [type, recordingId]),
        [
          ['hold', 'm7'],
          ['hold', 'r1'],
          ['summary', undefined],
        ],
      );
      assert.match((await scene.run('hold', 'K-9', '--list')).stdout, /Nothing is held/);
    });

    check(
      'a hold that comes too late says so with exit code 4, holds nothing, and is on record as refused',
      async (scene) => {
        const mark = {
          version: 1,
          conversationId: 'c1',
          recordingId: 'r1',
          reason: 'x',
          by: 'y',
          erasedAt: '2026-11-28T10:00:00Z',
        };
        await scene.archive.notes.create('erased/c1.r1.json', JSON.stringify(mark), signal());
        await scene.store(R2);
        const late = await scene.run('hold', 'K', '--recording', 'c1/r1', '--reason', 'x');
        assert.equal(late.code, 4, late.stdout + late.stderr);
        assert.match(late.stdout, /^too late {6}c1\/r1$/m);
        assert.deepEqual(await holdsOn(R1, scene.archive.notes, signal()), []);
        const whole = await scene.run('hold', 'K', '--conversation', 'c1', '--reason', 'x');
        assert.equal(whole.code, 4);
        assert.match(whole.stdout, /^held {10}c1$\n^too late {6}c1\/r1$/m, 'the rest of the conversation is held');
        assert.deepEqual(await flagged(scene), ['recordings/c1/r2']);
        const audit = linesOf(await scene.run('audit', '--json')).map(({ action }) => action);
        assert.deepEqual(audit.slice(0, 3), ['held', 'refused', 'held']);
      },
    );

    check('an erasure that was begun on what is still there is taken back by a hold', async (scene) => {
      await scene.store(R1);
      const mark = {
        version: 1,
        conversationId: 'c1',
        recordingId: 'r1',
        reason: 'x',
        by: 'y',
        erasedAt: '2026-11-28T10:00:00Z',
      };
      await scene.archive.notes.create('erased/c1.r1.json', JSON.stringify(mark), signal());
      const held = await scene.run('hold', 'K', '--recording', 'c1/r1', '--reason', 'x');
      assert.equal(held.code, 0, held.stdout + held.stderr);
      assert.equal(await erasedMark(R1, scene.archive.notes, signal()), undefined);
      assert.deepEqual(await flagged(scene), ['recordings/c1/r1']);
    });

    check('a file names many, one a line', async (scene) => {
      const file = join(tmpdir(), `targets-${String(process.pid)}-${scene.kind}.txt`);
      await writeFile(file, '\uFEFF# for the case\r\nc1\r\n\r\n  c2/r2  \nc2/r2\n_/r3\n');
      const held = linesOf(await scene.run('hold', 'K', '--file', file, '--reason', 'x', '--json'));
      assert.deepEqual(held.at(-1), { type: 'summary', case: 'K', held: 3, already: 0, tooLate: 0, exit: 0 });
      await writeFile(file, 'c1\nc2/../r2\n');
      const wrong = await scene.run('hold', 'K2', '--file', file, '--reason', 'x');
      assert.equal(wrong.code, 2);
      assert.match(wrong.stderr, /line 2: expected CONVERSATION or CONVERSATION\/RECORDING/);
      assert.match((await scene.run('hold', 'K2', '--list')).stdout, /Nothing/, 'not even the line that was right');
    });

    const refused: readonly (readonly [readonly string[], RegExp])[] = [
      [['../recordings', '--conversation', 'c1', '--reason', 'x'], /cannot name a case/],
      [['a/b', '--conversation', 'c1', '--reason', 'x'], /cannot name a case/],
      [['a b', '--conversation', 'c1', '--reason', 'x'], /cannot name a case/],
      [['.hidden', '--conversation', 'c1', '--reason', 'x'], /cannot name a case/],
      [['case.', '--conversation', 'c1', '--reason', 'x'], /cannot name a case/],
      [['ü', '--conversation', 'c1', '--reason', 'x'], /cannot name a case/],
      [['x'.repeat(101), '--conversation', 'c1', '--reason', 'x'], /cannot name a case/],
      [['--conversation', 'c1', '--reason', 'x'], /name of a case is needed/],
      [['K', 'L', '--conversation', 'c1', '--reason', 'x'], /One case at a time/],
      [['K', '--reason', 'x'], /Say what to hold/],
      [['K', '--conversation', 'c1'], /--reason is needed/],
      [['K', '--conversation', 'c1', '--reason', ' \n '], /--reason is needed/],
      [['K', '--conversation', 'c1', '--reason', 'x'.repeat(10_240)], /10240 characters: at most 1000/],
      [['K', '--conversation', '../x', '--reason', 'x'], /--conversation \.\.\/x: expected the id/],
      [['K', '--conversation', '_', '--reason', 'x'], /expected the id/],
      [['K', '--recording', 'c1', '--reason', 'x'], /expected CONVERSATION\/RECORDING/],
      [['K', '--recording', 'c1/r/..', '--reason', 'x'], /expected CONVERSATION\/RECORDING/],
      [['K', '--recording', '/r1', '--reason', 'x'], /expected CONVERSATION\/RECORDING/],
      [['K', '--file', '/does/not/exist', '--reason', 'x'], /cannot be read \(ENOENT\)/],
    ];

    check('what cannot be meant is refused with what to write, and changes nothing', async (scene) => {
      for (const [args, message] of refused) {
        const printed = await scene.run('hold', ...args);
        assert.equal(printed.code, 2, `${args.join(' ')}: ${printed.stderr}`);
        assert.match(printed.stderr, message);
      }
      assert.deepEqual(await scene.names(), []);
      const nothing = await scene.run('hold', 'K', '--release');
      assert.equal(nothing.code, 4);
      assert.match(nothing.stdout, /holds nothing of that/);
    });
  });

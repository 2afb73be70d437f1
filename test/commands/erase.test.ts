import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openSqliteQueue } from '../../src/queue/sqlite/sqlite.ts';
import { holdsOn } from '../../src/archive/holds.ts';
import { erasedMark, markErased } from '../../src/archive/erased.ts';
import { detailsName, recordingNoteName, transcriptName } from '../../src/archive/details.ts';
import { partName, readIndexDay } from '../../src/archive/day-index.ts';
import { archivedRow, encodeIndexRow, failedRow } from '../../src/archive/index-row.ts';
import { failureOf } from '../support/archive/content.ts';
import { found } from '../support/archive/found.ts';
import { type ArchiveScene, runInProcess, SCENES } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';

/** What commands a terminal, breaks a line or turns it around. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

const signal = (): AbortSignal => AbortSignal.timeout(200_000);
const R1 = { recordingId: 'r1', conversationId: 'c1' } as const;
const R2 = { recordingId: 'r2', conversationId: 'c1' } as const;
const OTHER = { recordingId: 'r10', conversationId: 'c1' } as const;
const CANARY = ['+491701234567', 'Erika Musterfrau'] as const;

/** All that may be kept of a conversation with two recordings: details, transcripts, failures, lines of the index. */
async function personal(scene: ArchiveScene): Promise<void> {
  const { archive } = scene;
  const [number, name] = CANARY;
  for (const recording of [R1, R2]) {
    await scene.store(recording);
    for (const file of [recordingNoteName(recording), transcriptName(recording)])
      await archive.notes.create(file, JSON.stringify({ said: `${name} ${number}` }), signal());
    const row = archivedRow(await found(archive, recording), undefined);
    const line = encodeIndexRow({ ...row, customerNumber: number });
    await archive.notes.replace(partName('2026-03-01', recording.recordingId), `${line}\n`, signal());
  }
  const participants = [{ participantName: name, purpose: 'customer', sessions: [{ ani: `tel:${number}` }] }];
  const details = {
    version: 1,
    conversationId: 'c1',
    at: '2026-03-02T00:00:00Z',
    conversation: { conversationStart: '2026-03-01T09:00:00Z', participants },
  };
  await archive.notes.create(detailsName('c1'), JSON.stringify(details), signal());
  await archive.recordFailure(
    { recordingId: 'r3', conversationId: 'c1' },
    failureOf({ recordingId: 'r3', conversationId: 'c1' }),
    signal(),
  );
}

/** Names that belong to what was erased; the marks themselves and the audit may stay. */
async function leftOf(scene: ArchiveScene, pattern: RegExp): Promise<readonly string[]> {
  return (await scene.names()).filter((name) => pattern.test(name) && !name.startsWith('erased/'));
}

function summaryOf(printed: Printed): Readonly<Record<string, unknown>> {
  return linesOf(printed).at(-1) ?? {};
}

/** As an erasure leaves it that was killed behind it. */
async function leaveMark(
  ids: { readonly conversationId: string; readonly recordingId: string | null },
  { archive }: ArchiveScene,
  erasedAt = new Date().toISOString(),
): Promise<void> {
  const mark = { version: 1, ...ids, reason: 'x', by: 'y', erasedAt, days: [] } as const;
  await markErased(mark, archive.notes, signal());
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
      'a conversation is erased with all that is kept of it, its number and its name are nowhere, and it stays away',
      async (scene) => {
        await personal(scene);
        await scene.store({ recordingId: 'r1', conversationId: 'c2' });
        const untouched = await leftOf(scene, /c2/);
        const plan = await scene.run('erase', '--conversation', 'c1');
        assert.equal(plan.code, 0, plan.stderr);
        assert.match(
          plan.stdout,
          /--conversation c1 --reason "…" --confirm 4$/m,
          'three recordings and the conversation itself',
        );
        const erased = await scene.run('erase', '--conversation', 'c1', '--reason', 'request 17', '--confirm', '4');
        assert.equal(erased.code, 0, erased.stdout + erased.stderr);
        assert.match(erased.stdout, /^4 gone\.$/m);
        assert.deepEqual(await leftOf(scene, /c1/), []);
        const everything = await scene.everything();
        for (const canary of CANARY) assert.ok(!everything.includes(canary), canary);
        assert.deepEqual(await leftOf(scene, /c2/), untouched);
        for (const recordingId of ['r1', 'r2', 'r3', 'later']) {
          await assert.rejects(scene.archive.find({ recordingId, conversationId: 'c1' }, signal()), { code: 'erased' });
          await assert.rejects(scene.store({ recordingId, conversationId: 'c1' }), { code: 'erased' });
        }
        const again = await scene.run('erase', '--conversation', 'c1', '--json');
        assert.deepEqual([summaryOf(again)['toErase'], summaryOf(again)['before'], again.code], [0, 4, 0]);
        const acts = linesOf(await scene.run('audit', '--json')).map(({ action, recordingId = '-', about }) => [
          action,
          recordingId,
          (about as { state?: string } | undefined)?.state,
        ]);
        for (const id of ['r1', 'r2', 'r3', '-']) {
          const own = acts.filter(
            ([action, recordingId]) => recordingId === id && action !== 'looked' && action !== undefined,
          );
          assert.deepEqual(own, [
            ['erasing', id, undefined],
            ['erased', id, 'gone'],
          ]);
        }
      },
    );

    check(
      'ids that differ by capitals alone are several, and each that was named or is old goes (C9)',
      async (scene) => {
        const pairs = ['Call', 'call'].flatMap((conversationId) =>
          ['Rec', 'rec'].map((recordingId) => ({ conversationId, recordingId })),
        );
        for (const recording of pairs) await scene.store(recording);
        const old = await scene.run('erase', '--older-than', '30d', '--json');
        assert.equal(summaryOf(old)['toErase'], 4);
        const two = await scene.run('erase', '--recording', 'call/Rec,call/rec', '--reason', 'x', '--confirm', '2');
        assert.match(two.stdout, /^2 gone\.$/m, two.stdout + two.stderr);
        assert.deepEqual(await leftOf(scene, /call/), []);
        const all = await scene.run(
          'erase',
          '--conversation',
          'Call,call',
          '--reason',
          'x',
          '--confirm',
          '4',
          '--json',
        );
        assert.deepEqual([summaryOf(all)['gone'], summaryOf(all)['before'], all.code], [4, 2, 0]);
        assert.deepEqual(await leftOf(scene, /call/i), []);
      },
    );

    check('one recording of a conversation is erased; the others keep all that is theirs', async (scene) => {
      await personal(scene);
      await scene.store(OTHER);
      const before = (await scene.names()).filter((name) => !/r1(?!0)|^(erased|index)/.test(name));
      assert.equal((await scene.run('erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1')).code, 0);
      assert.deepEqual(
        (await scene.names()).filter((name) => !/^(erased|index)/.test(name)),
        before,
      );
      assert.deepEqual([...(await readIndexDay('2026-03-01', scene.archive.notes, signal())).keys()], ['c1.r2']);
      const mark = await erasedMark(R1, scene.archive.notes, signal());
      assert.match(mark?.manifestSha256 ?? '', /^[0-9a-f]{64}$/);
      assert.deepEqual([mark?.reason, mark?.days.includes('2026-03-01')], ['x', true]);
    });

    check(
      'a count that is one off, a hold, or no reason at all: exit 4 or 2, and the listing before is the listing after',
      async (scene) => {
        await personal(scene);
        const before = await scene.names();
        for (const confirm of ['3', '5', '0']) {
          const refused = await scene.run('erase', '--conversation', 'c1', '--reason', 'x', '--confirm', confirm);
          assert.equal(refused.code, 4, refused.stdout);
          assert.match(refused.stdout, /Nothing was erased: it is 4 now/);
        }
        assert.deepEqual(await scene.names(), before);
        assert.equal((await scene.run('erase', '--conversation', 'c1', '--confirm', '4')).code, 2);
        assert.equal((await scene.run('hold', 'K-1', '--recording', 'c1/r2', '--reason', 'x')).code, 0);
        const held = await scene.names();
        for (const args of [[], ['--reason', 'x', '--confirm', '3'], ['--reason', 'x', '--confirm', '4']]) {
          const refused = await scene.run('erase', '--conversation', 'c1', ...args);
          assert.equal(refused.code, 4, refused.stdout);
          assert.match(refused.stdout, /c1\/r2 {2}held by K-1/);
        }
        assert.deepEqual(await scene.names(), held);
      },
    );

    check(
      'of two cases one is released: erase still exits with 4; with the last one released it erases',
      async (scene) => {
        await scene.store(R1);
        await scene.run('hold', 'K-1', '--recording', 'c1/r1', '--reason', 'x');
        await scene.run('hold', 'K-2', '--conversation', 'c1', '--reason', 'x');
        const erase = async (): Promise<Printed> =>
          scene.run('erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1');
        assert.equal((await erase()).code, 4);
        await scene.run('hold', 'K-1', '--release');
        assert.equal((await erase()).code, 4);
        await scene.run('hold', 'K-2', '--release');
        assert.equal((await erase()).code, 0);
        assert.deepEqual(await leftOf(scene, /c1/), []);
      },
    );

    check(
      'an erasure that was killed behind its mark, of what is held by now, is taken back by the next run',
      async (scene) => {
        await scene.store(R1);
        await scene.run('hold', 'K', '--recording', 'c1/r1', '--reason', 'x');
        const ids = { conversationId: 'c1', recordingId: 'r1' };
        await leaveMark(ids, scene, '2026-11-28T10:00:00Z');
        assert.equal((await scene.run('erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1')).code, 4);
        assert.equal(await erasedMark(R1, scene.archive.notes, signal()), undefined);
        assert.equal((await found(scene.archive, R1)).recordingId, 'r1');
      },
    );

    check(
      'an erasure that was killed behind its mark takes nothing from a hold on what is still to come',
      async (scene) => {
        await scene.run('hold', 'K', '--recording', 'c1/r1', '--reason', 'x');
        const ids = { conversationId: 'c1', recordingId: 'r1' };
        await leaveMark(ids, scene);
        assert.equal((await scene.run('erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1')).code, 4);
        await scene.store(R1);
        assert.equal((await found(scene.archive, R1)).recordingId, 'r1');
      },
    );

    check('nor from a hold on what failed before', async (scene) => {
      const { archive } = scene;
      await archive.recordFailure(R1, failureOf(R1), signal());
      await archive.notes.create(detailsName('c1'), JSON.stringify({ name: CANARY[1] }), signal());
      await scene.run('hold', 'K', '--recording', 'c1/r1', '--reason', 'x');
      const before = await scene.names();
      await leaveMark({ conversationId: 'c1', recordingId: 'r1' }, scene);
      assert.equal((await scene.run('erase', '--recording', 'c1/r1', '--reason', 'x', '--confirm', '1')).code, 4);
      assert.deepEqual(await scene.names(), before);
    });

    for (const [what, named, marked] of [
      ['recording', ['--recording', 'c1/r1'], { conversationId: 'c1', recordingId: 'r1' }],
      ['conversation', ['--conversation', 'c1'], { conversationId: 'c1', recordingId: null }],
    ] as const)
      check(
        `a case that holds a ${what} to come is not released by naming it again behind the mark of a killed erasure`,
        async (scene) => {
          const hold = ['hold', 'K', ...named, '--reason', 'x'];
          assert.equal((await scene.run(...hold)).code, 0);
          await leaveMark(marked, scene);
          assert.equal((await scene.run(...hold)).code, 4);
          assert.equal((await holdsOn(R1, scene.archive.notes, signal())).length, 1);
          assert.equal((await scene.run('erase', ...named, '--reason', 'x', '--confirm', '1')).code, 4);
          await scene.store(R1);
          assert.equal((await found(scene.archive, R1)).recordingId, 'r1');
        },
      );

    check('what never came is erased by its mark alone, and then does not come', async (scene) => {
      const erased = await scene.run('erase', '--recording', 'c9/r9,_/m1', '--reason', 'x', '--confirm', '2');
      assert.equal(erased.code, 0, erased.stdout + erased.stderr);
      await assert.rejects(scene.store({ recordingId: 'm1', conversationId: undefined }), { code: 'erased' });
      assert.deepEqual(
        (await scene.names()).filter((name) => !/^(erased|audit)/.test(name)),
        [],
      );
    });

    check('messages of what was erased leave the queue’s file, and the others stay', async (scene) => {
      const folder = await mkdtemp(join(tmpdir(), 'queue-'));
      const path = join(folder, 'queue.db');
      const queue = openSqliteQueue({ path });
      const ids = ['c1', 'c10'];
      for (const conversationId of ids)
        await queue.publish(
          [
            { kind: 'recording', recordingId: 'r1', conversationId },
            { kind: 'conversation', conversationId },
            { kind: 'conversation', conversationId, voicemail: true },
            { kind: 'details', conversationId },
          ],
          signal(),
        );
      await scene.store(R1);
      const env = { ...scene.env, QUEUE_URL: `sqlite:${path}` };
      const erased = await runInProcess(['erase', '--conversation', 'c1', '--reason', 'x', '--confirm', '2'], env);
      assert.equal(erased.code, 0, erased.stdout + erased.stderr);
      assert.equal((await queue.depth())?.ready, 4);
      for (const file of ['queue.db', 'queue.db-wal']) {
        const held = await readFile(join(folder, file), 'latin1');
        assert.ok(!held.includes('recording:c1.r1'), `${file}, while a service has it open`);
      }
      await queue.close();
      const bytes = await readFile(path, 'latin1');
      assert.ok(!bytes.includes('recording:c1.r1') && bytes.includes('recording:c10.r1'));
      await rm(folder, { recursive: true });
    });

    check('in capitals or not: whatever spelling a GUID lies under is erased', async (scene) => {
      const guid = 'ABCDEF01-0000-4000-8000-00000000000A';
      const recording = { recordingId: guid, conversationId: guid };
      await scene.store(recording);
      const { notes } = scene.archive;
      const row = archivedRow(await found(scene.archive, recording), undefined);
      const line = encodeIndexRow({ ...row, customerNumber: CANARY[0] });
      await notes.replace(partName('2026-03-01', 'w'), `${line}\n`, signal());
      const folder = await mkdtemp(join(tmpdir(), 'queue-'));
      const path = join(folder, 'queue.db');
      const queue = openSqliteQueue({ path });
      const lower = guid.toLowerCase();
      await queue.publish([{ kind: 'recording', recordingId: lower, conversationId: lower }], signal());
      const env = { ...scene.env, QUEUE_URL: `sqlite:${path}` };
      const erased = await runInProcess(['erase', '--conversation', guid, '--reason', 'x', '--confirm', '2'], env);
      assert.equal(erased.code, 0, erased.stdout + erased.stderr);
      assert.equal((await queue.depth())?.ready, 0);
      await queue.close();
      await rm(folder, { recursive: true });
      assert.deepEqual(await leftOf(scene, /ABCDEF/i), []);
      assert.deepEqual([...(await readIndexDay('2026-03-01', notes, signal())).keys()], []);
      assert.ok(!(await scene.everything()).includes(CANARY[0]));
      const acts = linesOf(await scene.run('audit', '--recording', `${guid}/${guid}`, '--json'));
      assert.deepEqual(
        acts.filter((act) => act['recordingId'] !== undefined).map(({ action }) => action),
        ['erasing', 'erased'],
      );
      await assert.rejects(
        scene.archive.find({ recordingId: guid.toLowerCase(), conversationId: guid.toLowerCase() }, signal()),
        { code: 'erased' },
      );
    });

    check(
      'retention: what is older goes, what is held stays; "any" never takes more than a twentieth of the archive',
      async (scene) => {
        const dayAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();
        for (let n = 0; n < 41; n += 1)
          await scene.store(
            { recordingId: `r${String(n)}`, conversationId: `c${String(n)}` },
            { recordedAt: dayAgo(n < 3 ? 40 : 20) },
          );
        await scene.run('hold', 'K', '--recording', 'c1/r1', '--reason', 'x');
        const plan = await scene.run('erase', '--older-than', '30d');
        assert.equal(plan.code, 0);
        assert.match(plan.stdout, /--older-than 30d --reason "…" --confirm 2/);
        assert.match(plan.stdout, /c1\/r1 {2}held by K/);
        const wrong = await scene.run('erase', '--older-than', '10d', '--reason', 'retention', '--confirm', 'any');
        assert.equal(wrong.code, 4);
        assert.match(wrong.stdout, /more than 5 % of the archive/);
        const nightly = await scene.run(
          'erase',
          '--older-than',
          '30d',
          '--reason',
          'retention',
          '--confirm',
          'any',
          '--json',
        );
        assert.equal(nightly.code, 0, nightly.stdout);
        assert.deepEqual([summaryOf(nightly)['gone'], summaryOf(nightly)['kept']], [2, 1]);
        assert.deepEqual(await leftOf(scene, /[./]r[02]$/), []);
        assert.equal((await found(scene.archive, R1)).recordingId, 'r1');
        const none = await scene.run('erase', '--older-than', '30d', '--reason', 'retention', '--confirm', 'any');
        assert.equal(none.code, 0);
      },
    );

    check(
      'retention: what never was archived goes by its day as well, with the names and numbers that were kept of it',
      async (scene) => {
        const { archive } = scene;
        const failure = failureOf(R1, { failedAt: '2026-03-01T10:00:00.000Z' });
        await archive.recordFailure(R1, failure, signal());
        const row = { ...failedRow(failure), customerNumber: CANARY[0] };
        await archive.notes.replace(partName('2026-03-01', 'w'), `${encodeIndexRow(row)}\n`, signal());
        await archive.notes.create(detailsName('c1'), JSON.stringify({ name: CANARY[1] }), signal());
        const erased = await scene.run('erase', '--older-than', '30d', '--reason', 'retention', '--confirm', '1');
        assert.equal(erased.code, 0, erased.stdout + erased.stderr);
        assert.deepEqual(await leftOf(scene, /c1|index/), []);
        const everything = await scene.everything();
        for (const canary of CANARY) assert.ok(!everything.includes(canary), canary);
      },
    );

    check('what cannot be meant is refused with what to write, and changes nothing', async (scene) => {
      await scene.store(R1);
      const before = await scene.names();
      const wrong: readonly (readonly [readonly string[], RegExp])[] = [
        [[], /Say what to erase/],
        [['--older-than', '30d', '--conversation', 'c1'], /Say what to erase/],
        [['--conversation', 'c1', '--confirm', 'any', '--reason', 'x'], /--older-than only/],
        [['--conversation', 'c1', '--confirm', '-1', '--reason', 'x'], /expected the number/],
        [['--conversation', 'c1', '--confirm', '1.0', '--reason', 'x'], /expected the number/],
        [['--conversation', 'c1', '--confirm', 'all', '--reason', 'x'], /expected the number/],
        [['--older-than', '0d'], /expected a number of days/],
        [['--older-than', '30'], /expected a number of days/],
        [['--older-than', '-5d'], /expected a number of days/],
        [['--older-than', '1e9d'], /expected a number of days/],
        [['--recording', '../../x'], /expected CONVERSATION\/RECORDING/],
        [['--conversation', 'c1', '--reason', 'x'.repeat(10_240), '--confirm', '2'], /at most 1000/],
      ];
      for (const [args, message] of wrong) {
        const printed = await scene.run('erase', ...args);
        assert.equal(printed.code, 2, `${args.join(' ')}: ${printed.stdout}${printed.stderr}`);
        assert.match(printed.stderr, message);
      }
      assert.deepEqual(await scene.names(), before);
    });

    check(
      'reasons with line breaks stay one line wherever they are shown, and whole where they are kept',
      async (scene) => {
        await scene.store(R1);
        const reason = 'line 1\r\nline 2\u0000\u202E"\\';
        const erased = await scene.run('erase', '--recording', 'c1/r1', '--reason', reason, '--confirm', '1');
        assert.equal(erased.code, 0, erased.stderr);
        assert.equal((await erasedMark(R1, scene.archive.notes, signal()))?.reason, reason);
        const audit = await scene.run('audit');
        assert.equal(audit.stdout.split('\n').filter((line) => line.includes('erasing')).length, 1);
        assert.doesNotMatch(audit.stdout.replaceAll('\n', ''), UNSAFE);
        assert.equal((await scene.run('audit', '--json')).code, 0);
      },
    );
  });

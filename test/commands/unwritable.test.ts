/** An archive that may not be written, as a whole or in one place: each command says what to mend, and leaves nothing half done. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { writeProof } from '../../src/archive/proofs.ts';
import { failureOf } from '../support/archive/content.ts';
import {
  type ArchiveScene,
  openBucketScene,
  openFolderScene,
  runInProcess,
} from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { NO_MOUNT, readOnly } from '../support/mounts.ts';

const DAY = '2026-03-01';
const RANGE = ['--from', DAY, '--to', DAY] as const;
const signal = (): AbortSignal => AbortSignal.timeout(200_000);

interface Scene extends ArchiveScene {
  readonly genesys: GenesysServer;
  /** A folder for what commands write elsewhere. */
  readonly out: string;
  readonly line: (args: readonly string[]) => Promise<Printed>;
}

/** Two recordings are there, of which case K-0 holds one; one failed, one is stored away at Genesys, and one is missing. */
async function fill(t: TestContext, scene: ArchiveScene): Promise<Scene> {
  const [genesys, out] = [await startGenesysServer(), await mkdtemp(join(tmpdir(), 'unwritable-'))];
  t.after(async () => {
    await genesys.close();
    await scene.close();
    await rm(out, { recursive: true, force: true });
  });
  genesys.analytics.pendingPolls = 0;
  const env = { ...genesys.environment(), ...scene.env, CERTIFICATE_KEY_FILE: '' };
  for (const recordingId of ['r1', 'r2']) await scene.store({ recordingId, conversationId: 'c1' });
  for (const [recordingId, code] of [
    ['r3', 'unreadable-media'],
    ['r4', 'needs-restore'],
  ] as const) {
    const recording = { recordingId, conversationId: 'c1' };
    await scene.archive.recordFailure(recording, { ...failureOf(recording), code }, signal());
  }
  for (const recordingId of ['r1', 'r2', 'r3', 'r4', 'r5'])
    genesys.addRecording({
      recordingId,
      conversationId: 'c1',
      startTime: `${DAY}T10:00:00.000Z`,
      ...(recordingId === 'r4' ? { fileState: 'ARCHIVED' } : {}),
    });
  genesys.analyze({ conversationId: 'c1', start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
  const line = (args: readonly string[]): Promise<Printed> => runInProcess(args, env);
  const held = await line(['hold', 'K-0', '--recording', 'c1/r2', '--reason', 'a test']);
  assert.equal(held.code, 0, held.stderr);
  return { ...scene, genesys, out, line };
}

const CONFIRMED = ['--reason', 'a test', '--confirm', '1'] as const;

/** Lines that write, each with whether Genesys may have been asked for anything when it turns out. */
const WRITING: readonly (readonly [line: readonly string[], mayAsk: boolean])[] = [
  [['reconcile', ...RANGE], false],
  [['reconcile', '--index'], false],
  [['backfill', ...RANGE], false],
  [['backfill', ...RANGE, '--dry-run'], false],
  [['replay'], false],
  [['hold', 'K-1', '--recording', 'c1/r1', '--reason', 'a test'], false],
  [['hold', 'K-0', '--release', '--reason', 'a test'], false],
  [['erase', '--recording', 'c1/r1', ...CONFIRMED], false],
  [['restore', '--failed', '--confirm', '1'], true],
  [['export', '--conversation', 'c1', '--to', 'OUT', '--reason', 'a test'], false],
  [['audit'], false],
];

const UNWRITABLE = [
  {
    name: 'a folder on a read-only file system',
    skip: NO_MOUNT,
    open: openFolderScene,
    begin: ({ path = '' }: ArchiveScene): Disposable => readOnly(path),
    says: /read-only file system: mount it writable|cannot be written \(EROFS\): .*ARCHIVE_URL|mend its permissions, or set CERTIFICATE_KEY/,
  },
  {
    name: 'a bucket in which nothing may be created',
    skip: false,
    open: openBucketScene,
    begin: ({ server }: ArchiveScene): Disposable => {
      server?.store.deny('create', '');
      return { [Symbol.dispose]: () => server?.store.allowAll() };
    },
    says: /may not create objects in bucket .*: grant it roles\/storage\.objectCreator/,
  },
] as const;

for (const { name, skip, open, begin, says } of UNWRITABLE) {
  test(
    `${name}: every command that writes ends with 1, says what to mend, and changes nothing anywhere`,
    { skip },
    async (t) => {
      const scene = await fill(t, await open());
      const before = await scene.everything();
      {
        using unwritable = begin(scene);
        assert.ok(unwritable);
        for (const [args, mayAsk] of WRITING) {
          const asked = scene.genesys.requests().length;
          const line = args.map((word) => (word === 'OUT' ? scene.out : word));
          const printed = await scene.line([...line, '--json']);
          assert.equal(printed.code, 1, `${line.join(' ')}\n${printed.stdout}${printed.stderr}`);
          assert.match(printed.stderr, says, line.join(' '));
          assert.doesNotMatch(printed.stderr, /^\s+at .+:\d+/m);
          assert.equal(linesOf(printed).filter(({ type }) => type === 'summary').length, 1);
          assert.equal(linesOf(printed).at(-1)?.['exit'], 1);
          const calls = scene.genesys.requests().slice(asked);
          if (mayAsk)
            assert.ok(
              calls.every(({ method }) => method === 'GET' || method === 'POST'),
              'nothing was changed at Genesys',
            );
          else
            assert.deepEqual(
              calls.map(({ route }) => route),
              [],
              `${line.join(' ')}: no call`,
            );
        }
      }
      assert.equal(await scene.everything(), before);
      assert.deepEqual(await readdir(scene.out), []);
    },
  );

  test(`${name}: what reads does so all the same`, { skip }, async (t) => {
    const scene = await fill(t, await open());
    using unwritable = begin(scene);
    assert.ok(unwritable);
    for (const [line, code] of [
      [['status'], 3],
      [['verify', '--all'], 1],
      [['replay', '--dry-run'], 3],
      [['hold', '--list'], 0],
      [['erase', '--recording', 'c1/r1'], 0],
      [['restore', '--failed'], 0],
      [['retire', ...RANGE], 0],
    ] as const) {
      const printed = await scene.line(line);
      assert.equal(printed.code, code, `${line.join(' ')}\n${printed.stdout}${printed.stderr}`);
    }
  });
}

/** Each right that is missing in one place alone, found out in the middle of a run. */
const MISSING_RIGHTS: readonly {
  readonly place: string;
  readonly line: readonly string[];
  readonly shown: RegExp;
}[] = [
  { place: 'proofs/', line: ['reconcile', ...RANGE], shown: /missing {2}2026-03-01 {2}c1\.r5/ },
  { place: 'audit/', line: ['erase', '--recording', 'c1/r1', ...CONFIRMED], shown: /recording +c1\/r1/ },
  { place: 'erased/', line: ['erase', '--recording', 'c1/r1', ...CONFIRMED], shown: /recording +c1\/r1/ },
  { place: 'audit/', line: ['hold', 'K-1', '--recording', 'c1/r1', '--reason', 'a test'], shown: /^$/ },
  { place: 'holds/', line: ['hold', 'K-1', '--recording', 'c1/r1', '--reason', 'a test'], shown: /^$|0 held/ },
];

for (const { place, line, shown } of MISSING_RIGHTS)
  test(`${line[0] ?? ''}: without the right to create under ${place} it ends with 1, with what was found until then, and nothing is gone`, async (t) => {
    const scene = await fill(t, await openBucketScene());
    const before = await scene.names();
    scene.server?.store.deny('create', `calls/${place}`);
    const printed = await scene.line(line);
    assert.equal(printed.code, 1, `${printed.stdout}${printed.stderr}`);
    assert.match(printed.stderr, /grant it roles\/storage\.objectCreator/);
    assert.match(printed.stdout, shown);
    scene.server?.store.allowAll();
    const now = await scene.names();
    assert.deepEqual(
      before.filter((name) => !now.includes(name)),
      [],
    );
    const found = await scene.archive.find({ recordingId: 'r1', conversationId: 'c1' }, signal());
    assert.equal(found?.recordingId, 'r1');
  });

test('a day whose index cannot be written is reported and proven, and the command ends with 1', async (t) => {
  const scene = await fill(t, await openBucketScene());
  scene.server?.store.deny('create', 'calls/index/');
  for (const line of [
    ['reconcile', ...RANGE],
    ['backfill', ...RANGE, '--dry-run'],
    ['reconcile', '--index'],
  ]) {
    const printed = await scene.line([...line, '--json']);
    assert.equal(printed.code, 1, `${line.join(' ')}\n${printed.stdout}${printed.stderr}`);
    assert.match(printed.stderr, /grant it roles\/storage\.objectCreator/);
    const { code, exit } = linesOf(printed).at(-1) ?? {};
    assert.deepEqual([code, exit], ['misconfigured', 1], line.join(' '));
  }
  const days = (await scene.names()).filter((name) => name.startsWith(`proofs/${DAY}/`));
  assert.equal(days.length, 2, days.join(' '));
});

test('retire: without an audit not one recording is deleted at Genesys', async (t) => {
  const scene = await fill(t, await openBucketScene());
  const proof = { day: DAY, verdict: 'complete', recordings: 2, archived: 2 };
  await writeProof('complete', proof, { notes: scene.archive.notes, at: new Date() }, signal());
  const read = await scene.line(['verify', '--all', '--read']);
  assert.equal(read.code, 0, read.stderr);
  const plan = await scene.line(['retire', ...RANGE]);
  const [, count = '0'] = /(\d+) to change at Genesys/.exec(plan.stdout) ?? [];
  assert.notEqual(count, '0', plan.stdout);
  scene.server?.store.deny('create', 'calls/audit/');
  const printed = await scene.line(['retire', ...RANGE, '--confirm', count]);
  assert.equal(printed.code, 1, printed.stdout + printed.stderr);
  assert.deepEqual(
    scene.genesys.requests().filter(({ method }) => method === 'PUT'),
    [],
  );
});

/** A signal at each change of the folder, each request to the bucket, each request to Genesys: nothing is half, and the next run ends it. */
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { holdsOn } from '../../src/archive/holds.ts';
import { writeProof, writeReading } from '../../src/archive/proofs.ts';
import { verifyStored } from '../../src/archive/verify.ts';
import { type ArchiveScene, runInProcess, SCENES } from '../support/commands/archive-scene.ts';
import {
  atChange,
  atGenesysRequest,
  atRequest,
  type Moment,
  runInterrupted,
  type Signal,
} from '../support/commands/interrupted.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { runs } from '../support/soak.ts';

const signal = (): AbortSignal => AbortSignal.timeout(runs(500_000, 2_900_000));
const HANG_GUARD = { timeout: runs(560_000, 3_000_000) };
const DAY = '2026-03-01';
const CODES = { SIGINT: 130, SIGTERM: 143 } as const;
const KEY = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

interface Place {
  readonly scene: ArchiveScene;
  readonly genesys: GenesysServer;
  readonly env: Readonly<Record<string, string>>;
  /** A folder outside of the archive. */
  readonly out: string;
}

interface Attempt {
  readonly recordingId: string;
  readonly conversationId: string;
  readonly to: string;
}

interface Row {
  readonly name: string;
  /** Every n-th moment in `npm test`. */
  readonly step: number;
  /** Goes through all there is: always the same recording, or each attempt would have more moments than the one before, without end. */
  readonly isOverAll?: true;
  readonly args: (attempt: Attempt) => readonly string[];
  readonly prepare?: (attempt: Attempt, place: Place) => Promise<void>;
  /** Right after the signal: what bears its final name is whole. */
  readonly isWhole?: (attempt: Attempt, place: Place) => Promise<void>;
  /** The next run, as an operator would do it, and that all is done then. */
  readonly again: (attempt: Attempt, place: Place) => Promise<void>;
}

async function sameAgain(row: Pick<Row, 'args'>, attempt: Attempt, { env }: Place): Promise<Printed> {
  const printed = await runInProcess(row.args(attempt), env);
  assert.equal(printed.code, 0, printed.stdout + printed.stderr);
  return printed;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder, { recursive: true }).catch(() => []);
}

async function assertNoDraft({ to }: Attempt, { out }: Place): Promise<void> {
  assert.deepEqual(
    (await namesIn(out)).filter((name) => name.endsWith('.part')),
    [],
    to,
  );
}

async function eraseAgain({ recordingId }: Attempt, { env, scene }: Place): Promise<void> {
  const line = ['erase', '--recording', `c/${recordingId}`];
  const plan = linesOf(await runInProcess([...line, '--json'], env)).at(-1);
  const done = await runInProcess([...line, '--reason', 'x', '--confirm', String(plan?.['toErase'])], env);
  assert.equal(done.code, 0, done.stdout + done.stderr);
  const left = (await scene.names()).filter((name) => name.includes(recordingId));
  assert.deepEqual(left, [`erased/c.${recordingId}.json`]);
}

const ROWS: readonly Row[] = [
  {
    name: 'erase',
    step: 5,
    args: ({ recordingId }) => ['erase', '--recording', `c/${recordingId}`, '--reason', 'x', '--confirm', '1'],
    again: eraseAgain,
  },
  {
    name: 'erase --older-than',
    step: 9,
    args: () => ['erase', '--older-than', '30d', '--reason', 'x', '--confirm', '1'],
    again: eraseAgain,
  },
  {
    name: 'hold',
    step: 5,
    args: ({ recordingId }) => ['hold', 'K', '--recording', `c/${recordingId}`, '--reason', 'x'],
    async again(attempt, place) {
      await sameAgain(this, attempt, place);
      assert.equal((await holdsOn(attempt, place.scene.archive.notes, signal())).length, 1);
      const erased = await runInProcess(['erase', '--recording', `c/${attempt.recordingId}`], place.env);
      assert.equal(erased.code, 4, erased.stderr);
    },
  },
  {
    name: 'hold --release',
    step: 5,
    args: ({ recordingId }) => ['hold', 'K', '--recording', `c/${recordingId}`, '--release'],
    async prepare({ recordingId }, { env }) {
      await runInProcess(['hold', 'K', '--recording', `c/${recordingId}`, '--reason', 'x'], env);
    },
    async again(attempt, place) {
      const printed = await runInProcess(this.args(attempt), place.env);
      assert.ok(printed.code === 0 || printed.code === 4, printed.stderr);
      const { recordingId } = attempt;
      const free = [
        ['hold', 'K', '--recording', `c/${recordingId}`, '--reason', 'x'],
        ['hold', 'K', '--recording', `c/${recordingId}`, '--release'],
      ];
      // A flag that was left without a case is what the next hold and release take away.
      for (const line of free) assert.equal((await runInProcess(line, place.env)).code, 0);
      const erased = await runInProcess(['erase', '--recording', `c/${recordingId}`], place.env);
      assert.equal(erased.code, 0, erased.stdout);
    },
  },
  {
    name: 'export into a folder',
    step: 9,
    args: ({ recordingId, to }) => ['export', '--recording', `c/${recordingId}`, '--to', to],
    async isWhole(attempt, place) {
      await assertNoDraft(attempt, place);
      const names = await namesIn(attempt.to);
      for (const name of names.filter((one) => one.endsWith('.webm')))
        assert.equal((await readFile(join(attempt.to, name))).length, 5_100);
      if (names.includes('SHA256SUMS')) await assertSums(attempt.to);
    },
    async again(attempt, place) {
      await sameAgain(this, attempt, place);
      await assertNoDraft(attempt, place);
      await assertSums(attempt.to);
    },
  },
  {
    name: 'export into a zip file',
    step: 9,
    args: ({ recordingId, to }) => ['export', '--recording', `c/${recordingId}`, '--to', `${to}.zip`],
    async isWhole(attempt, place) {
      await assertNoDraft(attempt, place);
      await assertZip(attempt, false);
    },
    async again(attempt, place) {
      await sameAgain(this, attempt, place);
      await assertNoDraft(attempt, place);
      await assertZip(attempt, true);
    },
  },
  {
    name: 'certificate',
    step: 5,
    args: ({ recordingId, to }) => ['certificate', '--recording', `c/${recordingId}`, '--to', to],
    isWhole: assertCertificate,
    async again(attempt, place) {
      await sameAgain(this, attempt, place);
      assert.equal((await namesIn(attempt.to)).length, 2);
      await assertCertificate(attempt, place);
    },
  },
  {
    name: 'verify --read',
    step: 5,
    isOverAll: true,
    args: () => ['verify', '--read'],
    isWhole: assertJson,
    async again(attempt, place) {
      await sameAgain(this, attempt, place);
      await assertJson(attempt, place);
      assert.ok((await place.scene.names()).some((name) => name.startsWith(`proofs/${DAY}/`)));
    },
  },
  {
    name: 'reconcile --index',
    step: 5,
    isOverAll: true,
    args: () => ['reconcile', '--index', '--from', DAY, '--to', DAY],
    isWhole: assertJson,
    async again(attempt, place) {
      await sameAgain(this, attempt, place);
      const text = await place.scene.everything();
      assert.match(text, new RegExp(`"key":"c\\.${attempt.recordingId}"`));
    },
  },
  {
    name: 'reconcile, with its proof and index',
    step: 9,
    isOverAll: true,
    args: () => ['reconcile', '--from', DAY, '--to', DAY, '--again'],
    async prepare({ recordingId, conversationId }, { genesys }) {
      genesys.addRecording({ recordingId, conversationId, startTime: `${DAY}T10:00:00.000Z` });
      genesys.analyze({ conversationId, start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:05:00.000Z` });
      await Promise.resolve();
    },
    isWhole: assertJson,
    async again(attempt, place) {
      await sameAgain(this, attempt, place);
      await assertJson(attempt, place);
    },
  },
];

async function assertSums(folder: string): Promise<void> {
  const sums = (await readFile(join(folder, 'SHA256SUMS'), 'utf8')).trimEnd().split('\n');
  assert.ok(sums.length >= 4);
  for (const line of sums) {
    const [sum, name = ''] = line.split('  ');
    assert.equal(
      createHash('sha256')
        .update(await readFile(join(folder, name)))
        .digest('hex'),
      sum,
      name,
    );
  }
}

/** Whole at its end: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT §4.3.16 */
async function assertZip({ to }: Attempt, isNeeded: boolean): Promise<void> {
  const bytes = await readFile(`${to}.zip`).catch(() => undefined);
  if (bytes === undefined) return assert.equal(isNeeded, false);
  assert.ok(bytes.includes('SHA256SUMS'));
  assert.equal(bytes.lastIndexOf(Buffer.from('PK\u0005\u0006')), bytes.length - 22);
}

async function assertCertificate(attempt: Attempt, place: Place): Promise<void> {
  await assertNoDraft(attempt, place);
  for (const name of await namesIn(attempt.to)) {
    const text = await readFile(join(attempt.to, name), 'utf8');
    if (name.endsWith('.json')) assert.doesNotThrow(() => JSON.parse(text) as unknown, name);
    else assert.match(text, /<\/html>\s*$/);
  }
}

/** Each note bears its name only once it is whole; as a text of the scene each begins with its name. */
async function assertJson(_: Attempt, { scene }: Place): Promise<void> {
  for (const name of (await scene.names()).filter((one) => /^proofs\/.*\.json$|^index\/.*\.jsonl$/.test(one))) {
    const text = (await scene.archive.notes.read(name, signal())) ?? '';
    for (const line of name.endsWith('.jsonl') ? text.trimEnd().split('\n') : [text])
      assert.doesNotThrow(() => JSON.parse(line) as unknown, `${name}: ${line}`);
  }
}

async function openPlace(t: TestContext, open: () => Promise<ArchiveScene>): Promise<Place> {
  const [scene, genesys, out] = [
    await open(),
    await startGenesysServer({ rateLimit: { allowed: 1_000_000, windowS: 60 } }),
    await mkdtemp(join(tmpdir(), 'interrupt-')),
  ];
  t.after(async () => {
    await scene.close();
    await genesys.close();
    await rm(out, { recursive: true, force: true });
  });
  genesys.analytics.pendingPolls = 0;
  return { scene, genesys, out, env: { ...genesys.environment(), ...scene.env, CERTIFICATE_KEY: KEY } };
}

/** Nothing is left of a run but what belongs to the archive. */
async function assertTidy({ scene }: Place, moment: string): Promise<void> {
  const staged = (await scene.names()).filter((name) => name.startsWith('staging/'));
  assert.deepEqual(staged, [], moment);
}

for (const row of ROWS)
  for (const [kind, open] of SCENES)
    test(`${row.name} over ${kind}: a signal at each moment`, HANG_GUARD, async (t) => {
      const place = await openPlace(t, open);
      const { scene, out, env } = place;
      let interrupted = 0;
      for (let at = 1; ; at += runs(row.step, 1)) {
        const recordingId = row.isOverAll === true ? 'r1' : `r${String(at)}`;
        const attempt = { recordingId, conversationId: 'c', to: join(out, String(at)) };
        const kindOf: Signal = at % 2 === 0 ? 'SIGTERM' : 'SIGINT';
        if (row.isOverAll === undefined || at === 1) await scene.store(attempt);
        await row.prepare?.(attempt, place);
        const moment: Moment = scene.server === undefined ? atChange(at) : atRequest(scene.server, at);
        const printed = await runInterrupted(row.args(attempt), env, { signal: kindOf, moment });
        const where = `at ${String(at)}: ${printed.stdout}${printed.stderr}`;
        assert.ok(printed.code === 0 || printed.code === CODES[kindOf], where);
        assert.doesNotMatch(printed.stderr, /^\s+at |^internal:/m, where);
        await assertTidy(place, where);
        await row.isWhole?.(attempt, place);
        await row.again(attempt, place);
        await assertTidy(place, `again, ${where}`);
        if (printed.code === 0) break;
        interrupted += 1;
        assert.match(printed.stderr, /Run the same line again/);
        if (!row.name.startsWith('erase')) assert.deepEqual(await verifyStored(scene.archive, attempt, signal()), []);
      }
      assert.ok(interrupted > 0);
    });

for (const command of ['retire', 'restore'] as const)
  test(`${command}: a signal at each request to Genesys`, HANG_GUARD, async (t) => {
    const [, open] = SCENES[0];
    const place = await openPlace(t, open);
    const { scene, genesys, env } = place;
    for (let at = 1; ; at += runs(3, 1)) {
      const day = new Date(Date.UTC(2026, 0, 1) + at * 86_400_000).toISOString().slice(0, 10);
      const ids = ['a', 'b', 'c'].map((id) => `${id}${String(at)}`);
      for (const recordingId of ids) {
        const conversationId = `c-${recordingId}`;
        await scene.store({ recordingId, conversationId }, { recordedAt: `${day}T10:00:00.000Z` });
        const fileState = command === 'restore' ? { fileState: 'ARCHIVED' } : {};
        genesys.addRecording({ recordingId, conversationId, files: [], ...fileState });
      }
      const { notes } = scene.archive;
      await writeProof('complete', { day, verdict: 'complete' }, { notes, at: new Date() }, signal());
      const run = { part: { part: 1, of: 1 }, days: [day, day], recordings: 3, findings: 0, damagedDays: [] } as const;
      await writeReading(run, { notes, at: new Date(), service: '0' }, signal());
      const line =
        command === 'retire'
          ? ['retire', '--from', day, '--to', day]
          : ['restore', ...ids.flatMap((id) => ['--recording', `c-${id}/${id}`])];
      const moment = atGenesysRequest(genesys, at);
      const printed = await runInterrupted([...line, '--confirm', '3'], env, { signal: 'SIGINT', moment });
      assert.ok(printed.code === 0 || printed.code === 130, printed.stdout + printed.stderr);
      const count = async (): Promise<unknown> => {
        const plan = linesOf(await runInProcess([...line, '--json'], env)).at(-1);
        return plan?.['toChange'] ?? plan?.['toRestore'];
      };
      const again = await runInProcess([...line, '--confirm', String(await count())], env);
      assert.equal(again.code, 0, again.stdout + again.stderr);
      assert.equal(await count(), 0, 'nothing is left to ask for');
      for (const id of ids) {
        const puts = genesys.requests(`restore:${id}`).length;
        assert.ok(puts >= 1 && puts <= 2, `${id}: ${String(puts)} requests`);
      }
      if (printed.code === 0) break;
    }
  });

/** A machine whose clock is wrong by hours, days or years: what is proven and what is erased goes by the clocks of the others. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { writeProof, writeReading } from '../../src/archive/proofs.ts';
import { AnotherMachine } from '../support/commands/another-machine.ts';
import { openBucketScene, openFolderScene } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed, runArchiver } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const PRELOAD = pathToFileURL(join(import.meta.dirname, '../support/commands/another-clock.ts')).href;
/** Its clock is set by each line that runs there. */
const machine = new AnotherMachine('another-clock.ts', {});
after(() => machine[Symbol.asyncDispose]());

const SHIFTS_MS = [-40 * DAY_MS, -26 * HOUR_MS, 3 * HOUR_MS, 10 * DAY_MS, 400 * DAY_MS] as const;

function shifted(shiftMs: number): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=${PRELOAD}`, CLOCK_SHIFT_MS: String(shiftMs) };
}

function dayAgo(days: number): string {
  return new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);
}

/** Days of proofs, and the times in their names. */
async function proofsIn(path: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const proofs = new Map<string, string[]>();
  for (const name of await readdir(join(path, 'proofs'), { recursive: true }).catch(() => [])) {
    const [, day, at] = /^(\d{4}-\d\d-\d\d)\/(.*)\.complete\.json$/.exec(name) ?? [];
    if (day !== undefined && at !== undefined) proofs.set(day, [...(proofs.get(day) ?? []), at]);
  }
  return proofs;
}

async function setUp(t: TestContext): Promise<{ readonly server: GenesysServer; readonly path: string }> {
  const server = await startGenesysServer();
  const folder = await mkdtemp(join(tmpdir(), 'clock-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  server.analytics.pendingPolls = 0;
  return { server, path: join(folder, 'archive') };
}

for (const shiftMs of SHIFTS_MS)
  test(`reconcile with a clock that is ${String(shiftMs / HOUR_MS)} h off: no day beyond the watermark, none of Genesys' last days left out`, async (t) => {
    const { server, path } = await setUp(t);
    // Of the last day that is over by the watermark: a conversation that ended less than two hours ago is only waited for.
    server.analytics.dataUntil = new Date(Date.now() - 60_000).toISOString();
    const over = dayAgo(2);
    server.addConversation('young');
    server.analyze({
      conversationId: 'young',
      start: `${over}T23:50:00.000Z`,
      end: new Date(Date.now() - HOUR_MS / 2).toISOString(),
    });
    const before = Date.now();
    const env = { ...server.environment(), ARCHIVE_URL: `file:${path}`, ...shifted(shiftMs) };
    const printed = await machine.run(['reconcile', '--json'], env);
    assert.equal(printed.code, 3, printed.stdout + printed.stderr);
    assert.match(
      printed.stderr,
      new RegExp(`The clock of this machine is \\d+ (days|h) ${shiftMs < 0 ? 'behind' : 'ahead of'} Genesys'`),
    );
    const lines = linesOf(printed);
    const days = lines.filter(({ type }) => type === 'day').map(({ day }) => day);
    assert.deepEqual(days.slice(-3), [dayAgo(2), dayAgo(1), dayAgo(0)], 'the last days by the right clock');
    assert.deepEqual(
      lines.filter(({ type }) => type === 'finding').map(({ key, state }) => [key, state]),
      [['young._', 'waiting']],
    );
    const proofs = await proofsIn(path);
    assert.equal(proofs.has(dayAgo(0)), false, 'a day that is not over is proven by nobody');
    assert.ok(proofs.has(over));
    for (const at of [...proofs.values()].flat()) {
      const ms = Date.parse(at);
      assert.ok(ms >= before - 2_000 && ms <= Date.now() + 2_000, `${at} is the time by Genesys' clock`);
    }
    const verdicts = await readFile(
      join(path, 'proofs', over, `${String(proofs.get(over)?.[0])}.complete.json`),
      'utf8',
    );
    assert.match(verdicts, /"verdict": "incomplete"/, 'what may still come is not accounted for');
  });

const AGES = [
  ['young', 10],
  ['old', 100],
] as const;

for (const [kind, open] of [
  ['a folder, beside Genesys', openFolderScene],
  ['a bucket', openBucketScene],
] as const)
  test(`erase --older-than in ${kind}, by a clock that is years ahead: what is not old enough stays`, async (t) => {
    const [scene, server] = [await open(), await startGenesysServer()];
    t.after(async () => {
      await scene.close();
      await server.close();
    });
    for (const [recordingId, days] of AGES)
      await scene.store({ recordingId, conversationId: 'c' }, { recordedAt: `${dayAgo(days)}T10:00:00.000Z` });
    const genesys = scene.kind === 'folder' ? server.environment() : {};
    const env = { ...scene.env, ...genesys, ...shifted(1_000 * DAY_MS) };
    const plan = await machine.run(['erase', '--older-than', '50d', '--json'], env);
    assert.deepEqual(plannedIn(plan), ['old'], plan.stderr);
    assert.match(plan.stderr, /The clock of this machine is 1000 days ahead of another one/);
    const done = await machine.run(['erase', '--older-than', '50d', '--reason', 'x', '--confirm', '1', '--json'], env);
    assert.equal(done.code, 0, done.stderr);
    const names = await scene.names();
    assert.deepEqual(
      AGES.map(([id]) =>
        names.some((name) => name.startsWith(`recordings/c/${id}/`) && name.endsWith('manifest.json')),
      ),
      [true, false],
    );
  });

function plannedIn(printed: Printed): readonly unknown[] {
  return linesOf(printed)
    .filter(({ type }) => type === 'planned')
    .map(({ recordingId }) => recordingId);
}

test('what is proven of a day is the same in every time zone, also where clocks change that night', async (t) => {
  const { server, path } = await setUp(t);
  // New York: 8 March and 1 November 2026; Apia went over the date line on 30 December 2011; Kolkata is off by half an hour.
  const days = ['2026-03-07', '2026-03-08', '2026-03-09', '2026-11-01'];
  for (const [index, day] of days.entries())
    for (const [n, time] of ['00:00:00.000', '04:59:59.999', '06:30:00.000', '23:59:59.999'].entries()) {
      const conversationId = `c${String(index)}-${String(n)}`;
      server.analyze({ conversationId, start: `${day}T${time}Z`, end: `${day}T${time}Z` });
      server.addRecording({
        recordingId: `r${String(index)}-${String(n)}`,
        conversationId,
        startTime: `${day}T${time}Z`,
        media: 'chat',
      });
    }
  const zones = ['UTC', 'America/New_York', 'Asia/Kolkata', 'Pacific/Apia'];
  const proofs = await Promise.all(
    zones.map(async (TZ, index) => {
      const archive = `${path}${String(index)}`;
      const env = { ...server.environment(), ARCHIVE_URL: `file:${archive}`, TZ };
      const texts: string[] = [];
      for (const [from, to] of [
        ['2026-03-07', '2026-03-09'],
        ['2026-11-01', '2026-11-01'],
      ] as const) {
        const printed = await runArchiver(['reconcile', '--from', from, '--to', to], env);
        assert.equal(printed.code, 0, printed.stderr);
      }
      const written = await proofsIn(archive);
      assert.deepEqual([...written.keys()].toSorted(), days, TZ);
      for (const day of days) {
        const text = await readFile(
          join(archive, 'proofs', day, `${String(written.get(day)?.[0])}.complete.json`),
          'utf8',
        );
        assert.match(text, /"conversations": 4,/);
        texts.push(text.replace(/"at": "[^"]+"/, '').replace(/"(seconds|polls|calls)": \d+/g, ''));
      }
      await rm(archive, { recursive: true, force: true });
      return texts.join('');
    }),
  );
  assert.equal(new Set(proofs).size, 1, 'byte for byte, but for when it was made');
});

for (const [kind, open] of [
  ['a folder', openFolderScene],
  ['a bucket', openBucketScene],
] as const)
  test(`a hold in ${kind} ends by no clock: whatever it says, what is held is not erased, by name or by age`, async (t) => {
    const scene = await open();
    t.after(() => scene.close());
    await scene.store({ recordingId: 'r', conversationId: 'c' }, { recordedAt: `${dayAgo(300)}T10:00:00.000Z` });
    const hold = ['hold', 'K', '--conversation', 'c', '--reason', 'x'];
    assert.equal((await machine.run(hold, { ...scene.env, ...shifted(-400 * DAY_MS) })).code, 0);
    const before = await scene.names();
    for (const shiftMs of [-1_000 * DAY_MS, 30_000 * DAY_MS]) {
      const env = { ...scene.env, ...shifted(shiftMs) };
      const named = await machine.run(['erase', '--recording', 'c/r', '--reason', 'x', '--confirm', '1'], env);
      assert.equal(named.code, 4, named.stdout + named.stderr);
      assert.match(named.stdout, /held by K/);
      const old = await machine.run(['erase', '--older-than', '1d', '--reason', 'x', '--confirm', 'any'], env);
      assert.doesNotMatch(old.stdout, /1 gone/, old.stdout);
      const recordings = (names: readonly string[]): readonly string[] =>
        names.filter((name) => name.startsWith('recordings/') || name.startsWith('holds/'));
      assert.deepEqual(recordings(await scene.names()), recordings(before), String(shiftMs));
    }
  });

test('retire goes by the clock of Genesys: what is young stays there, and what is old is asked for once', async (t) => {
  const [scene, server] = [await openFolderScene(), await startGenesysServer()];
  t.after(async () => {
    await scene.close();
    await server.close();
  });
  const { notes } = scene.archive;
  const signal = AbortSignal.timeout(200_000);
  for (const [recordingId, days] of AGES) {
    const day = dayAgo(days);
    const recording = { recordingId, conversationId: `c-${recordingId}` };
    await scene.store(recording, { recordedAt: `${day}T10:00:00.000Z` });
    server.addRecording({ ...recording, files: [] });
    await writeProof('complete', { day, verdict: 'complete' }, { notes, at: new Date() }, signal);
    const run = { part: { part: 1, of: 1 }, days: [day, day], recordings: 1, findings: 0, damagedDays: [] } as const;
    await writeReading(run, { notes, at: new Date(), service: '0' }, signal);
  }
  const line = ['retire', '--from', dayAgo(110), '--to', dayAgo(5), '--grace', '7d', '--json'];
  for (const shiftMs of [-2 * HOUR_MS, 3 * HOUR_MS, 400 * DAY_MS]) {
    const printed = await runArchiver([...line, '--confirm', '1'], {
      ...server.environment(),
      ...scene.env,
      ...shifted(shiftMs),
    });
    assert.deepEqual(server.requests('restore:young'), [], 'ten days old, by whatever clock');
    assert.ok(printed.code === 0 || printed.code === 4, printed.stdout + printed.stderr);
  }
  assert.equal(server.requests('restore:old').length, 1);
});

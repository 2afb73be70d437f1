/** The clock of whoever seals jumps by minutes, days and years, between two seals and between two processes: nothing of it calls itself damaged. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock, test } from 'node:test';
import { writeProof } from '../../src/archive/proofs.ts';
import { BucketAudit } from '../../src/audit/bucket-audit.ts';
import { FolderAudit } from '../../src/audit/folder-audit.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { type Place, PLACES } from '../support/archive/places.ts';
import { runInside } from '../support/commands/inside.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';

const { signal } = new AbortController();
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const YEAR_MS = 365 * DAY_MS;
/** When it is, whatever the machine says. */
const NOW = Date.parse('2026-11-20T12:00:00.000Z');
const SHIFTS_MS = [0, 30_000, -20_000, 5 * MINUTE_MS, 0, 40 * YEAR_MS, 0, -3 * DAY_MS, -30 * YEAR_MS, 0];

function dayOf(index: number): string {
  return `2026-03-${String(index + 1).padStart(2, '0')}`;
}

async function storeDay(place: Place, index: number): Promise<void> {
  const recording = { conversationId: `c${String(index)}`, recordingId: 'r' };
  const facts = { recordedAt: `${dayOf(index)}T09:30:00.000Z` };
  await store(place.archive, recording, { head: bytesOf('h', 100), clusters: [bytesOf(String(index), 400)], facts });
  const proof = { day: dayOf(index), verdict: 'complete' };
  await writeProof('complete', proof, { notes: place.archive.notes, at: new Date(NOW) }, signal);
}

function run(place: Pick<Place, 'env'>, ...args: readonly string[]): Promise<Printed> {
  return runInside([...args, '--json', '--quiet'], { LOG_LEVEL: 'error', ...place.env });
}

/** Each in the turn of one that has just come to be, as another process would. */
async function at(shiftMs: number, work: () => Promise<void>): Promise<void> {
  mock.timers.enable({ apis: ['Date'], now: NOW + shiftMs });
  try {
    await work();
  } finally {
    mock.timers.reset();
  }
}

for (const [name, open] of PLACES)
  test(`seals in ${name} by clocks that jump: one chain without findings, which says where a clock was wrong; certificates hold`, async (t) => {
    await using place = await open();
    for (const [index, shiftMs] of SHIFTS_MS.entries())
      await at(shiftMs, async () => {
        await storeDay(place, index);
        const printed = await run(place, 'verify');
        assert.equal(printed.code, 0, printed.stdout + printed.stderr);
        assert.equal(linesOf(printed).at(-1)?.['sealed'], 1);
      });
    const printed = await run(place, 'verify');
    const lines = linesOf(printed);
    assert.deepEqual([printed.code, lines.filter(({ type }) => type === 'finding')], [0, []]);
    const turns = lines.filter(({ type }) => type === 'clock');
    const moment = (shiftMs: number): string => new Date(NOW + shiftMs).toISOString();
    assert.deepEqual(
      turns.map(({ seal, at: time, behind }) => [seal, time, behind]),
      [
        [5, moment(0), moment(5 * MINUTE_MS)],
        [7, moment(0), moment(40 * YEAR_MS)],
        [8, moment(-3 * DAY_MS), moment(0)],
        [9, moment(-30 * YEAR_MS), moment(-3 * DAY_MS)],
      ],
      'half a minute is the drift of two clocks',
    );
    const said = (await runInside(['verify'], place.env)).stdout;
    assert.match(said, /seal 7 says 2026-.* and was made after seal 6, which says 2066-.* was wrong/);
    const folder = await mkdtemp(join(tmpdir(), 'seals-clock-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const CERTIFICATE_KEY = generateKeyPairSync('ed25519')
      .privateKey.export({ type: 'pkcs8', format: 'pem' })
      .toString();
    // Of a day that has not come by the clock there is none, and that is said.
    for (const [index, shiftMs] of [...SHIFTS_MS.entries()].filter(([n]) => n % 4 === 1))
      await at(Math.abs(shiftMs), async () => {
        const into = join(folder, String(index));
        const signing = { ...place, env: { ...place.env, CERTIFICATE_KEY } };
        const made = await run(signing, 'certificate', '--day', dayOf(index), '--to', into);
        assert.equal(made.code, 0, made.stdout + made.stderr);
        for (const file of (await readdir(into)).filter((one) => one.endsWith('.json'))) {
          const held = await run(place, 'verify', '--certificate', join(into, file));
          assert.equal(held.code, 0, held.stdout);
        }
      });
  });

test('the record of who did what in a folder: found by its own time, and whole, whatever the clock said', async () => {
  const open = PLACES.find(([name]) => name.includes('folder'))?.[1];
  assert.ok(open !== undefined);
  await using place = await open();
  const root = new URL(place.env['ARCHIVE_URL'] ?? '').pathname;
  const whos: [string, string][] = [];
  for (const [index, shiftMs] of [...SHIFTS_MS, DAY_MS, 0, 2 * DAY_MS].entries()) {
    const now = new Date(NOW + shiftMs);
    const audit = new FolderAudit({ root, now: () => now });
    await audit.record({ action: 'listened', who: `w${String(index)}`, way: 'key' }, signal);
    await audit.close();
    whos.push([now.toISOString().slice(0, 10), `w${String(index)}`]);
    const days = new Set(whos.map(([day]) => day));
    for (const day of days) {
      const found: string[] = [];
      for await (const { who } of audit.read({ from: day, to: day }, signal)) found.push(who);
      const expected = whos.flatMap(([on, who]) => (on === day ? [who] : []));
      assert.deepEqual(found.toSorted(), expected.toSorted(), `${day} after ${String(index + 1)} records`);
    }
    assert.deepEqual(await audit.verify(signal), { records: whos.length, findings: [] });
  }
});

test('a day of that record which was sealed by a clock that was ahead goes on, and is whole; what was cut of it is found', async () => {
  const open = PLACES.find(([name]) => name.includes('folder'))?.[1];
  assert.ok(open !== undefined);
  await using place = await open();
  const root = new URL(place.env['ARCHIVE_URL'] ?? '').pathname;
  const note = async (): Promise<void> => {
    const audit = new FolderAudit({ root, now: () => new Date(NOW) });
    await audit.record({ action: 'listened', who: 'qa', way: 'key' }, signal);
    await audit.close();
  };
  await note();
  await note();
  await at(40 * DAY_MS, async () => {
    assert.equal((await run(place, 'verify')).code, 0);
  });
  await note();
  const whole = await run(place, 'verify', '--audit');
  assert.equal(whole.code, 0, whole.stdout);
  const file = 'audit/2026-11-20.ndjson';
  const text = (await place.bytes(file)).toString();
  await place.write(file, text.slice(0, text.indexOf('\n') + 1));
  const cut = await run(place, 'verify', '--audit');
  assert.equal(cut.code, 3);
  assert.match(cut.stdout, /seal 1 names 2 records of it, 1 are there/);
});

test('in a bucket a record that comes into a sealed day is named, with the clock that may have put it there', async () => {
  const open = PLACES.find(([name]) => name.includes('bucket'))?.[1];
  assert.ok(open !== undefined);
  await using place = await open();
  const note = (shiftMs: number): Promise<void> =>
    new BucketAudit(place.archive.notes, () => new Date(NOW + shiftMs)).record(
      { action: 'listened', who: 'qa', way: 'key' },
      signal,
    );
  await note(0);
  await at(5 * DAY_MS, async () => {
    assert.equal((await run(place, 'verify')).code, 0);
  });
  await note(5 * DAY_MS);
  assert.equal((await run(place, 'verify', '--audit')).code, 0);
  await note(MINUTE_MS);
  const late = await run(place, 'verify', '--audit');
  assert.equal(late.code, 3);
  assert.match(late.stdout, /seal 1 names 1 records of it, 2 are there; what was put there since may come of a clock/);
});

/** What a worker did, counted, written, read together with others, and forgotten when it is old. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createMetrics } from '../src/telemetry/metrics.ts';
import { beatsTogether, endPulse, type Pulse, PulseTally, readPulses, writePulse } from '../src/pulse.ts';
import { type FolderHarness, openFolderHarness } from './support/archive/folder.ts';

const soon = (): AbortSignal => AbortSignal.timeout(120_000);

let harness: FolderHarness;
before(async () => {
  harness = await openFolderHarness();
});
after(() => harness.close());

function pulse(instance: string, change: Partial<Pulse> = {}): Pulse {
  const at = new Date().toISOString();
  const beats = [
    { at: '2026-11-27T17:05:00.000Z', accepted: 3, archived: 2, failed: 1, postponed: { 'upstream-timeout': 2 } },
  ];
  const about = { version: 1, instance, command: 'worker', service: '0', startedAt: at, at } as const;
  return { ...about, slots: 4, waiting: 2, calls: null, checks: [], beats, ...change };
}

test('what passes is counted by five minutes, and in the metrics as before', async () => {
  let now = new Date('2026-11-27T17:07:00Z');
  const tally = new PulseTally(() => now);
  const plain = createMetrics();
  const metrics = tally.over(plain);
  metrics.accepted('recording', 3);
  metrics.archived('join');
  metrics.failed('gone');
  metrics.postponed('upstream-timeout', 'again');
  metrics.troubled('upstream-timeout');
  now = new Date('2026-11-27T17:11:00Z');
  metrics.archived('join');
  assert.deepEqual(tally.beats(), [
    { at: '2026-11-27T17:05:00.000Z', accepted: 3, archived: 1, failed: 1, postponed: { 'upstream-timeout': 2 } },
    { at: '2026-11-27T17:10:00.000Z', accepted: 0, archived: 1, failed: 0, postponed: {} },
  ]);
  for (const figure of [
    /archiver_events_accepted_total\{kind="recording"\} 3/,
    /archiver_recordings_archived_total\{way="join"\} 2/,
    /archiver_recordings_failed_total\{code="gone"\} 1/,
  ])
    assert.match(await plain.text(), figure);
  now = new Date('2026-11-27T23:09:00Z');
  assert.deepEqual(
    tally.beats().map(({ at }) => at),
    ['2026-11-27T17:10:00.000Z'],
  );
  for (let beat = 0; beat < 200; beat += 1) {
    now = new Date(now.getTime() + 300_000);
    metrics.archived('join');
  }
  assert.equal(tally.beats().length, 72);
});

test('those of all workers are read together, but for one that has stopped and what is none', async () => {
  const { notes } = harness.archive;
  await writePulse(pulse('a'), notes, soon());
  await writePulse(pulse('b'), notes, soon());
  await writePulse(pulse('b', { waiting: 9 }), notes, soon());
  await notes.replace('status/c.json', 'not json', soon());
  await notes.replace('status/d.json', '{"version":2}', soon());
  const read = await readPulses(notes, new Date(), soon());
  assert.deepEqual(
    read.map(({ instance, waiting }) => `${instance} ${String(waiting)}`),
    ['a 2', 'b 9'],
  );
  assert.deepEqual(beatsTogether(read), [
    { at: '2026-11-27T17:05:00.000Z', accepted: 6, archived: 4, failed: 2, postponed: { 'upstream-timeout': 4 } },
  ]);
  assert.deepEqual(await readPulses(notes, new Date(Date.now() + 121_000), soon()), []);
  await endPulse('a', notes, soon());
  assert.deepEqual(
    (await readPulses(notes, new Date(), soon())).map(({ instance }) => instance),
    ['b'],
  );
});

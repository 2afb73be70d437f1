import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { forecast } from '../../src/commands/forecast.ts';
import { Report } from '../../src/commands/report.ts';
import { daysBetween } from '../../src/instant.ts';

const { signal } = new AbortController();
const NOW = new Date('2026-11-28T09:00:00Z');
const TEN_YEARS = daysBetween('2016-11-28', '2026-11-27');

test('ten years say how many calls and hours they take before they start; a month says nothing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'forecast-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { notes } = openFolderArchive({ path: join(folder, 'archive'), linkKeys: [], publicUrl: 'http://localhost' });
  const said = async (days: readonly string[], share: number): Promise<unknown> => {
    const out = new PassThrough();
    const report = new Report({ json: true, quiet: true, out, err: new PassThrough() });
    await forecast(days, { notes, share, report, now: NOW }, signal);
    const line = String(out.read() ?? '');
    return line === '' ? undefined : (JSON.parse(line) as unknown);
  };
  assert.deepEqual(await said(TEN_YEARS, 1), { type: 'forecast', days: 3652, calls: null, hours: null });
  for (const [day, conversations] of [
    ['2026-11-25', 900],
    ['2026-11-26', 1_100],
  ] as const)
    await writeProof('complete', { day, verdict: 'complete', conversations }, { notes, at: NOW }, signal);
  // 3,652 days of 1,000 conversations: a call each, one for a thousand of them, and three a day.
  const calls = 3652 * 1004;
  assert.deepEqual(await said(TEN_YEARS, 1), {
    type: 'forecast',
    days: 3652,
    calls,
    hours: Math.ceil(calls / 300 / 60),
  });
  assert.deepEqual(await said(TEN_YEARS, 0.5), {
    type: 'forecast',
    days: 3652,
    calls,
    hours: Math.ceil(calls / 150 / 60),
  });
  assert.equal(await said(TEN_YEARS.slice(-31), 1), undefined);
});

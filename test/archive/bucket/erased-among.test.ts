/** Which of many lines were erased: by one listing where marks are few, one by one where they are many; the same answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { erasedAmong } from '../../../src/archive/erased.ts';
import { openBucketHarness, PREFIX } from '../../support/archive/bucket.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const SUBJECTS = [
  { recordingId: 'r1', conversationId: 'c1' },
  { recordingId: 'r2', conversationId: 'c1' },
  { recordingId: 'r3', conversationId: 'c2' },
  { recordingId: undefined, conversationId: 'c2' },
  { recordingId: 'r4', conversationId: undefined },
  { recordingId: 'r5', conversationId: undefined },
  { recordingId: '8F1C7A52-6F0A-4E0E-9A41-2F6F3C2A1B77', conversationId: 'c3' },
];
const MARKED = ['c1.r2', 'c2._', '_.r4', 'c3.8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77'];

for (const others of [0, 3_000])
  test(`beside ${String(others)} other marks`, async (t) => {
    const { archive, server, ...harness } = await openBucketHarness();
    t.after(() => harness.close());
    const more = Array.from({ length: others }, (_, n) => `other.${String(n)}`);
    for (const key of [...MARKED, ...more]) server.put(`${PREFIX}/erased/${key}.json`, Buffer.from('{}'));
    const erased = await erasedAmong(SUBJECTS, archive.notes, signal());
    assert.deepEqual(
      erased,
      [1, 2, 3, 4, 6].map((at) => SUBJECTS[at]),
    );
    assert.deepEqual(server.count('media') > 0, others > 0);
    assert.ok(server.count('list') <= 2, 'no more is listed than asking costs');
  });

/** Three days of a conversation with several events in the embedded queue, in simulated time: the looks at it are counted. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openQueueFile } from '../../../src/queue/sqlite/file.ts';
import { MessageTable } from '../../../src/queue/sqlite/table.ts';
import { LOOK_AGAIN_AFTER_MS, nextLookAfter, type HowMuchIsListed } from '../../../src/delivery/schedule.ts';

const MINUTE = 60_000;
const START = Date.UTC(2026, 10, 2);
const CONVERSATION = { kind: 'conversation', conversationId: 'c-1' } as const;

interface Look {
  readonly atMs: number;
  readonly acceptedMs: number;
}

/** Events at these times after the first. */
function looksAt(t: TestContext, eventsMs: readonly number[], listed: HowMuchIsListed): readonly Look[] {
  const folder = mkdtempSync(join(tmpdir(), 'looks-'));
  const file = openQueueFile(join(folder, 'queue.db'));
  t.after(() => {
    file.close();
    rmSync(folder, { recursive: true });
  });
  let now = START;
  const table = new MessageTable(file.database, { now: () => now, maxLost: 5 });
  const looks: Look[] = [];
  const events = eventsMs.map((afterMs) => START + afterMs);
  for (;;) {
    now = Math.max(now, Math.min(events[0] ?? Infinity, table.nextDueAt(false)));
    if (!Number.isFinite(now)) return looks;
    while ((events[0] ?? Infinity) <= now) {
      events.shift();
      table.put(CONVERSATION);
    }
    for (const claim of table.claim({ token: 't', leaseMs: MINUTE, limit: 1 })) {
      const acceptedMs = claim.acceptedAt.getTime();
      looks.push({ atMs: now, acceptedMs });
      const afterMs = nextLookAfter(now - acceptedMs, listed);
      table.settle(
        claim,
        afterMs === undefined ? { outcome: 'done' } : { outcome: 'wait', afterMs, soonestMs: LOOK_AGAIN_AFTER_MS },
      );
    }
  }
}

const BURSTS = [
  [0],
  [0, 1, 2, 3, 4],
  [0, MINUTE],
  [0, MINUTE, 2 * MINUTE],
  [0, 2 * MINUTE, 2 * MINUTE + 30_000, 2 * MINUTE + 59_000],
];

for (const [listed, bound] of [
  ['nothing', 6],
  ['something', 4],
  ['all', 4],
] as const)
  test(`several events at the end of a conversation with ${listed} make ${String(bound)} looks at most (C1)`, (t) => {
    for (const eventsMs of BURSTS) {
      const looks = looksAt(t, eventsMs, listed);
      assert.ok(looks.length <= bound, `${JSON.stringify(eventsMs)}: ${String(looks.length)} looks`);
      const last = START + (eventsMs.at(-1) ?? 0);
      assert.equal(looks.at(-1)?.acceptedMs, last);
      assert.ok((looks.at(-1)?.atMs ?? 0) >= last + 72 * 60 * MINUTE - 1_000, 'until three days after the last event');
    }
  });

test('events that go on for an hour, one a minute, put off no look for more than two pauses (C1)', (t) => {
  const looks = looksAt(
    t,
    Array.from({ length: 60 }, (_, index) => index * MINUTE),
    'something',
  );
  for (const [index, { atMs }] of looks.entries()) {
    if (atMs > START + 60 * MINUTE) break;
    assert.ok(atMs - (looks[index - 1]?.atMs ?? START) <= 2 * LOOK_AGAIN_AFTER_MS);
  }
});

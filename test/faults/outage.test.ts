/** Genesys is out of order for everyone: the slots alone ask it, the backlog waits untouched, and drains when it is back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFaultScene } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { startService } from '../support/service/service.ts';

const SLOTS = 2;
const BACKLOG = 30;
/** Questions that are answered 503: the outage lasts until somebody has asked so often. */
const OUTAGE = 14;
/** Questions of one delivery, at least, before it goes back to the queue: its patience of 20 s holds so many. */
const TRIES = 5;

test(
  'in an outage only the slots ask, ever less often; then the backlog drains by itself, without a herd (SR-11)',
  { timeout: 120_000 },
  async (t) => {
    await using scene = await openFaultScene();
    const recordings = Array.from({ length: BACKLOG }, () => scene.add(FIXTURES.opus));
    scene.genesys.fault('metadata:*', 'return-503', OUTAGE);
    await using service = await startService('serve', { ...scene.env, TRANSCODE_SLOTS: String(SLOTS) });
    await scene.accept(service, recordings);
    const ended = new Map<string, number>();
    for (const recording of recordings)
      ended.set(recording.recordingId, (await scene.archived(service, recording)).attempt);
    scene.genesys.assertFaultsUsed();

    const asked = scene.genesys.requests('metadata:*');
    const during = asked.slice(0, OUTAGE);
    const troubled = new Set(during.map(({ route }) => route));
    const most = SLOTS + Math.floor(OUTAGE / TRIES);
    assert.ok(
      troubled.size <= most,
      `${String(troubled.size)} recordings met the outage, though at most ${String(most)} had to`,
    );
    assert.equal(asked.length, BACKLOG + OUTAGE, 'whoever was not refused asked once');
    assert.deepEqual(
      [...ended.values()].filter((attempt) => attempt > 1),
      [],
      'no attempt was counted, whoever met it',
    );
    const spanS = ((during.at(-1)?.at ?? 0) - (during[0]?.at ?? 0)) / 1000;
    const drainS = ((asked.at(-1)?.at ?? 0) - (during.at(-1)?.at ?? 0)) / 1000;
    t.diagnostic(
      `${String(OUTAGE)} requests in ${spanS.toFixed(1)} s of outage by ${String(SLOTS)} slots, ${String(troubled.size)} of ${String(BACKLOG)} ` +
        `recordings met it; the rest drained in ${drainS.toFixed(1)} s`,
    );
  },
);

/** Kills the real service again and again while events come in: what was acknowledged ends archived, once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Recording } from '../../src/recording.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { NO_CENSUS, survivors } from '../support/service/children.ts';
import { listing } from '../support/service/journey.ts';
import { type KillScene, openKillScene, patience, PROOF, stopWell } from '../support/service/kill-scene.ts';
import { send } from '../support/service/senders.ts';
import { type Service, until } from '../support/service/service.ts';
import { runs, SEED, seeded } from '../support/soak.ts';

const KILLS = runs(4, 60);
/** In the first of so many rounds the service is stopped rather than killed. */
const STOP_EVERY = 5;

/** What was sent in all, and acknowledged. */
interface Ledger {
  readonly sent: Recording[];
  readonly acked: Recording[];
}

test(
  `invariants 1, 2 and 3: killed ${String(KILLS)} times while events come in, nothing is lost (QU-09, IN-23, PR-01)`,
  { timeout: 120_000 + KILLS * 60_000, skip: NO_CENSUS },
  async (t) => {
    await using scene = await openKillScene({ TRANSCODE_SLOTS: '2' });
    const random = seeded(SEED);
    const ledger: Ledger = { sent: [], acked: [] };
    const { sent, acked } = ledger;
    let encodersLeft = 0;
    for (let kills = 0, round = 1; kills < KILLS; round += 1) {
      const service = await scene.start();
      const sending = [1, 2].map((lane) =>
        sendUntilGone(scene, service, { ledger, name: `round-${String(round)}-${String(lane)}` }),
      );
      // So many events later, and a moment anywhere in what they set going.
      const enough = acked.length + 2 + Math.floor(random() * 8);
      await until(() => acked.length >= enough || undefined, patience());
      await delay(random() * 300);
      if (round % STOP_EVERY === 1) await stopWell(service, { t, what: `in round ${String(round)}` });
      else {
        const left = await service.kill();
        kills += 1;
        encodersLeft += left.filter(({ name }) => name === 'ffmpeg').length;
        assert.deepEqual(await survivors(left, 2_000), [], 'an encoder outlived its service by 2 s');
      }
      await Promise.all(sending);
    }
    const last = await scene.start();
    await scene.drained(last);
    const entries = await listing(scene.objects);
    const archived = new Set(
      entries.filter(({ status }) => status === 'archived').map(({ recording }) => String(recording.recordingId)),
    );
    const lost = acked.filter(({ recordingId }) => !archived.has(recordingId));
    assert.deepEqual(lost, [], 'acknowledged and lost');
    const acknowledged = new Set(acked.map(({ recordingId }) => recordingId));
    const recovered = [...archived].filter((recordingId) => !acknowledged.has(recordingId)).length;
    await scene.audit(sent.filter(({ recordingId }) => archived.has(recordingId)));
    t.diagnostic(
      `sent ${String(sent.length)}, acknowledged ${String(acked.length)}, archived ${String(archived.size)}, ` +
        `lost 0, recovered ${String(recovered)}, kills ${String(KILLS)}, encoders killed with it ${String(encodersLeft)}`,
    );
    await stopWell(last, { t, what: 'in the end' });
  },
);

/** Sends one event after the other, a few a second, until nobody answers any more. */
async function sendUntilGone(
  scene: KillScene,
  service: Service,
  { ledger, name }: { readonly ledger: Ledger; readonly name: string },
): Promise<void> {
  for (let count = 0; ; count += 1) {
    const recording = scene.add(`${name}-${String(count)}`, count % 4 === 1 ? FIXTURES.ulaw : FIXTURES.opus);
    ledger.sent.push(recording);
    const receipt = await send(service.url, recording, PROOF).catch(() => undefined);
    if (receipt === undefined) return;
    if (receipt.status === 202) ledger.acked.push(recording);
    else assert.equal(receipt.status, 503, receipt.body);
    await delay(120);
  }
}

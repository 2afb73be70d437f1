/** A right or a division taken away while the service looks at night: nothing is proven that was not seen, the log names it, and the night after mends it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newestProof } from '../../src/archive/proofs.ts';
import { assertTrue, HIDES, loseAt, LOSSES, scriptTruth, TRUTH, WHOLE } from '../support/genesys/lost-rights.ts';
import { daysAgo, type Night, openNight } from '../support/service/night.ts';
import { runs } from '../support/soak.ts';

const signal = (): AbortSignal => AbortSignal.timeout(300_000);
const ALL = TRUTH.flatMap(({ conversationId, recordings }) =>
  recordings.map((recordingId) => ({ conversationId, recordingId })),
);

/** Steps of a night that has a day to look at, recordings to fetch, and the same day to look at again. */
const STEPS = [
  ['token', 1],
  ['token', 2],
  ['analytics-availability', 1],
  ['analytics-results', 1],
  ['list:', 1],
  ['list:', 3],
  ['batch', 1],
  ['batch-status', 1],
  ['recording:', 1],
  ['recording:', 3],
  ['analytics-results', 2],
  ['list:', 6],
  ['analytics-query', 1],
] as const;

const RIGHTS =
  /give the role of GENESYS_CLIENT_ID (recording|analytics):\w+:view|lacks? .*(recording|analytics):\w+:view/;

async function countArchived({ archive }: Night): Promise<number> {
  const found = await Promise.all(ALL.map((one) => archive.find(one, signal())));
  return found.filter((manifest) => manifest !== undefined).length;
}

/** A night as `serve` works it: what ends it early stands in the log as a warning. */
async function worked(night: Night): Promise<readonly string[]> {
  const lines = await night
    .look()
    .catch((thrown: unknown) => [...night.said(), { severity: 'WARNING', thrown: String(thrown) }]);
  return lines.filter((line) => line['severity'] !== 'INFO').map((line) => JSON.stringify(line));
}

for (const hides of HIDES)
  test(`a right is lost at night, where what is hidden is ${hides}: named, nothing proven of it, and mended the night after`, async (t) => {
    const day = daysAgo(1);
    const rows = STEPS.flatMap((step) => Object.keys(LOSSES).map((loss) => [step, loss] as const));
    for (const [[route, nth], loss] of rows.filter((_, index) => (index + 3 * hides.length) % runs(41, 1) === 0)) {
      const night = await openNight(t, true);
      const { analytics } = night.genesys;
      const { dataUntil } = analytics;
      // A night with all rights, before the day is over.
      analytics.dataUntil = `${day}T06:00:00.000Z`;
      scriptTruth(night.genesys, day, 'nothing yet');
      assert.deepEqual(await worked(night), []);
      analytics.dataUntil = dataUntil;
      scriptTruth(night.genesys, day);
      const isLost = loseAt(night.genesys, route, nth, loss, hides);
      const warnings = await worked(night);
      const where = `${loss} at ${route}${String(nth)} (${String(isLost())}): ${warnings.join('\n')}`;
      const proof = await newestProof('complete', day, night.archive.notes, signal());
      if (proof !== undefined && proof.verdict !== 'incomplete') assertTrue(proof, where);
      const isWhole = proof?.verdict === 'complete' && proof['conversations'] === TRUTH.length;
      if (!isWhole)
        assert.ok(
          warnings.some((line) => RIGHTS.test(line)),
          where,
        );
      night.genesys.organization.onRequest = undefined;
      Object.assign(night.genesys.organization, { grants: { default: WHOLE } });
      const after = await worked(night);
      const mended = await newestProof('complete', day, night.archive.notes, signal());
      assert.deepEqual(
        [mended?.verdict, mended?.['conversations'], mended?.['archived']],
        ['complete', TRUTH.length, ALL.length],
        `${where}\nnight after: ${after.join('\n')}`,
      );
      assert.deepEqual([await countArchived(night), after], [ALL.length, []], where);
    }
  });

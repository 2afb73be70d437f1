/** The service verifies its archive by itself: what somebody changed there is said, counted and shown, and a part is read each night. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { isInPart, partOfDay } from '../../src/archive/part.ts';
import { newestReading } from '../../src/archive/proofs.ts';
import { openAudit } from '../../src/audit/open-audit.ts';
import { readConfig } from '../../src/config/config.ts';
import { Failure } from '../../src/failure.ts';
import { dayAt } from '../../src/instant.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { keyOf } from '../../src/recording.ts';
import { NightlyVerification } from '../../src/services/verify-at-night.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { type Place, PLACES } from '../support/archive/places.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { startService } from '../support/service/service.ts';

const signal = (): AbortSignal => AbortSignal.timeout(240_000);
const NOW = Date.now();
const PART = partOfDay(dayAt(NOW), 30);

/** Names of recordings of the part that is read tonight, and of one that is not. */
function namesIn(wanted: boolean, count: number): readonly string[] {
  const names = Array.from({ length: 5_000 }, (_, index) => `r${String(index)}`);
  return names
    .filter((recordingId) => isInPart(keyOf({ recordingId, conversationId: 'c1' }), PART) === wanted)
    .slice(0, count);
}

interface Nights {
  readonly place: Place;
  /** The lines that one night logged. */
  readonly night: () => Promise<readonly Readonly<Record<string, unknown>>[]>;
  readonly figures: () => Promise<string>;
}

async function setUp(place: Place): Promise<Nights> {
  for (const recordingId of [...namesIn(true, 2), ...namesIn(false, 2)])
    await store(
      place.archive,
      { recordingId, conversationId: 'c1' },
      { head: bytesOf(recordingId, 100), clusters: [bytesOf(`${recordingId} c`, 900)] },
    );
  const config = readConfig({ ...place.env, ...NOBODY }, 'serve');
  const stream = new PassThrough();
  const log = createLog({ level: 'info', secrets: [], stream });
  const metrics = createMetrics();
  const folder = config.archive.kind === 'folder' ? config.archive.path : undefined;
  const audit = await openAudit({ folder, notes: place.archive.notes });
  const context = { config, log, metrics, version: '9', stopping: signal() };
  const verification = new NightlyVerification(context, {
    archive: place.archive,
    audit,
    now: () => new Date(NOW),
  });
  return {
    place,
    async night() {
      await verification.run(signal());
      const lines = String(stream.read() ?? '').split('\n');
      return lines.filter(Boolean).map((line) => ({ ...(JSON.parse(line) as Record<string, unknown>) }));
    },
    figures: () => metrics.text(),
  };
}

const NOBODY = {
  WEBHOOK_AUTH: 'none',
  API_AUTH: 'none',
  GENESYS_REGION: 'mypurecloud.de',
  GENESYS_CLIENT_ID: 'id',
  GENESYS_CLIENT_SECRET: 'secret-of-the-client',
};

for (const [name, open] of PLACES)
  describe(`the night of a ${name}`, () => {
    test('reads its part, compares the rest, and says that all is well', { timeout: 240_000 }, async () => {
      await using place = await open();
      const { night, figures } = await setUp(place);
      const lines = await night();
      assert.deepEqual(
        lines.map(({ message, severity }) => [severity, message]),
        [['INFO', 'The archive was compared with its manifests.']],
      );
      assert.deepEqual(
        [lines[0]?.['recordings'], lines[0]?.['read'], lines[0]?.['findings']],
        [4, 2, 0],
        'two of four lie in the part of this night',
      );
      assert.match(await figures(), /^archiver_archive_findings 0$/m);
      const reading = await newestReading(place.archive.notes, new Date(), signal());
      assert.deepEqual([reading?.recordings, reading?.findings], [2, 0]);
    });

    test(
      'names what somebody changed with the command that looks at it, and counts it until it is mended',
      { timeout: 240_000 },
      async () => {
        await using place = await open();
        const { night, figures } = await setUp(place);
        const [read = '', short = ''] = [namesIn(true, 1)[0], namesIn(false, 1)[0]];
        const path = (recordingId: string): string => `recordings/c1/${recordingId}/recording.webm`;
        const whole = [await place.bytes(path(read)), await place.bytes(path(short))] as const;
        const flipped = Buffer.from(whole[0]);
        flipped[500] = (flipped[500] ?? 0) ^ 1;
        await place.write(path(read), flipped);
        await place.write(path(short), whole[1].subarray(1));
        const lines = await night();
        const named = lines.filter(({ severity }) => severity === 'ERROR');
        assert.deepEqual(
          new Set(named.map(({ message, state, key, next }) => [message, state, key, next].join('|'))),
          new Set(
            [read, short].map((recordingId) =>
              [
                'Something in the archive is not as it was stored.',
                'damaged',
                `c1.${recordingId}`,
                'archiver verify --from 2026-03-01 --to 2026-03-01',
              ].join('|'),
            ),
          ),
        );
        assert.match(await figures(), /^archiver_archive_findings 2$/m);
        assert.equal((await newestReading(place.archive.notes, new Date(), signal()))?.findings, 2);
        await place.write(path(read), whole[0]);
        await place.write(path(short), whole[1]);
        await night();
        assert.match(await figures(), /^archiver_archive_findings 0$/m);
      },
    );

    test('that nothing can be put on record takes nothing from what was found', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      const { night, figures } = await setUp(place);
      await place.write('recordings/c1/stray.txt', 'left here');
      const refused = (): never => {
        throw new Failure('archive-unavailable', 'The archive is read-only.');
      };
      t.mock.method(place.archive.notes, 'create', refused);
      const lines = await night();
      assert.equal(
        lines.find(({ severity }) => severity === 'WARNING')?.['message'],
        'What was verified could not be put on record.',
      );
      assert.match(await figures(), /^archiver_archive_findings 1$/m);
    });
  });

test('however much is wrong, a night fills no log', { timeout: 240_000 }, async () => {
  await using place = await PLACES[0][1]();
  const { night } = await setUp(place);
  for (let index = 0; index < 50; index += 1) await place.write(`days/2026-03-01/c1.none${String(index)}`, '');
  const lines = await night();
  assert.equal(lines.filter(({ severity }) => severity === 'ERROR').length, 20);
  assert.deepEqual(lines.at(-1)?.['states'], { stray: 50 });
});

test('the newest reading is found at the turn of a month and of a year, and an old one is none', async () => {
  await using place = await PLACES[0][1]();
  const reading = (at: string, findings: number): string =>
    JSON.stringify({
      version: 1,
      kind: 'read',
      at,
      part: '1/30',
      days: null,
      recordings: 7,
      findings,
      damagedDays: [],
    });
  for (const [at, findings] of [
    ['2026-10-30T03:00:00.000Z', 9],
    ['2026-12-30T03:00:00.000Z', 1],
    ['2026-12-31T03:00:00.000Z', 2],
  ] as const)
    await place.write(`proofs/read/${at}.json`, reading(at, findings));
  const newest = async (now: string): Promise<number | undefined> =>
    (await newestReading(place.archive.notes, new Date(now), signal()))?.findings;
  assert.equal(await newest('2027-01-01T12:00:00Z'), 2);
  assert.equal(await newest('2026-12-31T12:00:00Z'), 2);
  assert.equal(await newest('2026-11-15T12:00:00Z'), 9);
  assert.equal(await newest('2027-03-01T12:00:00Z'), undefined);
  await place.write('proofs/read/2027-01-01T03:00:00.000Z.json', '{ cut');
  assert.equal(await newest('2027-01-01T12:00:00Z'), 2, 'one that cannot be read hides none');
});

test('serve verifies at night unless RECONCILE says no', { timeout: 240_000 }, async (t) => {
  await using place = await PLACES[0][1]();
  const genesys = await startGenesysServer();
  t.after(() => genesys.close());
  for (const [RECONCILE, shown] of [
    ['nightly', true],
    ['no', false],
  ] as const) {
    const env = { ...genesys.environment(), ...place.env, WEBHOOK_AUTH: 'none', API_AUTH: 'none', RECONCILE };
    await using service = await startService('serve', env);
    const metrics = await (await fetch(`${service.url}/metrics`, { signal: signal() })).text();
    assert.equal(/^archiver_archive_findings /m.test(metrics), shown, RECONCILE);
    assert.equal((await service.stop()).code, 0);
  }
});

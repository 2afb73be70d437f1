/** Two backfills of the same days at once: the same end as one, each recording stored once, and nobody works without end. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { SCENES, type ArchiveScene, runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';

const DAYS = ['2026-11-25', '2026-11-26'] as const;
const RANGE = ['--from', DAYS[0], '--to', DAYS[1]] as const;
const COUNT = 4;

interface Scene {
  readonly genesys: GenesysServer;
  readonly scene: ArchiveScene;
  readonly run: (...args: string[]) => Promise<Printed>;
}

async function setUp(t: TestContext, open: () => Promise<ArchiveScene>): Promise<Scene> {
  const [genesys, scene] = [await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } }), await open()];
  t.after(async () => {
    await genesys.close();
    await scene.close();
  });
  genesys.analytics.pendingPolls = 0;
  for (let index = 0; index < COUNT; index += 1) {
    const [day = '', conversationId] = [DAYS[index % 2], `c${String(index)}`];
    genesys.analyze({ conversationId, start: `${day}T10:00:00.000Z`, end: `${day}T10:05:00.000Z` });
    genesys.addRecording({
      recordingId: `r${String(index)}`,
      conversationId,
      startTime: `${day}T10:00:00.000Z`,
      files: [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }],
    });
  }
  const env = { ...genesys.environment(), ...scene.env };
  return { genesys, scene, run: (...args) => runInProcess(args, env) };
}

for (const [kind, open] of SCENES)
  test(
    `two backfills of the same days at once in ${kind}: all is there once, and both end`,
    { timeout: 300_000 },
    async (t) => {
      const { genesys, scene, run } = await setUp(t, open);
      const both = await Promise.all([run('backfill', ...RANGE, '--json'), run('backfill', ...RANGE, '--json')]);
      for (const printed of both) {
        assert.equal(printed.code, 0, printed.stdout + printed.stderr);
        assert.deepEqual(
          linesOf(printed).filter(({ type }) => type === 'finding'),
          [],
        );
        const days = linesOf(printed).filter(({ type }) => type === 'day');
        assert.deepEqual(
          days.map(({ verdict, archived }) => [verdict, archived]),
          [
            ['complete', COUNT / 2],
            ['complete', COUNT / 2],
          ].slice(2 - days.length),
        );
      }
      const manifests = (await scene.names()).filter((name) => name.endsWith('/manifest.json'));
      assert.equal(manifests.length, COUNT);
      const media = genesys.requests('media:*').length;
      assert.ok(media >= COUNT && media <= 2 * COUNT, `${String(media)} downloads`);
      // A look before and one after for each run.
      assert.ok(genesys.requests('list:*').length <= 4 * COUNT);
      assert.deepEqual(
        (await scene.names()).filter((name) => name.startsWith('staging/')),
        [],
      );
      const verified = await run('verify', '--all', '--read');
      assert.equal(verified.code, 0, verified.stdout);
      const alone = genesys.requests().length;
      assert.equal((await run('backfill', ...RANGE)).code, 0);
      assert.equal(genesys.requests().length, alone, 'and a third has nothing to do');
    },
  );

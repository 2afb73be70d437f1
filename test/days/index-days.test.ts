/** The index of a day: as it is compared with Genesys, as it is made anew from an archive, over folder and bucket. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { Archive, Entry } from '../../src/archive/archive.ts';
import { listIndexFiles, readIndexDay } from '../../src/archive/day-index.ts';
import { encodeDetails, readDetails } from '../../src/archive/details.ts';
import { markErased } from '../../src/archive/erased.ts';
import { archivedRow, type IndexRow } from '../../src/archive/index-row.ts';
import { IndexWriter } from '../../src/archive/index-writer.ts';
import type { Manifest } from '../../src/archive/manifest.ts';
import { GenesysCensus } from '../../src/genesys/open-census.ts';
import { IndexDays } from '../../src/days/index-days.ts';
import { mendDay, proveDay } from '../../src/days/prove-day.ts';
import type { Recording } from '../../src/recording.ts';
import type { ArchiveHarness } from '../archive/suite.ts';
import { openBucketHarness } from '../support/archive/bucket.ts';
import { bytesOf, failureOf, store, waitingOf } from '../support/archive/content.ts';
import { openFolderHarness } from '../support/archive/folder.ts';
import { found } from '../support/archive/found.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

const [EVE, DAY, NEXT] = ['2026-02-28', '2026-03-01', '2026-03-02'];
const patience = (): AbortSignal => AbortSignal.timeout(200_000);

interface Scene {
  readonly genesys: GenesysServer;
  readonly harness: ArchiveHarness;
  readonly archive: Archive;
  readonly troubles: unknown[];
  index(keepsDetails?: boolean): IndexDays;
  store(recording: Recording, facts?: Partial<Manifest>): Promise<void>;
  /** A conversation of the day with one recording, known to Genesys. */
  call(name: string, start?: string): Recording;
  prove(day?: string, keepsDetails?: boolean): Promise<void>;
  rebuild(range?: { readonly from?: string; readonly to?: string }): Promise<Readonly<Record<string, number>>>;
  rows(day: string): Promise<readonly IndexRow[]>;
  files(day: string): Promise<readonly string[]>;
}

async function openScene(t: TestContext, harness: ArchiveHarness): Promise<Scene> {
  const genesys = await startGenesysServer();
  const census = new GenesysCensus(genesys.config(), { share: 1, pollMs: 1, baseDelayMs: 1 });
  t.after(async () => {
    await census.close();
    await genesys.close();
    await harness.close();
  });
  const { archive } = harness;
  const troubles: unknown[] = [];
  const index = (keepsDetails = true): IndexDays =>
    new IndexDays({ archive, keepsDetails, version: '1.2.3', onTrouble: (error) => troubles.push(error) });
  return {
    genesys,
    harness,
    archive,
    troubles,
    index,
    store: async (recording, facts = {}) => {
      const content = { head: bytesOf('head', 64), clusters: [bytesOf(recording.recordingId, 200)], facts };
      await store(archive, recording, content);
    },
    call(name, start = `${DAY}T10:00:00.000Z`) {
      const recording = { recordingId: `r-${name}`, conversationId: `c-${name}` };
      genesys.addRecording({ ...recording, files: [] });
      genesys.analyze({ conversationId: recording.conversationId, start, end: `${DAY}T11:00:00.000Z` });
      return recording;
    },
    async prove(day = DAY, keepsDetails = true) {
      const needs = { census, archive, version: '1.2.3', index: index(keepsDetails), onFinding: () => undefined };
      await proveDay(day, needs, patience());
    },
    async rebuild(range = {}) {
      const days: Record<string, number> = {};
      const entries = async function* (): AsyncGenerator<Entry> {
        yield* (await archive.list({ ...range, limit: 500 }, patience())).entries;
      };
      await index().rebuild(entries(), (day, lines) => void (days[day] = lines), patience());
      return days;
    },
    rows: async (day) =>
      [...(await readIndexDay(day, archive.notes, patience())).values()].toSorted((a, b) => (a.key < b.key ? -1 : 1)),
    async files(day) {
      const names: string[] = [];
      for await (const { name } of listIndexFiles(day, archive.notes, patience())) names.push(name);
      return names;
    },
  };
}

const briefOf = ({ key, status, code }: IndexRow): unknown => [key, status, code];

for (const [name, open] of [
  ['folder', openFolderHarness],
  ['bucket', openBucketHarness],
] as const) {
  describe(`the index in the ${name} archive`, () => {
    const check = (sentence: string, run: (scene: Scene) => Promise<void>): void => {
      test(sentence, { timeout: 400_000 }, async (t) => {
        await run(await openScene(t, await open()));
      });
    };

    check('a day that is compared has a line for whatever Genesys has of it, in one file', async (scene) => {
      const { archive } = scene;
      await scene.store(scene.call('here'));
      const failed = scene.call('failed');
      await archive.recordFailure(failed, failureOf(failed), patience());
      const waiting = scene.call('waits');
      await archive.recordWaiting(waiting, waitingOf(waiting), patience());
      scene.call('missing');
      const gone = scene.call('gone');
      scene.genesys.update(gone.recordingId, { fileState: 'DELETED' });
      scene.genesys.analyze({ conversationId: 'c-none', start: `${DAY}T10:00:00.000Z`, end: `${DAY}T10:01:00.000Z` });
      await scene.prove();
      assert.deepEqual((await scene.rows(DAY)).map(briefOf), [
        ['c-failed.r-failed', 'failed', 'unreadable-media'],
        ['c-gone.r-gone', 'failed', 'gone'],
        ['c-here.r-here', 'archived', null],
        ['c-missing.r-missing', 'waiting', 'not-ready'],
        ['c-none._', 'no-recordings', 'no-recordings'],
        ['c-waits.r-waits', 'waiting', 'misconfigured'],
      ]);
      for (const row of await scene.rows(DAY)) assert.equal(row.conversationStart, `${DAY}T10:00:00.000Z`, row.key);
      assert.equal((await scene.files(DAY)).length, 1);
      assert.deepEqual(scene.troubles, []);
    });

    check('compared again it is not written again; its details are asked of nobody', async (scene) => {
      await scene.store(scene.call('a'));
      await scene.prove();
      const [file = ''] = await scene.files(DAY);
      const before = await scene.harness.fingerprint(file);
      await scene.prove();
      assert.deepEqual(await scene.files(DAY), [file]);
      assert.equal(await scene.harness.fingerprint(file), before);
      assert.equal(scene.genesys.requests('details:*').length, 0);
    });

    check(
      'details that nobody kept are what analytics answers, of what is archived alone, and not with KEEP_DETAILS=no',
      async (scene) => {
        const { notes } = scene.archive;
        await scene.store(scene.call('a'));
        scene.call('missing');
        await scene.prove(DAY, false);
        assert.equal(await readDetails('c-a', notes, patience()), undefined);
        assert.equal((await scene.rows(DAY))[0]?.direction, null);
        await scene.prove();
        assert.equal((await readDetails('c-a', notes, patience()))?.direction, 'inbound');
        assert.equal(await readDetails('c-missing', notes, patience()), undefined);
        assert.equal((await scene.rows(DAY)).find(({ key }) => key === 'c-a.r-a')?.direction, 'inbound');
        const before = await scene.harness.fingerprint('conversations/c-a/details.json');
        await scene.prove();
        assert.equal(await scene.harness.fingerprint('conversations/c-a/details.json'), before);
      },
    );

    check(
      'lines of workers are put together with it; what Genesys has no more stays, what is erased or nowhere goes',
      async (scene) => {
        const onTrouble = (error: unknown): void => assert.fail(String(error));
        const kept = { recordingId: 'only-here', conversationId: 'c-old' };
        await scene.store(kept);
        const erased = { recordingId: 'canary', conversationId: 'c-erased' };
        const nowhere = { recordingId: 'nowhere', conversationId: 'c-nowhere' };
        {
          await using writer = new IndexWriter({ notes: scene.archive.notes, onTrouble });
          const manifest = await found(scene.archive, kept);
          for (const recording of [kept, erased, nowhere]) writer.note(archivedRow({ ...manifest, ...recording }));
        }
        const mark = {
          version: 1,
          ...erased,
          reason: 'asked for',
          by: 'test',
          erasedAt: `${DAY}T12:00:00.000Z`,
          days: [],
        } as const;
        await markErased(mark, scene.archive.notes, patience());
        await scene.store(scene.call('a'));
        await scene.prove();
        assert.deepEqual(
          (await scene.rows(DAY)).map(({ key }) => key),
          ['c-a.r-a', 'c-old.only-here'],
        );
        assert.equal((await scene.files(DAY)).length, 1);
      },
    );

    check('a call over midnight has its line on the day it started, and on no other', async (scene) => {
      const call = scene.call('late', `${EVE}T23:59:00.000Z`);
      await scene.store(call, { recordedAt: `${DAY}T00:00:30.000Z` });
      await scene.rebuild();
      assert.deepEqual(
        (await scene.rows(DAY)).map(({ key }) => key),
        ['c-late.r-late'],
      );
      await scene.prove(EVE);
      await scene.prove(DAY);
      assert.deepEqual(await scene.rows(DAY), []);
      assert.deepEqual(
        (await scene.rows(EVE)).map(({ key, startedAt }) => [key, startedAt]),
        [['c-late.r-late', `${DAY}T00:00:30.000Z`]],
      );
    });

    check('a day whose recordings were fetched meanwhile has the lines of the second look', async (scene) => {
      const call = scene.call('a');
      const census = new GenesysCensus(scene.genesys.config(), { share: 1, pollMs: 1, baseDelayMs: 1 });
      const needs = {
        census,
        archive: scene.archive,
        version: '1.2.3',
        index: scene.index(),
        onFinding: () => undefined,
        fetchable: new Set(['missing'] as const),
        fetch: () => scene.store(call),
      };
      await mendDay(DAY, needs, patience());
      await census.close();
      assert.deepEqual((await scene.rows(DAY)).map(briefOf), [['c-a.r-a', 'archived', null]]);
    });

    check(
      'an archive that never had an index gets one from what lies in it, with details where there are any',
      async (scene) => {
        const { archive } = scene;
        for (const [id, recordedAt] of [
          ['a', `${DAY}T09:30:00.000Z`],
          ['b', `${DAY}T09:31:00.000Z`],
          ['c', `${NEXT}T09:31:00.000Z`],
        ] as const)
          await scene.store({ recordingId: id, conversationId: 'c' }, { recordedAt });
        await scene.store({ recordingId: 'alone', conversationId: undefined }, { recordedAt: null });
        const failed = { recordingId: 'f', conversationId: 'd' };
        await archive.recordFailure(failed, failureOf(failed, { failedAt: `${NEXT}T12:00:00.000Z` }), patience());
        const about = { conversationId: 'c', at: new Date(), service: '1' };
        const details = encodeDetails({ conversationStart: `${DAY}T09:00:00Z`, externalTag: 'case-7' }, about);
        await archive.notes.replace('conversations/c/details.json', details, patience());
        const days = await scene.rebuild();
        assert.equal(scene.genesys.requests('*').length, 0);
        assert.deepEqual(Object.keys(days), [NEXT, DAY]);
        const tags = new Map((await scene.rows(DAY)).map(({ key, externalTag }) => [key, externalTag]));
        const tagged = ['c.a', 'c.b', 'c.c'].map((key) => [key, 'case-7'] as const);
        assert.deepEqual(tags, new Map(tagged));
        assert.deepEqual((await scene.rows(NEXT)).map(briefOf), [
          ['_.alone', 'archived', null],
          ['d.f', 'failed', 'unreadable-media'],
        ]);
        const before = await scene.harness.objects();
        await scene.rebuild();
        assert.deepEqual((await scene.harness.objects()).length, before.length);
      },
    );

    check('one day is made anew, and the others are left alone', async (scene) => {
      await scene.store({ recordingId: 'a', conversationId: 'c' }, { recordedAt: `${DAY}T09:30:00.000Z` });
      await scene.store({ recordingId: 'b', conversationId: 'd' }, { recordedAt: `${NEXT}T09:30:00.000Z` });
      assert.deepEqual(await scene.rebuild({ from: NEXT, to: NEXT }), { [NEXT]: 1 });
      assert.deepEqual(await scene.files(DAY), []);
    });
  });
}

test('a day whose index cannot be written is proven all the same, and it is said once', async (t) => {
  const harness = await openBucketHarness();
  const scene = await openScene(t, harness);
  await scene.store(scene.call('a'));
  await scene.store(scene.call('b'));
  harness.server.deny('create', 'calls/index/');
  await scene.prove();
  assert.equal(scene.troubles.length, 1);
  assert.ok((await harness.objects()).some((name) => name.startsWith(`proofs/${DAY}/`)));
});

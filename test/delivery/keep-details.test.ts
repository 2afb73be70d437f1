/** What is kept of a conversation beside its recordings: by the simulated Genesys, in a folder and in a bucket. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test, type TestContext } from 'node:test';
import type { Archive } from '../../src/archive/archive.ts';
import { parseDetails } from '../../src/archive/details.ts';
import type { IndexRow } from '../../src/archive/index-row.ts';
import type { Manifest } from '../../src/archive/manifest.ts';
import { createGenesys } from '../../src/genesys/open-genesys.ts';
import { type ErasedSubject, KeepDetails } from '../../src/delivery/keep-details.ts';
import { createLog } from '../../src/telemetry/log.ts';
import type { Settlement } from '../../src/queue/queue.ts';
import type { ArchiveHarness } from '../archive/suite.ts';
import { openBucketHarness } from '../support/archive/bucket.ts';
import { bytesOf, manifestOf } from '../support/archive/content.ts';
import { openFolderHarness } from '../support/archive/folder.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const patience = (): AbortSignal => AbortSignal.timeout(200_000);
const CALL = {
  conversationId: 'c',
  start: '2026-02-28T23:58:00.000Z',
  end: '2026-03-01T00:12:00.000Z',
} as const;
const LEG = 'leg-1';
const SAID = '{"transcripts":[{"phrases":[{"text":"canary-said"}]}]}';

interface Scene {
  readonly genesys: GenesysServer;
  readonly harness: ArchiveHarness;
  readonly archive: Archive;
  readonly rows: { readonly row: IndexRow; readonly day: string | undefined }[];
  readonly erased: Set<string>;
  readonly logged: () => string;
  store(recordingId: string, facts?: Partial<Manifest>): Promise<void>;
  work(ageMs: number): Promise<Settlement>;
  /** Names under conversations/. */
  kept(): Promise<readonly string[]>;
  text(name: string): Promise<string>;
}

async function openScene(
  t: TestContext,
  harness: ArchiveHarness,
  keeps: 'details' | 'transcript' = 'details',
): Promise<Scene> {
  const genesys = await startGenesysServer();
  const source = createGenesys(genesys.config(), { baseDelayMs: 1 });
  t.after(async () => {
    await source.close();
    await genesys.close();
    await harness.close();
  });
  const { archive } = harness;
  const stream = new PassThrough().setEncoding('utf8');
  let lines = '';
  stream.on('data', (chunk: string) => (lines += chunk));
  const rows: { readonly row: IndexRow; readonly day: string | undefined }[] = [];
  const erased = new Set<string>();
  const keepDetails = new KeepDetails({
    source: source.conversations,
    archive,
    index: { note: (row, day) => rows.push({ row, day }) },
    keepsTranscripts: keeps === 'transcript',
    areErased: async (subjects: readonly ErasedSubject[]) =>
      subjects.every(
        ({ conversationId, recordingId }) =>
          erased.has(`${conversationId}._`) || erased.has(`${conversationId}.${recordingId ?? '_'}`),
      ),
    log: createLog({ level: 'debug', secrets: [], stream }),
    version: '1.2.3',
  });
  return {
    genesys,
    harness,
    archive,
    rows,
    erased,
    logged: () => lines,
    async store(recordingId, facts = {}) {
      const recording = { recordingId, conversationId: 'c' };
      await using deposit = await archive.begin(recording, patience());
      await deposit.clusters.write(bytesOf(recordingId, 500));
      await deposit.commit(bytesOf('head', 100), 'audio/webm', (stored) => manifestOf(recording, stored, facts));
    },
    work: (ageMs) => {
      const acceptedAt = new Date(Date.now() - ageMs);
      const message = { kind: 'details', conversationId: 'c' } as const;
      return keepDetails.work({ message, attempt: 1, lost: 0, acceptedAt }, patience());
    },
    kept: async () => (await harness.objects()).filter((name) => name.startsWith('conversations/')).toSorted(),
    text: async (name) => (await harness.bytes(name)).toString(),
  };
}

/** A call of one leg, sound and screen. */
function callAt(genesys: GenesysServer): void {
  genesys.analyze(CALL);
  const annotations = [{ id: 'a', type: 'pause', reason: 'SecurePause', durationMs: 9_000 }];
  const files = [{ channel: '0', contentType: 'audio/ogg', bytes: Buffer.from('a') }];
  const extra = { sessionId: LEG, annotations, users: [{ id: 'u', name: 'Ada' }] };
  genesys.addRecording({ recordingId: 'sound', conversationId: 'c', files, extra });
  genesys.addRecording({ recordingId: 'screen', conversationId: 'c', files, media: 'screen', extra });
}

function outcomeOf(settlement: Settlement): readonly [string, number | undefined] {
  return [settlement.outcome, 'afterMs' in settlement ? Math.round(settlement.afterMs / MINUTE) : undefined];
}

for (const [name, open] of [
  ['folder', openFolderHarness],
  ['bucket', openBucketHarness],
] as const) {
  describe(`the ${name} archive keeps what is known of a conversation`, () => {
    const check = (
      sentence: string,
      run: (scene: Scene) => Promise<void>,
      keeps: 'details' | 'transcript' = 'details',
    ): void => {
      test(sentence, { timeout: 400_000 }, async (t) => {
        await run(await openScene(t, await open(), keeps));
      });
    };

    check(
      'of what lies there under ids in capitals as well, by the ids of today',
      async (scene) => {
        const [conversationId, recordingId] = ['c', 'abcdef01-0000-4000-8000-00000000000a'];
        scene.genesys.analyze(CALL);
        const files = [{ channel: '0', contentType: 'audio/ogg', bytes: Buffer.from('a') }];
        scene.genesys.addRecording({ recordingId, conversationId, files, extra: { sessionId: LEG } });
        scene.genesys.addTranscript({ conversationId, communicationId: LEG, recordingId, text: SAID });
        await scene.store(recordingId.toUpperCase());
        assert.deepEqual(await scene.work(49 * HOUR), { outcome: 'done' });
        assert.deepEqual(await scene.kept(), [
          'conversations/c/details.json',
          `conversations/c/recording.${recordingId}.json`,
          `conversations/c/transcript.${recordingId}.json`,
        ]);
      },
      'transcript',
    );

    check(
      'half an hour after the archiving, and not before: who, when, and what is noted of each recording',
      async (scene) => {
        callAt(scene.genesys);
        await scene.store('sound');
        await scene.store('screen');
        assert.deepEqual(outcomeOf(await scene.work(10 * MINUTE)), ['wait', 20]);
        assert.deepEqual(scene.genesys.requests('*'), []);
        assert.deepEqual(await scene.work(31 * MINUTE), { outcome: 'done' });
        assert.deepEqual(await scene.kept(), [
          'conversations/c/details.json',
          'conversations/c/recording.screen.json',
          'conversations/c/recording.sound.json',
        ]);
        const details = parseDetails(await scene.text('conversations/c/details.json'));
        assert.deepEqual([details?.startedAt, details?.endedAt, details?.direction], [CALL.start, CALL.end, 'inbound']);
        const note = JSON.parse(await scene.text('conversations/c/recording.sound.json')) as Record<string, unknown>;
        assert.deepEqual(note['annotations'], [{ id: 'a', type: 'pause', reason: 'SecurePause', durationMs: 9_000 }]);
        assert.equal(scene.genesys.requests('transcripts:*').length, 0);
        assert.equal(scene.genesys.requests('recording:*').length + scene.genesys.requests('media:*').length, 0);
      },
    );

    check(
      'the lines of its recordings say more, on the day it started, and nothing is left on the other',
      async (scene) => {
        callAt(scene.genesys);
        await scene.store('sound', { recordedAt: '2026-03-01T00:01:00.000Z' });
        await scene.work(HOUR);
        assert.deepEqual(
          scene.rows.map(({ row, day }) => [row.key, row.status, row.conversationStart, day]),
          [
            ['c.sound', 'archived', CALL.start, undefined],
            ['c.sound', 'moved', null, '2026-03-01'],
          ],
        );
      },
    );

    check('while the conversation goes on it is asked for again, rarer and rarer, for two days', async (scene) => {
      scene.genesys.analyze({ conversationId: 'c', start: CALL.start });
      await scene.store('sound');
      const waits: unknown[] = [];
      for (const ageMs of [31 * MINUTE, HOUR, 5 * HOUR, 20 * HOUR]) waits.push(outcomeOf(await scene.work(ageMs)));
      assert.deepEqual(waits, [
        ['wait', 31],
        ['wait', 60],
        ['wait', 300],
        ['wait', 720],
      ]);
      assert.deepEqual(await scene.work(49 * HOUR), { outcome: 'done' });
      assert.deepEqual(await scene.kept(), ['conversations/c/details.json']);
      scene.genesys.analyze(CALL);
      assert.deepEqual(await scene.work(HOUR), { outcome: 'done' });
      assert.equal(parseDetails(await scene.text('conversations/c/details.json'))?.endedAt, CALL.end);
    });

    check(
      'a recording archived as soon as it ended, of which nobody looked for details, has them in a line of its own',
      async (scene) => {
        callAt(scene.genesys);
        await scene.store('sound');
        await scene.work(HOUR);
        const lines = scene.rows.length;
        const ended = Date.now() + HOUR;
        await scene.store('screen', {
          recordedAt: new Date(ended - 60_000).toISOString(),
          finishedAt: new Date(ended).toISOString(),
        });
        assert.deepEqual(await scene.work(HOUR), { outcome: 'done' });
        const noted = scene.rows.slice(lines).filter(({ row }) => row.status === 'archived');
        assert.deepEqual(
          noted.map(({ row }) => [row.recordingId, row.conversationStart]),
          [['screen', CALL.start]],
        );
      },
    );

    check('done again nothing is asked and nothing is written; a recording that came later is added', async (scene) => {
      callAt(scene.genesys);
      await scene.store('sound');
      await scene.work(HOUR);
      const asked = scene.genesys.requests('*').length;
      const before = await scene.harness.fingerprint('conversations/c/details.json');
      const lines = scene.rows.length;
      assert.deepEqual(await scene.work(HOUR), { outcome: 'done' });
      assert.equal(scene.genesys.requests('*').length, asked);
      assert.equal(scene.rows.length, lines);
      await scene.store('screen');
      assert.deepEqual(await scene.work(HOUR), { outcome: 'done' });
      assert.equal((await scene.kept()).length, 3);
      assert.equal(await scene.harness.fingerprint('conversations/c/details.json'), before);
    });

    check(
      'a transcript is waited for, for 48 hours from the archiving; then it stands there that there is none',
      async (scene) => {
        callAt(scene.genesys);
        const justNow = { finishedAt: new Date().toISOString() };
        await scene.store('sound', justNow);
        await scene.store('screen', { ...justNow, medium: 'video' });
        assert.deepEqual(outcomeOf(await scene.work(HOUR)), ['wait', 60]);
        // The message is old, but the recording came late: it is waited for all the same by a message of its own.
        await scene.work(50 * HOUR);
        assert.ok(!(await scene.kept()).some((object) => object.includes('transcript')));
        scene.genesys.addTranscript({ conversationId: 'c', communicationId: LEG, recordingId: 'sound', text: SAID });
        assert.deepEqual(await scene.work(HOUR), { outcome: 'done' });
        assert.equal(await scene.text('conversations/c/transcript.sound.json'), SAID);
        await scene.store('late');
        scene.genesys.addRecording({ recordingId: 'late', conversationId: 'c', extra: { sessionId: 'leg-2' } });
        assert.deepEqual(await scene.work(49 * HOUR), { outcome: 'done' });
        const none = JSON.parse(await scene.text('conversations/c/transcript.late.none.json')) as { reason: string };
        assert.match(none.reason, /48 hours/);
        const asked = scene.genesys.requests('*').length;
        assert.deepEqual(await scene.work(49 * HOUR), { outcome: 'done' });
        assert.equal(scene.genesys.requests('*').length, asked, 'nothing is missing any more');
      },
      'transcript',
    );

    check('a missing permission costs a call in a quarter of an hour, a warning, and nothing else', async (scene) => {
      callAt(scene.genesys);
      await scene.store('sound');
      scene.genesys.fault('details:*', 'return-403', 1);
      for (let n = 0; n < 5; n += 1) assert.equal((await scene.work(HOUR)).outcome, 'wait');
      assert.equal(scene.genesys.requests('details:*').length, 1);
      assert.equal(scene.logged().match(/Details of conversations are refused/g)?.length, 1);
      assert.match(scene.logged(), /analytics:conversationDetail:view/);
      assert.deepEqual(await scene.kept(), ['conversations/c/recording.sound.json']);
    });

    check(
      'what was erased is not kept again, whenever the erasure came',
      async (scene) => {
        callAt(scene.genesys);
        scene.genesys.addTranscript({ conversationId: 'c', communicationId: LEG, recordingId: 'sound', text: SAID });
        await scene.store('sound');
        await scene.store('screen');
        scene.erased.add('c.sound');
        await scene.work(HOUR);
        assert.deepEqual(await scene.kept(), ['conversations/c/details.json', 'conversations/c/recording.screen.json']);
        scene.erased.add('c._');
        const asked = scene.genesys.requests('*').length;
        assert.deepEqual(await scene.work(HOUR), { outcome: 'done' });
        assert.equal(scene.genesys.requests('*').length, asked);
      },
      'transcript',
    );

    check('of a conversation all of whose recordings were erased nothing comes back', async (scene) => {
      callAt(scene.genesys);
      assert.deepEqual(await scene.work(HOUR), { outcome: 'done' });
      assert.deepEqual([scene.genesys.requests('*'), await scene.kept()], [[], []]);
      await scene.store('sound');
      await scene.store('screen');
      const asked = scene.genesys.reached('*', 1, patience());
      const work = scene.work(HOUR);
      await asked;
      for (const recordingId of ['sound', 'screen']) scene.erased.add(`c.${recordingId}`);
      await work;
      assert.deepEqual(await scene.kept(), []);
    });

    check(
      'no link, token or signature is kept or logged, and nothing personal lies outside of conversations/',
      async (scene) => {
        callAt(scene.genesys);
        const link = 'https://files.example/x?X-Amz-Signature=canary';
        scene.genesys.update('sound', { extra: { sessionId: LEG, deep: [{ link, kept: 'a name' }, link] } });
        scene.genesys.addTranscript({ conversationId: 'c', communicationId: LEG, recordingId: 'sound', text: SAID });
        await scene.store('sound');
        await scene.work(HOUR);
        const texts = await Promise.all((await scene.kept()).map((object) => scene.text(object)));
        for (const secret of [...scene.genesys.secrets(), 'X-Amz', 'https://'])
          for (const text of [...texts, scene.logged()]) assert.ok(!text.includes(secret), secret);
        const noted = JSON.parse(await scene.text('conversations/c/recording.sound.json')) as { deep: unknown };
        assert.deepEqual(noted.deep, [{ kept: 'a name' }]);
        for (const object of await scene.harness.objects())
          if (!object.startsWith('conversations/'))
            assert.ok(!(await scene.harness.bytes(object)).includes('canary-said'), object);
        assert.ok(!scene.logged().includes('canary-said'));
      },
      'transcript',
    );

    for (const [what, transcript] of [
      ['no JSON', '<html>'],
      ['empty', '""'],
    ] as const)
      check(
        `a transcript that is ${what} is not kept, and costs the details nothing`,
        async (scene) => {
          callAt(scene.genesys);
          scene.genesys.addTranscript({
            conversationId: 'c',
            communicationId: LEG,
            recordingId: 'sound',
            text: transcript,
          });
          await scene.store('sound');
          await assert.rejects(scene.work(HOUR), { code: /^(upstream-error|unreadable-media)$/ });
          assert.deepEqual(await scene.kept(), [
            'conversations/c/details.json',
            'conversations/c/recording.sound.json',
          ]);
        },
        'transcript',
      );

    check('an unknown conversation is asked for until its time is over', async (scene) => {
      await scene.store('sound');
      assert.equal((await scene.work(HOUR)).outcome, 'wait');
      assert.deepEqual(await scene.work(49 * HOUR), { outcome: 'done' });
      assert.deepEqual(await scene.kept(), []);
    });
  });
}

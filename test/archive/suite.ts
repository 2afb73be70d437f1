/** The contract of src/archive/archive.ts as tests: every archive runs them, over its real store. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import type { Archive, ListQuery, Page } from '../../src/archive/archive.ts';
import { crc32c, encodeCrc32c } from '../../src/archive/checksum.ts';
import type { Manifest } from '../../src/archive/manifest.ts';
import { verifyStored } from '../../src/archive/verify.ts';
import { listedEntries } from '../../src/archive/page.ts';
import { Failure, type FailureCode } from '../../src/failure.ts';
import { pathOf, type Recording } from '../../src/recording.ts';
import { bytesOf, failureOf, manifestOf, store, waitingOf, type Content } from '../support/archive/content.ts';
import { found } from '../support/archive/found.ts';

/** One archive over an empty store, and a look past it at what really lies there. */
export interface ArchiveHarness {
  readonly archive: Archive;
  /** Clusters beyond this many bytes leave the memory. A few hundred KiB keep the tests quick. */
  readonly holdBackBytes: number;
  /** Another archive over the same store, as another process would open it; closed by `close`. */
  another(): Promise<Archive>;
  /** Every name in the store, staging too, without the store's own prefix. */
  objects(): Promise<readonly string[]>;
  bytes(name: string): Promise<Buffer>;
  /** Changes whenever the object is written again, even with the same bytes (inode and time, generation). */
  fingerprint(name: string): Promise<string>;
  /** A retention policy keeps every generation of it there is now until then; absent where the store has none. */
  retain?(name: string, until: Date): void;
  /** Until when the archive itself locks what it stores of a recording; ISO 8601, UTC; absent or undefined where it does not. */
  lockEnd?(manifest: Manifest): string | undefined;
  /** What a browser gets that follows a link. */
  follow(url: string): Promise<Buffer>;
  close(): Promise<void>;
}

export function archiveSuite(name: string, open: () => Promise<ArchiveHarness>): void {
  const check = (sentence: string, run: (harness: ArchiveHarness) => Promise<void>): void => {
    test(sentence, { timeout: 400_000 }, async () => {
      const harness = await open();
      try {
        await run(harness);
      } finally {
        await harness.close();
      }
    });
  };

  describe(`${name} keeps the archive's contract`, () => {
    describe('deposits', () => {
      check('invariant 2: nothing is visible before commit, everything after it', async (harness) => {
        const { archive } = harness;
        const content = small('a');
        await using deposit = await archive.begin(CALL, signal());
        for (const cluster of content.clusters) await deposit.clusters.write(cluster);
        await assertInvisible(harness);
        const manifest = await deposit.commit(content.head, 'audio/webm', (stored) => manifestOf(CALL, stored));
        assert.deepEqual(await archive.find(CALL, signal()), manifest);
        await assertStored(harness, CALL, content);
      });

      check('invariant 2: an abandoned deposit leaves nothing visible, held back or streamed', async (harness) => {
        for (const clusters of [small('a').clusters, large('a', harness).clusters]) {
          await using deposit = await harness.archive.begin(CALL, signal());
          const original = await deposit.original(0, 1, 'opus', 'audio/ogg');
          await original.write(bytesOf('original', 1000));
          for (const cluster of clusters) await deposit.clusters.write(cluster);
        }
        await assertInvisible(harness);
      });

      check('a deposit whose manifest cannot be made leaves nothing visible', async (harness) => {
        const { head, clusters } = small('a');
        await using deposit = await harness.archive.begin(CALL, signal());
        for (const cluster of clusters) await deposit.clusters.write(cluster);
        const broken = deposit.commit(head, 'audio/webm', () => {
          throw new Failure('incomplete', 'The duration differs from the source.');
        });
        await assert.rejects(broken, isFailure('incomplete'));
        await assertInvisible(harness);
      });

      check(
        'a manifest that does not state what was stored is refused, and nothing becomes visible',
        async (harness) => {
          const other = { recordingId: 'another', conversationId: CALL.conversationId };
          for (const lie of [
            { webm: { ...manifestOf(CALL, stateOf(small('b'))).webm } },
            { recordingId: other.recordingId },
            { finishedAt: 'yesterday' },
            {
              sources: [
                { channel: '0', contentType: 'a/b', sizeBytes: 1, sha256: '0'.repeat(64), original: 'original.x' },
              ],
            },
          ]) {
            await assert.rejects(store(harness.archive, CALL, { ...small('a'), facts: lie }), Failure);
          }
          await assertInvisible(harness);
        },
      );

      check('a stopped deposit stores nothing more', async (harness) => {
        const stop = new AbortController();
        await using deposit = await harness.archive.begin(CALL, stop.signal);
        const { head, clusters } = large('a', harness);
        for (const cluster of clusters.slice(0, -1)) await deposit.clusters.write(cluster);
        stop.abort();
        const late = deposit.commit(head, 'audio/webm', (stored) => manifestOf(CALL, stored));
        await assert.rejects(late, (error) => Failure.from(error).code === 'stopped');
        await deposit[Symbol.asyncDispose]();
        await assertInvisible(harness);
      });

      check(
        'clusters that fit the hold-back, reach it exactly or exceed it are all stored byte for byte',
        async (harness) => {
          const { holdBackBytes: bound } = harness;
          for (const sizeBytes of [0, 1, bound - 1, bound, bound + 1, 3 * bound + 2_500_000]) {
            const recording = { recordingId: `size-${String(sizeBytes)}`, conversationId: undefined };
            const content = contentOf(`size ${String(sizeBytes)}`, sizeBytes);
            const manifest = await store(harness.archive, recording, content);
            assert.deepEqual(manifest.webm, manifestOf(recording, stateOf(content)).webm);
            await assertStored(harness, recording, content);
          }
          assert.deepEqual(await stagingOf(harness), []);
        },
      );

      check('a chunk may be used again by its writer once it was written', async (harness) => {
        const chunk = Buffer.from('first');
        await using deposit = await harness.archive.begin(CALL, signal());
        await deposit.clusters.write(chunk);
        chunk.fill('x');
        await deposit.commit(Buffer.from('head '), 'audio/webm', (stored) => manifestOf(CALL, stored));
        assert.equal((await readAll(harness.archive, CALL)).toString(), 'head first');
      });

      check('originals are kept bit for bit, one or several, larger than the hold-back too', async (harness) => {
        const one = [bytesOf('mono', 2 * harness.holdBackBytes + 7)];
        await store(harness.archive, CALL, { ...small('a'), originals: one });
        const two = [bytesOf('left', 50_001), bytesOf('right', 49_999)];
        const manifest = await store(harness.archive, SCREEN, { ...small('b'), originals: two });
        assert.deepEqual(
          manifest.sources.map((source) => source.original),
          ['original.0.opus', 'original.1.opus'],
        );
        assert.ok((await harness.bytes('recordings/C1/R1/original.opus')).equals(one[0] ?? Buffer.alloc(0)));
        for (const [index, bytes] of two.entries()) {
          const stored = await harness.bytes(`recordings/C1/R2/original.${String(index)}.opus`);
          assert.ok(stored.equals(bytes), `original ${String(index)} differs`);
        }
        assert.deepEqual(await stagingOf(harness), []);
      });

      check('recordings without a conversation lie under _', async (harness) => {
        const recording = { recordingId: 'R9', conversationId: undefined };
        await store(harness.archive, recording, small('a'));
        assert.ok((await harness.objects()).includes('recordings/_/R9/manifest.json'));
        assert.equal((await harness.archive.find(recording, signal()))?.conversationId, null);
        assert.equal(await harness.archive.find({ ...recording, conversationId: 'C1' }, signal()), undefined);
      });
    });

    describe('duplicates', () => {
      check('invariant 3: a second deposit changes nothing and gets the first manifest (ST-06)', async (harness) => {
        const first = await store(harness.archive, CALL, { ...small('a'), originals: [bytesOf('x', 99)] });
        const before = await snapshot(harness);
        for (const content of [small('a'), small('different'), large('different', harness)]) {
          const again = await store(await harness.another(), CALL, content);
          assert.deepEqual(again, first);
        }
        assert.deepEqual(await snapshot(harness), before);
      });

      check(
        'invariant 3: of two workers that commit different bytes at once one wins whole (ST-16)',
        async (harness) => {
          for (let round = 0; round < 8; round += 1) {
            const recording = { recordingId: `race-${String(round)}`, conversationId: 'C1' };
            const other = await harness.another();
            const contents = [small(`left ${String(round)}`), large(`right ${String(round)}`, harness)] as const;
            const [left, right] = await Promise.all([
              store(harness.archive, recording, { ...contents[0], facts: { recordedAt: '2026-03-01T09:30:00Z' } }),
              store(other, recording, { ...contents[1], facts: { recordedAt: '2026-03-05T09:30:00Z' } }),
            ]);
            assert.deepEqual(left, right);
            const winner = contents.find((content) => stateOf(content).sha256 === left.webm.sha256);
            assert.ok(winner, 'what the manifests state was stored by neither');
            await assertStored(harness, recording, winner);
            const page = await harness.archive.list({ conversationId: 'C1', limit: 100 }, signal());
            assert.equal(page.entries.length, round + 1);
          }
          const all = await harness.archive.list({ limit: 100 }, signal());
          assert.equal(all.entries.length, 8, 'a loser is listed on its own day');
          assert.deepEqual(await stagingOf(harness), []);
        },
      );
    });

    describe('reading', () => {
      check('reads the whole and any range, clipped to the end', async (harness) => {
        const content = large('a', harness);
        const whole = bytesIn(content);
        await store(harness.archive, CALL, content);
        assert.ok((await readAll(harness.archive, CALL)).equals(whole));
        const last = whole.length - 1;
        for (const [start, end] of [
          [0, 0],
          [1, 65_536],
          [last, last],
          [last - 9, last + 1000],
          [0, last],
        ] as const) {
          const part = await buffer(
            await harness.archive.read(await found(harness.archive, CALL), { start, end }, signal()),
          );
          assert.ok(part.equals(whole.subarray(start, end + 1)), `bytes ${String(start)} to ${String(end)} differ`);
        }
      });

      check('refuses a range that begins behind the end', async (harness) => {
        const content = small('a');
        await store(harness.archive, CALL, content);
        const start = bytesIn(content).length;
        const beyond = harness.archive.read(await found(harness.archive, CALL), { start, end: start + 9 }, signal());
        await assert.rejects(beyond, isFailure('range-not-satisfiable'));
      });

      check('finds nothing of what was never stored', async (harness) => {
        assert.equal(await harness.archive.find(CALL, signal()), undefined);
      });

      check('says not-found to a reader whose recording is gone since it was found', async (harness) => {
        const manifest = await store(harness.archive, SCREEN, small('a'));
        const gone = { ...manifest, recordingId: 'gone' };
        const read = harness.archive.read(gone, undefined, signal()).then((bytes) => buffer(bytes));
        await assert.rejects(read, isFailure('not-found'));
      });

      check('a reader that stops breaks the stream off', async (harness) => {
        await store(harness.archive, CALL, large('a', harness));
        const stop = new AbortController();
        const stream = await harness.archive.read(await found(harness.archive, CALL), undefined, stop.signal);
        const read = buffer(stream);
        stop.abort();
        await assert.rejects(read, (error) => Failure.from(error).code === 'stopped');
      });

      check(
        'what was once stored under GUIDs in capitals is found in either spelling, and played (C9)',
        async (harness) => {
          const { archive } = harness;
          const capitals = {
            recordingId: '8F1C7A52-6F0A-4E0E-9A41-2F6F3C2A1B77',
            conversationId: 'B0C5B9E0-5B5C-4A52-8A3E-0D8C2F5C1F11',
          };
          const lower = {
            recordingId: capitals.recordingId.toLowerCase(),
            conversationId: capitals.conversationId.toLowerCase(),
          };
          const content = small('a');
          await store(archive, capitals, content);
          for (const spelling of [lower, capitals]) {
            const manifest = await found(archive, spelling);
            assert.equal(manifest.recordingId, capitals.recordingId);
            const bytes = await buffer(await archive.read(manifest, undefined, signal()));
            assert.equal(bytes.length, manifest.webm.sizeBytes);
            const link = await archive.link(manifest, { lifetimeS: 60 }, signal());
            assert.deepEqual(await harness.follow(link.url), bytes);
          }
          const alone = { recordingId: lower.recordingId, conversationId: undefined };
          assert.equal(await archive.find(alone, signal()), undefined);
        },
      );

      check(
        'what once failed under GUIDs in capitals ends when it comes, or fails again, under those of today (C9)',
        async ({ archive }) => {
          for (const [last, comes] of [
            ['1', true],
            ['2', false],
          ] as const) {
            const capitals = {
              recordingId: `8F1C7A52-6F0A-4E0E-9A41-2F6F3C2A1B7${last}`,
              conversationId: `B0C5B9E0-5B5C-4A52-8A3E-0D8C2F5C1F1${last}`,
            };
            const lower = {
              recordingId: capitals.recordingId.toLowerCase(),
              conversationId: capitals.conversationId.toLowerCase(),
            };
            await archive.recordFailure(capitals, failureOf(capitals), signal());
            if (comes) await store(archive, lower, small('a'));
            else await archive.recordFailure(lower, failureOf(lower), signal());
            const ofFailed = async (): Promise<readonly (string | undefined)[]> =>
              (await archive.list({ status: 'failed', limit: 10 }, signal())).entries
                .map(({ recording }) => recording.recordingId)
                .filter((id) => id?.toLowerCase() === lower.recordingId);
            if (comes) assert.deepEqual(await ofFailed(), []);
            await archive.sweep(3_600_000, signal());
            assert.equal(await archive.failureOf(capitals, signal()), undefined);
            assert.deepEqual(await ofFailed(), comes ? [] : [lower.recordingId]);
          }
        },
      );

      check('a link plays the WebM for its lifetime', async (harness) => {
        const content = small('a');
        await store(harness.archive, CALL, content);
        const before = Date.now();
        const link = await harness.archive.link(await found(harness.archive, CALL), { lifetimeS: 600 }, signal());
        const lifeMs = Date.parse(link.expiresAt) - before;
        assert.ok(lifeMs > 590_000 && lifeMs < 720_000, link.expiresAt);
        assert.match(link.expiresAt, /Z$/);
        assert.ok((await harness.follow(link.url)).equals(bytesIn(content)));
      });

      check('verifyStored finds nothing wrong with what was stored, and says what is not there', async (harness) => {
        await store(harness.archive, CALL, large('a', harness));
        assert.deepEqual(await verifyStored(harness.archive, CALL, signal()), []);
        assert.match((await verifyStored(harness.archive, SCREEN, signal())).join(), /not archived/);
      });
    });

    describe('levels', () => {
      const levels = bytesOf('levels', 777);

      check('lie beside the WebM with its commit, and are read again byte for byte', async (harness) => {
        for (const [recording, content] of [
          [CALL, small('a')],
          [SCREEN, large('b', harness)],
        ] as const) {
          const manifest = await store(harness.archive, recording, { ...content, levels });
          assert.ok((await harness.archive.levels(manifest, signal()))?.equals(levels));
          assert.ok((await harness.bytes(`recordings/${pathOf(recording)}/levels.bin`)).equals(levels));
        }
        assert.deepEqual(await stagingOf(harness), []);
      });

      check('of a deposit that is left, or of the slower of two, are nowhere', async (harness) => {
        {
          await using deposit = await harness.archive.begin(CALL, signal());
          deposit.keepLevels(levels, () => assert.fail('levels were lost'));
          for (const cluster of small('a').clusters) await deposit.clusters.write(cluster);
        }
        await assertInvisible(harness);
        const first = await store(harness.archive, CALL, { ...small('a'), levels });
        await store(await harness.another(), CALL, { ...small('b'), levels: bytesOf('other', 50) });
        assert.ok((await harness.archive.levels(first, signal()))?.equals(levels));
      });

      check('are made later for what has none, once', async (harness) => {
        const { archive } = harness;
        const manifest = await store(archive, CALL, small('a'));
        assert.equal(await archive.levels(manifest, signal()), undefined);
        assert.equal(await archive.putLevels(manifest, levels, signal()), true);
        const before = await harness.fingerprint('recordings/C1/R1/levels.bin');
        const other = await harness.another();
        assert.equal(await other.putLevels(manifest, bytesOf('other', 50), signal()), false);
        assert.ok((await other.levels(manifest, signal()))?.equals(levels));
        assert.equal(await harness.fingerprint('recordings/C1/R1/levels.bin'), before);
        assert.deepEqual(await archive.find(CALL, signal()), manifest);
      });

      check('of what was erased are not laid there again', async (harness) => {
        const { archive } = harness;
        const manifest = await store(archive, SCREEN, small('a'));
        const before = await harness.objects();
        await archive.notes.create('erased/C1.R2.json', '{"version":1}', signal());
        await assert.rejects(archive.putLevels(manifest, levels, signal()), isFailure('erased'));
        assert.deepEqual(
          (await harness.objects()).filter((name) => name.startsWith('recordings/')),
          before.filter((name) => name.startsWith('recordings/')),
        );
      });
    });

    describe('failures', () => {
      check('a failure is recorded, replaced by a later one, listed, and gone after success', async (harness) => {
        const { archive } = harness;
        assert.equal(await archive.failureOf(CALL, signal()), undefined);
        await archive.recordFailure(CALL, failureOf(CALL, { reason: 'first' }), signal());
        await archive.recordFailure(CALL, failureOf(CALL, { reason: 'second' }), signal());
        assert.deepEqual(await archive.failureOf(CALL, signal()), failureOf(CALL, { reason: 'second' }));
        const page = await archive.list({ status: 'failed', limit: 10 }, signal());
        assert.deepEqual(page.entries, [
          { status: 'failed', recording: CALL, failure: failureOf(CALL, { reason: 'second' }) },
        ]);
        assert.deepEqual(await listed(archive, { status: 'archived', limit: 10 }), []);
        await store(archive, CALL, small('a'));
        assert.equal(await archive.failureOf(CALL, signal()), undefined);
        assert.deepEqual(await listed(archive, { status: 'failed', limit: 10 }), []);
      });

      check('a failure of a whole conversation stands beside those of its recordings', async (harness) => {
        const { archive } = harness;
        const conversation = { recordingId: undefined, conversationId: 'C1' };
        await archive.recordFailure(conversation, failureOf({ conversationId: 'C1' }), signal());
        await archive.recordFailure(CALL, failureOf(CALL, { status: 'no-media' }), signal());
        assert.deepEqual(await listed(archive, { conversationId: 'C1', limit: 10 }), ['no-media C1/R1', 'failed C1/-']);
        assert.deepEqual(await listed(archive, { status: 'no-media', limit: 10 }), ['no-media C1/R1']);
      });

      check('a failure of a whole conversation is removed alone, once or twice', async (harness) => {
        const { archive } = harness;
        const conversation = { recordingId: undefined, conversationId: 'C1' };
        await archive.removeFailure(conversation, signal());
        await archive.recordFailure(conversation, failureOf({ conversationId: 'C1' }), signal());
        await archive.recordFailure(CALL, failureOf(CALL), signal());
        const other = { recordingId: undefined, conversationId: 'C2' };
        await archive.recordFailure(other, failureOf({ conversationId: 'C2' }), signal());
        await store(archive, SCREEN, small('a'));
        const before = await snapshot(harness);
        await (await harness.another()).removeFailure(conversation, signal());
        await archive.removeFailure(conversation, signal());
        const failed = await listed(archive, { status: 'failed', limit: 10 });
        assert.deepEqual(failed.toSorted(), ['failed C1/R1', 'failed C2/-']);
        assert.deepEqual(await snapshot(harness), before);
        await archive.recordFailure(conversation, failureOf({ conversationId: 'C1' }), signal());
        assert.equal((await listed(archive, { status: 'failed', limit: 10 })).length, 3);
      });

      check('a failure recorded after another worker succeeded is not listed', async (harness) => {
        await store(harness.archive, CALL, small('a'));
        await harness.archive.recordFailure(CALL, failureOf(CALL), signal());
        assert.deepEqual(await listed(harness.archive, { limit: 10 }), ['archived C1/R1']);
        assert.deepEqual(await listed(harness.archive, { status: 'failed', limit: 10 }), []);
      });
    });

    describe('what waits', () => {
      check(
        'is recorded, replaced, shown with its reason, listed, and gone once it was archived (C4)',
        async (harness) => {
          const { archive } = harness;
          assert.equal(await archive.waitingOf(CALL, signal()), undefined);
          await archive.recordWaiting(CALL, waitingOf(CALL, { reason: 'first' }), signal());
          await archive.recordWaiting(CALL, waitingOf(CALL, { reason: 'second' }), signal());
          const waiting = waitingOf(CALL, { reason: 'second' });
          assert.deepEqual(await archive.waitingOf(CALL, signal()), waiting);
          for (const query of [{}, { status: 'waiting' }, { conversationId: 'C1' }] as const) {
            const { entries } = await archive.list({ ...query, limit: 10 }, signal());
            assert.deepEqual(entries, [{ status: 'waiting', recording: CALL, waiting }], JSON.stringify(query));
          }
          for (const status of ['archived', 'failed', 'no-media'] as const) {
            assert.deepEqual(await listed(archive, { status, limit: 10 }), []);
          }
          assert.ok((await harness.objects()).includes('waiting/C1.R1.json'));
          await store(archive, CALL, small('a'));
          assert.equal(await archive.waitingOf(CALL, signal()), undefined);
          assert.deepEqual(await listed(archive, { limit: 10 }), ['archived C1/R1']);
        },
      );

      check('is removed alone, once or twice, and for a whole conversation as well', async ({ archive }) => {
        const conversation = { recordingId: undefined, conversationId: 'C1' };
        await archive.recordWaiting(conversation, waitingOf(conversation), signal());
        await archive.recordWaiting(CALL, waitingOf(CALL), signal());
        assert.deepEqual(await listed(archive, { conversationId: 'C1', limit: 10 }), ['waiting C1/R1', 'waiting C1/-']);
        await archive.removeWaiting(conversation, signal());
        await archive.removeWaiting(conversation, signal());
        assert.deepEqual(await listed(archive, { limit: 10 }), ['waiting C1/R1']);
      });

      check('waits no more once it was given up', async ({ archive }) => {
        await archive.recordWaiting(CALL, waitingOf(CALL), signal());
        await archive.recordFailure(CALL, failureOf(CALL), signal());
        assert.equal(await archive.waitingOf(CALL, signal()), undefined);
        assert.deepEqual(await listed(archive, { limit: 10 }), ['failed C1/R1']);
      });

      check('is ruled out by a manifest that was there before it', async ({ archive }) => {
        await store(archive, CALL, small('a'));
        await archive.recordWaiting(CALL, waitingOf(CALL), signal());
        assert.deepEqual(await listed(archive, { limit: 10 }), ['archived C1/R1']);
        assert.deepEqual(await listed(archive, { status: 'waiting', limit: 10 }), []);
      });
    });

    describe('conversations without a recording', () => {
      check('are listed only when asked for, and swept after 30 days', async ({ archive }) => {
        const [old, young] = ['C8', 'C9'].map((conversationId) => ({ recordingId: undefined, conversationId }));
        assert.ok(old !== undefined && young !== undefined);
        const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();
        const nothing = { status: 'no-recordings', code: 'no-recordings' } as const;
        await archive.recordFailure(old, failureOf(old, { ...nothing, failedAt: daysAgo(32) }), signal());
        await archive.recordFailure(young, failureOf(young, { ...nothing, failedAt: daysAgo(29) }), signal());
        assert.deepEqual(await listed(archive, { limit: 10 }), []);
        assert.deepEqual(await listed(archive, { conversationId: 'C9', limit: 10 }), []);
        const asked = { status: 'no-recordings', limit: 10 } as const;
        assert.deepEqual(await listed(archive, asked), ['no-recordings C9/-', 'no-recordings C8/-']);
        assert.equal(await archive.sweep(3_600_000, signal()), 1);
        assert.deepEqual(await listed(archive, asked), ['no-recordings C9/-']);
      });
    });

    describe('what was erased', () => {
      const mark = '{"version":1}';

      check('is told apart from what never was, and is not stored again', async (harness) => {
        const { archive } = harness;
        assert.equal(await archive.notes.create('erased/C1.R1.json', mark, signal()), true);
        await assert.rejects(archive.find(CALL, signal()), isFailure('erased'));
        assert.equal(await archive.find(SCREEN, signal()), undefined);
        await assert.rejects(
          store(archive, CALL, { ...small('a'), originals: [bytesOf('o', 99)] }),
          isFailure('erased'),
        );
        await assert.rejects(store(archive, CALL, large('a', harness)), isFailure('erased'));
        assert.deepEqual(await listed(archive, { limit: 10 }), []);
        assert.deepEqual(
          (await harness.objects()).filter((name) => /^(recordings|staging)/.test(name)),
          [],
        );
      });

      check('but lies there still, since its erasure was killed, is given to nobody', async (harness) => {
        const { archive } = harness;
        for (const [recording, name] of [
          [CALL, 'C1.R1'],
          [{ recordingId: 'R1', conversationId: 'C7' }, 'C7._'],
          [{ recordingId: 'R1', conversationId: undefined }, '_.R1'],
        ] as const) {
          const manifest = await store(archive, recording, small('a'));
          assert.deepEqual(await archive.findUnerased(recording, signal()), manifest);
          await archive.notes.create(`erased/${name}.json`, mark, signal());
          await assert.rejects(archive.findUnerased(recording, signal()), isFailure('erased'));
          assert.deepEqual(await archive.find(recording, signal()), manifest, 'nothing of it was removed yet');
        }
        assert.equal(await archive.findUnerased(SCREEN, signal()), undefined);
      });

      check('as a whole conversation is none of its recordings any more, whichever comes', async (harness) => {
        const { archive } = harness;
        await archive.notes.create('erased/C1._.json', mark, signal());
        for (const recording of [CALL, { recordingId: 'later', conversationId: 'C1' }]) {
          await assert.rejects(archive.find(recording, signal()), isFailure('erased'));
          await assert.rejects(store(archive, recording, small('a')), isFailure('erased'));
        }
        assert.equal(await archive.find({ recordingId: 'R1', conversationId: undefined }, signal()), undefined);
        assert.equal(await archive.find({ recordingId: 'R1', conversationId: 'C10' }, signal()), undefined);
      });

      check('while it was on its way is not stored either', async (harness) => {
        const { head, clusters } = large('a', harness);
        await using deposit = await harness.archive.begin(CALL, signal());
        for (const cluster of clusters) await deposit.clusters.write(cluster);
        await (await harness.another()).notes.create('erased/C1.R1.json', mark, signal());
        const late = deposit.commit(head, 'audio/webm', (stored) => manifestOf(CALL, stored));
        await assert.rejects(late, isFailure('erased'));
        await deposit[Symbol.asyncDispose]();
        assert.deepEqual(await stagingOf(harness), []);
        await assert.rejects(harness.archive.find(CALL, signal()), isFailure('erased'));
      });
    });

    describe('what is held', () => {
      check('is flagged where it lies, whole, and only there; nothing of it changes', async (harness) => {
        const { archive } = harness;
        const manifest = await store(archive, CALL, { ...small('a'), originals: [bytesOf('o', 99)] });
        await store(archive, SCREEN, small('b'));
        const before = await harness.fingerprint('recordings/C1/R1/recording.webm');
        assert.equal(await archive.flag(CALL, true, signal()), true);
        assert.equal(await archive.flag(CALL, true, signal()), true, 'twice is once');
        assert.deepEqual(await archive.find(CALL, signal()), manifest);
        assert.equal(await harness.fingerprint('recordings/C1/R1/recording.webm'), before);
        const archived = (await listed(archive, { limit: 10 })).filter((line) => line.startsWith('archived'));
        assert.equal(archived.length, 2, 'a flag is listed nowhere');
        assert.equal(await archive.flag(CALL, false, signal()), true);
        const nothing = { recordingId: 'none', conversationId: 'C1' };
        assert.equal(await archive.flag(nothing, true, signal()), false);
        assert.deepEqual(
          (await harness.objects()).filter((name) => /none|held/.test(name)),
          [],
        );
      });

      check('is found by its conversation, in any spelling', async (harness) => {
        const guid = 'ABCDEF01-0000-4000-8000-00000000000A';
        for (const [conversationId, recordingId] of [
          ['C7', 'R1'],
          ['C7', 'R2'],
          ['C70', 'R3'],
          [guid, 'R4'],
          [guid.toLowerCase(), 'R5'],
        ] as const)
          await store(harness.archive, { conversationId, recordingId }, small(recordingId));
        const idsOf = async (conversationId: string): Promise<readonly string[]> => {
          const ids: string[] = [];
          for await (const { recordingId } of harness.archive.recordingsOf(conversationId, signal()))
            ids.push(recordingId);
          return ids;
        };
        assert.deepEqual(await idsOf('C7'), ['R1', 'R2']);
        assert.deepEqual(await idsOf(guid.toLowerCase()), ['R5', 'R4']);
        assert.deepEqual(await idsOf('C9'), []);
        const capitals = { conversationId: guid.toLowerCase(), recordingId: 'R4' };
        assert.equal(await harness.archive.flag(capitals, true, signal()), true);
        for (const conversationId of [guid, guid.toLowerCase()]) {
          const failed = { conversationId, recordingId: `F-${conversationId}` };
          await harness.archive.recordFailure(failed, failureOf(failed), signal());
        }
        const listed: string[] = [];
        const query = { conversationId: guid.toLowerCase(), limit: 1 } as const;
        for await (const { recording } of listedEntries(query, harness.archive, signal()))
          listed.push(recording.recordingId ?? '_');
        assert.deepEqual(listed.toSorted(), [`F-${guid}`, `F-${guid.toLowerCase()}`, 'R4', 'R5']);
      });
    });

    describe('retention', () => {
      const guid = 'ABCDEF01-0000-4000-8000-00000000000A';
      const CAPITALS = { recordingId: 'R1', conversationId: guid };

      for (const [recording, asked] of [
        [CALL, CALL],
        [CAPITALS, { ...CAPITALS, conversationId: guid.toLowerCase() }],
      ] as const)
        check(
          `of what lies there is the WebM's own, where the store has any: ${pathOf(recording)}`,
          async (harness) => {
            const { archive } = harness;
            await store(archive, recording, { ...small('a'), originals: [bytesOf('o', 99)] });
            const manifest = await found(archive, asked);
            const until = async (): Promise<string | undefined> => archive.retainedUntil(manifest, signal());
            const locked = harness.lockEnd?.(manifest);
            assert.equal(await until(), locked, 'no policy keeps it');
            const [over, ahead] = [new Date('2026-01-02T03:04:05.678Z'), new Date('2036-01-02T03:04:05.678Z')];
            const folder = `recordings/${pathOf(recording)}/`;
            for (const name of await harness.objects())
              if (name.startsWith(folder) && !name.endsWith('/recording.webm')) harness.retain?.(name, ahead);
            assert.equal(await until(), locked, 'what lies beside it is not it');
            for (const date of [over, ahead]) {
              harness.retain?.(`${folder}recording.webm`, date);
              const ends = [locked, harness.retain === undefined ? undefined : date.toISOString()];
              assert.equal(
                await until(),
                ends
                  .filter((end) => end !== undefined)
                  .toSorted()
                  .at(-1),
                'the later one',
              );
            }
            await assert.rejects(archive.retainedUntil(manifest, AbortSignal.abort()));
          },
        );
    });

    describe('the longest ids', () => {
      const LONGEST = { recordingId: 'r'.repeat(128), conversationId: 'c'.repeat(128) };
      const LINE = `${LONGEST.conversationId}/${LONGEST.recordingId}`;

      check('are archived, found, played and listed, with others or alone', async (harness) => {
        const { archive } = harness;
        await seed(archive);
        const facts = { recordedAt: '2026-03-02T12:00:00.000Z' };
        const manifest = await store(archive, LONGEST, { ...large('long', harness), facts });
        assert.deepEqual(await archive.find(LONGEST, signal()), manifest);
        assert.deepEqual(await verifyStored(archive, LONGEST, signal()), []);
        const { url } = await archive.link(await found(archive, LONGEST), { lifetimeS: 60 }, signal());
        assert.ok((await harness.follow(url)).equals(bytesIn(large('long', harness))));
        assert.deepEqual(await listed(archive, { conversationId: LONGEST.conversationId, limit: 10 }), [
          `archived ${LINE}`,
        ]);
        for (const limit of [1, 2, 100]) {
          const all = await allPages(archive, { limit });
          assert.deepEqual(
            all.filter((line) => !line.includes(LINE)),
            SEEDED,
          );
          assert.equal(all.filter((line) => line === `archived ${LINE}`).length, 1);
        }
        assert.deepEqual(await stagingOf(harness), []);
      });

      check('have their failure recorded, shown, listed and removed on success', async (harness) => {
        const { archive } = harness;
        const failure = failureOf(LONGEST);
        await archive.recordFailure(LONGEST, failureOf(LONGEST, { reason: 'first' }), signal());
        await archive.recordFailure(LONGEST, failure, signal());
        assert.deepEqual(await archive.failureOf(LONGEST, signal()), failure);
        const { entries } = await archive.list({ status: 'failed', limit: 10 }, signal());
        assert.deepEqual(entries, [{ status: 'failed', recording: LONGEST, failure }]);
        await store(archive, LONGEST, small('a'));
        assert.equal(await archive.failureOf(LONGEST, signal()), undefined);
        assert.deepEqual(await listed(archive, { limit: 10 }), [`archived ${LINE}`]);
      });
    });

    describe('listing', () => {
      check('lists nothing of an empty store', async ({ archive }) => {
        assert.deepEqual(await archive.list({ limit: 10 }, signal()), { entries: [], cursor: undefined });
        assert.deepEqual(await listed(archive, { conversationId: 'C1', limit: 10 }), []);
      });

      check('lists the newest day first, by the day it started, else the day it was archived', async ({ archive }) => {
        await seed(archive);
        assert.deepEqual(await listed(archive, { limit: 100 }), SEEDED);
      });

      check('from and to are inclusive, and either may be left out', async ({ archive }) => {
        await seed(archive);
        const days = { from: '2026-03-02', to: '2026-03-03' };
        assert.deepEqual(await listed(archive, { ...days, limit: 100 }), SEEDED.slice(1, 5));
        assert.deepEqual(await listed(archive, { from: days.from, limit: 100 }), SEEDED.slice(0, 5));
        assert.deepEqual(await listed(archive, { to: days.to, limit: 100 }), SEEDED.slice(1));
        assert.deepEqual(await listed(archive, { from: days.to, to: days.from, limit: 100 }), []);
      });

      check('lists one conversation and one status, alone and together', async ({ archive }) => {
        await seed(archive);
        assert.deepEqual(await listed(archive, { conversationId: 'C1', limit: 100 }), seeded(' C1/'));
        assert.deepEqual(await listed(archive, { conversationId: 'C', limit: 100 }), []);
        assert.deepEqual(await listed(archive, { status: 'archived', limit: 100 }), seeded('archived'));
        assert.deepEqual(await listed(archive, { status: 'no-media', limit: 100 }), seeded('no-media'));
        const archivedOfC1 = seeded('archived').filter((line) => line.includes(' C1/'));
        assert.deepEqual(await listed(archive, { status: 'archived', conversationId: 'C1', limit: 100 }), archivedOfC1);
        const query = { conversationId: 'C1', from: '2026-03-02', to: '2026-03-02', limit: 100 };
        assert.deepEqual(await listed(archive, query), ['archived C1/R2']);
      });

      check('pages of any size, followed to the end, show each entry once and in order', async ({ archive }) => {
        await seed(archive);
        for (const query of [{}, { conversationId: 'C1' }, { status: 'archived' }, { status: 'failed' }] as const) {
          const whole = await listed(archive, { ...query, limit: 100 });
          for (const limit of [1, 2, 3, whole.length]) {
            assert.deepEqual(await allPages(archive, { ...query, limit }), whole, JSON.stringify({ query, limit }));
          }
        }
      });

      check('what is added while pages are turned neither repeats nor hides what was there', async ({ archive }) => {
        await seed(archive);
        const first = await archive.list({ limit: 3 }, signal());
        await store(archive, { recordingId: 'R0', conversationId: 'A' }, dated('2026-03-04'));
        await store(archive, { recordingId: 'R0', conversationId: 'Z' }, dated('2026-03-01'));
        await archive.recordFailure(
          { recordingId: 'R0', conversationId: 'B' },
          failedOn('B', 'R0', '2026-03-04'),
          signal(),
        );
        const rest = await allPages(archive, { limit: 3, ...(first.cursor ? { cursor: first.cursor } : {}) });
        const seen = [...lines(first), ...rest];
        assert.deepEqual(
          seen.filter((line) => SEEDED.includes(line)),
          SEEDED,
        );
        assert.equal(new Set(seen).size, seen.length);
        assert.ok(seen.includes('archived Z/R0'));
      });

      check('refuses a cursor that no page gave, naming it', async ({ archive }) => {
        for (const cursor of ['', 'x', '../../etc/passwd', Buffer.from('2026-03-01/../x').toString('base64url')]) {
          await assert.rejects(archive.list({ cursor, limit: 10 }, signal()), (error) => {
            return isFailure('bad-request')(error) && error instanceof Failure && error.message.includes('cursor');
          });
        }
      });
    });

    describe('housekeeping', () => {
      check('the sweep removes what was left in staging, and nothing else', async (harness) => {
        await seed(harness.archive);
        const lost = await harness.archive.begin(SCREEN, signal());
        for (const cluster of large('lost', harness).clusters) await lost.clusters.write(cluster);
        const before = await snapshot(harness);
        const left = await stagingOf(harness);
        const janitor = await harness.another();
        assert.equal(await janitor.sweep(3_600_000, signal()), 0);
        assert.deepEqual(await stagingOf(harness), left);
        const removed = await janitor.sweep(0, signal());
        assert.equal(removed > 0, left.length > 0);
        assert.deepEqual(await stagingOf(harness), []);
        assert.deepEqual(await snapshot(harness), before);
        await lost[Symbol.asyncDispose]();
      });

      check('invariant 2: a deposit that was swept away by another process cannot become visible', async (harness) => {
        const { head, clusters } = large('slow', harness);
        await using slow = await harness.archive.begin(CALL, signal());
        for (const cluster of clusters) await slow.clusters.write(cluster);
        if ((await stagingOf(harness)).length === 0) return;
        await (await harness.another()).sweep(0, signal());
        await assert.rejects(
          slow.commit(head, 'audio/webm', (stored) => manifestOf(CALL, stored)),
          Failure,
        );
        await assertInvisible(harness);
      });

      check('the sweep leaves the deposits of its own process alone', async (harness) => {
        const content = large('live', harness);
        await using deposit = await harness.archive.begin(CALL, signal());
        for (const cluster of content.clusters) await deposit.clusters.write(cluster);
        await harness.archive.sweep(0, signal());
        await deposit.commit(content.head, 'audio/webm', (stored) => manifestOf(CALL, stored));
        await assertStored(harness, CALL, content);
      });

      check('the check passes on a sound store and leaves nothing behind', async (harness) => {
        await harness.archive.check(signal());
        assert.deepEqual(await harness.objects(), []);
      });

      check('nothing under recordings/ is written again or removed by anything the archive does', async (harness) => {
        const { archive } = harness;
        await seed(archive);
        const before = await snapshot(harness);
        await seed(await harness.another());
        await archive.check(signal());
        await archive.sweep(0, signal());
        await allPages(archive, { limit: 2 });
        const { url } = await archive.link(await found(archive, CALL), { lifetimeS: 60 }, signal());
        await harness.follow(url);
        assert.deepEqual(await snapshot(harness), before);
      });
    });
  });
}

const CALL: Recording = { recordingId: 'R1', conversationId: 'C1' };
const SCREEN: Recording = { recordingId: 'R2', conversationId: 'C1' };

/** What {@link seed} stores, as a listing shows it. */
const SEEDED: readonly string[] = [
  'archived _/R7',
  'archived C2/R3',
  'no-media C3/R5',
  'archived C1/R2',
  'failed C2/R4',
  'archived C1/R1',
  'failed C1/R6',
];

function seeded(word: string): readonly string[] {
  return SEEDED.filter((line) => line.includes(word));
}

async function seed(archive: Archive): Promise<void> {
  await store(archive, { recordingId: 'R3', conversationId: 'C2' }, dated('2026-03-03'));
  await store(archive, CALL, dated('2026-03-01'));
  const undated = { recordedAt: null, finishedAt: '2026-03-04T23:59:59.999Z' };
  await store(archive, { recordingId: 'R7', conversationId: undefined }, { ...small('R7'), facts: undated });
  await store(archive, SCREEN, dated('2026-03-02'));
  for (const [conversationId, recordingId, day, status] of [
    ['C3', 'R5', '2026-03-03', 'no-media'],
    ['C2', 'R4', '2026-03-02', 'failed'],
    ['C1', 'R6', '2026-03-01', 'failed'],
  ] as const) {
    const record = { ...failedOn(conversationId, recordingId, day), status };
    await archive.recordFailure({ conversationId, recordingId }, record, signal());
  }
}

function dated(day: string): Content {
  return { ...small(day), facts: { recordedAt: `${day}T12:00:00.000Z` } };
}

function failedOn(conversationId: string, recordingId: string, day: string): ReturnType<typeof failureOf> {
  return failureOf({ conversationId, recordingId }, { failedAt: `${day}T12:00:00.000Z` });
}

function small(text: string): Content {
  return contentOf(text, 1000);
}

function large(text: string, { holdBackBytes }: ArchiveHarness): Content {
  return contentOf(text, 2 * holdBackBytes + 4321);
}

/** Clusters of uneven sizes, `sizeBytes` in all. */
function contentOf(text: string, sizeBytes: number): Content {
  const bytes = bytesOf(text, sizeBytes);
  const clusters: Buffer[] = [];
  for (let at = 0, n = 1; at < sizeBytes; n += 1) {
    const length = Math.min(n * 7919, sizeBytes - at);
    clusters.push(bytes.subarray(at, at + length));
    at += length;
  }
  return { head: bytesOf(`head of ${text}`, 333), clusters };
}

function bytesIn(content: Content): Buffer {
  return Buffer.concat([content.head, ...content.clusters]);
}

/** Counted without the code under test, but for the CRC32C that test/archive/checksum.test.ts proves. */
function stateOf(content: Content): { sizeBytes: number; sha256: string; crc32c: string } {
  const bytes = bytesIn(content);
  return {
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    crc32c: encodeCrc32c(crc32c(bytes)),
  };
}

async function assertStored(harness: ArchiveHarness, recording: Recording, content: Content): Promise<void> {
  const stored = await harness.bytes(`recordings/${pathOf(recording)}/recording.webm`);
  assert.ok(stored.equals(bytesIn(content)), `what lies under ${pathOf(recording)} is not what was written`);
  assert.deepEqual(await verifyStored(harness.archive, recording, signal()), []);
  const folder = `recordings/${pathOf(recording)}/`;
  const names = (await harness.objects()).filter((name) => name.startsWith(folder)).toSorted();
  assert.deepEqual(names, [`${folder}manifest.json`, `${folder}recording.webm`]);
}

async function assertInvisible(harness: ArchiveHarness): Promise<void> {
  const names = await harness.objects();
  assert.deepEqual(
    names.filter((name) => name.startsWith('recordings/')),
    [],
  );
  assert.equal(await harness.archive.find(CALL, signal()), undefined);
  assert.deepEqual(await listed(harness.archive, { limit: 10 }), []);
  assert.deepEqual(await listed(harness.archive, { conversationId: 'C1', limit: 10 }), []);
}

async function stagingOf(harness: ArchiveHarness): Promise<readonly string[]> {
  return (await harness.objects()).filter((name) => name.startsWith('staging/'));
}

/** Name and identity of everything under recordings/. */
async function snapshot(harness: ArchiveHarness): Promise<readonly string[]> {
  const names = (await harness.objects()).filter((name) => name.startsWith('recordings/'));
  return Promise.all(names.toSorted().map(async (name) => `${name} ${await harness.fingerprint(name)}`));
}

async function readAll(archive: Archive, recording: Recording): Promise<Buffer> {
  return buffer(await archive.read(await found(archive, recording), undefined, signal()));
}

async function listed(archive: Archive, query: ListQuery): Promise<string[]> {
  const page = await archive.list(query, signal());
  assert.equal(page.cursor, undefined, 'there is more than one page');
  return lines(page);
}

async function allPages(archive: Archive, query: ListQuery): Promise<string[]> {
  const seen: string[] = [];
  let cursor = query.cursor;
  do {
    const page = await archive.list({ ...query, ...(cursor === undefined ? {} : { cursor }) }, signal());
    assert.ok(page.entries.length <= query.limit);
    seen.push(...lines(page));
    assert.ok(seen.length < 1000, 'the pages never end');
    cursor = page.cursor;
  } while (cursor !== undefined);
  return seen;
}

function lines(page: Page): string[] {
  return page.entries.map(({ status, recording }) => {
    return `${status} ${recording.conversationId ?? '_'}/${recording.recordingId ?? '-'}`;
  });
}

function isFailure(code: FailureCode): (error: unknown) => boolean {
  return (error) => error instanceof Failure && error.code === code;
}

function signal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

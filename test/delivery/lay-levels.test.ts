/** Levels of what was archived without them: made by a worker on a message, from the WebM as it lies in a folder or a bucket. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { Manifest } from '../../src/archive/manifest.ts';
import { createDelivery } from '../../src/delivery.ts';
import { Failure } from '../../src/failure.ts';
import { layLevels } from '../../src/delivery/lay-levels.ts';
import { type ChannelLevels, levelFactsOf, type Levels, parseLevels } from '../../src/levels.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { Delivery, Settlement } from '../../src/queue/queue.ts';
import { WaitingList } from '../../src/delivery/waiting-list.ts';
import { openBucketHarness } from '../support/archive/bucket.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { openFolderHarness } from '../support/archive/folder.ts';
import { bytesOfFixture } from '../support/media/fixtures.ts';
import { allClusters, make } from '../support/media/made.ts';
import type { ArchiveHarness } from '../archive/suite.ts';

const CALL = { recordingId: 'r1', conversationId: 'c1' };
const NAME = 'recordings/c1/r1/levels.bin';
const running = new AbortController().signal;

const ARCHIVES: readonly (readonly [string, () => Promise<ArchiveHarness>])[] = [
  ['folder', openFolderHarness],
  ['bucket', openBucketHarness],
];

const calls = { dual: ['dual-0.opus', 'dual-1.opus'], stereo: ['stereo.opus'], screen: ['screen-vp8-silent.webm'] };

/** As it was archived before there were levels. */
async function archived({ archive }: ArchiveHarness, files: readonly string[]): Promise<Manifest> {
  const made = await make({ files: files.map((name) => bytesOfFixture(name)) });
  const clusters = await allClusters(made);
  const { head, durationMs, channels, codecs } = made.result();
  await using deposit = await archive.begin(CALL, running);
  for (const cluster of clusters) await deposit.clusters.write(cluster);
  return deposit.commit(head, made.contentType, (stored) => ({
    version: 1,
    ...CALL,
    api: 'recordings',
    medium: 'audio',
    recordedAt: null,
    sources: [],
    way: made.way,
    why: made.why,
    encoder: null,
    webm: { contentType: made.contentType, ...stored, durationMs, channels, codecs },
    startedAt: '2026-03-02T00:00:01.000Z',
    finishedAt: '2026-03-02T00:00:02.000Z',
    attempt: 1,
    service: '0.1.0',
  }));
}

function message(facts: Partial<Delivery> = {}): Delivery {
  return { message: { kind: 'levels', ...CALL }, attempt: 1, lost: 0, acceptedAt: new Date(), ...facts };
}

async function snapshot(harness: ArchiveHarness): Promise<readonly string[]> {
  const names = (await harness.objects()).toSorted();
  return Promise.all(names.map(async (name) => `${name} ${await harness.fingerprint(name)}`));
}

async function levelsIn({ archive }: ArchiveHarness, manifest: Manifest): Promise<Levels> {
  const levels = parseLevels((await archive.levels(manifest, running)) ?? Buffer.alloc(0));
  assert.ok(levels !== undefined, 'there is no levels.bin');
  return levels;
}

function levelled({ values }: ChannelLevels): readonly number[] {
  return [...values].map((value) => Math.round(value / 8));
}

for (const [name, open] of ARCHIVES) {
  test(`in a ${name} they are those that archiving now would have laid there, and nothing else changes`, async () => {
    for (const files of [calls.dual, calls.stereo]) {
      const harness = await open();
      try {
        const manifest = await archived(harness, files);
        const before = await snapshot(harness);
        assert.deepEqual(await layLevels(message(), harness.archive, running), { outcome: 'done' });
        assert.deepEqual(
          (await snapshot(harness)).filter((each) => !each.startsWith(NAME)),
          before,
        );
        const laid = await levelsIn(harness, manifest);
        const now = await make({ files: files.map((file) => bytesOfFixture(file)) });
        await allClusters(now);
        const meant = parseLevels(now.levels()?.bytes ?? Buffer.alloc(0));
        assert.equal(laid.channels.length, 2);
        for (const [index, channel] of laid.channels.entries()) {
          const other = meant?.channels[index];
          assert.ok(other !== undefined && other.values.length === channel.values.length);
          // Matroska rounds times to a millisecond.
          const [a, b] = [levelled(channel), levelled(other)];
          assert.ok(a.filter((value, at) => Math.abs(value - (b[at] ?? 0)) > 1).length < a.length / 50);
          const [said = 0, meantS = 0] = [laid, meant].map((each) => levelFactsOf(each ?? laid).speakingS[index]);
          assert.ok(Math.abs(said - meantS) < 1, `${String(said)} s, not ${String(meantS)} s`);
        }
        const after = await snapshot(harness);
        assert.deepEqual(await layLevels(message(), harness.archive, running), { outcome: 'done' });
        assert.deepEqual(await snapshot(harness), after, 'the second message wrote something');
      } finally {
        await harness.close();
      }
    }
  });

  test(`in a ${name} nothing is laid for what is not archived, has no sound, or was erased`, async () => {
    const harness = await open();
    try {
      assert.deepEqual(await layLevels(message(), harness.archive, running), { outcome: 'done' });
      const manifest = await archived(harness, calls.screen);
      assert.deepEqual(await layLevels(message(), harness.archive, running), { outcome: 'done' });
      assert.equal(await harness.archive.levels(manifest, running), undefined);
      await harness.archive.notes.create('erased/c2.r2.json', '{"version":1}', running);
      const erased = message({ message: { kind: 'levels', recordingId: 'r2', conversationId: 'c2' } });
      assert.deepEqual(await layLevels(erased, harness.archive, running), { outcome: 'done' });
      assert.ok(!(await harness.objects()).some((each) => each.endsWith('levels.bin')));
    } finally {
      await harness.close();
    }
  });

  test(`in a ${name} a WebM that cannot be listened to gets levels without a channel, so that nobody asks again`, async () => {
    const harness = await open();
    try {
      const manifest = await store(harness.archive, CALL, {
        head: bytesOf('no WebM', 300),
        clusters: [bytesOf('x', 5000)],
      });
      assert.deepEqual(await layLevels(message(), harness.archive, running), { outcome: 'done' });
      assert.deepEqual(await levelsIn(harness, manifest), { channels: [] });
    } finally {
      await harness.close();
    }
  });
}

test('an archive that is away brings the message back, and no recording is called failed or waiting for it', async () => {
  const harness = await openFolderHarness();
  try {
    await archived(harness, calls.stereo);
    const { archive } = harness;
    const stream = new PassThrough().resume();
    const away = new Failure('archive-unavailable', 'The disk is away.');
    let isAway = true;
    const handle = createDelivery({
      pipeline: { archive: () => assert.fail('nothing is archived') },
      genesys: {
        recordingsOf: () => assert.fail('nobody asks Genesys'),
        voicemailsOf: () => assert.fail('nobody asks Genesys'),
        locate: () => assert.fail('nobody asks Genesys'),
        check: async () => undefined,
        close: async () => undefined,
      },
      archive,
      queue: { publish: () => assert.fail('nothing is published') },
      metrics: createMetrics(),
      log: createLog({ level: 'debug', secrets: [], stream }),
      waiting: new WaitingList(),
      version: '1.2.3',
      beside: {
        levels: (delivery, signal): Promise<Settlement> =>
          isAway ? Promise.reject(away) : layLevels(delivery, archive, signal),
      },
    });
    const before = await snapshot(harness);
    const old = message({ acceptedAt: new Date(Date.now() - 3_600_000) });
    assert.ok(['wait', 'again'].includes((await handle(old, running)).outcome));
    assert.deepEqual(await snapshot(harness), before);
    isAway = false;
    assert.deepEqual(await handle(old, running), { outcome: 'done' });
    assert.ok((await harness.objects()).includes(NAME));
  } finally {
    await harness.close();
  }
});

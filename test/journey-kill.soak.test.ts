/** Kills and stops the real service, and its encoders, at every stage of a recording's way: what was acknowledged ends archived, once. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { watch } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Manifest } from '../src/archive/manifest.ts';
import { verifyStored } from '../src/archive/verify.ts';
import { pathOf, type Recording } from '../src/recording.ts';
import { NO_CENSUS, survivors, type Child } from './support/service/children.ts';
import { openEmbedded, type Embedded } from './support/service/embedded.ts';
import { type Fixture, FIXTURES, simulated } from './support/media/fixtures.ts';
import { type GenesysServer, startGenesysServer } from './support/genesys/server.ts';
import { runs } from './support/soak.ts';
import { listing } from './support/service/journey.ts';
import { send, tokenHeader } from './support/service/senders.ts';
import { type Service, startService, until } from './support/service/service.ts';

const TOKEN = `kill-${randomUUID()}`;
const PROOF = tokenHeader(TOKEN);
const KILLS = runs(4, 12);
/** In the first of so many rounds of the random loop the service is stopped rather than killed. */
const STOP_EVERY = 3;
const COMMITS = 3;
const HANG_GUARD = { timeout: 540_000 };
const LINUX = { ...HANG_GUARD, skip: NO_CENSUS };

describe('killed at a stage', { ...HANG_GUARD, concurrency: 8 }, () => {
  test(
    'invariants 1, 2, 3 and 5: killed with a recording at each stage, all of them end archived once (QU-08, FF-12, IN-19)',
    LINUX,
    async (t) => {
      await using scene = await open({ TRANSCODE_SLOTS: '3' });
      const { genesys } = scene;
      const service = await scene.start();
      const settled = await scene.archive(service, scene.add('settled', FIXTURES.opus));
      const lookedUp = scene.add('looked-up', FIXTURES.opus);
      genesys.fault('metadata:looked-up', 'stall-after-0K');
      const downloading = scene.add('downloading', FIXTURES.opus);
      genesys.fault('media:downloading:0', 'stall-after-100K');
      const encoding = scene.add('encoding', FIXTURES.wav);
      genesys.fault('media:encoding:0', 'stall-after-300K');
      const queued = scene.add('queued', FIXTURES.opus);
      const received = scene.add('received', FIXTURES.wav);
      const all = [settled.recording, lookedUp, downloading, encoding, queued, received];

      for (const recording of [lookedUp, downloading, encoding, queued]) await scene.accept(service, recording);
      for (const route of ['metadata:looked-up', 'media:downloading:0', 'media:encoding:0'])
        await genesys.reached(route, 1, patience());
      await until(() => service.family().find(isFfmpeg), patience());
      await scene.accept(service, received);
      const left = await service.kill();
      assert.equal(left.filter(isFfmpeg).length, 1, 'one encoder was running');
      await assertGone(left, t);
      for (const recording of all.slice(1)) assert.equal(await scene.objects.find(recording, patience()), undefined);

      const next = await scene.start();
      for (const recording of all.slice(1)) await scene.archived(next, recording);
      await scene.audit(all);
      for (const recording of all) await scene.accept(next, recording);
      await scene.archive(next, scene.add('sentinel', FIXTURES.opus));
      assert.deepEqual(await scene.find(settled.recording), settled.manifest, 'what was archived is as it was');
      const downloads = all.map(({ recordingId }) => genesys.requests(`media:${recordingId}:0`).length);
      assert.deepEqual(downloads, [1, 1, 2, 2, 1, 1], 'once each, but for the two that were cut off');
      genesys.assertFaultsUsed();
    },
  );

  test(
    `invariants 2 and 3: killed in the midst of ${String(COMMITS)} commits, nothing partial is visible and all end archived (QU-08)`,
    LINUX,
    async (t) => {
      await using scene = await open({ TRANSCODE_SLOTS: '1' });
      const recordings: Recording[] = [];
      let service = await scene.start();
      for (let caught = 0; caught < COMMITS;) {
        assert.ok(recordings.length < 30, 'a commit is hardly ever caught');
        const recording = scene.add(`commit-${String(recordings.length)}`, FIXTURES.opus);
        recordings.push(recording);
        if (!(await freezeInCommit(scene, service, recording))) continue;
        caught += 1;
        await service.kill();
        assert.equal(await scene.objects.find(recording, patience()), undefined);
        assert.ok(
          (await listing(scene.objects)).every((entry) => entry.recording.recordingId !== recording.recordingId),
        );
        service = await scene.start();
      }
      t.diagnostic(`${String(recordings.length)} commits to catch ${String(COMMITS)}`);
      await scene.drained(service);
      await scene.audit(recordings);
    },
  );

  test(
    'an encoder that is killed midway leaves nothing visible, and the next attempt archives (FF-12)',
    LINUX,
    async () => {
      await using scene = await open({ TRANSCODE_SLOTS: '1' });
      const recording = scene.add('victim', FIXTURES.wav);
      scene.genesys.fault('media:victim:0', 'stall-after-500K');
      const service = await scene.start();
      await scene.accept(service, recording);
      await scene.genesys.reached('media:victim:0', 1, patience());
      const { pid } = await until(() => service.family().find(isFfmpeg), patience());
      process.kill(pid, 'SIGKILL');
      const { outcome } = await service.logged({ code: 'encoder-failed', recordingId: 'victim' }, patience());
      assert.equal(outcome, 'again');
      assert.equal(await scene.objects.find(recording, patience()), undefined);
      const { attempt } = await scene.archived(service, recording);
      assert.equal(attempt, 2);
      await scene.audit([recording]);
    },
  );

  test(
    'invariant 10: SIGTERM while archiving ends within 8 s, and gives the work back uncounted (PR-01)',
    LINUX,
    async (t) => {
      await using scene = await open({ TRANSCODE_SLOTS: '3' });
      const { genesys } = scene;
      const service = await scene.start();
      const held = [
        scene.add('looked-up', FIXTURES.opus),
        scene.add('downloading', FIXTURES.opus),
        scene.add('encoding', FIXTURES.wav),
      ];
      genesys.fault('metadata:looked-up', 'stall-after-0K');
      genesys.fault('media:downloading:0', 'stall-after-100K');
      genesys.fault('media:encoding:0', 'stall-after-300K');
      const queued = scene.add('queued', FIXTURES.opus);
      for (const recording of [...held, queued]) await scene.accept(service, recording);
      for (const route of ['metadata:looked-up', 'media:downloading:0', 'media:encoding:0'])
        await genesys.reached(route, 1, patience());
      await until(() => service.encoders()[0], patience());
      await stopWell(service, { t, what: 'while archiving' });

      const next = await scene.start();
      for (const recording of [...held, queued]) {
        const { attempt } = await scene.archived(next, recording);
        assert.equal(attempt, 1, `${recording.recordingId} was given back uncounted`);
      }
      await scene.audit([...held, queued]);
      await stopWhileListening(scene, next, t);
    },
  );
});

test(
  `invariants 1, 2 and 3: killed ${String(KILLS)} times at random while events come in, nothing is lost (QU-09, IN-23, PR-01)`,
  LINUX,
  async (t) => {
    await using scene = await open({ TRANSCODE_SLOTS: '2' });
    const acked: Recording[] = [];
    const sent: Recording[] = [];
    let encodersLeft = 0;
    for (let kills = 0, round = 1; kills < KILLS; round += 1) {
      const service = await scene.start();
      const sending = [1, 2].map((lane) => sendUntilGone(scene, service, { lane, round, sent, acked }));
      await delay(200 + Math.random() * 1_300);
      if (round % STOP_EVERY === 1) await stopWell(service, { t, what: `in round ${String(round)}` });
      else {
        const left = await service.kill();
        kills += 1;
        encodersLeft += left.length;
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
    assert.ok(acked.length >= 2 * KILLS, 'too little was going on to prove anything');
    await stopWell(last, { t, what: 'in the end' });
  },
);

// ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Sends one event after the other, a few a second, until nobody answers any more. */
async function sendUntilGone(
  scene: Scene,
  service: Service,
  ledger: { lane: number; round: number; sent: Recording[]; acked: Recording[] },
): Promise<void> {
  const { lane, round, sent, acked } = ledger;
  for (let count = 0; ; count += 1) {
    const fixture = count % 4 === 1 ? FIXTURES.ulaw : FIXTURES.opus;
    const recording = scene.add(`round-${String(round)}-${String(lane)}-${String(count)}`, fixture);
    sent.push(recording);
    const receipt = await send(service.url, recording, PROOF).catch(() => undefined);
    if (receipt === undefined) return;
    if (receipt.status === 202) acked.push(recording);
    else assert.equal(receipt.status, 503, receipt.body);
    await delay(120);
  }
}

/** Whether the service now stands still with the recording staged but not in its place; else it is archived and the service goes on. */
async function freezeInCommit(scene: Scene, service: Service, recording: Recording): Promise<boolean> {
  const staging = join(scene.path, 'staging');
  await mkdir(staging, { recursive: true });
  const watcher = watch(staging);
  try {
    const staged = once(watcher, 'change', { signal: patience() });
    await scene.accept(service, recording);
    await staged;
    await service.freeze();
  } finally {
    watcher.close();
  }
  const names = await readdir(staging);
  const isStaged = names.some((name) => name.includes(`.${recording.recordingId}.`));
  if (isStaged && (await scene.objects.find(recording, patience())) === undefined) return true;
  service.thaw();
  await scene.archived(service, recording);
  return false;
}

/** Whoever listens to what never comes to its end keeps the service a while, and is broken off visibly. */
async function stopWhileListening(scene: Scene, service: Service, t: TestContext): Promise<void> {
  const recording = scene.add('heard', FIXTURES.wav);
  scene.genesys.fault('media:heard:0', 'stall-after-800K');
  const response = await fetch(`${service.url}/transcode?id=heard&conversationId=${CONVERSATION}`, {
    signal: patience(),
  });
  assert.equal(response.status, 200);
  const hearing = response.arrayBuffer();
  const rejected = assert.rejects(hearing, 'the listener is not told that this was all');
  await stopWell(service, { t, what: 'with a listener' });
  await rejected;
  assert.equal(await scene.objects.find(recording, patience()), undefined);
}

async function stopWell(service: Service, { t, what }: { t: TestContext; what: string }): Promise<void> {
  const encoders = service.encoders();
  const { code, signal, ms } = await service.stop();
  t.diagnostic(`SIGTERM ${what}: ${String(Math.round(ms))} ms, ${String(encoders.length)} encoders`);
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, service.output().slice(-2_000));
  assert.ok(ms < 8_000);
  assert.deepEqual(await survivors(encoders, 0), [], 'no encoder outlives the service');
}

const isFfmpeg = ({ name }: Child): boolean => name === 'ffmpeg';

async function assertGone(encoders: readonly Child[], t: TestContext): Promise<void> {
  const since = performance.now();
  assert.deepEqual(await survivors(encoders, 2_000), [], 'an encoder outlived its service by 2 s');
  t.diagnostic(`its encoder was gone ${String(Math.round(performance.now() - since))} ms after the service`);
}

const CONVERSATION = 'kill';

/** One archive and queue, one simulated Genesys, and one service after the other over them. */
class Scene implements AsyncDisposable {
  readonly genesys: GenesysServer;
  readonly #environment: Embedded;
  readonly #env: Readonly<Record<string, string>>;
  readonly #opened = new AsyncDisposableStack();

  constructor(genesys: GenesysServer, environment: Embedded, env: Readonly<Record<string, string>>) {
    this.genesys = genesys;
    this.#environment = environment;
    this.#env = {
      ...genesys.environment(),
      ...environment.env,
      ...env,
      WEBHOOK_TOKENS: TOKEN,
      API_AUTH: 'none',
      // Written by a service that ends well: those after it start faster.
      NODE_COMPILE_CACHE: join(environment.path, '..', 'compiled'),
    };
    this.#opened.defer(() => environment.close());
    this.#opened.defer(() => genesys.close());
  }

  get objects(): Embedded['archive'] {
    return this.#environment.archive;
  }

  /** The archive's folder. */
  get path(): string {
    return this.#environment.path;
  }

  async start(): Promise<Service> {
    return this.#opened.use(await startService('serve', this.#env));
  }

  add(recordingId: string, fixture: Fixture): Recording {
    const recording = { recordingId, conversationId: CONVERSATION };
    this.genesys.addRecording(simulated(recordingId, CONVERSATION, fixture));
    return recording;
  }

  async accept(service: Service, recording: Recording): Promise<void> {
    const { status, body } = await send(service.url, recording, PROOF);
    assert.equal(status, 202, body);
  }

  async archive(
    service: Service,
    recording: Recording,
  ): Promise<{ readonly recording: Recording; readonly manifest: Manifest }> {
    await this.accept(service, recording);
    return { recording, manifest: await this.archived(service, recording) };
  }

  /** Waits for this service to archive it, whose event was accepted before. */
  async archived(service: Service, recording: Recording): Promise<Manifest> {
    await service.logged({ message: 'Recording was archived.', recordingId: recording.recordingId }, patience());
    return this.find(recording);
  }

  /** Waits until there is nothing to be done any more: what was given up is found missing later. */
  async drained(service: Service): Promise<void> {
    await until(async () => {
      const text = await (await fetch(`${service.url}/metrics`, { signal: patience() })).text();
      const depths = [...text.matchAll(/^archiver_queue_(?:ready|waiting|running) (\S+)$/gm)];
      assert.equal(depths.length, 3, text);
      return depths.every(([, depth]) => depth === '0') || undefined;
    }, patience());
  }

  async find(recording: Recording): Promise<Manifest> {
    const manifest = await this.objects.find(recording, patience());
    assert.ok(manifest !== undefined, `${pathOf(recording)} is not archived`);
    return manifest;
  }

  /** These and no others are listed, each once, and each is what its manifest says. */
  async audit(recordings: readonly Recording[]): Promise<void> {
    const entries = await listing(this.objects);
    assert.deepEqual(
      entries.map(({ status, recording }) => `${status} ${String(recording.recordingId)}`).toSorted(),
      recordings.map(({ recordingId }) => `archived ${recordingId}`).toSorted(),
    );
    for (const recording of recordings)
      assert.deepEqual(await verifyStored(this.objects, recording, patience()), [], pathOf(recording));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync();
  }
}

async function open(env: Readonly<Record<string, string>>): Promise<Scene> {
  return new Scene(await startGenesysServer(), await openEmbedded(), env);
}

/** The bound of every wait: generous, since it decides nothing but whether the test hangs. */
function patience(): AbortSignal {
  return AbortSignal.timeout(400_000);
}

/** A service that is killed and started again → what it acknowledged, archived and lost: one archive and queue, one service after the other. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { TestContext } from 'node:test';
import type { Manifest } from '../../../src/archive/manifest.ts';
import { verifyStored } from '../../../src/archive/verify.ts';
import { pathOf, type Recording } from '../../../src/recording.ts';
import { type GenesysServer, startGenesysServer } from '../genesys/server.ts';
import { type Fixture, simulated } from '../media/fixtures.ts';
import { survivors } from './children.ts';
import { type Embedded, openEmbedded } from './embedded.ts';
import { listing } from './journey.ts';
import { send, tokenHeader } from './senders.ts';
import { type Service, startService, until } from './service.ts';

const TOKEN = `kill-${randomUUID()}`;
export const PROOF = tokenHeader(TOKEN);

export const CONVERSATION = 'kill';

/** One archive and queue, one simulated Genesys, and one service after the other over them. */
export class KillScene implements AsyncDisposable {
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
      // They wait for half an hour, and a queue is drained when nothing waits.
      KEEP_DETAILS: 'no',
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
    }, AbortSignal.timeout(DRAINED_WITHIN_MS));
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

export async function openKillScene(env: Readonly<Record<string, string>>): Promise<KillScene> {
  return new KillScene(await startGenesysServer(), await openEmbedded(), env);
}

/** It decides as little: Genesys allows 300 calls a minute, and after many kills hundreds of events wait. */
const DRAINED_WITHIN_MS = 1_800_000;

/** The bound of every wait: generous, since it decides nothing but whether the test hangs. */
export function patience(): AbortSignal {
  return AbortSignal.timeout(120_000);
}

/** SIGTERM, which has to end it well within 8 s, and every encoder with it. */
export async function stopWell(service: Service, { t, what }: { t: TestContext; what: string }): Promise<void> {
  const encoders = service.encoders();
  const { code, signal, ms } = await service.stop();
  t.diagnostic(`SIGTERM ${what}: ${String(Math.round(ms))} ms, ${String(encoders.length)} encoders`);
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, service.output().slice(-2_000));
  assert.ok(ms < 8_000);
  assert.deepEqual(await survivors(encoders, 0), [], 'no encoder outlives the service');
}

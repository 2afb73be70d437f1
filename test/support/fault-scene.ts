/** A simulated Genesys, an empty queue and archive, and what it takes to see one recording through them whatever goes wrong. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Manifest } from '../../src/archive/manifest.ts';
import { verifyStored } from '../../src/archive/verify.ts';
import { pathOf, type Recording } from '../../src/recording.ts';
import { type Embedded, openEmbedded } from './service/embedded.ts';
import { type Fixture, simulated } from './media/fixtures.ts';
import { type GenesysServer, type SimulatedRecording, startGenesysServer } from './genesys/server.ts';
import { send, tokenHeader } from './service/senders.ts';
import type { Service } from './service/service.ts';

export const KEY = 'canary-api-key-1';
const TOKEN = 'canary-webhook-token';

type Called = Recording & { readonly conversationId: string };

export interface FaultScene extends AsyncDisposable {
  readonly genesys: GenesysServer;
  readonly embedded: Embedded;
  /** Holds the queue's file and the archive. */
  readonly folder: string;
  /** What a service over them is told. */
  readonly env: Readonly<Record<string, string>>;
  add(fixture: Fixture, change?: Partial<SimulatedRecording>): Called;
  accept(service: Pick<Service, 'url'>, event: unknown): Promise<void>;
  /** Waits until this service has archived it, and asserts that it is whole. */
  archived(service: Pick<Service, 'logged'>, recording: Recording): Promise<Manifest>;
  /** Asserts that it lies there whole, once. */
  whole(recording: Recording): Promise<Manifest>;
  downloads(recording: Recording): number;
}

export async function openFaultScene(): Promise<FaultScene> {
  const embedded = await openEmbedded();
  const genesys = await startGenesysServer();
  let count = 0;
  const whole = async (recording: Recording): Promise<Manifest> => {
    assert.deepEqual(await verifyStored(embedded.archive, recording, patience()), []);
    return (await embedded.archive.find(recording, patience())) ?? assert.fail(`${pathOf(recording)} is not archived`);
  };
  return {
    genesys,
    embedded,
    folder: dirname(embedded.path),
    env: {
      ...genesys.environment(),
      ...embedded.env,
      WEBHOOK_TOKENS: TOKEN,
      API_KEYS: KEY,
      LINK_KEYS: 'canary-link-key-1',
      TRANSCODE_SLOTS: '2',
    },
    add(fixture, change = {}) {
      count += 1;
      const ids = { recordingId: `r-${String(count)}`, conversationId: `c-${String(count)}` };
      genesys.addRecording({ ...simulated(ids.recordingId, ids.conversationId, fixture), ...change });
      return ids;
    },
    async accept(service, event) {
      const { status, body } = await send(service.url, event, tokenHeader(TOKEN));
      assert.equal(status, 202, body);
    },
    async archived(service, recording) {
      await service.logged({ message: 'Recording was archived.', recordingId: recording.recordingId }, patience());
      return whole(recording);
    },
    whole,
    downloads: ({ recordingId }) => genesys.requests(`media:${recordingId}:*`).length,
    async [Symbol.asyncDispose]() {
      await genesys.close();
      await embedded.close();
    },
  };
}

/** The bound of every wait: decides nothing but whether a test hangs. */
export function patience(): AbortSignal {
  return AbortSignal.timeout(400_000);
}

/** Field `name` of /proc/PID/status, where there is such a thing. */
export function statusOf(pid: number, name: string): string | undefined {
  try {
    return new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

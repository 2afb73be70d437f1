/** Starts a simulated Genesys Cloud here and the real service as a process of its own, and sends recordings through both. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseManifest } from '../../src/archive/records.ts';
import type { Manifest } from '../../src/archive/manifest.ts';
import { startGenesysServer, type GenesysServer, type SimulatedFile } from '../support/genesys/server.ts';
import { bearer, send } from '../support/service/senders.ts';
import { startService, type Service } from '../support/service/service.ts';
import { watchCpu } from './usage.ts';

const TOKEN = 'bench-token-0123456789abcdef';
const GIVE_UP_MS = 1_800_000;

export interface Archived {
  readonly manifest: Manifest;
  /** Of the service and its encoders, from the event to the last fsync. */
  readonly cpuS: number;
  /** Of the service alone. */
  readonly ownS: number;
  readonly wallS: number;
  /** The stored WebM. */
  readonly path: string;
}

export type Media = 'audio' | 'screen';

/** Events are authorised by `token`; whoever asks for a recording needs no key. */
export interface Rig extends AsyncDisposable {
  readonly genesys: GenesysServer;
  readonly service: Service;
  readonly token: string;
  /** A recording of these files that can be asked for; returns its ids. */
  add(
    files: readonly SimulatedFile[],
    media?: Media,
  ): { readonly recordingId: string; readonly conversationId: string };
  /** Sends the event of a recording and waits until it is archived. @throws Error with the log where it is not */
  archive(files: readonly SimulatedFile[], media?: Media): Promise<Archived>;
  send(event: unknown): Promise<void>;
  archived(recordingId: string): Promise<void>;
}

/** `command` is `serve`, or `receiver` for events that nobody works on. */
export async function startRig(
  folder: string,
  command: 'serve' | 'receiver' = 'serve',
  rateLimit = { allowed: 999_999, windowS: 60 },
): Promise<Rig> {
  const { NODE_OPTIONS } = process.env;
  const root = await mkdtemp(join(folder, 'rig-'));
  const genesys = await startGenesysServer({ mediaUrlLifetimeS: 3600, rateLimit });
  const service = await startService(command, {
    ...(command === 'serve' ? { ...genesys.environment(), API_AUTH: 'none' } : {}),
    QUEUE_URL: `sqlite:${join(root, 'queue.db')}`,
    ...(command === 'serve' ? { ARCHIVE_URL: `file:${join(root, 'archive')}` } : {}),
    WEBHOOK_TOKENS: TOKEN,
    // So that a profiler given to the benchmark (`NODE_OPTIONS=--cpu-prof`) sees the service.
    ...(NODE_OPTIONS === undefined ? {} : { NODE_OPTIONS }),
  });
  return new RunningRig({ genesys, service, root });
}

class RunningRig implements Rig {
  readonly token = TOKEN;
  readonly genesys: GenesysServer;
  readonly service: Service;
  readonly #root: string;

  constructor({ genesys, service, root }: { genesys: GenesysServer; service: Service; root: string }) {
    this.genesys = genesys;
    this.service = service;
    this.#root = root;
  }

  add(files: readonly SimulatedFile[], media: Media = 'audio'): { recordingId: string; conversationId: string } {
    const ids = { recordingId: randomUUID(), conversationId: randomUUID() };
    this.genesys.addRecording({ ...ids, media, files, startTime: '2026-08-05T09:12:03.412Z' });
    return ids;
  }

  async archive(files: readonly SimulatedFile[], media: Media = 'audio'): Promise<Archived> {
    const ids = this.add(files, media);
    using cpu = watchCpu(this.service.pid);
    const startedMs = performance.now();
    await this.send(ids);
    await this.archived(ids.recordingId);
    const { allS: cpuS, ownS } = cpu;
    const wallS = (performance.now() - startedMs) / 1000;
    const stored = join(this.#root, 'archive/recordings', ids.conversationId, ids.recordingId);
    const manifest = parseManifest(await readFile(join(stored, 'manifest.json'), 'utf8'));
    return { manifest, cpuS, ownS, wallS, path: join(stored, 'recording.webm') };
  }

  async send(event: unknown): Promise<void> {
    const { status, body } = await send(this.service.url, event, bearer(TOKEN));
    if (status !== 202) throw new Error(`The receiver answered ${String(status)}: ${body}`);
  }

  async archived(recordingId: string): Promise<void> {
    const settled = new AbortController();
    const signal = AbortSignal.any([settled.signal, AbortSignal.timeout(GIVE_UP_MS)]);
    const failed = this.service
      .logged({ recordingId, message: 'Recording was not archived.' }, signal)
      .then((entry) => {
        throw new Error(`A recording was not archived: ${JSON.stringify(entry)}`);
      });
    try {
      await Promise.race([this.service.logged({ recordingId, message: 'Recording was archived.' }, signal), failed]);
    } finally {
      settled.abort();
      await failed.catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service.stop();
    await this.genesys.close();
    await rm(this.#root, { recursive: true, force: true });
  }
}

/** A file on disk as one channel of a recording. */
export function fileOf(path: string, channel: string): SimulatedFile {
  const type = { opus: 'audio/ogg', wav: 'audio/wav', mp4: 'video/mp4' }[path.slice(path.lastIndexOf('.') + 1)];
  return { channel, path, contentType: type ?? 'application/octet-stream' };
}

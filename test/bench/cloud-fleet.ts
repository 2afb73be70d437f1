/** Starts the processes of one way to run the service over its queue and archive, and sends recordings through all of them. */
import { randomUUID } from 'node:crypto';
import type { Entry } from '../../src/archive/archive.ts';
import { verifyStored } from '../../src/archive/verify.ts';
import { childrenOf } from '../support/service/children.ts';
import { type GenesysServer, type SimulatedFile, startGenesysServer } from '../support/genesys/server.ts';
import type { Environment } from '../support/service/journey.ts';
import { emulatorMissing } from '../support/pubsub/emulator.ts';
import { bearer, send } from '../support/service/senders.ts';
import { type LogEntry, type Service, startService, until } from '../support/service/service.ts';
import type { Bench } from './row.ts';
import { cpuSecondsOf } from './usage.ts';

const TOKEN = 'bench-token-0123456789abcdef';
const GIVE_UP_MS = 600_000;
const SENDERS = 8;
const PAGE = 100;

interface Ids {
  readonly recordingId: string;
  readonly conversationId: string;
}

export interface FleetOptions {
  /** Closed with the fleet. */
  readonly environment: Environment;
  /** The first one takes the events. */
  readonly commands: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Spent {
  /** From the first event to the last recording that is archived. */
  readonly wallS: number;
  /** Of the fleet's processes and their encoders. */
  readonly cpuS: number;
  /** Of this process: the simulated Genesys, the bucket server where there is one, the sending and the waiting. */
  readonly serversS: number;
  readonly emulatorS: number;
  /** Of all recordings together, each from its look-up to its manifest and what follows. */
  readonly workS: number;
}

export class Fleet implements AsyncDisposable {
  readonly services: readonly Service[];
  readonly #environment: Environment;
  readonly #genesys: GenesysServer;
  readonly #opened: AsyncDisposable;
  readonly #sent: Ids[] = [];

  constructor(parts: {
    environment: Environment;
    genesys: GenesysServer;
    services: Service[];
    opened: AsyncDisposable;
  }) {
    this.services = parts.services;
    this.#environment = parts.environment;
    this.#genesys = parts.genesys;
    this.#opened = parts.opened;
  }

  /** Resolves once every recording is archived. @throws Error with the log entry where one is not */
  async archive(recordings: readonly (readonly SimulatedFile[])[]): Promise<Spent> {
    const ids = recordings.map((files) => this.#add(files));
    const [before, startedMs] = [await this.#clocks(), performance.now()];
    const left = ids.values();
    await Promise.all(Array.from({ length: SENDERS }, () => this.#send(left)));
    await this.#archived(ids);
    const wallS = (performance.now() - startedMs) / 1000;
    const after = await this.#clocks();
    return {
      wallS,
      cpuS: after.cpuS - before.cpuS,
      serversS: after.serversS - before.serversS,
      emulatorS: after.emulatorS - before.emulatorS,
      workS: after.workS - before.workS,
    };
  }

  /** Empty where each recording that was ever sent lies in the archive once, every byte as its manifest says, and nothing else does. */
  async problems(): Promise<readonly string[]> {
    const { archive } = this.#environment;
    const entries = await this.#listing();
    const problems = entries.filter(({ status }) => status !== 'archived').map((entry) => JSON.stringify(entry));
    const listed = entries.map(({ recording }) => String(recording.recordingId)).toSorted();
    const wanted = this.#sent.map(({ recordingId }) => recordingId).toSorted();
    if (listed.join() !== wanted.join())
      problems.push(
        `${String(wanted.length)} were sent, ${String(listed.length)} are listed, or they are not the same`,
      );
    const made = this.#archivedEntries().length;
    if (made !== wanted.length) problems.push(`${String(made)} were archived for ${String(wanted.length)} events`);
    for (const ids of this.#sent) problems.push(...(await verifyStored(archive, ids, AbortSignal.timeout(GIVE_UP_MS))));
    return problems;
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#opened[Symbol.asyncDispose]();
  }

  #add(files: readonly SimulatedFile[]): Ids {
    const ids = { recordingId: randomUUID(), conversationId: randomUUID() };
    this.#genesys.addRecording({ ...ids, media: 'audio', files, startTime: '2026-08-05T09:12:03.412Z' });
    this.#sent.push(ids);
    return ids;
  }

  async #send(left: Iterable<Ids>): Promise<void> {
    const url = this.services[0]?.url ?? '';
    for (const ids of left) {
      const { status, body } = await send(url, ids, bearer(TOKEN));
      if (status !== 202) throw new Error(`The receiver answered ${String(status)}: ${body}`);
    }
  }

  async #archived(ids: readonly Ids[]): Promise<void> {
    const wanted = new Set(ids.map(({ recordingId }) => recordingId));
    const all = (): true | undefined => {
      const failed = this.#entries().find(({ message }) => message === 'Recording was not archived.');
      if (failed !== undefined) throw new Error(`A recording was not archived: ${JSON.stringify(failed)}`);
      for (const { recordingId } of this.#archivedEntries()) wanted.delete(String(recordingId));
      return wanted.size === 0 ? true : undefined;
    };
    const patience = AbortSignal.timeout(GIVE_UP_MS);
    await until(all, patience).catch((cause: unknown) => {
      if (!patience.aborted) throw cause;
      throw new Error(`${String(wanted.size)} of ${String(ids.length)} recordings were not archived in time.`, {
        cause,
      });
    });
  }

  #archivedEntries(): readonly LogEntry[] {
    return this.#entries().filter(({ message }) => message === 'Recording was archived.');
  }

  #entries(): readonly LogEntry[] {
    return this.services.flatMap((service) => service.entries());
  }

  async #clocks(): Promise<Omit<Spent, 'wallS'>> {
    const cpuS = this.services.reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0);
    const [serversS, emulatorS] = [cpuSecondsOf(process.pid), emulatorCpuSeconds()];
    const works = await Promise.all(this.services.map(workSecondsOf));
    return { cpuS, serversS, emulatorS, workS: works.reduce((sum, each) => sum + each, 0) };
  }

  async #listing(): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const query = { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) };
      const page = await this.#environment.archive.list(query, AbortSignal.timeout(GIVE_UP_MS));
      entries.push(...page.entries);
      ({ cursor } = page);
    }
    return entries;
  }
}

export async function startFleet({ environment, commands, env = {} }: FleetOptions): Promise<Fleet> {
  await using opened = new AsyncDisposableStack();
  opened.defer(() => environment.close());
  const rateLimit = { allowed: 999_999, windowS: 60 };
  const genesys = opened.adopt(await startGenesysServer({ rateLimit }), (server) => server.close());
  const all = { ...genesys.environment(), API_AUTH: 'none', WEBHOOK_TOKENS: TOKEN, ...environment.env, ...env };
  const services: Service[] = [];
  for (const command of commands) services.push(opened.use(await startService(command, all)));
  return new Fleet({ environment, genesys, services, opened: opened.move() });
}

async function workSecondsOf({ url }: Service): Promise<number> {
  const figures = await (await fetch(`${url}/metrics`)).text();
  return Number(/^archiver_stage_seconds_sum\{stage="total"\} (\S+)$/m.exec(figures)?.[1] ?? 0);
}

/** Of all emulators of this process: gcloud starts Python, which starts Java. */
export function emulatorCpuSeconds(pid = process.pid): number {
  return childrenOf(pid).reduce((sum, child) => {
    return sum + (child.name === 'java' ? cpuSecondsOf(child.pid) : emulatorCpuSeconds(child.pid));
  }, 0);
}

/** Whether there is an emulator; where there is none, says so and how it is started. */
export function hasEmulator(bench: Bench, name: string): boolean {
  const missing = emulatorMissing();
  if (missing !== false) bench.say(`${name}: skipped. ${missing}`);
  return missing === false;
}

/** Configuration → what makes WebM, and what works on recordings without a queue: all that a command shares with a service, and no server. */
import { availableParallelism } from 'node:os';
import type { OpenArchive } from '../archive/open-archive.ts';
import { createDelivery, type DeliveryNeeds } from '../delivery.ts';
import { createGenesys, type OpenGenesys } from '../genesys/open-genesys.ts';
import { Failure } from '../failure.ts';
import type { OnRefused } from '../genesys/api.ts';
import type { Genesys } from '../genesys/genesys.ts';
import type { Dependency } from '../http/health.ts';
import { Encoders } from '../media/encoder/encoders.ts';
import { threadsFor } from '../media/encoder/arguments.ts';
import { isLoose } from '../media/encoder/cage.ts';
import { checkFfmpeg, type Ffmpeg, requireFfmpeg } from '../media/encoder/check.ts';
import { Slots } from '../media/encoder/slots.ts';
import { Spools } from '../media/mp4/spool.ts';
import type { ServiceFigures } from '../overview.ts';
import { Pipeline } from '../pipeline.ts';
import type { Recording } from '../recording.ts';
import type { Log } from '../telemetry/log.ts';
import type { Handle } from '../queue/queue.ts';
import { WaitingList } from '../delivery/waiting-list.ts';
import type { Context } from './run.ts';

/** What making WebM needs of whoever runs it. */
export type StudioContext = Pick<Context, 'config' | 'log' | 'metrics' | 'version' | 'opened'>;

/** Genesys, ffmpeg and the pipeline over them: what makes WebM. */
export interface Studio {
  readonly genesys: OpenGenesys;
  readonly pipeline: Pipeline;
  /** What encodes, as it was found at the start; starts nothing. @throws Failure `misconfigured` once it is gone */
  readonly ffmpeg: () => Promise<Ffmpeg>;
  readonly dependencies: readonly Dependency[];
  /** The same encoders and bounds behind another way of asking Genesys. */
  readonly pipelineOver: (genesys: Genesys) => Pipeline;
  /** Figures of this process, as GET /status tells them. */
  readonly figures: () => ServiceFigures;
}

export interface StudioOptions {
  /** Of Genesys' rate windows: all of them, but for whoever makes way for live work. */
  readonly share?: number;
  /** How long a question to Genesys may wait for its turn before the work is handed back; a second by default. */
  readonly patienceMs?: number;
  /** Whether recordings are archived here: then listeners never have the last encoder. */
  readonly archives: boolean;
}

export async function openStudio(
  context: StudioContext,
  { archive }: Pick<OpenArchive, 'archive'>,
  { archives, ...limits }: StudioOptions,
): Promise<Studio> {
  const { config, metrics, log } = context;
  const ffmpeg = await checkFfmpeg({ cage: config.encoderCage });
  const { version, cage } = ffmpeg;
  log.info('ffmpeg was found.', { version, cage });
  if (isLoose(cage))
    log.warn('The encoder’s cage is looser than it should be.', { open: cage.open, missing: cage.missing });
  const encoders = new Encoders(ffmpeg, config.transcodeSlots);
  context.opened.defer(() => encoders.close());
  const slots = new Slots({ slots: config.transcodeSlots, maxWaiting: config.transcodeQueue, archives });
  const spools = new Spools();
  const genesys = createGenesys(config.genesys, { proxies: config.proxies, onRefused: refusedTo(log), ...limits });
  context.opened.defer(() => genesys.close());
  const threads = threadsFor(config.transcodeSlots, availableParallelism());
  const tools = { ffmpeg, slots, spools, encoders, maxDurationMs: config.maxDurationS * 1000, threads };
  const { version: service } = context;
  const onLevelsLost = (recording: Recording, error: unknown): void =>
    log.warn('A recording was archived without its levels.', { ...recording, error });
  const keepOriginal = config.archiveOriginal;
  const making = { archive, tools, metrics, keepOriginal, version: service, onLevelsLost };
  const pipelineOver = (asked: Genesys): Pipeline => new Pipeline({ ...making, genesys: asked, givesWay: true });
  const pipeline = new Pipeline({ ...making, genesys });
  metrics.gauge('encoders_running', () => slots.running);
  metrics.gauge('encoders_waiting', () => slots.waiting);
  const callsLeft = (): number | undefined => {
    const spent = genesys.callsSpent;
    return spent === undefined ? undefined : spent.allowed - spent.made;
  };
  metrics.gauge('genesys_calls_left', () => callsLeft() ?? NaN);
  metrics.gauge('spooled_bytes', () => spools.heldBytes);
  metrics.gauge('webm_held_bytes', () => pipeline.heldBytes);
  const stillThere = async (): Promise<Ffmpeg> => {
    await requireFfmpeg(ffmpeg);
    return ffmpeg;
  };
  const dependencies = [
    { name: 'ffmpeg', check: async () => void (await stillThere()), facts: { version, cage } },
    { name: 'genesys', check: (signal: AbortSignal) => genesys.check(signal) },
  ];
  const startedAt = new Date().toISOString();
  const figures = (): ServiceFigures => ({
    version: service,
    startedAt,
    encodersRunning: slots.running,
    genesysCallsLeft: callsLeft() ?? null,
  });
  return { genesys, pipeline, ffmpeg: stillThere, dependencies, pipelineOver, figures };
}

/** What is logged of an OAuth client that Genesys refuses while it takes others. */
export function refusedTo(log: Pick<Log, 'warn'>): OnRefused {
  return (clientId, { message: reason }) =>
    log.warn('Genesys refuses one of the clients of GENESYS_CLIENT_ID; the others go on without it.', {
      clientId,
      reason,
    });
}

/** What queues call for live work, for whoever has recordings and no queue. */
export function handleWithoutQueue(parts: Omit<DeliveryNeeds, 'queue' | 'waiting'>): Handle {
  const publish = async (): Promise<void> => {
    throw new Failure('internal', 'Only recordings are worked on here: there is no queue to publish to.');
  };
  return createDelivery({ ...parts, queue: { publish }, waiting: new WaitingList() });
}

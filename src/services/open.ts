/** What several deployables open in the same way. */
import { openArchive, type OpenArchive } from '../archive/open-archive.ts';
import type { IndexRow } from '../archive/index-row.ts';
import type { Audit } from '../audit/audit.ts';
import { openAudit } from '../audit/open-audit.ts';
import { createDelivery, type DeliveryNeeds } from '../delivery.ts';
import type { Failure } from '../failure.ts';
import type { AppNeeds } from '../http/app.ts';
import { createApp, createMetricsApp } from '../http/app.ts';
import { problemsOf, Readiness, type Dependency, type HealthState } from '../http/health.ts';
import { openQueue, type OpenQueue } from '../queue/open-queue.ts';
import type { Queue } from '../queue/queue.ts';
import { WaitingList } from '../delivery/waiting-list.ts';
import { untilAborted } from '../waiting.ts';
import type { Log } from '../telemetry/log.ts';
import { isLoopback } from '../loopback.ts';
import { openBeside } from './beside.ts';
import type { Context, Running } from './run.ts';
import type { Studio } from './studio.ts';

/** Listeners get this long to hear their stream to the end before they are broken off; all in all we exit within 8 s. */
const LISTENERS_END_WITHIN_MS = 5_000;
/** What a crash left under staging/ is removed once it is certain that nobody writes it any more. */
const STAGING_LIFE_MS = 24 * 3_600_000;
const SWEEP_EVERY_MS = 3_600_000;

export async function openTheQueue(context: Context): Promise<OpenQueue> {
  const { config, log, metrics } = context;
  const onTrouble = (trouble: Failure): void => {
    metrics.troubled(trouble.code);
    log.warn(trouble.message, { error: trouble });
  };
  const queue = await openQueue(config.queue, { onTrouble, pushed: config.push !== undefined });
  context.opened.defer(() => queue.close());
  const depth = async (name: 'ready' | 'waiting' | 'running' | 'dead'): Promise<number> =>
    (await queue.depth())?.[name] ?? NaN;
  context.metrics.gauge('queue_ready', () => depth('ready'));
  context.metrics.gauge('queue_waiting', () => depth('waiting'));
  context.metrics.gauge('queue_running', () => depth('running'));
  context.metrics.gauge('queue_dead', () => depth('dead'));
  return queue;
}

export async function openTheArchive(context: Context, readOnly = false): Promise<OpenArchive> {
  const { config, door, log, opened } = context;
  const onNotice = (message: string): void => log.warn(message, {});
  const open = await openArchive(config, { publicUrl: config.publicUrl ?? door.url, readOnly, onNotice });
  opened.defer(() => open.archive.close());
  return open;
}

/** Where listens and changes are put on record: in the archive itself. */
export async function openTheAudit(
  { config, opened }: Pick<Context, 'config' | 'opened'>,
  { archive }: Pick<OpenArchive, 'archive'>,
): Promise<Audit> {
  const folder = config.archive.kind === 'folder' ? config.archive.path : undefined;
  const audit = await openAudit({ folder, notes: archive.notes });
  opened.defer(() => audit.close());
  return audit;
}

/** What a message is worked on with, however it came. */
export function deliveryNeeds(
  context: Context,
  queue: Queue,
  { archive, studio, onRow }: { archive: OpenArchive['archive']; studio: Studio; onRow?: (row: IndexRow) => void },
): DeliveryNeeds {
  const { metrics, log, version } = context;
  const { pipeline, genesys } = studio;
  const waiting = new WaitingList();
  metrics.waiting(() => waiting.totals());
  const beside = openBeside(context, { archive, queue, conversations: genesys.conversations, onRow });
  return { pipeline, genesys, archive, queue, metrics, log, waiting, version, ...beside };
}

/** Takes work from the queue until the service stops, unless it is only pushed; sweeps staging/ meanwhile. */
export async function consumeQueue(context: Context, queue: Queue, parts: DeliveryNeeds): Promise<void> {
  const { log, stopping } = context;
  const { archive } = parts;
  const sweep = (): void => {
    archive.sweep(STAGING_LIFE_MS, stopping).then(
      (removed) => removed > 0 && log.info('Staging was swept.', { removed }),
      (error: unknown) => stopping.aborted || log.warn('Staging could not be swept.', { error }),
    );
  };
  sweep();
  const sweeping = setInterval(sweep, SWEEP_EVERY_MS);
  try {
    if (pulls(context)) await queue.consume(createDelivery(parts), context.config.transcodeSlots, stopping);
    else await untilAborted(stopping);
  } finally {
    clearInterval(sweeping);
  }
}

/** A worker that is pushed to has no subscription to pull from. */
function pulls({ config }: Context): boolean {
  return config.queue.kind !== 'pubsub' || config.queue.subscription !== undefined;
}

/** Public answers give no reasons: they stand here. */
function sayReadiness(state: HealthState, log: Log): void {
  if (state.ready) log.info('The service is ready again.');
  else if (state.reason === undefined) log.warn('The service is not ready.', { problems: problemsOf(state) });
}

/** Serves the routes until the service stops. `background` is awaited as well. */
export function serveRoutes(
  context: Context,
  routes: Omit<AppNeeds, 'log' | 'metrics' | 'readiness' | 'auth' | 'publicUrl' | 'linkOrigins'> & {
    readonly dependencies: readonly Dependency[];
  },
  background: Promise<void> = Promise.resolve(),
): Running {
  const { dependencies, ...parts } = routes;
  const { config, log, metrics, stopping, door, metricsDoor } = context;
  const { publicUrl, linkOrigins } = config;
  const readiness = new Readiness(dependencies, { onChange: (state) => sayReadiness(state, log) });
  door.open(createApp({ log, metrics, readiness, auth: config.api, publicUrl, linkOrigins, ...parts }));
  if (config.metrics !== undefined)
    metricsDoor?.open(createMetricsApp({ log, metrics, readiness }, isLoopback(config.metrics.host)));
  const closed = untilAborted(stopping).then(() => {
    readiness.notReady('The service is stopping.');
    return Promise.all([door.close(LISTENERS_END_WITHIN_MS), metricsDoor?.close(LISTENERS_END_WITHIN_MS)]);
  });
  return {
    done: Promise.all([closed, background]).then(() => undefined),
    notReady: (reason) => readiness.notReady(reason),
  };
}

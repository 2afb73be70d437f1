/** `archiver console`: pages for people. It reads, puts on record and sends back to the queue what failed; nothing else. */
import type { Archive } from '../archive/archive.ts';
import type { Audit } from '../audit/audit.ts';
import { LISTENERS } from '../bounds.ts';
import { openAssets } from '../console/assets.ts';
import { createConsole } from '../console/console.ts';
import { DivisionNames } from '../console/divisions.ts';
import { HealthWatch } from '../console/health-facts.ts';
import type { Hearing } from '../console/hearing.ts';
import type { Keeping } from '../console/keeping.ts';
import { PATIENCE_MS } from '../console/patience.ts';
import { openDoor } from '../console/who/open-door.ts';
import type { AppNeeds } from '../http/app.ts';
import { Readiness, type Dependency } from '../http/health.ts';
import { Turnstile } from '../http/turnstile.ts';
import { Witness } from '../http/witness.ts';
import type { Queue } from '../queue/queue.ts';
import type { Search } from '../search/search.ts';
import { openTheSearch } from './open-search.ts';
import { openTheArchive, openTheAudit, openTheQueue, serveRoutes } from './open.ts';
import type { Context, Deployable } from './run.ts';

export const peoplePages: Deployable = async (context) => {
  const queue = await openTheQueue(context);
  const open = await openTheArchive(context, true);
  const audit = await openTheAudit(context, open);
  const dependencies = [
    { name: 'queue', check: (signal: AbortSignal) => queue.check(signal) },
    { name: 'archive', check: (signal: AbortSignal) => open.archive.check(signal) },
  ];
  const routes = await consoleRoutes(context, {
    archive: open.archive,
    queue,
    audit,
    dependencies,
    search: openTheSearch(context, open.archive).search,
    listen: undefined,
    keeping: undefined,
  });
  return serveRoutes(context, { dependencies, ...routes });
};

export interface ConsoleSources {
  readonly archive: Archive;
  readonly queue: Queue;
  readonly audit: Audit;
  readonly search: Search;
  /** Makes what is not archived yet while it plays; undefined where nothing is made. */
  readonly listen: Hearing['listen'];
  /** What the health page says of its parts. */
  readonly dependencies: readonly Dependency[];
  /** Where holds and erasures are done at once. */
  readonly keeping: Keeping | undefined;
}

/** What stands below /console/, wherever that is served. */
export async function consoleRoutes(
  { config, door, log, metrics, version }: Context,
  { archive, queue, audit, dependencies, search, listen, keeping }: ConsoleSources,
): Promise<Pick<AppNeeds, 'console'>> {
  const assets = await openAssets();
  if (!assets.hasModules)
    log.info('The scripts of the console are not compiled: its pages work without them. Run npm run build.');
  const witness = new Witness(audit, { proxies: config.trustedProxies });
  const now = (): Date => new Date();
  const publicUrl = config.publicUrl ?? door.url;
  const { doorkeeper, tokens, keys } = await openDoor({ config, publicUrl, witness, log, now });
  const asksByConversation = config.genesys.recordingApi !== 'media';
  const hearing = { ...turnstiles(), listen, asksByConversation, channelNames: config.channelNames };
  const divisions = new DivisionNames(archive.notes);
  const hashed = (text: string): string => keys.hashed(text);
  const health = new HealthWatch({ archive, queue, parts: new Readiness(dependencies), now });
  const needs = {
    archive,
    queue,
    audit,
    witness,
    health,
    metrics,
    log,
    version,
    search,
    hearing,
    rereads: new Turnstile({ all: 1, perKey: 1, retryAfterMs: 10_000, what: 'recordings read whole' }),
    keeping,
    divisions,
    patienceMs: PATIENCE_MS,
    hashed,
    now,
  };
  const needsSomeone = (): number => health.needsSomeone;
  return { console: createConsole(needs, { assets, doorkeeper, tokens, publicUrl, needsSomeone }) };
}

/** People have bounds of their own: a program that listens a lot keeps nobody from a page's sound. */
function turnstiles(): Pick<Hearing, 'listeners' | 'liveListeners'> {
  const { all, perKey, live, livePerKey, retryAfterMs } = LISTENERS;
  return {
    listeners: new Turnstile({ all, perKey, retryAfterMs, what: 'listeners' }),
    liveListeners: new Turnstile({ all: live, perKey: livePerKey, retryAfterMs, what: 'live listeners' }),
  };
}

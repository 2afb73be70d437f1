/** `archiver console`: pages for people. It reads, signs links, puts on record and sends back to the queue what failed; nothing else. */
import type { Archive } from '../archive/archive.ts';
import type { Audit } from '../audit/audit.ts';
import { LISTENERS } from '../bounds.ts';
import { openAssets } from '../console/assets.ts';
import { createConsole } from '../console/console.ts';
import type { Hearing } from '../console/hearing.ts';
import { openDoor } from '../console/who/open-door.ts';
import type { AppNeeds } from '../http/app.ts';
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
  return serveRoutes(context, {
    dependencies: [
      { name: 'queue', check: (signal) => queue.check(signal) },
      { name: 'archive', check: (signal) => open.archive.check(signal) },
    ],
    ...(await consoleRoutes(context, {
      archive: open.archive,
      queue,
      audit,
      search: openTheSearch(context, open.archive).search,
      listen: undefined,
    })),
  });
};

export interface ConsoleSources {
  readonly archive: Archive;
  readonly queue: Queue;
  readonly audit: Audit;
  readonly search: Search;
  /** Makes what is not archived yet while it plays; undefined where nothing is made. */
  readonly listen: Hearing['listen'];
}

/** What stands below /console/, wherever that is served. */
export async function consoleRoutes(
  { config, door, log, metrics, version }: Context,
  { archive, queue, audit, search, listen }: ConsoleSources,
): Promise<Pick<AppNeeds, 'console'>> {
  const assets = await openAssets();
  if (!assets.hasModules)
    log.info('The scripts of the console are not compiled: its pages work without them. Run npm run build.');
  const witness = new Witness(audit, { proxies: config.trustedProxies });
  const now = (): Date => new Date();
  const publicUrl = config.publicUrl ?? door.url;
  const { doorkeeper, tokens, keys } = await openDoor({ config, publicUrl, witness, log, now });
  const hearing = { ...turnstiles(), listen, channelNames: config.channelNames };
  const hashed = (text: string): string => keys.hashed(text);
  const needs = { archive, queue, audit, witness, metrics, log, version, search, hearing, hashed, now };
  return { console: createConsole(needs, { assets, doorkeeper, tokens, publicUrl }) };
}

/** People have bounds of their own: a program that listens a lot keeps nobody from a page's sound. */
function turnstiles(): Pick<Hearing, 'listeners' | 'liveListeners'> {
  const { all, perKey, live, livePerKey, retryAfterMs } = LISTENERS;
  return {
    listeners: new Turnstile({ all, perKey, retryAfterMs, what: 'listeners' }),
    liveListeners: new Turnstile({ all: live, perKey: livePerKey, retryAfterMs, what: 'live listeners' }),
  };
}

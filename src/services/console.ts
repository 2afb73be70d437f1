/** `archiver console`: pages for people. It reads, signs links, puts on record and sends back to the queue what failed; nothing else. */
import type { Archive } from '../archive/archive.ts';
import type { Audit } from '../audit/audit.ts';
import { openAssets } from '../console/assets.ts';
import { createConsole } from '../console/console.ts';
import { openDoor } from '../console/who/open-door.ts';
import type { AppNeeds } from '../http/app.ts';
import { Witness } from '../http/witness.ts';
import type { Queue } from '../queue/queue.ts';
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
    ...(await consoleRoutes(context, { archive: open.archive, queue, audit })),
  });
};

export interface ConsoleSources {
  readonly archive: Archive;
  readonly queue: Queue;
  readonly audit: Audit;
}

/** What stands below /console/, wherever that is served. */
export async function consoleRoutes(
  { config, door, log, metrics, version }: Context,
  { archive, queue, audit }: ConsoleSources,
): Promise<Pick<AppNeeds, 'console'>> {
  const assets = await openAssets();
  if (!assets.hasModules)
    log.info('The scripts of the console are not compiled: its pages work without them. Run npm run build.');
  const witness = new Witness(audit, { proxies: config.trustedProxies });
  const now = (): Date => new Date();
  const publicUrl = config.publicUrl ?? door.url;
  const { doorkeeper, tokens } = await openDoor({ config, publicUrl, witness, log, now });
  const needs = { archive, queue, audit, witness, metrics, log, version, now };
  return { console: createConsole(needs, { assets, doorkeeper, tokens, publicUrl }) };
}

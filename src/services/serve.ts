/** `archiver serve`: receiver, worker, playback and console in one process. */
import type { Audit } from '../audit/audit.ts';
import type { Config } from '../config/config.ts';
import type { Keeping } from '../console/keeping.ts';
import { consoleRoutes } from './console.ts';
import { workEachNight } from './each-night.ts';
import { forgetBeside } from './forget-beside.ts';
import { consumeQueue, deliveryNeeds, openTheArchive, openTheAudit, openTheQueue, serveRoutes } from './open.ts';
import { openStudio } from './studio.ts';
import { openTheSearch } from './open-search.ts';
import { playbackRoutes } from './playback.ts';
import { PulseTally } from '../pulse.ts';
import { beginDivisions } from './keep-divisions.ts';
import { beginPulse } from './pulse.ts';
import { pushRoute } from './push.ts';
import type { Deployable } from './run.ts';

export const serve: Deployable = async (given) => {
  const tally = new PulseTally();
  const context = { ...given, metrics: tally.over(given.metrics) };
  const { config } = context;
  const queue = await openTheQueue(context);
  const open = await openTheArchive(context);
  const studio = await openStudio(context, open, { archives: true });
  const audit = await openTheAudit(context, open);
  const { search, onRow } = openTheSearch(context, open.archive);
  const parts = deliveryNeeds(context, queue, { archive: open.archive, studio, onRow });
  const listening = playbackRoutes(context, open, { studio, queue, audit });
  const { listen } = listening.playback.transcode;
  const dependencies = [
    { name: 'queue', check: (signal: AbortSignal) => queue.check(signal) },
    { name: 'archive', check: (signal: AbortSignal) => open.archive.check(signal) },
    ...studio.dependencies,
  ];
  // A bucket has accounts of its own for that.
  const keeping = config.archive.kind === 'folder' ? keepingOf(config, audit) : undefined;
  const sources = { archive: open.archive, queue, audit, dependencies, search, listen, keeping };
  const pages = await consoleRoutes(context, sources);
  beginDivisions(context, { archive: open.archive, genesys: studio.genesys });
  beginPulse(context, { archive: open.archive, command: 'serve', tally, waiting: parts.waiting, studio });
  const pushed = await pushRoute(context, queue, parts);
  const working = Promise.all([
    consumeQueue(context, queue, parts),
    workEachNight(context, { archive: open.archive, audit, studio, queue, followUps: parts.followUps }),
  ]);
  return serveRoutes(
    context,
    {
      dependencies,
      webhook: { auth: config.webhook, queue },
      ...pushed,
      ...listening,
      ...pages,
    },
    working.then(() => undefined),
  );
};

function keepingOf(config: Config, audit: Audit): Keeping {
  return { audit, forgetBeside: (subjects) => forgetBeside(subjects, config) };
}

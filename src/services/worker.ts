/** `archiver worker`: archives recordings from the queue. */
import { consumeQueue, deliveryNeeds, openTheArchive, openTheQueue, serveRoutes } from './open.ts';
import { openStudio } from './studio.ts';
import { PulseTally } from '../pulse.ts';
import { beginDivisions } from './keep-divisions.ts';
import { beginPulse } from './pulse.ts';
import { pushRoute } from './push.ts';
import type { Deployable } from './run.ts';

export const worker: Deployable = async (given) => {
  const tally = new PulseTally();
  const context = { ...given, metrics: tally.over(given.metrics) };
  const queue = await openTheQueue(context);
  const open = await openTheArchive(context);
  const studio = await openStudio(context, open, { archives: true });
  const parts = deliveryNeeds(context, queue, { archive: open.archive, studio });
  beginDivisions(context, { archive: open.archive, genesys: studio.genesys });
  beginPulse(context, { archive: open.archive, command: 'worker', tally, waiting: parts.waiting, studio });
  const pushed = await pushRoute(context, queue, parts);
  const consuming = consumeQueue(context, queue, parts);
  const dependencies = [
    { name: 'queue', check: (signal: AbortSignal) => queue.check(signal) },
    { name: 'archive', check: (signal: AbortSignal) => open.archive.check(signal) },
    ...studio.dependencies,
  ];
  return serveRoutes(context, { dependencies, ...pushed }, consuming);
};

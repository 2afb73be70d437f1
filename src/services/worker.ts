/** `archiver worker`: archives recordings from the queue. */
import { consumeQueue, deliveryNeeds, openStudio, openTheArchive, openTheQueue, serveRoutes } from './open.ts';
import { type Pulse, PulseTally } from '../pulse.ts';
import { beginCheckup } from './checkup.ts';
import { beginDivisions } from './keep-divisions.ts';
import { ownProbes } from './own-probes.ts';
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
  const calls = (): Pulse['calls'] => studio.genesys.callsSpent ?? null;
  const saying = { tally, waiting: parts.waiting, calls, checks: beginCheckup(ownProbes(context), context) };
  beginPulse(context, { archive: open.archive, command: 'worker', ...saying });
  const pushed = await pushRoute(context, queue, parts);
  const consuming = consumeQueue(context, queue, parts);
  const dependencies = [
    { name: 'queue', check: (signal: AbortSignal) => queue.check(signal) },
    { name: 'archive', check: (signal: AbortSignal) => open.archive.check(signal) },
    ...studio.dependencies,
  ];
  return serveRoutes(context, { dependencies, ...pushed }, consuming);
};

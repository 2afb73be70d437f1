/** `archiver worker`: archives recordings from the queue. */
import { consumeQueue, deliveryNeeds, openStudio, openTheArchive, openTheQueue, serveRoutes } from './open.ts';
import { pushRoute } from './push.ts';
import type { Deployable } from './run.ts';

export const worker: Deployable = async (context) => {
  const queue = await openTheQueue(context);
  const open = await openTheArchive(context);
  const studio = await openStudio(context, open, { archives: true });
  const parts = deliveryNeeds(context, queue, { archive: open.archive, studio });
  const consuming = consumeQueue(context, queue, parts);
  const dependencies = [
    { name: 'queue', check: (signal: AbortSignal) => queue.check(signal) },
    { name: 'archive', check: (signal: AbortSignal) => open.archive.check(signal) },
    ...studio.dependencies,
  ];
  return serveRoutes(context, { dependencies, ...pushRoute(context, queue, parts) }, consuming);
};

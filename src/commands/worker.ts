/** `archiver worker`: archives recordings from the queue. */
import { consumeQueue, openStudio, openTheArchive, openTheQueue, serveRoutes } from './parts.ts';
import type { Deployable } from './service.ts';

export const worker: Deployable = async (context) => {
  const queue = await openTheQueue(context);
  const open = await openTheArchive(context);
  const studio = await openStudio(context, open);
  const consuming = consumeQueue(context, queue, { archive: open.archive, studio });
  const dependencies = [
    { name: 'queue', check: (signal: AbortSignal) => queue.check(signal) },
    { name: 'archive', check: (signal: AbortSignal) => open.archive.check(signal) },
    ...studio.dependencies,
  ];
  return serveRoutes(context, { dependencies }, consuming);
};

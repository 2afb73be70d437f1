/** `archiver serve`: receiver, worker and playback in one process. */
import { consumeQueue, openStudio, openTheArchive, openTheQueue, serveRoutes } from './parts.ts';
import { playbackRoutes } from './playback.ts';
import type { Deployable } from './service.ts';

export const serve: Deployable = async (context) => {
  const { config } = context;
  const queue = await openTheQueue(context);
  const open = await openTheArchive(context);
  const studio = await openStudio(context, open);
  const consuming = consumeQueue(context, queue, { archive: open.archive, studio });
  return serveRoutes(
    context,
    {
      dependencies: [
        { name: 'queue', check: (signal) => queue.check(signal) },
        { name: 'archive', check: (signal) => open.archive.check(signal) },
        ...studio.dependencies,
      ],
      webhook: { auth: config.webhook, queue },
      ...playbackRoutes(context, open, { studio, queue }),
    },
    consuming,
  );
};

/** `archiver playback`: plays any recording, archived or not, lists them and signs links. */
import type { OpenArchive } from '../archive/open-archive.ts';
import type { AppParts } from '../http/app.ts';
import type { Queue } from '../queue/queue.ts';
import { openStudio, openTheArchive, openTheQueue, serveRoutes, type Studio } from './open.ts';
import type { Context, Deployable } from './run.ts';

export const playback: Deployable = async (context) => {
  const open = await openTheArchive(context, true);
  const studio = await openStudio(context, open);
  const queue = context.config.archiveOnListen ? await openTheQueue(context) : undefined;
  return serveRoutes(context, {
    dependencies: [{ name: 'archive', check: (signal) => open.archive.check(signal) }, ...studio.dependencies],
    ...playbackRoutes(context, open, { studio, queue }),
  });
};

/** `queue` takes what was listened to and is not archived yet (ARCHIVE_ON_LISTEN). */
export function playbackRoutes(
  { config, log }: Context,
  { archive, media }: OpenArchive,
  { studio, queue }: { readonly studio: Studio; readonly queue: Queue | undefined },
): Pick<AppParts, 'playback' | 'media'> {
  const listen: typeof studio.pipeline.listen = async (recording, signal) => {
    const listening = await studio.pipeline.listen(recording, signal);
    if (config.archiveOnListen && queue !== undefined) {
      queue.publish([{ kind: 'recording', ...recording }], AbortSignal.timeout(5_000)).catch((error: unknown) => {
        log.warn('A recording that was listened to could not be queued for archiving.', { ...recording, error });
      });
    }
    return listening;
  };
  return {
    playback: {
      auth: config.api,
      transcode: { listen, archive },
      recordings: { archive, linkLifetimeS: config.linkLifetimeS },
    },
    ...(media === undefined ? {} : { media }),
  };
}

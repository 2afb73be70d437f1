/** `archiver playback`: plays any recording, archived or not, lists them and signs links. */
import type { OpenArchive } from '../archive/open-archive.ts';
import type { AppNeeds } from '../http/app.ts';
import type { Queue } from '../queue/queue.ts';
import type { Audit } from '../audit/audit.ts';
import { openTheArchive, openTheAudit, openTheQueue, serveRoutes } from './open.ts';
import { openStudio, type Studio } from './studio.ts';
import type { Context, Deployable } from './run.ts';

export const playback: Deployable = async (context) => {
  const open = await openTheArchive(context, true);
  const studio = await openStudio(context, open, { archives: false });
  const queue = context.config.archiveOnListen ? await openTheQueue(context) : undefined;
  return serveRoutes(context, {
    dependencies: [{ name: 'archive', check: (signal) => open.archive.check(signal) }, ...studio.dependencies],
    ...playbackRoutes(context, open, { studio, queue, audit: await openTheAudit(context, open) }),
  });
};

type PlaybackNeeds = Required<NonNullable<AppNeeds['playback']>>;

/** `queue` takes what was listened to and is not archived yet (ARCHIVE_ON_LISTEN). */
export function playbackRoutes(
  { config, log }: Context,
  { archive, media }: OpenArchive,
  { studio, queue, audit }: { readonly studio: Studio; readonly queue: Queue | undefined; readonly audit: Audit },
): Pick<AppNeeds, 'overview' | 'media' | 'audit' | 'proxies'> & { readonly playback: PlaybackNeeds } {
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
    audit,
    proxies: config.trustedProxies,
    overview: { archive, depth: async () => queue?.depth(), figures: studio.figures },
    playback: {
      transcode: { listen, archive },
      recordings: { archive, linkLifetimeS: config.linkLifetimeS },
    },
    ...(media === undefined ? {} : { media }),
  };
}

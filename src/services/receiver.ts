/** `archiver receiver`: takes events and publishes them; it can do nothing else. */
import { openTheQueue, serveRoutes } from './open.ts';
import type { Deployable } from './run.ts';

export const receiver: Deployable = async (context) => {
  const queue = await openTheQueue(context);
  return serveRoutes(context, {
    dependencies: [{ name: 'queue', check: (signal) => queue.check(signal) }],
    webhook: { auth: context.config.webhook, queue },
  });
};

/** Pushed messages → archived recordings; what a push is too short for is left to a worker that pulls. */
import { PUSHES } from '../bounds.ts';
import { createDelivery, type DeliveryNeeds } from '../delivery.ts';
import type { AppNeeds } from '../http/app.ts';
import type { OpenQueue } from '../queue/open-queue.ts';
import type { Context } from './run.ts';

/** No route where nothing is to be pushed, or the queue cannot be. */
export async function pushRoute(
  context: Context,
  queue: OpenQueue,
  parts: DeliveryNeeds,
): Promise<Pick<AppNeeds, 'push'>> {
  const { push, transcodeSlots } = context.config;
  if (push === undefined || queue.take === undefined) return {};
  const { take } = queue;
  // Google's library is loaded only where Google calls.
  const { createVerifyPush } = await import('../http/push-token.ts');
  const handle = createDelivery(parts);
  return {
    push: {
      verify: createVerifyPush(push),
      limit: PUSHES.perSlot * transcodeSlots,
      take: (pushed, signal) => take(pushed, handle, AbortSignal.any([signal, context.stopping])),
    },
  };
}

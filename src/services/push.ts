/** Turns pushed messages into archived recordings, and leaves what a push is too short for to a worker that pulls. */
import { createDelivery, type DeliveryParts } from '../delivery.ts';
import type { AppParts } from '../http/app.ts';
import { createVerifyPush } from '../http/push-token.ts';
import { TooLong } from '../media/quick.ts';
import type { OpenQueue } from '../queue/open-queue.ts';
import type { PushHandle } from '../queue/pubsub/pubsub.ts';
import type { Context } from './run.ts';

/** Pub/Sub waits at most 600 s for an answer. What was thought to be quick and is not goes the other way in time. */
const PUSH_WITHIN_MS = 540_000;

/** No route where nothing is to be pushed, or the queue cannot be. */
export function pushRoute(context: Context, queue: OpenQueue, parts: DeliveryParts): Pick<AppParts, 'push'> {
  const { push, transcodeSlots } = context.config;
  if (push === undefined || queue.take === undefined) return {};
  const { take } = queue;
  const handle = quickHandle(parts);
  return {
    push: {
      verify: createVerifyPush(push),
      limit: 2 * transcodeSlots,
      take: (pushed, signal) => take(pushed, handle, AbortSignal.any([signal, context.stopping])),
    },
  };
}

export function quickHandle(parts: DeliveryParts, withinMs = PUSH_WITHIN_MS): PushHandle {
  return async (delivery, signal) => {
    let tooLong = false;
    const archive: DeliveryParts['pipeline']['archive'] = async (work, stop) => {
      try {
        return await parts.pipeline.archive({ ...work, quick: true }, stop);
      } catch (error) {
        tooLong = error instanceof TooLong;
        throw error;
      }
    };
    const deliver = createDelivery({ ...parts, pipeline: { ...parts.pipeline, archive } });
    const deadline = AbortSignal.timeout(withinMs);
    const settlement = await deliver(delivery, AbortSignal.any([signal, deadline]));
    const late = deadline.aborted && !signal.aborted;
    return (tooLong || late) && settlement.outcome === 'wait' ? { outcome: 'long' } : settlement;
  };
}

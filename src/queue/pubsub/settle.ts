/**
 * How a delivery ended → what Pub/Sub has to be told: publish a copy or nothing, and only then acknowledge.
 *
 * Pub/Sub cannot deliver later. A nack comes back after the subscription's backoff, which may be earlier than asked
 * (Retry-After would be shortened) and counts towards the dead letters (waiting would be failing). So a message that
 * has to wait moves: its copy, with the time in its `not-before` and `wait-ms`, goes to the topic TOPIC-later and the original is
 * acknowledged. A crash in between leaves two, never none. Workers hold what lies on SUBSCRIPTION-later under lease
 * (later.ts) and publish it on TOPIC again when it is due. Neither a filter (one topic would be enough with
 * it, but it cannot be changed nor tried out: the emulator ignores it) nor Cloud Tasks (one more service, one more
 * identity, at most 30 days) is needed.
 *
 * What has to exist: TOPIC and SUBSCRIPTION (retry policy, dead letters after more deliveries than the worker's
 * attempts), TOPIC-later and SUBSCRIPTION-later (retry policy of at least 10 s, no dead letters, expiring never).
 * Workers publish to both topics and consume from both subscriptions; the receiver publishes to TOPIC. A worker that is
 * pushed to publishes to TOPIC-long as well; TOPIC-long is a queue like TOPIC, with all of the above (longNameOf).
 */
import type { Envelope } from '../envelope.ts';
import { copyOf } from './envelope.ts';
import type { PubsubLibrary } from './library.ts';
import type { Settlement } from '../queue.ts';

export interface Desk {
  readonly library: Pick<PubsubLibrary, 'publish'>;
  readonly topic: string;
  /** Where messages wait. */
  readonly laterTopic: string;
}

/** `TOPIC-later`, `SUBSCRIPTION-later`: terraform makes them by these names. */
export function laterNameOf(name: string): string {
  return `${name}-later`;
}

/**
 * `TOPIC-long`: where a worker that is pushed to leaves what takes longer than a push may. A queue of its own, with
 * its own `-later`, for `archiver worker` with QUEUE_URL=pubsub://PROJECT/TOPIC-long?subscription=SUBSCRIPTION-long.
 */
export function longNameOf(name: string): string {
  return `${name}-long`;
}

/**
 * Resolves when the envelope may be acknowledged. `attempt` is that of the delivery which ended.
 * @throws Failure where the copy could not be published: then the envelope must be kept
 */
export async function settle(
  envelope: Envelope,
  ended: Settlement & { readonly attempt: number },
  desk: Desk,
): Promise<void> {
  if (ended.outcome === 'done' || ended.outcome === 'dead') return;
  const attempt = ended.outcome === 'again' ? ended.attempt + 1 : ended.attempt;
  if (ended.outcome === 'long') return desk.library.publish(longNameOf(desk.topic), [copyOf(envelope, { attempt })]);
  if (ended.outcome === 'back' || ended.afterMs <= 0)
    return desk.library.publish(desk.topic, [copyOf(envelope, { attempt })]);
  const waiting = { waitMs: ended.afterMs, fromMs: Date.now() };
  await desk.library.publish(desk.laterTopic, [copyOf(envelope, { attempt, waiting })]);
}

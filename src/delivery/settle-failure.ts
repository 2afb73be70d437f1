/** One failed delivery → when it comes back, or that it never does; and what the archive says of it meanwhile. */
import type { Archive } from '../archive/archive.ts';
import type { Failure } from '../failure.ts';
import type { FollowUps } from './follow-ups.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { ageOf, idsOf, messageKey, type Delivery, type Settlement } from '../queue/queue.ts';
import { nextTryOf, SEEN_AFTER_MS, type Next } from './schedule.ts';
import type { Wait, WaitingList } from './waiting-list.ts';

export interface SettleNeeds {
  readonly archive: Archive;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly waiting: WaitingList;
  readonly version: string;
  readonly followUps?: FollowUps;
}

/** Nobody waits for a record of what waits, and no slot is held for one. */
const NOTED_WITHIN_MS = 5_000;
/** A final failure is let go only once it is recorded. */
const RECORDED_WITHIN_MS = 30_000;

interface Settling {
  readonly needs: SettleNeeds;
  readonly signal: AbortSignal;
}

/** Reads what the failure says of itself. A final one is recorded before the message is let go. */
export async function settleFailure(failure: Failure, delivery: Delivery, settling: Settling): Promise<Settlement> {
  const { metrics, waiting } = settling.needs;
  if (failure.code === 'too-long' || failure.code === 'stopped') {
    const outcome = failure.code === 'stopped' ? 'back' : 'long';
    metrics.postponed(failure.code, outcome);
    return { outcome };
  }
  if (failure.code === 'erased') {
    // Gone on purpose: there is nothing to tell anybody, and nothing to try again.
    waiting.forget(messageKey(delivery.message));
    await forgetReasons(delivery, settling.needs);
    return { outcome: 'done' };
  }
  const next = nextTryOf(failure, { attempt: delivery.attempt, ageMs: ageOf(delivery) });
  if (next !== undefined) {
    metrics.postponed(failure.code, next.outcome);
    await postpone(failure, { delivery, next }, settling);
    return next.outcome === 'wait' ? { ...next, outcome: 'wait', because: failure } : { ...next, outcome: 'again' };
  }
  await record(failure, delivery, settling.needs);
  waiting.forget(messageKey(delivery.message));
  return { outcome: 'dead', reason: `${failure.code}: ${failure.message}` };
}

/** What a worker noted of it while it was being erased; the next erasure finds what stays. */
async function forgetReasons({ message }: Delivery, { archive, log }: SettleNeeds): Promise<void> {
  const subject = idsOf(message);
  if (subject.recordingId === undefined) return;
  const signal = AbortSignal.timeout(NOTED_WITHIN_MS);
  const removed = [archive.removeWaiting(subject, signal), archive.removeFailure(subject, signal)];
  for (const ended of await Promise.allSettled(removed))
    if (ended.status === 'rejected')
      log.warn('What was noted of an erased recording could not be removed.', { ...subject, error: ended.reason });
}

/** Nothing waits unseen; but a record that cannot be written changes nothing for the work itself. */
async function postpone(
  { code, sort, message: reason }: Failure,
  { delivery, next }: { readonly delivery: Delivery; readonly next: Next },
  { needs, signal }: Settling,
): Promise<void> {
  const key = messageKey(delivery.message);
  const wait: Wait = { code, sort, reason, sinceMs: delivery.acceptedAt.getTime(), nextMs: Date.now() + next.afterMs };
  const isNews = needs.waiting.postponed(key, wait);
  if (!isNews || ageOf(delivery) < SEEN_AFTER_MS) return;
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(NOTED_WITHIN_MS)]);
  try {
    await recordWait(wait, { delivery, needs }, inTime);
    needs.waiting.recorded(key, wait);
  } catch (error) {
    needs.log.warn('What waits could not be recorded; it is tried again with the next delivery.', {
      ...idsOf(delivery.message),
      error,
    });
  }
}

async function recordWait(
  { code, sort, reason, sinceMs, nextMs }: Wait,
  { delivery, needs }: { readonly delivery: Delivery; readonly needs: SettleNeeds },
  signal: AbortSignal,
): Promise<void> {
  const subject = idsOf(delivery.message);
  const record = {
    ...about(subject, needs),
    code,
    sort,
    reason,
    since: new Date(sinceMs).toISOString(),
    nextTry: new Date(Math.min(nextMs, LATEST_MS)).toISOString(),
    attempts: delivery.attempt,
  };
  await needs.archive.recordWaiting(subject, record, signal);
  await needs.followUps?.waits(record, delivery, signal);
  // An earlier event's failure no longer holds: this one has brought it back.
  await needs.archive.removeFailure(subject, signal);
}

/** The last moment an instant can be written with four digits of a year, whatever a Retry-After asks for. */
const LATEST_MS = Date.UTC(9999, 11, 31);

async function record(failure: Failure, delivery: Delivery, needs: SettleNeeds): Promise<void> {
  const subject = idsOf(delivery.message);
  const record = {
    ...about(subject, needs),
    status: failure.code === 'no-media' ? 'no-media' : 'failed',
    code: failure.code,
    reason: failure.message,
    attempts: delivery.attempt,
    failedAt: new Date().toISOString(),
  } as const;
  const inTime = AbortSignal.timeout(RECORDED_WITHIN_MS);
  await needs.archive.recordFailure(subject, record, inTime);
  await needs.followUps?.failed(record, delivery, inTime);
  needs.metrics.failed(failure.code);
}

function about(subject: ReturnType<typeof idsOf>, { version }: SettleNeeds) {
  const { recordingId, conversationId } = subject;
  return {
    version: 1,
    recordingId: recordingId ?? null,
    conversationId: conversationId ?? null,
    service: version,
  } as const;
}

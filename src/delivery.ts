/** One message from the queue → its recording in the archive → how the delivery ended. Knows no transport and never throws. */
import type { Archive } from './archive/archive.ts';
import { Failure } from './failure.ts';
import type { Genesys } from './genesys/genesys.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Pipeline } from './pipeline.ts';
import type { Delivery, Handle, Message, Queue, Settlement } from './queue/queue.ts';
import { nextTryOf } from './schedule.ts';
import { traced } from './trace.ts';

export interface DeliveryParts {
  readonly pipeline: Pick<Pipeline, 'archive'>;
  readonly genesys: Genesys;
  readonly archive: Archive;
  readonly queue: Pick<Queue, 'publish'>;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly version: string;
}

/** By then whatever belongs to a conversation is listed, though perhaps not ready yet. */
export const SETTLED_AFTER_MS = 15 * 60_000;
/** Deliveries in a row after which the process was gone: the recording itself is to blame then. */
export const MAX_LOST = 5;

export function createDelivery(parts: DeliveryParts): Handle {
  return (delivery, signal) => {
    const { message, attempt } = delivery;
    const step = { name: 'deliver', parent: message.traceparent, attributes: { ...idsOf(message), attempt } } as const;
    return traced(step, async ({ traceparent, note }) => {
      const own = traceparent === undefined ? message : { ...message, traceparent };
      const settlement = await deliver({ ...delivery, message: own }, parts, signal);
      note({ outcome: settlement.outcome });
      return settlement;
    });
  };
}

async function deliver(delivery: Delivery, parts: DeliveryParts, stop: AbortSignal): Promise<Settlement> {
  const started = performance.now();
  using deadline = deadlineOf(delivery);
  const signal = AbortSignal.any([stop, deadline.signal]);
  const about = { ...idsOf(delivery.message), attempt: delivery.attempt, traceparent: delivery.message.traceparent };
  try {
    const done = await work(delivery, parts, signal);
    parts.log.info(done.message, { ...about, ...done.facts, seconds: secondsSince(started) });
    return done.settlement;
  } catch (error) {
    const failure = failureOfWork(error, { stop, signal });
    const settlement = await settle(failure, delivery, parts).catch((unrecorded: unknown): Settlement => {
      parts.log.error('A failure could not be recorded; the work goes back to the queue.', {
        ...about,
        error: unrecorded,
      });
      const unnameable = unrecorded instanceof Failure && unrecorded.retry === 'never';
      return unnameable ? { outcome: 'dead', reason: failure.message } : { outcome: 'wait', afterMs: 60_000 };
    });
    const line = {
      ...about,
      code: failure.code,
      sort: failure.sort,
      reason: failure.message,
      error: failure,
      ...settlement,
      seconds: secondsSince(started),
    };
    parts.log[levelOf(failure)]('Recording was not archived.', line);
    return settlement;
  }
}

/** Aborts with `too-long` when the transport's time is over; never where it has no bound. */
function deadlineOf({ withinMs }: Delivery): Disposable & { readonly signal: AbortSignal } {
  const deadline = new AbortController();
  const timer = withinMs === undefined ? undefined : setTimeout(() => deadline.abort(late()), withinMs);
  return { signal: deadline.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}

function late(): Failure {
  return new Failure('too-long', 'The time for this delivery is over; it is left to a worker without a deadline.');
}

/** Whom it concerns: somebody at once, somebody one day, nobody. */
function levelOf({ code, sort }: Failure): 'error' | 'warn' | 'info' {
  if (code === 'internal' || code === 'misconfigured') return 'error';
  return sort === 'operator' ? 'warn' : 'info';
}

interface Done {
  readonly message: string;
  readonly facts: object;
  readonly settlement: Settlement;
}

async function work(delivery: Delivery, parts: DeliveryParts, signal: AbortSignal): Promise<Done> {
  if (delivery.lost >= MAX_LOST) throw poisonous(delivery.lost);
  const { message } = delivery;
  if (message.kind === 'conversation') return resolve(message, { delivery, parts }, signal);
  const started = performance.now();
  const { recordingId, conversationId, traceparent } = message;
  const recording = { recordingId, conversationId };
  const step = { name: 'archive', parent: traceparent, attributes: { recordingId, conversationId } } as const;
  const { manifest, fresh } = await traced(step, (own) =>
    parts.pipeline.archive(
      { recording, attempt: delivery.attempt, traceparent: own.traceparent, withinMs: delivery.withinMs },
      signal,
    ),
  );
  if (!fresh) return { message: 'Recording was archived already.', facts: {}, settlement: { outcome: 'done' } };
  parts.metrics.archived(manifest.way);
  parts.metrics.seconds('total', secondsSince(started));
  const { sizeBytes, durationMs } = manifest.webm;
  const facts = { way: manifest.way, sizeBytes, durationMs };
  return { message: 'Recording was archived.', facts, settlement: { outcome: 'done' } };
}

/** A conversation becomes its recordings. Screens are uploaded later than calls: it is looked at once more when it has settled. */
async function resolve(
  { conversationId, traceparent }: Message & { readonly kind: 'conversation' },
  { delivery, parts }: { readonly delivery: Delivery; readonly parts: DeliveryParts },
  signal: AbortSignal,
): Promise<Done> {
  const recordings = await parts.genesys.recordingsOf(conversationId, delivery.acceptedAt, signal);
  const trace = traceparent === undefined ? {} : { traceparent };
  const messages = recordings.map((recording): Message => ({ kind: 'recording', ...recording, ...trace }));
  if (messages.length > 0) await parts.queue.publish(messages, signal);
  // Unlike a recording's, no manifest tells a reader that it no longer holds.
  await parts.archive.removeFailure({ recordingId: undefined, conversationId }, signal);
  const unsettledMs = SETTLED_AFTER_MS - (Date.now() - delivery.acceptedAt.getTime());
  const settlement: Settlement = unsettledMs > 0 ? { outcome: 'wait', afterMs: unsettledMs } : { outcome: 'done' };
  return { message: 'Conversation was resolved.', facts: { recordings: messages.length }, settlement };
}

/** Reads what the failure says of itself. A final one is recorded before the message is let go. */
async function settle(failure: Failure, delivery: Delivery, parts: DeliveryParts): Promise<Settlement> {
  if (failure.code === 'too-long') {
    parts.metrics.postponed(failure.code, 'long');
    return { outcome: 'long' };
  }
  if (failure.code === 'stopped') {
    parts.metrics.postponed(failure.code, 'back');
    return { outcome: 'back' };
  }
  const next = nextTryOf(failure, { attempt: delivery.attempt, ageMs: Date.now() - delivery.acceptedAt.getTime() });
  if (next !== undefined) {
    parts.metrics.postponed(failure.code, next.outcome);
    return next;
  }
  await record(failure, delivery, parts);
  return { outcome: 'dead', reason: `${failure.code}: ${failure.message}` };
}

async function record(failure: Failure, delivery: Delivery, parts: DeliveryParts): Promise<void> {
  const { recordingId, conversationId } = idsOf(delivery.message);
  const record = {
    version: 1,
    recordingId: recordingId ?? null,
    conversationId: conversationId ?? null,
    status: failure.code === 'no-media' ? 'no-media' : 'failed',
    code: failure.code,
    reason: failure.message,
    attempts: delivery.attempt,
    failedAt: new Date().toISOString(),
    service: parts.version,
  } as const;
  await parts.archive.recordFailure({ recordingId, conversationId }, record, AbortSignal.timeout(30_000));
  parts.metrics.failed(failure.code);
}

function idsOf(message: Message): { recordingId: string | undefined; conversationId: string | undefined } {
  return {
    recordingId: message.kind === 'recording' ? message.recordingId : undefined,
    conversationId: message.conversationId,
  };
}

function poisonous(lost: number): Failure {
  const message = `The service ended ${String(lost)} times in a row while it worked on this recording; send its event again once the cause is found.`;
  return new Failure('internal', message, { retry: 'never' });
}

/**
 * `stopped` only where we were, and whatever a deadline gave as its reason. Anything else that calls itself stopped was not
 * foreseen: taken at its word it would come back for ever.
 */
function failureOfWork(error: unknown, { stop, signal }: { stop: AbortSignal; signal: AbortSignal }): Failure {
  if (stop.aborted) return new Failure('stopped', 'The work was stopped and goes back to the queue.', { cause: error });
  const failure = Failure.from(signal.aborted ? signal.reason : error);
  if (failure.code !== 'stopped') return failure;
  return new Failure('internal', 'The work was stopped by nobody who may; the log has what was said.', {
    cause: error,
  });
}

function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000;
}

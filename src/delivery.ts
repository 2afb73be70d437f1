/** One message from the queue → its recording in the archive → how the delivery ended. Knows no transport and never throws. */
import type { Archive } from './archive/archive.ts';
import type { Manifest } from './archive/manifest.ts';
import { Failure } from './failure.ts';
import type { Genesys } from './genesys/genesys.ts';
import type { Log } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';
import type { Pipeline } from './pipeline.ts';
import {
  ageOf,
  idsOf,
  messageKey,
  type Delivery,
  type Handle,
  type Message,
  type Queue,
  type Settlement,
} from './queue/queue.ts';
import { resolveConversation, type ConversationDelivery } from './delivery/resolve.ts';
import type { FollowUps } from './delivery/follow-ups.ts';
import { LATE_MS, MAX_AGE_MS, nextTryOf, SEEN_AFTER_MS } from './delivery/schedule.ts';
import { settleFailure } from './delivery/settle-failure.ts';
import { traced } from './telemetry/trace.ts';
import type { WaitingList } from './delivery/waiting-list.ts';
import { Deadline, Scope } from './waiting.ts';

export interface DeliveryNeeds {
  readonly pipeline: Pick<Pipeline, 'archive'>;
  readonly genesys: Genesys;
  readonly archive: Archive;
  readonly queue: Pick<Queue, 'publish'>;
  readonly metrics: Metrics;
  readonly log: Log;
  /** One for all deliveries of a process. */
  readonly waiting: WaitingList;
  readonly version: string;
  /** Messages that are about no recording's media; those of a kind that is missing here have nothing to do. */
  readonly beside?: Partial<Record<BesideKind, WorkBeside>>;
  readonly followUps?: FollowUps;
}

type BesideKind = 'details' | 'levels' | 'notice';

/** Resolves with when it comes back, or that it is done. @throws Failure, which says for how long it is tried again; nothing is recorded of it */
export type WorkBeside = (delivery: Delivery, signal: AbortSignal) => Promise<Settlement>;

/** They ask others and wait: no encoder stands idle for them. */
const WITHOUT_ENCODER: ReadonlySet<Message['kind']> = new Set(['conversation', 'details', 'notice']);

/** Deliveries in a row after which the process was gone: the recording itself is to blame then. */
export const MAX_LOST = 5;

export function createDelivery(parts: DeliveryNeeds): Handle {
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

async function deliver(delivery: Delivery, parts: DeliveryNeeds, stop: AbortSignal): Promise<Settlement> {
  const started = performance.now();
  using time = boundOf(delivery, stop);
  const { signal } = time;
  const about = { ...idsOf(delivery.message), attempt: delivery.attempt, traceparent: delivery.message.traceparent };
  const key = messageKey(delivery.message);
  if (parts.waiting.delivered(key)) reportStuck(about, parts);
  const { kind } = delivery.message;
  if (WITHOUT_ENCODER.has(kind)) delivery.yieldSlot?.();
  if (kind === 'details' || kind === 'levels' || kind === 'notice')
    return workBeside(delivery, { kind, parts, stop }, signal);
  try {
    const done = await work(delivery, parts, signal);
    parts.waiting.forget(key);
    parts.log.info(done.message, { ...about, ...done.facts, seconds: secondsSince(started) });
    return done.settlement;
  } catch (error) {
    const failure = failureOfWork(error, { stop, signal });
    const settlement = await settleFailure(failure, delivery, { needs: parts, signal }).catch(
      (unrecorded: unknown): Settlement => {
        parts.log.error('A failure could not be recorded; the work goes back to the queue.', {
          ...about,
          error: unrecorded,
        });
        const unnameable = unrecorded instanceof Failure && unrecorded.retry === 'never';
        return unnameable
          ? { outcome: 'dead', reason: failure.message, unrecorded: true }
          : { outcome: 'wait', afterMs: 60_000 };
      },
    );
    const line = {
      ...about,
      code: failure.code,
      sort: failure.sort,
      reason: failure.message,
      ...settlement,
      because: undefined,
      error: failure,
      seconds: secondsSince(started),
    };
    parts.log[levelOf(failure)]('Recording was not archived.', line);
    return settlement;
  }
}

interface BesideWork {
  readonly kind: BesideKind;
  readonly parts: DeliveryNeeds;
  readonly stop: AbortSignal;
}

/** No recording waits for it, and none is called failed for it. */
async function workBeside(
  delivery: Delivery,
  { kind, parts, stop }: BesideWork,
  signal: AbortSignal,
): Promise<Settlement> {
  const about = { kind, ...idsOf(delivery.message), attempt: delivery.attempt };
  try {
    if (delivery.lost >= MAX_LOST) throw poisonous(delivery.lost);
    if (ageOf(delivery) >= MAX_AGE_MS) throw tooOld();
    const settlement = (await parts.beside?.[kind]?.(delivery, signal)) ?? { outcome: 'done' };
    if (settlement.outcome === 'done') parts.waiting.forget(messageKey(delivery.message));
    return settlement;
  } catch (error) {
    const failure = failureOfWork(error, { stop, signal });
    const settlement = settleBeside(failure, delivery);
    const line = { ...about, code: failure.code, reason: failure.message, error: failure, ...settlement };
    parts.log[levelOf(failure)]('Work beside a recording was not done.', line);
    return settlement;
  }
}

/** By whose it is, like a recording's; what ends with it stands in the log alone. */
function settleBeside(failure: Failure, delivery: Delivery): Settlement {
  if (failure.code === 'stopped') return { outcome: 'back' };
  if (failure.code === 'too-long') return { outcome: 'long' };
  const reason = `${failure.code}: ${failure.message}`;
  return nextTryOf(failure, { attempt: delivery.attempt, ageMs: ageOf(delivery) }) ?? { outcome: 'dead', reason };
}

/** By the schedule nothing comes so often: whatever it is, it costs calls and encoders, and gets nowhere by itself. */
function reportStuck(about: Readonly<Record<string, unknown>>, { log, metrics }: DeliveryNeeds): void {
  metrics.stuck();
  log.error('A message was delivered 50 times within an hour without progress.', about);
}

/** Over with `stop`, and, where the transport's time is bounded, with that: `too-long`. */
function boundOf({ withinMs }: Delivery, stop: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  return withinMs === undefined ? new Scope(stop) : new Deadline(withinMs, { signal: stop, late });
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

async function work(delivery: Delivery, parts: DeliveryNeeds, signal: AbortSignal): Promise<Done> {
  if (delivery.lost >= MAX_LOST) throw poisonous(delivery.lost);
  const { message } = delivery;
  if (message.kind === 'conversation') return look({ ...delivery, message }, parts, signal);
  if (message.kind !== 'recording') throw new Failure('internal', `Nobody works on messages of kind ${message.kind}.`);
  const started = performance.now();
  const { recordingId, conversationId, traceparent } = message;
  const recording = { recordingId, conversationId };
  const step = { name: 'archive', parent: traceparent, attributes: { recordingId, conversationId } } as const;
  const { attempt, withinMs, yieldSlot: onMade } = delivery;
  const { manifest, fresh } = await traced(step, ({ traceparent: own }) =>
    parts.pipeline.archive({ recording, attempt, traceparent: own, withinMs, onMade }, signal),
  );
  // Archived by an earlier delivery of this message, which may not have come so far.
  const isOurs = fresh || Date.parse(manifest.finishedAt) >= delivery.acceptedAt.getTime();
  const cleared = fresh ? clearAbsence(manifest, parts, signal) : undefined;
  try {
    if (isOurs) await parts.followUps?.archived(manifest, delivery, signal);
  } finally {
    await cleared;
  }
  if (!fresh) {
    // Its commit has removed the records, unless it was another message's.
    if (ageOf(delivery) >= SEEN_AFTER_MS) await parts.archive.removeWaiting(recording, signal);
    return { message: 'Recording was archived already.', facts: {}, settlement: { outcome: 'done' } };
  }
  parts.metrics.archived(manifest.way);
  parts.metrics.seconds('total', secondsSince(started));
  const { sizeBytes, durationMs } = manifest.webm;
  const facts = { way: manifest.way, sizeBytes, durationMs };
  return { message: 'Recording was archived.', facts, settlement: { outcome: 'done' } };
}

/** A conversation that is so old may have been noted as one without recordings. */
async function clearAbsence(
  { conversationId, recordedAt }: Manifest,
  { archive, log }: DeliveryNeeds,
  signal: AbortSignal,
): Promise<void> {
  if (conversationId === null || (recordedAt !== null && Date.now() - Date.parse(recordedAt) < LATE_MS)) return;
  const subject = { recordingId: undefined, conversationId };
  try {
    // Any other failure of it is that of recordings that may still be out.
    if ((await archive.failureOf(subject, signal))?.status === 'no-recordings')
      await archive.removeFailure(subject, signal);
  } catch (error) {
    log.warn('A conversation may still be listed as one without recordings.', { conversationId, error });
  }
}

async function look(delivery: ConversationDelivery, parts: DeliveryNeeds, signal: AbortSignal): Promise<Done> {
  const { settlement, listed, published, lacking } = await resolveConversation(delivery, parts, signal);
  // Without another look to come it ends as what keeps it from being read.
  if (lacking !== undefined && settlement.outcome === 'done')
    throw new Failure(lacking.code, lacking.message, { cause: lacking, sort: lacking.sort, retry: 'never' });
  if (lacking !== undefined)
    parts.log.warn('A list of recordings could not be read in full; what could be read goes on.', {
      conversationId: delivery.message.conversationId,
      code: lacking.code,
      reason: lacking.message,
    });
  return { message: 'Conversation was resolved.', facts: { recordings: listed, published }, settlement };
}

function tooOld(): Failure {
  return new Failure('upstream-unavailable', 'It could not be done within a week, and is given up.', {
    retry: 'never',
  });
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

/** One look at a conversation: what Genesys lists of it goes to the queue, and its age says when it is looked at next. */
import type { Archive } from '../archive/archive.ts';
import { Failure } from '../failure.ts';
import type { Genesys } from '../genesys/genesys.ts';
import { ageOf, type Delivery, type Message, type Queue, type Settlement } from '../queue/queue.ts';
import type { Recording } from '../recording.ts';
import { isLaterLook, LOOK_AGAIN_AFTER_MS, nextLookAfter, SEEN_AFTER_MS } from './schedule.ts';

export interface ResolveNeeds {
  readonly genesys: Pick<Genesys, 'recordingsOf' | 'voicemailsOf'>;
  readonly archive: Archive;
  readonly queue: Pick<Queue, 'publish'>;
  readonly version: string;
}

export interface ConversationLook {
  /** What Genesys lists, and how much of it was new to us. */
  readonly listed: number;
  readonly published: number;
  /** Why the list may not be all that Genesys has. */
  readonly lacking: Failure | undefined;
  readonly settlement: Settlement;
}

export interface ConversationDelivery extends Delivery {
  readonly message: Message & { readonly kind: 'conversation' };
}

/** Archive requests at once while a list is compared with it. */
const COMPARED_AT_ONCE = 16;
/** Entries of a conversation that are read to learn whether it ever had a recording. */
const ASKED_FOR = 10;

export async function resolveConversation(
  delivery: ConversationDelivery,
  needs: ResolveNeeds,
  signal: AbortSignal,
): Promise<ConversationLook> {
  const { conversationId, voicemail } = delivery.message;
  const ageMs = ageOf(delivery);
  const { genesys } = needs;
  const {
    recordings: listed,
    isComplete,
    lacking,
  } = voicemail === true
    ? await genesys.voicemailsOf(conversationId, signal)
    : await genesys.recordingsOf(conversationId, signal);
  const wanted = isLaterLook(ageMs) ? await unanswered(listed, { delivery, needs }, signal) : listed;
  if (wanted.length > 0) await needs.queue.publish(messagesOf(wanted, delivery.message), signal);
  const subject = { recordingId: undefined, conversationId };
  // Unlike a recording's, no manifest tells a reader that it no longer holds.
  if (wanted.length > 0 || !isLaterLook(ageMs)) await needs.archive.removeFailure(subject, signal);
  const afterMs = nextLookAfter(ageMs, listed.length === 0 ? 'nothing' : isComplete ? 'all' : 'something');
  const found = { listed: listed.length, lacking, afterMs };
  // Whether a voicemail can be seen says nothing of the conversation, which is looked at by a message of its own.
  if (voicemail !== true) await noteFound(delivery, { found, needs }, signal);
  const settlement: Settlement =
    afterMs === undefined ? { outcome: 'done' } : { outcome: 'wait', afterMs, soonestMs: LOOK_AGAIN_AFTER_MS };
  return { listed: listed.length, published: wanted.length, lacking, settlement };
}

function messagesOf(recordings: readonly Recording[], { traceparent }: Message): readonly Message[] {
  const trace = traceparent === undefined ? {} : { traceparent };
  return recordings.map((recording) => ({ kind: 'recording', ...recording, ...trace }));
}

interface Asking {
  readonly delivery: ConversationDelivery;
  readonly needs: ResolveNeeds;
}

/** Without those that an earlier look published and that are archived, given up or waiting since: two messages would do the work twice. */
async function unanswered(
  listed: readonly Recording[],
  asking: Asking,
  signal: AbortSignal,
): Promise<readonly Recording[]> {
  const wanted: Recording[] = [];
  for (let start = 0; start < listed.length; start += COMPARED_AT_ONCE) {
    const some = listed.slice(start, start + COMPARED_AT_ONCE);
    const answered = await Promise.all(some.map((recording) => isAnswered(recording, asking, signal)));
    wanted.push(...some.filter((_, index) => answered[index] !== true));
  }
  return wanted;
}

async function isAnswered(recording: Recording, { delivery, needs }: Asking, signal: AbortSignal): Promise<boolean> {
  const { archive } = needs;
  const sinceEvent = (instant: string | undefined): boolean =>
    instant !== undefined && Date.parse(instant) >= delivery.acceptedAt.getTime();
  try {
    if ((await archive.find(recording, signal)) !== undefined) return true;
    if (sinceEvent((await archive.failureOf(recording, signal))?.failedAt)) return true;
    return sinceEvent((await archive.waitingOf(recording, signal))?.since);
  } catch (error) {
    // Whoever works on it says what is wrong with it; the others of its conversation are not to wait for that.
    if (error instanceof Failure && error.code === 'conflict') return false;
    throw error;
  }
}

interface LookOutcome {
  readonly listed: number;
  readonly lacking: Failure | undefined;
  /** Until the next look; undefined where this was the last. */
  readonly afterMs: number | undefined;
}

/** What a reader of the archive is told of the conversation itself. */
async function noteFound(
  delivery: ConversationDelivery,
  { found, needs }: { readonly found: LookOutcome; readonly needs: ResolveNeeds },
  signal: AbortSignal,
): Promise<void> {
  const { listed, lacking, afterMs } = found;
  if (lacking === undefined && listed === 0) return noteNothing(delivery, { afterMs, needs }, signal);
  if (lacking !== undefined && afterMs !== undefined)
    return noteWait(delivery, { because: lacking, afterMs, needs }, signal);
  if (lacking !== undefined || ageOf(delivery) < SEEN_AFTER_MS) return;
  const { conversationId } = delivery.message;
  await needs.archive.removeWaiting({ recordingId: undefined, conversationId }, signal);
}

/** Between two looks it waits, after the last one it ended with nothing; before anybody would ask nothing is written. */
async function noteNothing(
  delivery: ConversationDelivery,
  { afterMs, needs }: { readonly afterMs: number | undefined; readonly needs: ResolveNeeds },
  signal: AbortSignal,
): Promise<void> {
  const { conversationId } = delivery.message;
  const { archive, version } = needs;
  const subject = { recordingId: undefined, conversationId };
  if (afterMs === undefined) {
    if (await hasRecordings(conversationId, archive, signal)) return await archive.removeWaiting(subject, signal);
    // Of its voicemails, which are looked at by a message of their own: that one says more.
    if ((await archive.failureOf(subject, signal))?.status === 'failed')
      return await archive.removeWaiting(subject, signal);
    const reason = 'Genesys listed no recording of this conversation within three days.';
    const failedAt = new Date().toISOString();
    const record = {
      ...conversationFacts(delivery, version),
      code: 'no-recordings',
      status: 'no-recordings',
      reason,
      failedAt,
    } as const;
    return await archive.recordFailure(subject, record, signal);
  }
  if (ageOf(delivery) < SEEN_AFTER_MS) return;
  await noteWait(delivery, { because: NOTHING_YET, afterMs, needs }, signal);
  await archive.removeFailure(subject, signal);
}

const NOTHING_YET = {
  code: 'no-recordings',
  sort: 'surroundings',
  message: 'Genesys lists no recording of this conversation yet.',
} as const;

interface NotedWait {
  readonly because: Pick<Failure, 'code' | 'sort' | 'message'>;
  readonly afterMs: number;
  readonly needs: ResolveNeeds;
}

async function noteWait(
  delivery: ConversationDelivery,
  { because: { code, sort, message: reason }, afterMs, needs: { archive, version } }: NotedWait,
  signal: AbortSignal,
): Promise<void> {
  const since = delivery.acceptedAt.toISOString();
  const nextTry = new Date(Date.now() + afterMs).toISOString();
  const record = { ...conversationFacts(delivery, version), code, sort, reason, since, nextTry };
  await archive.recordWaiting({ recordingId: undefined, conversationId: record.conversationId }, record, signal);
}

function conversationFacts({ message: { conversationId }, attempt }: ConversationDelivery, version: string) {
  return { version: 1, recordingId: null, conversationId, attempts: attempt, service: version } as const;
}

/** Genesys may have deleted meanwhile what an earlier look found. */
async function hasRecordings(conversationId: string, archive: Archive, signal: AbortSignal): Promise<boolean> {
  const { entries } = await archive.list({ conversationId, limit: ASKED_FOR }, signal);
  return entries.some(({ recording }) => recording.recordingId !== undefined);
}

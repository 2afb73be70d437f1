/**
 * Days → what no event told of is fetched, oldest day first, and each day proven. Nothing is remembered but what lies in the
 * archive: killed at any moment, the next run goes on, and what killed it twice is passed over.
 */
import type { Archive } from '../archive/archive.ts';
import { catchUp, type CatchUpEnd } from './catch-up.ts';
import { DayLists } from './day-lists.ts';
import type { DayProof } from './day.ts';
import type { Failure } from '../failure.ts';
import type { ExpectedRecording } from '../genesys/census.ts';
import { DayTroubles } from './day-troubles.ts';
import { type DayWatcher, isProven, mendDay, type ProofNeeds } from './prove-day.ts';
import type { Handle } from '../queue/queue.ts';
import type { Recording } from '../recording.ts';
import { findEarlierRuns, forgetCulprit, RunMark, whileTrying } from './run-marks.ts';

/** How many are fetched, beside live work: with slots and a share of its own. */
export interface BulkWork {
  /** What the queue calls for live work. */
  readonly handle: Handle;
  /** Told what will be worked on next, so that Genesys can be asked for many at once. */
  readonly expect: (recordings: readonly ExpectedRecording[]) => void;
}

export interface MendDaysNeeds extends ProofNeeds, Omit<DayWatcher, 'onProgress'> {
  readonly archive: Archive;
  readonly bulk: BulkWork;
  /** Recordings at once: each waits for Genesys and its media host most of the time. */
  readonly atOnce: number;
  /** What the run is called in the marks it leaves: the same name for the same work. */
  readonly run: string;
  /** Days that are proven and recordings that failed, too. */
  readonly again: boolean;
  /** Whoever started this run knows that an earlier one was killed. */
  readonly wasKilled: boolean;
  /** Divisions that the client is shown as the run begins, where that is known: a day that was proven without one of them is looked at. */
  readonly shown?: readonly string[] | undefined;
  readonly onDay: (proof: DayProof) => void;
  /** Told of a day that could not be looked at; the next one is, all the same. */
  readonly onTrouble: (day: string, because: Failure) => void;
  readonly onLook?: (day: string, conversations: number) => void;
  /** Recordings of the day that were left because only a person can change what keeps them; told once for each reason. */
  readonly onLeft?: (day: string, count: number, because: Failure) => void;
  readonly onFetched?: (day: string, over: number, of: number) => void;
  /** The same work is under way elsewhere: harmless, each recording is stored once. */
  readonly onElsewhere?: () => void;
}

const MISSING = new Set(['missing'] as const);
const MISSING_OR_FAILED = new Set(['missing', 'failed'] as const);

export interface MendedDays {
  /** Days: not those that were proven before. */
  readonly looked: number;
  /** What kept the first of those days from being looked at that were passed over. */
  readonly trouble: Failure | undefined;
}

/** Ends early, and well, once `signal` aborts. @throws what days in a row end with */
export async function mendDays(days: Iterable<string>, needs: MendDaysNeeds, signal: AbortSignal): Promise<MendedDays> {
  const { archive, run, again, shown: inSight } = needs;
  const earlier = await findEarlierRuns(run, archive.notes, signal);
  if (earlier.isUnderWay) needs.onElsewhere?.();
  for (const culprit of earlier.culprits) await giveUp(culprit, needs, signal);
  await using _mark = await RunMark.begin(run, archive.notes);
  const mending = { needs, isCareful: earlier.wasKilled || needs.wasKilled };
  let looked = 0;
  const troubles = new DayTroubles(needs.onTrouble);
  for (const day of days) {
    if (signal.aborted) break;
    if (!again && (await isProven(day, { notes: archive.notes, inSight }, signal))) continue;
    looked += 1;
    await troubles.around(day, async () => needs.onDay(await mendOne(day, mending, signal)), signal);
  }
  return { looked, trouble: troubles.first };
}

interface Mending {
  readonly needs: MendDaysNeeds;
  /** One recording at a time, each marked: a run before this one was killed. */
  readonly isCareful: boolean;
}

function mendOne(day: string, mending: Mending, signal: AbortSignal): Promise<DayProof> {
  const { needs } = mending;
  const fetchable = needs.again ? MISSING_OR_FAILED : MISSING;
  const census = new DayLists(needs.census);
  const fetch = (recordings: readonly Recording[], stop: AbortSignal): Promise<void> =>
    fetchAll({ day, recordings, census }, mending, stop);
  const onProgress = (conversations: number): void => needs.onLook?.(day, conversations);
  return mendDay(day, { ...needs, census, fetchable, fetch, onProgress }, signal);
}

interface Fetching {
  readonly day: string;
  readonly recordings: readonly Recording[];
  readonly census: DayLists;
}

async function fetchAll(
  { day, recordings, census }: Fetching,
  { needs, isCareful }: Mending,
  signal: AbortSignal,
): Promise<void> {
  const { bulk, atOnce } = needs;
  let over = 0;
  const left = new Map<string, { readonly because: Failure; count: number }>();
  const onEnd = (_: Recording, end: CatchUpEnd, because?: Failure): void => {
    over += 1;
    if (end === 'left' && because?.code === 'forbidden') {
      const reason = left.get(because.message) ?? { because, count: 0 };
      reason.count += 1;
      left.set(because.message, reason);
    }
    needs.onFetched?.(day, over, recordings.length);
  };
  const how = isCareful ? { handle: marking(needs), slots: 1 } : { handle: bulk.handle, slots: atOnce };
  const expect = (some: readonly Recording[]): void => bulk.expect(some.flatMap((one) => census.expected(one)));
  await catchUp(announced(recordings, expect), { ...how, onEnd }, signal);
  for (const { because, count } of left.values()) needs.onLeft?.(day, count, because);
}

/** Leaves a mark beside each recording while it is worked on. */
function marking({ bulk: { handle }, archive }: MendDaysNeeds): Handle {
  return (delivery, signal) => {
    const { message } = delivery;
    if (message.kind !== 'recording') return handle(delivery, signal);
    const { recordingId, conversationId } = message;
    return whileTrying({ recordingId, conversationId }, archive.notes, () => handle(delivery, signal));
  };
}

/** So many are asked for together; the next of them while these are worked on, so that nobody waits for them. */
const TOGETHER = 100;

async function* announced<T>(items: readonly T[], expect: (some: readonly T[]) => void): AsyncGenerator<T> {
  expect(items.slice(0, TOGETHER));
  for (let at = 0; at < items.length; at += TOGETHER) {
    expect(items.slice(at + TOGETHER, at + 2 * TOGETHER));
    yield* items.slice(at, at + TOGETHER);
  }
}

/** What killed the process twice is put on record, and not tried again by itself. */
async function giveUp(recording: Recording, { archive, version }: MendDaysNeeds, signal: AbortSignal): Promise<void> {
  const { recordingId, conversationId } = recording;
  const record = {
    version: 1,
    recordingId,
    conversationId: conversationId ?? null,
    status: 'failed',
    code: 'internal',
    reason:
      'The process ended while it worked on this recording, twice; find the cause in the log before it is tried again: archiver replay --code internal',
    attempts: 2,
    failedAt: new Date().toISOString(),
    service: version,
  } as const;
  await archive.recordFailure({ recordingId, conversationId }, record, signal);
  await forgetCulprit(recording, archive.notes, signal);
}

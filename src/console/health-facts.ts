/** What lies in the archive and the queue → the facts that the health page says: one look for all who ask, and the last one where a look fails. */
import type { Archive, Entry } from '../archive/archive.ts';
import { newestReading, type ReadingResult } from '../archive/proofs.ts';
import { FAILURES, Failure, isFailureCode } from '../failure.ts';
import type { HealthState, Readiness } from '../http/health.ts';
import { dayAt, dayBefore, daysBetween } from '../instant.ts';
import { newestOf, statesOfDays, type DayState, type Overview } from '../overview.ts';
import { type Pulse, readPulses } from '../pulse.ts';
import type { Depth, Queue } from '../queue/queue.ts';
import { inTime } from '../waiting.ts';
import { SharedLook } from './shared-look.ts';

type GivenUpEntry = Extract<Entry, { readonly failure: unknown }>;
export type UnreadyEntry = Extract<Entry, { readonly waiting: unknown }>;

/** What did not arrive for one reason. */
export interface Trouble {
  readonly code: string;
  readonly count: number;
  /** They come by themselves once somebody has mended something; nothing is to be replayed. */
  readonly waits: boolean;
  /** Nothing can be done, and nobody has to. */
  readonly isSettled: boolean;
  /** What happened, in the words of the newest. */
  readonly example: string;
  readonly newestAt: string;
  /** What to do next. */
  readonly next: string;
}

export interface HealthFacts {
  /** When it was looked; ISO 8601, UTC. */
  readonly at: string;
  readonly newest: Overview['newest'];
  /** undefined where the queue's own monitoring has these figures (Pub/Sub). */
  readonly depth: Depth | undefined;
  /** Newest first. */
  readonly days: readonly DayState[];
  /** What the archive was found to be when it was last verified; undefined where that is long ago. */
  readonly reading: ReadingResult | undefined;
  readonly troubles: readonly Trouble[];
  /** There may be more of them than were counted. */
  readonly hasMore: boolean;
  /** What waits for nobody, the oldest first. */
  readonly unready: readonly UnreadyEntry[];
  readonly silent: SilentFacts;
  readonly parts: HealthState;
  /** Workers that have written lately. */
  readonly pulses: readonly Pulse[];
}

/** Recorded, but nobody was heard: of the newest whose levels are known. */
export interface SilentFacts {
  readonly of: number;
  readonly count: number;
  /** The newest of them. */
  readonly examples: readonly SilentRecording[];
}

export interface SilentRecording {
  readonly recordingId: string;
  readonly conversationId: string | null;
  readonly recordedAt: string;
  /** Channels on which nobody speaks, from 0. */
  readonly channels: readonly number[];
  readonly isWhole: boolean;
}

/** The newest facts, and why they are not of now. */
export interface KnownFacts {
  readonly facts: HealthFacts | undefined;
  readonly problem: Failure | undefined;
}

export interface HealthNeeds {
  readonly archive: Pick<Archive, 'list' | 'notes'>;
  readonly queue: Pick<Queue, 'depth'>;
  readonly parts: Pick<Readiness, 'state'>;
  readonly now: () => Date;
}

const DAYS_SHOWN = 14;
/** Failures and waits of one look. */
const MOST_ENTRIES = 1_000;
/** What how fast they come is told from. */
const NEWEST = 200;
const FRESH_MS = 8_000;
const LOOK_WITHIN_MS = 20_000;

/** However many pages are open, the archive is asked once in a while. */
export class HealthWatch {
  readonly #needs: HealthNeeds;
  readonly #look: SharedLook<KnownFacts>;
  #last: HealthFacts | undefined;

  constructor(needs: HealthNeeds, freshMs = FRESH_MS) {
    this.#needs = needs;
    this.#look = new SharedLook(() => this.#known(), freshMs);
  }

  /** Recordings that somebody has to look after, as far as that is known without asking anew. */
  get needsSomeone(): number {
    return this.#last === undefined ? 0 : needsSomeone(this.#last);
  }

  /** Never throws. */
  known(): Promise<KnownFacts> {
    return this.#look.known();
  }

  async #known(): Promise<KnownFacts> {
    const late = (): Failure => new Failure('archive-unavailable', 'The archive does not answer in time.');
    try {
      this.#last = await inTime((signal) => lookAround(this.#needs, signal), LOOK_WITHIN_MS, late);
      return { facts: this.#last, problem: undefined };
    } catch (thrown) {
      return { facts: this.#last, problem: Failure.from(thrown) };
    }
  }
}

/** Of what somebody can do something about. */
export function needsSomeone({ troubles }: Pick<HealthFacts, 'troubles'>): number {
  return troubles.reduce((sum, { count, isSettled }) => sum + (isSettled ? 0 : count), 0);
}

async function lookAround(needs: HealthNeeds, signal: AbortSignal): Promise<HealthFacts> {
  const { archive, queue, parts, now } = needs;
  const at = now();
  const today = dayAt(at.getTime());
  const days = daysBetween(dayBefore(today, DAYS_SHOWN - 1), today).toReversed();
  const [page, depth, states, failed, waiting, state, pulses, reading] = await Promise.all([
    archive.list({ limit: NEWEST }, signal),
    queue.depth(),
    statesOfDays(days, archive.notes, signal),
    archive.list({ status: 'failed', limit: MOST_ENTRIES }, signal),
    archive.list({ status: 'waiting', limit: MOST_ENTRIES }, signal),
    parts.state(),
    readPulses(archive.notes, at, signal),
    newestReading(archive.notes, at, signal),
  ]);
  const waits = waiting.entries.flatMap((entry) => (entry.status === 'waiting' ? [entry] : []));
  const forSomeone = waits.filter(({ waiting }) => waiting.sort === 'operator');
  return {
    at: at.toISOString(),
    newest: newestOf(page.entries),
    silent: silentAmong(page.entries),
    depth,
    days: states,
    reading,
    troubles: [...failedTroubles(failed.entries), ...waitingTroubles(forSomeone)],
    hasMore: failed.cursor !== undefined || waiting.cursor !== undefined,
    unready: waits
      .filter(({ waiting }) => waiting.sort !== 'operator')
      .toSorted((a, b) => (a.waiting.since < b.waiting.since ? -1 : 1)),
    parts: state,
    pulses,
  };
}

const SILENT_SHOWN = 6;

function silentAmong(entries: readonly Entry[]): SilentFacts {
  const heard = entries.flatMap((entry) =>
    entry.status === 'archived' && entry.manifest.levels ? [entry.manifest] : [],
  );
  const silent = heard.flatMap(({ levels, recordingId, conversationId, recordedAt, finishedAt }) => {
    const channels = (levels?.speakingS ?? []).flatMap((seconds, channel) => (seconds === 0 ? [channel] : []));
    const isWhole = channels.length === levels?.speakingS.length;
    return channels.length === 0
      ? []
      : [{ recordingId, conversationId, recordedAt: recordedAt ?? finishedAt, channels, isWhole }];
  });
  return { of: heard.length, count: silent.length, examples: silent.slice(0, SILENT_SHOWN) };
}

function failedTroubles(entries: readonly Entry[]): readonly Trouble[] {
  const failed = entries.filter((entry): entry is GivenUpEntry => entry.status === 'failed');
  return [...Map.groupBy(failed, ({ failure }) => failure.code)]
    .map(([code, of]) => {
      const newest = of.reduce((a, b) => (a.failure.failedAt < b.failure.failedAt ? b : a)).failure;
      const about = { code, count: of.length, waits: false, isSettled: isSettledCode(code), next: nextStepOf(code) };
      return { ...about, example: newest.reason, newestAt: newest.failedAt };
    })
    .toSorted((a, b) => Number(a.isSettled) - Number(b.isSettled) || b.count - a.count);
}

function waitingTroubles(entries: readonly UnreadyEntry[]): readonly Trouble[] {
  return [...Map.groupBy(entries, ({ waiting }) => waiting.code)].map(([code, of]) => {
    const newest = of.reduce((a, b) => (a.waiting.since < b.waiting.since ? b : a)).waiting;
    const about = { code, count: of.length, waits: true, isSettled: false, next: nextStepOf(code) };
    return { ...about, example: newest.reason, newestAt: newest.since };
  });
}

/** One wording everywhere: the table beside the codes. */
function nextStepOf(code: string): string {
  return isFailureCode(code) ? FAILURES[code].next : 'Look for it in the log.';
}

/** Whose next step is none: it is as it is. */
function isSettledCode(code: string): boolean {
  return nextStepOf(code).startsWith('Nothing');
}

/** How an archive is doing, from what lies in it: seven proofs and one listing, whatever its size. */
import type { Archive, Entry } from './archive/archive.ts';
import { inBatches } from './archive/in-batches.ts';
import type { Manifest } from './archive/manifest.ts';
import { newestProof } from './archive/proofs.ts';
import { FAILURES, isFailureCode } from './failure.ts';
import { Fields } from './fields.ts';
import { dayAt, dayBefore, daysBetween, isDay } from './instant.ts';
import { type Pulse, readPulses } from './pulse.ts';
import type { Depth } from './queue/queue.ts';

export interface DayState {
  readonly day: string;
  /** `unproven` where there is no proof. */
  readonly verdict: string;
  /** When it was looked at; ISO 8601, UTC. */
  readonly at: string | null;
  readonly conversations: number | null;
  readonly recordings: number | null;
  readonly archived: number | null;
  readonly noMedia: number | null;
  readonly erased: number | null;
  readonly missing: number | null;
  readonly failed: number | null;
  readonly waiting: number | null;
  readonly storedAway: number | null;
  readonly lost: number | null;
  readonly unlisted: number | null;
  /** How far Genesys' data reached when it was looked at; ISO 8601, UTC. */
  readonly dataUntil: string | null;
}

export interface FailureCount {
  readonly code: string;
  readonly count: number;
  /** What to do next, in the words of the table of failures. */
  readonly next: string;
}

export interface Overview {
  /** null where the queue's own monitoring has these figures (Pub/Sub). */
  readonly queue: Depth | null;
  readonly days: readonly DayState[];
  /** Among the newest entries of the listing. */
  readonly newest: {
    readonly entries: number;
    readonly archived: number;
    readonly bytes: number;
    /** From the end of a call to its recording in the archive; null where no recording says when it was made. */
    readonly lagMedianSeconds: number | null;
    readonly lag95Seconds: number | null;
    /** The last that came in; ISO 8601, UTC. */
    readonly lastArchivedAt: string | null;
    readonly perDay: readonly { readonly day: string; readonly recordings: number; readonly bytes: number }[];
  };
  readonly failures: readonly FailureCount[];
  readonly waiting: readonly FailureCount[];
  readonly oldestWaiting: {
    readonly key: string;
    readonly code: string;
    readonly since: string;
    readonly nextTry: string;
  } | null;
  /** Commands under way, by their days. */
  readonly runs: readonly string[];
  /** How far Genesys' data reached when it was last looked at; ISO 8601, UTC; null where none of the days was. */
  readonly dataUntil: string | null;
  /** Workers that have written under status/ within two minutes; none where the bucket forbids overwriting. */
  readonly instances: readonly InstanceState[];
  /** The process that answers; null where that is a command. */
  readonly service: ServiceFigures | null;
}

export interface InstanceState extends Pick<Pulse, 'instance' | 'command' | 'startedAt' | 'at' | 'slots' | 'waiting'> {
  readonly version: string;
  /** In the minute when it wrote that, of its own clients; null before Genesys told. */
  readonly genesysCalls: Pulse['calls'];
}

export interface ServiceFigures {
  readonly version: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly encodersRunning: number;
  /** In the present minute, of all clients together; null before Genesys told. */
  readonly genesysCallsLeft: number | null;
}

export interface OverviewNeeds {
  readonly archive: Pick<Archive, 'list' | 'notes'>;
  readonly depth: () => Promise<Depth | undefined>;
  readonly figures?: () => ServiceFigures;
}

/** Entries of one listing. */
const NEWEST = 1_000;
/** Days of one overview, and so proofs. */
export const MOST_DAYS = 7;
const FRESH_MS = 180_000;

/** So many days are looked up at once. */
const WIDTH = 8;

/** What the newest proof of each day says, in the order of `days`. */
export async function statesOfDays(
  days: readonly string[],
  notes: Archive['notes'],
  signal: AbortSignal,
): Promise<readonly DayState[]> {
  const states: DayState[] = [];
  for await (const some of inBatches(days, WIDTH))
    states.push(...(await Promise.all(some.map((day) => stateOfDay(day, notes, signal)))));
  return states;
}

/** `days`: newest first, at most 7 are looked at. */
export async function overviewOf(
  days: readonly string[],
  needs: OverviewNeeds,
  signal: AbortSignal,
): Promise<Overview> {
  const { archive } = needs;
  const [page, states, runs, pulses, depth] = await Promise.all([
    archive.list({ limit: NEWEST }, signal),
    statesOfDays(days.slice(0, MOST_DAYS), archive.notes, signal),
    runsUnderWay(archive.notes, signal),
    readPulses(archive.notes, new Date(), signal),
    needs.depth(),
  ]);
  const waits = page.entries.flatMap((entry) => (entry.status === 'waiting' ? [entry] : []));
  const oldest = waits.toSorted((a, b) => (a.waiting.since < b.waiting.since ? -1 : 1)).at(0);
  return {
    queue: depth ?? null,
    days: states,
    newest: newestOf(page.entries),
    failures: countsOf(page.entries.flatMap((entry) => (entry.status === 'failed' ? [entry.failure.code] : []))),
    waiting: countsOf(waits.map(({ waiting }) => waiting.code)),
    oldestWaiting:
      oldest === undefined
        ? null
        : {
            key: `${oldest.recording.conversationId ?? '_'}.${oldest.recording.recordingId ?? '_'}`,
            code: oldest.waiting.code,
            since: oldest.waiting.since,
            nextTry: oldest.waiting.nextTry,
          },
    runs,
    dataUntil: states.reduce<string | null>((newest, { dataUntil }) => furtherOf(newest, dataUntil), null),
    instances: pulses.map(instanceOf).toSorted((a, b) => a.startedAt.localeCompare(b.startedAt)),
    service: needs.figures?.() ?? null,
  };
}

function instanceOf({ instance, command, service, startedAt, at, slots, waiting, calls }: Pulse): InstanceState {
  return { instance, command, version: service, startedAt, at, slots, waiting, genesysCalls: calls };
}

function furtherOf(a: string | null, b: string | null): string | null {
  return a === null || (b !== null && b > a) ? b : a;
}

async function stateOfDay(day: string, notes: Archive['notes'], signal: AbortSignal): Promise<DayState> {
  const proof = Fields.in(await newestProof('complete', day, notes, signal));
  const count = (name: string): number | null => proof?.number(name) ?? null;
  return {
    day,
    verdict: proof?.text('verdict') ?? 'unproven',
    at: proof?.text('at') ?? null,
    conversations: count('conversations'),
    recordings: count('recordings'),
    archived: count('archived'),
    noMedia: count('noMedia'),
    erased: count('erased'),
    missing: count('missing'),
    failed: count('failed'),
    waiting: count('waiting'),
    storedAway: count('storedAway'),
    lost: count('lost'),
    unlisted: count('unlisted'),
    dataUntil: proof?.text('dataUntil') ?? null,
  };
}

/** Of some entries: how fast they came, and how much. */
export function newestOf(entries: readonly Entry[]): Overview['newest'] {
  const manifests = entries.flatMap((entry) => (entry.status === 'archived' ? [entry.manifest] : []));
  const lags = manifests.flatMap(lagOf).toSorted((a, b) => a - b);
  const days = new Map<string, { recordings: number; bytes: number }>();
  for (const { finishedAt, webm } of manifests) {
    const day = finishedAt.slice(0, 10);
    const sum = days.get(day) ?? { recordings: 0, bytes: 0 };
    days.set(day, { recordings: sum.recordings + 1, bytes: sum.bytes + webm.sizeBytes });
  }
  return {
    entries: entries.length,
    archived: manifests.length,
    bytes: manifests.reduce((sum, { webm }) => sum + webm.sizeBytes, 0),
    lagMedianSeconds: lags[Math.floor(lags.length / 2)] ?? null,
    lag95Seconds: lags[Math.floor(lags.length * 0.95)] ?? null,
    lastArchivedAt: manifests.map(({ finishedAt }) => finishedAt).toSorted(newestFirst)[0] ?? null,
    perDay: [...days].map(([day, sum]) => ({ day, ...sum })).toSorted((a, b) => (a.day < b.day ? 1 : -1)),
  };
}

function newestFirst(a: string, b: string): number {
  return a < b ? 1 : -1;
}

/** Seconds from the end of the call; none where its start is not known. */
function lagOf({ recordedAt, finishedAt, webm }: Manifest): readonly number[] {
  if (recordedAt === null) return [];
  const endMs = Date.parse(recordedAt) + webm.durationMs;
  return [Math.max(0, Math.round((Date.parse(finishedAt) - endMs) / 1000))];
}

/** Most frequent first, each with what to do. */
function countsOf(codes: readonly string[]): readonly FailureCount[] {
  const counts = new Map<string, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  const listed = [...counts].map(([code, count]) => ({
    code,
    count,
    next: isFailureCode(code) ? FAILURES[code].next : '',
  }));
  return listed.toSorted((a, b) => b.count - a.count);
}

async function runsUnderWay(notes: Archive['notes'], signal: AbortSignal): Promise<readonly string[]> {
  const runs: string[] = [];
  for await (const { name, writtenAt } of notes.list('staging/run.', signal))
    if (Math.abs(Date.now() - Date.parse(writtenAt)) < FRESH_MS) runs.push(runOf(name.slice('staging/run.'.length)));
  return runs;
}

/** Commands are named by their days, the service's own look by the night. */
function runOf(name: string): string {
  const [first = '', last = ''] = name.split('.');
  return isDay(last) ? `${first} to ${last}` : first;
}

/** That many days, at most a week of them: `last` first. */
export function lastDays(count: number, last: string): readonly string[] {
  const days = Math.min(MOST_DAYS, Math.max(1, count));
  return daysBetween(dayBefore(last, days - 1), last).toReversed();
}

/** Askers at once share one look, and it lasts for a few seconds: however many screens there are, the archive is asked once. */
export class Overviews {
  readonly #needs: OverviewNeeds;
  readonly #freshMs: number;
  readonly #looks = new Map<number, { readonly overview: Promise<Overview>; readonly at: number }>();

  constructor(needs: OverviewNeeds, freshMs = 5_000) {
    this.#needs = needs;
    this.#freshMs = freshMs;
  }

  /** Not aborted when one asker leaves: others may wait for the same look. @throws Failure of the archive or the queue */
  of(days: number): Promise<Overview> {
    const known = this.#looks.get(days);
    if (known !== undefined && performance.now() - known.at < this.#freshMs) return known.overview;
    const look = {
      overview: overviewOf(lastDays(days, dayAt(Date.now())), this.#needs, AbortSignal.timeout(LOOK_WITHIN_MS)),
      at: performance.now(),
    };
    this.#looks.set(days, look);
    look.overview.catch(() => this.#looks.delete(days));
    return look.overview;
  }
}

const LOOK_WITHIN_MS = 60_000;

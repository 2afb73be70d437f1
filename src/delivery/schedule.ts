/**
 * The age of what is not archived yet → when it is tried next: for a failure by whose it is, for a conversation
 * by what Genesys lists of it. Everything gets rarer with age, and everything ends.
 */
import type { Failure, FailureCode, Sort } from '../failure.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** What waits longer than a week after its event uses up attempts from then on: Genesys' own events live 4 days. */
export const MAX_AGE_MS = 7 * DAY_MS;
/** Screens are uploaded after calls, and an Edge that was cut off uploads days later. What Genesys does not list by then, it never will. */
export const LATE_MS = 3 * DAY_MS;
/** Whatever is older and not archived is listed with its reason: before that nobody would ask for it. */
export const SEEN_AFTER_MS = 15 * MINUTE_MS;
/** Details of a conversation are asked for so long after a recording of it was archived: wrap-up and the last segments come after the call. */
export const SETTLED_AFTER_MS = 30 * MINUTE_MS;
/** Attempts that may fail before a recording is given up. Waiting is no attempt. */
export const MAX_ATTEMPTS = 8;
/** The same where the failure is the recording's own: its bytes cannot change, only the way they came. */
export const MAX_ATTEMPTS_OF_ITS_OWN = 2;
/** Nobody comes back sooner, whatever the reason: no failure becomes a hot loop. */
const SHORTEST_WAIT_MS = SECOND_MS;
/** Nor later: whoever is told to come back in a year finds out before whether that still holds. */
const LONGEST_WAIT_MS = 30 * DAY_MS;

export interface Next {
  readonly outcome: 'again' | 'wait';
  readonly afterMs: number;
  /** See {@link import('../queue/queue.ts').Later}: there where the time is our own guess. */
  readonly soonestMs?: number;
}

/** How far the work on a message has come. */
export interface Progress {
  /** 1 for the first. */
  readonly attempt: number;
  /** Since the event was accepted. */
  readonly ageMs: number;
}

/**
 * When a failed delivery is tried again; undefined where it is given up. A time that the other side named is never shortened, but
 * for one beyond {@link LONGEST_WAIT_MS}.
 */
export function nextTryOf(failure: Failure, { attempt, ageMs }: Progress): Next | undefined {
  if (failure.retry === 'never') return undefined;
  if (failure.retry === 'wait' && ageMs < patienceFor(failure))
    return { outcome: 'wait', afterMs: waitMs(failure, Math.max(0, ageMs)), ...soonest(failure) };
  if (attempt >= (failure.sort === 'recording' ? MAX_ATTEMPTS_OF_ITS_OWN : MAX_ATTEMPTS)) return undefined;
  return { outcome: 'again', afterMs: bounded(failure.afterMs ?? backoffFor(attempt)), ...soonest(failure) };
}

/** Whoever has mended something sends the event again: nobody waits for our guess then, only for a time that was asked for. */
function soonest({ afterMs }: Failure): { readonly soonestMs?: number } {
  return afterMs === undefined ? { soonestMs: SHORTEST_WAIT_MS } : {};
}

/** Credentials are mended one day, and nothing of what waits for them is at fault. */
function patienceFor({ code, sort }: Failure): number {
  if (code === 'misconfigured') return Number.POSITIVE_INFINITY;
  return sort === 'recording' ? LATE_MS : MAX_AGE_MS;
}

interface Pace {
  readonly shortestMs: number;
  /** Of the age: 1 waits as long again as it has waited already. */
  readonly share: number;
  readonly longestMs: number;
}

/** What was not ready after five minutes will hardly be ready in five seconds. */
const PASSING: Pace = { shortestMs: 5 * SECOND_MS, share: 1 / 4, longestMs: HOUR_MS };
/** Somebody has to see it, think and act: each look at it costs a call that is refused. */
const STANDING: Pace = { shortestMs: 10 * SECOND_MS, share: 1, longestMs: 12 * HOUR_MS };
/** In a queue that moves: whoever comes back late leaves his place empty. */
const IN_LINE: Pace = { shortestMs: 5 * SECOND_MS, share: 1 / 4, longestMs: 5 * MINUTE_MS };

const LINES: ReadonlySet<FailureCode> = new Set(['rate-limited', 'busy']);
const PACES: Readonly<Record<Sort, Pace>> = {
  surroundings: PASSING,
  caller: PASSING,
  operator: STANDING,
  recording: STANDING,
};

function waitMs({ code, sort, afterMs }: Failure, ageMs: number): number {
  const { shortestMs, share, longestMs } = LINES.has(code) ? IN_LINE : PACES[sort];
  const byAgeMs = Math.min(ageMs * share, longestMs);
  if (afterMs !== undefined) return bounded(Math.max(afterMs, byAgeMs));
  return Math.max(byAgeMs, shortestMs) * (0.75 + Math.random() / 2);
}

function bounded(ms: number): number {
  return Math.min(Math.max(ms, SHORTEST_WAIT_MS), LONGEST_WAIT_MS);
}

/** From 10 s to 6 h, four times as long each time, half of it by chance: eight attempts outlast half a day without memory. */
function backoffFor(attempt: number): number {
  const ceilingMs = Math.min(6 * HOUR_MS, 10 * SECOND_MS * 4 ** (attempt - 1));
  return ceilingMs * (0.5 + Math.random() / 2);
}

/** Of one conversation several events may come within seconds: all but the first wait so long for one look together. */
export const LOOK_AGAIN_AFTER_MS = 3 * MINUTE_MS;

interface Look {
  /** Looked at from this age on, up to the next line's. */
  readonly fromMs: number;
  /** Where nothing is listed: the age at which it is looked at next. */
  readonly nothing: number;
  /** The same where something is. */
  readonly something: number;
}

/** Of a conversation: nothing, something, or, by the list's own words, all that is to be expected soon. */
export type HowMuchIsListed = 'nothing' | 'something' | 'all';

/**
 * When a conversation is looked at: with nothing at 0, 3 min, 15 min, 2 h, 16 h and 72 h; with something at 0, 30 min, 4 h and
 * 72 h, or as many fewer as it had nothing before; with all at 0, 4 h and 72 h. A look belongs to one of both ways by its age alone, so nothing has to
 * be remembered between two. The last one is at {@link LATE_MS}: whatever was listed until then is found.
 */
const LOOKS: readonly Look[] = [
  { fromMs: 0, nothing: LOOK_AGAIN_AFTER_MS, something: 30 * MINUTE_MS },
  { fromMs: LOOK_AGAIN_AFTER_MS, nothing: 15 * MINUTE_MS, something: 4 * HOUR_MS },
  { fromMs: 15 * MINUTE_MS, nothing: 2 * HOUR_MS, something: LATE_MS },
  { fromMs: 30 * MINUTE_MS, nothing: 2 * HOUR_MS, something: 4 * HOUR_MS },
  { fromMs: 2 * HOUR_MS, nothing: 16 * HOUR_MS, something: LATE_MS },
  { fromMs: 16 * HOUR_MS, nothing: LATE_MS, something: LATE_MS },
];

/** What comes although a list seemed complete is found from this age on. */
const ALL_LISTED_MS = 4 * HOUR_MS;

/** A timer may end a little before its time by the wall clock. */
const EARLY_BY_MS = SECOND_MS;

/** Milliseconds from now to the next look at a conversation of this age; undefined where this was the last. */
export function nextLookAfter(ageMs: number, listed: HowMuchIsListed): number | undefined {
  const atMs = Math.max(0, ageMs) + EARLY_BY_MS;
  if (atMs >= LATE_MS) return undefined;
  const look = LOOKS.findLast(({ fromMs }) => fromMs <= atMs);
  if (look === undefined) return undefined;
  const nextMs = listed === 'all' ? Math.max(look.something, ALL_LISTED_MS) : look[listed];
  return Math.max(nextMs - ageMs, SHORTEST_WAIT_MS);
}

/** Whether this is not the first look at a conversation: what it found before has been dealt with. */
export function isLaterLook(ageMs: number): boolean {
  return ageMs + EARLY_BY_MS >= LOOK_AGAIN_AFTER_MS;
}

/** Archived so soon after its end that nothing is kept of its conversation yet, but for an earlier recording of a long one. */
export function isArchivedEarly({
  recordedAt,
  finishedAt,
  webm,
}: {
  readonly recordedAt: string | null;
  readonly finishedAt: string;
  readonly webm: { readonly durationMs: number };
}): boolean {
  if (recordedAt === null) return false;
  return Date.parse(finishedAt) - Date.parse(recordedAt) - webm.durationMs < SETTLED_AFTER_MS;
}

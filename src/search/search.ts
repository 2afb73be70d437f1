/** What is asked of an archive's recordings, and one page of what was found: the contract of both places (test/search/suite.ts). */
import { STATUSES, type Status } from '../archive/archive.ts';
import { Failure } from '../failure.ts';
import { isDay } from '../instant.ts';

export interface SearchQuery {
  /** Beginnings of agent, queue, number or ids, each word of which has to be found; empty for everything. */
  readonly text: string;
  /** UTC days, `yyyy-mm-dd`, both inclusive, at most 92 of them. */
  readonly from: string;
  readonly to: string;
  /** The whole name of a queue. */
  readonly queue?: string | undefined;
  readonly minDurationMs?: number | undefined;
  /** Without one everything but conversations that have no recordings. */
  readonly status?: Status | undefined;
  readonly direction?: 'inbound' | 'outbound' | undefined;
  /** Ids of the divisions that may be seen; undefined for all. What has no division is seen by those alone who see all. */
  readonly divisions?: readonly string[] | undefined;
  /** Whoever may not see numbers finds by a whole one only: a beginning that is found tells the next digit. */
  readonly mayFindNumbers: boolean;
  /** Opaque; from the page before. */
  readonly cursor?: string | undefined;
  readonly limit: number;
}

/** As much of a recording as a list shows. */
export interface FoundRow {
  /** `{conversationId|_}.{recordingId}`; `{conversationId}._` for a whole conversation. */
  readonly key: string;
  readonly conversationId: string | null;
  readonly recordingId: string | null;
  readonly status: Status;
  /** When its conversation or the recording itself started, else when it was archived, failed or began to wait; ISO 8601, UTC. */
  readonly startedAt: string;
  readonly medium: 'audio' | 'video' | null;
  readonly durationMs: number | null;
  readonly direction: 'inbound' | 'outbound' | null;
  readonly agents: readonly string[];
  readonly queues: readonly string[];
  readonly number: string | null;
  readonly divisions: readonly string[];
  /** Of each channel 28 hex digits; empty where there is none. */
  readonly picture: readonly string[];
  /** A FailureCode: why it is not archived. */
  readonly code: string | null;
}

export interface SearchPage {
  /** The newest first. */
  readonly rows: readonly FoundRow[];
  readonly cursor: string | undefined;
  /** How many there are on all pages; where `isMore`, at least so many. */
  readonly found: number;
  readonly isMore: boolean;
  /** What was archived later than this may be missing (ISO 8601, UTC); undefined where nothing is. */
  readonly upTo: string | undefined;
  /** What belongs to earlier days than this one (UTC) is still being read, and may be missing; undefined where nothing is. */
  readonly backTo: string | undefined;
}

export interface Search {
  /** @throws Failure `bad-request` naming the field; `archive-unavailable` */
  search(query: SearchQuery, signal: AbortSignal): Promise<SearchPage>;
  close(): Promise<void>;
}

const MOST_DAYS = 92;
const MOST_ROWS = 500;
const MOST_TEXT = 200;
const DAY_MS = 24 * 3_600_000;

/** @throws Failure `bad-request` naming the field */
export function checkSearch(query: SearchQuery): void {
  const { from, to, text, limit, status, minDurationMs } = query;
  for (const [field, day] of [['from', from] as const, ['to', to] as const])
    if (!isDay(day)) throw refusal(field, 'expected a day, yyyy-mm-dd');
  const days = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1;
  if (days < 1) throw refusal('to', 'it lies before from');
  if (days > MOST_DAYS) throw refusal('from', `at most ${String(MOST_DAYS)} days are searched at once`);
  if (text.length > MOST_TEXT) throw refusal('q', `expected at most ${String(MOST_TEXT)} characters`);
  if (status !== undefined && !STATUSES.includes(status)) throw refusal('status', `expected ${STATUSES.join(', ')}`);
  if (minDurationMs !== undefined && !(minDurationMs >= 0 && Number.isFinite(minDurationMs)))
    throw refusal('minLength', 'expected a number of seconds');
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_ROWS)
    throw refusal('limit', `expected a whole number from 1 to ${String(MOST_ROWS)}`);
}

/** The days of the query, the newest first. */
export function daysOfSearch({ from, to }: Pick<SearchQuery, 'from' | 'to'>): readonly string[] {
  const days: string[] = [];
  for (let at = Date.parse(to); at >= Date.parse(from); at -= DAY_MS)
    days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

function refusal(field: string, what: string): Failure {
  return new Failure('bad-request', `${field}: ${what}.`);
}

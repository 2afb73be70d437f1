/**
 * A UTC day → the conversations that Genesys knows of it, each once: by a job once the day is closed, by a query while it is not.
 * https://developer.genesys.cloud/analyticsdatamanagement/analytics/detail/
 */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { isId, parseId } from '../recording.ts';
import { sleep } from '../waiting.ts';
import type { ClientAnswer } from './api.ts';
import type { CountedConversation, CountedDay } from './census.ts';
import type { OAuthClient } from './client.ts';
import type { JsonAnswer } from './exchange.ts';

/** One call with the token's patience: `POST` of a question may be repeated, nothing here changes anything. */
export type AskAnalytics = (
  asked: {
    readonly method: 'GET' | 'POST';
    readonly path: string;
    readonly body?: unknown;
    readonly client?: OAuthClient | undefined;
  },
  signal: AbortSignal,
) => Promise<AnalyticsAnswer>;

type AnalyticsAnswer = JsonAnswer & Partial<Pick<ClientAnswer, 'client'>>;

export interface AnalyticsNeeds {
  readonly ask: AskAnalytics;
  /** Told of each poll of a job's state, which is counted apart from other calls. */
  readonly onPoll: () => void;
  /** First wait between polls; doubles to ten times that. */
  readonly pollMs?: number;
  readonly now?: () => Date;
}

const DETAILS = '/api/v2/analytics/conversations/details';
const PAGE_SIZE = 1_000;
/** Of a synchronous query. */
const QUERY_PAGE_SIZE = 100;
/** So often a job is submitted for one day: expired, failed and cancelled ones are submitted again. */
const MAX_SUBMISSIONS = 3;
/** A job that says nothing new for so long is given up. */
const JOB_WITHIN_MS = 3_600_000;
const POLL_MS = 1_000;
/** The synchronous query gives 100,000 hits at most. */
const MAX_QUERY_PAGES = 1_000;

/** `dataAvailabilityDate`: before it "data is guaranteed to be available in the datalake". */
export async function dataAvailableUntil({ ask }: AnalyticsNeeds, signal: AbortSignal): Promise<Date> {
  const { body } = await ask({ method: 'GET', path: `${DETAILS}/jobs/availability` }, signal);
  const until = Fields.in(body)?.instant('dataAvailabilityDate');
  if (until === undefined) throw unexpectedAnalytics('no dataAvailabilityDate');
  return until;
}

/**
 * A closed day is asked for by a job, whose cursor is followed to its end. Where the newest conversation of the day, by the
 * synchronous query, is not among them, the job left out a tail without a word: then `isWhole` is false.
 */
export function countClosedDay(day: string, needs: AnalyticsNeeds, signal: AbortSignal): CountedDay {
  let isWhole = false;
  const count = new DayCount(day);
  async function* conversations(): AsyncGenerator<CountedConversation> {
    let until: Date | undefined;
    for (let submission = 1; ; submission++) {
      try {
        for await (const page of jobPages(day, needs, signal)) {
          until = earlier(until, page.dataUntil);
          yield* count.freshOnes(page.conversations);
        }
        break;
      } catch (thrown) {
        // Whatever was seen stays seen: the same query once more goes on with the rest.
        if (!(thrown instanceof JobEnded) || submission === MAX_SUBMISSIONS) throw asFailure(thrown);
      }
    }
    const reaches = until === undefined || until.getTime() >= endOfDay(day).getTime();
    isWhole = reaches && !(await isTailMissing(day, { needs, count }, signal));
  }
  return {
    conversations: conversations(),
    isWhole: () => isWhole && count.isLegible,
    isLegible: () => count.isLegible,
  };
}

/** What there is of a day so far. It moves while it is paged: repeats are dropped, the present minute is left out. */
export function countOpenDay(day: string, needs: AnalyticsNeeds, signal: AbortSignal): CountedDay {
  const count = new DayCount(day);
  async function* conversations(): AsyncGenerator<CountedConversation> {
    const { now = () => new Date() } = needs;
    const end = new Date(Math.min(endOfDay(day).getTime(), now().getTime() - 60_000));
    if (end <= startOf(day)) return;
    for (let pageNumber = 1; pageNumber <= MAX_QUERY_PAGES; pageNumber++) {
      const paging = { pageSize: QUERY_PAGE_SIZE, pageNumber };
      const { body } = await askRecorded(
        { interval: intervalOf(startOf(day), end), ...ORDERED, paging },
        { needs, path: `${DETAILS}/query` },
        signal,
      );
      const list = Fields.in(body)?.array('conversations') ?? [];
      yield* count.freshOnes(list);
      if (list.length < QUERY_PAGE_SIZE) return;
    }
  }
  return { conversations: conversations(), isWhole: () => false, isLegible: () => count.isLegible };
}

const ORDERED = { order: 'asc', orderBy: 'conversationStart' } as const;

/** Boolean dimensions take text; where Genesys refuses that, all conversations are asked for and their sessions tell. */
const RECORDED = [
  {
    type: 'or',
    predicates: ['recording', 'screenRecording', 'snippetRecording'].map((dimension) => ({
      type: 'dimension',
      dimension,
      operator: 'matches',
      value: 'true',
    })),
  },
];

async function askRecorded(
  query: object,
  { needs, path }: { readonly needs: AnalyticsNeeds; readonly path: string },
  signal: AbortSignal,
): Promise<AnalyticsAnswer> {
  try {
    return await needs.ask({ method: 'POST', path, body: { ...query, segmentFilters: RECORDED } }, signal);
  } catch (thrown) {
    if (!(thrown instanceof Failure) || thrown.code !== 'bad-request') throw thrown;
    return needs.ask({ method: 'POST', path, body: query }, signal);
  }
}

interface JobPage {
  readonly conversations: readonly unknown[];
  readonly dataUntil: Date | undefined;
}

/** The job cannot give its results any more; submitted again, it can. */
class JobEnded extends Error {}

async function* jobPages(day: string, needs: AnalyticsNeeds, signal: AbortSignal): AsyncGenerator<JobPage> {
  const job = await submitJob(day, needs, signal);
  await jobFulfilled(job, needs, signal);
  const cursors = new Set<string>();
  for (let cursor: string | undefined; ;) {
    const fields = Fields.in((await resultsOf(job, { cursor, needs }, signal)).body);
    if (fields === undefined) throw unexpectedAnalytics('no page of results');
    cursor = fields.text('cursor');
    const isLast = cursor === undefined || cursor === '';
    // Where there are none, or no more, Genesys leaves the name away as well.
    if (fields.array('conversations') === undefined && (!isLast || fields.raw('conversations') !== undefined))
      throw unexpectedAnalytics('a page of results without conversations');
    yield { conversations: fields.array('conversations') ?? [], dataUntil: fields.instant('dataAvailabilityDate') };
    if (cursor === undefined || isLast) return;
    if (cursors.has(cursor)) throw unexpectedAnalytics('the same page of results twice');
    cursors.add(cursor);
  }
}

interface SubmittedJob {
  readonly jobId: string;
  /** Who asked for it. */
  readonly client: OAuthClient | undefined;
}

async function submitJob(day: string, needs: AnalyticsNeeds, signal: AbortSignal): Promise<SubmittedJob> {
  const query = { interval: intervalOf(startOf(day), endOfDay(day)), startOfDayIntervalMatching: true, ...ORDERED };
  const { body, client } = await askRecorded(query, { needs, path: `${DETAILS}/jobs` }, signal);
  const jobId = Fields.in(body)?.text('jobId');
  if (jobId === undefined || !isId(jobId)) throw unexpectedAnalytics('no jobId');
  return { jobId, client };
}

async function jobFulfilled(job: SubmittedJob, needs: AnalyticsNeeds, signal: AbortSignal): Promise<void> {
  const { onPoll, pollMs = POLL_MS } = needs;
  const end = performance.now() + JOB_WITHIN_MS;
  for (let waitMs = pollMs; ; waitMs = Math.min(2 * waitMs, 10 * pollMs)) {
    onPoll();
    const { body } = await askOfJob(job, { path: '', needs }, signal);
    const fields = Fields.in(body);
    const state = fields?.text('state') ?? '';
    if (state === 'FULFILLED') return;
    if (['FAILED', 'EXPIRED', 'CANCELLED'].includes(state)) throw new JobEnded(`its state is ${state}`);
    if (performance.now() > end)
      throw new Failure(
        'upstream-timeout',
        'The analytics job did not end within an hour; run the command again later.',
      );
    await sleep(waitMs, signal);
  }
}

function resultsOf(
  job: SubmittedJob,
  { cursor, needs }: { readonly cursor: string | undefined; readonly needs: AnalyticsNeeds },
  signal: AbortSignal,
): Promise<JsonAnswer> {
  const query = new URLSearchParams({ pageSize: String(PAGE_SIZE), ...(cursor === undefined ? {} : { cursor }) });
  return askOfJob(job, { path: `/results?${query.toString()}`, needs }, signal);
}

/** A job that has expired meanwhile is not known any more, nor are its results. */
async function askOfJob(
  { jobId, client }: SubmittedJob,
  { path, needs }: { readonly path: string; readonly needs: AnalyticsNeeds },
  signal: AbortSignal,
): Promise<JsonAnswer> {
  try {
    return await needs.ask({ method: 'GET', path: `${DETAILS}/jobs/${jobId}${path}`, client }, signal);
  } catch (thrown) {
    const isGone = thrown instanceof Failure && ['not-found', 'gone', 'bad-request'].includes(thrown.code);
    throw isGone ? new JobEnded('it is not known any more') : thrown;
  }
}

/** The newest conversation of the day, by another witness. One that cannot answer proves nothing against the job. */
async function isTailMissing(
  day: string,
  { needs, count }: { readonly needs: AnalyticsNeeds; readonly count: DayCount },
  signal: AbortSignal,
): Promise<boolean> {
  const query = {
    interval: intervalOf(startOf(day), endOfDay(day)),
    order: 'desc',
    orderBy: 'conversationStart',
    paging: { pageSize: 5, pageNumber: 1 },
  };
  try {
    const { body } = await askRecorded(query, { needs, path: `${DETAILS}/query` }, signal);
    const newest = Fields.in(body)?.array('conversations') ?? [];
    return [...count.freshOnes(newest)].some(({ isRecorded }) => isRecorded);
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === 'bad-request') return false;
    throw thrown;
  }
}

/** The conversations of one day, as page after page names them. */
class DayCount {
  readonly #day: string;
  readonly #seen = new Set<string>();
  /** Whether each entry named a conversation that can be asked for. */
  isLegible = true;

  constructor(day: string) {
    this.#day = day;
  }

  /** Each once, on the day it started. One odd entry never spoils a page, but is not forgotten. */
  *freshOnes(list: readonly unknown[]): Generator<CountedConversation> {
    for (const value of list) {
      const conversation = parseConversation(value, this.#day);
      this.isLegible &&= conversation !== undefined;
      if (conversation === undefined || startDayOf(conversation) !== this.#day) continue;
      if (this.#seen.has(conversation.conversationId)) continue;
      this.#seen.add(conversation.conversationId);
      yield conversation;
    }
  }
}

/** undefined without a usable id: it cannot be asked for. Whose start cannot be read belongs to the day that was asked for. */
function parseConversation(value: unknown, day: string): CountedConversation | undefined {
  const fields = Fields.in(value);
  if (fields === undefined) return undefined;
  const startedAt = fields.instant('conversationStart') ?? startOf(day);
  const participants = (fields.array('participants') ?? []).flatMap((one) => Fields.in(one) ?? []);
  try {
    return {
      conversationId: parseId(fields.raw('conversationId'), 'conversationId'),
      startedAt,
      endedAt: fields.instant('conversationEnd'),
      isRecorded: participants.length === 0 || participants.some((one) => hasCall(one) || hasScreen(one)),
      hasCall: participants.some(hasCall),
      hasScreen: participants.some(hasScreen),
      divisions: (fields.array('divisionIds') ?? []).filter((id) => typeof id === 'string'),
      answer: value,
    };
  } catch {
    return undefined;
  }
}

/** https://developer.genesys.cloud: AnalyticsSession.recording and .snippetRecording */
function hasCall(participant: Fields): boolean {
  const sessions = (participant.array('sessions') ?? []).flatMap((one) => Fields.in(one) ?? []);
  return sessions.some(
    (session) => session.boolean('recording') === true || session.boolean('snippetRecording') === true,
  );
}

/** https://developer.genesys.cloud: AnalyticsParticipant.screenRecording */
function hasScreen(participant: Fields): boolean {
  return participant.boolean('screenRecording') === true;
}

function startDayOf({ startedAt }: CountedConversation): string {
  return startedAt.toISOString().slice(0, 10);
}

function startOf(day: string): Date {
  return new Date(`${day}T00:00:00Z`);
}

function endOfDay(day: string): Date {
  return new Date(startOf(day).getTime() + 24 * 3_600_000);
}

function intervalOf(from: Date, to: Date): string {
  return `${from.toISOString()}/${to.toISOString()}`;
}

function earlier(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}

function unexpectedAnalytics(what: string): Failure {
  return new Failure(
    'upstream-error',
    `Genesys' analytics answered with ${what}: run the command again, and tell the maintainers if it stays.`,
  );
}

function asFailure(thrown: unknown): unknown {
  if (!(thrown instanceof JobEnded)) return thrown;
  return new Failure(
    'upstream-error',
    `The analytics job did not give its results in three tries (${thrown.message}); run the command again later.`,
  );
}

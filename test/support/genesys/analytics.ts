/** Conversations as analytics knows them, behind the routes of details jobs and queries: watermark, cursor, repeats, expiry, a tail left out. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { errorReply, notFound } from './errors.ts';
import { jsonReply, type Reply } from './reply.ts';
import { wholeConversation } from './whole-conversation.ts';

export interface AnalyzedConversation {
  readonly conversationId: string;
  /** ISO 8601, UTC. */
  readonly start: string;
  readonly end?: string;
  readonly recorded?: 'voice' | 'screen' | 'both' | 'snippet' | 'no';
  readonly divisionIds?: readonly string[];
  /** Told of in full, as long as real ones are, rather than in a few words. */
  readonly whole?: boolean;
  /** The entry as it is sent, instead of one made of the above. */
  readonly raw?: unknown;
}

export interface AnalyticsScript {
  /** What jobs/availability says. */
  dataUntil: string;
  /** Of a page of results. */
  pageSize: number;
  /** Polls that answer PENDING before FULFILLED. */
  pendingPolls: number;
  /** States of the next jobs instead of FULFILLED. */
  readonly endings: string[];
  /** Jobs leave out what started at or after this instant, and say nothing. */
  tailFrom: string | undefined;
  /** The newest conversations that the last page repeats. */
  repeats: number;
  /** The next job's results are gone from this page on (1 is the first). */
  expireAtPage: number | undefined;
  /** Refuses boolean dimensions, as an organisation may. */
  refusesFilters: boolean;
  /** The `dataAvailabilityDate` of results, where it is another than `dataUntil`. */
  resultsUntil: string | undefined;
}

/** Whether who asks sees what belongs to these divisions. */
type Sees = (divisions: readonly string[]) => boolean;

interface Job {
  readonly conversations: readonly AnalyzedConversation[];
  state: string;
  polls: number;
  expireAtPage: number | undefined;
}

export class SimulatedAnalytics {
  readonly script: AnalyticsScript = {
    dataUntil: '2099-01-01T00:00:00.000Z',
    pageSize: 1_000,
    pendingPolls: 1,
    endings: [],
    tailFrom: undefined,
    repeats: 0,
    expireAtPage: undefined,
    refusesFilters: false,
    resultsUntil: undefined,
  };
  readonly #conversations = new Map<string, AnalyzedConversation>();
  readonly #jobs = new Map<string, Job>();

  add(conversation: AnalyzedConversation): void {
    this.#conversations.set(conversation.conversationId, conversation);
  }

  availability(): Reply {
    return jsonReply(200, { dataAvailabilityDate: this.script.dataUntil });
  }

  async submit(request: IncomingMessage): Promise<Reply> {
    const query = parseQuery(await text(request));
    if (query === undefined) return errorReply(400, 'bad.request', 'The interval is not valid.');
    if (query.filters && this.script.refusesFilters) return refusedFilter();
    const { tailFrom, endings } = this.script;
    const conversations = this.#within(query).filter(({ start }) => tailFrom === undefined || start < tailFrom);
    const jobId = randomUUID();
    this.#jobs.set(jobId, {
      conversations: [...conversations, ...conversations.slice(-this.script.repeats || conversations.length)],
      state: endings.shift() ?? 'FULFILLED',
      polls: 0,
      expireAtPage: this.script.expireAtPage,
    });
    this.script.expireAtPage = undefined;
    return jsonReply(202, { jobId });
  }

  status(jobId: string): Reply {
    const job = this.#jobs.get(jobId);
    if (job === undefined) return notFound();
    job.polls += 1;
    const isPending = job.polls <= this.script.pendingPolls;
    return jsonReply(200, { state: isPending ? 'PENDING' : job.state, submissionDate: '2026-11-28T09:00:00.000Z' });
  }

  divisionsOf(conversationId: string): readonly string[] {
    return this.#conversations.get(conversationId)?.divisionIds ?? ['home'];
  }

  results(jobId: string, url: URL, sees: Sees): Reply {
    const job = this.#jobs.get(jobId);
    if (job === undefined) return notFound();
    const page = Number(url.searchParams.get('cursor') ?? '1');
    if (job.expireAtPage !== undefined && page >= job.expireAtPage)
      return errorReply(404, 'not.found', 'The results have expired.');
    const seen = job.conversations.filter(({ divisionIds = ['home'] }) => sees(divisionIds));
    const size = Math.min(this.script.pageSize, Number(url.searchParams.get('pageSize') ?? '1000'));
    const list = seen.slice((page - 1) * size, page * size);
    const isLast = page * size >= seen.length;
    return jsonReply(200, {
      conversations: list.map(bodyOf),
      ...(isLast ? {} : { cursor: String(page + 1) }),
      dataAvailabilityDate: this.script.resultsUntil ?? this.script.dataUntil,
    });
  }

  /** What is known of one conversation. */
  details(conversationId: string): Reply {
    const conversation = this.#conversations.get(conversationId);
    return conversation === undefined ? notFound() : jsonReply(200, bodyOf(conversation));
  }

  async query(request: IncomingMessage, sees: Sees): Promise<Reply> {
    const query = parseQuery(await text(request));
    if (query === undefined) return errorReply(400, 'bad.request', 'The interval is not valid.');
    if (query.filters && this.script.refusesFilters) return refusedFilter();
    const found = this.#within(query).filter(({ divisionIds = ['home'] }) => sees(divisionIds));
    const ordered = query.descending ? found.toReversed() : found;
    const { pageSize, pageNumber } = query.paging ?? { pageSize: 25, pageNumber: 1 };
    const list = ordered.slice((pageNumber - 1) * pageSize, pageNumber * pageSize);
    return jsonReply(200, { conversations: list.map(bodyOf), totalHits: found.length });
  }

  /** What had activity in the interval: a conversation over midnight is in two days. */
  #within(query: Query): readonly AnalyzedConversation[] {
    return [...this.#conversations.values()]
      .filter(
        ({ start, end = '9999' }) =>
          start < query.to && end >= query.from && (!query.startedWithin || start >= query.from),
      )
      .filter(({ recorded = 'voice' }) => !query.filters || recorded !== 'no')
      .toSorted((a, b) => (a.start < b.start ? -1 : 1));
  }
}

interface Query {
  readonly from: string;
  readonly to: string;
  readonly startedWithin: boolean;
  readonly filters: boolean;
  readonly descending: boolean;
  readonly paging: { readonly pageSize: number; readonly pageNumber: number } | undefined;
}

function parseQuery(body: string): Query | undefined {
  const query = JSON.parse(body) as {
    interval?: string;
    startOfDayIntervalMatching?: boolean;
    segmentFilters?: unknown[];
    order?: string;
    paging?: Query['paging'];
  };
  const [from, to] = (query.interval ?? '').split('/');
  if (from === undefined || to === undefined || !(from < to)) return undefined;
  return {
    from,
    to,
    startedWithin: query.startOfDayIntervalMatching === true,
    filters: (query.segmentFilters ?? []).length > 0,
    descending: query.order === 'desc',
    paging: query.paging,
  };
}

function refusedFilter(): Reply {
  return errorReply(400, 'bad.request', 'The predicate value "true" is not valid for dimension recording.');
}

/** An AnalyticsConversation of the SDK. */
function bodyOf({
  raw,
  conversationId,
  start,
  end,
  recorded = 'voice',
  divisionIds = ['home'],
  whole = false,
}: AnalyzedConversation): unknown {
  if (raw !== undefined) return raw;
  if (whole) return wholeConversation({ conversationId, start, end: end ?? start, recorded: recorded === 'voice' });
  return {
    conversationId,
    conversationStart: start,
    ...(end === undefined ? {} : { conversationEnd: end }),
    divisionIds,
    originatingDirection: 'inbound',
    participants: [
      {
        participantId: `${conversationId}-customer`,
        purpose: 'customer',
        sessions: [{ mediaType: 'voice', recording: false }],
      },
      {
        participantId: `${conversationId}-agent`,
        purpose: 'agent',
        screenRecording: recorded === 'screen' || recorded === 'both',
        sessions: [
          {
            mediaType: 'voice',
            recording: recorded === 'voice' || recorded === 'both',
            snippetRecording: recorded === 'snippet',
          },
        ],
      },
    ],
  };
}

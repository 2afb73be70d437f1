/**
 * A conversation → what Genesys knows of it besides the media of its recordings: who took part, what it notes of each recording, what
 * was said. All of it is personal; nothing of it is looked at here.
 */
import type { Downloader } from '../download/download.ts';
import { Failure } from '../failure.ts';
import { Fields, jsonIn } from '../fields.ts';
import { canonicalId, isId } from '../recording.ts';
import { parseRetryAfter } from '../waiting.ts';
import type { Api } from './api.ts';
import type { JsonAnswer } from './exchange.ts';

/** What Genesys notes of a recording, its annotations among it. */
export interface NotedRecording {
  readonly recordingId: string;
  /** The leg that was recorded: transcripts are asked for by it. */
  readonly sessionId: string | undefined;
  /** As Genesys answered, without links. */
  readonly note: unknown;
}

export interface ConversationSource {
  /** An AnalyticsConversationWithoutAttributes. undefined where Genesys does not know it (yet). Needs `analytics:conversationDetail:view`. @throws Failure `forbidden`, … */
  conversation(conversationId: string, signal: AbortSignal): Promise<unknown>;
  /** Each once; none where Genesys does not know it. Starts no transcoding. @throws Failure `not-ready`, `forbidden`, … */
  notedRecordings(conversationId: string, signal: AbortSignal): Promise<readonly NotedRecording[]>;
  /**
   * The transcripts of a leg, by the ids of their recordings, as they are downloaded; none where there are none (yet).
   * @throws Failure `forbidden`, `host-refused`, `upstream-error` (no JSON), …
   */
  transcripts(leg: Leg, signal: AbortSignal): Promise<ReadonlyMap<string, string>>;
}

export interface Leg {
  readonly conversationId: string;
  readonly sessionId: string;
}

const ASK_AGAIN_MS = 60_000;
/** An hour of two voices is about 1 MB. */
const MAX_TRANSCRIPT_BYTES = 32 * 1024 * 1024;

/**
 * `GET /api/v2/analytics/conversations/{c}/details`, `GET /api/v2/conversations/{c}/recordings` without media, `GET
 * /api/v2/speechandtextanalytics/conversations/{c}/communications/{m}/transcripturls`.
 */
export function createConversationSource(api: Api, downloader: Downloader): ConversationSource {
  const ask = (path: string, signal: AbortSignal): Promise<JsonAnswer | undefined> =>
    unlessUnknown(() => api.ask({ path, caller: 'worker' }, signal));
  return {
    conversation: async (conversationId, signal) => {
      const answer = await ask(`/api/v2/analytics/conversations/${encodeURIComponent(conversationId)}/details`, signal);
      const fields = Fields.in(answer?.body);
      if (fields === undefined) return undefined;
      if (canonicalId(fields.text('conversationId') ?? conversationId) !== conversationId)
        throw oddAnswer('another conversation than the one asked for');
      return answer?.body;
    },
    notedRecordings: async (conversationId, signal) => {
      const query = 'formatId=NONE&includePauseAnnotationsForScreenRecordings=true';
      const answer = await ask(
        `/api/v2/conversations/${encodeURIComponent(conversationId)}/recordings?${query}`,
        signal,
      );
      return answer === undefined ? [] : parseNoted(answer);
    },
    transcripts: async ({ conversationId, sessionId }, signal) => {
      const answer = await ask(
        `/api/v2/speechandtextanalytics/conversations/${encodeURIComponent(conversationId)}/communications/${encodeURIComponent(sessionId)}/transcripturls`,
        signal,
      );
      const texts = new Map<string, string>();
      for (const [recordingId, url] of urlsIn(answer?.body))
        texts.set(recordingId, await downloadJson(url, downloader, signal));
      return texts;
    },
  };
}

/** 404 is normal: not known yet, too short for a transcript, not transcribed. */
async function unlessUnknown(ask: () => Promise<JsonAnswer>): Promise<JsonAnswer | undefined> {
  try {
    return await ask();
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === 'not-found') return undefined;
    throw thrown;
  }
}

function parseNoted({ status, headers, body }: JsonAnswer): readonly NotedRecording[] {
  if (status === 202 || body === undefined)
    throw new Failure('not-ready', 'Genesys is not ready with the recordings of this conversation; try again later.', {
      afterMs: parseRetryAfter(headers['retry-after'], new Date()) ?? ASK_AGAIN_MS,
    });
  if (!Array.isArray(body)) throw oddAnswer('a list of recordings that is no array');
  const noted = body.flatMap((entry: unknown) => notedOf(entry));
  return [...new Map(noted.map((one) => [one.recordingId, one])).values()];
}

/** None without an id that can be used: nothing of it can be kept. */
function notedOf(entry: unknown): readonly NotedRecording[] {
  const fields = Fields.in(entry);
  const id = fields?.text('id');
  if (fields === undefined || id === undefined || !isId(id)) return [];
  const sessionId = fields.text('sessionId');
  return [
    {
      recordingId: canonicalId(id),
      sessionId: sessionId !== undefined && isId(sessionId) ? sessionId : undefined,
      note: withoutLinks(entry),
    },
  ];
}

/** Links to media are bearer secrets: nowhere may one be kept, whatever the field is called. */
function withoutLinks(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((one) => !isLink(one)).map(withoutLinks);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([name, one]) => name !== 'mediaUris' && !isLink(one));
  return Object.fromEntries(kept.map(([name, one]) => [name, withoutLinks(one)]));
}

function isLink(value: unknown): boolean {
  return typeof value === 'string' && /^https?:\/\//i.test(value);
}

/** `{urls: [{recording: {id}, url}]}` */
function urlsIn(body: unknown): readonly (readonly [string, URL])[] {
  return (Fields.in(body)?.array('urls') ?? []).flatMap((entry) => {
    const fields = Fields.in(entry);
    const [id, url] = [fields?.fields('recording')?.text('id'), fields?.text('url')];
    if (id === undefined || !isId(id) || url === undefined || !URL.canParse(url)) return [];
    return [[canonicalId(id), new URL(url)] as const];
  });
}

/** From the hosts that media may come from, and no others. */
async function downloadJson(url: URL, downloader: Downloader, signal: AbortSignal): Promise<string> {
  const download = await downloader.openText(() => Promise.resolve({ url, headers: {} }), signal);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of download) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_TRANSCRIPT_BYTES) throw oddAnswer('a transcript of more than 32 MiB');
    chunks.push(Buffer.from(chunk));
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (typeof jsonIn(text) !== 'object') throw oddAnswer('a transcript that is no JSON');
  return text;
}

function oddAnswer(what: string): Failure {
  return new Failure('upstream-error', `Genesys answered with ${what}.`);
}

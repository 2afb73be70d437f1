/**
 * Many recordings that are about to be fetched → where their originals lie, for a call or two per hundred instead of two for
 * each (`POST /api/v2/recording/batchrequests`). A batch is never believed to be all there is: what it leaves out, marks as
 * an error or answers with more than one file goes its own way.
 */
import type { Downloader } from '../download/download.ts';
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { keyOf, parseId } from '../recording.ts';
import { sleep, unlessAborted } from '../waiting.ts';
import type { Api } from './api.ts';
import type { ExpectedRecording } from './census.ts';
import type { Located } from './genesys.ts';
import { fileByUrl } from './media-url.ts';
import type { ConversationRecording } from './recording-answer.ts';

/** Genesys takes no more at once. */
const BATCH_SIZE = 100;

/** Milliseconds before each question how far a batch has come; the last one again and again. */
const POLL_AFTER_MS = [1_000, 2_000, 4_000, 8_000, 15_000];
/** A job may never end: what it has by then is taken, and the rest fetched one by one. */
const PATIENCE_MS = 5 * 60_000;
/** URLs live for 2 to 60 minutes, as the organization has set it; one that has run out costs a request and no call. */
const USABLE_MS = 50 * 60_000;

export interface BatchNeeds {
  readonly api: Api;
  readonly downloader: Downloader;
  /** First wait before a question how far a batch has come. */
  readonly pollMs?: number | undefined;
}

type Urls = ReadonlyMap<string, URL>;

interface Expectation {
  readonly expected: ExpectedRecording;
  readonly urls: Promise<Urls>;
  /** On the clock of `performance.now()`. */
  readonly until: number;
}

export class OriginalBatches {
  readonly #needs: BatchNeeds;
  readonly #expectations = new Map<string, Expectation>();
  readonly #closing = new AbortController();
  /** This client may ask for none, or Genesys has none: then nobody tries again. */
  #isRefused = false;

  constructor(needs: BatchNeeds) {
    this.#needs = needs;
  }

  /** They will be asked for soon: asks for their originals together. What says no start goes its own way. */
  expect(recordings: readonly ExpectedRecording[]): void {
    if (this.#isRefused) return;
    const wanted = recordings.filter(({ startedAt }) => startedAt !== undefined);
    for (let at = 0; at < wanted.length; at += BATCH_SIZE) {
      const some = wanted.slice(at, at + BATCH_SIZE);
      const urls = this.#collect(some).catch((error: unknown) => this.#without(error));
      for (const expected of some)
        this.#expectations.set(keyOf(expected), { expected, urls, until: performance.now() + USABLE_MS });
    }
  }

  /** Once for each that was expected: what does not come to its end this way is next asked for by itself. */
  async take(recording: ConversationRecording, signal: AbortSignal): Promise<Located | undefined> {
    const key = keyOf(recording);
    const expectation = this.#expectations.get(key);
    if (expectation === undefined) return undefined;
    this.#expectations.delete(key);
    const url = (await unlessAborted(expectation.urls, signal)).get(key);
    if (url === undefined || performance.now() > expectation.until) return undefined;
    const { startedAt, endedAt } = expectation.expected;
    const file = fileByUrl('0', { found: url, refresh: runOut }, this.#needs.downloader);
    const durationMs = spanOf(startedAt, endedAt);
    return { api: 'recordings', files: [file], recordedAt: startedAt, durationMs, isOriginal: true };
  }

  close(): void {
    this.#closing.abort(new Failure('stopped', 'The work on a batch was stopped.'));
    this.#expectations.clear();
  }

  /** Whatever is wrong with a batch, its recordings can be had one by one. */
  #without(error: unknown): Urls {
    if (error instanceof Failure && REFUSALS.has(error.code)) this.#isRefused = true;
    return new Map();
  }

  async #collect(recordings: readonly ExpectedRecording[]): Promise<Urls> {
    const { api, pollMs = POLL_AFTER_MS[0] ?? 0 } = this.#needs;
    const { signal } = this.#closing;
    const list = recordings.map(({ conversationId, recordingId }) => ({ conversationId, recordingId }));
    const submitted = await api.ask(
      { method: 'POST', path: PATH, body: { batchDownloadRequestList: list }, caller: 'worker' },
      signal,
    );
    const { client } = submitted;
    const id = Fields.in(submitted.body)?.text('id');
    if (id === undefined || id === '') throw new Failure('upstream-error', 'Genesys answered with a batch without id.');
    const scale = pollMs / (POLL_AFTER_MS[0] ?? 1);
    const untilMs = performance.now() + PATIENCE_MS;
    for (let poll = 0; ; poll += 1) {
      await sleep((POLL_AFTER_MS[Math.min(poll, POLL_AFTER_MS.length - 1)] ?? 0) * scale, signal);
      const { body } = await api.ask({ path: `${PATH}/${encodeURIComponent(id)}`, caller: 'worker', client }, signal);
      const job = Fields.in(body);
      if (isOver(job, list.length) || performance.now() > untilMs) return loneUrlsIn(job);
    }
  }
}

const PATH = '/api/v2/recording/batchrequests';

const REFUSALS: ReadonlySet<string> = new Set(['forbidden', 'not-found', 'bad-request']);

const UNDER_WAY: ReadonlySet<string> = new Set(['INPROGRESS', 'PROCESSING']);

/**
 * Counts alone may be equal before anything has begun, 0 of 0, and what is expected grows: each that was asked for has a result at
 * least, unless the batch says that it is over.
 */
function isOver(job: Fields | undefined, asked: number): boolean {
  const status = (job?.text('status') ?? '').trim().toUpperCase();
  const [expected = 0, count = 0] = [job?.number('expectedResultCount'), job?.number('resultCount')];
  if (status === 'COMPLETED' || status === 'FAILED') return true;
  return count > 0 && count >= expected && (!UNDER_WAY.has(status) || count >= asked);
}

/** Of recordings that have exactly one file: which of several is which side, a batch does not say. */
function loneUrlsIn(job: Fields | undefined): Urls {
  const results = job?.raw('results');
  const found = new Map<string, URL | undefined>();
  for (const entry of Array.isArray(results) ? results : []) {
    const result = resultIn(entry);
    if (result !== undefined) found.set(result.key, found.has(result.key) ? undefined : result.url);
  }
  return new Map([...found].flatMap(([key, url]) => (url === undefined ? [] : [[key, url] as const])));
}

/** Chats and emails come as archives of their own. */
const WITHOUT_MEDIA = /zip|json|text|rfc822/i;

function resultIn(entry: unknown): { readonly key: string; readonly url: URL | undefined } | undefined {
  const fields = Fields.in(entry);
  try {
    const recordingId = parseId(fields?.raw('recordingId'), 'recordingId');
    const conversationId = parseId(fields?.raw('conversationId'), 'conversationId');
    const [url = '', error = '', type = ''] = ['resultUrl', 'errorMsg', 'contentType'].map((name) =>
      fields?.text(name),
    );
    const isMedia = error === '' && URL.canParse(url) && !WITHOUT_MEDIA.test(type);
    return { key: keyOf({ recordingId, conversationId }), url: isMedia ? new URL(url) : undefined };
  } catch {
    return undefined;
  }
}

function spanOf(startedAt: Date | undefined, endedAt: Date | undefined): number | undefined {
  const ms = (endedAt?.getTime() ?? NaN) - (startedAt?.getTime() ?? NaN);
  return ms > 0 ? ms : undefined;
}

const AGAIN_MS = 1_000;

/** Asking the batch again would cost as much as asking for the recording. */
function runOut(): Promise<URL> {
  throw new Failure('upstream-error', 'The link of a batch has run out; the recording is asked for by itself.', {
    afterMs: AGAIN_MS,
  });
}

/** Turns requests of Cloud Storage's JSON API into answers, in bounded time, and trouble on the way into Failures. */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request, type Dispatcher } from 'undici';
import { Failure } from '../../failure.ts';
import type { TokenSource } from './auth.ts';
import { bucketFailure, isTransient, parseRefusal, type Doing } from './failure.ts';

const GOOGLE = 'https://storage.googleapis.com';
const LARGEST_ANSWER_BYTES = 1024 * 1024;

/** How long to go on when nothing moves. Counts and clock start anew with every bit of progress. */
export interface RetryPolicy {
  /** Failures in a row without progress. */
  readonly attempts: number;
  /** First wait; doubles, with full jitter. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** Time without progress. */
  readonly withoutProgressMs: number;
  /** One request and its answer: a connection into nowhere ends here. */
  readonly requestTimeoutMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  attempts: 9,
  firstDelayMs: 500,
  longestDelayMs: 32_000,
  withoutProgressMs: 180_000,
  requestTimeoutMs: 60_000,
};

/** The budget of one piece of work: {@link RetryPolicy} counted down. */
export class Patience {
  readonly #policy: RetryPolicy;
  #failures = 0;
  #since = performance.now();

  constructor(policy: RetryPolicy) {
    this.#policy = policy;
  }

  progress(): void {
    this.#failures = 0;
    this.#since = performance.now();
  }

  /** Waits before the next attempt, never less than the server asked for. @throws the failure, once the budget is spent */
  async again(failure: Failure, signal: AbortSignal): Promise<void> {
    this.#failures += 1;
    const doubled = this.#policy.firstDelayMs * 2 ** (this.#failures - 1);
    const jittered = Math.random() * Math.min(doubled, this.#policy.longestDelayMs);
    const waitMs = Math.max(jittered, failure.afterMs ?? 0);
    const endMs = performance.now() - this.#since + waitMs;
    if (this.#failures >= this.#policy.attempts || endMs > this.#policy.withoutProgressMs) throw failure;
    await sleep(waitMs, undefined, { signal });
  }
}

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query below the endpoint; or the whole URI of an upload session, which is a bearer secret. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Buffer[];
}

export interface ApiAnswer {
  readonly status: number;
  header(name: string): string | undefined;
  readonly text: string;
}

export interface ClientOptions {
  readonly bucket: string;
  readonly apiEndpoint?: string | undefined;
  /** Absent: requests carry no token (a test server). */
  readonly tokens?: TokenSource | undefined;
  readonly retry?: RetryPolicy | undefined;
}

export class BucketClient {
  readonly bucket: string;
  readonly retry: RetryPolicy;
  readonly #endpoint: string;
  readonly #tokens: TokenSource | undefined;
  readonly #agent: Agent;

  constructor(options: ClientOptions) {
    this.bucket = options.bucket;
    this.retry = options.retry ?? DEFAULT_RETRY;
    this.#endpoint = options.apiEndpoint ?? GOOGLE;
    this.#tokens = options.tokens;
    this.#agent = new Agent({
      connect: { timeout: 10_000 },
      headersTimeout: this.retry.requestTimeoutMs,
      bodyTimeout: this.retry.requestTimeoutMs,
      keepAliveTimeout: 30_000,
    });
  }

  patience(): Patience {
    return new Patience(this.retry);
  }

  /** Path of an object, its name encoded whole. */
  objectPath(name: string): string {
    return `/storage/v1/b/${encodeURIComponent(this.bucket)}/o/${encodeURIComponent(name)}`;
  }

  uploadPath(query: Readonly<Record<string, string>>): string {
    return `/upload/storage/v1/b/${encodeURIComponent(this.bucket)}/o?${new URLSearchParams(query).toString()}`;
  }

  /** One exchange; any status is an answer. @throws Failure `archive-unavailable` where none came */
  async exchange(asked: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    const deadline = AbortSignal.timeout(this.retry.requestTimeoutMs);
    const within = AbortSignal.any([signal, deadline]);
    try {
      const answer = await this.#authorized(asked, within);
      const text = await readText(answer);
      return { status: answer.statusCode, header: (name) => headerOf(answer, name), text };
    } catch (thrown) {
      throw unreachable(thrown, signal);
    }
  }

  /** Like {@link exchange}, repeated while the answer is one that passes: only for requests that may be repeated. */
  async send(asked: ApiRequest, doing: Doing, signal: AbortSignal): Promise<ApiAnswer> {
    const patience = this.patience();
    for (;;) {
      const answer = await this.exchange(asked, signal).catch(passing);
      if (answer instanceof Failure) await patience.again(answer, signal);
      else if (isTransient(refusalOf(answer))) await patience.again(this.failure(answer, doing), signal);
      else return answer;
    }
  }

  /** A GET whose body is read by the caller, who must read or destroy it. @throws Failure `archive-unavailable` */
  async open(asked: ApiRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    try {
      return await this.#authorized(asked, signal);
    } catch (thrown) {
      throw unreachable(thrown, signal);
    }
  }

  failure(answer: ApiAnswer, doing: Doing): Failure {
    return bucketFailure(refusalOf(answer), doing, this.bucket);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** A refused token is fetched anew once: it may have been revoked, or the clock be wrong. */
  async #authorized(asked: ApiRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const answer = await this.#once(asked, signal);
    if (answer.statusCode !== 401 || this.#tokens === undefined) return answer;
    await answer.body.dump();
    await this.#tokens.forget();
    return this.#once(asked, signal);
  }

  async #once(asked: ApiRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const url = new URL(asked.path.startsWith('/') ? this.#endpoint + asked.path : asked.path);
    const token = await this.#tokens?.token();
    const ours = url.origin === new URL(this.#endpoint).origin;
    const size = asked.body?.reduce((total, part) => total + part.length, 0);
    return request(url, {
      dispatcher: this.#agent,
      method: asked.method,
      headers: {
        'accept-encoding': 'identity',
        ...(token === undefined || !ours ? {} : { authorization: `Bearer ${token}` }),
        ...(size === undefined ? {} : { 'content-length': String(size) }),
        ...asked.headers,
      },
      body: bodyOf(asked.body),
      signal,
    });
  }
}

/** Parts stay apart, so that nothing large is copied just to be sent. */
function bodyOf(parts: readonly Buffer[] | undefined): Buffer | Readable | null {
  const [only, ...more] = parts ?? [];
  if (only === undefined) return null;
  return more.length === 0 ? only : Readable.from([only, ...more]);
}

export function refusalOf(answer: ApiAnswer): ReturnType<typeof parseRefusal> {
  return parseRefusal(answer.status, answer.status < 400 ? '' : answer.text, answer.header('retry-after'));
}

async function readText(answer: Dispatcher.ResponseData): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer.body) {
    if (!Buffer.isBuffer(part)) continue;
    size += part.length;
    if (size > LARGEST_ANSWER_BYTES) throw new Error(`an answer of more than ${String(LARGEST_ANSWER_BYTES)} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function headerOf(answer: Dispatcher.ResponseData, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** A stop from outside stays what it is; everything else is the network. */
export function unreachable(thrown: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) return stopped(signal, thrown);
  if (thrown instanceof Failure) return thrown;
  return new Failure('archive-unavailable', 'Cloud Storage could not be reached; the work is tried again later.', {
    cause: thrown,
  });
}

/** The reason of an aborted signal, where it is a Failure. */
export function stopped(signal: AbortSignal, cause: unknown): Failure {
  if (signal.reason instanceof Failure) return signal.reason;
  return new Failure('stopped', 'The work was stopped before it ended.', { cause });
}

/** For `catch`: what passes is returned, the rest is thrown on. */
export function passing(thrown: unknown): Failure {
  const failure = Failure.from(thrown);
  if (failure.code !== 'archive-unavailable') throw failure;
  return failure;
}

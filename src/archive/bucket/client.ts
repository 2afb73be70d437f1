/**
 * Requests of Cloud Storage's JSON API → answers, in bounded time, and trouble on the way → Failures.
 *
 * The one client for all of the archive's own requests: one retry policy, one rule for refused tokens, a signal for each. Google's
 * library signs links (signer.ts) and does nothing else here: its requests take no signal, its retries lose uploads and crash on
 * downloads, and every process that makes no links starts without it.
 */
import { Readable } from 'node:stream';
import { request, type Dispatcher } from 'undici';
import type { Proxies } from '../../config/proxies.ts';
import { Failure } from '../../failure.ts';
import { Fields, jsonIn } from '../../fields.ts';
import { networkFailure } from '../../network-failure.ts';
import { openOutbound } from '../../outbound.ts';
import { Deadline, reasonOf } from '../../waiting.ts';
import { readAnswerWithin } from '../../within-size.ts';
import type { GoogleTokens } from './auth.ts';
import { bucketFailure, isTransient, parseRefusal, type Permission, type Refusal } from './failure.ts';
import { parseObject, type ObjectFacts } from './object.ts';
import { RetryBudget, USUAL_RETRY, type RetryPolicy } from './retry.ts';

const GOOGLE = 'https://storage.googleapis.com';
const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
/** A page of 1,000 objects, each with 8 KiB of metadata at most. */
const LARGEST_ANSWER_BYTES = 16 * 1024 * 1024;

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
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

export interface BucketClientOptions {
  readonly bucket: string;
  /** What all names in the bucket begin with, without a slash at its ends; empty for the bucket's root. */
  readonly prefix: string;
  readonly apiEndpoint?: string | undefined;
  /** Absent: requests carry no token (a test server). */
  readonly tokens?: GoogleTokens | undefined;
  readonly retry?: RetryPolicy | undefined;
  /** HTTPS_PROXY and its kind. */
  readonly proxies?: Proxies | undefined;
}

export class BucketClient {
  readonly bucket: string;
  readonly retry: RetryPolicy;
  readonly #prefix: string;
  readonly #endpoint: string;
  readonly #tokens: GoogleTokens | undefined;
  readonly #way: Dispatcher;

  constructor(options: BucketClientOptions) {
    this.bucket = options.bucket;
    this.retry = options.retry ?? USUAL_RETRY;
    this.#prefix = options.prefix === '' ? '' : `${options.prefix}/`;
    this.#endpoint = options.apiEndpoint ?? GOOGLE;
    this.#tokens = options.tokens;
    this.#way = openOutbound(
      {
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        headersTimeoutMs: this.retry.requestTimeoutMs,
        bodyTimeoutMs: this.retry.requestTimeoutMs,
        keepAliveMs: KEEP_ALIVE_MS,
      },
      options.proxies,
    );
  }

  budget(): RetryBudget {
    return new RetryBudget(this.retry);
  }

  /** As the bucket calls what the archive calls `name`. */
  fullName(name: string): string {
    return this.#prefix + name;
  }

  /** As the archive calls what the bucket calls `full`. */
  ownName(full: string): string {
    return full.startsWith(this.#prefix) ? full.slice(this.#prefix.length) : full;
  }

  /** Path of an object, its name encoded whole. */
  objectPath(name: string): string {
    return `${this.listPath()}/${encodeURIComponent(this.fullName(name))}`;
  }

  listPath(): string {
    return `/storage/v1/b/${encodeURIComponent(this.bucket)}/o`;
  }

  uploadPath(name: string, query: Readonly<Record<string, string>>): string {
    const all = new URLSearchParams({ ...query, name: this.fullName(name) });
    return `/upload/storage/v1/b/${encodeURIComponent(this.bucket)}/o?${all.toString()}`;
  }

  /** @throws Failure `archive-unavailable` where it is no object resource */
  facts(resource: Fields): ObjectFacts {
    const facts = parseObject(resource);
    return { ...facts, name: this.ownName(facts.name) };
  }

  /** One exchange; any status is an answer. @throws Failure `archive-unavailable` where none came */
  async exchange(asked: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    using deadline = new Deadline(this.retry.requestTimeoutMs, { signal });
    try {
      const answer = await this.#authorized(asked, deadline.signal);
      const text = await textOfBody(answer);
      return { status: answer.statusCode, header: (name) => answerHeader(answer, name), text };
    } catch (thrown) {
      throw unreachable(thrown, signal);
    }
  }

  /** Like {@link exchange}, repeated while the answer is one that passes: only for requests that may be repeated. */
  async send(asked: ApiRequest, permission: Permission, signal: AbortSignal): Promise<ApiAnswer> {
    const budget = this.budget();
    for (;;) {
      const answer = await this.exchange(asked, signal).catch(passing);
      if (answer instanceof Failure) await budget.again(answer, signal);
      else if (isTransient(refusalOf(answer))) await budget.again(this.failure(answer, permission), signal);
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

  failure(answer: ApiAnswer, permission: Permission): Failure {
    return bucketFailure(refusalOf(answer), permission, this.bucket);
  }

  async close(): Promise<void> {
    await this.#way.destroy();
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
      dispatcher: this.#way,
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

/** The JSON object of an answer. @throws Failure `archive-unavailable` where it is none: something on the way answered instead */
export function documentOf(answer: ApiAnswer): Fields {
  const document = Fields.in(jsonIn(answer.text));
  if (document === undefined) throw notCloudStorage(answer.status);
  return document;
}

/** A captive portal or a filter: its page is neither an object nor its end. */
export function notCloudStorage(status: number): Failure {
  return new Failure(
    'archive-unavailable',
    `Something answered ${String(status)} in place of Cloud Storage (a proxy?): the work is tried again later.`,
  );
}

export function refusalOf(answer: ApiAnswer): Refusal {
  return parseRefusal(answer.status, answer.status < 400 ? '' : answer.text, answer.header('retry-after'));
}

/** @throws Error where it is larger than any answer about an object */
export function textOfBody({ body }: Dispatcher.ResponseData): Promise<string> {
  const tooLarge = (): Error => new Error(`an answer of more than ${String(LARGEST_ANSWER_BYTES)} bytes`);
  return readAnswerWithin(body, LARGEST_ANSWER_BYTES, tooLarge);
}

/** The first of several headers of this name. */
export function answerHeader(answer: Dispatcher.ResponseData, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** A stop from outside stays what it is; everything else is the network, of which only a certificate is for somebody to mend. */
export function unreachable(thrown: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) return reasonOf(signal);
  const failure = networkFailure(thrown, { name: 'Cloud Storage', broken: 'upstream-unavailable' });
  if (thrown instanceof Failure || failure?.code === 'misconfigured') return failure ?? Failure.from(thrown);
  const detail = failure === undefined ? '' : ` ${failure.message}`;
  return new Failure(
    'archive-unavailable',
    `Cloud Storage could not be reached; the work is tried again later.${detail}`,
    { cause: thrown },
  );
}

/** For `catch`: what passes is returned, the rest is thrown on. */
export function passing(thrown: unknown): Failure {
  const failure = Failure.from(thrown);
  if (failure.code !== 'archive-unavailable') throw failure;
  return failure;
}

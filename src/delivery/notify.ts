/**
 * A notice from the queue → a Standard Webhook to whoever the operator named: at least once, with ids and times alone.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac } from 'node:crypto';
import { type Dispatcher, request } from 'undici';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { hasEnded, type Key } from '../key.ts';
import type { Log } from '../telemetry/log.ts';
import { networkFailure } from '../network-failure.ts';
import { openOutbound } from '../outbound.ts';
import { type Delivery, type Message, noticeKey, type Settlement } from '../queue/queue.ts';
import { parseRetryAfter } from '../waiting.ts';

export interface NotifierOptions {
  readonly url: URL;
  /** Asked for at each use; each that has not ended signs, so that receivers can change theirs one after the other. */
  readonly keys: () => readonly Key[];
  readonly proxies: Proxies | undefined;
  readonly version: string;
  readonly log: Log;
}

const ANSWERED_WITHIN_MS = 10_000;
/** One notice is under way at a time, so that a receiver that hangs holds one slot; the others come again one after the other, so far apart. */
const APART_MS = 250;
/** After a failure nobody is told of anything for so long, doubled with each further one. */
const REST_MS = 15_000;
const LONGEST_REST_MS = 10 * 60_000;
/** The bytes of an answer that are read to keep its connection. */
const MAX_ANSWER_BYTES = 64 * 1024;

export class Notifier {
  readonly #options: NotifierOptions;
  readonly #agent: Dispatcher;
  #isSending = false;
  #failures = 0;
  /** On the clock of `performance.now()`. */
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  /** When the last one in line comes again; on the same clock. */
  #lastTurnMs = Number.NEGATIVE_INFINITY;

  constructor(options: NotifierOptions) {
    this.#options = options;
    this.#agent = openOutbound(
      { connectTimeoutMs: 5_000, headersTimeoutMs: ANSWERED_WITHIN_MS, bodyTimeoutMs: 5_000, maxHeaderBytes: 16_384 },
      options.proxies,
    );
  }

  /** Of a message of kind `notice`. @throws Failure, by which it comes again: for a week, rarer and rarer */
  async work({ message }: Delivery, signal: AbortSignal): Promise<Settlement> {
    if (message.kind !== 'notice') return { outcome: 'done' };
    if (this.#isSending || performance.now() < this.#restsUntilMs) return { outcome: 'wait', afterMs: this.#turnMs() };
    this.#isSending = true;
    try {
      await this.#send(message, signal);
      this.#failures = 0;
      return { outcome: 'done' };
    } catch (error) {
      signal.throwIfAborted();
      this.#restsUntilMs = performance.now() + Math.min(REST_MS * 2 ** this.#failures, LONGEST_REST_MS);
      this.#failures += 1;
      throw error;
    } finally {
      this.#isSending = false;
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** Milliseconds until the next free turn: a thousand that wait are no storm. */
  #turnMs(): number {
    const now = performance.now();
    this.#lastTurnMs = Math.max(now, this.#restsUntilMs, this.#lastTurnMs) + APART_MS;
    return Math.ceil(this.#lastTurnMs - now);
  }

  async #send(message: NoticeMessage, signal: AbortSignal): Promise<void> {
    const { url, version, log } = this.#options;
    const body = bodyOfNotice(message);
    try {
      const answer = await request(url, {
        dispatcher: this.#agent,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': `genesys-recording-archiver/${version}`,
          ...this.#signed(idOfNotice(message), body),
        },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWERED_WITHIN_MS)]),
      });
      await answer.body.dump({ limit: MAX_ANSWER_BYTES });
      const failure = failureOfAnswer(answer, url);
      if (failure !== undefined) throw failure;
      log.debug('Somebody was told.', { event: message.event, host: url.host });
    } catch (thrown) {
      signal.throwIfAborted();
      throw networkFailure(thrown, { name: url.host, broken: 'upstream-unavailable' }) ?? thrown;
    }
  }

  /** Signed anew each time: receivers refuse what is older than five minutes. */
  #signed(id: string, body: string): Readonly<Record<string, string>> {
    const now = Date.now();
    const timestamp = String(Math.floor(now / 1000));
    const keys = this.#options.keys().filter((key) => !hasEnded(key, now));
    if (keys.length === 0)
      throw new Failure('misconfigured', 'NOTIFY_SECRET: every key has ended; set one that has not.');
    const signatures = keys.map((key) => {
      const hmac = createHmac('sha256', keyBytes(key)).update(`${id}.${timestamp}.${body}`).digest('base64');
      return `v1,${hmac}`;
    });
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
  }
}

type NoticeMessage = Message & { readonly kind: 'notice' };

/** `whsec_` and base64, or raw text. */
function keyBytes({ secret }: Key): Buffer {
  const prefix = 'whsec_';
  return secret.startsWith(prefix) ? Buffer.from(secret.slice(prefix.length), 'base64') : Buffer.from(secret);
}

/** The same for each repetition, so that receivers can drop those; without full stops, which part what is signed. */
function idOfNotice(message: NoticeMessage): string {
  return `${message.event}:${noticeKey(message)}`.replaceAll('.', '/');
}

function bodyOfNotice({ event, at, conversationId, recordingId, day, code }: NoticeMessage): string {
  const about =
    day === undefined ? { conversationId: conversationId ?? null, recordingId: recordingId ?? null } : { day };
  return JSON.stringify({ type: event, timestamp: at, data: { ...about, ...(code === undefined ? {} : { code }) } });
}

/** undefined where it was taken. Whoever answers 410 wants to hear no more: of this one it hears none. */
function failureOfAnswer({ statusCode: status, headers }: Dispatcher.ResponseData, { host }: URL): Failure | undefined {
  if ((status >= 200 && status < 300) || status === 410) return undefined;
  const afterMs = parseRetryAfter(headers['retry-after'], new Date());
  const wait = afterMs === undefined ? {} : { afterMs };
  if (status === 429 || status >= 500)
    return new Failure(
      'upstream-unavailable',
      `${host} (NOTIFY_URL) answered ${String(status)}; it is told again.`,
      wait,
    );
  const what = `${host} (NOTIFY_URL) answered ${String(status)}: check the URL, and that it knows NOTIFY_SECRET.`;
  return new Failure('upstream-error', what, { sort: 'operator', ...wait });
}

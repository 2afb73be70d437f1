/**
 * The one error class: what a failure means is decided where it is made and read in exactly two places:
 * by the HTTP layer (`status`, `message`) and by the queue's delivery (`retry`, `afterMs`).
 */

/**
 * What the queue does with the work:
 * - `never`  permanent: recorded under failures/ with its reason
 * - `again`  uses up one attempt, then backs off
 * - `wait`   uses up no attempt: the work is fine, the world is not ready (bounded by total age only)
 */
export type Retry = 'never' | 'again' | 'wait';

interface Meaning {
  readonly status: number;
  readonly retry: Retry;
}

/** Every code there is, what a caller of the HTTP interface sees and what the queue does. */
const MEANINGS = {
  'bad-request': { status: 400, retry: 'never' },
  unauthorized: { status: 401, retry: 'never' },
  forbidden: { status: 403, retry: 'never' },
  'not-found': { status: 404, retry: 'never' },
  'method-not-allowed': { status: 405, retry: 'never' },
  gone: { status: 404, retry: 'never' },
  'not-ready': { status: 409, retry: 'wait' },
  'needs-restore': { status: 409, retry: 'never' },
  conflict: { status: 409, retry: 'never' },
  'body-too-large': { status: 413, retry: 'never' },
  'unsupported-type': { status: 415, retry: 'never' },
  'no-media': { status: 415, retry: 'never' },
  'unsupported-media': { status: 415, retry: 'never' },
  'range-not-satisfiable': { status: 416, retry: 'never' },
  'unreadable-media': { status: 422, retry: 'never' },
  'media-too-large': { status: 422, retry: 'never' },
  busy: { status: 429, retry: 'wait' },
  /** More work than the delivery has time for: the queue has another way for it. */
  'too-long': { status: 429, retry: 'wait' },
  internal: { status: 500, retry: 'again' },
  /** The encoder died, hung or answered nonsense: the media may still be fine. */
  'encoder-failed': { status: 500, retry: 'again' },
  /** Fewer or other bytes than promised. */
  incomplete: { status: 502, retry: 'again' },
  'upstream-error': { status: 502, retry: 'again' },
  /** Media or redirect outside the allow-list. */
  'host-refused': { status: 502, retry: 'never' },
  'rate-limited': { status: 503, retry: 'wait' },
  'upstream-unavailable': { status: 503, retry: 'again' },
  /** Credentials, permissions or resources the operator has to change: nothing is given up for it. */
  misconfigured: { status: 503, retry: 'wait' },
  'queue-unavailable': { status: 503, retry: 'wait' },
  'archive-unavailable': { status: 503, retry: 'wait' },
  /** Stopped from outside (shutdown, lost lease, listener left): the work goes back untouched. */
  stopped: { status: 503, retry: 'wait' },
  'upstream-timeout': { status: 504, retry: 'again' },
} as const satisfies Record<string, Meaning>;

export type FailureCode = keyof typeof MEANINGS;

export interface FailureOptions {
  readonly cause?: unknown;
  /** Milliseconds the other side asked us to wait: never shortened. */
  readonly afterMs?: number;
  /** Overrides of what the code usually means. */
  readonly retry?: Retry;
  readonly status?: number;
  /** Facts for the log only (ids, counts, stderr tail); never sent to a caller. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export class Failure extends Error {
  readonly code: FailureCode;
  /** HTTP status for a caller. */
  readonly status: number;
  readonly retry: Retry;
  readonly afterMs: number | undefined;
  readonly facts: Readonly<Record<string, unknown>>;

  /** `message` is public: it says what happened and what to do next, without secrets or URLs with a query. */
  constructor(code: FailureCode, message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Failure';
    this.code = code;
    this.status = options.status ?? MEANINGS[code].status;
    this.retry = options.retry ?? MEANINGS[code].retry;
    this.afterMs = options.afterMs;
    this.facts = options.facts ?? {};
  }

  /** Any thrown value as a Failure: an abort becomes `stopped`, what nobody foresaw becomes `internal`. */
  static from(thrown: unknown): Failure {
    if (thrown instanceof Failure) return thrown;
    if (thrown instanceof Error && thrown.name === 'AbortError') {
      if (thrown.cause instanceof Failure) return thrown.cause;
      return new Failure('stopped', 'The work was stopped before it ended.', { cause: thrown });
    }
    return new Failure('internal', 'An unexpected error occurred; the log has the details.', { cause: thrown });
  }
}

/** The system's or a library's code of an error (`ENOENT`, `UND_ERR_SOCKET`); undefined where it has none that is a text. */
export function systemCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
}

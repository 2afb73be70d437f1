/**
 * Whatever goes wrong → the one error class. What a failure means is decided where it is made, by its code and
 * its sort, and read in two places: by the HTTP layer (`status`, `message`) and by the queue's delivery (`sort`, `retry`, `afterMs`).
 */

/**
 * Whose a failure is, which decides how long it is borne:
 * - `recording`     its own (damaged, deleted, no sound): final; bytes that cannot change are tried at most twice
 * - `surroundings`  the network's, a proxy's, Genesys' or Google's: costs no attempt and passes by itself
 * - `operator`      what an operator can mend (permission, host list, region, certificate, full disk): waits, rarer and rarer, up to a week
 * - `caller`        a request that is wrong as it stands: answered, never queued
 */
export type Sort = 'recording' | 'surroundings' | 'operator' | 'caller';

/**
 * What the queue does with the work:
 * - `never`  final: recorded under failures/ with its reason
 * - `again`  nobody knows yet whether it is the recording's: uses up one attempt, then backs off
 * - `wait`   uses up no attempt: the work is fine, the world is not ready
 */
export type Retry = 'never' | 'again' | 'wait';

/** What a code means: to a caller of the HTTP interface, to the queue, and to whoever asks what to do next. */
export interface FailureMeaning {
  readonly sort: Sort;
  readonly retry: Retry;
  readonly status: number;
  /** One sentence: the words of the README's table, of the console, of doctor and of the API. */
  readonly next: string;
}

const COMES_BY_ITSELF = 'the recording then comes by itself';

/** Every code there is. This is the table of failures that users read: one wording everywhere. */
export const FAILURES = {
  'bad-request': {
    sort: 'caller',
    retry: 'never',
    status: 400,
    next: 'Correct what the message names and send it again.',
  },
  unauthorized: {
    sort: 'caller',
    retry: 'never',
    status: 401,
    next: 'Send a valid key, token or signature; the message says which and how.',
  },
  /** Genesys or its media host denies access. */
  forbidden: {
    sort: 'operator',
    retry: 'wait',
    status: 403,
    next: `Give the role of the OAuth client the permissions and divisions that the message names, and check that no web filter stands before Genesys; ${COMES_BY_ITSELF}.`,
  },
  'not-found': {
    sort: 'caller',
    retry: 'never',
    status: 404,
    next: 'Check both ids; where Genesys knows the recording now, send its event again.',
  },
  'method-not-allowed': {
    sort: 'caller',
    retry: 'never',
    status: 405,
    next: 'Use one of the methods that the Allow header names.',
  },
  gone: {
    sort: 'recording',
    retry: 'never',
    status: 404,
    next: 'Nothing: Genesys no longer has it, so that it cannot be archived any more.',
  },
  'not-ready': {
    sort: 'surroundings',
    retry: 'wait',
    status: 409,
    next: 'Nothing: Genesys still uploads or transcodes it, and is asked again, less and less often, for up to a week.',
  },
  'needs-restore': {
    sort: 'operator',
    retry: 'wait',
    status: 409,
    next: `Restore it in Genesys Cloud, which can take hours; ${COMES_BY_ITSELF}.`,
  },
  /** What lies in the archive is not what belongs there. */
  conflict: {
    sort: 'operator',
    retry: 'wait',
    status: 409,
    next: `Restore what the message names, or move it out of the archive; ${COMES_BY_ITSELF}.`,
  },
  /** A conversation of which Genesys lists nothing. */
  'no-recordings': {
    sort: 'recording',
    retry: 'never',
    status: 404,
    next: 'Nothing if the call was not recorded; else look at the recording policy, or for an orphaned recording in Genesys Cloud.',
  },
  erased: {
    sort: 'recording',
    retry: 'never',
    status: 410,
    next: 'Nothing: it was erased on purpose, and is not made again.',
  },
  'body-too-large': { sort: 'caller', retry: 'never', status: 413, next: 'Send fewer events at once.' },
  'unsupported-type': {
    sort: 'caller',
    retry: 'never',
    status: 415,
    next: 'Send JSON in UTF-8 with Content-Type: application/json.',
  },
  'no-media': {
    sort: 'recording',
    retry: 'never',
    status: 415,
    next: 'Nothing: it is a chat, an email or a message, which has neither sound nor picture.',
  },
  'unsupported-media': {
    sort: 'recording',
    retry: 'never',
    status: 415,
    next: 'Look at the codec or container that the message names; it may be playable in Genesys Cloud.',
  },
  'range-not-satisfiable': {
    sort: 'caller',
    retry: 'never',
    status: 416,
    next: 'Ask for a range inside the recording; the answer states its size.',
  },
  'unreadable-media': {
    sort: 'recording',
    retry: 'never',
    status: 422,
    next: 'Play it in Genesys Cloud: if it is damaged there as well, it is lost; if not, send its event again.',
  },
  'media-too-large': {
    sort: 'operator',
    retry: 'wait',
    status: 422,
    next: `Raise MAX_MEDIA_BYTES or MAX_DURATION_S, whichever the message names, if it is meant to be archived; ${COMES_BY_ITSELF}.`,
  },
  busy: {
    sort: 'surroundings',
    retry: 'wait',
    status: 429,
    next: 'Nothing: it is tried again; raise TRANSCODE_SLOTS if it happens often.',
  },
  /** More work than the delivery has time for: the queue has another way for it. */
  'too-long': {
    sort: 'surroundings',
    retry: 'wait',
    status: 429,
    next: 'Nothing: a worker that pulls takes it; raise long_worker_instances where there is none.',
  },
  /** Nobody foresaw it. */
  internal: {
    sort: 'operator',
    retry: 'again',
    status: 500,
    next: 'Look for it in the log and report it; when the cause is mended, send the event again.',
  },
  /** The encoder died, hung or answered nonsense: the media may still be fine. */
  'encoder-failed': {
    sort: 'surroundings',
    retry: 'again',
    status: 500,
    next: "Look at the encoder's last words in the log, and at the memory of the machine; then send the event again.",
  },
  /** Fewer or other bytes than promised: the media's own loss unless it is said to be the way's. */
  incomplete: {
    sort: 'recording',
    retry: 'again',
    status: 502,
    next: 'Play it in Genesys Cloud: if it ends early there as well, the rest is lost; if not, send its event again.',
  },
  'upstream-error': {
    sort: 'surroundings',
    retry: 'wait',
    status: 502,
    next: 'Nothing if it passes; else check GENESYS_REGION, the URLs and any proxy that the message names.',
  },
  /** Media or redirect outside the allow-list. */
  'host-refused': {
    sort: 'operator',
    retry: 'wait',
    status: 502,
    next: `If the host is right, add it to GENESYS_MEDIA_HOSTS; ${COMES_BY_ITSELF}.`,
  },
  'rate-limited': {
    sort: 'surroundings',
    retry: 'wait',
    status: 503,
    next: 'Nothing: Retry-After is kept in full; spread the load over several OAuth clients if it stays.',
  },
  'upstream-unavailable': {
    sort: 'surroundings',
    retry: 'wait',
    status: 503,
    next: 'Nothing if it passes: Genesys is down or not reached, and is asked again, less and less often; else check network, DNS and firewall.',
  },
  /** Credentials, settings or resources the operator has to change: nothing is given up for it. */
  misconfigured: {
    sort: 'operator',
    retry: 'wait',
    status: 503,
    next: 'Change what the message names; all that waits for it then comes by itself.',
  },
  'queue-unavailable': {
    sort: 'surroundings',
    retry: 'wait',
    status: 503,
    next: "Send the event again in a moment; if it stays, check the queue's disk or Pub/Sub.",
  },
  'archive-unavailable': {
    sort: 'surroundings',
    retry: 'wait',
    status: 503,
    next: 'Nothing if it passes; else check the disk of the archive folder, or Cloud Storage.',
  },
  /** Stopped from outside (shutdown, lost lease, listener left): the work goes back untouched. */
  stopped: {
    sort: 'surroundings',
    retry: 'wait',
    status: 503,
    next: 'Nothing: the service was stopped, and the work goes on elsewhere or after its start.',
  },
  'upstream-timeout': {
    sort: 'surroundings',
    retry: 'wait',
    status: 504,
    next: 'Nothing if it passes: Genesys or its media host is silent, and is asked again, less and less often.',
  },
} as const satisfies Record<string, FailureMeaning>;

/** What a sort means for the queue where a failure says no more than its sort. */
const RETRY_OF = {
  recording: 'never',
  surroundings: 'wait',
  operator: 'wait',
  caller: 'never',
} as const satisfies Record<Sort, Retry>;

export type FailureCode = keyof typeof FAILURES;

/** Of a text that was written by another version, perhaps. */
export function isFailureCode(text: string): text is FailureCode {
  return Object.hasOwn(FAILURES, text);
}

export interface FailureOptions {
  readonly cause?: unknown;
  /** Milliseconds the other side asked us to wait: never shortened. */
  readonly afterMs?: number;
  /** Overrides of what the code usually means. A sort of its own brings that sort's `retry` with it. */
  readonly sort?: Sort;
  readonly retry?: Retry;
  readonly status?: number;
  /** Facts for the log only (ids, counts, stderr tail); never sent to a caller. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export class Failure extends Error {
  readonly code: FailureCode;
  /** HTTP status for a caller. */
  readonly status: number;
  readonly sort: Sort;
  readonly retry: Retry;
  readonly afterMs: number | undefined;
  readonly facts: Readonly<Record<string, unknown>>;

  /** `message` is public: it says what happened and what to do next, without secrets or URLs with a query. */
  constructor(code: FailureCode, message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Failure';
    this.code = code;
    const meaning: FailureMeaning = FAILURES[code];
    this.status = options.status ?? meaning.status;
    this.sort = options.sort ?? meaning.sort;
    this.retry = options.retry ?? (this.sort === meaning.sort ? meaning.retry : RETRY_OF[this.sort]);
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

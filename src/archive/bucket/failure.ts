/** Turns an error answer of Cloud Storage into a Failure that says which role, bucket or setting to change. */
import { Failure } from '../../failure.ts';

/** What was being done: decides which role a refusal names. */
export type Doing = 'create' | 'read' | 'list' | 'delete';

/** https://cloud.google.com/storage/docs/access-control/iam-roles */
const ROLES: Readonly<Record<Doing, string>> = {
  create: 'roles/storage.objectCreator',
  read: 'roles/storage.objectViewer',
  list: 'roles/storage.objectViewer',
  delete: 'roles/storage.objectUser under staging/, failures/ and waiting/',
};

export interface Refusal {
  /** HTTP status. */
  readonly status: number;
  /** `error.errors[0].reason` of the JSON API. */
  readonly reason: string;
  /** Google's own words: for the log only, they may name accounts. */
  readonly message: string;
  readonly retryAfterMs: number | undefined;
}

const TRANSIENT = new Set([408, 429, 500, 502, 503, 504]);
const RATE = /rateLimitExceeded|userRateLimitExceeded|quotaExceeded/i;

/** 408, 429 and 5xx, and the 403s that speak of rates. https://cloud.google.com/storage/docs/retry-strategy */
export function isTransient(refusal: Refusal): boolean {
  return TRANSIENT.has(refusal.status) || (refusal.status === 403 && RATE.test(refusal.reason));
}

/** An object and its bucket both answer 404; only the words tell them apart. */
export function isMissingBucket(refusal: Refusal): boolean {
  return refusal.status === 404 && /bucket does not exist/i.test(refusal.message);
}

/** A retention policy of the bucket or object, or a hold: deleting or replacing has to wait, nothing is misconfigured. */
export function isRetained(refusal: Refusal): boolean {
  return refusal.status === 403 && /retention|objectUnderActiveHold/i.test(refusal.reason);
}

/** `misconfigured` for what the operator has to change, `archive-unavailable` for what passes, else `internal`. */
export function bucketFailure(refusal: Refusal, doing: Doing, bucket: string): Failure {
  const facts = { status: refusal.status, reason: refusal.reason, said: refusal.message };
  if (isTransient(refusal)) {
    const waits = refusal.retryAfterMs === undefined ? {} : { afterMs: refusal.retryAfterMs };
    return new Failure(
      'archive-unavailable',
      `Cloud Storage answered ${String(refusal.status)}: the work is tried again later.`,
      { facts, ...waits },
    );
  }
  const advice = adviceFor(refusal, doing, bucket);
  if (advice !== undefined) return new Failure('misconfigured', advice, { facts });
  return new Failure(
    'internal',
    `Cloud Storage refused a request with ${String(refusal.status)}; the log has its reason.`,
    { facts },
  );
}

function adviceFor(refusal: Refusal, doing: Doing, bucket: string): string | undefined {
  const { status } = refusal;
  if (/kms/i.test(refusal.message)) {
    return `The encryption key of bucket ${bucket} cannot be used: enable it, or grant the Cloud Storage service agent roles/cloudkms.cryptoKeyEncrypterDecrypter (terraform: kms_key_name).`;
  }
  if (status === 401) {
    return 'Cloud Storage does not accept the credentials: check the service account this process runs as (GOOGLE_APPLICATION_CREDENTIALS, or the account of the Cloud Run service).';
  }
  if (status === 403 && /billing|accountDisabled/i.test(`${refusal.reason} ${refusal.message}`)) {
    return `The project of bucket ${bucket} has no active billing account: link one in the Cloud console.`;
  }
  if (status === 403) {
    return `The service account may not ${doing} objects in bucket ${bucket}: grant it ${ROLES[doing]} on the bucket (terraform: bucket_name and the bucket's IAM).`;
  }
  if (status === 404) {
    return `Bucket ${bucket} does not exist or cannot be seen: create it, or correct ARCHIVE_URL (terraform: bucket_name).`;
  }
  return undefined;
}

/** Reads the error document of the JSON API; anything else is told by its status alone. */
export function parseRefusal(status: number, text: string, retryAfter: string | undefined): Refusal {
  const document = parseJson(text);
  const error = isRecord(document) && isRecord(document['error']) ? document['error'] : {};
  const [first]: unknown[] = Array.isArray(error['errors']) ? error['errors'] : [];
  const reason = isRecord(first) && typeof first['reason'] === 'string' ? first['reason'] : '';
  const message = typeof error['message'] === 'string' ? error['message'] : text;
  return { status, reason, message: message.slice(0, 500), retryAfterMs: parseSeconds(retryAfter) };
}

/** The library's errors are Errors, or plain objects; both carry `code` and mostly `errors`. */
export function refusalOf(thrown: unknown): Refusal | undefined {
  if (!isRecord(thrown)) return undefined;
  const status = Number(thrown['code'] ?? thrown['status']);
  if (!Number.isInteger(status) || status < 400 || status > 599) return undefined;
  const [first]: unknown[] = Array.isArray(thrown['errors']) ? thrown['errors'] : [];
  const reason = isRecord(first) && typeof first['reason'] === 'string' ? first['reason'] : '';
  const message = typeof thrown['message'] === 'string' ? thrown['message'] : '';
  return { status, reason, message: message.slice(0, 500), retryAfterMs: undefined };
}

function parseSeconds(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,6}$/.test(value) ? Number(value) * 1000 : undefined;
}

function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

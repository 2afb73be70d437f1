/** An error answer of Cloud Storage → a Failure that says which role, bucket or setting to change. */
import { Failure } from '../../failure.ts';
import { Fields, jsonIn } from '../../fields.ts';
import { parseRetryAfter } from '../../waiting.ts';

/** The `storage.objects.*` permission that a request needs: decides which role a refusal names. */
export type Permission = 'create' | 'get' | 'list' | 'delete' | 'update';

/** https://cloud.google.com/storage/docs/access-control/iam-roles */
const ROLES: Readonly<Record<Permission, string>> = {
  create: 'roles/storage.objectCreator',
  get: 'roles/storage.objectViewer',
  list: 'roles/storage.objectViewer',
  delete: 'roles/storage.objectUser under staging/, failures/, waiting/ and listing/',
  update: 'roles/storage.objectUser',
};

const VERBS: Readonly<Record<Permission, string>> = {
  create: 'create',
  get: 'read',
  list: 'list',
  delete: 'delete',
  update: 'hold or release',
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

const RATE = /rateLimitExceeded|userRateLimitExceeded|quotaExceeded/i;

/**
 * 408, 429 and 5xx, and the 403s that speak of rates (https://cloud.google.com/storage/docs/retry-strategy); and redirects, of
 * which Cloud Storage makes none here: something on the way does, e.g. to its own login page.
 */
export function isTransient({ status, reason }: Refusal): boolean {
  if (status === 408 || status === 429 || status >= 500) return true;
  return status === 403 ? RATE.test(reason) : status >= 300 && status < 400;
}

/** An object and its bucket both answer 404; only the words tell them apart. */
export function isMissingBucket(refusal: Refusal): boolean {
  return refusal.status === 404 && /bucket does not exist/i.test(refusal.message);
}

/** What was removed from a bucket whose soft delete is off cannot be restored, and is not listed either: only the words say so. */
export function isWithoutSoftDelete(refusal: Refusal): boolean {
  return refusal.status === 400 && /soft delete policy is required/i.test(refusal.message);
}

/**
 * A retention of the bucket or object, or a hold: deleting or replacing has to wait, nothing is misconfigured. The reason of a hold
 * is documented as `objectUnderActiveHold` and was seen as `forbidden`, which a missing right has too: then the words tell.
 */
export function isRetained({ status, reason, message }: Refusal): boolean {
  if (status !== 403) return false;
  return (
    /retention|objectUnderActiveHold/i.test(reason) || /\bunder active .*\bhold\b|'s retention policy\b/i.test(message)
  );
}

/** `misconfigured` for what the operator has to change, `archive-unavailable` for what passes, else `internal`. */
export function bucketFailure(refusal: Refusal, permission: Permission, bucket: string): Failure {
  const retained = isRetained(refusal);
  const facts = { status: refusal.status, reason: refusal.reason, said: refusal.message, retained };
  if (isTransient(refusal)) {
    const waits = refusal.retryAfterMs === undefined ? {} : { afterMs: refusal.retryAfterMs };
    return new Failure(
      'archive-unavailable',
      `Cloud Storage answered ${String(refusal.status)}: the work is tried again later.`,
      { facts, ...waits },
    );
  }
  const advice = adviceFor(refusal, permission, bucket);
  if (advice !== undefined) return new Failure('misconfigured', advice, { facts });
  return new Failure(
    'internal',
    `Cloud Storage refused a request with ${String(refusal.status)}; the log has its reason.`,
    { facts },
  );
}

function adviceFor(refusal: Refusal, permission: Permission, bucket: string): string | undefined {
  const { status } = refusal;
  if (/kms/i.test(refusal.message)) {
    return `The encryption key of bucket ${bucket} cannot be used: enable it, or grant the Cloud Storage service agent roles/cloudkms.cryptoKeyEncrypterDecrypter (terraform: kms_key_name).`;
  }
  // https://docs.cloud.google.com/storage/docs/object-lock: neither without the feature nor beside an event-based hold
  if (status === 400 && /retention/i.test(refusal.message)) {
    return `Bucket ${bucket} does not lock what is stored, as LOCK_DAYS asks: enable object retention on it, and turn off its default event-based hold if it has one; or unset LOCK_DAYS (terraform: lock_days).`;
  }
  if (status === 400 && /retain until time/i.test(refusal.message)) {
    return 'To Cloud Storage the lock that it was asked for is over: set the clock of this machine, which is behind.';
  }
  if (status === 403 && /\bstorage\.objects\.setRetention\b/.test(refusal.message)) {
    return `The service account may not lock what it stores in bucket ${bucket}: grant it a role with storage.objects.setRetention under recordings/, or unset LOCK_DAYS (terraform: lock_days).`;
  }
  if (status === 401) {
    return 'Cloud Storage does not accept the credentials: check the service account this process runs as (GOOGLE_APPLICATION_CREDENTIALS, or the account of the Cloud Run service).';
  }
  if (status === 403 && /billing|accountDisabled/i.test(`${refusal.reason} ${refusal.message}`)) {
    return `The project of bucket ${bucket} has no active billing account: link one in the Cloud console.`;
  }
  if (status === 403) {
    return `The service account may not ${VERBS[permission]} objects in bucket ${bucket}: grant it ${ROLES[permission]} on the bucket (terraform: bucket_name and the bucket's IAM).`;
  }
  if (status === 404) {
    return `Bucket ${bucket} does not exist or cannot be seen: create it, or correct ARCHIVE_URL (terraform: bucket_name).`;
  }
  return undefined;
}

/** Reads the error document of the JSON API; anything else is told by its status alone. */
export function parseRefusal(status: number, text: string, retryAfter: string | undefined): Refusal {
  const error = Fields.in(jsonIn(text))?.fields('error');
  const [first] = error?.array('errors') ?? [];
  return {
    status,
    reason: Fields.in(first)?.text('reason') ?? '',
    message: (error?.text('message') ?? text).slice(0, 500),
    retryAfterMs: parseRetryAfter(retryAfter, new Date()),
  };
}

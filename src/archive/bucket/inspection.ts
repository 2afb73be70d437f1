/** A bucket → how it is set and what an account may do in it: for whoever checks a set-up, never for live work. */
import type { ArchiveConfig, LockConfig } from '../../config/config.ts';
import type { Proxies } from '../../config/proxies.ts';
import { Failure } from '../../failure.ts';
import { clockSkewMs } from '../../instant.ts';
import { createGoogleAuth, GoogleTokens } from './auth.ts';
import { type ApiAnswer, BucketClient, documentOf } from './client.ts';
import { LinkSigner } from './signer.ts';

export interface BucketFacts {
  readonly location: string;
  readonly isVersioned: boolean;
  /** Seconds that what was deleted can be brought back; 0 where it cannot. */
  readonly softDeleteS: number;
  /** Bucket-wide; undefined where there is none. */
  readonly retention: { readonly seconds: number; readonly isLocked: boolean } | undefined;
  /** Whether an object may have a retention of its own. */
  readonly hasObjectRetention: boolean;
  /** Every new object is held until somebody releases it. */
  readonly holdsByDefault: boolean;
  readonly isPublicPrevented: boolean;
}

const SETTINGS =
  'location,versioning,softDeletePolicy,retentionPolicy,objectRetention,defaultEventBasedHold,iamConfiguration';

export class BucketInspection {
  /** That is asked of the bucket. */
  readonly lock: LockConfig | undefined;
  readonly #client: BucketClient;
  readonly #signer: LinkSigner;
  #skewMs: number | undefined;

  constructor(config: Extract<ArchiveConfig, { readonly kind: 'bucket' }>, proxies?: Proxies) {
    this.lock = config.lock;
    const auth = createGoogleAuth();
    const tokens = config.apiEndpoint === undefined ? new GoogleTokens(auth) : undefined;
    this.#client = new BucketClient({ ...config, tokens, proxies });
    this.#signer = new LinkSigner({ ...config, auth });
  }

  /** Milliseconds that Cloud Storage's clock goes before ours; undefined before the first answer. */
  get skewMs(): number | undefined {
    return this.#skewMs;
  }

  /** undefined where the account may not see them. https://cloud.google.com/storage/docs/json_api/v1/buckets/get */
  async settings(signal: AbortSignal): Promise<BucketFacts | undefined> {
    const answer = await this.#ask(`?fields=${SETTINGS}`, signal);
    if (answer.status === 403 || answer.status === 401) return undefined;
    if (answer.status >= 400) throw this.#client.failure(answer, 'get');
    const bucket = documentOf(answer);
    const retention = bucket.fields('retentionPolicy');
    const iam = bucket.fields('iamConfiguration');
    return {
      location: bucket.text('location') ?? 'unknown',
      isVersioned: bucket.fields('versioning')?.boolean('enabled') === true,
      softDeleteS: Number(bucket.fields('softDeletePolicy')?.raw('retentionDurationSeconds') ?? 0),
      retention:
        retention === undefined
          ? undefined
          : {
              seconds: Number(retention.raw('retentionPeriod') ?? 0),
              isLocked: retention.boolean('isLocked') === true,
            },
      hasObjectRetention: bucket.fields('objectRetention')?.text('mode') === 'Enabled',
      holdsByDefault: bucket.boolean('defaultEventBasedHold') === true,
      isPublicPrevented: iam?.text('publicAccessPrevention') === 'enforced',
    };
  }

  /** Of these, the ones that the account does not have. https://cloud.google.com/storage/docs/json_api/v1/buckets/testIamPermissions */
  async missingOf(permissions: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    const query = new URLSearchParams(permissions.map((permission): [string, string] => ['permissions', permission]));
    const answer = await this.#ask(`/iam/testPermissions?${query.toString()}`, signal);
    if (answer.status >= 400) throw this.#client.failure(answer, 'get');
    const granted = new Set(documentOf(answer).array('permissions') ?? []);
    return permissions.filter((permission) => !granted.has(permission));
  }

  /** @throws Failure naming the role that signing lacks */
  async requireSigning(signal: AbortSignal): Promise<void> {
    const order = {
      name: this.#client.fullName('staging/probe'),
      contentType: 'audio/webm',
      disposition: 'inline',
      audited: {},
    };
    const url = await this.#signer.sign({ ...order, expiresAt: new Date(Date.now() + 60_000) }, signal);
    if (!URL.canParse(url)) throw new Failure('internal', 'What was signed is no link.');
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #ask(path: string, signal: AbortSignal): Promise<ApiAnswer> {
    const bucket = encodeURIComponent(this.#client.bucket);
    const askedMs = Date.now();
    const answer = await this.#client.send({ method: 'GET', path: `/storage/v1/b/${bucket}${path}` }, 'get', signal);
    const date = Date.parse(answer.header('date') ?? '');
    if (!Number.isNaN(date)) this.#skewMs = clockSkewMs(date, { askedMs, toldMs: Date.now() });
    return answer;
  }
}

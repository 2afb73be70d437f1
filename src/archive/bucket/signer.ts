/** The name of an object → a V4 signed URL, by Google's library: with a key at hand, or by the IAM Credentials API. */
import type { GoogleAuth } from 'google-auth-library';
import type { Bucket } from '@google-cloud/storage';
import { lacksCredentials } from '../../credentials.ts';
import { Failure } from '../../failure.ts';
import { reasonOf, unlessAborted } from '../../waiting.ts';
import { credentialsFailure, isPassingTrouble } from './auth.ts';

const REQUEST_TIMEOUT_MS = 30_000;
/** Of a value in Cloud Storage's log. */
const MOST_CHARS = 1_200;

export interface LinkSignerOptions {
  readonly bucket: string;
  readonly auth: GoogleAuth;
  readonly apiEndpoint?: string | undefined;
  /** Where links are signed without a key, up to the account's name; the IAM Credentials API unless told. */
  readonly signingEndpoint?: string | undefined;
  /** `https://host` of links, where the bucket is served under its own host. */
  readonly linkHost?: string | undefined;
}

export interface LinkOrder {
  /** As the bucket calls the object. */
  readonly name: string;
  readonly expiresAt: Date;
  readonly contentType: string;
  readonly disposition: string;
  /** What Cloud Storage's own log (Data Access) says of each use, beside the account that signed. */
  readonly audited: Readonly<Partial<Record<'user' | 'request', string>>>;
}

/**
 * The library is loaded with the first link: the worker and the receiver make none, and it takes a tenth of a second of CPU to load.
 * Signing without a key costs up to three requests, which neither take a signal nor are repeated: a listener asks again.
 */
export class LinkSigner {
  readonly #options: LinkSignerOptions;
  #bucket: Promise<Bucket> | undefined;

  constructor(options: LinkSignerOptions) {
    this.#options = options;
  }

  /** https://cloud.google.com/storage/docs/access-control/signed-urls @throws Failure `misconfigured` naming the role */
  async sign(order: LinkOrder, signal: AbortSignal): Promise<string> {
    try {
      return await unlessAborted(this.#sign(order), signal);
    } catch (thrown) {
      throw signal.aborted ? reasonOf(signal) : signingFailure(thrown);
    }
  }

  async #sign(order: LinkOrder): Promise<string> {
    const { linkHost, signingEndpoint } = this.#options;
    this.#bucket ??= openBucket(this.#options);
    const [url] = await (await this.#bucket).file(order.name).getSignedUrl({
      version: 'v4',
      action: 'read',
      expires: order.expiresAt,
      responseType: order.contentType,
      responseDisposition: order.disposition,
      // Signed with the rest. https://cloud.google.com/storage/docs/audit-logging#add-custom-metadata
      queryParams: Object.fromEntries(
        Object.entries(order.audited).map(([name, value]) => [
          `x-goog-custom-audit-${name}`,
          value.slice(0, MOST_CHARS),
        ]),
      ),
      ...(linkHost === undefined ? {} : { cname: linkHost }),
      ...(signingEndpoint === undefined ? {} : { signingEndpoint }),
    });
    return url;
  }
}

async function openBucket({ auth, bucket, apiEndpoint }: LinkSignerOptions): Promise<Bucket> {
  const { Storage } = await import('@google-cloud/storage');
  const elsewhere = apiEndpoint === undefined ? {} : { apiEndpoint, projectId: 'none' };
  return new Storage({ authClient: auth, timeout: REQUEST_TIMEOUT_MS, ...elsewhere }).bucket(bucket);
}

function signingFailure(thrown: unknown): Failure {
  if (lacksCredentials(thrown)) return credentialsFailure(thrown);
  if (isPassingTrouble(thrown)) {
    return new Failure('archive-unavailable', 'The link could not be signed now; try again.', { cause: thrown });
  }
  return new Failure(
    'misconfigured',
    'Links cannot be signed: grant the service account roles/iam.serviceAccountTokenCreator on itself and enable the IAM Service Account Credentials API (terraform apply does both).',
    { cause: thrown },
  );
}

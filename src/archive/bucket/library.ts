/** Turns the official client into what it is sound for (listing, metadata, deletion, signing), stoppable and with Failures. */
import { Storage, type Bucket, type GetFilesOptions } from '@google-cloud/storage';
import type { GoogleAuth } from 'google-auth-library';
import { Failure } from '../../failure.ts';
import { credentialsFailure, type TokenSource } from './auth.ts';
import { stopped } from './client.ts';
import { bucketFailure, isMissingBucket, isRetained, refusalOf, type Doing } from './failure.ts';
import { parseObject, type ObjectFacts } from './object.ts';

const REQUEST_TIMEOUT_MS = 30_000;
const FIELDS = 'nextPageToken,prefixes,items(name,generation,size,crc32c,contentType,metadata,timeCreated)';

export interface LibraryOptions {
  readonly bucket: string;
  readonly auth: GoogleAuth;
  readonly apiEndpoint?: string | undefined;
  /** Absent: requests carry no token (a test server). */
  readonly tokens?: TokenSource | undefined;
  /** Where links are signed without a key, up to the account's name; the IAM Credentials API unless told. */
  readonly signingEndpoint?: string | undefined;
  /** `https://host` of links, where the bucket is served under its own host. */
  readonly linkHost?: string | undefined;
}

export interface ListOptions {
  readonly prefix: string;
  /** Names up to the next slash after the prefix come back as folders. */
  readonly folders?: boolean;
  /** Names from here on (inclusive). */
  readonly from?: string;
  readonly pageSize?: number;
}

export interface Listed {
  readonly objects: readonly ObjectFacts[];
  /** Whole prefixes, ending in a slash. */
  readonly folders: readonly string[];
}

export interface Signing {
  readonly name: string;
  readonly expiresAt: Date;
  readonly contentType: string;
  readonly disposition: string;
}

/** Its uploads and downloads are not used: they lose data or crash the process under faults. */
export class BucketLibrary {
  readonly #bucket: Bucket;
  readonly #options: LibraryOptions;

  constructor(options: LibraryOptions) {
    this.#options = options;
    const endpoint = options.apiEndpoint;
    const storage = new Storage({
      authClient: options.auth,
      timeout: REQUEST_TIMEOUT_MS,
      retryOptions: { autoRetry: true, maxRetries: 4, totalTimeout: 60, maxRetryDelay: 8, retryableErrorFn: isPassing },
      ...(endpoint === undefined
        ? {}
        : { apiEndpoint: endpoint, projectId: 'none', useAuthWithCustomEndpoint: options.tokens !== undefined }),
    });
    this.#bucket = storage.bucket(options.bucket);
  }

  /** undefined where there is none. */
  async stat(name: string, signal: AbortSignal): Promise<ObjectFacts | undefined> {
    try {
      const [metadata] = await this.#call(() => this.#bucket.file(name).getMetadata(), signal);
      return parseObject(metadata);
    } catch (thrown) {
      const refusal = refusalOf(thrown);
      if (refusal?.status === 404 && !isMissingBucket(refusal)) return undefined;
      throw this.#failure(thrown, 'read', signal);
    }
  }

  /** Page after page, in the order of names. */
  async *list(options: ListOptions, signal: AbortSignal): AsyncGenerator<Listed> {
    let pageToken: string | undefined;
    do {
      const asked: GetFilesOptions = {
        autoPaginate: false,
        fields: FIELDS,
        prefix: options.prefix,
        maxResults: options.pageSize ?? 1000,
        ...(options.folders === true ? { delimiter: '/' } : {}),
        ...(options.from === undefined ? {} : { startOffset: options.from }),
        ...(pageToken === undefined ? {} : { pageToken }),
      };
      const page = await this.#page(asked, signal);
      yield page;
      ({ pageToken } = page);
    } while (pageToken !== undefined);
  }

  /** Gone is as good as removed; false where a retention policy or a hold keeps it. */
  async remove(name: string, signal: AbortSignal, generation?: string): Promise<boolean> {
    try {
      const condition = generation === undefined ? {} : { ifGenerationMatch: generation };
      const file = this.#bucket.file(name, { preconditionOpts: condition });
      await this.#call(() => file.delete({ ignoreNotFound: true, ...condition }), signal);
      return true;
    } catch (thrown) {
      const refusal = refusalOf(thrown);
      if (refusal !== undefined && (isRetained(refusal) || refusal.status === 412)) return false;
      throw this.#failure(thrown, 'delete', signal);
    }
  }

  /**
   * A V4 signed URL for GET; without a key it is signed by the IAM Credentials API.
   * https://cloud.google.com/storage/docs/access-control/signed-urls
   */
  async sign(signing: Signing, signal: AbortSignal): Promise<string> {
    const { linkHost, signingEndpoint } = this.#options;
    try {
      const asked = this.#bucket.file(signing.name).getSignedUrl({
        version: 'v4',
        action: 'read',
        expires: signing.expiresAt,
        responseType: signing.contentType,
        responseDisposition: signing.disposition,
        ...(linkHost === undefined ? {} : { cname: linkHost }),
        ...(signingEndpoint === undefined ? {} : { signingEndpoint }),
      });
      const [url] = await unlessStopped(asked, signal);
      return url;
    } catch (thrown) {
      throw signingFailure(thrown, signal);
    }
  }

  /** With `fields`, the library's own files are not what their type says: the answer itself is read. */
  async #page(asked: GetFilesOptions, signal: AbortSignal): Promise<Listed & { pageToken: string | undefined }> {
    try {
      const [, , response] = await this.#call(() => this.#bucket.getFiles(asked), signal);
      return parsePage(response);
    } catch (thrown) {
      throw this.#failure(thrown, 'list', signal);
    }
  }

  /** A refused token is fetched anew once. */
  async #call<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await unlessStopped(ask(), signal);
    } catch (thrown) {
      if (refusalOf(thrown)?.status !== 401 || this.#options.tokens === undefined) throw thrown;
      await this.#options.tokens.forget();
      return unlessStopped(ask(), signal);
    }
  }

  #failure(thrown: unknown, doing: Doing, signal: AbortSignal): Failure {
    if (signal.aborted) return stopped(signal, thrown);
    if (thrown instanceof Failure) return thrown;
    const refusal = refusalOf(thrown);
    if (refusal !== undefined) return bucketFailure(refusal, doing, this.#options.bucket);
    if (/default credentials/i.test(messageOf(thrown))) return credentialsFailure(thrown);
    return new Failure('archive-unavailable', 'Cloud Storage could not be reached; the work is tried again later.', {
      cause: thrown,
    });
  }
}

/** The library's own list lacks time-outs, refused connections and failed look-ups. */
function isPassing(error: { readonly code?: unknown }): boolean {
  const { code } = error;
  if (typeof code === 'number') return code === 408 || code === 429 || code >= 500;
  return typeof code === 'string' && /^(E[A-Z_]+|UND_ERR_\w+|408|429|5\d\d)$/.test(code);
}

function parsePage(response: unknown): Listed & { pageToken: string | undefined } {
  const page = new Map<string, unknown>(
    Object.entries(typeof response === 'object' && response !== null ? response : {}),
  );
  const items = page.get('items');
  const prefixes = page.get('prefixes');
  const token = page.get('nextPageToken');
  return {
    objects: Array.isArray(items) ? items.map(parseObject) : [],
    folders: Array.isArray(prefixes) ? prefixes.filter((prefix) => typeof prefix === 'string') : [],
    pageToken: typeof token === 'string' && token !== '' ? token : undefined,
  };
}

function signingFailure(thrown: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) return stopped(signal, thrown);
  const message = messageOf(thrown);
  if (/default credentials/i.test(message)) return credentialsFailure(thrown);
  if (/ECONN|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|socket|fetch failed|50\d/i.test(message)) {
    return new Failure('archive-unavailable', 'The link could not be signed now; try again.', { cause: thrown });
  }
  return new Failure(
    'misconfigured',
    'Links cannot be signed: grant the service account roles/iam.serviceAccountTokenCreator on itself and enable the IAM Service Account Credentials API (terraform apply does both).',
    { cause: thrown },
  );
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : '';
}

/** The library takes no signal: its request runs out on its own, nobody waits for it. */
async function unlessStopped<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([promise, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Turns names in a bucket into what Cloud Storage says of the objects there, and removes them; no bytes of theirs are moved. */
import { Fields } from '../../fields.ts';
import { documentOf, refusalOf, type BucketClient } from './client.ts';
import { isMissingBucket, isRetained } from './failure.ts';
import type { ObjectFacts } from './object.ts';

/** undefined where there is none. @throws Failure `misconfigured` where the bucket is missing */
export async function statObject(
  name: string,
  client: BucketClient,
  signal: AbortSignal,
): Promise<ObjectFacts | undefined> {
  const answer = await client.send({ method: 'GET', path: client.objectPath(name) }, 'get', signal);
  if (answer.status === 404 && !isMissingBucket(refusalOf(answer))) return undefined;
  if (answer.status >= 300) throw client.failure(answer, 'get');
  return client.facts(documentOf(answer));
}

export interface Listing {
  readonly prefix: string;
  /** Names up to the next slash after the prefix come back as folders. */
  readonly folders?: boolean;
  /** Names from here on (inclusive). */
  readonly from?: string;
  readonly pageSize?: number;
}

export interface ListedPage {
  readonly objects: readonly ObjectFacts[];
  /** Whole prefixes, ending in a slash. */
  readonly folders: readonly string[];
}

const FIELDS = 'nextPageToken,prefixes,items(name,generation,size,crc32c,contentType,metadata,timeCreated)';

/** Page after page, in the order of names. https://cloud.google.com/storage/docs/json_api/v1/objects/list */
export async function* listObjects(
  listing: Listing,
  client: BucketClient,
  signal: AbortSignal,
): AsyncGenerator<ListedPage> {
  let pageToken: string | undefined;
  do {
    const query = new URLSearchParams({
      prefix: client.fullName(listing.prefix),
      maxResults: String(listing.pageSize ?? 1000),
      fields: FIELDS,
      ...(listing.folders === true ? { delimiter: '/' } : {}),
      ...(listing.from === undefined ? {} : { startOffset: client.fullName(listing.from) }),
      ...(pageToken === undefined ? {} : { pageToken }),
    });
    const path = `${client.listPath()}?${query.toString()}`;
    const answer = await client.send({ method: 'GET', path }, 'list', signal);
    if (answer.status >= 300) throw client.failure(answer, 'list');
    const page = Fields.in(documentOf(answer));
    yield {
      objects: (page?.array('items') ?? []).map((item) => client.facts(item)),
      folders: textsOf(page?.array('prefixes')).map((folder) => client.ownName(folder)),
    };
    pageToken = page?.text('nextPageToken');
  } while (pageToken !== undefined && pageToken !== '');
}

function textsOf(values: readonly unknown[] = []): readonly string[] {
  return values.filter((value) => typeof value === 'string');
}

/** `kept`: a retention policy or a hold forbids it, or it is not the generation asked for. */
export type Removal = 'removed' | 'absent' | 'kept';

/** With a generation, that one alone. @throws Failure */
export async function removeObject(
  target: { readonly name: string; readonly generation?: string | undefined },
  client: BucketClient,
  signal: AbortSignal,
): Promise<Removal> {
  const condition = target.generation === undefined ? '' : `?ifGenerationMatch=${target.generation}`;
  const path = client.objectPath(target.name) + condition;
  const answer = await client.send({ method: 'DELETE', path }, 'delete', signal);
  if (answer.status < 300) return 'removed';
  const refusal = refusalOf(answer);
  if (answer.status === 404 && !isMissingBucket(refusal)) return 'absent';
  if (answer.status === 412 || isRetained(refusal)) return 'kept';
  throw client.failure(answer, 'delete');
}

const CLEANUP_TIMEOUT_MS = 5_000;

/** Best effort, and only ever under staging/, failures/ and waiting/: what stays is swept, or ruled out by the manifest beside it. */
export async function removeAll(names: readonly string[], client: BucketClient): Promise<void> {
  const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
  await Promise.allSettled(names.map((name) => removeObject({ name }, client, signal)));
}

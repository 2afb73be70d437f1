/** Names in a bucket → what Cloud Storage says of the objects there, which are removed here as well; no bytes of theirs are moved. */
import { Fields } from '../../fields.ts';
import { compareTexts } from '../page.ts';
import { documentOf, notCloudStorage, refusalOf, type BucketClient } from './client.ts';
import type { Removal } from '../objects.ts';
import { isMissingBucket, isRetained, isWithoutSoftDelete } from './failure.ts';
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
  /** Names from here on (inclusive). */
  readonly from?: string;
  /** Names before this one (exclusive). */
  readonly to?: string | undefined;
  readonly pageSize?: number;
}

const FACTS = 'items(name,generation,size,crc32c,contentType,metadata,timeCreated,temporaryHold,eventBasedHold)';

/** Page after page, in the order of names; without the empty objects by which consoles and mounts show folders. */
export async function* listObjects(
  listing: Listing,
  client: BucketClient,
  signal: AbortSignal,
): AsyncGenerator<readonly ObjectFacts[]> {
  for await (const page of listPages({ ...listing, fields: FACTS }, client, signal)) {
    const objects = (page.array('items') ?? []).map((item) => client.facts(Fields.of(item, 'items')));
    yield objects.filter(({ name }) => !name.endsWith('/'));
  }
}

/** An old or live version of an object, or one that was removed and can be restored. */
export interface ObjectGeneration {
  readonly name: string;
  /** A 64-bit number: compared as text. */
  readonly generation: string;
  readonly sizeBytes: number;
  readonly isLive: boolean;
  readonly isHeld: boolean;
  /** ISO 8601, UTC. */
  readonly retainedUntil: string | undefined;
  /** When it can no longer be restored; of what was removed only. ISO 8601, UTC. */
  readonly hardDeleteAt: string | undefined;
}

const GENERATION =
  'items(name,generation,size,timeDeleted,temporaryHold,eventBasedHold,retentionExpirationTime,hardDeleteTime)';

/** `versions`: live ones and old ones; `softDeleted`: removed ones that can be restored. The two exclude each other. */
export async function* listGenerations(
  { prefix, which }: { readonly prefix: string; readonly which: 'versions' | 'softDeleted' },
  client: BucketClient,
  signal: AbortSignal,
): AsyncGenerator<ObjectGeneration> {
  for await (const page of listPages({ prefix, which, fields: GENERATION }, client, signal)) {
    for (const item of page.array('items') ?? []) {
      const fields = Fields.of(item, 'items');
      yield {
        name: client.ownName(fields.requireText('name')),
        generation: fields.requireText('generation'),
        sizeBytes: Number(fields.text('size') ?? 0),
        isLive: fields.text('timeDeleted') === undefined,
        isHeld: fields.boolean('temporaryHold') === true || fields.boolean('eventBasedHold') === true,
        retainedUntil: fields.text('retentionExpirationTime'),
        hardDeleteAt: fields.text('hardDeleteTime'),
      };
    }
  }
}

/** This version alone, and for good: https://cloud.google.com/storage/docs/json_api/v1/objects/delete (`generation`). */
export async function removeGeneration(
  { name, generation }: Pick<ObjectGeneration, 'name' | 'generation'>,
  client: BucketClient,
  signal: AbortSignal,
): Promise<Removal> {
  return removalBy(`${client.objectPath(name)}?generation=${generation}`, client, signal);
}

/** Names up to the next slash behind the prefix, where they go on behind one with that slash; in order, page after page. */
export async function* listChildren(
  listing: Listing,
  client: BucketClient,
  signal: AbortSignal,
): AsyncGenerator<readonly string[]> {
  for await (const page of listPages({ ...listing, fields: 'prefixes,items(name)', delimiter: '/' }, client, signal)) {
    const names = (page.array('items') ?? []).map((item) => Fields.of(item, 'items').requireText('name'));
    const folders = (page.array('prefixes') ?? []).filter((prefix) => typeof prefix === 'string');
    yield [...names, ...folders].map((name) => client.ownName(name)).toSorted(compareTexts);
  }
}

/** https://cloud.google.com/storage/docs/json_api/v1/objects/list */
async function* listPages(
  listing: Listing & {
    readonly fields: string;
    readonly delimiter?: string;
    readonly which?: 'versions' | 'softDeleted';
  },
  client: BucketClient,
  signal: AbortSignal,
): AsyncGenerator<Fields> {
  let pageToken: string | undefined;
  do {
    const query = new URLSearchParams({
      prefix: client.fullName(listing.prefix),
      maxResults: String(Math.min(1000, listing.pageSize ?? 1000)),
      fields: `nextPageToken,${listing.fields}`,
      ...(listing.which === undefined ? {} : { [listing.which]: 'true' }),
      ...(listing.delimiter === undefined ? {} : { delimiter: listing.delimiter }),
      ...(listing.from === undefined ? {} : { startOffset: client.fullName(listing.from) }),
      ...(listing.to === undefined ? {} : { endOffset: client.fullName(listing.to) }),
      ...(pageToken === undefined ? {} : { pageToken }),
    });
    const path = `${client.listPath()}?${query.toString()}`;
    const answer = await client.send({ method: 'GET', path }, 'list', signal);
    if (listing.which === 'softDeleted' && isWithoutSoftDelete(refusalOf(answer))) return;
    if (answer.status >= 300) throw client.failure(answer, 'list');
    const page = documentOf(answer);
    yield page;
    pageToken = page.text('nextPageToken');
  } while (pageToken !== undefined && pageToken !== '');
}

/** Sets the flag by which Cloud Storage itself refuses to remove or replace it; false where there is no such object. */
export async function flagObject(
  target: { readonly name: string; readonly held: boolean },
  client: BucketClient,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = await client.send(
    {
      method: 'PATCH',
      path: client.objectPath(target.name),
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: [Buffer.from(JSON.stringify({ temporaryHold: target.held }))],
    },
    'update',
    signal,
  );
  if (answer.status === 404 && !isMissingBucket(refusalOf(answer))) return false;
  if (answer.status >= 300) throw client.failure(answer, 'update');
  if (documentOf(answer).boolean('temporaryHold') === target.held || !target.held) return true;
  throw notCloudStorage(answer.status);
}

/** With a generation, that one alone: another one is `kept`. @throws Failure */
export async function removeObject(
  target: { readonly name: string; readonly generation?: string | undefined },
  client: BucketClient,
  signal: AbortSignal,
): Promise<Removal> {
  const condition = target.generation === undefined ? '' : `?ifGenerationMatch=${target.generation}`;
  return removalBy(client.objectPath(target.name) + condition, client, signal);
}

async function removalBy(path: string, client: BucketClient, signal: AbortSignal): Promise<Removal> {
  const answer = await client.send({ method: 'DELETE', path }, 'delete', signal);
  if (answer.status === 204) return 'removed';
  if (answer.status < 300) throw notCloudStorage(answer.status);
  const refusal = refusalOf(answer);
  if (answer.status === 404 && !isMissingBucket(refusal)) return 'absent';
  if (answer.status === 412 || isRetained(refusal)) return 'kept';
  throw client.failure(answer, 'delete');
}

const CLEANUP_TIMEOUT_MS = 5_000;

/** Best effort, and only ever under staging/: what stays is swept. */
export async function removeAll(names: readonly string[], client: BucketClient): Promise<void> {
  const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
  await Promise.allSettled(names.map((name) => removeObject({ name }, client, signal)));
}

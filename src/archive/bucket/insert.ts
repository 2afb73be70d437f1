/** Bytes at hand, or objects already stored, → one object that appears whole and checked by one request. */
import { randomUUID } from 'node:crypto';
import { Failure } from '../../failure.ts';
import { documentOf, refusalOf, type ApiAnswer, type ApiRequest, type BucketClient } from './client.ts';
import { isMissingBucket } from './failure.ts';
import { statObject } from './metadata.ts';
import type { ObjectRetention } from './lock.ts';
import { isSame, type ObjectFacts, type Sent } from './object.ts';
import { createCrc32c, encodeCrc32c } from '../checksum.ts';

export interface NewObject {
  readonly name: string;
  readonly contentType: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly cacheControl?: string;
  readonly retention?: ObjectRetention | undefined;
}

/** `ours`: the object holds the bytes that were sent, whoever put them there. Otherwise another one was first. */
export interface Placement {
  readonly ours: boolean;
  readonly object: ObjectFacts;
}

export interface Insertion {
  readonly object: NewObject;
  readonly parts: readonly Buffer[];
  /** Only for names that mean "the latest": anything else is created once and never replaced. */
  readonly replace?: boolean;
}

/**
 * One checked request: the server compares the CRC32C before the object appears.
 * @throws Failure `archive-unavailable` | `misconfigured` | `incomplete` (arrived damaged, nothing appeared)
 */
export async function insertObject(
  insertion: Insertion,
  client: BucketClient,
  signal: AbortSignal,
): Promise<Placement> {
  const sent = sentOf(insertion.parts);
  const answer = await client.send(multipart(insertion, sent, client), 'create', signal);
  const { name } = insertion.object;
  const there = insertion.replace === true ? undefined : await inTheWay({ name, answer }, client, signal);
  if (there !== undefined) return placementOf(there, sent);
  if (answer.status === 400) throw arrivedDamaged(answer, client);
  if (answer.status >= 300) throw client.failure(answer, 'create');
  return confirm({ name, answer, sent }, client, signal);
}

export interface Composition {
  readonly object: NewObject;
  /** In this order; each exactly as it was when these facts were read. */
  readonly sources: readonly ObjectFacts[];
  /** What they make together. */
  readonly expected: Sent;
}

/**
 * One request that makes an object of stored ones, with metadata, if they are unchanged and no other has its name. The
 * server compares the CRC32C before the object appears.
 * https://cloud.google.com/storage/docs/json_api/v1/objects/compose
 * @throws Failure `archive-unavailable` | `misconfigured` | `incomplete`
 */
export async function composeObject(
  composition: Composition,
  client: BucketClient,
  signal: AbortSignal,
): Promise<Placement> {
  const { object, sources, expected } = composition;
  const body = {
    kind: 'storage#composeRequest',
    destination: resourceOf(object, client, expected.crc32c),
    sourceObjects: sources.map(({ name, generation }) => ({
      name: client.fullName(name),
      generation,
      objectPreconditions: { ifGenerationMatch: generation },
    })),
  };
  const asked: ApiRequest = {
    method: 'POST',
    path: `${client.objectPath(object.name)}/compose?ifGenerationMatch=0`,
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: [Buffer.from(JSON.stringify(body))],
  };
  const answer = await client.send(asked, 'create', signal);
  const there = await inTheWay({ name: object.name, answer }, client, signal);
  if (there !== undefined) return placementOf(there, expected);
  if (answer.status === 404 && !isMissingBucket(refusalOf(answer))) throw sourcesGone(object.name);
  if (answer.status === 400) throw arrivedDamaged(answer, client);
  if (answer.status >= 300) throw client.failure(answer, 'create');
  return confirm({ name: object.name, answer, sent: expected }, client, signal);
}

function sourcesGone(name: string): Failure {
  return new Failure('incomplete', 'Staged objects were removed before they could be put together; it is done again.', {
    sort: 'surroundings',
    facts: { name },
  });
}

/** The body of a resource as both kinds of upload and compose send it. */
export function resourceOf(
  object: NewObject,
  client: BucketClient,
  crc32c?: string,
): Readonly<Record<string, unknown>> {
  return {
    name: client.fullName(object.name),
    contentType: object.contentType,
    ...(object.cacheControl === undefined ? {} : { cacheControl: object.cacheControl }),
    ...(object.metadata === undefined ? {} : { metadata: object.metadata }),
    ...(crc32c === undefined ? {} : { crc32c }),
    ...(object.retention === undefined ? {} : { retention: object.retention }),
  };
}

/** https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects (multipart) */
function multipart(insertion: Insertion, sent: Sent, client: BucketClient): ApiRequest {
  const boundary = `part-${randomUUID()}`;
  const resource = JSON.stringify(resourceOf(insertion.object, client, sent.crc32c));
  const before = [
    `--${boundary}`,
    'content-type: application/json; charset=utf-8',
    '',
    resource,
    `--${boundary}`,
    `content-type: ${insertion.object.contentType}`,
    '',
    '',
  ].join('\r\n');
  const once = insertion.replace === true ? {} : { ifGenerationMatch: '0' };
  return {
    method: 'POST',
    path: client.uploadPath(insertion.object.name, { uploadType: 'multipart', ...once }),
    headers: { 'content-type': `multipart/related; boundary=${boundary}` },
    body: [Buffer.from(before), ...insertion.parts, Buffer.from(`\r\n--${boundary}--\r\n`)],
  };
}

function sentOf(parts: readonly Buffer[]): Sent {
  const crc = createCrc32c();
  let sizeBytes = 0;
  for (const part of parts) {
    crc.update(part);
    sizeBytes += part.length;
  }
  return { sizeBytes, crc32c: encodeCrc32c(crc.value) };
}

/** @throws Failure `archive-unavailable` where it is gone again */
export async function existingObject(name: string, client: BucketClient, signal: AbortSignal): Promise<ObjectFacts> {
  const object = await statObject(name, client, signal);
  if (object !== undefined) return object;
  throw new Failure('archive-unavailable', 'An object that stood in the way is gone again: the work is tried again.');
}

/**
 * What lies there, where something is to be created that has its name: the condition was not met, or, where that is not looked at
 * first, what is there may not be replaced (by this account, or because it is held or retained).
 */
async function inTheWay(
  { name, answer }: Omit<Claimed, 'sent'>,
  client: BucketClient,
  signal: AbortSignal,
): Promise<ObjectFacts | undefined> {
  if (answer.status === 412) return existingObject(name, client, signal);
  if (answer.status !== 403) return undefined;
  return statObject(name, client, signal).catch((thrown: unknown) => {
    // Who may only create is told of that.
    if (Failure.from(thrown).code === 'misconfigured') return undefined;
    throw thrown;
  });
}

export function placementOf(object: ObjectFacts, sent: Sent): Placement {
  return { ours: isSame(object, sent), object };
}

export interface Claimed {
  readonly name: string;
  readonly answer: ApiAnswer;
  readonly sent: Sent;
}

/** An answer that contradicts what was sent is not believed before the object itself was asked. @throws Failure `incomplete` */
export async function confirm(claimed: Claimed, client: BucketClient, signal: AbortSignal): Promise<Placement> {
  const answered = factsIn(claimed.answer, client);
  if (answered !== undefined && isSame(answered, claimed.sent)) return { ours: true, object: answered };
  const object = await existingObject(claimed.name, client, signal);
  if (isSame(object, claimed.sent)) return { ours: true, object };
  throw new Failure('incomplete', 'Cloud Storage holds other bytes than were sent; the work is done again.', {
    sort: 'surroundings',
    facts: { sent: claimed.sent, object },
  });
}

/** undefined where the answer holds no resource, e.g. to a status query of a finished session. */
function factsIn(answer: ApiAnswer, client: BucketClient): ObjectFacts | undefined {
  try {
    return client.facts(documentOf(answer));
  } catch {
    return undefined;
  }
}

/** A 400 that speaks of checksums: the bytes were damaged on their way, and nothing appeared. */
export function arrivedDamaged(answer: ApiAnswer, client: BucketClient): Failure {
  const refusal = refusalOf(answer);
  if (!/crc32c|checksum|hash/i.test(refusal.message)) return client.failure(answer, 'create');
  return new Failure('incomplete', 'The bytes did not arrive as they were sent, so Cloud Storage refused them.', {
    sort: 'surroundings',
    facts: { said: refusal.message },
  });
}

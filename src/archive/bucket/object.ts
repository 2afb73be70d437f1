/** The JSON API's object resource → the few facts the archive compares. */
import { Failure } from '../../failure.ts';
import type { Fields } from '../../fields.ts';
import { parseRetention, type ObjectRetention } from './lock.ts';

/** https://cloud.google.com/storage/docs/json_api/v1/objects#resource */
export interface ObjectFacts {
  /** As the archive calls it, without the bucket's prefix. */
  readonly name: string;
  /** A 64-bit number: compared as text. */
  readonly generation: string;
  readonly sizeBytes: number;
  /** Base64, big-endian. */
  readonly crc32c: string;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** A hold forbids to delete it. https://cloud.google.com/storage/docs/object-holds */
  readonly isHeld: boolean;
  /** Of its own; not told in a listing. */
  readonly retention: ObjectRetention | undefined;
}

/** What was counted while the bytes were sent. */
export interface Sent {
  readonly sizeBytes: number;
  readonly crc32c: string;
}

export function isSame(object: Sent, sent: Sent): boolean {
  return object.sizeBytes === sent.sizeBytes && object.crc32c === sent.crc32c;
}

/** `name` as it stands in the resource. @throws Failure `archive-unavailable` where it is no object resource */
export function parseObject(resource: Fields): ObjectFacts {
  const name = resource.text('name');
  const generation = resource.text('generation');
  const sizeBytes = Number(resource.text('size') ?? NaN);
  const crc32c = resource.text('crc32c');
  if (name === undefined || generation === undefined || crc32c === undefined || !Number.isSafeInteger(sizeBytes)) {
    throw new Failure(
      'archive-unavailable',
      'Cloud Storage described an object without name, generation, size or crc32c.',
    );
  }
  return {
    name,
    generation,
    sizeBytes,
    crc32c,
    contentType: resource.text('contentType') ?? 'application/octet-stream',
    metadata: textsIn(resource.fields('metadata')),
    createdAt: resource.text('timeCreated') ?? '',
    isHeld: resource.boolean('temporaryHold') === true || resource.boolean('eventBasedHold') === true,
    retention: parseRetention(resource),
  };
}

function textsIn(fields: Fields | undefined): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const name of fields?.names() ?? []) texts[name] = fields?.text(name) ?? '';
  return texts;
}

/** Turns the JSON API's object resource into the few facts the archive compares. */
import { Failure } from '../../failure.ts';
import type { ApiAnswer } from './client.ts';

/** https://cloud.google.com/storage/docs/json_api/v1/objects#resource */
export interface ObjectFacts {
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
}

/** What was counted while the bytes were sent. */
export interface Sent {
  readonly sizeBytes: number;
  readonly crc32c: string;
}

export function isSame(object: Sent, sent: Sent): boolean {
  return object.sizeBytes === sent.sizeBytes && object.crc32c === sent.crc32c;
}

/** @throws Failure `archive-unavailable` where it is no object resource */
export function parseObject(value: unknown): ObjectFacts {
  const object = isRecord(value) ? value : {};
  const { name, generation, size, crc32c } = object;
  const sizeBytes = typeof size === 'string' || typeof size === 'number' ? Number(size) : NaN;
  const whole = typeof generation === 'string' || typeof generation === 'number';
  if (typeof name !== 'string' || !whole || !Number.isSafeInteger(sizeBytes) || typeof crc32c !== 'string') {
    throw new Failure(
      'archive-unavailable',
      'Cloud Storage described an object without name, generation, size or crc32c.',
    );
  }
  return {
    name,
    generation: String(generation),
    sizeBytes,
    crc32c,
    contentType: typeof object['contentType'] === 'string' ? object['contentType'] : 'application/octet-stream',
    metadata: parseMetadata(object['metadata']),
    createdAt: typeof object['timeCreated'] === 'string' ? object['timeCreated'] : '',
  };
}

/** The resource in an answer; undefined where the answer holds none, e.g. to a status query of a finished session. */
export function objectIn(answer: ApiAnswer): ObjectFacts | undefined {
  try {
    const value: unknown = JSON.parse(answer.text);
    return parseObject(value);
  } catch {
    return undefined;
  }
}

function parseMetadata(value: unknown): Readonly<Record<string, string>> {
  if (!isRecord(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

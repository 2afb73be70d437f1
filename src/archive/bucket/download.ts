/** An object, or a range of it, → its bytes: taken up again where a connection broke, never from another object. */
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { Failure } from '../../failure.ts';
import type { ByteRange } from '../archive.ts';
import {
  answerHeader,
  notCloudStorage,
  passing,
  refusalOf,
  textOfBody,
  unreachable,
  type BucketClient,
} from './client.ts';
import { bucketFailure, isMissingBucket, parseRefusal } from './failure.ts';
import { Scope } from '../../waiting.ts';

export interface Wanted {
  readonly name: string;
  /** Absent: the one there is, pinned once it has answered. */
  readonly generation?: string | undefined;
  readonly range?: ByteRange | undefined;
}

/**
 * Not the library's createReadStream or download(): one 503 makes them throw where nobody can catch it
 * (googleapis/google-cloud-node#8670).
 * @throws Failure `not-found` | `misconfigured` | `range-not-satisfiable` | `archive-unavailable`
 */
export async function* download(wanted: Wanted, client: BucketClient, signal: AbortSignal): AsyncGenerator<Buffer> {
  const budget = client.budget();
  const rest = { ...wanted, at: wanted.range?.start ?? 0, until: Infinity };
  while (rest.at < rest.until) {
    try {
      const answer = await openRest(rest, client, signal);
      rest.generation ??= answerHeader(answer, 'x-goog-generation');
      rest.until = lastByteOf(answer, rest.at);
      for await (const bytes of answer.body) {
        if (!Buffer.isBuffer(bytes)) continue;
        rest.at += bytes.length;
        budget.progress();
        yield bytes;
      }
      if (rest.at < rest.until)
        throw new Failure('archive-unavailable', 'Cloud Storage sent fewer bytes than it had announced.');
    } catch (thrown) {
      await budget.again(passing(unreachable(thrown, signal)), signal);
    }
  }
}

/** A stream that stops its request at once when it is destroyed. */
export function downloadStream(wanted: Wanted, client: BucketClient, signal: AbortSignal): Readable {
  const reading = new Scope(signal);
  const bytes = download(wanted, client, reading.signal);
  return Readable.from(bytes, { objectMode: false }).once('close', () => reading.abort(undefined));
}

/** The text of a small object; undefined where there is none. @throws Failure `misconfigured` | `archive-unavailable` */
export async function readObject(name: string, client: BucketClient, signal: AbortSignal): Promise<string | undefined> {
  const answer = await client.send({ method: 'GET', path: `${client.objectPath(name)}?alt=media` }, 'get', signal);
  if (answer.status === 404 && !isMissingBucket(refusalOf(answer))) return undefined;
  if (answer.status >= 300) throw client.failure(answer, 'get');
  if (answer.header('x-goog-generation') === undefined) throw notCloudStorage(answer.status);
  return answer.text;
}

interface Rest extends Wanted {
  /** The next byte. */
  at: number;
  /** The byte after the last. */
  until: number;
}

async function openRest(rest: Rest, client: BucketClient, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
  const pinned = rest.generation === undefined ? '' : `&generation=${rest.generation}`;
  const ranged = rest.at > 0 || rest.range !== undefined;
  const range = `bytes=${String(rest.at)}-${rest.range === undefined ? '' : String(rest.range.end)}`;
  const answer = await client.open(
    {
      method: 'GET',
      path: `${client.objectPath(rest.name)}?alt=media${pinned}`,
      headers: ranged ? { range } : {},
    },
    signal,
  );
  const isObject = answerHeader(answer, 'x-goog-generation') !== undefined;
  if (answer.statusCode === (ranged ? 206 : 200) && isObject) return answer;
  throw unreadableObject(answer, await textOfBody(answer), client.bucket);
}

function unreadableObject(answer: Dispatcher.ResponseData, text: string, bucket: string): Failure {
  const refusal = parseRefusal(answer.statusCode, text, answerHeader(answer, 'retry-after'));
  if (refusal.status === 404 && !isMissingBucket(refusal)) return new Failure('not-found', 'The object is not there.');
  if (refusal.status === 416) return new Failure('range-not-satisfiable', 'The range lies outside the recording.');
  if (refusal.status < 300) return notCloudStorage(refusal.status);
  return bucketFailure(refusal, 'get', bucket);
}

/** @throws Failure where the answer does not say how much it holds: a cut could not be told from the end */
function lastByteOf(answer: Dispatcher.ResponseData, at: number): number {
  const match = /^bytes (\d{1,15})-(\d{1,15})\//.exec(answerHeader(answer, 'content-range') ?? '');
  if (match !== null && Number(match[1]) === at) return Number(match[2]) + 1;
  const length = answerHeader(answer, 'content-length');
  if (answer.statusCode === 200 && length !== undefined) return at + Number(length);
  throw new Failure('archive-unavailable', 'Cloud Storage did not say which bytes it sent.');
}

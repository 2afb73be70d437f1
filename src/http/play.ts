/** WebM that is stored, or is being made → an answer whose first byte decided its status. */
import type { Response } from 'express';
import type { ByteRange } from '../archive/archive.ts';
import { type Clock, SYSTEM_CLOCK } from '../clock.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Recording } from '../recording.ts';
import { breakOff } from './errors.ts';
import { ListenerGone, pour } from './pour.ts';
import type { Turnstile } from './turnstile.ts';

/** What an answer says in its head. */
export interface AnswerHead {
  readonly recording: Recording;
  readonly contentType: string;
  /** Content-Security-Policy of whoever opens the address by itself; {@link MEDIA_POLICY} where none is given. */
  readonly policy?: string | undefined;
  /** Where it is an object; what is made while it plays has no length and cannot be resumed. */
  readonly stored?: StoredFacts;
}

interface StoredFacts {
  /** Of the whole recording. */
  readonly sizeBytes: number;
  /** Strong, with its quotes: what lies under recordings/ never changes. */
  readonly etag: string;
  /** What the body holds, where it is not all. */
  readonly part: ByteRange | undefined;
}

/** Its `body` is read, or its iterator returned. */
export interface PlayedAnswer extends AnswerHead {
  /** Resolves once the listen is on record: no byte leaves before. */
  readonly recorded: Promise<void>;
  readonly body: AsyncIterable<Buffer>;
}

export interface PlayNeeds {
  readonly metrics: Metrics;
  readonly log: Log;
  /** All that are listening: entered by the route, before anything is looked up. */
  readonly listeners: Turnstile;
  readonly clock?: Clock;
}

/** Aborts when the listener is gone before everything was written (`close` of the request comes too early for that). */
export function leavingSignal(res: Response): AbortSignal {
  const leaving = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) leaving.abort(new Failure('stopped', 'The listener left.'));
  });
  return leaving.signal;
}

/** Counts a listener that got no byte; undefined where it has left, since then nobody is to be told. @throws what `attempt` throws */
export async function countingFailures<T>(
  from: 'archive' | 'live',
  attempt: () => Promise<T>,
  { metrics, leaving }: { readonly metrics: Metrics; readonly leaving: AbortSignal },
): Promise<T | undefined> {
  try {
    return await attempt();
  } catch (thrown) {
    metrics.listened(from, leaving.aborted ? 'left' : 'failed');
    if (!leaving.aborted) throw thrown;
    return undefined;
  }
}

/**
 * Waits for the first byte, then sends head and body at the listener's pace, and counts how that ended. That the source
 * stops when the listener leaves is for the signal to see to that the source was opened with.
 * @throws Failure only before anything was sent
 */
export async function play(answer: PlayedAnswer, needs: PlayNeeds, res: Response): Promise<void> {
  const { recording, body, recorded, stored } = answer;
  const describe = (): void => void describeAnswer(answer, res);
  const sending = { recording, body, sizeBytes: lengthOf(answer), record: () => recorded, describe };
  needs.metrics.listened(stored === undefined ? 'live' : 'archive', await send(sending, needs, res));
}

/** Bytes that leave once they are on record. */
export interface Sending {
  readonly recording: Recording;
  readonly body: AsyncIterable<Buffer>;
  /** Of the body; undefined where nobody knows. */
  readonly sizeBytes: number | undefined;
  /** Asked for once the first byte is there; it leaves when that resolves. */
  readonly record: () => Promise<void>;
  /** Writes the head of the answer. */
  readonly describe: () => void;
}

/**
 * `left` and `failed` are after the first byte: the connection was broken then.
 * @throws Failure only before anything was sent
 */
export async function send(
  { recording, body, sizeBytes, record, describe }: Sending,
  { log, clock = SYSTEM_CLOCK }: Pick<PlayNeeds, 'log' | 'clock'>,
  res: Response,
): Promise<'complete' | 'left' | 'failed'> {
  const bytes = exactly(body, sizeBytes);
  const first = await bytes.next();
  if (first.done === true) throw new Failure('incomplete', 'The recording came out empty; try again later.');
  try {
    await record();
  } catch (thrown) {
    await bytes.return();
    throw thrown;
  }
  describe();
  try {
    await pour(resumed(first.value, bytes), res, clock);
    return 'complete';
  } catch (thrown) {
    const hasLeft = res.destroyed || thrown instanceof ListenerGone;
    breakOff(res);
    const line = { ...recording, requestId: res.getHeader('X-Request-Id'), error: Failure.from(thrown) };
    if (hasLeft) log.debug('A listener left midway.', line);
    else log.warn('An answer was broken off midway.', line);
    return hasLeft ? 'left' : 'failed';
  }
}

async function* resumed(first: Buffer, rest: AsyncGenerator<Buffer, void, void>): AsyncGenerator<Buffer, void, void> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return();
  }
}

function lengthOf({ stored }: Pick<PlayedAnswer, 'stored'>): number | undefined {
  const part = stored?.part;
  return part === undefined ? stored?.sizeBytes : part.end - part.start + 1;
}

/** Node lets an answer end short of its Content-Length, and the client wait for the rest until its time is over. */
async function* exactly(body: PlayedAnswer['body'], length: number | undefined): AsyncGenerator<Buffer, void, void> {
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.length;
    if (length !== undefined && sizeBytes > length) break;
    yield chunk;
  }
  if (length === undefined || sizeBytes === length) return;
  throw new Failure('incomplete', 'The archive holds another number of bytes than its manifest says; verify it.');
}

/** Browsers wrap a media address in a page of their own, which this governs: it may play the address, and nothing else. */
const MEDIA_POLICY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'";

/** Status and headers; the answer is still to be sent. */
export function describeAnswer({ recording, contentType, policy, stored }: AnswerHead, res: Response): Response {
  const part = stored?.part;
  res.status(part === undefined ? 200 : 206);
  res.setHeader('Content-Type', contentType);
  // Ids hold nothing that would need quoting.
  res.setHeader('Content-Disposition', `inline; filename="${recording.recordingId}.webm"`);
  res.setHeader('Content-Security-Policy', policy ?? MEDIA_POLICY);
  res.setHeader('Accept-Ranges', stored === undefined ? 'none' : 'bytes');
  if (stored === undefined) return res;
  res.setHeader('ETag', stored.etag);
  res.setHeader('Content-Length', part === undefined ? stored.sizeBytes : part.end - part.start + 1);
  if (part !== undefined)
    res.setHeader('Content-Range', `bytes ${String(part.start)}-${String(part.end)}/${String(stored.sizeBytes)}`);
  return res;
}

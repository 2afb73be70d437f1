/** Turns WebM that is stored, or is being made, into an answer whose first byte decided its status. */
import type { Response } from 'express';
import { pipeline } from 'node:stream/promises';
import { Failure } from '../failure.ts';
import type { Listening } from '../pipeline.ts';

export type Played =
  | { readonly result: 'complete' | 'left' }
  /** After the first byte: the connection was broken, so that no listener takes a part for the whole. */
  | { readonly result: 'failed'; readonly failure: Failure };

/**
 * A listener that takes nothing for so long is let go: it holds an encoder, or an open file. A paused player is one; it
 * comes back with a range where there is an object, and from the start where there is none.
 */
export const STALL_MS = 120_000;

/** Aborts when the listener is gone before everything was written (`close` of the request comes too early for that). */
export function leavingSignal(res: Response): AbortSignal {
  const leaving = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) leaving.abort(new Failure('stopped', 'The listener left.'));
  });
  return leaving.signal;
}

/**
 * Waits for the first byte, then sends head and body at the listener's pace. That the source stops when the listener
 * leaves is for the signal to see to that the source was opened with.
 * @throws Failure only before anything was sent
 */
export async function play(listening: Listening, res: Response, stallMs: number): Promise<Played> {
  const bytes = exactly(listening.body, lengthOf(listening));
  const first = await bytes.next();
  if (first.done === true) throw new Failure('incomplete', 'The recording came out empty; try again later.');
  if (res.destroyed) {
    await bytes.return();
    return { result: 'left' };
  }
  let broken: Failure | undefined;
  async function* body(start: Buffer): AsyncGenerator<Buffer, void, void> {
    try {
      yield start;
      yield* bytes;
    } catch (thrown) {
      if (!res.destroyed) broken = Failure.from(thrown);
      // Without chunks an ordinary close would look like success.
      if (res.req.httpVersionMinor === 0) res.socket?.resetAndDestroy();
      throw thrown;
    }
  }
  describe(listening, res).setTimeout(stallMs, () => res.destroy());
  try {
    await pipeline(body(first.value), res);
    return { result: 'complete' };
  } catch {
    return broken === undefined ? { result: 'left' } : { result: 'failed', failure: broken };
  }
}

function lengthOf({ range, sizeBytes }: Listening): number | undefined {
  return range === undefined ? sizeBytes : range.end - range.start + 1;
}

/** Node lets an answer end short of its Content-Length, and the client wait for the rest until its time is over. */
async function* exactly(body: Listening['body'], length: number | undefined): AsyncGenerator<Buffer, void, void> {
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.length;
    if (length !== undefined && sizeBytes > length) break;
    yield chunk;
  }
  if (length === undefined || sizeBytes === length) return;
  throw new Failure('incomplete', 'The archive holds another number of bytes than its manifest says; verify it.');
}

/** The head of an answer: ranges where there is an object; a live one has no length and cannot be resumed. */
export function describe({ range, ...listening }: Omit<Listening, 'body'>, res: Response): Response {
  const { sizeBytes, etag } = listening;
  res.status(range === undefined ? 200 : 206);
  res.setHeader('Content-Type', listening.contentType);
  // Browsers wrap a media address in a page of their own, which this governs: it may play the address, and nothing else.
  res.setHeader('Content-Security-Policy', "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'");
  res.setHeader('Accept-Ranges', listening.from === 'archive' ? 'bytes' : 'none');
  if (etag !== undefined) res.setHeader('ETag', etag);
  if (range !== undefined) {
    res.setHeader('Content-Length', range.end - range.start + 1);
    res.setHeader('Content-Range', `bytes ${String(range.start)}-${String(range.end)}/${String(sizeBytes ?? '*')}`);
  } else if (sizeBytes !== undefined) res.setHeader('Content-Length', sizeBytes);
  return res;
}

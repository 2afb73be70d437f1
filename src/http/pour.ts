/** Bytes → an answer, at its reader's pace and no faster; whoever takes nothing is let go by a clock of our own. */
import type { ServerResponse } from 'node:http';
import { POURING } from '../bounds.ts';
import type { Clock } from '../clock.ts';
import { Failure } from '../failure.ts';

/**
 * The listener is gone, or as good as gone. A paused player is: it comes back with a range where there is an object, and from
 * the start where there is none.
 */
export class ListenerGone extends Failure {
  constructor(why: string) {
    super('stopped', why);
  }
}

/**
 * Resolves when everything has left the process. A socket's own timeout will not do: it is put off by whatever moves on the
 * connection, and by what the system takes for the listener.
 * @throws ListenerGone, or what `body` throws; the answer is neither ended nor broken then
 */
export async function pour(body: AsyncIterable<Buffer>, res: ServerResponse, clock: Clock): Promise<void> {
  for await (const chunk of body) {
    for (const piece of piecesOf(chunk)) {
      if (res.destroyed) throw new ListenerGone('The listener left.');
      if (!res.write(piece)) await until('drain', res, clock);
    }
  }
  res.end();
  await until('finish', res, clock);
}

/** JSON at its reader's pace: whoever stops reading is let go like a listener. What was asked for in vain is no fault. */
export async function pourJson(value: unknown, res: ServerResponse, clock: Clock): Promise<void> {
  const body = Buffer.from(JSON.stringify(value));
  res.setHeader('Content-Type', 'application/json; charset=utf-8').setHeader('Content-Length', body.length);
  try {
    await pour(inOnePiece(body), res, clock);
  } catch (thrown) {
    if (!(thrown instanceof ListenerGone)) throw thrown;
    res.destroy();
  }
}

async function* inOnePiece(body: Buffer): AsyncGenerator<Buffer, void, void> {
  yield body;
}

/** So small that a slow listener is told from one that stands still. */
function* piecesOf(chunk: Buffer): Generator<Buffer, void, void> {
  for (let at = 0; at < chunk.length; at += POURING.pieceBytes) yield chunk.subarray(at, at + POURING.pieceBytes);
}

async function until(event: 'drain' | 'finish', res: ServerResponse, clock: Clock): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const leave = (): void => reject(new ListenerGone('The listener left.'));
  using _stall = clock.after(POURING.stallMs, () => reject(new ListenerGone('The listener stopped reading.')));
  res.once(event, resolve).once('close', leave);
  try {
    if (res.destroyed && !res.writableFinished) leave();
    await promise;
  } finally {
    res.off(event, resolve).off('close', leave);
  }
}

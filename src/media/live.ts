/** A making, joined by a listener → one live stream that begins at once and goes on to its end, also where the listener falls behind. */
import { createHash } from 'node:crypto';
import { POURING } from '../bounds.ts';
import { Lagged } from './flight.ts';
import type { Webm } from './webm/webm.ts';

/** WebM on its way to a listener. Its `body` must be read or its iterator returned, or the signal aborted. */
export interface LiveWebm {
  readonly contentType: string;
  readonly body: AsyncIterable<Buffer>;
}

/**
 * Resolves with the first bytes, head and first Cluster: only then is it certain that there is something to play. A listener
 * left behind joins once more, and goes on where that has proven to begin with the same bytes.
 */
export async function playLive(join: () => Promise<Webm>): Promise<LiveWebm> {
  const webm = await join();
  const body = follow(webm, join);
  const first = await body.next();
  return { contentType: webm.contentType, body: beginningWith(first, body) };
}

async function* follow(webm: Webm, join: () => Promise<Webm>): AsyncGenerator<Buffer, void, void> {
  const heard = createHash('sha256');
  let heardBytes = 0;
  try {
    for await (const cluster of webm.clusters) {
      if (heardBytes === 0) yield Buffer.concat([webm.liveHead, cluster.subarray(0, POURING.pieceBytes)]);
      yield* copiesOf(heardBytes === 0 ? cluster.subarray(POURING.pieceBytes) : cluster);
      heard.update(cluster);
      heardBytes += cluster.length;
    }
  } catch (error) {
    if (!(error instanceof Lagged)) throw error;
    const again = await join();
    if (heardBytes === 0) yield* follow(again, join);
    else yield* after(again.clusters, heardBytes, heard.digest('hex'));
  }
}

/** What comes after the first `sizeBytes`, once those have proven to be the same as before. */
async function* after(
  clusters: AsyncIterable<Buffer>,
  sizeBytes: number,
  sha256: string,
): AsyncGenerator<Buffer, void, void> {
  const hash = createHash('sha256');
  let skipped = 0;
  for await (const cluster of clusters) {
    if (skipped === sizeBytes) {
      yield* copiesOf(cluster);
      continue;
    }
    hash.update(cluster);
    skipped += cluster.length;
    if (skipped > sizeBytes || (skipped === sizeBytes && hash.digest('hex') !== sha256)) throw new Lagged();
  }
  // Shorter than what was heard: not the same, whatever its own completeness says.
  if (skipped < sizeBytes) throw new Lagged();
}

/** Its connection may still hold one when a listener asks for the next; of a large cluster, which is counted once for all, it holds no more. */
function* copiesOf(cluster: Buffer): Generator<Buffer, void, void> {
  for (let at = 0; at < cluster.length; at += POURING.pieceBytes)
    yield Buffer.from(cluster.subarray(at, at + POURING.pieceBytes));
}

async function* beginningWith(
  first: IteratorResult<Buffer, void>,
  rest: AsyncGenerator<Buffer, void, void>,
): AsyncGenerator<Buffer, void, void> {
  try {
    if (first.done === true) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return();
  }
}

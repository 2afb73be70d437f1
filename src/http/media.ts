/** Turns a signed link of the embedded archive into the WebM behind it, whole or a range. */
import type { Request, RequestHandler } from 'express';
import type { Archive } from '../archive/archive.ts';
import { etagOf, type Manifest } from '../archive/manifest.ts';
import { parseRange } from '../archive/range.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Listening } from '../pipeline.ts';
import type { Recording } from '../recording.ts';
import { notModified, rangeHolds } from './conditional.ts';
import { describe, leavingSignal, play, STALL_MS } from './play.ts';

/** An archive whose links this service serves itself. */
export interface SignedMedia extends Pick<Archive, 'find' | 'read'> {
  /** `path` is `/media/{C|_}/{R}`. @throws Failure `forbidden` where the signature is wrong or the link has expired. */
  verifyLink(path: string, query: URLSearchParams): Recording;
}

export interface MediaParts {
  readonly media: SignedMedia;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly stallMs?: number;
}

/** The link is the permission: no API key. */
export function serveMedia({ media, metrics, log, stallMs = STALL_MS }: MediaParts): RequestHandler {
  return async (req, res) => {
    const { pathname, searchParams } = new URL(req.originalUrl, 'http://localhost');
    const recording = media.verifyLink(pathname, searchParams);
    const leaving = leavingSignal(res);
    const manifest = await media.find(recording, leaving);
    if (manifest === undefined) throw new Failure('not-found', 'The archive does not hold this recording.');
    // A player in a page of another origin may embed it: whoever holds the link may play it.
    res.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
    res.setHeader('Content-Disposition', `inline; filename="${recording.recordingId}.webm"`);
    const facts = factsFor(req, manifest);
    if (notModified(req.headers, facts.etag)) res.status(304).setHeader('ETag', facts.etag).end();
    else if (req.method === 'HEAD') describe(facts, res).end();
    else {
      const body: AsyncIterable<Buffer> = await media.read(recording, facts.range, leaving);
      const played = await play({ ...facts, body }, res, stallMs);
      metrics.listened('archive', played.result);
      if (played.result !== 'failed') return;
      log.warn('A recording could not be played to its end.', { ...recording, error: played.failure });
    }
  };
}

/** A range is a matter of GET alone (RFC 9110 14.2). @throws RangeNotSatisfiable */
function factsFor(req: Request, manifest: Manifest): Omit<Listening, 'body'> & { readonly etag: string } {
  const { contentType, sizeBytes } = manifest.webm;
  const etag = etagOf(manifest);
  const wanted = req.method === 'GET' && rangeHolds(req.headers, etag) && !notModified(req.headers, etag);
  const range = wanted ? parseRange(req.headers.range, sizeBytes) : undefined;
  return { from: 'archive', contentType, sizeBytes, etag, ...(range === undefined ? {} : { range }) };
}

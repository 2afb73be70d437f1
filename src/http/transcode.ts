/** Turns `GET /transcode?id=R` into the recording as WebM: from the archive where it is there, else made while it plays. */
import type { Request, RequestHandler, Response } from 'express';
import type { Archive } from '../archive/archive.ts';
import { etagOf } from '../archive/manifest.ts';
import { Failure } from '../failure.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Listening, Pipeline } from '../pipeline.ts';
import { parseId, parseOptionalId, type Recording } from '../recording.ts';
import { notModified, rangeHolds } from './conditional.ts';
import { describe, leavingSignal, play, STALL_MS } from './play.ts';

export interface TranscodeParts {
  readonly listen: Pipeline['listen'];
  readonly archive: Pick<Archive, 'find'>;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly stallMs?: number;
}

/** Whatever fails before the first byte is an error answer with its own status; after it the connection breaks. */
export function transcode(parts: TranscodeParts): RequestHandler {
  return async (req, res) => {
    const recording = parseQuery(req.query);
    const leaving = leavingSignal(res);
    if (await answerWithoutBody(recording, { archive: parts.archive, req, res }, leaving)) return;
    try {
      const listening = await listenInRange(recording, { listen: parts.listen, req }, leaving);
      const played = await play(listening, res, parts.stallMs ?? STALL_MS);
      parts.metrics.listened(listening.from, played.result);
      if (played.result === 'failed') {
        const requestId = res.getHeader('X-Request-Id');
        parts.log.warn('An answer was broken off midway.', { ...recording, requestId, error: played.failure });
      }
    } catch (thrown) {
      parts.metrics.listened('live', leaving.aborted ? 'left' : 'failed');
      if (!leaving.aborted) throw thrown;
    }
  };
}

/** @throws Failure naming the field; one given twice arrives as an array and is refused like any other */
function parseQuery(query: Request['query']): Recording {
  if (query['id'] === undefined) {
    throw new Failure('bad-request', 'id: missing; ask for /transcode?id=RECORDING[&conversationId=CONVERSATION].');
  }
  return {
    recordingId: parseId(query['id'], 'id'),
    conversationId: parseOptionalId(query['conversationId'], 'conversationId'),
  };
}

/**
 * HEAD and If-None-Match start no encoder and no download. What is archived is described; for the rest HEAD answers 200,
 * which says only that a GET may be tried. False where a body is wanted.
 */
async function answerWithoutBody(
  recording: Recording,
  { archive, req, res }: { archive: TranscodeParts['archive']; req: Request; res: Response },
  signal: AbortSignal,
): Promise<boolean> {
  if (req.method === 'GET' && req.headers['if-none-match'] === undefined) return false;
  const manifest = await archive.find(recording, signal);
  if (manifest !== undefined && notModified(req.headers, etagOf(manifest))) {
    res.status(304).setHeader('ETag', etagOf(manifest)).end();
    return true;
  }
  if (req.method === 'GET') return false;
  if (manifest === undefined) res.setHeader('Accept-Ranges', 'none');
  else describe({ from: 'archive', ...manifest.webm, etag: etagOf(manifest) }, res);
  res.end();
  return true;
}

/** If-Range can be judged only once the entity tag is known: where it does not hold, the whole is asked for instead. */
async function listenInRange(
  recording: Recording,
  { listen, req }: { listen: TranscodeParts['listen']; req: Request },
  signal: AbortSignal,
): Promise<Listening> {
  const listening = await listen(recording, req.headers.range, signal);
  if (listening.range === undefined || rangeHolds(req.headers, listening.etag)) return listening;
  await listening.body[Symbol.asyncIterator]().return?.();
  return listen(recording, undefined, signal);
}

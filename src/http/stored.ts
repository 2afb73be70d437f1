/** A recording that the archive holds → its answer: whole, a part, its head alone, or that it has not changed. */
import type { Request, Response } from 'express';
import type { Archive } from '../archive/archive.ts';
import { etagOf, recordingOf, type Manifest } from '../archive/manifest.ts';
import type { Recording } from '../recording.ts';
import { countingFailures, describeAnswer, play, type PlayNeeds } from './play.ts';
import { isUnchanged, partAsked, requireMatch } from './range.ts';

export interface StoredNeeds extends PlayNeeds {
  readonly archive: Pick<Archive, 'findUnerased' | 'read'>;
}

export interface StoredRequest {
  /** Asked once there is something to hear; resolves once that is on record: nothing of the recording leaves before. */
  readonly record: () => Promise<void>;
  readonly req: Request;
  readonly res: Response;
  /** Aborts when the listener is gone. */
  readonly leaving: AbortSignal;
  readonly policy?: string | undefined;
}

/**
 * The one place that serves what is stored, whichever route was asked. The archive is asked once, and read only where a
 * body is wanted. False where it does not hold the recording: nothing was answered then.
 * @throws Failure before anything was sent: `range-not-satisfiable`, `bad-request` (If-Match), or why the archive cannot be read
 */
export async function serveStored(recording: Recording, needs: StoredNeeds, exchange: StoredRequest): Promise<boolean> {
  const { leaving } = exchange;
  const attempt = async (): Promise<boolean> => {
    const manifest = await needs.archive.findUnerased(recording, leaving);
    if (manifest !== undefined) await answerWith(manifest, needs, exchange);
    return manifest !== undefined;
  };
  return (await countingFailures('archive', attempt, { metrics: needs.metrics, leaving })) ?? true;
}

async function answerWith(manifest: Manifest, needs: StoredNeeds, exchange: StoredRequest): Promise<void> {
  const { req, res, leaving, record, policy } = exchange;
  const { contentType, sizeBytes } = manifest.webm;
  const recording = recordingOf(manifest);
  const whole = { sizeBytes, etag: etagOf(manifest), part: undefined };
  requireMatch(req.headers, whole.etag);
  if (isUnchanged(req.headers, whole.etag)) {
    if (req.method !== 'HEAD') await record();
    return void res.status(304).setHeader('ETag', whole.etag).end();
  }
  // A range is a matter of GET alone (RFC 9110 14.2).
  if (req.method === 'HEAD') return void describeAnswer({ recording, contentType, policy, stored: whole }, res).end();
  const stored = { ...whole, part: partAsked(req.headers, whole) };
  const recorded = record();
  const body: AsyncIterable<Buffer> = await needs.archive.read(manifest, stored.part, leaving);
  await play({ recording, contentType, policy, stored, body, recorded }, needs, res);
}

/** `GET /transcode?id=R` → the recording as WebM: from the archive where it is there, else made while it plays. */
import type { Request, RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import type { Pipeline } from '../pipeline.ts';
import { parseId, parseOptionalId, type Recording } from '../recording.ts';
import { callerOf } from './auth.ts';
import { countingFailures, leavingSignal, play } from './play.ts';
import { serveStored, type StoredNeeds } from './stored.ts';
import type { Turnstile } from './turnstile.ts';
import type { Witness } from './witness.ts';

export interface TranscodeNeeds extends StoredNeeds {
  /** Of all listeners, those to what is made while it plays. */
  readonly liveListeners: Turnstile;
  readonly listen: Pipeline['listen'];
  readonly witness: Witness;
  /** Whether a key is asked for. */
  readonly way: 'key' | 'none';
}

/**
 * Whatever fails before the first byte is an error answer with its own status; after it the connection breaks. HEAD starts no
 * encoder and no download: for what is not archived its 200 says only that a GET may be tried.
 */
export function transcode(needs: TranscodeNeeds): RequestHandler {
  return async (req, res) => {
    const recording = parseQuery(req.query);
    const leaving = leavingSignal(res);
    const who = callerOf(req).name;
    // A HEAD brings nothing of the recording.
    const isHead = req.method === 'HEAD';
    using _listener = isHead ? undefined : needs.listeners.enter(who);
    const { way, witness } = needs;
    const record = (): Promise<void> => witness.record(req, { action: 'listened', way, recording });
    if (await serveStored(recording, needs, { req, res, leaving, record })) return;
    if (isHead) return void res.setHeader('Accept-Ranges', 'none').end();
    const attempt = async (): Promise<void> => {
      using _live = needs.liveListeners.enter(who);
      // Begun before Genesys has told whether it has it: to wait for that would keep every listener waiting as long.
      const recorded = record();
      await play({ recording, recorded, ...(await needs.listen(recording, leaving)) }, needs, res);
    };
    await countingFailures('live', attempt, { metrics: needs.metrics, leaving });
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

/** Sound, pictures and originals of a recording for whoever may hear it: on record before the first byte, counted, in ranges. */
import { mayHaveLevels, recordingOf, type Manifest } from '../archive/manifest.ts';
import { Failure } from '../failure.ts';
import { countingFailures, play, send } from '../http/play.ts';
import { isUnchanged } from '../http/range.ts';
import { serveStored } from '../http/stored.ts';
import { parseId, parseOptionalId, type Recording } from '../recording.ts';
import { detailsFor } from './call.ts';
import { mayHearLive } from './hearing.ts';
import { data, SENT, type AnswerVisit, type ConsoleNeeds, type Visit } from './visit.ts';

/** `/media/C/R`: from the archive, else made while it plays. */
export const sendMedia: AnswerVisit = async (visit, needs) => {
  const recording = recordingOfPath(visit);
  const { req, res, signal, who } = visit;
  const { listeners, liveListeners, listen } = needs.hearing;
  const isHead = req.method === 'HEAD';
  using _listener = isHead ? undefined : listeners.enter(who.id);
  await detailsFor(recording, { archive: needs.archive, who }, signal);
  const record = (): Promise<void> => witnessed('listened', recording, { visit, needs });
  const playing = { archive: needs.archive, metrics: needs.metrics, log: needs.log, listeners };
  if (await serveStored(recording, playing, { req, res, leaving: signal, record, policy: policyOf(visit) }))
    return SENT;
  if (listen === undefined)
    throw new Failure('not-found', 'This recording is not archived, and nothing is made while it plays here.');
  if (!mayHearLive(who, needs.hearing)) throw ofWhicheverDivision();
  if (isHead) {
    res.setHeader('Accept-Ranges', 'none').end();
    return SENT;
  }
  const attempt = async (): Promise<void> => {
    using _live = liveListeners.enter(who.id);
    // As in http/transcode.ts.
    const recorded = record();
    await play({ recording, recorded, policy: policyOf(visit), ...(await listen(recording, signal)) }, playing, res);
  };
  await countingFailures('live', attempt, { metrics: needs.metrics, leaving: signal });
  return SENT;
};

function ofWhicheverDivision(): Failure {
  const text =
    'This recording is not archived yet, and Genesys is asked for it by its id alone (GENESYS_RECORDING_API=media), which does not tell of which division it is. Whoever runs the service can let you listen to all, in CONSOLE_ROLES.';
  return new Failure('unauthorized', text, { status: 403 });
}

/** `/media/C/R/original/N`: the media as Genesys served it, where it was kept; to be saved, never shown. */
export const sendOriginal: AnswerVisit = async (visit, needs) => {
  const recording = recordingOfPath(visit);
  const { req, res, signal, who } = visit;
  await detailsFor(recording, { archive: needs.archive, who }, signal);
  const manifest = await needs.archive.findUnerased(recording, signal);
  const source = manifest?.sources[Number(visit.params['index'])];
  if (manifest === undefined || source?.original === undefined)
    throw new Failure('not-found', 'There is no such original: ARCHIVE_ORIGINAL=yes keeps them from then on.');
  using _listener = needs.hearing.listeners.enter(who.id);
  const { original, sizeBytes } = source;
  const describe = (): void => {
    res.setHeader('Content-Type', 'application/octet-stream').setHeader('Content-Length', sizeBytes);
    res.setHeader('Content-Disposition', `attachment; filename="${recording.recordingId}.${original}"`);
  };
  if (req.method === 'HEAD') {
    describe();
    res.end();
    return SENT;
  }
  const body = await needs.archive.original(manifest, original, signal);
  const record = (): Promise<void> => witnessed('downloaded', recording, { visit, needs });
  await send({ recording, body, sizeBytes, record, describe }, needs, res);
  return SENT;
};

const LEVELS_WITHIN_S = 5;

/**
 * `/levels/C/R`: `levels.bin`, from which the player draws who speaks when; 204 where there is none. A reader writes nothing: what
 * was archived before there were any has them made by a worker, asked for once.
 */
export const sendLevels: AnswerVisit = async (visit, needs) => {
  const recording = recordingOfPath(visit);
  const { req, res, signal, who } = visit;
  await detailsFor(recording, { archive: needs.archive, who }, signal);
  const manifest = await needs.archive.findUnerased(recording, signal);
  if (manifest === undefined) throw new Failure('not-found', 'This recording is not archived.');
  const etag = `"levels-${manifest.webm.sha256}"`;
  const bytes = isUnchanged(req.headers, etag) ? 'unchanged' : await needs.archive.levels(manifest, signal);
  if (bytes === undefined) {
    if (await areLevelsMade(manifest, { visit, needs })) res.setHeader('Retry-After', LEVELS_WITHIN_S);
    res.status(204).end();
  } else if (bytes === 'unchanged') res.status(304).setHeader('ETag', etag).end();
  else {
    res.setHeader('ETag', etag).setHeader('Content-Type', 'application/octet-stream');
    res.setHeader('Content-Length', bytes.length).end(bytes);
  }
  return SENT;
};

/** Whether it is worth asking again. Nobody's sound waits for a picture, so that no failure is one here. */
async function areLevelsMade(
  manifest: Manifest,
  { visit, needs }: { readonly visit: Visit; readonly needs: ConsoleNeeds },
): Promise<boolean> {
  if (!mayHaveLevels(manifest)) return false;
  if (visit.query.has('again')) return true;
  const { recordingId, conversationId } = recordingOf(manifest);
  try {
    await needs.queue.publish([{ kind: 'levels', recordingId, conversationId }], visit.signal);
    return true;
  } catch (error) {
    needs.log.warn('The picture of a recording could not be asked for.', { recordingId, conversationId, error });
    return false;
  }
}

/** `/played/C/R`: what the player says that it played, every half minute and when it is left. */
export const notePlayed: AnswerVisit = async (visit, needs) => {
  const recording = recordingOfPath(visit);
  await detailsFor(recording, { archive: needs.archive, who: visit.who }, visit.signal);
  const [fromS, toS] = [claimedSeconds(visit, 'from'), claimedSeconds(visit, 'to')];
  if (toS < fromS) throw new Failure('bad-request', 'to: it lies before from.');
  await needs.witness.record(visit.req, {
    action: 'played',
    way: visit.who.way,
    who: visit.who.id,
    recording,
    about: { fromS, toS, claim: true },
  });
  return data('application/json', '{"noted":true}');
};

const LONGEST_S = 7 * 24 * 3600;

function claimedSeconds({ form }: Visit, name: string): number {
  const value = Number(form.get(name) ?? NaN);
  if (value >= 0 && value <= LONGEST_S) return Math.round(value * 10) / 10;
  throw new Failure('bad-request', `${name}: expected seconds.`);
}

function recordingOfPath({ params }: Visit): Recording {
  const { conversationId, recordingId } = params;
  return {
    recordingId: parseId(recordingId, 'recording'),
    conversationId: parseOptionalId(conversationId === '_' ? undefined : conversationId, 'conversation'),
  };
}

/** Media has the policy of all pages: opened by itself it shows in the browser's own player, and loads nothing. */
function policyOf({ res }: Visit): string | undefined {
  const policy = res.getHeader('Content-Security-Policy');
  return typeof policy === 'string' ? policy : undefined;
}

function witnessed(
  action: 'listened' | 'downloaded',
  recording: Recording,
  { visit, needs }: { readonly visit: Visit; readonly needs: ConsoleNeeds },
): Promise<void> {
  return needs.witness.record(visit.req, { action, way: visit.who.way, who: visit.who.id, recording });
}

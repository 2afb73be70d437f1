/** A signed link of the embedded archive → the WebM behind it, whole or a range. */
import type { RequestHandler } from 'express';
import type { LinkVerifier } from '../archive/archive.ts';
import { Failure } from '../failure.ts';
import { leavingSignal } from './play.ts';
import { serveStored, type StoredNeeds } from './stored.ts';
import type { Witness } from './witness.ts';

export interface MediaNeeds extends StoredNeeds {
  readonly archive: LinkVerifier & StoredNeeds['archive'];
  readonly witness: Witness;
}

/** The link is the permission: no API key. */
export function serveMedia(needs: MediaNeeds): RequestHandler {
  return async (req, res) => {
    const { pathname, searchParams } = new URL(req.originalUrl, 'http://localhost');
    const { recording, givenTo } = needs.archive.verifyLink(pathname, searchParams);
    // A player in a page of another origin may embed it: whoever holds the link may play it.
    res.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
    const about = givenTo?.requestId === undefined ? undefined : { linked: givenTo.requestId };
    const act = { action: 'listened', way: 'link', who: givenTo?.who ?? 'link', recording, about } as const;
    using _listener = req.method === 'HEAD' ? undefined : needs.listeners.enter('link');
    const record = (): Promise<void> => needs.witness.record(req, act);
    if (await serveStored(recording, needs, { req, res, leaving: leavingSignal(res), record })) return;
    throw new Failure('not-found', 'The archive does not hold this recording.');
  };
}

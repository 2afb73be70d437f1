/** What lets a visitor hear a recording. */
import type { Pipeline } from '../pipeline.ts';
import type { Turnstile } from '../http/turnstile.ts';
import type { Identity } from './who/identity.ts';

export interface Hearing {
  /** All who listen, and of these those to what is made while it plays. */
  readonly listeners: Turnstile;
  readonly liveListeners: Turnstile;
  /** What is not archived yet is made while it plays; undefined where this deployable makes nothing. */
  readonly listen: Pipeline['listen'] | undefined;
  /** Genesys is asked for a recording of its conversation; else by its id alone, and what comes may belong to any division. */
  readonly asksByConversation: boolean;
  /** What channel 0 and 1 are called. */
  readonly channelNames: readonly [string, string];
}

/** The conversation that somebody names may be one that they may hear, and the recording that of another one. */
export function mayHearLive({ divisions }: Identity, { listen, asksByConversation }: Hearing): boolean {
  return listen !== undefined && (asksByConversation || divisions === 'all');
}

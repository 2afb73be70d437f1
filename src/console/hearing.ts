/** What lets a visitor hear a recording. */
import type { Pipeline } from '../pipeline.ts';
import type { Turnstile } from '../http/turnstile.ts';

export interface Hearing {
  /** All who listen, and of these those to what is made while it plays. */
  readonly listeners: Turnstile;
  readonly liveListeners: Turnstile;
  /** What is not archived yet is made while it plays; undefined where this deployable makes nothing. */
  readonly listen: Pipeline['listen'] | undefined;
  /** What channel 0 and 1 are called. */
  readonly channelNames: readonly [string, string];
}

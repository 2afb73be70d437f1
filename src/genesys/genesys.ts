/** What the pipeline needs of Genesys Cloud, whichever of its two APIs serves it. */
import type { Failure } from '../failure.ts';
import type { MediaFile } from '../media-file.ts';
import type { Recording } from '../recording.ts';

export interface Located {
  readonly api: 'recordings' | 'media' | 'voicemail';
  /** In channel order. At least one. */
  readonly files: readonly MediaFile[];
  readonly recordedAt: Date | undefined;
  /** What Genesys says of its media: compared with what was made. */
  readonly durationMs: number | undefined;
  /** As a batch gives it, once: in whatever form it was recorded, where the next try is given what was asked for. */
  readonly isOriginal?: boolean;
}

/** Who asks Genesys: a listener has a share of the rate limit, so that archiving always has the rest. */
export type GenesysCaller = 'worker' | 'listener';

/** What is listed of a conversation now, ids only: those that have media or may yet have. */
export interface RecordingList {
  /** Nothing soon after a call means "not yet". */
  readonly recordings: readonly Recording[];
  /** By the list's own words nothing more is to be expected soon. */
  readonly isComplete: boolean;
  /** Why it may not be all that Genesys has: entries that cannot be read, or a list that is on its way; undefined where it is. */
  readonly lacking: Failure | undefined;
}

export interface Genesys {
  recordingsOf(conversationId: string, signal: AbortSignal): Promise<RecordingList>;
  /**
   * The voicemails that were left in a queue during a conversation, as recordings of it named `voicemail-{id}`; empty where
   * none can be seen. Those of users and groups belong to them: no client of an organization may fetch them.
   */
  voicemailsOf(conversationId: string, signal: AbortSignal): Promise<RecordingList>;
  /**
   * Where the media of a recording lies, ready to download.
   * @throws Failure `not-ready` (wait), `needs-restore`, `gone`, `no-media`, `not-found`, `forbidden`, `rate-limited`, `busy` (a listener's share is used up), …
   */
  locate(recording: Recording, caller: GenesysCaller, signal: AbortSignal): Promise<Located>;
  /** Gets a token. @throws Failure saying which variable to check. */
  check(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** What the pipeline needs of Genesys Cloud, whichever of its two APIs serves it. */
import type { Recording } from '../recording.ts';

/** One file of a recording: Genesys serves dual-channel calls as one file per channel. */
export interface MediaFile {
  /** "0", "1" (channels), "S", or "media" for the Media API. */
  readonly channel: string;
  /** Starts the download; fetches a fresh URL by itself when the old one has expired. */
  open(signal: AbortSignal): Promise<Download>;
}

/**
 * Bytes of one file, once, in order. Iteration ends normally only when the framing proved the end
 * (Content-Length or chunked terminator); it throws a Failure otherwise. Leaving early closes the connection.
 */
export interface Download extends AsyncIterable<Buffer> {
  /** As the server labelled it, lower case, without parameters; never trusted. */
  readonly contentType: string;
  /** From Content-Length; undefined when chunked. */
  readonly sizeBytes: number | undefined;
  /** Bytes `start` to `end` inclusive, over the same allow-listed, counted reader. undefined where the server has no ranges. */
  readonly readRange: ((start: number, end: number, signal: AbortSignal) => Promise<Buffer>) | undefined;
  /** Only after iteration ended normally. */
  received(): { readonly sizeBytes: number; readonly sha256: string };
}

export interface Located {
  readonly api: 'recordings' | 'media';
  /** In channel order. At least one. */
  readonly files: readonly MediaFile[];
  readonly recordedAt: Date | undefined;
  /** What Genesys says of its media: compared with what was made. */
  readonly durationMs: number | undefined;
}

export interface Genesys {
  /**
   * The recordings of a conversation that have media or may yet have. Ids only.
   * @throws Failure `not-ready` while the list is empty and the call is young.
   */
  recordingsOf(conversationId: string, acceptedAt: Date, signal: AbortSignal): Promise<readonly Recording[]>;
  /**
   * Where the media of a recording lies, ready to download.
   * @throws Failure `not-ready` (wait), `needs-restore`, `gone`, `no-media`, `not-found`, `forbidden`, `rate-limited`, …
   */
  locate(recording: Recording, signal: AbortSignal): Promise<Located>;
  /** Gets a token. @throws Failure saying which variable to check. */
  check(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** One file of a recording and its bytes on their way, as whoever fetches gives them and whoever makes WebM takes them. */

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
  /** By its label, although nobody asked for it; bytes are handed on as they come. */
  readonly isCalledCompressed: boolean;
  /** From Content-Length; undefined when chunked. */
  readonly sizeBytes: number | undefined;
  /** Bytes `start` to `end` inclusive, over the same allow-listed, counted reader. undefined where the server has no ranges. */
  readonly readRange: ((start: number, end: number, signal: AbortSignal) => Promise<Buffer>) | undefined;
  /** Only after iteration ended normally. */
  received(): { readonly sizeBytes: number; readonly sha256: string };
}

/** The JSON beside a WebM that proves it: what came in, what was done, what lies there. Written last: it is the commit. */

export interface SourceFacts {
  /** Genesys' key of the file: "0", "1" for channels, "S", or "media" (Media API). */
  readonly channel: string;
  readonly contentType: string;
  readonly sizeBytes: number;
  /** Lower-case hex over the media as received. */
  readonly sha256: string;
  /** Archive name of the bit-exact copy, where ARCHIVE_ORIGINAL=yes kept one. */
  readonly original?: string;
}

export interface WebmFacts {
  readonly contentType: 'audio/webm' | 'video/webm';
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Base64 of the big-endian CRC32C, as Cloud Storage states it. */
  readonly crc32c: string;
  readonly durationMs: number;
  /** Audio channels; 0 where there is no audio. */
  readonly channels: number;
  /** Matroska codec ids, e.g. `A_OPUS`, `V_VP9`. */
  readonly codecs: readonly string[];
}

export interface Manifest {
  readonly version: 1;
  readonly recordingId: string;
  readonly conversationId: string | null;
  /** Which Genesys API served it. */
  readonly api: 'recordings' | 'media';
  readonly medium: 'audio' | 'video';
  /** When the recording started (ISO 8601, UTC), where Genesys says so. */
  readonly recordedAt: string | null;
  readonly sources: readonly SourceFacts[];
  /** How the WebM was made: `rewrap`, `join`, `encode-audio`, `encode-video`. */
  readonly way: string;
  /** Why that way was taken, in words. */
  readonly why: string;
  /** `ffmpeg 5.1.9 libopus` …, null where nothing was encoded. */
  readonly encoder: string | null;
  readonly webm: WebmFacts;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly attempt: number;
  /** Version of this service. */
  readonly service: string;
  readonly traceparent?: string;
}

/** Strong entity tag with its quotes: what lies under recordings/ never changes, and its hash is known. */
export function etagOf(manifest: Manifest): string {
  return `"${manifest.webm.sha256}"`;
}

/** What lies under failures/: why a recording is not in the archive. */
export interface FailureRecord {
  readonly version: 1;
  readonly recordingId: string | null;
  readonly conversationId: string | null;
  /** `no-media`: a chat, email or message, which has nothing to archive. */
  readonly status: 'failed' | 'no-media';
  /** A FailureCode. */
  readonly code: string;
  /** What happened and what to do. */
  readonly reason: string;
  readonly attempts: number;
  readonly failedAt: string;
  readonly service: string;
}

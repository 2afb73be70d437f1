/** The JSON beside a WebM that proves it: what came in, what was done, what lies there. Written last: it is the commit. */
import type { LevelFacts } from '../levels.ts';
import type { Recording } from '../recording.ts';

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
  readonly api: 'recordings' | 'media' | 'voicemail';
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
  /** Who speaks when, as a list shows it; absent where the sound does not tell, and in what was archived before 0.2.0. */
  readonly levels?: LevelFacts;
}

/** Strong entity tag with its quotes: what lies under recordings/ never changes, and its hash is known. */
export function etagOf(manifest: Manifest): string {
  return `"${manifest.webm.sha256}"`;
}

/** Whether its sound can tell who speaks when: what is archived without levels may get them then. */
export function mayHaveLevels({ webm }: Manifest): boolean {
  return webm.codecs.includes('A_OPUS') && webm.channels > 0 && webm.channels <= 2;
}

/** The recording that it proves. */
export function recordingOf({ recordingId, conversationId }: Manifest): Recording {
  return { recordingId, conversationId: conversationId ?? undefined };
}

/** What lies under failures/: why a recording is not in the archive. */
export interface FailureRecord {
  readonly version: 1;
  readonly recordingId: string | null;
  readonly conversationId: string | null;
  /**
   * `no-media`: a chat, email or message, which has nothing to archive. `no-recordings`: a conversation that ended without a
   * recording; listed only when asked for, and gone after 30 days.
   */
  readonly status: 'failed' | 'no-media' | 'no-recordings';
  /** A FailureCode. */
  readonly code: string;
  /** What happened and what to do. */
  readonly reason: string;
  readonly attempts: number;
  readonly failedAt: string;
  readonly service: string;
}

/** What lies under waiting/: why a recording (or a conversation, where `recordingId` is null) is not in the archive yet. */
export interface WaitingRecord {
  readonly version: 1;
  readonly recordingId: string | null;
  readonly conversationId: string | null;
  /** A FailureCode. */
  readonly code: string;
  /** Whose business it is: the recording's own, the surroundings' or the operator's, in the words of failure.ts. */
  readonly sort: string;
  /** What happened last and what to do. */
  readonly reason: string;
  /** When the work began to wait; ISO 8601, UTC. */
  readonly since: string;
  /** When it is tried again; ISO 8601, UTC. */
  readonly nextTry: string;
  readonly attempts: number;
  readonly service: string;
}

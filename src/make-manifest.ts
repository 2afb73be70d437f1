/** What was made of a recording and what was stored of it → the manifest that states both. */
import type { Stored } from './archive/archive.ts';
import type { Manifest, SourceFacts } from './archive/manifest.ts';
import { Failure } from './failure.ts';
import type { Located } from './genesys/genesys.ts';
import type { MadeWebm } from './media/make-webm.ts';
import type { Recording } from './recording.ts';

/** A WebM, and what is known of where it came from. */
export type MadeRecording = MadeWebm & {
  readonly located: Located;
  /** Archive names of the bit-exact copies, by file; empty where none are kept. */
  readonly originals: readonly string[];
};

/** The attempt that made it. */
export interface Attempt {
  readonly recording: Recording;
  /** 1 for the first. */
  readonly attempt: number;
  readonly traceparent: string | undefined;
  readonly startedAt: Date;
  /** Version of this service. */
  readonly version: string;
}

/** After `made` came to its end. @throws Failure `internal` where who made the WebM and who stored it do not agree on how much there is */
export function makeManifest(made: MadeRecording, stored: Stored, by: Attempt): Manifest {
  const result = made.result();
  const levels = made.levels();
  requireSize(stored, result.sizeBytes);
  return {
    version: 1,
    recordingId: by.recording.recordingId,
    conversationId: by.recording.conversationId ?? null,
    api: made.located.api,
    medium: made.contentType === 'video/webm' ? 'video' : 'audio',
    recordedAt: made.located.recordedAt?.toISOString() ?? null,
    sources: sourcesOf(made),
    way: made.way,
    why: [made.why, ...(result.note === undefined ? [] : [result.note])].join('; '),
    encoder: made.encoder ?? null,
    webm: {
      contentType: made.contentType,
      ...stored,
      durationMs: result.durationMs,
      channels: result.channels,
      codecs: result.codecs,
    },
    startedAt: by.startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    attempt: by.attempt,
    service: by.version,
    ...(by.traceparent === undefined ? {} : { traceparent: by.traceparent }),
    ...(levels === undefined ? {} : { levels: levels.facts }),
  };
}

function requireSize(stored: Stored, sizeBytes: number): void {
  if (stored.sizeBytes === sizeBytes) return;
  const text = `The WebM has ${String(sizeBytes)} bytes, but ${String(stored.sizeBytes)} reached the archive; nothing was stored.`;
  throw new Failure('internal', text);
}

function sourcesOf(made: MadeRecording): readonly SourceFacts[] {
  return made.sources().map((source, index) => {
    const original = made.originals[index];
    return original === undefined ? source : { ...source, original };
  });
}

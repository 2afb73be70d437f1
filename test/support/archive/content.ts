/** A seed → bytes, and what was stored → the manifest that states it. */
import { createHash } from 'node:crypto';
import type { Archive, Stored } from '../../../src/archive/archive.ts';
import type { FailureRecord, Manifest, SourceFacts, WaitingRecord } from '../../../src/archive/manifest.ts';
import type { Subject } from '../../../src/archive/names.ts';
import type { Recording } from '../../../src/recording.ts';

/** Always the same bytes for the same seed; no two seeds begin alike. */
export function bytesOf(seed: string, sizeBytes: number): Buffer {
  const block = createHash('sha512').update(seed).digest();
  const bytes = Buffer.alloc(sizeBytes, block);
  for (let at = 0, n = 0; at + 4 <= sizeBytes; at += 997, n += 1) bytes.writeUInt32LE(n, at);
  return bytes;
}

export function manifestOf(recording: Recording, stored: Stored, facts: Partial<Manifest> = {}): Manifest {
  return {
    version: 1,
    recordingId: recording.recordingId,
    conversationId: recording.conversationId ?? null,
    api: 'recordings',
    medium: 'audio',
    recordedAt: '2026-03-01T09:30:00.000Z',
    sources: [],
    way: 'join',
    why: 'two mono Ogg Opus files of equal frames',
    encoder: null,
    webm: { contentType: 'audio/webm', ...stored, durationMs: 4200, channels: 2, codecs: ['A_OPUS'] },
    startedAt: '2026-03-02T00:00:01.000Z',
    finishedAt: '2026-03-02T00:00:02.000Z',
    attempt: 1,
    service: '0.1.0',
    ...facts,
  };
}

export function sourceOf(bytes: Buffer, original: string): SourceFacts {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { channel: '0', contentType: 'audio/ogg', sizeBytes: bytes.length, sha256, original };
}

export function failureOf(recording: Partial<Subject>, facts: Partial<FailureRecord> = {}): FailureRecord {
  return {
    version: 1,
    recordingId: recording.recordingId ?? null,
    conversationId: recording.conversationId ?? null,
    status: 'failed',
    code: 'unreadable-media',
    reason: 'The media ends in the middle of a page.',
    attempts: 3,
    failedAt: '2026-03-03T10:00:00.000Z',
    service: '0.1.0',
    ...facts,
  };
}

export function waitingOf(recording: Partial<Subject>, facts: Partial<WaitingRecord> = {}): WaitingRecord {
  return {
    version: 1,
    recordingId: recording.recordingId ?? null,
    conversationId: recording.conversationId ?? null,
    code: 'misconfigured',
    sort: 'operator',
    reason: 'The role lacks a permission.',
    since: '2026-03-03T10:00:00.000Z',
    nextTry: '2026-03-03T11:00:00.000Z',
    attempts: 2,
    service: '0.1.0',
    ...facts,
  };
}

export interface Content {
  readonly head: Buffer;
  readonly clusters: readonly Buffer[];
  readonly originals?: readonly Buffer[];
  readonly levels?: Uint8Array;
  /** Told why levels were lost. */
  readonly onLost?: (reason: unknown) => void;
  readonly facts?: Partial<Manifest>;
}

/** Stores `content` as the pipeline would. */
export async function store(archive: Archive, recording: Recording, content: Content): Promise<Manifest> {
  const signal = AbortSignal.timeout(300_000);
  await using deposit = await archive.begin(recording, signal);
  const originals = content.originals ?? [];
  const sources: SourceFacts[] = [];
  for (const [index, bytes] of originals.entries()) {
    const sink = await deposit.original(index, originals.length, 'opus', 'audio/ogg');
    const half = Math.floor(bytes.length / 2);
    await sink.write(bytes.subarray(0, half));
    await sink.write(bytes.subarray(half));
    sources.push(sourceOf(bytes, sink.name));
  }
  for (const cluster of content.clusters) await deposit.clusters.write(cluster);
  const { onLost = failTest } = content;
  if (content.levels !== undefined) deposit.keepLevels(content.levels, onLost);
  const manifest = await deposit.commit(content.head, 'audio/webm', (stored) =>
    manifestOf(recording, stored, { sources, ...content.facts }),
  );
  return manifest;
}

function failTest(reason: unknown): never {
  throw new Error('levels were lost', { cause: reason });
}

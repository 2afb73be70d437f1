/** The names of the small real recordings → simulated ones, and what is expected of their WebM. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SimulatedFile, SimulatedRecording } from '../genesys/server.ts';

export interface Fixture {
  /** By channel. */
  readonly files: readonly string[];
  readonly contentType: string;
  readonly media: 'audio' | 'screen';
  readonly way: string;
  readonly seconds: number;
}

export const FIXTURES = {
  dual: audio(['dual-0.opus', 'dual-1.opus'], 'audio/ogg', { way: 'join', seconds: 90 }),
  opus: audio(['stereo.opus'], 'audio/ogg', { way: 'rewrap', seconds: 30 }),
  wav: audio(['stereo-pcm.wav'], 'audio/wav', { way: 'encode-audio', seconds: 30 }),
  ulaw: audio(['stereo-ulaw.wav'], 'audio/wav', { way: 'encode-audio', seconds: 30 }),
  mp3: audio(['stereo.mp3'], 'audio/mpeg', { way: 'encode-audio', seconds: 30 }),
  mp4: screen('screen-faststart.mp4', 'video/mp4', 'encode-video'),
  mp4IndexLast: screen('screen-moov-last.mp4', 'video/mp4', 'encode-video'),
  webm: screen('screen-vp8-silent.webm', 'video/webm', 'rewrap'),
} as const satisfies Record<string, Fixture>;

export function simulated(
  recordingId: string,
  conversationId: string | undefined,
  { files, contentType, media }: Fixture,
): SimulatedRecording {
  const channelOf = (index: number): string => (media === 'screen' ? 'S' : String(index));
  return {
    recordingId,
    ...(conversationId === undefined ? {} : { conversationId }),
    media,
    startTime: '2026-08-05T09:12:03.412Z',
    files: files.map((name, index): SimulatedFile => ({
      channel: channelOf(index),
      path: pathOfFixture(name),
      contentType,
    })),
  };
}

export function pathOfFixture(name: string): string {
  return join(import.meta.dirname, '../../fixtures', name);
}

export function bytesOfFixture(name: string): Buffer {
  return readFileSync(pathOfFixture(name));
}

/** What a manifest has to say of each file, in order. */
export function sourceFacts({ files }: Fixture): readonly { readonly sizeBytes: number; readonly sha256: string }[] {
  return files.map((name) => {
    const bytes = bytesOfFixture(name);
    return { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  });
}

function audio(files: readonly string[], contentType: string, made: { way: string; seconds: number }): Fixture {
  return { files, contentType, media: 'audio', ...made };
}

function screen(name: string, contentType: string, way: string): Fixture {
  return { files: [name], contentType, media: 'screen', way, seconds: 20 };
}

/** The manifest of what a test has stored: whatever reads the archive has found it first. */
import type { Archive } from '../../../src/archive/archive.ts';
import type { Manifest } from '../../../src/archive/manifest.ts';
import type { Recording } from '../../../src/recording.ts';

export async function found(archive: Pick<Archive, 'find'>, recording: Recording): Promise<Manifest> {
  const manifest = await archive.find(recording, AbortSignal.timeout(300_000));
  if (manifest === undefined) throw new Error(`${recording.recordingId} is not in the archive`);
  return manifest;
}

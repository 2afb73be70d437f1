/** Turns a stored recording, read back whole, into a list of what is wrong with it. */
import { Failure } from '../failure.ts';
import type { Recording } from '../recording.ts';
import type { Archive, Stored } from './archive.ts';
import { createChecksum } from './checksum.ts';
import type { Manifest } from './manifest.ts';

/**
 * Empty where every byte of the WebM is as its manifest says. Originals are not read.
 * @throws Failure where the archive cannot be asked: that proves nothing either way
 */
export async function verifyStored(
  archive: Archive,
  recording: Recording,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    const manifest = await archive.find(recording, signal);
    if (manifest === undefined) return ['manifest.json: there is none, so the recording counts as not archived'];
    const checksum = createChecksum();
    for await (const chunk of await archive.read(recording, undefined, signal)) checksum.update(chunk);
    return differences(manifest, checksum.stored());
  } catch (error) {
    if (error instanceof Failure && (error.code === 'conflict' || error.code === 'not-found')) return [error.message];
    throw error;
  }
}

/** Each fact that is not as the manifest says. */
export function differences(manifest: Manifest, stored: Stored): readonly string[] {
  return (['sizeBytes', 'sha256', 'crc32c'] as const)
    .filter((fact) => stored[fact] !== manifest.webm[fact])
    .map(
      (fact) =>
        `recording.webm: ${fact} is ${String(stored[fact])}, but the manifest says ${String(manifest.webm[fact])}`,
    );
}

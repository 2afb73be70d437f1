/** A recording, in whichever spelling of its ids it lies there → that spelling, and its manifest byte for byte. */
import { type Recording, spellingsOf } from '../recording.ts';
import type { Archive } from './archive.ts';

export interface SpelledManifest {
  readonly recording: Recording;
  readonly text: string;
}

/** undefined where it lies there in none. */
export async function findSpelledManifest(
  asked: Recording,
  archive: Pick<Archive, 'manifestText'>,
  signal: AbortSignal,
): Promise<SpelledManifest | undefined> {
  for (const recording of spellingsOf(asked)) {
    const text = await archive.manifestText(recording, signal);
    if (text !== undefined) return { recording, text };
  }
  return undefined;
}

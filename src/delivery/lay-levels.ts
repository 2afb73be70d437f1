/** A message about a recording that was archived without its levels → its levels, read from its WebM and laid beside it. */
import type { Archive } from '../archive/archive.ts';
import { mayHaveLevels, type Manifest } from '../archive/manifest.ts';
import { Failure } from '../failure.ts';
import { encodeLevels } from '../levels.ts';
import { LevelWatch } from '../media/levels/level-watch.ts';
import { readWebm } from '../media/webm/reader.ts';
import type { Delivery, Settlement } from '../queue/queue.ts';

/** What nobody has to look for again. */
const NONE = encodeLevels({ channels: [] });

/**
 * Nothing is done for what is not archived, cannot have levels, or has them. Where the WebM cannot be listened to, levels without a
 * channel are laid there, so that it is not asked again each time somebody opens it.
 * @throws Failure of the archive
 */
export async function layLevels({ message }: Delivery, archive: Archive, signal: AbortSignal): Promise<Settlement> {
  if (message.kind !== 'levels')
    throw new Failure('internal', `Levels are not made of messages of kind ${message.kind}.`);
  const { recordingId, conversationId } = message;
  try {
    const manifest = await archive.find({ recordingId, conversationId }, signal);
    if (manifest !== undefined && mayHaveLevels(manifest)) await layFor(manifest, archive, signal);
  } catch (error) {
    // It is gone on purpose, and its levels with it.
    if (!(error instanceof Failure) || error.code !== 'erased') throw error;
  }
  return { outcome: 'done' };
}

async function layFor(manifest: Manifest, archive: Archive, signal: AbortSignal): Promise<void> {
  if ((await archive.levels(manifest, signal)) !== undefined) return;
  await archive.putLevels(manifest, (await levelsFrom(manifest, archive, signal)) ?? NONE, signal);
}

async function levelsFrom(manifest: Manifest, archive: Archive, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    const { tracks, packets } = await readWebm(await archive.read(manifest, undefined, signal));
    const watch = new LevelWatch(tracks);
    for await (const batch of packets) watch.add(batch);
    return watch.levels(manifest.webm.durationMs)?.bytes;
  } catch (error) {
    if (error instanceof Failure && MUTE.has(error.code)) return undefined;
    throw error;
  }
}

/** A WebM that lies there whole, and that we cannot read. */
const MUTE: ReadonlySet<string> = new Set(['unreadable-media', 'unsupported-media']);

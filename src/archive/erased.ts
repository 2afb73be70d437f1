/** The mark that a recording is gone on purpose and stays gone: `erased/{conversationId|_}.{recordingId}.json`, created once. */
import { Failure } from '../failure.ts';
import { keyOf, type Recording } from '../recording.ts';
import type { Objects } from './objects.ts';

function erasedName(recording: Recording): string {
  return `erased/${keyOf(recording)}.json`;
}

/** One request, asked where nothing was found, and once more before something is stored. @throws Failure `erased` */
export async function requireNotErased(recording: Recording, objects: Objects, signal: AbortSignal): Promise<void> {
  if ((await objects.get(erasedName(recording), signal)) === undefined) return;
  throw new Failure('erased', 'This recording was erased on purpose: it is neither played nor made again.');
}

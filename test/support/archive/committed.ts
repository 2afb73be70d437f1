/** What archive-committer.ts stores of a recording: every second one is larger than the hold-back. */
import type { Recording } from '../../../src/recording.ts';
import { bytesOf, type Content } from './content.ts';

export const HOLD_BACK_BYTES = 8192;

export function committedContent({ recordingId }: Recording): Content {
  const clusters = Number(recordingId.split('-').at(-1)) % 2 === 0 ? 5 : 1;
  return {
    head: bytesOf(`${recordingId} head`, 400),
    clusters: Array.from({ length: clusters }, (_, n) => bytesOf(`${recordingId} ${String(n)}`, 4000)),
    originals: [bytesOf(`${recordingId} original`, 3000)],
  };
}

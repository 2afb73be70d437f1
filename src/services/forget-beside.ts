/** What was erased → out of what lies beside the archive on this machine: the queue's file, and the file of the search. */
import { canonicalSubject, subjectKey, type Subject } from '../archive/names.ts';
import type { Config } from '../config/config.ts';
import { messageKey } from '../queue/queue.ts';

/**
 * Elsewhere there is nothing to do: a message of Pub/Sub ends as done when it is delivered, and the search of a bucket reads what
 * lies there. @throws Failure saying what to do; nothing is lost by doing it again
 */
export async function forgetBeside(
  erased: readonly Subject[],
  { queue, archive }: Pick<Config, 'queue' | 'archive'>,
): Promise<void> {
  const subjects = erased.map(canonicalSubject);
  if (queue.kind === 'sqlite') {
    const { forgetMessages } = await import('../queue/sqlite/forget.ts');
    forgetMessages(queue.path, subjects.flatMap(messageKeysOf));
  }
  if (archive.kind !== 'folder') return;
  const { forgetRows, indexPlaces } = await import('../search/sqlite-search.ts');
  for (const path of Object.values(indexPlaces(archive.path))) forgetRows(path, subjects.map(subjectKey));
}

function messageKeysOf({ recordingId, conversationId }: Subject): readonly string[] {
  if (recordingId !== undefined)
    return (['recording', 'levels'] as const).map((kind) => messageKey({ kind, recordingId, conversationId }));
  if (conversationId === undefined) return [];
  return [
    messageKey({ kind: 'conversation', conversationId }),
    messageKey({ kind: 'conversation', conversationId, voicemail: true }),
    messageKey({ kind: 'details', conversationId }),
  ];
}

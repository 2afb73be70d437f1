/** What a command line names → recordings and conversations. */
import { parseId, type Recording } from '../recording.ts';
import { UsageError } from './flags.ts';

/** `C/R`, where `_` for C means "none". @throws UsageError */
export function parseRecordingFlag(text: string): Recording {
  const [conversation, recordingId, ...more] = text.split('/');
  try {
    if (more.length > 0 || recordingId === undefined) throw new UsageError('');
    return {
      recordingId: parseId(recordingId, 'recordingId'),
      conversationId: conversation === '_' ? undefined : parseId(conversation, 'conversationId'),
    };
  } catch {
    throw new UsageError(
      `--recording ${text}: expected CONVERSATION/RECORDING, with _ where there is no conversation.`,
    );
  }
}

/** What a command line names (`--conversation`, `--recording`, `--file`) → recordings and conversations, each once. */
import { readFile } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import { subjectKey, type Subject } from '../archive/names.ts';
import { systemCode } from '../failure.ts';
import { parseId, type Recording } from '../recording.ts';
import { type Flag, type FlagValues, UsageError } from './flags.ts';

/** For the tables of all commands that are about what is named. */
export const TARGET_FLAGS = {
  conversation: {
    kind: 'list',
    value: 'ID',
    meaning: 'a whole conversation, and what of it comes later; several with commas',
  },
  recording: { kind: 'list', value: 'C/R', meaning: 'a recording (_ for C where there is none); several with commas' },
  file: {
    kind: 'text',
    value: 'FILE',
    meaning: 'one of these a line: C for a conversation, C/R for a recording; - for stdin',
  },
} as const satisfies Record<string, Flag>;

/** Lines of a file: more than that is done in several runs. */
const MOST_TARGETS = 100_000;

/** In the order they were named. @throws UsageError saying which flag or line is wrong */
export async function targetsOf(flags: FlagValues): Promise<readonly Subject[]> {
  const conversations = flags.list('conversation').map((text) => parseConversationFlag(text));
  const recordings = flags.list('recording').map((text) => parseRecordingFlag(text));
  const file = flags.text('file');
  const lines = file === undefined ? [] : await readTargets(file);
  const named = [...conversations, ...recordings, ...lines];
  return [...new Map(named.map((subject) => [subjectKey(subject), subject])).values()];
}

/** As people write it: `C/R`, or `C` for a whole conversation. */
export function textOfSubject({ recordingId, conversationId }: Subject): string {
  return recordingId === undefined ? (conversationId ?? '_') : `${conversationId ?? '_'}/${recordingId}`;
}

/** `C/R`, where `_` for C means "none". @throws UsageError */
export function parseRecordingFlag(text: string): Recording {
  const recording = recordingIn(text);
  if (recording !== undefined) return recording;
  throw new UsageError(`--recording ${text}: expected CONVERSATION/RECORDING, with _ where there is no conversation.`);
}

/** As in a list of ids or in an event; in lower case where it is a GUID. @throws UsageError */
export function parseConversationFlag(text: string): Subject {
  const conversation = conversationIn(text);
  if (conversation !== undefined) return conversation;
  throw new UsageError(`--conversation ${text}: expected the id of a conversation.`);
}

async function readTargets(file: string): Promise<readonly Subject[]> {
  const text = await (file === '-' ? textOf(process.stdin) : readFile(file, 'utf8')).catch((error: unknown) => {
    throw new UsageError(`--file ${file} cannot be read (${systemCode(error) ?? 'unknown error'}).`);
  });
  const lines = text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .map((line) => line.trim());
  const named = lines.flatMap((line, index) =>
    line === '' || line.startsWith('#') ? [] : [parseLine(line, `${file} line ${String(index + 1)}`)],
  );
  // To some commands nothing named is everything.
  if (named.length === 0) throw new UsageError(`--file ${file} names nothing: put one of C or C/R on a line.`);
  if (named.length > MOST_TARGETS)
    throw new UsageError(
      `--file ${file} has ${String(named.length)} lines: split it into files of at most ${String(MOST_TARGETS)}.`,
    );
  return named;
}

function parseLine(line: string, where: string): Subject {
  const subject = line.includes('/') ? recordingIn(line) : conversationIn(line);
  if (subject !== undefined) return subject;
  throw new UsageError(
    `${where}: expected CONVERSATION or CONVERSATION/RECORDING, not ${JSON.stringify(line.slice(0, 200))}.`,
  );
}

function conversationIn(text: string): Subject | undefined {
  const conversationId = idOrNothing(text);
  return conversationId === undefined ? undefined : { recordingId: undefined, conversationId };
}

function recordingIn(text: string): Recording | undefined {
  const [conversation = '', recording = '', ...more] = text.split('/');
  const recordingId = more.length === 0 ? idOrNothing(recording) : undefined;
  const conversationId = conversation === '_' ? undefined : idOrNothing(conversation);
  if (recordingId === undefined || (conversation !== '_' && conversationId === undefined)) return undefined;
  return { recordingId, conversationId };
}

function idOrNothing(text: string): string | undefined {
  try {
    return parseId(text, '');
  } catch {
    return undefined;
  }
}

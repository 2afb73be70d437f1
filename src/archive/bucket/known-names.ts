/**
 * What is known of all names of a bucket → one question where there were several: that nothing lies there under ids in capitals, and
 * that every mark of an erasure has its conversation noted beside it, so that one name tells of a recording's mark and its conversation's.
 */
import { createHash } from 'node:crypto';
import { canonicalId, type Recording, spellingsOf } from '../../recording.ts';
import { requireNotErased } from '../erased.ts';
import { ERASED, RECORDINGS, subjectOfKey } from '../names.ts';
import type { Objects } from '../objects.ts';

const ERASED_OF = 'erased-of/';
/** Lies there once all names are known, and before that {@link BEGUN}: from then on whoever lays a mark notes it. Neither is a hash. */
const KNOWN = `${ERASED_OF}known`;
const BEGUN = `${ERASED_OF}begun`;

export class KnownNames {
  readonly #objects: Objects;
  #isKnown = false;
  #hasCapitals = false;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  /** The names that a recording may lie under, its own first. */
  spellingsOf(recording: Recording): readonly Recording[] {
    return this.#isKnown ? [recording] : spellingsOf(recording);
  }

  /** By one question, where all names are known and nothing of its conversation was ever erased. @throws Failure `erased` */
  async requireNotErased(recording: Recording, signal: AbortSignal): Promise<void> {
    const { conversationId } = recording;
    const mayAskOnce = this.#isKnown && conversationId !== undefined;
    if (mayAskOnce && (await this.#objects.get(noteOf(conversationId), signal)) === undefined) return;
    await requireNotErased(recording, this.#objects, signal);
  }

  /**
   * Looks through a bucket that nobody has looked through, conversation by conversation, and notes that it was. What an earlier
   * version marked as erased is noted like what this one does; where something lies under capitals, both names go on being asked.
   */
  async learn(signal: AbortSignal): Promise<void> {
    if (this.#isKnown || this.#hasCapitals) return;
    this.#isKnown = (await this.#objects.get(KNOWN, signal)) !== undefined;
    if (this.#isKnown) return;
    this.#hasCapitals = await this.#areCapitalsThere(signal);
    if (this.#hasCapitals) return;
    await this.#objects.put(BEGUN, '', signal);
    await this.#noteMarks(signal);
    await this.#objects.put(KNOWN, '', signal);
    this.#isKnown = true;
  }

  /** A path is in capitals where each of its GUIDs is: within a conversation's folder that has no letters, the recordings tell. */
  async #areCapitalsThere(signal: AbortSignal): Promise<boolean> {
    for await (const folder of this.#objects.children({ folder: RECORDINGS }, signal)) {
      const conversationId = folder.replace(/\/$/, '');
      if (isInCapitals(conversationId)) return true;
      if (hasSpellings(conversationId)) continue;
      for await (const child of this.#objects.children({ folder: RECORDINGS + folder }, signal))
        if (isInCapitals(child.replace(/\/$/, ''))) return true;
    }
    return false;
  }

  async #noteMarks(signal: AbortSignal): Promise<void> {
    let last: string | undefined;
    for await (const name of this.#objects.children({ folder: ERASED }, signal)) {
      const note = noteBeside(ERASED + name);
      if (note !== undefined && note !== last) await this.#objects.put(note, '', signal);
      last = note ?? last;
    }
  }
}

/**
 * Lays a mark so that, once this resolves, its note lies beside it wherever one is asked for. Asked behind the mark as well: whoever
 * began to look through the bucket in between has seen either the mark, or was seen.
 */
export async function layNoted(
  { note, lay }: { readonly note: string; readonly lay: () => Promise<boolean> },
  objects: Pick<Objects, 'get' | 'put'>,
  signal: AbortSignal,
): Promise<boolean> {
  const areNotesAsked = async (): Promise<boolean> => (await objects.get(BEGUN, signal)) !== undefined;
  const isNoted = await areNotesAsked();
  if (isNoted) await objects.put(note, '', signal);
  const isNew = await lay();
  if (!isNoted && (await areNotesAsked())) await objects.put(note, '', signal);
  return isNew;
}

/** What stands for the conversation of a mark under erased/; undefined for what is no mark, or one of no conversation. */
export function noteBeside(name: string): string | undefined {
  if (!name.startsWith(ERASED) || !name.endsWith('.json')) return undefined;
  const conversationId = subjectOfKey(name.slice(ERASED.length, -'.json'.length))?.conversationId;
  return conversationId === undefined ? undefined : noteOf(conversationId);
}

/** Of a hash, so that no list of what was erased can be read from it. */
function noteOf(conversationId: string): string {
  return ERASED_OF + createHash('sha256').update(canonicalId(conversationId)).digest('hex').slice(0, 32);
}

function isInCapitals(id: string): boolean {
  return canonicalId(id) !== id;
}

function hasSpellings(id: string): boolean {
  return spellingsOf({ recordingId: id, conversationId: undefined }).length > 1;
}

/**
 * What lists of recordings have just said of their entries, so that it is not asked for again one by one; and whether an
 * organization records screens, which come later than the calls they belong to.
 */
import { LISTS } from '../bounds.ts';
import { keyOf } from '../recording.ts';
import type { ConversationRecording, ListedRecording } from './recording-answer.ts';

interface RememberedEntry {
  readonly kind: ListedRecording['kind'];
  /** On the clock of `performance.now()`. */
  readonly until: number;
}

export class RecentLists {
  readonly #known = new Map<string, RememberedEntry>();
  /** Since this process began, or since the last list that had a screen. */
  #withoutScreen = 0;
  #sawScreen = false;

  note(entries: readonly ListedRecording[]): void {
    this.remember(entries);
    if (entries.length === 0) return;
    if (hasScreen(entries)) this.#sawScreen = true;
    this.#withoutScreen = hasScreen(entries) ? 0 : this.#withoutScreen + 1;
  }

  /** Of any lists: what they say of other recordings counts for nothing. */
  remember(entries: readonly Pick<ListedRecording, 'recordingId' | 'conversationId' | 'kind'>[]): void {
    const until = performance.now() + LISTS.rememberedMs;
    for (const entry of entries) {
      const key = keyOf(entry);
      this.#known.delete(key);
      this.#known.set(key, { kind: entry.kind, until });
    }
    for (const key of this.#known.keys()) {
      if (this.#known.size <= LISTS.remembered) break;
      this.#known.delete(key);
    }
  }

  /** undefined where nothing was listed of it lately, or nothing that can be relied on. */
  kindOf(recording: ConversationRecording): ListedRecording['kind'] {
    const key = keyOf(recording);
    const known = this.#known.get(key);
    if (known === undefined || performance.now() < known.until) return known?.kind;
    this.#known.delete(key);
    return undefined;
  }

  /**
   * Whether a list says all there will be, as far as its own words go: nothing in it is still on its way, and a screen is
   * among it where this organization records screens. What comes all the same is found by a later look.
   */
  isComplete(entries: readonly ListedRecording[]): boolean {
    if (entries.length === 0 || !entries.every(({ isSettled }) => isSettled)) return false;
    return hasScreen(entries) || (!this.#sawScreen && this.#withoutScreen > LISTS.withoutScreen);
  }
}

const hasScreen = (entries: readonly ListedRecording[]): boolean => entries.some(({ kind }) => kind === 'screen');

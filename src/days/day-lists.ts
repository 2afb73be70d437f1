/** What Genesys lists of the conversations of one day, asked once for both looks at it, before and after fetching. */
import {
  type Census,
  type CountedDay,
  type CountedList,
  type CountedRecording,
  type ExpectedRecording,
  SETTLED_STATES,
} from '../genesys/census.ts';
import { keyOf, type Recording } from '../recording.ts';

/** Recordings; of about 300 bytes each. */
const MAX_REMEMBERED = 200_000;
/** A list that is older is asked for again: fetching a day may take as long. */
const REMEMBERED_MS = 6 * 3_600_000;

interface RememberedList {
  readonly list: CountedList;
  readonly until: number;
}

export class DayLists implements Census {
  readonly #census: Census;
  readonly #lists = new Map<string, RememberedList>();
  readonly #counted = new Map<string, CountedRecording>();

  constructor(census: Census) {
    this.#census = census;
  }

  get calls(): Census['calls'] {
    return this.#census.calls;
  }

  dataUntil(signal: AbortSignal): Promise<Date> {
    return this.#census.dataUntil(signal);
  }

  grants(signal: AbortSignal): ReturnType<Census['grants']> {
    return this.#census.grants(signal);
  }

  conversationsOf(day: string, isClosed: boolean, signal: AbortSignal): CountedDay {
    return this.#census.conversationsOf(day, isClosed, signal);
  }

  async recordingsOf(conversationId: string, signal: AbortSignal): Promise<CountedList> {
    const known = this.#lists.get(conversationId);
    if (known !== undefined && performance.now() < known.until) return known.list;
    const list = await this.#census.recordingsOf(conversationId, signal);
    this.#remember(conversationId, list);
    return list;
  }

  /** What its list said of a recording. */
  expected(recording: Recording): readonly ExpectedRecording[] {
    const { recordingId, conversationId } = recording;
    if (conversationId === undefined) return [];
    const { startedAt, endedAt, media, fileState } = this.#counted.get(keyOf(recording)) ?? {};
    return [{ recordingId, conversationId, startedAt, endedAt, media, fileState }];
  }

  /** Whatever may still change is asked for again. */
  #remember(conversationId: string, list: CountedList): void {
    const { recordings, lacking } = list;
    if (this.#counted.size + recordings.length > MAX_REMEMBERED) return;
    for (const counted of recordings)
      this.#counted.set(keyOf({ recordingId: counted.recordingId, conversationId }), counted);
    if (lacking !== undefined || recordings.length === 0) return;
    if (!recordings.every(({ fileState }) => SETTLED_STATES.has(fileState))) return;
    this.#lists.set(conversationId, { list, until: performance.now() + REMEMBERED_MS });
  }
}

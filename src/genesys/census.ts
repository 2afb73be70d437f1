/** What can be asked of Genesys Cloud to find out what it has, rather than what an event says: the contract, without the asking. */
import type { Failure } from '../failure.ts';
import type { DivisionGrant } from './grants.ts';

/** A conversation as analytics lists it. */
export interface CountedConversation {
  readonly conversationId: string;
  readonly startedAt: Date;
  /** undefined while it goes on. */
  readonly endedAt: Date | undefined;
  /** Analytics says that a recording of it was started; that it was kept is not said. */
  readonly isRecorded: boolean;
  /** Which of both it was, as far as analytics says so. */
  readonly hasCall: boolean;
  readonly hasScreen: boolean;
  /** Divisions it belongs to. */
  readonly divisions: readonly string[];
  /** As analytics answered, personal as it is: to be kept, or let go at once. */
  readonly answer: unknown;
}

/** File states in which nothing is on its way any more: there, stored away, or gone. Unknown ones may still change. */
export const SETTLED_STATES: ReadonlySet<string> = new Set(['AVAILABLE', 'RESTORED', 'ARCHIVED', 'DELETED', 'ERROR']);

/** A recording as `recordingmetadata` lists it. */
export interface CountedRecording {
  readonly recordingId: string;
  /** `audio`, `screen`, `chat`, `email`, `message` …, lower case; empty where Genesys does not say. */
  readonly media: string;
  /** `AVAILABLE`, `ARCHIVED`, …, upper case; empty where Genesys does not say. */
  readonly fileState: string;
  /** As far as the list says so. */
  readonly startedAt?: Date | undefined;
  readonly endedAt?: Date | undefined;
}

/** What Genesys lists of a conversation, each recording once. */
export interface CountedList {
  readonly recordings: readonly CountedRecording[];
  /** Why that may not be all of it: `not-ready`, or `upstream-error` where entries cannot be read; undefined where it is all. */
  readonly lacking: Failure | undefined;
}

/** A recording that will be asked for soon, as its list says it: a batch says nothing but where its bytes are. */
export interface ExpectedRecording {
  readonly recordingId: string;
  readonly conversationId: string;
  readonly startedAt: Date | undefined;
  readonly endedAt: Date | undefined;
  /** As in a {@link CountedRecording}. */
  readonly media?: string | undefined;
  readonly fileState?: string | undefined;
}

export interface CountedDay {
  /** Each once, on the UTC day it started. */
  readonly conversations: AsyncIterable<CountedConversation>;
  /** After the last one: whether nothing of the day is known to be left out. Never of a day that is not over. */
  isWhole(): boolean;
  /** Whether each entry so far named a conversation that can be asked for. */
  isLegible(): boolean;
}

export interface Census {
  /** Up to here analytics promises to know everything. https://developer.genesys.cloud/analytics (jobs/availability) */
  dataUntil(signal: AbortSignal): Promise<Date>;
  /** The conversations that started on the UTC day, each once, those with recordings and perhaps others. */
  conversationsOf(day: string, isClosed: boolean, signal: AbortSignal): CountedDay;
  /** One call. @throws Failure `forbidden`, `not-found`, … */
  recordingsOf(conversationId: string, signal: AbortSignal): Promise<CountedList>;
  /** What the role of this client allows, by division; undefined where Genesys does not say. */
  grants(signal: AbortSignal): Promise<readonly DivisionGrant[] | undefined>;
  /** Calls made so far, polls of a job's state counted apart. */
  readonly calls: { readonly made: number; readonly polls: number };
}

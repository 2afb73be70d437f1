/** What pages are told from: facts without any of their words, which can be remembered and told again. */
import type { AuditRecord } from '../audit/audit.ts';
import type { DayState } from '../overview.ts';
import type { SearchPage } from '../search/search.ts';
import type { Call } from './call.ts';
import type { ListedFailure } from './failed-list.ts';
import type { LastShown } from './last-shown.ts';
import type { ReplayProgress } from './replay-progress.ts';

/** Of a list. */
export interface FoundFacts {
  readonly found: SearchPage;
  readonly days: readonly DayState[];
  /** Nothing at all lies in the archive. */
  readonly isEmpty: boolean;
}

/** Of a recording or a conversation. */
export interface CallFacts {
  readonly call: Call;
  /** undefined where nothing of it is archived. */
  readonly about: CallSurroundings | undefined;
}

export interface CallSurroundings {
  /** Names by id. */
  readonly divisions: readonly (readonly [string, string])[];
  /** Until when the store keeps it: an instant, empty where it does not, undefined where that cannot be told. */
  readonly keptUntil: string | undefined;
  /** Who listened; undefined where the audit cannot be read. */
  readonly heard: readonly AuditRecord[] | undefined;
}

export interface FailureFacts {
  readonly rows: readonly ListedFailure[];
  readonly isMore: boolean;
  readonly progress: ReplayProgress | undefined;
}

/** Of the audit. */
export interface FoundRecords {
  /** Newest first. */
  readonly records: readonly AuditRecord[];
  readonly count: number;
}

/** What readers were shown last, by the kind of page. */
export interface ShownBefore {
  readonly find: LastShown<FoundFacts>;
  readonly calls: LastShown<CallFacts>;
  readonly failures: LastShown<FailureFacts>;
  readonly audit: LastShown<FoundRecords>;
}

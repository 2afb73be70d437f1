/** Parts that were away → whether each is there again: asked once in a while, however many pages wait for it. */
import type { Archive } from '../archive/archive.ts';
import type { Audit } from '../audit/audit.ts';
import { Failure } from '../failure.ts';
import { dayAt } from '../instant.ts';
import type { Search } from '../search/search.ts';
import { inTime } from '../waiting.ts';
import { SharedLook } from './shared-look.ts';

/** What a page cannot do without. */
export type NeededPart = 'archive' | 'index' | 'audit';

export interface ReturnsNeeds {
  readonly archive: Pick<Archive, 'list'>;
  readonly search: Pick<Search, 'search'> | undefined;
  readonly audit: Pick<Audit, 'read'>;
  readonly now: () => Date;
}

const ASKED_WITHIN_MS = 5_000;
const FRESH_MS = 5_000;

/** However many pages wait, each part is asked once in a while, and for as little as it can be asked for. */
export class Returns {
  readonly #looks: Readonly<Record<NeededPart, SharedLook<boolean>>>;

  constructor({ archive, search, audit, now }: ReturnsNeeds, freshMs = FRESH_MS) {
    const today = (): string => dayAt(now().getTime());
    const shared = (ask: (signal: AbortSignal) => Promise<unknown>): SharedLook<boolean> =>
      new SharedLook(() => answers(ask), freshMs);
    this.#looks = {
      archive: shared((signal) => archive.list({ limit: 1 }, signal)),
      index: shared(async (signal) => {
        const day = today();
        await search?.search({ text: '', from: day, to: day, mayFindNumbers: false, limit: 1 }, signal);
      }),
      audit: shared(async (signal) => {
        for await (const _record of audit.read({ from: today(), to: today() }, signal)) return;
      }),
    };
  }

  /** Never throws. */
  isThere(part: NeededPart): Promise<boolean> {
    return this.#looks[part].known();
  }
}

function answers(ask: (signal: AbortSignal) => Promise<unknown>): Promise<boolean> {
  const late = (): Failure => new Failure('archive-unavailable', 'It does not answer in time.');
  return inTime(ask, ASKED_WITHIN_MS, late).then(
    () => true,
    () => false,
  );
}

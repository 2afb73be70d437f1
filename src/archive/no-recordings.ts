/** Removes the records of conversations that ended without a recording, once nobody asks for them any more. */
import type { Archive, Page } from './archive.ts';

/** Genesys lists a late recording within days; a month later nobody looks for one. */
const KEPT_DAYS = 30;
const DAY_MS = 24 * 3_600_000;
const PAGE_SIZE = 100;

/** How many were removed. */
export async function removeOldNoRecordings(
  archive: Pick<Archive, 'list' | 'removeFailure'>,
  signal: AbortSignal,
): Promise<number> {
  const to = new Date(Date.now() - (KEPT_DAYS + 1) * DAY_MS).toISOString().slice(0, 10);
  let removed = 0;
  let page: Page = { entries: [], cursor: undefined };
  do {
    const cursor = page.cursor === undefined ? {} : { cursor: page.cursor };
    page = await archive.list({ status: 'no-recordings', to, limit: PAGE_SIZE, ...cursor }, signal);
    for (const { recording } of page.entries) await archive.removeFailure(recording, signal);
    removed += page.entries.length;
  } while (page.cursor !== undefined);
  return removed;
}

/** The archive that ARCHIVE_URL names → its search: in a file beside a folder, over days in memory where it is a bucket. */
import type { Archive } from '../archive/archive.ts';
import type { IndexRow } from '../archive/index-row.ts';
import { DayIndex } from '../search/day-index.ts';
import type { Search } from '../search/search.ts';
import { indexPath, SqliteSearch } from '../search/sqlite-search.ts';
import type { Context } from './run.ts';

export interface OpenSearch {
  readonly search: Search;
  /** Hears of each line of the index that is made in this process. */
  readonly onRow: (row: IndexRow) => void;
}

/** What was never indexed is read meanwhile, until the service stops. */
export function openTheSearch(
  { config, log, opened, stopping }: Pick<Context, 'config' | 'log' | 'opened' | 'stopping'>,
  archive: Archive,
): OpenSearch {
  if (config.archive.kind === 'bucket') {
    const search = new DayIndex({ notes: archive.notes });
    opened.defer(() => search.close());
    return { search, onRow: () => undefined };
  }
  const onTrouble = (error: unknown): void =>
    log.warn('The index of the archive could not be brought up to date; searches answer with what is known.', {
      error,
    });
  const search = new SqliteSearch({ path: indexPath(config.archive.path), archive, onTrouble });
  const filling = search.fill(stopping).catch((error: unknown) => {
    if (!stopping.aborted) onTrouble(error);
  });
  opened.defer(async () => {
    await filling;
    await search.close();
  });
  return { search, onRow: (row) => search.note(row) };
}

/** Once a day Genesys is asked what its divisions are called, by whichever worker finds that nobody has. */
import { readDivisions, writeDivisions } from '../archive/division-names.ts';
import type { Archive } from '../archive/archive.ts';
import type { OpenGenesys } from '../genesys/open-genesys.ts';
import type { Context } from './run.ts';

const FIRST_AFTER_MS = 90_000;
const EVERY_MS = 24 * 3_600_000;
const WITHIN_MS = 60_000;

export interface DivisionSources {
  readonly archive: Pick<Archive, 'notes'>;
  readonly genesys: Pick<OpenGenesys, 'divisionNames'>;
}

/** Without names pages show ids: nothing else rests on it, so that what fails is a line in the log and waits for tomorrow. */
export function beginDivisions(
  { log, opened, stopping }: Pick<Context, 'log' | 'opened' | 'stopping'>,
  sources: DivisionSources,
): void {
  const look = (): void =>
    void keepDivisions(sources, stopping).catch((error: unknown) => {
      if (!stopping.aborted) log.warn('What divisions are called could not be asked, or not kept.', { error });
    });
  const first = setTimeout(look, FIRST_AFTER_MS).unref();
  const daily = setInterval(look, EVERY_MS).unref();
  opened.defer(() => {
    clearTimeout(first);
    clearInterval(daily);
  });
}

/** A refusal is kept as well: nobody asks again before tomorrow. */
export async function keepDivisions({ archive, genesys }: DivisionSources, stopping: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(WITHIN_MS)]);
  const known = await readDivisions(archive.notes, signal);
  if (known !== undefined && Math.abs(Date.now() - Date.parse(known.at)) < EVERY_MS / 2) return;
  const names = (await genesys.divisionNames(signal)) ?? new Map<string, string>();
  await writeDivisions({ at: new Date().toISOString(), names }, archive.notes, signal);
}

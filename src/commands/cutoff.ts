/** `--older-than DAYS` → the first day that stays, by the clock that is behind. */
import type { Archive } from '../archive/archive.ts';
import { timeInPlace } from '../archive/place-time.ts';
import type { Config } from '../config/config.ts';
import { askTime } from '../genesys/ask-time.ts';
import { DAY_MS, dayAt } from '../instant.ts';
import { UsageError } from './flags.ts';
import type { Report } from './report.ts';
import { isWrongClock } from '../clock.ts';
import { skewText } from './skew.ts';

export interface CutoffNeeds {
  readonly archive: Archive;
  readonly config: Pick<Config, 'genesys' | 'proxies'>;
  readonly report: Report;
}

/**
 * The first UTC day that is young enough to stay. Asked of three clocks, ours, that of the archive's place and, where one is
 * configured and answers, that of Genesys, of which the one that is behind counts: a clock that runs ahead erases nothing.
 * @throws UsageError
 */
export async function cutoffOf(text: string, needs: CutoffNeeds, signal: AbortSignal): Promise<string> {
  const [, days] = /^([1-9]\d{0,4})d$/.exec(text) ?? [];
  if (days === undefined) throw new UsageError(`--older-than ${text}: expected a number of days, such as 2555d.`);
  const { archive, config, report } = needs;
  const others = [await timeInPlace(archive.notes, signal), ...(await timesAtGenesys(config, signal))];
  const ours = Date.now();
  const now = Math.min(ours, ...others);
  for (const skewMs of others.map((other) => other - ours).filter(isWrongClock))
    report.problem(`The clock of this machine is ${skewText(skewMs)} another one: the one that is behind counts.`);
  return dayAt(now - Number(days) * DAY_MS);
}

async function timesAtGenesys(
  { genesys, proxies }: CutoffNeeds['config'],
  signal: AbortSignal,
): Promise<readonly number[]> {
  const time = genesys.loginUrl === '' ? undefined : await askTime(genesys.loginUrl, proxies, signal);
  return time === undefined ? [] : [time.getTime()];
}

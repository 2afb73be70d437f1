/** What the doctor says of where a worker runs, asked beside its work: for the pulse, and so for the page that people look at. */
import { examine, type Check, type Probe } from '../doctor/check.ts';
import type { PulseCheck } from '../pulse.ts';
import type { Context } from './run.ts';

/** A process that ends sooner has nobody who would read it. */
const FIRST_AFTER_MS = 60_000;
const EVERY_MS = 6 * 3_600_000;

/** The answers of the last look; none before the first. A look that fails is a line of them, and never the worker's trouble. */
export function beginCheckup(
  probes: readonly Probe[],
  { opened, stopping }: Pick<Context, 'opened' | 'stopping'>,
  firstAfterMs = FIRST_AFTER_MS,
): () => readonly PulseCheck[] {
  let latest: readonly PulseCheck[] = [];
  const look = async (): Promise<void> => {
    const checks: PulseCheck[] = [];
    for await (const check of examine(probes, stopping)) checks.push(...pulseCheckOf(check));
    if (!stopping.aborted) latest = checks;
  };
  const begin = (afterMs: number): NodeJS.Timeout =>
    setTimeout(() => void look().finally(() => stopping.aborted || (timer = begin(EVERY_MS))), afterMs).unref();
  let timer = begin(firstAfterMs);
  opened.defer(() => clearTimeout(timer));
  return () => latest;
}

/** What could not be asked stands where it could not. */
function pulseCheckOf({ name, about, state, found, next }: Check): readonly PulseCheck[] {
  return state === 'skipped' ? [] : [{ name, about, state, found, next }];
}

/** The clock of another machine against ours → whether signatures, tokens and days can be trusted. */
import { isWrongClock } from '../clock.ts';
import { broken, type Opinion, well, worthALook } from './check.ts';

const WARN_MS = 5_000;

/** `skewMs`: how far theirs goes before ours; undefined where it was not told. */
export function judgeClock(whose: string, skewMs: number | undefined): Opinion {
  if (skewMs === undefined) return { state: 'skipped', found: `${whose} told no time` };
  const offMs = Math.abs(skewMs);
  const seconds = Math.round(offMs / 1000);
  const found = `our clock is ${String(seconds)} s ${skewMs > 0 ? 'behind' : 'ahead of'} ${whose}`;
  if (isWrongClock(skewMs))
    return broken(found, 'Set the clock of this machine (NTP): tokens and signed links are refused.');
  if (offMs >= WARN_MS) return worthALook(found, 'Set the clock of this machine (NTP) before it drifts further.');
  return well(`our clock agrees with ${whose}`);
}

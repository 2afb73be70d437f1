/** A host of Genesys → the time by its clock, asked without a client's name or secret. */
import { request } from 'undici';
import type { Proxies } from '../config/proxies.ts';
import { createAgent } from './exchange.ts';
import { HeardClock } from './heard-clock.ts';

const WITHIN_MS = 5_000;

/** undefined where it does not answer, or says no time. */
export async function askTime(
  url: string,
  proxies: Proxies | undefined,
  signal: AbortSignal,
): Promise<Date | undefined> {
  const agent = createAgent(proxies);
  const [clock, askedMs] = [new HeardClock(), Date.now()];
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)]);
    const { headers, body } = await request(url, { dispatcher: agent, method: 'HEAD', signal: within });
    clock.hear({ headers, askedMs, toldMs: Date.now() });
    await body.dump();
  } catch {
    signal.throwIfAborted();
  } finally {
    await agent.destroy();
  }
  return clock.skewMs === undefined ? undefined : clock.now();
}

/** Probes → what they say, and what a fault changes of it: exactly the lines that became others. */
import { type Check, examine, type Probe } from '../../src/doctor/check.ts';

export async function examined(probes: readonly Probe[]): Promise<readonly Check[]> {
  const checks: Check[] = [];
  for await (const check of examine(probes, AbortSignal.timeout(300_000))) checks.push(check);
  return checks;
}

/** `state name: found`, with what to do behind it. */
export function lineOfCheck({ state, name, found, next }: Check): string {
  return `${state} ${name}: ${found}${next === undefined ? '' : ` → ${next}`}`;
}

/** The lines that are not well. */
export function troubles(checks: readonly Check[]): readonly string[] {
  return checks.filter(({ state }) => state !== 'ok').map(lineOfCheck);
}

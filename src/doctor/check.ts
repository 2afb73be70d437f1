/** Questions to a set-up → one line each: well, worth a look, or broken, with what to do. All are asked, whatever the others say. */
import { Failure, FAILURES } from '../failure.ts';
import { inTime } from '../waiting.ts';

export type CheckArea = 'configuration' | 'genesys' | 'google' | 'machine' | 'deployment';

/** `skipped`: could not be asked, because of what another line says. */
export type CheckState = 'ok' | 'warn' | 'fail' | 'skipped';

export interface Opinion {
  readonly state: CheckState;
  /** One sentence or less; ids only. */
  readonly found: string;
  /** What to do; always there with `warn` and `fail`. */
  readonly next?: string;
}

export interface Check extends Opinion {
  readonly area: CheckArea;
  readonly name: string;
  /** Which of several it is about, e.g. the id of an OAuth client. */
  readonly about?: string;
  /** What it rests on was read, and never yet seen at a real organization (unconfirmed.ts). */
  readonly unconfirmed?: true;
}

export interface Probe {
  readonly area: CheckArea;
  readonly name: string;
  readonly about?: string;
  /** Names of probes without which this one cannot be made; of the same `about`, where they have one. */
  readonly after?: readonly string[];
  readonly unconfirmed?: true;
  /** A Failure that it throws is a `fail`. */
  readonly look: (signal: AbortSignal) => Promise<Opinion | readonly Opinion[]>;
}

export function well(found: string): Opinion {
  return { state: 'ok', found };
}

export function worthALook(found: string, next: string): Opinion {
  return { state: 'warn', found, next };
}

export function broken(found: string, next: string): Opinion {
  return { state: 'fail', found, next };
}

const LOOK_WITHIN_MS = 45_000;

/** In their order; ends early only when `signal` aborts. */
export async function* examine(probes: readonly Probe[], signal: AbortSignal): AsyncGenerator<Check> {
  const unusable = new Set<string>();
  for (const probe of probes) {
    if (signal.aborted) return;
    const { area, name, about, unconfirmed } = probe;
    const opinions = await opinionsOf(probe, unusable, signal);
    if (opinions.some(({ state }) => state === 'fail' || state === 'skipped')) unusable.add(keyOfProbe(name, about));
    const facts = { area, name, ...(about === undefined ? {} : { about }), ...(unconfirmed && { unconfirmed }) };
    for (const opinion of opinions) yield { ...facts, ...opinion };
  }
}

async function opinionsOf(
  { name, about, after = [], look }: Probe,
  unusable: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<readonly Opinion[]> {
  const missing = after.find((other) => unusable.has(keyOfProbe(other, about)) || unusable.has(keyOfProbe(other)));
  if (missing !== undefined) return [{ state: 'skipped', found: `not asked: see ${missing}` }];
  const late = (): Failure => new Failure('upstream-timeout', `${name}: no answer within 45 s.`);
  try {
    const found = await inTime((stop) => look(AbortSignal.any([signal, stop])), LOOK_WITHIN_MS, late);
    return isList(found) ? found : [found];
  } catch (thrown) {
    const { code, message } = Failure.from(thrown);
    return [broken(message, FAILURES[code].next)];
  }
}

function isList(found: Opinion | readonly Opinion[]): found is readonly Opinion[] {
  return Array.isArray(found);
}

function keyOfProbe(name: string, about = ''): string {
  return `${name} ${about}`;
}

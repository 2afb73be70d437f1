/** How long a page waits for the archive: what it can do without is left out, and what it cannot is said in its place. */
import { Failure } from '../failure.ts';
import { inTime } from '../waiting.ts';

/** Whoever looks at a blank page that long goes elsewhere; below it most slow archives still answer. */
export const PATIENCE_MS = 15_000;

/** @throws Failure `archive-unavailable` once `ms` are over, and whatever `work` throws; aborted by `signal` as well */
export function withPatience<T>(
  work: (signal: AbortSignal) => Promise<T>,
  ms: number,
  signal: AbortSignal,
): Promise<T> {
  const late = (): Failure => new Failure('archive-unavailable', 'The archive does not answer in time.');
  return inTime((deadline) => work(AbortSignal.any([signal, deadline])), ms, late);
}

/** `otherwise` where it fails or is late: the page does not depend on it. */
export async function ifInTime<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { otherwise, patienceMs }: { readonly otherwise: T; readonly patienceMs: number },
  signal: AbortSignal,
): Promise<T> {
  try {
    return await withPatience(work, patienceMs / 5, signal);
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof Failure && thrown.code !== 'internal') return otherwise;
    throw thrown;
  }
}

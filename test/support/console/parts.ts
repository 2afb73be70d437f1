/** The archive, the index and the audit of a scene → the same, each of which can be taken away and brought back. */
import type { ConsoleGiven } from '../../../src/console/console.ts';
import { Failure } from '../../../src/failure.ts';
import { Witness } from '../../../src/http/witness.ts';
import type { ConsoleScene } from './console.ts';

export type PartState = 'there' | 'throws' | 'hangs';
export type PartName = 'archive' | 'index' | 'audit';

export interface TakenParts {
  /** As each is now. */
  readonly state: Record<PartName, PartState>;
  /** For `openConsoleScene`. */
  readonly needs: Pick<ConsoleGiven, 'archive' | 'search' | 'audit' | 'witness' | 'divisions'>;
}

export function takeableParts(scene: ConsoleScene): TakenParts {
  const state: TakenParts['state'] = { archive: 'there', index: 'there', audit: 'there' };
  const over = <T extends object>(part: PartName, target: T): T =>
    new Proxy(target, {
      get(_, name): unknown {
        const value: unknown = Reflect.get(target, name, target);
        if (name === 'notes' && typeof value === 'object' && value !== null) return over(part, value);
        if (typeof value !== 'function') return value;
        return (...given: unknown[]): unknown =>
          state[part] === 'there' ? Reflect.apply(value, target, given) : absence(part, state[part]);
      },
    });
  const [archive, search, audit] = [
    over('archive', scene.archive),
    over('index', scene.search),
    over('audit', scene.audit),
  ];
  const divisions = { known: async () => new Map([['division-1', 'Claims']]) };
  return { state, needs: { archive, search, audit, witness: new Witness(audit, { proxies: 0 }), divisions } };
}

/** Awaited or gone through, it is the same. */
function absence(part: PartName, state: PartState): object {
  const gone =
    state === 'hangs'
      ? new Promise<never>(() => undefined)
      : Promise.reject(new Failure('archive-unavailable', `The ${part} is away.`));
  gone.catch(() => undefined);
  return Object.assign(gone, { [Symbol.asyncIterator]: () => ({ next: () => gone }) });
}

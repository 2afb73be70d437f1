/** Turns the state of what the service depends on into "alive", "ready" and figures. */
import type { RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import type { Metrics } from '../metrics.ts';

export interface Dependency {
  /** As an operator knows it: `queue`, `archive`, `ffmpeg`. */
  readonly name: string;
  /** @throws Failure saying what to change */
  check(signal: AbortSignal): Promise<void>;
  /** What else an operator wants to know of it, the same as long as the service runs. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export interface State {
  readonly ready: boolean;
  /** Why it is not, where that was said by {@link Readiness.notReady}. */
  readonly reason?: string;
  readonly dependencies: Readonly<Record<string, DependencyState>>;
}

export interface DependencyState {
  readonly ok: boolean;
  readonly problem?: string;
  readonly facts?: Dependency['facts'];
}

export interface Readiness {
  /** Never throws. Many askers at once cost one check, and its result lasts for `cacheMs`. */
  state(): Promise<State>;
  /** For good: on shutdown, or after an error nobody foresaw. */
  notReady(reason: string): void;
}

export interface ReadinessOptions {
  readonly cacheMs?: number;
  /** A dependency that does not answer within it is a problem. */
  readonly timeoutMs?: number;
}

export function createReadiness(dependencies: readonly Dependency[], options: ReadinessOptions = {}): Readiness {
  const { cacheMs = 2000, timeoutMs = 3000 } = options;
  let reason: string | undefined;
  let checked: { readonly results: Promise<State['dependencies']>; freshUntil: number } | undefined;

  function results(): Promise<State['dependencies']> {
    if (checked !== undefined && performance.now() < checked.freshUntil) return checked.results;
    const round = { results: checkAll(dependencies, timeoutMs), freshUntil: Infinity };
    void round.results.then(() => (round.freshUntil = performance.now() + cacheMs));
    checked = round;
    return round.results;
  }

  return {
    async state() {
      const dependencies = await results();
      const ready = reason === undefined && Object.values(dependencies).every(({ ok }) => ok);
      return { ready, ...(reason === undefined ? {} : { reason }), dependencies };
    },
    notReady(why) {
      reason ??= why;
    },
  };
}

async function checkAll(dependencies: readonly Dependency[], timeoutMs: number): Promise<State['dependencies']> {
  const checks = dependencies.map(async (dependency) => [dependency.name, await check(dependency, timeoutMs)] as const);
  return Object.fromEntries(await Promise.all(checks));
}

/** Whatever the dependency does with its signal, the answer comes in time. */
async function check(dependency: Dependency, timeoutMs: number): Promise<DependencyState> {
  const stop = new AbortController();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const failure = new Failure('upstream-timeout', `No answer within ${String(timeoutMs)} ms.`);
    late.reject(failure);
    stop.abort(failure);
  }, timeoutMs);
  const facts = dependency.facts === undefined ? {} : { facts: dependency.facts };
  try {
    await Promise.race([dependency.check(stop.signal), late.promise]);
    return { ok: true, ...facts };
  } catch (thrown) {
    return { ok: false, problem: Failure.from(thrown).message, ...facts };
  } finally {
    clearTimeout(timer);
  }
}

/** `/healthz`: the process answers. Nothing else may make it fail: a restart would not mend a dependency. */
export const answerAlive: RequestHandler = (_req, res) => {
  res.json({ status: 'alive' });
};

/** `/readyz`: 200 or 503, with each dependency by name. */
export function answerReady(readiness: Readiness): RequestHandler {
  return async (_req, res) => {
    const state = await readiness.state();
    if (!state.ready) res.setHeader('Retry-After', 2);
    res.status(state.ready ? 200 : 503).json(state);
  };
}

export function answerMetrics(metrics: Metrics): RequestHandler {
  return async (_req, res) => {
    res.setHeader('Content-Type', metrics.contentType);
    res.end(await metrics.text());
  };
}

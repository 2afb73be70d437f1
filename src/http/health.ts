/** The state of what the service depends on → "alive", "ready" and figures. */
import type { RequestHandler } from 'express';
import type { IncomingMessage } from 'node:http';
import { Failure } from '../failure.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { inTime } from '../waiting.ts';

export interface Dependency {
  /** As an operator knows it: `queue`, `archive`, `ffmpeg`. */
  readonly name: string;
  /** @throws Failure saying what to change */
  check(signal: AbortSignal): Promise<void>;
  /** What else an operator wants to know of it, the same as long as the service runs. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

export interface HealthState {
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

export interface ReadinessOptions {
  readonly cacheMs?: number;
  /** A dependency that does not answer within it is a problem. */
  readonly timeoutMs?: number;
  /** Told when it becomes ready, ceases to be, or is not for other reasons than before. */
  readonly onChange?: (state: HealthState) => void;
}

export class Readiness {
  readonly #dependencies: readonly Dependency[];
  readonly #cacheMs: number;
  readonly #timeoutMs: number;
  readonly #onChange: (state: HealthState) => void;
  #reason: string | undefined;
  #checked: { readonly results: Promise<HealthState['dependencies']>; freshUntil: number } | undefined;
  #told = '';

  constructor(dependencies: readonly Dependency[], options: ReadinessOptions = {}) {
    this.#dependencies = dependencies;
    this.#cacheMs = options.cacheMs ?? 2000;
    this.#timeoutMs = options.timeoutMs ?? 3000;
    this.#onChange = options.onChange ?? (() => undefined);
  }

  /** Never throws. Many askers at once cost one check, and its result lasts for `cacheMs`. */
  async state(): Promise<HealthState> {
    const dependencies = await this.#results();
    const reason = this.#reason;
    const ready = reason === undefined && Object.values(dependencies).every(({ ok }) => ok);
    const state = { ready, ...(reason === undefined ? {} : { reason }), dependencies };
    this.#tell(state);
    return state;
  }

  /** For good: on shutdown, or after an error nobody foresaw. */
  notReady(reason: string): void {
    this.#reason ??= reason;
  }

  #results(): Promise<HealthState['dependencies']> {
    if (this.#checked !== undefined && performance.now() < this.#checked.freshUntil) return this.#checked.results;
    const round = { results: checkAll(this.#dependencies, this.#timeoutMs), freshUntil: Infinity };
    void round.results.then(() => (round.freshUntil = performance.now() + this.#cacheMs));
    this.#checked = round;
    return round.results;
  }

  /** It counts as ready before the first question. */
  #tell(state: HealthState): void {
    const problems = state.ready ? '' : JSON.stringify(problemsOf(state));
    if (problems === this.#told) return;
    this.#told = problems;
    this.#onChange(state);
  }
}

/** Why it is not ready, by dependency; `service` where that is the service itself. */
export function problemsOf({ reason, dependencies }: HealthState): Readonly<Record<string, string>> {
  const problems = Object.entries(dependencies).flatMap(([name, { problem }]) =>
    problem === undefined ? [] : [[name, problem]],
  );
  return Object.fromEntries(reason === undefined ? problems : [['service', reason], ...problems]);
}

async function checkAll(dependencies: readonly Dependency[], timeoutMs: number): Promise<HealthState['dependencies']> {
  const checks = dependencies.map(async (dependency) => [dependency.name, await check(dependency, timeoutMs)] as const);
  return Object.fromEntries(await Promise.all(checks));
}

/** Whatever the dependency does with its signal, the answer comes in time. */
async function check(dependency: Dependency, timeoutMs: number): Promise<DependencyState> {
  const late = (): Failure => new Failure('upstream-timeout', `No answer within ${String(timeoutMs)} ms.`);
  const facts = dependency.facts === undefined ? {} : { facts: dependency.facts };
  try {
    await inTime((signal) => dependency.check(signal), timeoutMs, late);
    return { ok: true, ...facts };
  } catch (thrown) {
    return { ok: false, problem: Failure.from(thrown).message, ...facts };
  }
}

/** `/healthz`: the process answers. Nothing else may make it fail: a restart would not mend a dependency. */
export const answerAlive: RequestHandler = (_req, res) => {
  res.json({ status: 'alive' });
};

/**
 * `/readyz`: 200 or 503. Which dependency is not and why, and what encoders are shut off from, is for whoever `mayKnow`:
 * anybody else would read there what to attack.
 */
export function answerReady(readiness: Readiness, mayKnow: (req: IncomingMessage) => boolean): RequestHandler {
  return async (req, res) => {
    const state = await readiness.state();
    if (!state.ready) res.setHeader('Retry-After', 2);
    res.status(state.ready ? 200 : 503).json(mayKnow(req) ? state : { ready: state.ready });
  };
}

export function answerMetrics(metrics: Metrics): RequestHandler {
  return async (_req, res) => {
    res.setHeader('Content-Type', metrics.contentType);
    res.end(await metrics.text());
  };
}

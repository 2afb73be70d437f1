/** Eight who never rest, at a Genesys that counts → how much of what it allows is used in each of its windows, in simulated time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { Allowance, type BookedCall } from '../../src/genesys/allowance.ts';
import { runs, SEED } from '../support/soak.ts';
import { VirtualTime } from '../support/virtual-time.ts';

interface Scene {
  readonly share: number;
  readonly allowed: number;
  /** From its fourth window on. */
  readonly allowedLater?: number;
  readonly windowMs: number;
  /** How the end of a window is told in whole seconds, if it is. */
  readonly rounding: 'up' | 'nearest' | 'down' | 'one more' | 'untold';
  /** Windows follow each other, whenever anybody calls; the first has lasted so long. Undefined: each begins with a call. */
  readonly phaseMs?: number | undefined;
  /** To Genesys and back, from and to. */
  readonly latencyMs: readonly [number, number];
  /** What each of the eight does between two calls. */
  readonly workMs: number;
}

interface ServedWindow {
  readonly from: number;
  readonly allowed: number;
  calls: number;
  refused: number;
}

const WORKERS = 8;
const WINDOWS = 8;

const TOLD = {
  up: (leftMs: number) => Math.ceil(leftMs / 1_000),
  nearest: (leftMs: number) => Math.round(leftMs / 1_000),
  down: (leftMs: number) => Math.floor(leftMs / 1_000),
  // "61" has been seen of windows of a minute.
  'one more': (leftMs: number) => Math.ceil(leftMs / 1_000) + 1,
  untold: () => undefined,
} as const;

/** Counts the calls of one token, as Genesys does. */
class CountingGenesys {
  readonly windows: ServedWindow[] = [];
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  answer(now: number): { readonly headers: Record<string, string>; readonly refusedForMs: number | undefined } {
    const window = this.#windowAt(now);
    window.calls += 1;
    const leftMs = window.from + this.#scene.windowMs - now;
    const resetS = TOLD[this.#scene.rounding](leftMs);
    const isRefused = window.calls > window.allowed;
    if (isRefused) window.refused += 1;
    return {
      headers: {
        'inin-ratelimit-allowed': String(window.allowed),
        'inin-ratelimit-count': String(window.calls),
        ...(resetS === undefined ? {} : { 'inin-ratelimit-reset': String(resetS) }),
      },
      refusedForMs: isRefused ? Math.max(1, Math.ceil(leftMs / 1_000)) * 1_000 : undefined,
    };
  }

  #windowAt(now: number): ServedWindow {
    const { windowMs, phaseMs, allowed, allowedLater } = this.#scene;
    const last = this.windows.at(-1);
    if (last !== undefined && now < last.from + windowMs) return last;
    const from = phaseMs === undefined ? now : Math.floor((now + phaseMs) / windowMs) * windowMs - phaseMs;
    const isLater = this.windows.length >= WINDOWS / 2 - 1;
    const window = { from, allowed: isLater ? (allowedLater ?? allowed) : allowed, calls: 0, refused: 0 };
    this.windows.push(window);
    return window;
  }
}

/** Callers do as `OAuthClient` does, with one allowance for all of them. */
function play(scene: Scene): readonly ServedWindow[] {
  const time = new VirtualTime();
  const genesys = new CountingGenesys(scene);
  const allowance = new Allowance(scene.share);
  let calls = 0;

  const latencyMs = (): number => {
    const [least, most] = scene.latencyMs;
    calls += 1;
    // Spread evenly, and the same in each run.
    return least + (most - least) * ((calls * 0.618_034) % 1);
  };
  const send = (turn: BookedCall): void => {
    const [thereMs, backMs] = [latencyMs() / 2, latencyMs() / 2];
    time.after(thereMs, () => {
      const { headers, refusedForMs } = genesys.answer(time.now);
      time.after(backMs, () => {
        allowance.settle(turn, headers, time.now);
        if (refusedForMs !== undefined) allowance.pause(refusedForMs, time.now);
        time.after(scene.workMs, ask);
      });
    });
  };
  const ask = (): void => {
    const turn = allowance.book('worker', time.now);
    const wait = (): void => {
      const leftMs = allowance.leftMs(turn, time.now);
      if (leftMs > 0) time.after(Math.ceil(leftMs), wait);
      else send(turn);
    };
    wait();
  };
  for (let worker = 0; worker < WORKERS; worker += 1) time.after(worker, ask);
  time.run(WINDOWS * scene.windowMs);
  return genesys.windows;
}

const USED = 0.95;

/**
 * So much later than it ends may a window's end be thought to be, where few calls in its first moment are all that told it; once calls
 * went out too early, a second is added to what is told (to the nearest: half a second too much, and that second).
 */
const LATE_MS = { up: 1_000, nearest: 1_500, down: 1_000, 'one more': 2_000, untold: NaN } as const;

/**
 * What can be used where each window begins with a call: nobody knows more of an end than whole seconds told him, so the next window
 * begins so much later, and by a way there and back; a share of 17 of windows of 30.005 s, told as "32" each, is used to 0.938.
 */
function usableOf({ windowMs, rounding, latencyMs: [, most] }: Scene): number {
  return Math.min(USED, windowMs / (windowMs + LATE_MS[rounding] + most));
}

interface Outcome {
  readonly windows: readonly ServedWindow[];
  /** Of what a share allows of the middle windows, how much was used: their calls, and their time. */
  readonly used: number;
}

function outcomeOf(scene: Scene): Outcome {
  const windows = play(scene);
  const [first, ...rest] = windows.slice(1);
  assert.ok(first !== undefined && rest.length > 2, 'windows were served');
  const last = rest.at(-1)?.from ?? NaN;
  const middle = windows.slice(1, -1);
  const calls = middle.reduce((sum, each) => sum + each.calls, 0);
  // Where each begins with a call, a late one costs its calls.
  const perWindow = middle.reduce((sum, { allowed }) => sum + limitOf(allowed, scene.share), 0) / middle.length;
  return { windows, used: calls / (((last - first.from) / scene.windowMs) * perWindow) };
}

function limitOf(allowed: number, share: number): number {
  return Math.max(1, Math.floor(allowed * share));
}

const USUAL: Scene = { share: 1, allowed: 300, windowMs: 60_000, rounding: 'up', latencyMs: [40, 120], workMs: 20 };

/** Windows of a whole number of seconds and not, from any moment on; shares that give odd numbers. */
const SCENES: Readonly<Record<string, Partial<Scene>>> = {
  'a minute': {},
  'a minute, half of it': { share: 0.5 },
  'a minute, a tenth': { share: 0.1 },
  'a minute, a third': { share: 0.33 },
  'half a minute': { windowMs: 30_000 },
  'half a minute, half of it': { windowMs: 30_000, share: 0.5 },
  'ten seconds': { windowMs: 10_000 },
  'three seconds': { windowMs: 3_000, allowed: 60 },
  'three seconds, half of it': { windowMs: 3_000, allowed: 60, share: 0.5 },
  'no whole number of seconds': { windowMs: 7_350, allowed: 90 },
  'windows that follow each other': { phaseMs: 12_345 },
  'windows that follow each other, half of it': { phaseMs: 47_900, share: 0.5 },
  'windows of three seconds that follow each other': { windowMs: 3_000, allowed: 60, phaseMs: 2_100 },
  'seconds rounded to the nearest': { rounding: 'nearest' },
  'seconds rounded to the nearest, half': { rounding: 'nearest', share: 0.5, windowMs: 30_000 },
  'seconds rounded down': { rounding: 'down' },
  'seconds rounded down, half': { rounding: 'down', share: 0.5, windowMs: 30_000 },
  'seconds rounded down, nearly all of it': { rounding: 'down', share: 0.98 },
  'seconds rounded down, nearly all of half a minute': {
    rounding: 'down',
    share: 0.99,
    windowMs: 30_000,
    allowed: 150,
  },
  'one second more than there is': { rounding: 'one more' },
  'an end that nobody tells': { rounding: 'untold' },
  'an end that nobody tells, of windows that follow each other': { rounding: 'untold', phaseMs: 20_000 },
  'an end that nobody tells, half': { rounding: 'untold', share: 0.5 },
  'more allowed midway': { allowed: 100, allowedLater: 300 },
  'less allowed midway': { allowed: 300, allowedLater: 100, share: 0.5 },
  'a limit below the number of callers': { allowed: 30, share: 0.1 },
  'a limit below twenty, its seconds rounded to the nearest': {
    rounding: 'nearest',
    windowMs: 71_004,
    allowed: 100,
    share: 0.17,
    latencyMs: [1, 11],
    workMs: 1,
  },
  'a limit below twenty, told as ended when the window goes on': {
    rounding: 'nearest',
    windowMs: 59_004,
    allowed: 100,
    share: 0.17,
    latencyMs: [1, 11],
    workMs: 5,
  },
  'a start in the last half second of a window': {
    rounding: 'nearest',
    windowMs: 30_000,
    allowed: 20,
    share: 0.9,
    phaseMs: 29_494,
    latencyMs: [3, 59],
    workMs: 1,
  },
  'a limit of one': { allowed: 10, share: 0.1 },
  'a slow line': { latencyMs: [200, 900], allowed: 100 },
};

for (const [name, changes] of Object.entries(SCENES))
  test(`a share of each window is used, and no more: ${name}`, () => examine({ ...USUAL, ...changes }));

/** With enough time in each window for eight to make all the calls it has, and a call for each of them. */
const ANY: fc.Arbitrary<Scene> = fc
  .record({
    share: fc.oneof(fc.constant(1), fc.double({ min: 0.1, max: 0.9, noNaN: true })),
    allowed: fc.integer({ min: 80, max: 400 }),
    windowMs: fc.integer({ min: 30_000, max: 90_000 }),
    rounding: fc.constantFrom('up', 'nearest', 'down', 'one more'),
    phaseMs: fc.option(fc.double({ min: 0, max: 0.9999, noNaN: true }), { nil: undefined }),
    leastMs: fc.integer({ min: 1, max: 150 }),
    spreadMs: fc.integer({ min: 0, max: 100 }),
    workMs: fc.integer({ min: 1, max: 100 }),
  })
  .map(({ leastMs, spreadMs, phaseMs, ...scene }) => ({
    ...scene,
    phaseMs: phaseMs === undefined ? undefined : Math.floor(phaseMs * scene.windowMs),
    latencyMs: [leastMs, leastMs + spreadMs] as const,
  }));

test('a share of each window is used, and no more, however long windows are and however their end is told', () => {
  fc.assert(
    fc.property(ANY, (scene) => examine(scene, usableOf(scene))),
    { seed: SEED, numRuns: runs(60, 3_000) },
  );
});

test('calls that find out how seconds are rounded, and are refused, cost nothing of a share that is nearly all', () => {
  const nearlyAll = fc
    .tuple(ANY, fc.double({ min: 0.9, max: 0.999, noNaN: true }))
    .map(([scene, share]) => ({ ...scene, share }));
  fc.assert(
    fc.property(nearlyAll, (scene) => examine(scene, usableOf(scene))),
    { seed: SEED, numRuns: runs(60, 3_000) },
  );
});

function examine(scene: Scene, usable = USED): void {
  const { windows, used } = outcomeOf(scene);
  const said = windows.map(({ calls, allowed, refused }) => ({ calls, limit: limitOf(allowed, scene.share), refused }));
  const told = JSON.stringify(said);
  assert.ok(used >= usable, `${used.toFixed(3)} of it: ${told}`);
  const over = said.filter(({ calls, limit }) => calls > limit);
  assert.ok(
    over.every(({ calls, limit }) => calls <= limit + WORKERS),
    told,
  );
  // What nobody has told yet is found out, once: how much is allowed in the first window, and later where windows meet.
  assert.ok(over.filter((window) => window !== said[0]).length <= 1, told);
  const isPlain = scene.rounding === 'up' || scene.rounding === 'one more';
  assert.ok(said.filter(({ refused }) => refused > 0).length <= (isPlain ? 0 : 1), told);
}

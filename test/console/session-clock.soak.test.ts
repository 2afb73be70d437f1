/** Sessions whose service's clock is set forward and back: none lives longer than it may, none ends for a clock set back, and nobody is locked out. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { fc } from '../support/generated.ts';
import { steadyClock } from '../../src/clock.ts';
import { ConsoleKeys } from '../../src/console/who/console-keys.ts';
import { Seal } from '../../src/console/who/sealed.ts';
import { endOfSession, Sessions } from '../../src/console/who/session.ts';
import { runs, SEED } from '../support/soak.ts';

const [MINUTE, HOUR, DAY] = [60, 3_600, 86_400];
const IDLE_S = HOUR;
const LIFETIME_S = 8 * HOUR;
/** Moments are whole seconds. */
const ROUNDED_S = 2;
/** A deed within so long after another one is not written down. */
const RENEWED_AFTER_S = 60;
/** Clocks of two instances may differ by so much. */
const TOLERANCE_S = 60;
const PERSON = { id: 'priya', way: 'key', isAddress: false, groups: [], keyMark: 'mark' } as const;
const KEYS = new ConsoleKeys(() => [{ name: 'k', secret: 'canary-session-key-1', lastDay: undefined }]);

/** One machine, its clock that may be set, its service that may be started anew, and one browser. */
class Machine {
  /** Seconds that pass for everybody. */
  realS = 1_000;
  wallS = Date.parse('2027-03-01T12:00:00Z') / 1000;
  cookie: string | undefined;
  #bootS = this.realS;
  #boots = 0;
  #sessions = this.#started();

  #started(): Sessions {
    const now = (): Date => new Date(this.wallS * 1000);
    const steady = { of: `boot ${String(this.#boots)}`, nowMs: () => (this.realS - this.#bootS) * 1000 };
    return new Sessions(new Seal(KEYS, now, steady), now);
  }

  restart(): void {
    this.#sessions = this.#started();
  }

  /** As well as another machine that takes over. */
  reboot(): void {
    this.#bootS = this.realS;
    this.#boots += 1;
    this.restart();
  }

  pass(seconds: number): void {
    this.realS += seconds;
    this.wallS += seconds;
  }

  async signIn(): Promise<void> {
    await this.#exchange((exchange) => this.#sessions.begin(PERSON, exchange));
  }

  /** When it ends, by the clock of the service, seconds from now; undefined where nobody is signed in. */
  async endsInS(isUse: boolean): Promise<number | undefined> {
    const session = await this.#exchange((exchange) => this.#sessions.of(exchange, isUse));
    return session && Date.parse(endOfSession(session).at) / 1000 - this.wallS;
  }

  /** Whether a cookie was set. */
  async use(): Promise<{ readonly isGood: boolean; readonly isRenewed: boolean }> {
    const before = this.cookie;
    const isGood = (await this.endsInS(true)) !== undefined;
    return { isGood, isRenewed: this.cookie !== before };
  }

  async #exchange<T>(make: (exchange: { req: IncomingMessage; res: ServerResponse }) => Promise<T>): Promise<T> {
    const req = new IncomingMessage(new Socket());
    req.headers = {
      host: 'archive.example.com',
      ...(this.cookie === undefined ? {} : { cookie: `__Host-archiver=${this.cookie}` }),
    };
    const res = new ServerResponse(req);
    const made = await make({ req, res });
    const [, set] = /^__Host-archiver=([^;]+)/.exec(String(res.getHeader('set-cookie') ?? '')) ?? [];
    this.cookie = set ?? this.cookie;
    return made;
  }
}

const JUMPS: Readonly<Record<string, number>> = {
  'by NTP, two seconds on': 2,
  'by NTP, two seconds back': -2,
  'a minute and a half back': -90,
  'five minutes back': -5 * MINUTE,
  'three hours back': -3 * HOUR,
  'two days back': -2 * DAY,
  'a year back': -365 * DAY,
};

for (const [what, jumpS] of Object.entries(JUMPS))
  test(`a clock that is set ${what} while somebody is signed in signs nobody out, and the session ends when it would have`, async () => {
    const machine = new Machine();
    await machine.signIn();
    machine.pass(10 * MINUTE);
    machine.wallS += jumpS;
    const endsInS = (await machine.endsInS(false)) ?? NaN;
    assert.ok(Math.abs(endsInS - 50 * MINUTE) <= Math.abs(jumpS > 0 ? jumpS : 0) + ROUNDED_S, String(endsInS));
    machine.pass(45 * MINUTE);
    assert.ok((await machine.use()).isRenewed);
    for (let minutes = 55; minutes < 475; minutes += 35) {
      assert.ok((await machine.use()).isGood, String(minutes));
      machine.pass(35 * MINUTE);
    }
    machine.pass(5 * MINUTE + ROUNDED_S);
    assert.equal((await machine.use()).isGood, false, 'eight hours are over');
  });

for (const [what, jumpS] of Object.entries(JUMPS).filter(([, seconds]) => seconds < 0))
  test(`what ended by an hour without a deed is not good again once a clock set ${what} has come so far anew`, async () => {
    const machine = new Machine();
    await machine.signIn();
    machine.wallS += jumpS;
    machine.pass(IDLE_S + 1);
    assert.equal(await machine.endsInS(true), undefined);
    for (const again of [-jumpS - IDLE_S - 1, 30, 30, 60, 20 * MINUTE]) {
      machine.pass(Math.max(0, again));
      assert.equal(await machine.endsInS(true), undefined, String(machine.realS));
    }
  });

for (const [what, jumpS] of Object.entries(JUMPS))
  test(`the way to an identity provider and back is over after its ten minutes with a clock set ${what}, and not before`, async () => {
    let [wallS, steadyS] = [Date.parse('2027-03-01T12:00:00Z') / 1000, 77];
    const seal = new Seal(KEYS, () => new Date(wallS * 1000), { of: 'this', nowMs: () => steadyS * 1000 });
    const text = await seal.seal({ facts: { state: 'a' }, purpose: 'sign-in', lifetimeS: 600 });
    wallS += jumpS;
    for (const [seconds, isGood] of [
      [0, true],
      [590, true],
      [12, false],
      [86_400, false],
    ] as const) {
      wallS += seconds;
      steadyS += seconds;
      const opened = await seal.open(text, 'sign-in');
      assert.equal(opened?.facts['state'], isGood ? 'a' : undefined, `${String(seconds)} s later`);
    }
  });

test('a clock that was days ahead when somebody signed in, and is set right, makes the session no longer and no shorter', async () => {
  const machine = new Machine();
  machine.wallS += 3 * DAY;
  await machine.signIn();
  machine.pass(5 * MINUTE);
  machine.wallS -= 3 * DAY;
  const endsInS = (await machine.endsInS(true)) ?? NaN;
  assert.ok(Math.abs(endsInS - 60 * MINUTE) <= ROUNDED_S, String(endsInS));
  machine.reboot();
  assert.ok((await machine.use()).isGood, 'what was written anew is good for a machine that was started anew');
});

test('a machine that slept for longer than an hour has let the session pass, as has a clock set forward', async () => {
  const machine = new Machine();
  await machine.signIn();
  machine.wallS += IDLE_S + 1;
  assert.equal((await machine.use()).isGood, false);
  await machine.signIn();
  assert.ok((await machine.use()).isGood);
});

test('a service that was started anew since its clock was set back ends a session when it would have, and for good', async () => {
  const machine = new Machine();
  machine.wallS += 2 * DAY;
  await machine.signIn();
  machine.pass(5 * MINUTE);
  machine.wallS -= 2 * DAY;
  machine.restart();
  const endsInS = (await machine.endsInS(false)) ?? NaN;
  assert.ok(Math.abs(endsInS - 55 * MINUTE) <= ROUNDED_S, String(endsInS));
  machine.pass(2 * DAY - 10 * MINUTE);
  for (let minutes = 0; minutes < 90; minutes += 5) {
    assert.equal(await machine.endsInS(false), undefined, `${String(minutes)} minutes later`);
    machine.pass(5 * MINUTE);
  }
});

test('processes of one machine tell their time by one clock, where the system names its start', async (t) => {
  if (!existsSync('/proc/sys/kernel/random/boot_id')) return t.skip('this system names no start');
  const told = `import { steadyClock } from ${JSON.stringify(import.meta.resolve('../../src/clock.ts'))};
    const { of, nowMs } = steadyClock();
    console.log(JSON.stringify({ of, ms: nowMs() }));`;
  const here = steadyClock();
  const beforeMs = here.nowMs();
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', told]);
  const { of, ms } = JSON.parse(stdout) as { readonly of: string; readonly ms: number };
  assert.equal(of, here.of);
  assert.ok(beforeMs < ms && ms < here.nowMs());
});

test('a cookie from the future of another machine is none; one signs in anew at once', async () => {
  const machine = new Machine();
  await machine.signIn();
  machine.wallS -= DAY;
  machine.reboot();
  assert.equal((await machine.use()).isGood, false);
  await machine.signIn();
  assert.ok((await machine.use()).isGood);
});

type Step =
  | { readonly does: 'pass' | 'set'; readonly seconds: number }
  | { readonly does: 'use' | 'look' | 'sign in' | 'restart' | 'reboot' };

const STEP: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ does: fc.constant('pass'), seconds: fc.integer({ min: 0, max: 2 * HOUR }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant('set'),
      seconds: fc.oneof(
        fc.integer({ min: -120, max: 120 }),
        fc.integer({ min: -2 * HOUR, max: 2 * HOUR }),
        fc.integer({ min: -9 * DAY, max: 9 * DAY }),
      ),
    }),
  },
  { weight: 5, arbitrary: fc.record({ does: fc.constantFrom('use', 'look') }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constantFrom('sign in', 'restart', 'reboot') }) },
);

/** What is known of the session from outside, in time that passes for everybody. */
interface Life {
  signedInAtS: number;
  usedAtS: number;
  /** Set forward by so much in all since, and back. */
  forwardS: number;
  backS: number;
  /** Of what its cookie was sealed with. */
  isOfThisMachine: boolean;
  /** Set back while its cookie was that of a machine that was started anew since, or before: nobody counts those seconds. */
  uncountedS: number;
  hasEnded: boolean;
}

async function play(steps: readonly Step[]): Promise<void> {
  const machine = new Machine();
  let life = await begun(machine);
  for (const step of steps) {
    if (step.does === 'pass') machine.pass(step.seconds);
    else if (step.does === 'set') set(machine, life, step.seconds);
    else if (step.does === 'restart') machine.restart();
    else if (step.does === 'reboot') {
      machine.reboot();
      life.isOfThisMachine = false;
      life.uncountedS = life.backS;
    } else if (step.does === 'sign in') life = await begun(machine);
    else await look(machine, life, step.does === 'use');
  }
  assert.equal((await begun(machine)).hasEnded, false);
}

/** Whatever the clock says, whoever signs in is in. */
async function begun(machine: Machine): Promise<Life> {
  await machine.signIn();
  assert.ok((await machine.endsInS(false)) !== undefined, 'who has just signed in is signed in');
  const [signedInAtS, usedAtS] = [machine.realS, machine.realS];
  return { signedInAtS, usedAtS, forwardS: 0, backS: 0, isOfThisMachine: true, uncountedS: 0, hasEnded: false };
}

function set(machine: Machine, life: Life, seconds: number): void {
  machine.wallS += seconds;
  if (seconds > 0) life.forwardS += seconds;
  else life.backS -= seconds;
  if (!life.isOfThisMachine) life.uncountedS = life.backS;
}

async function look(machine: Machine, life: Life, isUse: boolean): Promise<void> {
  const idleS = machine.realS - life.usedAtS;
  const ageS = machine.realS - life.signedInAtS;
  const before = machine.cookie;
  const endsInS = await machine.endsInS(isUse);
  const isGood = endsInS !== undefined;
  const told = JSON.stringify({ idleS, ageS, isGood, endsInS, ...life });
  // What was set back before its machine was started anew, that alone is added to what it may.
  const moreS = life.uncountedS + ROUNDED_S;
  if (isGood) assert.ok(idleS <= IDLE_S + moreS && ageS <= LIFETIME_S + moreS, `too long: ${told}`);
  if (isGood)
    assert.ok(
      endsInS > 0 && endsInS <= IDLE_S + Math.min(life.uncountedS, TOLERANCE_S) + ROUNDED_S,
      `its end: ${told}`,
    );
  const isWithin = Math.max(idleS - IDLE_S, ageS - LIFETIME_S) + life.forwardS < -ROUNDED_S;
  const isKnown = life.isOfThisMachine || life.uncountedS <= TOLERANCE_S;
  if (isWithin && isKnown) assert.ok(isGood, `too short: ${told}`);
  if (isGood && isUse && idleS > RENEWED_AFTER_S + ROUNDED_S + life.uncountedS)
    assert.notEqual(machine.cookie, before, told);
  if (life.isOfThisMachine && life.uncountedS === 0 && life.hasEnded && life.forwardS === 0)
    assert.ok(!isGood, `good again: ${told}`);
  if (!isGood) life.hasEnded = true;
  if (machine.cookie !== before) {
    life.usedAtS = machine.realS;
    life.isOfThisMachine = true;
  }
}

test('whatever a clock does between deeds, looks and restarts, a session lasts as long as it may, and whoever signs in is in', async () => {
  const property = fc.asyncProperty(fc.array(STEP, { minLength: 4, maxLength: 40 }), play);
  await fc.assert(property, { seed: SEED, numRuns: runs(120, 6_000) });
});

/** Small facts → a text that nobody else can read, make or change, good for a time and one purpose: JWE, `dir` with A256GCM (RFC 7516). */
import { EncryptJWT, jwtDecrypt, type JWTPayload } from 'jose';
import { type SteadyClock, steadyClock } from '../../clock.ts';
import type { ConsoleKeys } from './console-keys.ts';

export interface SealedText {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly purpose: string;
  readonly lifetimeS: number;
}

export interface OpenedText {
  readonly facts: Readonly<Record<string, unknown>>;
  /** How far the clock was set back since it was sealed; known where this machine sealed it since its start, else 0. */
  readonly setBackS: number;
}

/** Clocks of several instances differ; by more than this a text was not made by one of them, or a clock jumped. */
const TOLERANCE_S = 60;

export class Seal {
  readonly #keys: Pick<ConsoleKeys, 'sessions'>;
  readonly #now: () => Date;
  readonly #steady: SteadyClock;

  /** `now`: the wall clock, which may be set; `steady`: tells what was sealed here from what another machine sealed, and how long ago. */
  constructor(keys: Pick<ConsoleKeys, 'sessions'>, now: () => Date, steady = steadyClock()) {
    this.#keys = keys;
    this.#now = now;
    this.#steady = steady;
  }

  /** By the first key. */
  async seal({ facts, purpose, lifetimeS }: SealedText): Promise<string> {
    const [key = new Uint8Array()] = this.#keys.sessions;
    const nowS = Math.floor(this.#now().getTime() / 1000);
    return new EncryptJWT({ ...facts, sealedBy: this.#steady.of, steadyS: this.#steady.nowMs() / 1000 })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setAudience(purpose)
      .setIssuedAt(nowS)
      .setExpirationTime(nowS + lifetimeS)
      .encrypt(key);
  }

  /** By any key; undefined where it is not ours, over, for something else, or from the future of a clock that is not this machine's own. */
  async open(text: string, purpose: string): Promise<OpenedText | undefined> {
    const currentDate = this.#now();
    for (const key of this.#keys.sessions) {
      try {
        const { payload } = await jwtDecrypt(text, key, {
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
          audience: purpose,
          requiredClaims: ['iat', 'exp'],
          currentDate,
        });
        return this.#stillGood(payload, currentDate);
      } catch {
        // Not by this key, or not at all.
      }
    }
    return undefined;
  }

  /** What this machine sealed is as old as a clock says that nobody sets, or older where the machine slept. */
  #stillGood(payload: JWTPayload, now: Date): OpenedText | undefined {
    const { iat = Infinity, exp = 0, sealedBy, steadyS } = payload;
    const ageS = now.getTime() / 1000 - iat;
    const steadyAgeS = typeof steadyS === 'number' ? this.#steady.nowMs() / 1000 - steadyS : NaN;
    if (sealedBy !== this.#steady.of || !(steadyAgeS >= 0))
      return ageS < -TOLERANCE_S ? undefined : { facts: payload, setBackS: 0 };
    return steadyAgeS >= exp - iat
      ? undefined
      : { facts: payload, setBackS: Math.max(0, Math.round(steadyAgeS - ageS)) };
  }
}

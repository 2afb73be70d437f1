/** Small facts → a text that nobody else can read, make or change, good for a time and one purpose: JWE, `dir` with A256GCM (RFC 7516). */
import { EncryptJWT, jwtDecrypt } from 'jose';
import type { ConsoleKeys } from './console-keys.ts';

export interface SealedText {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly purpose: string;
  readonly lifetimeS: number;
}

/** Clocks of several instances differ; by more than this a text was not made by one of them, or a clock jumped. */
const TOLERANCE_S = 60;

export class Seal {
  readonly #keys: Pick<ConsoleKeys, 'sessions'>;
  readonly #now: () => Date;

  constructor(keys: Pick<ConsoleKeys, 'sessions'>, now: () => Date) {
    this.#keys = keys;
    this.#now = now;
  }

  /** By the first key. */
  async seal({ facts, purpose, lifetimeS }: SealedText): Promise<string> {
    const [key = new Uint8Array()] = this.#keys.sessions;
    const nowS = Math.floor(this.#now().getTime() / 1000);
    return new EncryptJWT({ ...facts })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setAudience(purpose)
      .setIssuedAt(nowS)
      .setExpirationTime(nowS + lifetimeS)
      .encrypt(key);
  }

  /** By any key; undefined where it is not ours, over, for something else, or from the future. */
  async open(text: string, purpose: string): Promise<Readonly<Record<string, unknown>> | undefined> {
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
        return (payload.iat ?? Infinity) > currentDate.getTime() / 1000 + TOLERANCE_S ? undefined : payload;
      } catch {
        // Not by this key, or not at all.
      }
    }
    return undefined;
  }
}

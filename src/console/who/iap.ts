/** The assertion that Identity-Aware Proxy signs → who that is; what it does not sign is never believed. */
import { createRemoteJWKSet, customFetch, type FetchImplementation, jwtVerify, type JWTPayload } from 'jose';
import { ClockWatch } from '../../clock.ts';
import type { Grant } from '../../config/console.ts';
import { Failure } from '../../failure.ts';
import { headerOf } from '../../http/headers.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Doorkeeper, DoorExchange } from '../console.ts';
import { identityOf, type Identity } from './identity.ts';

export interface IapDoorNeeds {
  /** As https://cloud.google.com/iap/docs/signed-headers-howto says what stands in `aud`. */
  readonly audience: string;
  readonly grants: readonly Grant[];
  readonly log: Pick<Log, 'warn'>;
  readonly fetch: FetchImplementation;
  /** Where Google publishes IAP's keys; another one in tests. */
  readonly keysUrl?: string;
  readonly now?: () => Date;
}

const ISSUER = 'https://cloud.google.com/iap';
const KEYS_URL = 'https://www.gstatic.com/iap/verify/public_key-jwk';
const KEYS_WITHIN_MS = 5_000;

export class IapDoor implements Doorkeeper {
  readonly #needs: IapDoorNeeds;
  readonly #clock = new ClockWatch();
  #kept: ReturnType<typeof createRemoteJWKSet> | undefined;

  constructor(needs: IapDoorNeeds) {
    this.#needs = needs;
  }

  /** Fetched when they are first asked for, and again as the library sees fit. */
  #keys(): ReturnType<typeof createRemoteJWKSet> {
    if (this.#clock.wasSetBack()) this.#kept = undefined;
    return (this.#kept ??= createRemoteJWKSet(new URL(this.#needs.keysUrl ?? KEYS_URL), {
      timeoutDuration: KEYS_WITHIN_MS,
      [customFetch]: this.#needs.fetch,
    }));
  }

  /** @throws Failure `unauthorized` saying what to look at, `upstream-unavailable` where Google's keys cannot be had */
  async identify({ req }: Pick<DoorExchange, 'req'>): Promise<Identity> {
    const assertion = headerOf(req.headers, 'x-goog-iap-jwt-assertion');
    if (assertion === undefined) throw notVouched('no assertion: the request has not come through IAP');
    const { aud, email, sub } = await this.#verified(assertion);
    this.#requireAudience(aud);
    if (typeof email !== 'string' || typeof sub !== 'string') throw notVouched('an assertion without an address');
    const person = { id: email.toLowerCase(), way: 'iap', isAddress: true, groups: [] } as const;
    return identityOf(person, this.#needs.grants);
  }

  signInAt(): undefined {
    return undefined;
  }

  async #verified(assertion: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(assertion, this.#keys(), {
        algorithms: ['ES256'],
        issuer: ISSUER,
        requiredClaims: ['exp', 'iat', 'aud'],
        clockTolerance: 30,
        ...(this.#needs.now === undefined ? {} : { currentDate: this.#needs.now() }),
      });
      return payload;
    } catch (cause) {
      if (isAboutToken(cause)) throw notVouched('an assertion that is no good: signature, issuer or time');
      const text =
        'Google’s keys could not be fetched, so nobody can be told from anybody else; try again in a moment.';
      throw new Failure('upstream-unavailable', text, { cause });
    }
  }

  /** Signed by Google, so that it can be shown: which form it has depends on how the service is reached. */
  #requireAudience(aud: JWTPayload['aud']): void {
    const { audience, log } = this.#needs;
    if (aud === audience) return;
    log.warn('An assertion of IAP was for another audience: set CONSOLE_IAP_AUDIENCE to this one if it is ours.', {
      audience: String(aud).slice(0, 300),
    });
    throw notVouched('an assertion for another audience; the log has it');
  }
}

/** Of the library's errors those of the key set are about the way, the rest about the token. */
function isAboutToken(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('ERR_J') && !ABOUT_KEYS.has(code);
}

const ABOUT_KEYS: ReadonlySet<string> = new Set(['ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID', 'ERR_JOSE_GENERIC']);

function notVouched(why: string): Failure {
  return new Failure('unauthorized', `Identity-Aware Proxy has not vouched for this request: ${why}.`);
}

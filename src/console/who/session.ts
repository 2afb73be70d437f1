/** Who has signed in → a cookie that says so, and back: for 8 hours, and for one without a deed. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fields } from '../../fields.ts';
import { isLoopback } from '../../loopback.ts';
import { cookieName, cookieOf, cookieText } from './cookies.ts';
import type { Person, SessionEnd, SignInWay } from './identity.ts';
import type { OpenedText, Seal } from './sealed.ts';

/** Absolute, and without a deed. */
const LIFETIME_S = 8 * 3_600;
const IDLE_S = 3_600;
/** A cookie is made anew at most so often. */
const RENEWED_AFTER_S = 60;
const TOLERANCE_S = 60;

const COOKIE = 'archiver';
const PURPOSE = 'session';

export interface Session extends Person {
  /** Of the key that was signed in with: the session ends with it. */
  readonly keyMark: string | undefined;
  /** Seconds since 1970. */
  readonly signedInAtS: number;
  readonly usedAtS: number;
}

/** Whichever comes first: eight hours, one without a deed, or the end of the key; milliseconds of `Date.now()`. */
export function endOfSession({ signedInAtS, usedAtS }: Session, keyEndsAtMs = Infinity): SessionEnd {
  const ends = [
    [keyEndsAtMs, 'key'],
    [(signedInAtS + LIFETIME_S) * 1000, 'hours'],
    [(usedAtS + IDLE_S) * 1000, 'idle'],
  ] as const;
  const [atMs, why] = ends.reduce((first, end) => (end[0] < first[0] ? end : first));
  return { at: new Date(atMs).toISOString(), why };
}

export interface WebExchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

export class Sessions {
  readonly #seal: Seal;
  readonly #now: () => Date;

  constructor(seal: Seal, now: () => Date) {
    this.#seal = seal;
    this.#now = now;
  }

  async begin(person: Person & Pick<Session, 'keyMark'>, exchange: WebExchange): Promise<void> {
    const nowS = this.#nowS();
    await this.#write({ ...person, signedInAtS: nowS, usedAtS: nowS }, exchange);
  }

  /** undefined where there is none, or it has ended. `isUse` puts off its end. */
  async of(exchange: WebExchange, isUse: boolean): Promise<Session | undefined> {
    const text = cookieOf(exchange.req, cookieName(COOKIE, isPlainRequest(exchange.req)));
    if (text === undefined) return undefined;
    const opened = await this.#seal.open(text, PURPOSE);
    const session = opened && sessionIn(opened);
    if (session === undefined || !this.#isGood(session)) return undefined;
    const nowS = this.#nowS();
    const isAsWritten = opened?.setBackS === 0 && nowS - session.usedAtS <= RENEWED_AFTER_S;
    if (!isUse || isAsWritten) return session;
    const renewed = { ...session, usedAtS: nowS };
    await this.#write(renewed, exchange);
    return renewed;
  }

  end({ req, res }: WebExchange): void {
    res.appendHeader('Set-Cookie', cookieText(COOKIE, '', { isPlain: isPlainRequest(req), maxAgeS: 0 }));
  }

  /** One from the future was made while the clock of another machine was wrong, and would live too long. */
  #isGood({ signedInAtS, usedAtS }: Session): boolean {
    const nowS = this.#nowS();
    if (Math.max(signedInAtS, usedAtS) > nowS + TOLERANCE_S) return false;
    return nowS - signedInAtS < LIFETIME_S && nowS - usedAtS < IDLE_S;
  }

  async #write(session: Session, { req, res }: WebExchange): Promise<void> {
    const lifetimeS = Math.max(1, Math.min(session.signedInAtS + LIFETIME_S - this.#nowS(), IDLE_S));
    const text = await this.#seal.seal({ facts: { ...session }, purpose: PURPOSE, lifetimeS });
    res.appendHeader('Set-Cookie', cookieText(COOKIE, text, { isPlain: isPlainRequest(req), maxAgeS: lifetimeS }));
  }

  #nowS(): number {
    return Math.floor(this.#now().getTime() / 1000);
  }
}

/** By plain http to this machine itself: there alone a cookie does without https. */
export function isPlainRequest({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const host = URL.parse(`http://${headers.host ?? ''}`)?.hostname ?? '';
  return isLoopback(host.replace(/^\[(.*)\]$/, '$1'));
}

const WAYS: readonly SignInWay[] = ['iap', 'oidc', 'key', 'none'];

/**
 * Ours, since only we can have sealed it; what an older version sealed is looked at all the same. Its moments are those of the clock
 * as it is now: one that was set back neither ends a session nor makes it longer.
 */
function sessionIn({ facts, setBackS }: OpenedText): Session | undefined {
  const fields = Fields.in(facts);
  const [id, isAddress] = [fields?.text('id'), fields?.boolean('isAddress')];
  const [signedInAtS, usedAtS] = [fields?.number('signedInAtS'), fields?.number('usedAtS')];
  const way = WAYS.find((way) => way === fields?.raw('way'));
  const groups = fields?.raw('groups');
  if (id === undefined || way === undefined || isAddress === undefined || !Array.isArray(groups)) return undefined;
  if (signedInAtS === undefined || usedAtS === undefined) return undefined;
  const names = groups.filter((group): group is string => typeof group === 'string');
  const moments = { signedInAtS: signedInAtS - setBackS, usedAtS: usedAtS - setBackS };
  return { id, way, isAddress, groups: names, keyMark: fields?.text('keyMark'), ...moments };
}

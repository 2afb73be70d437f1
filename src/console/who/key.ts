/** One of API_KEYS, typed once → a session, which ends when the key does. */
import { hash } from 'node:crypto';
import type { Express, Request, Response } from 'express';
import type { Grant } from '../../config/console.ts';
import { Failure } from '../../failure.ts';
import { KeyRing } from '../../http/constant-time.ts';
import { addressOf, type Witness } from '../../http/witness.ts';
import { endOfKey, hasEnded, type Key } from '../../key.ts';
import type { Doorkeeper, DoorExchange, ShowPage } from '../console.ts';
import { readForm, returnPath } from '../forms.ts';
import { signInPage } from '../sign-in.ts';
import { identityOf, type Identity } from './identity.ts';
import { endOfSession, type Session, type Sessions, type WebExchange } from './session.ts';
import { Slowdown } from './slowdown.ts';

export interface DoorNeeds {
  readonly grants: readonly Grant[];
  readonly sessions: Sessions;
  readonly witness: Witness;
  readonly publicUrl: string | undefined;
  /** Proxies in front whose X-Forwarded-For is believed. */
  readonly proxies: number;
}

export interface KeyDoorNeeds extends DoorNeeds {
  /** Asked for at each use. */
  readonly keys: () => readonly Key[];
  readonly slowdown?: Slowdown;
  /** Wall clock. */
  readonly now: () => Date;
}

export class KeyDoor implements Doorkeeper {
  readonly #needs: KeyDoorNeeds;
  readonly #ring: KeyRing;
  readonly #slowdown: Slowdown;

  constructor(needs: KeyDoorNeeds) {
    this.#needs = needs;
    this.#ring = new KeyRing(needs.keys, () => needs.now().getTime());
    this.#slowdown = needs.slowdown ?? new Slowdown();
  }

  async identify({ req, res, isUse }: DoorExchange): Promise<Identity | undefined> {
    const session = await this.#needs.sessions.of({ req, res }, isUse);
    if (session === undefined || session.way !== 'key') return undefined;
    const key = this.#keyOf(session);
    if (key === undefined || hasEnded(key, this.#needs.now().getTime())) return undefined;
    return { ...identityOf(session, this.#needs.grants), ends: endOfSession(session, endOfKey(key)) };
  }

  /** The one that is good the longest, of those with its secret. */
  #keyOf({ keyMark }: Session): Key | undefined {
    return this.#needs
      .keys()
      .filter((key) => markOf(key) === keyMark)
      .toSorted((a, b) => (endOfKey(a) < endOfKey(b) ? 1 : -1))[0];
  }

  /** Why a session that was not over has ended all the same; undefined where there is none, or it goes on. */
  async #whyEnded(exchange: WebExchange): Promise<string | undefined> {
    const session = await this.#needs.sessions.of(exchange, false);
    if (session === undefined || session.way !== 'key') return undefined;
    const key = this.#keyOf(session);
    if (key === undefined) return 'The key that you signed in with was taken away: sign in with another one.';
    if (!hasEnded(key, this.#needs.now().getTime())) return undefined;
    return `The key that you signed in with was good until ${key.lastDay ?? ''} (UTC): sign in with another one.`;
  }

  signInAt(to: string): string {
    return `/console/sign-in?to=${encodeURIComponent(to)}`;
  }

  routes(app: Express, show: ShowPage): void {
    app.get('/sign-in', (req, res) => this.#offer(show, { req, res }));
    app.post('/sign-in', (req, res) => this.#signIn(show, { req, res }));
    app.post('/sign-out', (req, res) => this.#signOut(req, res));
  }

  async #offer(show: ShowPage, { req, res }: { readonly req: Request; readonly res: Response }): Promise<void> {
    const to = returnPath(new URLSearchParams(URL.parse(req.originalUrl, 'http://localhost')?.search).get('to'));
    await show(signInPage({ to, ended: await this.#whyEnded({ req, res }) }), { req, res, who: undefined });
  }

  async #signOut(req: Request, res: Response): Promise<void> {
    await readForm(req, this.#needs.publicUrl);
    this.#needs.sessions.end({ req, res });
    res.status(303).setHeader('Location', '/console/sign-in').end();
  }

  async #signIn(show: ShowPage, { req, res }: { readonly req: Request; readonly res: Response }): Promise<void> {
    const { sessions, witness, publicUrl, proxies } = this.#needs;
    const form = await readForm(req, publicUrl);
    const to = returnPath(form.get('to'));
    const address = addressOf(req, proxies) ?? '';
    const afterS = this.#slowdown.holdBack(address, res);
    if (afterS > 0) {
      const problem = `Too many keys were wrong: wait ${String(afterS)} seconds and try again.`;
      return show(signInPage({ to, problem, status: 429 }), { req, res, who: undefined });
    }
    const found = this.#find(form.get('key') ?? '');
    if (found instanceof Failure) {
      this.#slowdown.failed(address);
      await witness.record(req, { action: 'refused', way: 'key', who: 'nobody', about: { reason: 'key' } });
      return show(signInPage({ to, problem: found.message, status: 401 }), { req, res, who: undefined });
    }
    this.#slowdown.succeeded(address);
    const person = { id: found.name, way: 'key', isAddress: false, groups: [], keyMark: markOf(found) } as const;
    await witness.record(req, { action: 'signed-in', way: 'key', who: person.id });
    await sessions.begin(person, { req, res });
    res.status(303).setHeader('Location', to).end();
  }

  #find(presented: string): Key | Failure {
    try {
      return (
        this.#ring.find(presented.trim()) ?? new Failure('unauthorized', 'It is none of the keys of this service.')
      );
    } catch (thrown) {
      return Failure.from(thrown);
    }
  }
}

/** Tells keys apart, and nothing of what they are. */
function markOf({ secret }: Key): string {
  return hash('sha256', `console ${secret}`, 'base64url').slice(0, 22);
}

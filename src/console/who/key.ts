/** One of API_KEYS, typed once → a session, which ends when the key does. */
import { hash } from 'node:crypto';
import type { Express, Request, Response } from 'express';
import type { Grant } from '../../config/console.ts';
import { Failure } from '../../failure.ts';
import { KeyRing } from '../../http/constant-time.ts';
import { addressOf, type Witness } from '../../http/witness.ts';
import { hasEnded, type Key } from '../../key.ts';
import type { Doorkeeper, DoorExchange, ShowPage } from '../console.ts';
import { readForm, returnPath } from '../forms.ts';
import { signInPage } from '../sign-in.ts';
import { identityOf, type Identity } from './identity.ts';
import { endOfSession, type Sessions } from './session.ts';
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
}

export class KeyDoor implements Doorkeeper {
  readonly #needs: KeyDoorNeeds;
  readonly #ring: KeyRing;
  readonly #slowdown: Slowdown;

  constructor(needs: KeyDoorNeeds) {
    this.#needs = needs;
    this.#ring = new KeyRing(needs.keys);
    this.#slowdown = needs.slowdown ?? new Slowdown();
  }

  async identify({ req, res, isUse }: DoorExchange): Promise<Identity | undefined> {
    const session = await this.#needs.sessions.of({ req, res }, isUse);
    if (session === undefined || session.way !== 'key') return undefined;
    const now = Date.now();
    const isThere = this.#needs.keys().some((key) => markOf(key) === session.keyMark && !hasEnded(key, now));
    return isThere ? { ...identityOf(session, this.#needs.grants), ends: endOfSession(session) } : undefined;
  }

  signInAt(to: string): string {
    return `/console/sign-in?to=${encodeURIComponent(to)}`;
  }

  routes(app: Express, show: ShowPage): void {
    app.get('/sign-in', (req, res) => {
      const to = returnPath(new URLSearchParams(URL.parse(req.originalUrl, 'http://localhost')?.search).get('to'));
      return show(signInPage({ to }), { req, res, who: undefined });
    });
    app.post('/sign-in', (req, res) => this.#signIn(show, { req, res }));
    app.post('/sign-out', (req, res) => this.#signOut(req, res));
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
    const afterMs = this.#slowdown.waitMs(address);
    if (afterMs > 0) {
      res.setHeader('Retry-After', Math.ceil(afterMs / 1000));
      const problem = `Too many keys were wrong: wait ${String(Math.ceil(afterMs / 1000))} seconds and try again.`;
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

/** CONSOLE_SESSION_KEYS → the keys that sessions are encrypted and forms are signed with. */
import { hkdfSync, randomBytes } from 'node:crypto';
import type { Key } from '../../key.ts';
import { hasEnded } from '../../key.ts';

/** The first makes, all are understood: so they rotate. Asked for at each use, since their file may change. */
export class ConsoleKeys {
  readonly #given: () => readonly Key[];
  readonly #own = randomBytes(32).toString('hex');
  #derived:
    { readonly from: string; readonly sessions: readonly Buffer[]; readonly forms: readonly Buffer[] } | undefined;

  /** Without any, one of this process alone: sessions end with it. */
  constructor(given: () => readonly Key[]) {
    this.#given = given;
  }

  /** 32 bytes each. */
  get sessions(): readonly Buffer[] {
    return this.#current().sessions;
  }

  get forms(): readonly Buffer[] {
    return this.#current().forms;
  }

  #current(): { readonly sessions: readonly Buffer[]; readonly forms: readonly Buffer[] } {
    const given = this.#given().filter((key) => !hasEnded(key, Date.now()));
    const secrets = given.length === 0 ? [this.#own] : given.map(({ secret }) => secret);
    const from = secrets.join('\n');
    if (this.#derived?.from === from) return this.#derived;
    const of = (purpose: string): readonly Buffer[] => secrets.map((secret) => derivedKey(secret, purpose));
    this.#derived = { from, sessions: of('console session'), forms: of('console form') };
    return this.#derived;
  }
}

function derivedKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, 32));
}

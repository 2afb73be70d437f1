/** CONSOLE_SESSION_KEYS → the keys that sessions are encrypted and forms are signed with. */
import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { type Key, keysInUse } from '../../key.ts';

/** As long as anything that is sealed or signed; milliseconds. */
const GOOD_FOR_MS = 8 * 3_600_000;

interface DerivedKeys {
  readonly from: string;
  readonly sessions: readonly Buffer[];
  readonly forms: readonly Buffer[];
  readonly searches: readonly Buffer[];
}

/**
 * All are understood, and the first makes that outlives what it makes: so they rotate, and nobody's session ends with a key that
 * has a successor. Asked for at each use, since their file may change.
 */
export class ConsoleKeys {
  readonly #given: () => readonly Key[];
  readonly #now: () => number;
  readonly #own = randomBytes(32).toString('hex');
  #derived: DerivedKeys | undefined;

  /** Without any, one of this process alone: sessions end with it. */
  constructor(given: () => readonly Key[], now: () => number = () => Date.now()) {
    this.#given = given;
    this.#now = now;
  }

  /** 32 bytes each. */
  get sessions(): readonly Buffer[] {
    return this.#current().sessions;
  }

  get forms(): readonly Buffer[] {
    return this.#current().forms;
  }

  /** What somebody searched for, as the audit keeps it: another key, another hash. */
  hashed(text: string): string {
    const [key = Buffer.alloc(0)] = this.#current().searches;
    return createHmac('sha256', key).update(text).digest('base64url').slice(0, 22);
  }

  #current(): DerivedKeys {
    const given = keysInUse(this.#given(), GOOD_FOR_MS, this.#now());
    const secrets = given.length === 0 ? [this.#own] : given.map(({ secret }) => secret);
    const from = secrets.join('\n');
    if (this.#derived?.from === from) return this.#derived;
    const of = (purpose: string): readonly Buffer[] => secrets.map((secret) => derivedKey(secret, purpose));
    this.#derived = {
      from,
      sessions: of('console session'),
      forms: of('console form'),
      searches: of('console search'),
    };
    return this.#derived;
  }
}

function derivedKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, 32));
}

/** Names of divisions, as a worker was told them → whoever is limited to some by name may hear what Genesys marks by id. */
import { readDivisions } from '../archive/division-names.ts';
import type { Notes } from '../archive/notes.ts';
import type { Identity } from './who/identity.ts';

const FRESH_MS = 60_000;
const READ_WITHIN_MS = 5_000;

export type NamesOfDivisions = ReadonlyMap<string, string>;

export class DivisionNames {
  readonly #notes: Pick<Notes, 'read'>;
  readonly #freshMs: number;
  #look: { readonly names: Promise<NamesOfDivisions>; readonly until: number } | undefined;
  #last: NamesOfDivisions = new Map();

  constructor(notes: Pick<Notes, 'read'>, freshMs = FRESH_MS) {
    this.#notes = notes;
    this.#freshMs = freshMs;
  }

  /** By id. Never throws: where they cannot be read the last ones hold, and ids are shown. */
  known(): Promise<NamesOfDivisions> {
    if (this.#look !== undefined && performance.now() < this.#look.until) return this.#look.names;
    this.#look = { names: this.#read(), until: performance.now() + this.#freshMs };
    return this.#look.names;
  }

  async #read(): Promise<NamesOfDivisions> {
    const found = await readDivisions(this.#notes, AbortSignal.timeout(READ_WITHIN_MS)).catch(() => undefined);
    this.#last = found?.names ?? this.#last;
    return this.#last;
  }
}

/** With the ids of the divisions that CONSOLE_ROLES names; a name that nobody knows stays as it is, and opens nothing. */
export function withDivisionIds(who: Identity, names: NamesOfDivisions): Identity {
  if (who.divisions === 'all') return who;
  const ids = new Map([...names].map(([id, name]) => [asSpoken(name), id]));
  return { ...who, divisions: new Set([...who.divisions].map((given) => ids.get(asSpoken(given)) ?? given)) };
}

/** As it is said, whatever its capitals and blanks. */
function asSpoken(name: string): string {
  return name.normalize('NFC').trim().replaceAll(/\s+/g, ' ').toLowerCase();
}

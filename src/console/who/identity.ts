/** Who looks at the console and what they may: the one value that every way of signing in ends in, and that routes ask. */
import type { Grant, Role } from '../../config/console.ts';

/** How that is known. */
export type SignInWay = 'iap' | 'oidc' | 'key' | 'none';

export interface Identity {
  /** An address of a person, the name of a key, or `anybody` where nobody is asked. */
  readonly id: string;
  readonly way: SignInWay;
  readonly roles: ReadonlySet<Role>;
  /** Of Genesys Cloud, by name or id; `all` where `listen` is not limited. */
  readonly divisions: 'all' | ReadonlySet<string>;
  /** Of a session of ours; absent where somebody else keeps them. */
  readonly ends?: SessionEnd;
}

export interface SessionEnd {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** An hour without a deed is put off by one; eight hours, and the last day of the key that was signed in with, by nothing. */
  readonly why: 'idle' | 'hours' | 'key';
}

/** Who somebody is, before it is looked up what they may. */
export interface Person {
  readonly id: string;
  readonly way: SignInWay;
  /** The id is an address that whoever vouches for it has verified: domains are given roles by it. */
  readonly isAddress: boolean;
  readonly groups: readonly string[];
}

/** Asked anew at each request, so that a role that was taken away is gone at once. */
export function identityOf(person: Person, grants: readonly Grant[]): Identity {
  const mine = grants.filter(({ to }) => isFor(to, person));
  const listening = mine.filter(({ role }) => role === 'listen');
  const divisions = listening.flatMap(({ division }) => division ?? []);
  return {
    id: person.id,
    way: person.way,
    roles: new Set(mine.map(({ role }) => role)),
    divisions: divisions.length < listening.length ? 'all' : new Set(divisions),
  };
}

function isFor(to: Grant['to'], { id, isAddress, groups }: Person): boolean {
  switch (to.kind) {
    case 'all':
      return true;
    case 'domain':
      return isAddress && id.includes('@') && id.slice(id.lastIndexOf('@') + 1).toLowerCase() === to.name;
    case 'group':
      return groups.includes(to.name);
    case 'id':
      return id.toLowerCase() === to.name;
  }
}

/** Whether they may hear and see a recording of this division. One whose division is not known is for those without a limit. */
export function mayHear({ roles, divisions }: Identity, division: string | undefined): boolean {
  if (!roles.has('listen')) return false;
  return divisions === 'all' || (division !== undefined && divisions.has(division));
}

/** The number, or for those who may not see it its last three digits. */
export function shownNumber(number: string, { roles }: Pick<Identity, 'roles'>): string {
  return roles.has('numbers') ? number : `…${number.replaceAll(/\D/g, '').slice(-3)}`;
}

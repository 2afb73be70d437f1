/** Who looks at the console and what they may: the one value that every way of signing in ends in, and that routes ask. */

/** None is part of another. `listen` opens pages and sound, `numbers` shows telephone numbers whole, `operate` replays. */
export const ROLES = ['listen', 'numbers', 'operate', 'hold', 'erase', 'audit'] as const;

export type Role = (typeof ROLES)[number];

/** How that is known. */
export type SignInWay = 'iap' | 'oidc' | 'key' | 'none';

export interface Identity {
  /** An address of a person, the name of a key, or `anybody` where nobody is asked. */
  readonly id: string;
  readonly way: SignInWay;
  readonly roles: ReadonlySet<Role>;
  /** Of Genesys Cloud, by name or id; `all` where `listen` is not limited. */
  readonly divisions: 'all' | ReadonlySet<string>;
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

/** Who may see the console and how that is known: CONSOLE_AUTH and what belongs to it, CONSOLE_ROLES as grants. */
import { isLoopback } from '../loopback.ts';
import type { Key } from '../key.ts';
import type { Reader } from './reader.ts';
import { hasPart, type ChoiceOf, type Command } from './variables.ts';

/** None is part of another. `listen` opens pages and sound, `numbers` shows telephone numbers whole, `operate` replays. */
export const ROLES = ['listen', 'numbers', 'operate', 'hold', 'erase', 'audit'] as const;

export type Role = (typeof ROLES)[number];

/** Whom a role is given to: everybody who has signed in, a domain of addresses, a group, or one by name. */
type Grantee = { readonly kind: 'all' } | { readonly kind: 'domain' | 'group' | 'id'; readonly name: string };

export interface Grant {
  readonly role: Role;
  /** Of Genesys Cloud, by name or id; `listen` alone can be limited to one. */
  readonly division: string | undefined;
  readonly to: Grantee;
}

export interface AccessConfig {
  readonly auth: Exclude<ChoiceOf<'CONSOLE_AUTH'>, 'auto'>;
  readonly grants: readonly Grant[];
  /** Asked for at each use; none: one of this process alone. */
  readonly sessionKeys: readonly Key[];
  readonly iapAudience: string;
  readonly oidc: {
    readonly issuer: string;
    readonly clientId: string;
    readonly clientSecret: string;
    /** The claim that names groups. */
    readonly groups: string;
  };
}

interface ConsoleSurroundings {
  readonly command: Command;
  readonly host: string;
}

/** Where keys are looked at no more than by whoever has one, everybody with a key may do what a key may. */
const OF_KEYS: readonly Grant[] = (['listen', 'numbers', 'operate', 'audit'] as const).map((role) => ({
  role,
  division: undefined,
  to: { kind: 'all' },
}));

export function readConsole(read: Reader, at: ConsoleSurroundings): AccessConfig {
  const auth = wayIn(read.choice('CONSOLE_AUTH'), read.choice('API_AUTH'));
  const sessionKeys = read.secrets.keys('CONSOLE_SESSION_KEYS');
  const grants = parseGrants(read.text('CONSOLE_ROLES'), (what) => read.problem('CONSOLE_ROLES', what));
  const clientSecret = read.secrets.read<string>('CONSOLE_OIDC_CLIENT_SECRET', (text) => {
    read.secrets.conceal(text.trim());
    return text.trim();
  });
  const isPersonal = auth === 'iap' || auth === 'oidc';
  const config = {
    auth,
    grants: grants.length === 0 && !isPersonal ? OF_KEYS : grants,
    get sessionKeys() {
      return sessionKeys.now;
    },
    iapAudience: read.text('CONSOLE_IAP_AUDIENCE'),
    oidc: {
      issuer: read.url('CONSOLE_OIDC_ISSUER') ?? '',
      clientId: read.text('CONSOLE_OIDC_CLIENT_ID'),
      get clientSecret() {
        return clientSecret.now;
      },
      groups: read.text('CONSOLE_OIDC_GROUPS'),
    },
  };
  if (hasPart(at.command, 'console')) demandConsole(read, config, at);
  return config;
}

function wayIn(chosen: ChoiceOf<'CONSOLE_AUTH'>, ofKeys: ChoiceOf<'API_AUTH'>): AccessConfig['auth'] {
  if (chosen !== 'auto') return chosen;
  return ofKeys === 'none' ? 'none' : 'key';
}

function demandConsole(read: Reader, { auth, grants, iapAudience, oidc }: AccessConfig, at: ConsoleSurroundings): void {
  if (auth === 'none' && !isLoopback(at.host) && read.choice('CONSOLE_AUTH') === 'none')
    read.problem('CONSOLE_AUTH', '"none" is only allowed with a loopback HOST; set iap, oidc or key');
  if (
    auth === 'key' &&
    !read.secrets.isSet('API_KEYS') &&
    (at.command === 'console' || read.choice('API_AUTH') === 'none')
  )
    read.problem('API_KEYS', 'the console is signed in to with one of them: set at least one, or CONSOLE_AUTH');
  if (auth === 'iap' && at.command !== 'console')
    read.problem('CONSOLE_AUTH', '"iap" is for archiver console alone: behind IAP neither events nor pushes arrive');
  if (auth === 'iap' && iapAudience === '')
    read.problem(
      'CONSOLE_IAP_AUDIENCE',
      'set it to the audience of the assertions; the log names the one that arrives, in a refusal',
    );
  if (auth === 'oidc' && oidc.issuer === '')
    read.problem('CONSOLE_OIDC_ISSUER', 'set it to the issuer of your identity provider');
  if (auth === 'oidc' && oidc.clientId === '')
    read.problem('CONSOLE_OIDC_CLIENT_ID', 'set it to the client that you registered there for the console');
  if (auth === 'oidc' && !read.secrets.isSet('CONSOLE_OIDC_CLIENT_SECRET'))
    read.problem('CONSOLE_OIDC_CLIENT_SECRET', 'set it to the secret of that client');
  if ((auth === 'iap' || auth === 'oidc') && grants.length === 0)
    read.problem('CONSOLE_ROLES', 'say who may do what, such as listen=@example.com; operate=maya@example.com');
  if (auth === 'iap' && grants.some(({ to }) => to.kind === 'group'))
    read.problem('CONSOLE_ROLES', 'IAP tells no groups: name addresses or domains, or use CONSOLE_AUTH=oidc');
}

/** `listen=@example.com; operate=group:platform; erase=dpo@example.com; listen:Claims=group:claims`. */
export function parseGrants(text: string, onProblem: (what: string) => void): readonly Grant[] {
  const entries = text.split(/[;\r\n]+/).flatMap((entry) => (entry.trim() === '' ? [] : [entry.trim()]));
  return entries.flatMap((entry, index) => {
    const problem = (what: string): readonly Grant[] => {
      onProblem(`entry ${String(index + 1)} ${what}`);
      return [];
    };
    const [, name = '', division, list = ''] = /^([^=:]*)(?::([^=]*))?=(.*)$/s.exec(entry) ?? [];
    const role = ROLES.find((role) => role === name.trim().toLowerCase());
    if (role === undefined)
      return problem(`names no role: expected one of ${ROLES.join(', ')}, such as listen=@example.com`);
    if (division !== undefined && role !== 'listen') return problem(`limits ${role} to a division; only listen can be`);
    if (division?.trim() === '') return problem('names no division between ":" and "="');
    const grantees = list.split(',').flatMap((one) => (one.trim() === '' ? [] : [parseGrantee(one.trim())]));
    if (grantees.length === 0 || grantees.includes(undefined))
      return problem('names nobody: expected *, @domain, group:NAME, an address or the name of a key, comma-separated');
    return grantees.flatMap((to) => (to === undefined ? [] : [{ role, division: division?.trim(), to }]));
  });
}

function parseGrantee(text: string): Grantee | undefined {
  if (text === '*') return { kind: 'all' };
  const group = /^group:(.+)$/s.exec(text)?.[1]?.trim();
  if (group !== undefined && group !== '') return { kind: 'group', name: group };
  if (/^@[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(text)) return { kind: 'domain', name: text.slice(1).toLowerCase() };
  return /^[\w.+@:-]+$/.test(text) && !/^[@*]|^group:?$/.test(text)
    ? { kind: 'id', name: text.toLowerCase() }
    : undefined;
}

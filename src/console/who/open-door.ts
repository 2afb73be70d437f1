/** CONSOLE_AUTH → how visitors are told apart; the library of each way is loaded only where that way is used. */
import type { Grant } from '../../config/console.ts';
import type { Config } from '../../config/config.ts';
import type { Witness } from '../../http/witness.ts';
import type { Log } from '../../telemetry/log.ts';
import { openSmallFetch } from '../../outbound.ts';
import type { Doorkeeper } from '../console.ts';
import { ConsoleKeys } from './console-keys.ts';
import { FormTokens } from './form-tokens.ts';
import { NobodyDoor } from './nobody.ts';

export interface DoorContext {
  readonly config: Pick<Config, 'access' | 'api' | 'proxies' | 'trustedProxies'>;
  /** How people call the service. */
  readonly publicUrl: string;
  readonly witness: Witness;
  readonly log: Log;
  readonly now: () => Date;
}

export interface OpenDoor {
  readonly doorkeeper: Doorkeeper;
  readonly tokens: FormTokens;
  readonly keys: ConsoleKeys;
}

export async function openDoor(context: DoorContext): Promise<OpenDoor> {
  const { config } = context;
  const keys = new ConsoleKeys(() => config.access.sessionKeys);
  return { doorkeeper: await doorFor(context, keys), tokens: new FormTokens(keys), keys };
}

async function doorFor({ config, publicUrl, witness, log, now }: DoorContext, keys: ConsoleKeys): Promise<Doorkeeper> {
  const { auth, grants, iapAudience: audience, oidc } = config.access;
  if (auth === 'none') return new NobodyDoor({ grants, publicUrl });
  if (auth === 'iap') {
    const { IapDoor } = await import('./iap.ts');
    return new IapDoor({ audience, grants, log, fetch: openSmallFetch(config.proxies) });
  }
  const [{ Seal }, { Sessions }] = await Promise.all([import('./sealed.ts'), import('./session.ts')]);
  const seal = new Seal(keys, now);
  const sessions = new Sessions(seal, now);
  const needs = { grants, sessions, witness, publicUrl, proxies: config.trustedProxies };
  if (auth === 'key') {
    const { KeyDoor } = await import('./key.ts');
    if (!grants.some(isListenForAll)) log.warn(PAGES_ALONE);
    return new KeyDoor({ ...needs, keys: () => config.api.keys, now });
  }
  const { OidcDoor } = await import('./oidc.ts');
  const { issuer, clientId, groups } = oidc;
  const provider = { issuer, clientId, groups, clientSecret: () => oidc.clientSecret };
  return new OidcDoor({ ...needs, ...provider, seal, fetch: openSmallFetch(config.proxies) });
}

/** Programs ask with the same keys, and have no roles. */
const PAGES_ALONE =
  'CONSOLE_ROLES limits who listens on pages; by /transcode and /recordings each of API_KEYS plays every recording. Give people who may not hear all of them no key: CONSOLE_AUTH=oidc or iap.';

function isListenForAll({ role, division, to }: Grant): boolean {
  return role === 'listen' && division === undefined && to.kind === 'all';
}

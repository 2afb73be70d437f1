/** How Genesys Cloud is reached: its region or its hosts, the clients that ask, and where media may come from. */
import { parseRegion } from './regions.ts';
import type { Reader } from './reader.ts';
import type { ChoiceOf } from './variables.ts';

/** One place media may come from: an exact origin, or a host suffix over https on port 443. */
export type MediaHost = { readonly origin: string } | { readonly suffix: string } | { readonly host: string };

export interface GenesysClient {
  readonly id: string;
  /** Asked for at each use: a file that it comes from may change. */
  readonly secret: string;
}

export interface GenesysConfig {
  readonly loginUrl: string;
  readonly apiUrl: string;
  readonly clients: readonly GenesysClient[];
  readonly recordingApi: ChoiceOf<'GENESYS_RECORDING_API'>;
  readonly mediaHosts: readonly MediaHost[];
  readonly maxMediaBytes: number;
}

/** `needed` demands what asking Genesys takes; without it only what is given has to be right. */
export function readGenesys(read: Reader, needed: boolean): GenesysConfig {
  const region = readRegion(read);
  const loginUrl = read.url('GENESYS_LOGIN_URL') ?? (region === undefined ? '' : `https://login.${region}`);
  const apiUrl = read.url('GENESYS_API_URL') ?? (region === undefined ? '' : `https://api.${region}`);
  if (needed && !read.isSet('GENESYS_REGION') && (loginUrl === '' || apiUrl === ''))
    read.problem(
      'GENESYS_REGION',
      'set it to your region, e.g. mypurecloud.de (or both GENESYS_LOGIN_URL and GENESYS_API_URL)',
    );
  return {
    loginUrl,
    apiUrl,
    clients: readClients(read, needed),
    recordingApi: read.choice('GENESYS_RECORDING_API'),
    mediaHosts: readMediaHosts(read),
    maxMediaBytes: read.count('MAX_MEDIA_BYTES'),
  };
}

function readRegion(read: Reader): string | undefined {
  const region = parseRegion(read.text('GENESYS_REGION'));
  if (region === undefined && read.isSet('GENESYS_REGION'))
    read.problem('GENESYS_REGION', 'expected a domain such as mypurecloud.de');
  return region;
}

function readClients(read: Reader, needed: boolean): readonly GenesysClient[] {
  const ids = read.list('GENESYS_CLIENT_ID');
  if (needed && ids.length === 0)
    read.problem('GENESYS_CLIENT_ID', 'set it to the id of an OAuth client with grant type Client Credentials');
  if (needed && !read.secrets.isSet('GENESYS_CLIENT_SECRET'))
    read.problem('GENESYS_CLIENT_SECRET', 'set it to the secret of that client');
  const secrets = read.secrets.read('GENESYS_CLIENT_SECRET', (text, onProblem) => {
    const given = read.secrets.entries(text, onProblem);
    read.secrets.conceal(...given);
    if (needed && ids.length !== given.length && ids.length > 0 && given.length > 0)
      onProblem(
        `GENESYS_CLIENT_ID has ${String(ids.length)}, and of secrets there are ${String(given.length)}; give as many of each, in the same order`,
      );
    return given;
  });
  return ids.map((id, index) => ({
    id,
    get secret() {
      return secrets.now[index] ?? '';
    },
  }));
}

function readMediaHosts(read: Reader): readonly MediaHost[] {
  return read.list('GENESYS_MEDIA_HOSTS').flatMap((entry, index): MediaHost[] => {
    if (/^\*\.[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(entry)) return [{ suffix: entry.slice(1).toLowerCase() }];
    if (/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(entry)) return [{ host: entry.toLowerCase() }];
    const origin = /^https?:\/\/[^/?#@]+$/i.test(entry) ? URL.parse(entry)?.origin : undefined;
    if (origin !== undefined) return [{ origin }];
    // Never the entry itself: it may be a media URL pasted whole, signature included.
    read.problem(
      'GENESYS_MEDIA_HOSTS',
      `entry ${String(index + 1)} is neither *.domain, a host name nor scheme://host:port`,
    );
    return [];
  });
}

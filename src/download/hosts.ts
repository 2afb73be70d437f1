/** The configured hosts → one gate that every URL of media, and every connection made for it, passes through. */
import { lookup as dnsLookup } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import type { GenesysConfig, MediaHost } from '../config/genesys.ts';
import { Failure } from '../failure.ts';

export interface Hosts {
  /**
   * Before a request, and before each hop of a redirect: https on port 443 of a listed host, or exactly a listed origin
   * (the API's own included). @throws Failure `host-refused`
   */
  checkMedia(url: URL): void;
  /**
   * Opens a connection for undici's Agent: checks the target once more, then connects only to addresses it has itself
   * resolved and checked. Fails with Failure `host-refused`.
   */
  readonly connect: buildConnector.connector;
  /**
   * `dns.lookup` that refuses a name if any of its addresses is not global unicast. What it hands on is what was checked,
   * so a name that changes its mind afterwards (DNS rebinding) gains nothing.
   */
  readonly lookup: LookupFunction;
}

export interface HostsOptions {
  /** Resolves names; `dns.lookup` by default. */
  readonly lookup?: LookupFunction;
  readonly connectTimeoutMs?: number;
}

export const CONNECT_TIMEOUT_MS = 5_000;

/** Who may be spoken to when media is fetched. Private and loopback addresses are reached only under an exactly listed origin. */
export function createHosts(config: Pick<GenesysConfig, 'apiUrl' | 'mediaHosts'>, options: HostsOptions = {}): Hosts {
  const resolve = options.lookup ?? dnsLookup;
  const origins = listedOrigins(config);
  const lookup = guarded(resolve);
  const connection = { allowH2: false, timeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS };
  const toPublic = buildConnector({ ...connection, lookup });
  const toListed = buildConnector({ ...connection, lookup: resolve });
  const checkMedia = (url: URL): void => {
    if (url.username !== '' || url.password !== '') throw refusedLocation('carries a user name', url);
    if (origins.has(url.origin)) return;
    if (url.protocol !== 'https:') throw refusedLocation('is not https', url);
    if (url.port !== '') throw refusedLocation('names a port other than 443', url);
    if (!config.mediaHosts.some((entry) => covers(entry, url.hostname)))
      throw refusedLocation('is not on the list', url);
    // No resolver is asked about a literal, so the lookup below would never see it.
    const literal = literalOf(url.hostname);
    if (literal !== undefined && !isGlobalUnicast(literal)) throw refusedLocation('is not a public address', url);
  };
  return {
    checkMedia,
    lookup,
    connect: (target, done) => {
      const url = targetOf(target);
      try {
        checkMedia(url);
      } catch (thrown) {
        queueMicrotask(() => done(Failure.from(thrown), null));
        return;
      }
      (origins.has(url.origin) ? toListed : toPublic)(target, done);
    },
  };
}

/**
 * Whether an address is one of the public internet, by the IANA special-purpose registries (RFC 6890): everything that
 * leads back inside is out, also by way of mapping or tunnels (IPv4-mapped, NAT64, 6to4, Teredo). False for what is no address.
 */
export function isGlobalUnicast(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !SPECIAL_IPV4.check(address, 'ipv4');
  // A zone (fe80::1%eth0) only ever belongs to a local address.
  if (family !== 6 || address.includes('%')) return false;
  return GLOBAL_IPV6.check(address, 'ipv6') && !SPECIAL_IPV6.check(address, 'ipv6');
}

/**
 * https://www.iana.org/assignments/iana-ipv4-special-registry, plus multicast (224/4), plus the one public address that leads to
 * a cloud's own services (Azure, https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16).
 */
const SPECIAL_IPV4 = ranges('ipv4', [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['168.63.129.16', 32],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
]);

/** The one block global unicast addresses are assigned from (RFC 4291 §2.4); mapped, NAT64, local and multicast lie outside. */
const GLOBAL_IPV6 = ranges('ipv6', [['2000::', 3]]);

/** https://www.iana.org/assignments/iana-ipv6-special-registry, as far as it lies inside 2000::/3: Teredo and ORCHID, documentation, 6to4. */
const SPECIAL_IPV6 = ranges('ipv6', [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
]);

function ranges(family: 'ipv4' | 'ipv6', subnets: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [address, prefix] of subnets) list.addSubnet(address, prefix, family);
  return list;
}

function listedOrigins(config: Pick<GenesysConfig, 'apiUrl' | 'mediaHosts'>): ReadonlySet<string> {
  const listed = config.mediaHosts.flatMap((entry) => ('origin' in entry ? [entry.origin] : []));
  return new Set([...listed, ...(URL.canParse(config.apiUrl) ? [new URL(config.apiUrl).origin] : [])]);
}

/** A suffix starts with its dot, so it can only match at the boundary of a label. */
function covers(entry: MediaHost, hostname: string): boolean {
  if ('suffix' in entry) return hostname.length > entry.suffix.length && hostname.endsWith(entry.suffix);
  return 'host' in entry && hostname === entry.host;
}

function guarded(resolve: LookupFunction): LookupFunction {
  return (hostname, options, done) => {
    resolve(hostname, { ...options, all: true }, (error, resolved, family) => {
      if (error) return done(error, '', 0);
      const addresses = typeof resolved === 'string' ? [{ address: resolved, family: family ?? 0 }] : resolved;
      const [first] = addresses;
      if (first === undefined || !addresses.every(({ address }) => isGlobalUnicast(address))) {
        return done(privateAddress(hostname), '', 0);
      }
      return options.all === true ? done(null, [...addresses]) : done(null, first.address, first.family);
    });
  };
}

function literalOf(hostname: string): string | undefined {
  const bare = hostname.replace(/^\[|\]$/g, '');
  return isIP(bare) === 0 ? undefined : bare;
}

function targetOf(target: buildConnector.Options): URL {
  const host = isIP(target.hostname) === 6 ? `[${target.hostname}]` : target.hostname;
  return new URL(`${target.protocol}//${host}${target.port === '' ? '' : `:${target.port}`}`);
}

function refusedLocation(why: string, url: URL): Failure {
  return new Failure(
    'host-refused',
    `Genesys named a media location that ${why} (${url.protocol}//${url.host}); nothing was fetched. If it is right, add it to GENESYS_MEDIA_HOSTS.`,
  );
}

function privateAddress(hostname: string): Failure {
  return new Failure(
    'host-refused',
    `The media host ${hostname} resolves to an address that is not public; nothing was fetched. If that is meant, list its exact origin in GENESYS_MEDIA_HOSTS.`,
  );
}

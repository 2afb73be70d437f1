/** A region of Genesys Cloud, however people write it → the domain its hosts stand under. */

/** By AWS' name; as Genesys' own SDK lists them (PureCloudRegionHosts), which test/config/regions.test.ts compares. */
export const REGIONS = {
  'us-east-1': 'mypurecloud.com',
  'eu-west-1': 'mypurecloud.ie',
  'ap-southeast-2': 'mypurecloud.com.au',
  'ap-northeast-1': 'mypurecloud.jp',
  'eu-central-1': 'mypurecloud.de',
  'us-west-2': 'usw2.pure.cloud',
  'ca-central-1': 'cac1.pure.cloud',
  'ap-northeast-2': 'apne2.pure.cloud',
  'eu-west-2': 'euw2.pure.cloud',
  'ap-south-1': 'aps1.pure.cloud',
  'us-east-2': 'use2.us-gov-pure.cloud',
  'sa-east-1': 'sae1.pure.cloud',
  'me-central-1': 'mec1.pure.cloud',
  'ap-northeast-3': 'apne3.pure.cloud',
  'eu-central-2': 'euc2.pure.cloud',
  'mx-central-1': 'mxc1.pure.cloud',
  'ap-southeast-1': 'apse1.pure.cloud',
  'eusc-de-east-1': 'edee1.eusc-pure.cloud',
} as const;

const DOMAINS: ReadonlySet<string> = new Set(Object.values(REGIONS));
const BY_NAME: ReadonlyMap<string, string> = new Map(Object.entries(REGIONS));

/**
 * A domain, one of its hosts or a page below it (`https://login.mypurecloud.de/oauth`), or AWS' name of the region
 * (`eu-central-1`). A domain that is not listed yet is taken as it is; undefined for what cannot be one.
 */
export function parseRegion(text: string): string | undefined {
  const given = text.toLowerCase();
  const known = BY_NAME.get(given.replaceAll('_', '-'));
  if (known !== undefined) return known;
  const host = hostIn(given);
  if (host === undefined) return undefined;
  const parents = host.split('.').map((_, index, labels) => labels.slice(index).join('.'));
  return parents.find((parent) => DOMAINS.has(parent)) ?? host.replace(/^(?:(?:login|api|apps)\.)+/, '');
}

/** A name of at least two labels, whose last is no number: an address has no login host below it. */
const HOST = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

function hostIn(text: string): string | undefined {
  const url = URL.parse(/^https?:\/\//.test(text) ? text : `https://${text}`);
  const host = url?.hostname.replace(/\.$/, '') ?? '';
  return HOST.test(host) && url?.port === '' && !text.includes('@') ? host : undefined;
}

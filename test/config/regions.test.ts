/** GENESYS_REGION as people write it, and every region that Genesys' own SDK knows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { readConfig } from '../../src/config/config.ts';
import { parseRegion, REGIONS } from '../../src/config/regions.ts';
import { createHosts } from '../../src/download/hosts.ts';
import { SEED } from '../support/soak.ts';

const SDK_FILE = 'purecloud-platform-client-v2/src/purecloud-platform-client-v2/PureCloudRegionHosts.js';
const { default: regionHosts } = (await import(SDK_FILE)) as { readonly default: Readonly<Record<string, string>> };
const SDK = Object.entries(regionHosts);

test("the regions are those of Genesys' own SDK (C5)", () => {
  assert.deepEqual(
    Object.entries(REGIONS),
    SDK.map(([name, domain]) => [name.replaceAll('_', '-'), domain]),
  );
});

/** Where S3 of an AWS region answers: https://docs.aws.amazon.com/general/latest/gr/s3.html; sovereign regions have a suffix of their own. */
function bucketsOf(region: string): readonly string[] {
  const suffix = region.startsWith('eusc-')
    ? 'amazonaws.eu'
    : region.startsWith('cn-')
      ? 'amazonaws.com.cn'
      : 'amazonaws.com';
  return [`bucket.s3.${region}.${suffix}`, `s3.${region}.${suffix}`, `bucket.s3.dualstack.${region}.${suffix}`];
}

for (const [name, domain] of SDK) {
  test(`${domain} needs no more than its name: login, API and the buckets beside it (C5)`, () => {
    const region = name.replaceAll('_', '-');
    for (const GENESYS_REGION of [domain, name, region, region.toUpperCase()]) {
      const { genesys } = readConfig({ GENESYS_REGION, WEBHOOK_AUTH: 'none' }, 'receiver');
      assert.deepEqual([genesys.loginUrl, genesys.apiUrl], [`https://login.${domain}`, `https://api.${domain}`]);
      const hosts = createHosts(genesys);
      for (const host of bucketsOf(region)) hosts.checkMedia(new URL(`https://${host}/a.ogg?X-Amz-Signature=x`));
      hosts.checkMedia(new URL(`https://api.${domain}/api/v2/media`));
    }
  });
}

test('no host beside those buckets is let in (C5)', () => {
  const { genesys } = readConfig({ GENESYS_REGION: 'edee1.eusc-pure.cloud', WEBHOOK_AUTH: 'none' }, 'receiver');
  const hosts = createHosts(genesys);
  for (const host of [
    'amazonaws.eu',
    'evilamazonaws.eu',
    's3.amazonaws.eu.evil.example',
    's3.amazonaws.cn',
    'amazonaws.com.cn',
  ])
    assert.throws(() => hosts.checkMedia(new URL(`https://${host}/a`)), { code: 'host-refused' }, host);
});

/** What stands around a domain where people copy it from. */
const written = fc.record({
  domain: fc.constantFrom(...SDK.map(([, domain]) => domain), 'new1.pure.cloud'),
  host: fc.constantFrom('', 'login.', 'api.', 'apps.', 'LOGIN.', 'api.api.', 'api.login.'),
  scheme: fc.constantFrom('', 'https://', 'HTTPS://', 'http://'),
  end: fc.constantFrom('', '/', '.', '/oauth/token', '/directory/#/me', ':443', '/?a=b'),
  quote: fc.constantFrom('', '"', "'"),
  blank: fc.constantFrom('', ' ', '\t', '\r'),
  capitals: fc.boolean(),
});

test('a region is understood however it was copied (E1)', () => {
  fc.assert(
    fc.property(written, ({ domain, host, scheme, end, quote, blank, capitals }) => {
      fc.pre(!(scheme.toLowerCase() === 'http://' && end === ':443'));
      const name = capitals ? domain.toUpperCase() : domain;
      const GENESYS_REGION = `${blank}${quote}${scheme}${host}${name}${end}${quote}${blank}`;
      const { genesys } = readConfig({ GENESYS_REGION, WEBHOOK_AUTH: 'none' }, 'receiver');
      assert.deepEqual([genesys.loginUrl, genesys.apiUrl], [`https://login.${domain}`, `https://api.${domain}`]);
    }),
    { numRuns: 500, seed: SEED },
  );
});

test('what cannot be a region is refused by name (E1)', () => {
  const wrong = [
    'mypurecloud',
    'eu',
    'eu-central-9',
    '10.0.0.1',
    '[::1]',
    'user@mypurecloud.de',
    'mypurecloud.de:8443',
    'ftp://mypurecloud.de',
    'mypurecloud..de',
    '-a.de',
    'my purecloud.de',
    'mypurecloud_de',
    'https://',
    'https:///x',
    '"',
    'mypurecloud.de,mypurecloud.ie',
    '%6dypurecloud',
  ];
  for (const text of wrong) assert.equal(parseRegion(text), undefined, text);
});

/** Everything leaves through a real HTTP proxy: tunnelled and plain, with credentials, past NO_PROXY, and refused in every way (E2). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { gaxios } from 'google-auth-library';
import { request } from 'undici';
import { readConfig } from '../src/config/config.ts';
import type { Proxies } from '../src/config/proxies.ts';
import { createGenesys } from '../src/genesys/open-genesys.ts';
import type { Genesys } from '../src/genesys/genesys.ts';
import { networkFailure } from '../src/network-failure.ts';
import { alignProxyVariables, openOutbound, openSmallFetch } from '../src/outbound.ts';
import { failureOf } from './support/failure-of.ts';
import { type GenesysServer, startGenesysServer } from './support/genesys/server.ts';
import { portOf } from './support/genesys/media-host.ts';
import { type Proxy, type ProxyFault, type ProxyOptions, startProxy } from './support/proxy.ts';
import { createSelfSigned } from './support/self-signed.ts';
import { startTlsFront } from './support/tls-front.ts';

const R = { recordingId: 'R', conversationId: 'C' };
const OPUS = ['0', '1'].map((channel) => ({
  channel,
  contentType: 'audio/ogg',
  path: new URL(`fixtures/dual-${channel}.opus`, import.meta.url),
}));
const CERTIFICATE = createSelfSigned('*.genesys.test');
setDefaultCACertificates([...getCACertificates('default'), CERTIFICATE.cert]);
const LIMITS = { connectTimeoutMs: 2_000, headersTimeoutMs: 1_000, bodyTimeoutMs: 1_000 };

interface Setting {
  readonly server: GenesysServer;
  readonly proxy: Proxy;
  readonly genesys: Genesys;
  readonly signal: AbortSignal;
}

interface Wish {
  readonly scheme: 'http' | 'https';
  readonly proxy?: Partial<ProxyOptions>;
  /** `user:password@` as it stands in the URL. */
  readonly user?: string;
}

/** Genesys and its media host under names that only the proxy can lead anywhere. */
async function setUp(t: TestContext, { scheme, proxy: options, user = '' }: Wish): Promise<Setting> {
  const server = await startGenesysServer({ mediaOrigin: `${scheme}://media.genesys.test` });
  server.addRecording({ ...R, files: OPUS });
  const [apiPort, mediaPort] = [Number(new URL(server.apiUrl).port), server.mediaPort];
  const fronts = await Promise.all([apiPort, mediaPort].map((port) => startTlsFront(port, CERTIFICATE)));
  const ports = {
    'api.genesys.test:80': apiPort,
    'media.genesys.test:80': mediaPort,
    'api.genesys.test:443': fronts[0]?.port ?? 0,
    'media.genesys.test:443': fronts[1]?.port ?? 0,
  };
  const proxy = await startProxy({ ports, ...options });
  const url = proxy.url.replace('//', `//${user}`);
  const apiUrl = `${scheme}://api.genesys.test`;
  const genesys = createGenesys(
    server.config({ apiUrl, loginUrl: apiUrl, mediaHosts: [{ origin: `${scheme}://media.genesys.test` }] }),
    {
      proxies: { https: url, http: url, noProxy: '' },
      patienceMs: 100,
      baseDelayMs: 1,
      download: { backoff: { baseMs: 1, capMs: 2 }, headersTimeoutMs: 1_000 },
    },
  );
  t.after(async () => {
    await genesys.close();
    await Promise.all([proxy, server, ...fronts].map((each) => each.close()));
  });
  return { server, proxy, genesys, signal: AbortSignal.any([t.signal, AbortSignal.timeout(300_000)]) };
}

async function hashesOf({ genesys, signal }: Setting): Promise<readonly string[]> {
  const located = await genesys.locate(R, 'worker', signal);
  const hashes: string[] = [];
  for (const file of located.files) {
    const hash = createHash('sha256');
    for await (const chunk of await file.open(signal)) hash.update(chunk);
    hashes.push(hash.digest('hex'));
  }
  return hashes;
}

async function originals(): Promise<readonly string[]> {
  const files = await Promise.all(OPUS.map(({ path }) => readFile(path)));
  return files.map((bytes) => createHash('sha256').update(bytes).digest('hex'));
}

test('login, API and media go through a tunnel of the proxy, bit-exact (E2)', async (t) => {
  const setting = await setUp(t, { scheme: 'https' });
  assert.deepEqual(await hashesOf(setting), await originals());
  assert.ok(setting.proxy.requests.every((line) => line.startsWith('CONNECT ')));
  const hosts = new Set(setting.proxy.requests.map((line) => line.replace('CONNECT ', '')));
  assert.deepEqual([...hosts], ['api.genesys.test:443', 'media.genesys.test:443']);
});

test('hosts without TLS are asked for at the proxy itself, bit-exact (E2)', async (t) => {
  const setting = await setUp(t, { scheme: 'http' });
  assert.deepEqual(await hashesOf(setting), await originals());
  assert.ok(setting.proxy.requests.some((line) => line.startsWith('GET http://media.genesys.test/')));
  assert.ok(setting.proxy.requests.includes('POST http://api.genesys.test/oauth/token'));
  assert.equal(setting.server.requests('media:*').length, 2);
});

for (const scheme of ['http', 'https'] as const) {
  test(`a download is resumed through the proxy (${scheme}) (E2)`, async (t) => {
    const setting = await setUp(t, { scheme });
    setting.server.fault('media:R:0', 'return-broken-stream-after-64K');
    assert.deepEqual(await hashesOf(setting), await originals());
    assert.ok(setting.server.requests('media:R:0').some(({ range }) => range !== undefined));
    setting.server.assertFaultsUsed();
  });

  test(`a proxy that asks who it is gets what its URL says, and is named where that is wrong (${scheme}) (E2) (C6)`, async (t) => {
    const credentials = 'clerk:p@ss:word';
    const good = await setUp(t, { scheme, proxy: { credentials }, user: 'clerk:p%40ss%3Aword@' });
    assert.deepEqual(await hashesOf(good), await originals());
    for (const user of ['', 'clerk@', 'clerk:wrong@']) {
      const bad = await setUp(t, { scheme, proxy: { credentials }, user });
      const failure = await failureOf(hashesOf(bad));
      assert.equal(failure.code, 'upstream-unavailable', failure.message);
      assert.match(failure.message, /407.*HTTPS_PROXY/);
      assert.doesNotMatch(failure.message, /wrong/);
      assert.equal(bad.server.requests().length, 0);
    }
  });
}

const REFUSALS: readonly (readonly [string, ProxyFault])[] = [
  ...[403, 404, 405, 500, 502, 503, 504].map((status): [string, ProxyFault] => [
    `answers ${String(status)} to CONNECT`,
    { raw: `HTTP/1.1 ${String(status)} No\r\nContent-Length: 2\r\n\r\nno` },
  ]),
  [
    'redirects CONNECT to a login page',
    { raw: 'HTTP/1.1 302 Found\r\nLocation: http://login.test/\r\nContent-Length: 0\r\n\r\n' },
  ],
  [
    'answers CONNECT with a page',
    { raw: 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>' },
  ],
  ['speaks something else', { raw: 'SSH-2.0-OpenSSH_9.2\r\n' }],
  ['hangs up', 'fin'],
  ['resets', 'reset'],
];

test('whatever a proxy does instead of connecting passes, and comes by itself (E2) (C6)', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
  const setting = await setUp(t, { scheme: 'https' });
  for (const [name, fault] of REFUSALS) {
    // The login host is asked once a second.
    t.mock.timers.tick(1_000);
    setting.proxy.spoil(fault);
    const failure = await failureOf(hashesOf(setting));
    assert.match(failure.code, /^upstream-(unavailable|timeout)$/, `${name}: ${failure.message}`);
    assert.match(failure.message, /api\.genesys\.test/, name);
  }
  setting.proxy.spoil(undefined);
  t.mock.timers.tick(1_000);
  assert.deepEqual(await hashesOf(setting), await originals());
});

test('a proxy that refuses the media host alone is named with it (E2) (C6)', async (t) => {
  const setting = await setUp(t, { scheme: 'https' });
  const located = await setting.genesys.locate(R, 'worker', setting.signal);
  for (const [name, fault] of REFUSALS) {
    setting.proxy.spoil(fault);
    const failure = await failureOf(located.files[0]?.open(setting.signal) ?? Promise.resolve());
    assert.match(failure.code, /^(upstream-(unavailable|timeout)|incomplete)$/, `${name}: ${failure.message}`);
  }
});

test('a proxy that never answers CONNECT is given up in the time an answer has (E2) (C6)', async (t) => {
  const proxy = await startProxy({ ports: {} });
  proxy.spoil('silence');
  const dispatcher = openOutbound({ ...LIMITS, headersTimeoutMs: 200 }, { https: proxy.url, http: '', noProxy: '' });
  t.after(() => Promise.all([dispatcher.destroy(), proxy.close()]));
  const thrown: unknown = await request('https://api.genesys.test/', { dispatcher }).catch((reason: unknown) => reason);
  const party = { name: 'api.genesys.test', broken: 'upstream-unavailable' } as const;
  assert.equal(networkFailure(thrown, party)?.code, 'upstream-timeout', String(thrown));
});

test('invariant 9: through a proxy as well, nothing is fetched from a host that is not listed (E2)', async (t) => {
  const setting = await setUp(t, { scheme: 'http' });
  for (const mediaUri of ['https://elsewhere.test/x', 'http://169.254.169.254/latest', 'https://10.0.0.1/x']) {
    setting.server.addRecording({ ...R, files: OPUS, extra: { mediaUris: { '0': { mediaUri } } } });
    assert.equal((await failureOf(hashesOf(setting))).code, 'host-refused', mediaUri);
  }
  assert.ok(setting.proxy.requests.every((line) => line.includes('//api.genesys.test/')));
});

const NO_PROXY: readonly (readonly [string, string, boolean])[] = [
  ['', 'http://api.genesys.test/', true],
  ['genesys.test', 'http://api.genesys.test/', false],
  ['.genesys.test', 'http://api.genesys.test/', false],
  ['*.genesys.test', 'http://api.genesys.test/', false],
  ['GENESYS.TEST', 'http://API.genesys.test/', false],
  ['esys.test', 'http://api.genesys.test/', true],
  ['api.genesys.test:80', 'http://api.genesys.test/', false],
  ['api.genesys.test:8080', 'http://api.genesys.test/', true],
  ['other.test, api.genesys.test', 'http://api.genesys.test/', false],
  ['*', 'http://api.genesys.test/', false],
  ['', 'http://127.0.0.1/', false],
  ['', 'http://localhost/', false],
  ['other.test', 'http://[::1]/', false],
  ['', 'http://metadata.google.internal/', false],
];

test('NO_PROXY names hosts, domains and ports; this machine itself never needs naming (E2)', async (t) => {
  const proxy = await startProxy({ ports: {} });
  t.after(() => proxy.close());
  for (const [noProxy, url, proxied] of NO_PROXY) {
    const direct: string[] = [];
    const dispatcher = openOutbound(
      {
        ...LIMITS,
        connect: ({ hostname }, done) => {
          direct.push(hostname);
          queueMicrotask(() => done(new Error('a direct connection'), null));
        },
      },
      { https: proxy.url, http: proxy.url, noProxy },
    );
    const before = proxy.requests.length;
    await request(url, { dispatcher })
      .then(({ body }) => body.dump())
      .catch(() => {});
    await dispatcher.destroy();
    assert.deepEqual([proxy.requests.length - before, direct.length], proxied ? [1, 0] : [0, 1], `${noProxy} ${url}`);
  }
});

const NEEDED = {
  GENESYS_REGION: 'mypurecloud.de',
  GENESYS_CLIENT_ID: 'c',
  GENESYS_CLIENT_SECRET: 'a-long-enough-client-secret',
  WEBHOOK_TOKENS: 'a-long-enough-webhook-token',
  API_KEYS: 'a-long-enough-api-key',
};

function proxiesOf(env: Readonly<Record<string, string>>): Proxies | undefined {
  return readConfig({ ...NEEDED, ...env }, 'serve').proxies;
}

test('proxies are read as curl reads them: either case, lower first, with or without a scheme (E2)', () => {
  assert.equal(proxiesOf({ NO_PROXY: 'x.test' }), undefined);
  const https = 'http://proxy.test:3128';
  assert.deepEqual(proxiesOf({ HTTPS_PROXY: https }), { https, http: '', noProxy: '' });
  assert.deepEqual(
    proxiesOf({ https_proxy: 'proxy.test:3128', HTTPS_PROXY: 'http://other.test', no_proxy: 'x.test' }),
    {
      https,
      http: '',
      noProxy: 'x.test',
    },
  );
  assert.deepEqual(proxiesOf({ HTTP_PROXY: https, HTTPS_PROXY: '' }), { https, http: https, noProxy: '' });
  for (const wrong of ['socks5://proxy.test', 'http://', 'http://proxy.test:port', ':3128'])
    assert.throws(() => proxiesOf({ HTTPS_PROXY: wrong }), /HTTPS_PROXY: expected the URL of a proxy/, wrong);
});

test("Google's own clients take the same way out, whichever spelling was set (E2)", async (t) => {
  const storage = createServer((_request, response) => response.end('stored')).listen(0, '127.0.0.1');
  await once(storage, 'listening');
  const proxy = await startProxy({ ports: { 'storage.test:80': portOf(storage) } });
  const before = { ...process.env };
  t.after(async () => {
    process.env = before;
    storage.close();
    await proxy.close();
  });
  for (const name of ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy']) {
    process.env = { ...before, [name]: proxy.url };
    alignProxyVariables(process.env, proxiesOf({ [name]: proxy.url }));
    const { data } = await gaxios.request<string>({ url: 'http://storage.test/', responseType: 'text' });
    assert.equal(data, 'stored');
    // grpc-js reads these two alone.
    assert.deepEqual(
      [process.env['https_proxy'], /metadata\.google\.internal/.test(process.env['no_proxy'] ?? '')],
      [proxy.url, true],
    );
    const seen = proxy.requests.length;
    await gaxios.request({ url: `http://127.0.0.1:${String(portOf(storage))}/`, responseType: 'text' });
    assert.equal(proxy.requests.length, seen, 'this machine is reached directly');
  }
  assert.deepEqual(new Set(proxy.requests), new Set(['CONNECT storage.test:80']));
});

test('of an identity provider no answer is read that is larger than any it has to give', async (t) => {
  const server = createServer((_req, res) => res.end('x'.repeat(res.req.url === '/small' ? 1_048_576 : 1_048_577)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const smallFetch = openSmallFetch(undefined);
  const ask = (path: string): Promise<Response> =>
    smallFetch(`http://127.0.0.1:${String(portOf(server))}${path}`, { method: 'GET', headers: {} });
  assert.equal((await (await ask('/small')).text()).length, 1_048_576);
  await assert.rejects(ask('/large'), /more than 1048576 bytes/);
});

for (const [name, drip] of Object.entries({
  'a body that drips': 'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n',
  'a head that never comes': 'HTTP/1.1 102 Processing\r\n\r\n',
}))
  test(`an identity provider is waited for so long in all, whatever it sends meanwhile: ${name}`, async (t) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined).write(drip);
      const timer = setInterval(() => socket.write(name.includes('body') ? ' ' : drip), 20);
      socket.on('close', () => clearInterval(timer));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const smallFetch = openSmallFetch(undefined, 500);
    const asked = smallFetch(`http://127.0.0.1:${String(portOf(server))}/keys`, { method: 'GET', headers: {} });
    await assert.rejects(asked, { name: 'TimeoutError' });
  });

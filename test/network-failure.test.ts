/** One rule for the errors of the network, held to real servers and to Node's own list of certificate errors (E7). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { test, type TestContext } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { createDownloader } from '../src/download/download.ts';
import { Failure } from '../src/failure.ts';
import { createAgent, exchange } from '../src/genesys/exchange.ts';
import { networkFailure } from '../src/network-failure.ts';
import { portOf } from './support/genesys/media-host.ts';
import { createByNoAuthority, createSelfSigned } from './support/self-signed.ts';

const API = { name: 'api.example.com', broken: 'upstream-unavailable' } as const;
const MEDIA = { name: 'the media host', broken: 'incomplete' } as const;

/** https://nodejs.org/api/tls.html#x509-certificate-error-codes, and what Node and undici add for names and proxies. */
const CERTIFICATE_ERRORS = `UNABLE_TO_GET_ISSUER_CERT UNABLE_TO_GET_CRL UNABLE_TO_DECRYPT_CERT_SIGNATURE
  UNABLE_TO_DECRYPT_CRL_SIGNATURE UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY CERT_SIGNATURE_FAILURE CRL_SIGNATURE_FAILURE
  CERT_NOT_YET_VALID CERT_HAS_EXPIRED CRL_NOT_YET_VALID CRL_HAS_EXPIRED ERROR_IN_CERT_NOT_BEFORE_FIELD
  ERROR_IN_CERT_NOT_AFTER_FIELD ERROR_IN_CRL_LAST_UPDATE_FIELD ERROR_IN_CRL_NEXT_UPDATE_FIELD DEPTH_ZERO_SELF_SIGNED_CERT
  SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_GET_ISSUER_CERT_LOCALLY UNABLE_TO_VERIFY_LEAF_SIGNATURE CERT_CHAIN_TOO_LONG
  CERT_REVOKED INVALID_CA PATH_LENGTH_EXCEEDED INVALID_PURPOSE CERT_UNTRUSTED CERT_REJECTED HOSTNAME_MISMATCH
  ERR_TLS_CERT_ALTNAME_INVALID ERR_TLS_CERT_ALTNAME_FORMAT UND_ERR_PRX_TLS`.split(/\s+/);

function withCode(code: string, message = 'what the library says'): Error {
  return Object.assign(new Error(message), { code });
}

test('a certificate nobody vouches for is a matter of configuration, for media and API alike (E7)', () => {
  for (const code of CERTIFICATE_ERRORS)
    for (const party of [API, MEDIA]) {
      const failure = networkFailure(withCode(code), party);
      assert.deepEqual([failure?.code, failure?.retry], ['misconfigured', 'wait'], code);
      assert.match(failure?.message ?? '', new RegExp(`certificate of ${party.name} .*${code}.*NODE_EXTRA_CA_CERTS`));
    }
});

test('every other error of the network passes, and says what to look at', () => {
  const silent = ['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'];
  const unreachable = ['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EPROTO', 'EMFILE'];
  const tls = ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'];
  const broken = ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'HPE_INVALID_CONSTANT', 'ERR_STREAM_PREMATURE_CLOSE'];
  for (const code of silent) assert.equal(networkFailure(withCode(code), API)?.code, 'upstream-timeout', code);
  for (const code of [...unreachable, ...tls, 'UND_ERR_ABORTED', 'UND_ERR_PRX_CONN']) {
    const failure = networkFailure(withCode(code), API);
    assert.equal(failure?.code, 'upstream-unavailable', code);
    assert.match(failure.message, /^api\.example\.com cannot be reached .*proxy/);
  }
  for (const code of broken) {
    assert.equal(networkFailure(withCode(code), API)?.code, 'upstream-unavailable', code);
    assert.equal(networkFailure(withCode(code), MEDIA)?.code, 'incomplete', code);
  }
  const late = networkFailure(new DOMException('late', 'TimeoutError'), MEDIA);
  assert.equal(late?.code, 'upstream-timeout');
  assert.match(late.message, /^The media host did not answer/);
});

test('an error that is none of the network is left to whoever knows it', () => {
  for (const thrown of [new TypeError('x'), 'text', undefined, new DOMException('left', 'AbortError')])
    assert.equal(networkFailure(thrown, API), undefined);
  const known = new Failure('host-refused', 'x');
  assert.equal(networkFailure(known, API), known);
});

async function serveTls(t: TestContext, certificate: { key: string; cert: string }): Promise<number> {
  const server = createServer(certificate, (_request, response) => response.end('{}')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close().closeAllConnections());
  return portOf(server);
}

/** One exchange as with the API, and one download as of media, at the same host. */
async function failuresAt(t: TestContext, origin: string): Promise<readonly Failure[]> {
  const agent = createAgent();
  const downloader = createDownloader({ apiUrl: origin, mediaHosts: [], maxMediaBytes: 1_000 });
  t.after(() => Promise.all([agent.destroy(), downloader.close()]));
  const url = new URL(`${origin}/x`);
  const asked = [
    exchange({ method: 'GET', url, headers: {} }, agent, t.signal),
    downloader.open(async () => ({ url, headers: {} }), t.signal),
  ];
  const outcomes = await Promise.allSettled(asked);
  return outcomes.map((outcome) => {
    assert.ok(outcome.status === 'rejected' && outcome.reason instanceof Failure, 'it was refused');
    return outcome.reason;
  });
}

test('real certificates that cannot be trusted are told alike by API and media (E7)', async (t) => {
  const trusted = getCACertificates('default');
  t.after(() => setDefaultCACertificates(trusted));
  const noAuthority = createByNoAuthority();
  const otherName = createSelfSigned('elsewhere.example');
  setDefaultCACertificates([...trusted, noAuthority.ca, otherName.cert]);
  const cases = [
    [createSelfSigned(), /DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED/],
    [noAuthority, /INVALID_CA|INVALID_PURPOSE/],
    [otherName, /ERR_TLS_CERT_ALTNAME_INVALID/],
  ] as const;
  for (const [certificate, code] of cases) {
    const origin = `https://localhost:${String(await serveTls(t, certificate))}`;
    for (const failure of await failuresAt(t, origin)) {
      assert.equal(failure.code, 'misconfigured', failure.message);
      assert.match(failure.message, code);
    }
  }
});

/** Keys in Cloud KMS, by a far end of ours that speaks what its reference says; the real one is not asked here. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { crc32c } from '../../src/archive/checksum.ts';
import { openSigner } from '../../src/certificate/open-signer.ts';
import { readConfig } from '../../src/config/config.ts';
import { Failure } from '../../src/failure.ts';

const { signal } = new AbortController();
const KEY = 'projects/p/locations/europe-west3/keyRings/r/cryptoKeys/certificates/cryptoKeyVersions/1';

interface Kms {
  readonly server: Server;
  readonly url: string;
  readonly publicKey: KeyObject;
  readonly asked: { readonly method: string; readonly url: string; readonly body: unknown }[];
}

/** https://docs.cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions */
async function startKms(
  t: TestContext,
  faults: { readonly status?: number; readonly pem?: string; readonly flips?: true },
): Promise<Kms> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const asked: Kms['asked'] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const body: unknown = JSON.parse((await text(request)) || 'null');
      asked.push({ method: request.method ?? '', url: request.url ?? '', body });
      response.writeHead(faults.status ?? 200, { 'content-type': 'application/json' });
      const pem = faults.pem ?? publicKey.export({ type: 'spki', format: 'pem' }).toString();
      if (request.method === 'GET')
        return response.end(JSON.stringify({ pem, algorithm: 'EC_SIGN_ED25519', name: KEY }));
      const { data, dataCrc32c } = body as { readonly data: string; readonly dataCrc32c: string };
      const bytes = Buffer.from(data, 'base64');
      assert.equal(dataCrc32c, String(crc32c(bytes)));
      const signature = sign(null, bytes, privateKey);
      if (faults.flips === true) signature.writeUInt8(signature.readUInt8(3) ^ 1, 3);
      return response.end(
        JSON.stringify({ signature: signature.toString('base64'), name: KEY, verifiedDataCrc32c: true }),
      );
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { server, url: `http://127.0.0.1:${String(address.port)}`, publicKey, asked };
}

function configOf(kms: Kms) {
  const env = { ARCHIVE_URL: 'gs://bucket-of-calls/x', CERTIFICATE_KEY: KEY, KMS_API_ENDPOINT: kms.url };
  return readConfig(env, 'verify');
}

test('a key in Cloud KMS signs what it is sent, and never leaves', { timeout: 300_000 }, async (t) => {
  const kms = await startKms(t, {});
  const signer = await openSigner(configOf(kms), signal);
  assert.ok(signer !== undefined);
  const statement = Buffer.from('{"kind":"day"}');
  assert.ok(verify(null, statement, kms.publicKey, await signer.sign(statement, signal)));
  assert.deepEqual(
    kms.asked.map(({ method, url }) => `${method} ${url}`),
    [`GET /v1/${KEY}/publicKey`, `POST /v1/${KEY}:asymmetricSign`],
  );
  await assert.rejects(signer.sign(Buffer.alloc(65_537), signal), /65536 bytes at most/);
});

for (const [what, faults, code, message] of [
  ['no right to it', { status: 403 }, 'misconfigured', /cloudkms\.signerVerifier/],
  ['no such key', { status: 404 }, 'misconfigured', /knows no such key version/],
  ['a server that fails', { status: 503 }, 'archive-unavailable', /answered 503/],
  ['a key of another algorithm', { pem: 'no key' }, 'misconfigured', /EC_SIGN_ED25519/],
  ['a signature that was damaged', { flips: true }, 'archive-unavailable', /does not fit/],
] as const) {
  test(`${what}: said with what to do, and nothing is signed`, { timeout: 300_000 }, async (t) => {
    const kms = await startKms(t, faults);
    const signing = async (): Promise<unknown> =>
      (await openSigner(configOf(kms), signal))?.sign(Buffer.from('x'), signal);
    await assert.rejects(
      signing,
      (thrown) => thrown instanceof Failure && thrown.code === code && message.test(thrown.message),
    );
  });
}

test('a private key of Ed25519 is taken as PEM; anything else is named as a problem, never shown', () => {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  assert.equal(readConfig({ CERTIFICATE_KEY: pem }, 'verify').certificate.privateKey, pem.trim());
  for (const wrong of [rsa.toString(), 'secret-that-is-none', 'projects/p/cryptoKeys/k'])
    assert.throws(
      () => readConfig({ CERTIFICATE_KEY: wrong }, 'verify'),
      (thrown) =>
        thrown instanceof Error &&
        /CERTIFICATE_KEY: expected an Ed25519/.test(thrown.message) &&
        !thrown.message.includes(wrong),
    );
});

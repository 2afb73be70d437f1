/** A port of the loopback → a Google metadata server and the IAM call that signs without a key. */
import assert from 'node:assert/strict';
import { sign, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { rsaPairOf } from './rsa.ts';

export interface MetadataServer {
  /** `127.0.0.1:PORT`, for GCE_METADATA_HOST. */
  readonly host: string;
  /** For the library's `signingEndpoint`. */
  readonly signingEndpoint: string;
  readonly email: string;
  readonly publicKey: KeyObject;
  /** As it would lie in a key file; for GOOGLE_APPLICATION_CREDENTIALS. */
  readonly keyFile: Readonly<Record<string, string>>;
  /** The tokens that were given out, newest last. */
  readonly tokens: Set<string>;
  /** Requests by path, e.g. `signBlob`, `token`, `email`. */
  count(kind: 'token' | 'email' | 'signBlob'): number;
  /** Answers signBlob with this status from now on; undefined signs again. */
  refuseSigning(status: number | undefined): void;
  close(): Promise<void>;
}

export async function startMetadataServer(): Promise<MetadataServer> {
  const { publicKey, privateKey } = rsaPairOf('the service account');
  const email = 'playback@project-test.iam.gserviceaccount.com';
  const tokens = new Set<string>();
  const counts = new Map<string, number>();
  let refusal: number | undefined;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://metadata').pathname;
    const kind = path.endsWith(':signBlob') ? 'signBlob' : (path.split('/').at(-1) ?? '');
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    response.setHeader('metadata-flavor', 'Google');
    if (kind === 'signBlob') return signBlob(request, response);
    if (request.headers['metadata-flavor'] !== 'Google') return send(response, 403, 'Metadata-Flavor is missing');
    if (kind === 'token') {
      const token = `token-${String(tokens.size + 1)}`;
      tokens.add(token);
      return send(response, 200, { access_token: token, expires_in: 3600, token_type: 'Bearer' });
    }
    if (kind === 'email') return send(response, 200, email);
    if (kind === 'project-id') return send(response, 200, 'project-test');
    if (kind === 'universe-domain') return send(response, 404, 'not found');
    return send(response, 200, '');
  }

  async function signBlob(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body: unknown = JSON.parse(await text(request));
    assert.ok(typeof body === 'object' && body !== null && 'payload' in body && typeof body.payload === 'string');
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    if (!tokens.has(token)) return send(response, 401, { error: { code: 401, message: 'unauthenticated' } });
    if (refusal !== undefined) {
      return send(response, refusal, {
        error: { code: refusal, message: "Permission 'iam.serviceAccounts.signBlob' denied" },
      });
    }
    const signature = sign('sha256', Buffer.from(body.payload, 'base64'), privateKey);
    return send(response, 200, { keyId: 'key', signedBlob: signature.toString('base64') });
  }

  const server = createServer((request, response) => void serve(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const host = `127.0.0.1:${String(address.port)}`;
  return {
    host,
    signingEndpoint: `http://${host}/v1/projects/-/serviceAccounts/`,
    email,
    publicKey,
    keyFile: {
      type: 'service_account',
      project_id: 'project-test',
      private_key_id: 'key',
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      client_email: email,
      client_id: '1',
      token_uri: `http://${host}/token`,
    },
    tokens,
    count: (kind) => counts.get(kind) ?? 0,
    refuseSigning(status) {
      refusal = status;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const payload = typeof body === 'string' ? body : JSON.stringify(body);
  response
    .writeHead(status, { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json' })
    .end(payload);
}

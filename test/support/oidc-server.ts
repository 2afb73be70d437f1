/** A port of the loopback → the place where Google publishes its keys, and makes tokens with one of them. */
import assert from 'node:assert/strict';
import { sign, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { rsaPairOf } from './rsa.ts';

export interface OidcServer {
  readonly certsUrl: string;
  /** What lies there of its key. */
  readonly publicPem: string;
  /** How often the keys were fetched. */
  readonly fetches: () => number;
  /** Fetching fails from now on. */
  breakDown(): void;
  /** A token as Pub/Sub sends it; `claims` replace or, where undefined, remove its own. */
  token(claims?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): string;
  close(): Promise<void>;
}

export const AUDIENCE = 'https://worker.example';
export const PUSHER = 'pusher@project-test.iam.gserviceaccount.com';

/** Signs with a key that is not published. */
export function forgedToken(server: OidcServer): string {
  const [head = '', body = ''] = server.token().split('.');
  const { privateKey } = rsaPairOf('a forger');
  return signed(`${head}.${body}`, privateKey);
}

export async function startOidcServer(): Promise<OidcServer> {
  const { publicKey, privateKey } = rsaPairOf('the key server');
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  let fetches = 0;
  let broken = false;
  const server = createServer((_, response) => {
    fetches += 1;
    if (broken) return void response.writeHead(404).end();
    response.setHeader('Cache-Control', 'public, max-age=3600');
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ 'key-1': publicPem }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    certsUrl: `http://127.0.0.1:${String(address.port)}/certs`,
    publicPem,
    fetches: () => fetches,
    breakDown: () => {
      broken = true;
    },
    token: (claims = {}, header = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const own = { iss: 'https://accounts.google.com', aud: AUDIENCE, email: PUSHER, email_verified: true };
      const payload = { ...own, sub: '1', iat: now, exp: now + 3600, ...claims };
      const head = { alg: 'RS256', kid: 'key-1', typ: 'JWT', ...header };
      return signed(`${encode(head)}.${encode(payload)}`, privateKey);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function signed(text: string, key: KeyObject): string {
  return `${text}.${sign('RSA-SHA256', Buffer.from(text), key).toString('base64url')}`;
}

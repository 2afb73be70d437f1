/** A port of the loopback → an identity provider that speaks OpenID Connect, and lies when it is told to. */
import assert from 'node:assert/strict';
import { createHash, type KeyObject, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { exportJWK, SignJWT } from 'jose';
import { rsaPairOf } from '../rsa.ts';

/** One request to sign in, as it arrived. */
export interface Asked {
  readonly redirectUri: string;
  readonly state: string;
  readonly nonce: string;
  readonly challenge: string;
  readonly method: string;
}

export interface Provider extends AsyncDisposable {
  readonly issuer: string;
  readonly asked: readonly Asked[];
  /** Codes given for tokens. */
  readonly exchanged: readonly string[];
  /** How often its keys were asked for. */
  keysAsked: number;
  /** Of the ID token; `undefined` takes one out. */
  claims: Readonly<Record<string, unknown>>;
  /** Signs with a key that is not published. */
  isForging: boolean;
  /** `none`: unsigned. */
  algorithm: 'RS256' | 'none';
  /** Answers nothing but 503. */
  isDown: boolean;
  /** Says yes to what the browser was sent there with: where it is sent back to. */
  agree(location: string): string;
}

export async function startProvider(): Promise<Provider> {
  const own = rsaPairOf('the provider');
  const forged = rsaPairOf('a forger');
  const asked: Asked[] = [];
  const exchanged: string[] = [];
  const codes = new Map<string, Asked>();
  const state = {
    claims: {},
    isForging: false,
    algorithm: 'RS256' as 'RS256' | 'none',
    isDown: false,
    keysAsked: 0,
  };
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', issuer);
    if (pathname === '/authorize') {
      response.writeHead(200, { 'content-type': 'text/html' });
      return void response.end(`<!doctype html><title>Who are you?</title><a href="${agree(search)}">It is me</a>`);
    }
    void answer(request).then(({ status, body }) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const issuer = `http://127.0.0.1:${String(address.port)}`;

  async function answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
    const { pathname } = new URL(request.url ?? '/', issuer);
    if (state.isDown) return { status: 503, body: {} };
    if (pathname === '/.well-known/openid-configuration') return { status: 200, body: metadata() };
    if (pathname === '/keys') state.keysAsked += 1;
    if (pathname === '/keys')
      return {
        status: 200,
        body: { keys: [{ ...(await exportJWK(own.publicKey)), alg: 'RS256', use: 'sig', kid: 'k1' }] },
      };
    if (pathname === '/token') return exchange(new URLSearchParams(await text(request)), request.headers.authorization);
    return { status: 404, body: {} };
  }

  function metadata(): object {
    return {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/keys`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    };
  }

  /** A code is good once, for whoever knows the verifier. */
  async function exchange(form: URLSearchParams, authorization = ''): Promise<{ status: number; body: object }> {
    const code = form.get('code') ?? '';
    const begun = codes.get(code);
    codes.delete(code);
    const secret = form.get('client_secret') ?? Buffer.from(authorization.slice(6), 'base64').toString().split(':')[1];
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    if (secret !== 'canary-oidc-secret') return { status: 401, body: { error: 'invalid_client' } };
    if (begun === undefined || begun.challenge !== challenge || begun.redirectUri !== form.get('redirect_uri'))
      return { status: 400, body: { error: 'invalid_grant' } };
    exchanged.push(code);
    const id_token = await idToken(begun.nonce);
    return {
      status: 200,
      body: { access_token: 'canary-access-token', token_type: 'Bearer', expires_in: 60, id_token },
    };
  }

  async function idToken(nonce: string): Promise<string> {
    const nowS = Math.floor(Date.now() / 1000);
    const usual = { iss: issuer, aud: 'console', sub: 'user-1', iat: nowS, exp: nowS + 300, nonce };
    const claims = { ...usual, email: 'Maya.Okoro@example.com', email_verified: true, ...state.claims };
    if (state.algorithm === 'none') return `${encoded({ alg: 'none' })}.${encoded(claims)}.`;
    const key: KeyObject = (state.isForging ? forged : own).privateKey;
    return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'k1' }).sign(key);
  }

  function agree(location: string): string {
    const { searchParams } = new URL(location, issuer);
    const get = (name: string): string => searchParams.get(name) ?? '';
    const begun: Asked = {
      redirectUri: get('redirect_uri'),
      state: get('state'),
      nonce: get('nonce'),
      challenge: get('code_challenge'),
      method: get('code_challenge_method'),
    };
    asked.push(begun);
    const code = randomUUID();
    codes.set(code, begun);
    return `${begun.redirectUri}?code=${code}&state=${begun.state}`;
  }

  return Object.assign(state, {
    issuer,
    asked,
    exchanged,
    agree,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  });
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

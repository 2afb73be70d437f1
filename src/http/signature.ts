/** Turns a webhook's headers and raw bytes into "sent by someone who knows our secret", or into a 401. */
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Failure } from '../failure.ts';
import { createSecrets, sameText } from './constant-time.ts';
import { basicPasswordOf, bearerOf, headerOf } from './headers.ts';

export interface WebhookAuth {
  readonly required: boolean;
  /** HMAC keys: `whsec_` and base64, or raw text. */
  readonly secrets: readonly string[];
  readonly tokens: readonly string[];
}

/**
 * Any one proof is enough: a signature by any secret, or any token. Nothing of the body may be looked at before.
 * @throws Failure `unauthorized`
 */
export type Verify = (headers: IncomingHttpHeaders, body: Buffer) => void;

/** A signature further from our clock is a replay. */
const TOLERANCE_S = 300;
/** Rotation needs two; a sender that offers more than this is guessing. */
const MAX_SIGNATURES = 16;

export function createVerify(auth: WebhookAuth, now: () => number = Date.now): Verify {
  const keys = auth.secrets.map(keyOf);
  const tokens = createSecrets(auth.tokens);
  return (headers, body) => {
    if (!auth.required) return;
    if (tokensIn(headers).some((token) => tokens.includes(token))) return;
    if (signedByStandardWebhooks(keys, headers, body)) return requireFresh(headers, now());
    if (signedByHub(keys, headers, body)) return;
    throw new Failure(
      'unauthorized',
      'The webhook carries no valid signature or token; sign the raw body with one of WEBHOOK_SECRETS, or send one of WEBHOOK_TOKENS.',
    );
  };
}

/** A KeyObject, made once: keying an HMAC with bytes costs eight times the HMAC. */
function keyOf(secret: string): KeyObject {
  const encoded = secret.startsWith('whsec_');
  const bytes = encoded ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret);
  if (bytes.length > 0) return createSecretKey(bytes);
  throw new Failure('misconfigured', 'WEBHOOK_SECRETS: one of them is empty; make it with: openssl rand -base64 32.');
}

function tokensIn(headers: IncomingHttpHeaders): string[] {
  const presented = [headerOf(headers, 'x-webhook-token'), bearerOf(headers), basicPasswordOf(headers)];
  return presented.flatMap((token) => (token === undefined || token === '' ? [] : [token]));
}

/**
 * `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, several separated by spaces; other versions are not ours.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
function signedByStandardWebhooks(keys: readonly KeyObject[], headers: IncomingHttpHeaders, body: Buffer): boolean {
  const id = headerOf(headers, 'webhook-id');
  const timestamp = headerOf(headers, 'webhook-timestamp');
  const presented = headerOf(headers, 'webhook-signature')
    ?.split(' ', MAX_SIGNATURES)
    .filter((signature) => signature.startsWith('v1,'));
  if (id === undefined || timestamp === undefined || presented === undefined || presented.length === 0) return false;
  return keys.some((key) => {
    const hmac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
    return presented.some((signature) => sameText(signature, `v1,${hmac}`));
  });
}

/** Asked only once the signature holds: who cannot sign learns nothing of our clock. */
function requireFresh(headers: IncomingHttpHeaders, nowMs: number): void {
  const timestamp = headerOf(headers, 'webhook-timestamp') ?? '';
  const ageS = /^\d{1,12}$/.test(timestamp) ? Math.floor(nowMs / 1000) - Number(timestamp) : NaN;
  if (Math.abs(ageS) <= TOLERANCE_S) return;
  throw new Failure(
    'unauthorized',
    `webhook-timestamp: expected Unix seconds within ${String(TOLERANCE_S)} s of now; check the sender's clock, and sign each attempt anew.`,
  );
}

/** `sha256=` and hex (GitHub) or base64 (Genesys Open Messaging) of HMAC-SHA256 over the body. */
function signedByHub(keys: readonly KeyObject[], headers: IncomingHttpHeaders, body: Buffer): boolean {
  const presented = /^sha256=(\S{1,128})$/.exec(headerOf(headers, 'x-hub-signature-256') ?? '')?.[1];
  if (presented === undefined) return false;
  return keys.some((key) => {
    const hmac = createHmac('sha256', key).update(body).digest();
    return sameText(presented.toLowerCase(), hmac.toString('hex')) || sameText(presented, hmac.toString('base64'));
  });
}

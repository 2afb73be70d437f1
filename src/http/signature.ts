/** A webhook's headers and raw bytes → "sent by someone who knows our secret", or a 401. */
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Failure } from '../failure.ts';
import type { Key } from '../key.ts';
import { KeyRing, MadeOfKeys, sameText, stillGood } from './constant-time.ts';
import { basicPasswordOf, bearerOf, headerOf } from './headers.ts';

export interface WebhookAuth {
  readonly required: boolean;
  /** HMAC keys: `whsec_` and base64, or raw text. Both are asked for at each request. */
  readonly secrets: readonly Key[];
  readonly tokens: readonly Key[];
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
  const secrets = new MadeOfKeys(() => auth.secrets, hmacKeyOf);
  const tokens = new KeyRing(() => auth.tokens);
  return (headers, body) => {
    if (!auth.required) return;
    if (tokensIn(headers).some((token) => tokens.find(token) !== undefined)) return;
    const signedBy = (isSigned: IsSigned): Key | undefined =>
      stillGood(
        secrets.pairs.filter(([, key]) => isSigned(key)).map(([key]) => key),
        now(),
      );
    if (signedBy(standardWebhook(headers, body)) !== undefined) return requireFresh(headers, now());
    if (signedBy(hub(headers, body)) !== undefined) return;
    throw new Failure(
      'unauthorized',
      'The webhook carries no valid signature or token; sign the raw body with one of WEBHOOK_SECRETS, or send one of WEBHOOK_TOKENS.',
    );
  };
}

/** A KeyObject, made once: keying an HMAC with bytes costs eight times the HMAC. */
function hmacKeyOf({ secret }: Key): KeyObject {
  const encoded = secret.startsWith('whsec_');
  return createSecretKey(encoded ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret));
}

type IsSigned = (key: KeyObject) => boolean;

function tokensIn(headers: IncomingHttpHeaders): string[] {
  const presented = [headerOf(headers, 'x-webhook-token'), bearerOf(headers), basicPasswordOf(headers)];
  return presented.flatMap((token) => (token === undefined || token === '' ? [] : [token]));
}

/**
 * `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, several separated by spaces; other versions are not ours.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
function standardWebhook(headers: IncomingHttpHeaders, body: Buffer): IsSigned {
  const id = headerOf(headers, 'webhook-id');
  const timestamp = headerOf(headers, 'webhook-timestamp');
  const presented = headerOf(headers, 'webhook-signature')
    ?.split(' ', MAX_SIGNATURES)
    .filter((signature) => signature.startsWith('v1,'));
  if (id === undefined || timestamp === undefined || presented === undefined || presented.length === 0)
    return () => false;
  return (key) => {
    const hmac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
    return presented.some((signature) => sameText(signature, `v1,${hmac}`));
  };
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
function hub(headers: IncomingHttpHeaders, body: Buffer): IsSigned {
  const presented = /^sha256=(\S{1,128})$/.exec(headerOf(headers, 'x-hub-signature-256') ?? '')?.[1];
  if (presented === undefined) return () => false;
  return (key) => {
    const hmac = createHmac('sha256', key).update(body).digest();
    return sameText(presented.toLowerCase(), hmac.toString('hex')) || sameText(presented, hmac.toString('base64'));
  };
}

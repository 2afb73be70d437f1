/** An event → a webhook as each kind of sender sends it: signed in one of several ways, or with a token. */
import { createHmac, randomUUID } from 'node:crypto';

export type Proof = (body: string) => Readonly<Record<string, string>>;

export interface Receipt {
  readonly status: number;
  readonly body: string;
}

export async function send(url: string, event: unknown, proof: Proof): Promise<Receipt> {
  const body = JSON.stringify(event);
  const response = await fetch(`${url}/webhooks/genesys`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...proof(body) },
    signal: AbortSignal.timeout(200_000),
  });
  return { status: response.status, body: await response.text() };
}

/** https://github.com/standard-webhooks/standard-webhooks, by a `whsec_` secret. */
export function standardWebhook(secret: string): Proof {
  return (body) => {
    const id = `msg_${randomUUID()}`;
    const timestamp = String(Math.floor(Date.now() / 1000));
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
    const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
  };
}

/** `X-Hub-Signature-256`, as GitHub (hex) and Genesys Open Messaging (base64) send it, by a secret of plain text. */
export function hubSignature(secret: string, encoding: 'hex' | 'base64'): Proof {
  return (body) => ({
    'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest(encoding)}`,
  });
}

export function bearer(token: string): Proof {
  return () => ({ authorization: `Bearer ${token}` });
}

export function tokenHeader(token: string): Proof {
  return () => ({ 'x-webhook-token': token });
}

export function basic(token: string): Proof {
  return () => ({ authorization: `Basic ${Buffer.from(`genesys:${token}`).toString('base64')}` });
}

export function unsigned(): Readonly<Record<string, string>> {
  return {};
}

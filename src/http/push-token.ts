/** Lets a request pass that Pub/Sub sent in the name of the one account that may push. */
import type { IncomingHttpHeaders } from 'node:http';
import { OAuth2Client, type TokenPayload } from 'google-auth-library';
import { ClockWatch } from '../clock.ts';
import { Failure } from '../failure.ts';
import { bearerOf } from './headers.ts';

export interface PushAuth {
  /** As the subscription's oidc_token says it; PUSH_AUDIENCE. */
  readonly audience: string;
  /** Email of the account in the subscription's oidc_token; PUSH_SERVICE_ACCOUNT. */
  readonly serviceAccount: string;
  /** Where Google publishes the certificates of its keys; for tests. */
  readonly certsUrl?: string;
}

/** @throws Failure `unauthorized`, or `upstream-unavailable` where Google's keys cannot be had */
export type VerifyPush = (headers: IncomingHttpHeaders) => Promise<void>;

const ISSUERS = ['https://accounts.google.com', 'accounts.google.com'];
const CERTS_WITHIN_MS = 5_000;

/**
 * https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
 * @throws Failure `misconfigured` without an audience or an account: the library would let any Google token pass
 */
export function createVerifyPush(auth: PushAuth): VerifyPush {
  const { audience, serviceAccount, certsUrl } = auth;
  if (audience.trim() === '') throw new Failure('misconfigured', 'PUSH_AUDIENCE: it must not be empty.');
  if (serviceAccount.trim() === '') throw new Failure('misconfigured', 'PUSH_SERVICE_ACCOUNT: it must not be empty.');
  const open = (): OAuth2Client =>
    new OAuth2Client({
      issuers: ISSUERS,
      transporterOptions: { timeout: CERTS_WITHIN_MS },
      ...(certsUrl === undefined ? {} : { endpoints: { oauth2FederatedSignonPemCertsUrl: certsUrl } }),
    });
  const clock = new ClockWatch();
  let client = open();
  const certs = new Certificates(() => client.getFederatedSignonCertsAsync());
  return async (headers) => {
    const idToken = bearerOf(headers);
    if (idToken === undefined) throw unauthorized('no token');
    if (clock.wasSetBack()) client = open();
    await certs.fetched();
    const payload = await payloadOf(client, { idToken, audience });
    if (payload?.email !== serviceAccount) throw unauthorized('another account');
    if (payload.email_verified !== true) throw unauthorized('an email that is not verified');
  };
}

/** Anybody can send a token that has to be checked: while Google's keys cannot be had nobody makes us ask more often than this. */
const REMEMBER_FAILURE_MS = 10_000;

/** Google's keys, kept by the library for as long as Google says; asked for once at a time. */
export class Certificates {
  readonly #fetch: () => Promise<unknown>;
  readonly #now: () => number;
  #running: Promise<void> | undefined;
  #failed: { readonly failure: Failure; readonly untilMs: number } | undefined;

  /** `now`: milliseconds that only grow. */
  constructor(fetch: () => Promise<unknown>, now: () => number = () => performance.now()) {
    this.#fetch = fetch;
    this.#now = now;
  }

  /** @throws Failure `upstream-unavailable` */
  fetched(): Promise<void> {
    if (this.#failed !== undefined && this.#now() < this.#failed.untilMs) return Promise.reject(this.#failed.failure);
    this.#running ??= this.#ask().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #ask(): Promise<void> {
    try {
      await this.#fetch();
      this.#failed = undefined;
    } catch (cause) {
      const text = 'Google’s keys could not be fetched, so the push could not be verified; it is sent again.';
      const failure = new Failure('upstream-unavailable', text, { cause });
      this.#failed = { failure, untilMs: this.#now() + REMEMBER_FAILURE_MS };
      throw failure;
    }
  }
}

/** Signature, audience, issuer and time. The library's own error quotes the token: it ends here, unread. */
async function payloadOf(
  client: OAuth2Client,
  token: { readonly idToken: string; readonly audience: string },
): Promise<TokenPayload | undefined> {
  try {
    return (await client.verifyIdToken({ ...token })).getPayload();
  } catch {
    throw unauthorized('a token that is no good here: audience, issuer, time or signature');
  }
}

/** `why` is for the operator: it says which check failed, and nothing of the token. */
function unauthorized(why: string): Failure {
  const text = 'A token of PUSH_SERVICE_ACCOUNT for PUSH_AUDIENCE is needed; compare both with the subscription.';
  return new Failure('unauthorized', text, { facts: { why } });
}

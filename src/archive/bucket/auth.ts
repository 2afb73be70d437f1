/** The environment's Google credentials → access tokens, or what to set where there are none. */
import { GoogleAuth } from 'google-auth-library';
import { adviceOnCredentials } from '../../credentials.ts';
import { Failure } from '../../failure.ts';

/** `cloud-platform` because signing links without a key asks the IAM Credentials API; the roles are the real limit. */
const SCOPES = ['https://www.googleapis.com/auth/cloud-platform'];

export function createGoogleAuth(): GoogleAuth {
  return new GoogleAuth({ scopes: SCOPES });
}

export class GoogleTokens {
  readonly #auth: GoogleAuth;

  constructor(auth: GoogleAuth) {
    this.#auth = auth;
  }

  /** A token that is valid for some minutes; cached by the library. @throws Failure `misconfigured` | `archive-unavailable` */
  async token(): Promise<string> {
    const token = await this.#auth.getAccessToken().catch((thrown: unknown) => {
      throw credentialsFailure(thrown);
    });
    if (typeof token !== 'string' || token === '') throw credentialsFailure(undefined);
    return token;
  }

  /** The server refused the token: the next one is fetched anew. */
  async forget(): Promise<void> {
    const client = await this.#auth.getClient();
    client.setCredentials({ ...client.credentials, expiry_date: 1 });
  }
}

/** The library's text is kept as cause only: it may hold a token or a key path. */
export function credentialsFailure(cause: unknown): Failure {
  if (isPassingTrouble(cause)) {
    return new Failure('archive-unavailable', 'No access token could be fetched; it is tried again later.', { cause });
  }
  return new Failure('misconfigured', `Cloud Storage cannot be asked: ${adviceOnCredentials(cause)}.`, { cause });
}

/** Google's libraries tell a network that failed, and a server that did, by their texts alone. */
export function isPassingTrouble(thrown: unknown): boolean {
  const text = thrown instanceof Error ? thrown.message : '';
  return /ENOTFOUND|ECONN|ETIMEDOUT|EAI_AGAIN|socket|timeout|fetch failed|\b50\d\b/i.test(text);
}

/** Lets a request pass that carries one of our API keys. */
import type { RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import { createSecrets } from './constant-time.ts';
import { bearerOf, headerOf } from './headers.ts';

export interface ApiAuth {
  readonly required: boolean;
  readonly keys: readonly string[];
}

/** `Authorization: Bearer K` or `X-API-Key: K`; looked at before anything else of the request. */
export function requireApiKey(auth: ApiAuth): RequestHandler {
  const keys = createSecrets(auth.keys);
  return (req, _res, next) => {
    const key = headerOf(req.headers, 'x-api-key') ?? bearerOf(req.headers);
    if (!auth.required || (key !== undefined && keys.includes(key))) return next();
    throw new Failure(
      'unauthorized',
      'An API key is needed: send one of API_KEYS as "Authorization: Bearer KEY" or "X-API-Key: KEY".',
    );
  };
}

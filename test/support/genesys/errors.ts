/** What is wrong with a request → Genesys' own words for it. */
import { randomUUID } from 'node:crypto';
import type { Fault } from './faults.ts';
import { jsonReply, type Reply } from './reply.ts';

const API_CODES: ReadonlyMap<number, string> = new Map([
  [400, 'bad.request'],
  [401, 'bad.credentials'],
  [403, 'missing.any.permissions'],
  [404, 'not.found'],
  [429, 'too.many.requests'],
  [500, 'internal.server.error'],
  [503, 'service.unavailable'],
  [504, 'request.timeout'],
]);

/** What a `return-N` fault answers. */
export function faultReply(fault: Fault, login: boolean): Reply {
  const status = fault.status ?? 500;
  if (status < 300) return jsonReply(status, undefined);
  if (login && status < 500 && status !== 429)
    return loginError(status, fault.code ?? 'invalid_client', 'authentication failed');
  const code = fault.code ?? API_CODES.get(status) ?? 'internal.server.error';
  const [seconds] = fault.retryAfter;
  if (status === 429 && seconds !== undefined && fault.code === undefined) return limitReply(seconds);
  return errorReply(status, code, `The request was answered with ${String(status)}.`);
}

/** ErrorBody: https://developer.genesys.cloud/platform/api/response-codes */
export function errorReply(
  status: number,
  code: string,
  message: string,
  messageParams: Record<string, string> = {},
): Reply {
  const contextId = randomUUID();
  const reply = jsonReply(status, { message, code, status, messageParams, contextId, details: [], errors: [] });
  return { ...reply, headers: { ...reply.headers, 'inin-correlation-id': contextId } };
}

export function notFound(): Reply {
  return errorReply(404, 'not.found', 'The requested resource was not found.');
}

export function limitReply(seconds: number | string): Reply {
  const retryAfter = String(seconds);
  const message = `Rate limit exceeded the maximum. Retry the request in [${retryAfter}] seconds`;
  const reply = errorReply(429, 'too.many.requests.retry.after', message, { retryAfter });
  return { ...reply, headers: { ...reply.headers, 'retry-after': retryAfter } };
}

export function loginError(status: number, error: string, description: string): Reply {
  return jsonReply(status, { error, description, error_description: description });
}

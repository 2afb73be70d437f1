/** A request → its raw bytes, or a refusal before they are all here. */
import type { IncomingMessage } from 'node:http';
import { Failure, systemCode } from '../failure.ts';
import { readWithin } from '../within-size.ts';
import type { BodyRoom } from './body-room.ts';

/**
 * The body as sent. Not express.raw: that reads a body which is too large to its end before it answers,
 * and an endless one never gets its 413. Without `room` it is small enough for a thousand at once.
 * @throws Failure `body-too-large` or `busy` as soon as it is known, `bad-request` where the sender left midway
 */
export async function readBody(req: IncomingMessage, limitBytes: number, room?: BodyRoom): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > limitBytes) throw bodyTooLarge(limitBytes);
  using place = room?.enter();
  const refuse = (sizeBytes: number): Failure | undefined =>
    sizeBytes > limitBytes ? bodyTooLarge(limitBytes) : place?.hold(sizeBytes);
  try {
    return await readWithin(req, refuse);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw brokenOff(error);
  }
}

/** The server's time for a request is over, its chunks are none, or its sender left. */
function brokenOff(cause: unknown): Failure {
  const isLate = systemCode(cause) === 'ERR_HTTP_REQUEST_TIMEOUT';
  if (isLate) return new Failure('bad-request', 'The request did not arrive in time.', { status: 408, cause });
  return new Failure('bad-request', 'The request ended before its body was complete.', { cause });
}

function bodyTooLarge(limitBytes: number): Failure {
  return new Failure(
    'body-too-large',
    `The body is larger than ${String(limitBytes)} bytes; send fewer events at once.`,
  );
}

const JSON_TYPE = /^application\/(?:[a-z0-9!#$&^_.-]+\+)?json$/;
/** US-ASCII is UTF-8. */
const CHARSET = /^(?:utf-?8|us-ascii)$/;

/** JSON in UTF-8, by whatever name and with whatever parameters, uncompressed. @throws Failure `unsupported-type` */
export function requireJson(req: IncomingMessage): void {
  const [type = '', ...parameters] = (req.headers['content-type'] ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const charsets = parameters.flatMap((parameter) => /^charset\s*=\s*"?([^"]*)"?$/.exec(parameter)?.[1] ?? []);
  if (!JSON_TYPE.test(type) || !charsets.every((charset) => CHARSET.test(charset.trim())))
    throw new Failure('unsupported-type', 'Content-Type: expected application/json in UTF-8.');
  const encoding = req.headers['content-encoding'] ?? '';
  if (encoding !== '' && encoding.trim().toLowerCase() !== 'identity')
    throw new Failure('unsupported-type', 'Content-Encoding: expected none; send the body uncompressed.');
}

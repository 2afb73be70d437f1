/** Turns a request into its raw bytes, or into a refusal before they are all here. */
import type { IncomingMessage } from 'node:http';
import { Failure } from '../failure.ts';

/**
 * The body as sent. Not express.raw: that reads a body which is too large to its end before it answers,
 * and an endless one never gets its 413.
 * @throws Failure `body-too-large` as soon as it is known, `bad-request` where the sender left midway
 */
export async function readBody(req: IncomingMessage, limitBytes: number): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > limitBytes) throw tooLarge(limitBytes);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    // Leaving early must not destroy the request: its socket still has to carry our answer.
    for await (const chunk of req.iterator({ destroyOnReturn: false })) {
      if (!Buffer.isBuffer(chunk)) continue;
      chunks.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes > limitBytes) throw tooLarge(limitBytes);
    }
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure('bad-request', 'The request ended before its body was complete.', { cause });
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, sizeBytes);
}

function tooLarge(limitBytes: number): Failure {
  return new Failure(
    'body-too-large',
    `The body is larger than ${String(limitBytes)} bytes; send fewer events at once.`,
  );
}

/** JSON as it is: no compression, no other charset. @throws Failure `unsupported-type` */
export function requireJson(req: IncomingMessage): void {
  const type = req.headers['content-type'] ?? '';
  if (!/^application\/json *(?:; *charset="?utf-8"? *)?$/i.test(type)) {
    throw new Failure('unsupported-type', 'Content-Type: expected application/json in UTF-8.');
  }
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    throw new Failure('unsupported-type', 'Content-Encoding: expected none; send the body uncompressed.');
  }
}

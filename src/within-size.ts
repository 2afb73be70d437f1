/** A body from outside → its bytes, as long as they are no more than somebody is ready to hold. */
import type { Readable } from 'node:stream';

/**
 * Rejects with what `refuse` says of the bytes that have come so far, or with the stream's own error; the stream is left as it
 * is then: whoever has no answer to give destroys it.
 */
export function readWithin(stream: Readable, refuse: (sizeBytes: number) => Error | undefined): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  // Listeners, not an async iterator: that alone costs a seventh of a webhook's CPU (test/bench/webhook-bench.ts).
  stream.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length;
    const refusal = refuse(sizeBytes);
    if (refusal === undefined) chunks.push(chunk);
    else reject(refusal);
  });
  stream.once('end', () => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)));
  stream.on('error', reject);
  // Where it was destroyed without a word.
  stream.once('close', () => {
    if (!stream.readableEnded) reject(new Error('It was closed before its end.'));
  });
  return promise;
}

/** The same of an answer nobody has to answer to: it is destroyed, and with it its connection, where it is not read to its end. */
export async function readAnswerWithin(body: Readable, limitBytes: number, tooLarge: () => Error): Promise<string> {
  try {
    const bytes = await readWithin(body, (sizeBytes) => (sizeBytes > limitBytes ? tooLarge() : undefined));
    return bytes.toString('utf8');
  } catch (error) {
    body.destroy();
    throw error;
  }
}

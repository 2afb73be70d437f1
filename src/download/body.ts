/** A response's body → chunks as large as what lies ready: each step of the way costs more than its bytes do. */
import { finished, type Readable } from 'node:stream';
import { release } from '../memory.ts';

/**
 * Bytes that may lie ready before the network has to wait. More make no recording cheaper, and whoever stands still holds as
 * much three times: here, in the body itself, and in the hands of a parser (FLIGHTS.readingBytes).
 */
const READ_BYTES = 64 * 1024;

/** Leaving early destroys the body, and with it the connection. The chunks are the reader's own. @throws what the body fails with */
export async function* readChunks(body: Readable): AsyncGenerator<Buffer, undefined> {
  let ready: Buffer[] = [];
  let readyBytes = 0;
  let end: { readonly error: Error | null | undefined } | undefined;
  let wake = (): void => undefined;
  body.on('data', (chunk: Buffer) => {
    ready.push(chunk);
    readyBytes += chunk.length;
    if (readyBytes >= READ_BYTES) body.pause();
    wake();
  });
  // Its listeners stay: whatever a destroyed body still emits is heard by somebody.
  finished(body, { writable: false }, (error) => {
    end = { error };
    wake();
  });
  try {
    for (;;) {
      if (ready.length > 0) {
        const chunk = joined(ready);
        ready = [];
        readyBytes = 0;
        body.resume();
        yield chunk;
      } else if (end === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
      } else if (end.error) throw end.error;
      else return undefined;
    }
  } finally {
    body.destroy();
  }
}

function joined(chunks: readonly Buffer[]): Buffer {
  const [only, ...more] = chunks;
  if (only !== undefined && more.length === 0) return only;
  const whole = Buffer.concat(chunks);
  for (const chunk of chunks) release(chunk);
  return whole;
}

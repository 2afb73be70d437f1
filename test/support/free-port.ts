/** Finds a TCP port that was free a moment ago, for programs that have to be told theirs. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below what systems give out by themselves, to connections and to whoever asks for any: nobody comes in between; and above those
 * that browsers and fetch refuse (https://fetch.spec.whatwg.org/#port-blocking), of which 10080 is the last.
 */
const FIRST = 10_100;
const BEYOND = 32_000;

export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, BEYOND);
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1');
  try {
    await once(probe, 'listening');
  } catch {
    return false;
  }
  probe.close();
  await once(probe, 'close');
  return true;
}

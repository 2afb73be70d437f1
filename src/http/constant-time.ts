/** Compares secrets without telling, by the time taken, how much of a guess was right. */
import { hash, timingSafeEqual } from 'node:crypto';

/** Whether both texts are the same. Both are hashed first: lengths may differ, and only 32 bytes are ever compared. */
export function sameText(presented: string, expected: string): boolean {
  return timingSafeEqual(digest(presented), digest(expected));
}

export interface Secrets {
  /** Compares with every secret, whichever matches. */
  includes(presented: string): boolean;
}

export function createSecrets(secrets: readonly string[]): Secrets {
  const digests = secrets.map(digest);
  return {
    includes(presented) {
      const candidate = digest(presented);
      return digests.reduce((found, known) => timingSafeEqual(known, candidate) || found, false);
    },
  };
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

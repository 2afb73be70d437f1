/** Whose key it is → an RSA pair of 2048 bits, made once for a process: making one takes longer than most tests do. */
import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto';

const made = new Map<string, KeyPairKeyObjectResult>();

/** The same pair for the same owner, and another one for each other. */
export function rsaPairOf(owner: string): KeyPairKeyObjectResult {
  const pair = made.get(owner) ?? generateKeyPairSync('rsa', { modulusLength: 2048 });
  made.set(owner, pair);
  return pair;
}

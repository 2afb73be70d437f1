/** Secrets of a test → keys as the service holds them, without a name or an end of their own. */
import type { Key } from '../../src/key.ts';

export function keysOf(...secrets: readonly string[]): readonly Key[] {
  return secrets.map((secret, index) => ({ name: `key-${String(index + 1)}`, secret, lastDay: undefined }));
}

/** The version of this program, as package.json says it. */
import { readFileSync } from 'node:fs';
import { Fields } from './fields.ts';

export function readVersion(): string {
  const about: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return Fields.in(about)?.text('version') ?? 'unknown';
}

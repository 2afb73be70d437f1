/** All recordings, dealt into parts by the hash of their keys, so that reading one part a night reads everything in the end. */
import { createHash } from 'node:crypto';
import { DAY_MS } from '../instant.ts';

/** The `part`-th (from 1) of `of` parts. */
export interface ReadPart {
  readonly part: number;
  readonly of: number;
}

export function isInPart(key: string, { part, of }: ReadPart): boolean {
  return createHash('sha256').update(key).digest().readUInt32BE(0) % of === part - 1;
}

/** `n/t`; undefined for anything else. */
export function parsePart(text: unknown): ReadPart | undefined {
  const [, part, of] = /^([1-9]\d{0,4})\/([1-9]\d{0,4})$/.exec(typeof text === 'string' ? text : '') ?? [];
  return Number(part) <= Number(of) ? { part: Number(part), of: Number(of) } : undefined;
}

/** Another one each day, and each of them once in `of` days. */
export function partOfDay(day: string, of: number): ReadPart {
  return { part: ((Date.parse(day) / DAY_MS) % of) + 1, of };
}

export function partText({ part, of }: ReadPart): string {
  return `${String(part)}/${String(of)}`;
}

/** `--confirm N`: what cannot be undone, or is asked of Genesys, is done only if it is still as many as somebody has seen. */
import { type Flag, UsageError } from './flags.ts';

export const CONFIRM_FLAG = {
  kind: 'text',
  value: 'N',
  meaning: 'does it, if it is still that many; without it this only says what it would do',
} as const satisfies Flag;

/** undefined: it only says what it would do. @throws UsageError */
export function confirmedCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^(0|[1-9]\d{0,8})$/.test(text)) return Number(text);
  throw new UsageError(`--confirm ${text}: expected the number that the plan ends with.`);
}

/** Days as people write them, `7d`. @throws UsageError */
export function daysFlag(name: string, text: string, most: number): number {
  const days = /^([1-9]\d{0,4})d?$/.exec(text)?.[1];
  if (days !== undefined && Number(days) <= most) return Number(days);
  throw new UsageError(`--${name} ${text}: expected 1 to ${String(most)} days, such as 7d.`);
}

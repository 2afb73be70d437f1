/** `--reason`: why somebody does what cannot be undone, as they type it. */
import { type Flag, type FlagValues, UsageError } from './flags.ts';

export const REASON_FLAG = {
  kind: 'text',
  value: 'TEXT',
  meaning: 'why; it stays in the audit, which cannot be erased: no names, no numbers',
} as const satisfies Flag;

const LONGEST_REASON = 1_000;

/** @throws UsageError where there is none, or too much of it */
export function requireReason(flags: FlagValues): string {
  const reason = flags.text('reason')?.trim().toWellFormed() ?? '';
  if (reason === '') throw new UsageError('--reason is needed: say why in a few words, without names or numbers.');
  if (reason.length > LONGEST_REASON)
    throw new UsageError(
      `--reason has ${String(reason.length)} characters: at most ${String(LONGEST_REASON)}; name the file where the rest is.`,
    );
  return reason;
}

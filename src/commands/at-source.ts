/** Conversations that are held here → protected from deletion at Genesys as well, or no longer, a hundred a call. */
import { inBatches } from '../archive/in-batches.ts';
import { type GenesysRetention, MOST_PROTECTED_AT_ONCE } from '../genesys/retention.ts';
import type { Task } from './task.ts';

/** How many Genesys refused, each by name. */
export async function protectAtSource(
  conversationIds: Iterable<string>,
  { retention, isProtected }: { readonly retention: GenesysRetention; readonly isProtected: boolean },
  { report, signal }: Task,
): Promise<number> {
  const word = isProtected ? 'not protected at Genesys' : 'still protected at Genesys';
  let refused = 0;
  for await (const batch of inBatches(new Set(conversationIds), MOST_PROTECTED_AT_ONCE)) {
    for (const { conversationId, reason } of await retention.protect(batch, isProtected, signal)) {
      refused += 1;
      report.line(`${word}  ${conversationId ?? 'one of them, Genesys does not say which'}  ${reason}`, {
        type: 'not-protected',
        conversationId: conversationId ?? null,
        isProtected,
        reason,
      });
    }
  }
  if (refused > 0 && isProtected)
    report.text(
      'Genesys protects at most 1,000 conversations of an organisation, and only those that a policy recorded. Here they are held all the same.',
    );
  return refused;
}

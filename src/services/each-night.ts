/** A service and its archive → each night what is missing is looked for and fetched, and then what is there is verified. */
import type { Archive } from '../archive/archive.ts';
import type { Audit } from '../audit/audit.ts';
import { lastLookAt } from '../days/prove-day.ts';
import { type NightContext, NightlyLook, type NightNeeds } from './look-at-night.ts';
import { everyNight } from './nights.ts';
import { NightlyVerification } from './verify-at-night.ts';

/** Resolves when the service stops, at once where RECONCILE=no. */
export async function workEachNight(
  context: NightContext,
  needs: NightNeeds & { readonly archive: Archive; readonly audit: Pick<Audit, 'days'> },
): Promise<void> {
  const { config, log, stopping } = context;
  if (config.reconcile === 'no') return;
  const look = new NightlyLook(context, needs);
  const verification = new NightlyVerification(context, needs);
  const unlessStopped = async (work: Promise<void>, complaint: string, signal: AbortSignal): Promise<void> => {
    await work.catch((error: unknown) => {
      if (!signal.aborted) log.warn(complaint, { error });
    });
  };
  await everyNight(
    {
      lastAt: (signal) => lastLookAt(needs.archive.notes, new Date(), signal).catch(() => undefined),
      work: async (signal) => {
        await unlessStopped(look.run(signal), 'Genesys could not be compared with the archive tonight.', signal);
        if (signal.aborted) return;
        await unlessStopped(verification.run(signal), 'The archive could not be verified tonight.', signal);
      },
    },
    stopping,
  );
}

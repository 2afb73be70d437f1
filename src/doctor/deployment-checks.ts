/** An archive and its queue → whether events come, whether something waits for a person, and whether days are proven. */
import type { Archive, Entry } from '../archive/archive.ts';
import { FAILURES, isFailureCode } from '../failure.ts';
import { dayAt, dayBefore, daysBetween } from '../instant.ts';
import { statesOfDays } from '../overview.ts';
import type { Depth } from '../queue/queue.ts';
import { type Opinion, type Probe, well, worthALook } from './check.ts';

export interface DeploymentNeeds {
  readonly archive: Pick<Archive, 'list' | 'notes'>;
  /** undefined where the queue's own monitoring has these figures. */
  readonly depth: () => Promise<Depth | undefined>;
  readonly now?: () => Date;
}

const deployment = { area: 'deployment' } as const;
const HOUR_MS = 3_600_000;
const QUIET_HOURS = 24;
/** Entries that are looked at: the newest. */
const NEWEST = 1_000;

/** `archive`, `queue`: names of the probes that say whether either can be asked at all. */
export function deploymentProbes(needs: DeploymentNeeds): readonly Probe[] {
  const { archive, depth, now = () => new Date() } = needs;
  const after = ['archive'];
  return [
    { ...deployment, name: 'events', after, look: async (signal) => lookForEvents(archive, now(), signal) },
    { ...deployment, name: 'waiting', after, look: async (signal) => lookForWaiting(archive, now(), signal) },
    { ...deployment, name: 'failures', after, look: async (signal) => lookForFailures(archive, signal) },
    { ...deployment, name: 'dead-letters', after: ['queue'], look: async () => judgeDead(await depth()) },
    { ...deployment, name: 'days', after, look: async (signal) => lookAtDays(archive, now(), signal) },
  ];
}

async function lookForEvents(archive: DeploymentNeeds['archive'], now: Date, signal: AbortSignal): Promise<Opinion> {
  const { entries } = await archive.list({ status: 'archived', limit: 1 }, signal);
  const [newest] = entries.flatMap((entry) => (entry.status === 'archived' ? [entry.manifest.finishedAt] : []));
  if (newest === undefined)
    return worthALook(
      'nothing was archived yet',
      'Send an event, and look at /readyz and the log where nothing comes.',
    );
  const hours = Math.round((now.getTime() - Date.parse(newest)) / HOUR_MS);
  if (hours < QUIET_HOURS) return well(`the newest recording came ${String(hours)} h ago`);
  return worthALook(
    `the newest recording came ${String(hours)} h ago`,
    'Nothing if nobody called; else look at the trigger or the EventBridge rule, and run archiver reconcile.',
  );
}

async function lookForWaiting(
  archive: DeploymentNeeds['archive'],
  now: Date,
  signal: AbortSignal,
): Promise<Opinion | readonly Opinion[]> {
  const { entries } = await archive.list({ status: 'waiting', limit: NEWEST }, signal);
  const waits = entries.flatMap((entry: Entry) => (entry.status === 'waiting' ? [entry.waiting] : []));
  const forSomebody = Map.groupBy(
    waits.filter(({ sort }) => sort === 'operator'),
    ({ code }) => code,
  );
  if (forSomebody.size > 0)
    return [...forSomebody].map(([code, list]) =>
      worthALook(`${String(list.length)} wait for somebody: ${code}`, nextStep(code)),
    );
  const oldest = waits.toSorted((a, b) => (a.since < b.since ? -1 : 1)).at(0);
  if (oldest === undefined) return well('nothing waits');
  const hours = Math.round((now.getTime() - Date.parse(oldest.since)) / HOUR_MS);
  const found = `${String(waits.length)} wait, the oldest for ${String(hours)} h: ${oldest.code}`;
  return hours < QUIET_HOURS ? well(found) : worthALook(found, nextStep(oldest.code));
}

async function lookForFailures(
  archive: DeploymentNeeds['archive'],
  signal: AbortSignal,
): Promise<Opinion | readonly Opinion[]> {
  const { entries } = await archive.list({ status: 'failed', limit: NEWEST }, signal);
  const byCode = Map.groupBy(
    entries.flatMap((entry) => (entry.status === 'failed' ? [entry.failure.code] : [])),
    (code) => code,
  );
  if (byCode.size === 0) return well('nothing failed');
  return [...byCode].map(([code, list]) => worthALook(`${String(list.length)} failed: ${code}`, nextStep(code)));
}

function nextStep(code: string): string {
  return isFailureCode(code) ? FAILURES[code].next : 'Look at archiver status.';
}

function judgeDead(depth: Depth | undefined): Opinion {
  if (depth === undefined) return { state: 'skipped', found: 'Cloud Monitoring counts the dead letters of Pub/Sub' };
  if (depth.dead === 0) return well('no message was given up');
  return worthALook(
    `${String(depth.dead)} messages were given up`,
    'Run archiver reconcile: it names what is missing, and archiver backfill fetches it.',
  );
}

/** Those that Genesys' data must reach by now. */
async function lookAtDays(archive: DeploymentNeeds['archive'], now: Date, signal: AbortSignal): Promise<Opinion> {
  const today = dayAt(now.getTime());
  const days = daysBetween(dayBefore(today, 9), dayBefore(today, 3));
  const states = await statesOfDays(days, archive.notes, signal);
  const incomplete = states.filter(({ verdict }) => verdict === 'incomplete').map(({ day }) => day);
  const [first, last] = [incomplete.at(0), incomplete.at(-1)];
  if (first !== undefined && last !== undefined)
    return worthALook(
      `${String(incomplete.length)} of ${String(days.length)} days are incomplete`,
      `archiver backfill --from ${first} --to ${last} --again`,
    );
  if (states.every(({ verdict }) => verdict === 'unproven'))
    return worthALook(
      'no day was looked at lately',
      'Run archiver reconcile, and let it run nightly: RECONCILE=nightly, or Cloud Scheduler (terraform/operators.tf).',
    );
  return well(`none of the days from ${days.at(0) ?? ''} to ${days.at(-1) ?? ''} is incomplete`);
}

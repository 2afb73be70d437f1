/** Bucket, topic and subscription → what of their settings and of an account's rights is not as the archive needs it. */
import type { Archive } from '../archive/archive.ts';
import type { BucketInspection, BucketFacts } from '../archive/bucket/inspection.ts';
import type { SubscriptionFacts } from '../queue/pubsub/library.ts';
import type { Queue } from '../queue/queue.ts';
import { broken, type Opinion, type Probe, well, worthALook } from './check.ts';
import { judgeClock } from './clock-check.ts';

export interface StorageNeeds {
  readonly archive: Pick<Archive, 'check'>;
  /** undefined where the archive is a folder. */
  readonly inspection: BucketInspection | undefined;
  /** Of a folder that is still to be made: that is not for whoever looks. */
  readonly toCome?: (() => Promise<Opinion>) | undefined;
}

const google = { area: 'google' } as const;
const DAY_S = 86_400;

/** `archive` is the folder's as well: whatever it is, it is written to, read and removed from. */
export function storageProbes({ archive, inspection, toCome }: StorageNeeds): readonly Probe[] {
  const area = inspection === undefined ? 'machine' : 'google';
  const writing: Probe = {
    area,
    name: 'archive',
    look: async (signal) => {
      if (toCome !== undefined) return toCome();
      await archive.check(signal);
      return well('a probe was written, read and removed');
    },
  };
  return inspection === undefined ? [writing] : [writing, ...bucketProbes(inspection)];
}

const NEEDED = ['storage.objects.create', 'storage.objects.get', 'storage.objects.list'];

function bucketProbes(inspection: BucketInspection): readonly Probe[] {
  const { lock } = inspection;
  return [
    {
      ...google,
      name: 'bucket-rights',
      look: async (signal) => judgeMissing(await inspection.missingOf(NEEDED, signal)),
    },
    {
      ...google,
      name: 'bucket-settings',
      after: ['bucket-rights'],
      look: async (signal) => judgeSettings(await inspection.settings(signal)),
    },
    ...(lock === undefined ? [] : [lockProbe(inspection, lock)]),
    {
      ...google,
      name: 'links',
      after: ['bucket-rights'],
      look: async (signal) => {
        await inspection.requireSigning(signal);
        return well('a link was signed');
      },
    },
    {
      ...google,
      name: 'google-clock',
      after: ['bucket-rights'],
      look: async () => judgeClock('Cloud Storage', inspection.skewMs),
    },
  ];
}

function judgeMissing(missing: readonly string[]): Opinion {
  if (missing.length === 0) return well('objects may be created, read and listed');
  return broken(
    `this account lacks ${missing.join(', ')}`,
    'Grant it roles/storage.objectCreator and roles/storage.objectViewer on the bucket (terraform apply does).',
  );
}

const NOT_SEEN: Opinion = {
  state: 'skipped',
  found: 'not seen without storage.buckets.get (roles/storage.legacyBucketReader on the bucket)',
};

function judgeSettings(settings: BucketFacts | undefined): Opinion | readonly Opinion[] {
  if (settings === undefined) return NOT_SEEN;
  const judges = [judgeRetention, judgeHolds, judgeRecovery, judgePublic];
  const doubts = judges.flatMap((judge) => judge(settings) ?? []);
  return doubts.length > 0 ? doubts : well(`${settings.location}, as it should be`);
}

function judgeRetention({ retention }: BucketFacts): Opinion | undefined {
  if (retention === undefined) return undefined;
  return worthALook(
    `the bucket keeps every object for ${String(Math.round(retention.seconds / DAY_S))} days${retention.isLocked ? ', locked' : ''}`,
    'Lock recordings/ by object retention instead (LOCK_DAYS; terraform: lock_days): under a policy of the whole bucket no failure, wait or hold can be removed before it ends.',
  );
}

const LOCKING = 'storage.objects.setRetention';

function lockProbe(inspection: BucketInspection, { days, mode }: NonNullable<BucketInspection['lock']>): Probe {
  const look = async (signal: AbortSignal): Promise<Opinion> => {
    const [missing] = await inspection.missingOf([LOCKING], signal);
    if (missing !== undefined)
      return unlocked(`this account lacks ${missing}`, 'Grant it a role with that right under recordings/');
    const settings = await inspection.settings(signal);
    if (settings === undefined) return NOT_SEEN;
    if (!settings.hasObjectRetention)
      return unlocked(
        'object retention is not enabled on the bucket',
        'Enable it (Cloud console: the bucket, Protection, Object retention)',
      );
    if (settings.holdsByDefault)
      return unlocked(
        'the bucket holds every new object, which rules a lock out',
        'Turn its default event-based hold off',
      );
    return well(`each recording is kept for ${String(days)} days (${mode})`);
  };
  return { ...google, name: 'lock', after: ['bucket-rights'], look };
}

function unlocked(found: string, next: string): Opinion {
  return broken(
    found,
    `${next} (terraform: lock_days), or unset LOCK_DAYS: until then nothing is archived, and all of it waits.`,
  );
}

function judgeHolds({ holdsByDefault }: BucketFacts): Opinion | undefined {
  if (!holdsByDefault) return undefined;
  return worthALook(
    'the bucket holds every new object (default event-based hold)',
    'Turn it off (gcloud storage buckets update gs://BUCKET --no-default-event-based-hold): under it no failure, wait or staged object can be removed, and nothing be erased, until each is released. What is there already keeps its hold.',
  );
}

/** What is erased can be brought back for so long: nobody may call it erased before. */
function judgeRecovery({ isVersioned, softDeleteS }: BucketFacts): Opinion | undefined {
  if (isVersioned)
    return worthALook(
      'the bucket keeps old versions',
      'Add a lifecycle rule that deletes versions that are no longer current: what was erased stays recoverable until then.',
    );
  if (softDeleteS <= 30 * DAY_S) return undefined;
  return worthALook(
    `what is deleted can be brought back for ${String(Math.round(softDeleteS / DAY_S))} days`,
    'Shorten the soft delete policy if people may ask to be forgotten sooner.',
  );
}

function judgePublic({ isPublicPrevented }: BucketFacts): Opinion | undefined {
  if (isPublicPrevented) return undefined;
  return worthALook(
    'the bucket may be made public',
    'Enforce public access prevention on it: signed links need no public access.',
  );
}

export interface QueueCheckNeeds {
  /** What is said of it where it is a file that is still to be made. */
  readonly queue: Pick<Queue, 'check'> | (() => Promise<Opinion>);
  /** undefined where the queue is a file, or nothing is pulled. */
  readonly settings: (() => Promise<SubscriptionFacts | undefined>) | undefined;
  /** That events are published on. */
  readonly topic: string | undefined;
}

export function queueProbes({ queue, settings, topic }: QueueCheckNeeds): readonly Probe[] {
  const checking: Probe = {
    area: topic === undefined ? 'machine' : 'google',
    name: 'queue',
    look: async (signal) => {
      if (typeof queue === 'function') return queue();
      await queue.check(signal);
      return well('messages can be published and taken');
    },
  };
  if (settings === undefined || topic === undefined) return [checking];
  const look = async (): Promise<Opinion | readonly Opinion[]> => judgeSubscription(await settings(), topic);
  return [checking, { ...google, name: 'subscription', after: ['queue'], look }];
}

/** The lease of a pulled message; Pub/Sub redelivers what is not extended within it. */
const SHORTEST_ACK_S = 30;
/** What waits for an operator waits a week. */
const SHORTEST_RETENTION_S = 7 * DAY_S;

function judgeSubscription(settings: SubscriptionFacts | undefined, topic: string): Opinion | readonly Opinion[] {
  if (settings === undefined)
    return { state: 'skipped', found: 'not seen without pubsub.subscriptions.get (roles/pubsub.viewer)' };
  const opinions: Opinion[] = [];
  if (settings.topic === undefined || settings.topic !== topic)
    opinions.push(
      broken(
        settings.topic === undefined ? 'its topic was deleted' : `it takes from the topic ${settings.topic}`,
        `Let QUEUE_URL name a subscription of ${topic} (terraform apply makes one).`,
      ),
    );
  if (!settings.hasDeadLetters)
    opinions.push(
      worthALook('no dead-letter policy', 'Set one (terraform apply does): what nobody can read goes round for ever.'),
    );
  if (settings.expiresAfterS !== undefined)
    opinions.push(
      worthALook(
        `it is deleted after ${String(Math.round(settings.expiresAfterS / DAY_S))} days without use`,
        'Let it never expire: what is published after that is lost.',
      ),
    );
  if (settings.ackDeadlineS < SHORTEST_ACK_S)
    opinions.push(
      worthALook(`an ack deadline of ${String(settings.ackDeadlineS)} s`, 'Raise it to 60 s: work would come twice.'),
    );
  if (settings.retentionS < SHORTEST_RETENTION_S)
    opinions.push(
      worthALook(
        `messages are kept for ${String(Math.round(settings.retentionS / DAY_S))} days`,
        'Raise message_retention_duration to 7 days or more: what waits for somebody waits that long.',
      ),
    );
  return opinions.length > 0 ? opinions : well(`takes from ${topic}, with dead letters`);
}

/** An object that has just become visible → whether it is locked as it has to be: a WebM from when it was made, what belongs to it as that is. */
import { parseManifest } from '../../../src/archive/records.ts';
import type { LockConfig } from '../../../src/config/config.ts';
import type { Audit, Retention, StoredObject } from './store.ts';

/** ISO 8601, UTC. */
export function lockEnd({ finishedAt }: { readonly finishedAt: string }, { days }: LockConfig): string {
  return new Date(Date.parse(finishedAt) + days * 86_400_000).toISOString();
}

/** Nothing else may be locked; nothing at all without `lock`. */
export function auditLock(lock: LockConfig | undefined): Audit {
  return (object, objects) => {
    const folder = /^(?:.*\/)?recordings\/[^/]+\/[^/]+\//.exec(object.name)?.[0];
    const webm = folder === undefined ? undefined : objects.get(`${folder}recording.webm`);
    const wanted = textOf(webm?.name === object.name ? wantedOf(webm, lock) : lasting(webm?.retention));
    const found = textOf(object.retention);
    return found === wanted ? [] : [`its retention is ${found}, not ${wanted}`];
  };
}

function wantedOf({ metadata }: StoredObject, lock: LockConfig | undefined): Retention | undefined {
  const carried = metadata['manifest'];
  if (lock === undefined || carried === undefined) return undefined;
  const retainUntilTime = lockEnd(parseManifest(carried), lock);
  return { mode: lock.mode === 'locked' ? 'Locked' : 'Unlocked', retainUntilTime };
}

function lasting(retention: Retention | undefined): Retention | undefined {
  return retention !== undefined && Date.parse(retention.retainUntilTime) > Date.now() ? retention : undefined;
}

function textOf(retention: Retention | undefined): string {
  return retention === undefined ? 'none' : `${retention.mode} ${retention.retainUntilTime}`;
}

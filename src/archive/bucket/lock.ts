/** When a recording was made → until when Cloud Storage itself keeps it; and what belongs to its WebM is kept as that is. */
import type { LockConfig } from '../../config/config.ts';
import type { Fields } from '../../fields.ts';
import { DAY_MS } from '../../instant.ts';
import type { Manifest } from '../manifest.ts';

/** Of an object's own, as an upload and a compose carry it: https://docs.cloud.google.com/storage/docs/object-lock */
export interface ObjectRetention {
  /** `Locked` or `Unlocked`. */
  readonly mode: string;
  /** ISO 8601, UTC. */
  readonly retainUntilTime: string;
}

const MODES = { unlocked: 'Unlocked', locked: 'Locked' } as const;

export function lockOf({ finishedAt }: Manifest, { days, mode }: LockConfig): ObjectRetention {
  return { mode: MODES[mode], retainUntilTime: new Date(Date.parse(finishedAt) + days * DAY_MS).toISOString() };
}

/** undefined once it is over, which Cloud Storage does not take. */
export function lastingOf(retention: ObjectRetention | undefined): ObjectRetention | undefined {
  return retention !== undefined && Date.parse(retention.retainUntilTime) > Date.now() ? retention : undefined;
}

export function parseRetention(resource: Fields): ObjectRetention | undefined {
  const retention = resource.fields('retention');
  const [mode, retainUntilTime] = [retention?.text('mode'), retention?.text('retainUntilTime')];
  return mode === undefined || retainUntilTime === undefined ? undefined : { mode, retainUntilTime };
}

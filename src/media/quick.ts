/** Decides, before anything is made, whether it can be made within the 10 minutes a push may last. Pure. */
import { Failure } from '../failure.ts';
import type { Plan } from './plan.ts';
import type { MediaKind } from './sniff.ts';

export interface Effort {
  readonly plan: { readonly way: Plan['way']; readonly media: readonly { readonly kind: MediaKind }[] };
  /** Of all files; undefined where a server does not say. */
  readonly sizeBytes: number | undefined;
  /** What Genesys says of its media. */
  readonly durationMs: number | undefined;
}

/** At 1 MiB/s in and out: 9 minutes. */
const MAX_BYTES = 512 * 1024 ** 2;
/** Pictures are encoded in half of real time at worst. */
const MAX_VIDEO_MS = 4 * 60_000;
/** Where nobody says how long it plays: a screen at 1 Mbit/s for 2 minutes. */
const MAX_VIDEO_BYTES = 16 * 1024 ** 2;
/** Sound is encoded a hundred times as fast as it plays; assumed here: forty. */
const MAX_AUDIO_MS = 6 * 3_600_000;

/** The recording is fine, and so is the service: only the way it came is too short for it. */
export class TooLong extends Failure {
  constructor(why: string) {
    super('busy', `${why}: that may take longer than a push may last (600 s). It is left to a worker that pulls.`);
  }
}

/** @throws TooLong */
export function requireQuick({ plan, sizeBytes, durationMs }: Effort): void {
  if (sizeBytes !== undefined && sizeBytes > MAX_BYTES)
    throw new TooLong(`The media holds ${String(Math.round(sizeBytes / 1024 ** 2))} MiB`);
  if (plan.way !== 'encode') return;
  const seconds = String(Math.round((durationMs ?? 0) / 1000));
  if (!plan.media.some(({ kind }) => kind === 'mp4')) {
    if (durationMs !== undefined && durationMs > MAX_AUDIO_MS)
      throw new TooLong(`${seconds} s of sound have to be encoded`);
    return;
  }
  if (durationMs === undefined ? (sizeBytes ?? Infinity) > MAX_VIDEO_BYTES : durationMs > MAX_VIDEO_MS)
    throw new TooLong(
      durationMs === undefined ? 'Pictures have to be encoded' : `${seconds} s of pictures have to be encoded`,
    );
}

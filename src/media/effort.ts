/** What is known of a recording before anything is made → how long the making may take at worst. Pure. */
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

/** In and out, of anything: 1 MiB/s. */
const BYTES_PER_MS = 1024 ** 2 / 1000;
/** Pictures are encoded in half of real time at worst. */
const VIDEO_MS_PER_MS = 2;
/** Where nobody says how long pictures play, they are taken for few bits a second, and so for long: 0.5 Mbit/s. */
const VIDEO_BYTES_PER_MS = 500 / 8;
/** Sound is encoded a hundred times as fast as it plays; assumed here: forty. */
const AUDIO_MS_PER_MS = 1 / 40;

/** @throws Failure `too-long`: the recording is fine, and so is the service, only the time is too short for it */
export function requireInTime(effort: Effort, withinMs: number): void {
  const takesMs = Math.max(carryingMs(effort), encodingMs(effort));
  if (takesMs <= withinMs) return;
  const text = `Making this recording may take ${secondsOf(takesMs)}, and there are ${secondsOf(withinMs)}.`;
  throw new Failure('too-long', `${text} It is left to a worker without a deadline.`);
}

function carryingMs({ sizeBytes }: Effort): number {
  return (sizeBytes ?? 0) / BYTES_PER_MS;
}

function encodingMs({ plan, sizeBytes, durationMs }: Effort): number {
  if (plan.way !== 'encode') return 0;
  if (!plan.media.some(({ kind }) => kind === 'mp4')) return (durationMs ?? 0) * AUDIO_MS_PER_MS;
  return (durationMs ?? (sizeBytes ?? Infinity) / VIDEO_BYTES_PER_MS) * VIDEO_MS_PER_MS;
}

function secondsOf(ms: number): string {
  return Number.isFinite(ms) ? `${String(Math.round(ms / 1000))} s` : 'any time';
}

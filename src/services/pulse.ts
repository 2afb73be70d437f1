/** Writes what a worker did, and what the doctor says of where it runs, under `status/` while it runs, and takes it away when it stops. */
import { randomUUID } from 'node:crypto';
import type { Archive } from '../archive/archive.ts';
import type { DeliveryNeeds } from '../delivery.ts';
import { endPulse, type PulseTally, writePulse } from '../pulse.ts';
import { beginCheckup } from './checkup.ts';
import type { Studio } from './studio.ts';
import { ownProbes } from './own-probes.ts';
import type { Context } from './run.ts';

const EVERY_MS = 30_000;
const WRITTEN_WITHIN_MS = 10_000;
/** On the way out nobody waits longer for it. */
const ENDED_WITHIN_MS = 1_000;

export interface PulseSources {
  readonly archive: Pick<Archive, 'notes'>;
  readonly command: string;
  readonly tally: PulseTally;
  readonly waiting: DeliveryNeeds['waiting'];
  readonly studio: Pick<Studio, 'genesys' | 'ffmpeg'>;
}

/** What cannot be written is a warning at most: archiving goes on without it. */
export function beginPulse(context: Context, { archive, command, tally, waiting, studio }: PulseSources): void {
  const { config, log, version, opened } = context;
  const instance = `${command}-${randomUUID().slice(0, 8)}`;
  const startedAt = new Date().toISOString();
  const checks = beginCheckup(ownProbes(context, studio.ffmpeg), context);
  const leaving = new AbortController();
  let [isWritten, hasFailed] = [false, false];
  let writing = Promise.resolve();
  const write = async (): Promise<void> => {
    isWritten = true;
    const about = { version: 1, instance, command, service: version, startedAt, slots: config.transcodeSlots } as const;
    const waits = waiting.totals().reduce((sum, { count }) => sum + count, 0);
    const said = { waiting: waits, calls: studio.genesys.callsSpent ?? null, checks: checks(), beats: tally.beats() };
    const pulse = { ...about, at: new Date().toISOString(), ...said };
    const signal = AbortSignal.any([leaving.signal, AbortSignal.timeout(WRITTEN_WITHIN_MS)]);
    await writePulse(pulse, archive.notes, signal);
  };
  const timer = setInterval(() => {
    writing = write().catch((error: unknown) => {
      if (!hasFailed && !leaving.signal.aborted)
        log.warn('What this worker does could not be written under status/.', { error });
      hasFailed = true;
    });
  }, EVERY_MS);
  timer.unref();
  opened.defer(async () => {
    clearInterval(timer);
    if (!isWritten) return;
    // A write that is under way would bring back what is taken away here.
    const late = setTimeout(() => leaving.abort(), ENDED_WITHIN_MS);
    await writing;
    clearTimeout(late);
    await endPulse(instance, archive.notes, AbortSignal.timeout(ENDED_WITHIN_MS)).catch(() => undefined);
  });
}

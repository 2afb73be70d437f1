/** What a making needs, from its encoder and slots alone: an hour of media at most, and a new encoder of one thread for each. */
import type { MakingNeeds } from '../../../src/media/encoded.ts';
import { startEncoder } from '../../../src/media/encoder/process.ts';
import { Spools } from '../../../src/media/mp4/spool.ts';

export function makingWith(given: Pick<MakingNeeds, 'ffmpeg' | 'slots'> & Partial<MakingNeeds>): MakingNeeds {
  return {
    spools: new Spools(),
    encoders: { start: (order) => startEncoder(given.ffmpeg, order) },
    maxDurationMs: 3_600_000,
    threads: 1,
    ...given,
  };
}

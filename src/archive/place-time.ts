/** An archive → the time by the clock that stamps what is written there: a bucket's own, or that of a folder's machine. */
import type { Notes } from './notes.ts';

/** Less than a command has to end in. */
const TIDY_WITHIN_MS = 4_000;

/** Milliseconds, as of `Date.now()` there; ours where nothing that was written is listed. */
export async function timeInPlace(notes: Notes, signal: AbortSignal): Promise<number> {
  const name = `staging/clock.${String(process.pid)}.${String(Date.now())}`;
  try {
    await notes.create(name, '{}', signal);
    for await (const { writtenAt } of notes.list(name, signal)) return Date.parse(writtenAt);
    return Date.now();
  } finally {
    // Also where somebody stopped us meanwhile: nobody else knows of it.
    await notes.remove(name, AbortSignal.timeout(TIDY_WITHIN_MS));
  }
}

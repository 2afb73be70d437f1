/** The file system's error codes → failures that say what to do. */
import { Failure, systemCode, type FailureCode } from '../../failure.ts';

const DENIED =
  'The archive folder (ARCHIVE_URL) may not be written: give the user this service runs as the right to read and write it.';
const FULL =
  'The disk of the archive folder (ARCHIVE_URL) is full: free space there, or let ARCHIVE_URL point to a larger disk; the work goes on by itself.';

const MEANINGS = {
  ENOSPC: ['archive-unavailable', FULL],
  EDQUOT: [
    'archive-unavailable',
    'The quota of the archive folder (ARCHIVE_URL) is used up: raise it or free space; the work goes on by itself.',
  ],
  EIO: [
    'archive-unavailable',
    'The disk of the archive folder (ARCHIVE_URL) reported an input/output error: check it (dmesg, smartctl) before trusting it again.',
  ],
  EROFS: [
    'misconfigured',
    'The archive folder (ARCHIVE_URL) lies on a read-only file system: mount it writable (an ext4 that met an error turns read-only by itself: see dmesg).',
  ],
  EACCES: ['misconfigured', DENIED],
  EPERM: ['misconfigured', DENIED],
  EXDEV: [
    'misconfigured',
    'staging/, recordings/, failures/ and waiting/ of the archive folder (ARCHIVE_URL) lie on different file systems: keep them on one.',
  ],
  EMFILE: [
    'archive-unavailable',
    'This process has too many files open: raise its limit (ulimit -n) or lower TRANSCODE_SLOTS.',
  ],
  ENAMETOOLONG: [
    'bad-request',
    'The file system of the archive folder (ARCHIVE_URL) takes no names as long as the ids of this recording: let ARCHIVE_URL point to one that takes 255 bytes and paths of 4096.',
  ],
} as const satisfies Record<string, readonly [FailureCode, string]>;

function explanationOf(code: string | undefined): readonly [FailureCode, string] {
  for (const [known, meaning] of Object.entries(MEANINGS)) if (known === code) return meaning;
  return [
    'archive-unavailable',
    `The archive folder (ARCHIVE_URL) cannot be used${code === undefined ? '' : ` (${code})`}: check that it exists and is mounted.`,
  ];
}

export function differentFileSystems(): Failure {
  return new Failure('misconfigured', MEANINGS.EXDEV[1]);
}

/** Runs `work` on the folder; what the system throws becomes a Failure, aborts and Failures pass. */
export async function onFolder<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw folderFailure(thrown);
  }
}

/** What an error of the file system means to a caller and to the queue; anything else passes unchanged. */
export function folderFailure(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || !('syscall' in thrown)) return thrown;
  const [code, message] = explanationOf(systemCode(thrown));
  return new Failure(code, message, { cause: thrown });
}

/** The outcome, or undefined where the file or folder it needs is not there. */
export async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

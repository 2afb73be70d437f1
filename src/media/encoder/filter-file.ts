/** Keeps the seccomp filter where setpriv and bwrap can read it: a file of ours under the system's temporary folder. */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FilterFile {
  readonly path: string;
  readonly bytes: Buffer;
}

/** One name for the same bytes and user: nothing piles up, however often a service starts. */
export function filterFileOf(bytes: Buffer): FilterFile {
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  return { path: join(tmpdir(), `archiver-encoder-${String(process.getuid?.() ?? 0)}-${digest}.bpf`), bytes };
}

/**
 * Writes it where it is not there: temporary folders are swept. Synchronous, since nothing may come between this and the start
 * of an encoder; it takes 30 µs. @throws where it cannot be written
 */
export function keepFilterFile({ path, bytes }: FilterFile): void {
  if (isOurFilter(path, bytes)) return;
  const draft = `${path}.${String(process.pid)}`;
  try {
    writeFileSync(draft, bytes, { flag: 'wx' });
    chmodSync(draft, 0o444);
    renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Whether nobody else can have written what is there: others who may write to the folder may neither change nor replace it. */
function isOurFilter(path: string, bytes: Buffer): boolean {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const { uid, mode } = fstatSync(file);
    return uid === process.getuid?.() && (mode & 0o777) === 0o444 && bytes.equals(readFileSync(file));
  } catch {
    return false;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

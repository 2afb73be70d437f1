/** Names in a folder → names that outlive a power cut, wherever the file system can. */
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { systemCode } from './failure.ts';

/**
 * A name in a folder is durable only once the folder itself was fsynced (fsync(2)). File systems that cannot sync a folder say so
 * (EINVAL on CIFS, ENOTSUP elsewhere): then nothing more can be done, and `onUnsupported` is told.
 */
export async function syncFolder(path: string, onUnsupported: () => void = () => undefined): Promise<void> {
  await using folder = await open(path, 'r');
  try {
    await folder.sync();
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    onUnsupported();
  }
}

/** The same, before anything else happens. */
export function syncFolderNow(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } catch (error) {
    if (!isUnsupported(error)) throw error;
  } finally {
    closeSync(folder);
  }
}

function isUnsupported(error: unknown): boolean {
  return ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(systemCode(error) ?? '');
}

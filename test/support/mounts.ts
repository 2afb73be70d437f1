/** Folders that may not be written, and disks that are soon full: mounted for a test (Linux, as root). */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A reason to skip where nothing can be mounted. */
export const NO_MOUNT: string | false = mayMount() ? false : 'needs mount(8), as root';

function mayMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'mount-'));
  const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path]).status === 0;
  if (isMounted) spawnSync('umount', [path]);
  rmSync(path, { recursive: true });
  return isMounted;
}

function mustRun(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

/** Nothing below `path` can be changed until it is disposed, which fails where somebody still has a file of it open. */
export function readOnly(path: string): Disposable {
  mustRun('mount', ['--bind', path, path]);
  mustRun('mount', ['-o', 'remount,bind,ro', path]);
  return { [Symbol.dispose]: () => mustRun('umount', [path]) };
}

export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** As large as this from now on; what lies there stays. */
  resize(sizeBytes: number): void;
}

/** In a folder of its own, unless a place is named. */
export async function smallDisk(sizeBytes: number, place?: string): Promise<SmallDisk> {
  const path = place ?? (await mkdtemp(join(tmpdir(), 'small-disk-')));
  mustRun('mount', ['-t', 'tmpfs', '-o', `size=${String(sizeBytes)}`, 'tmpfs', path]);
  return {
    path,
    resize: (size) => mustRun('mount', ['-o', `remount,size=${String(size)}`, path]),
    async [Symbol.asyncDispose]() {
      mustRun('umount', ['--lazy', path]);
      if (place === undefined) await rmdir(path);
    },
  };
}

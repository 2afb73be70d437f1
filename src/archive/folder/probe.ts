/** Tries in staging/ what the archive promises of a folder, before a recording depends on it. */
import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { Failure } from '../../failure.ts';
import { stagingName } from '../names.ts';
import { differentFileSystems } from './failure.ts';
import type { FolderFiles } from './files.ts';

const FOLDERS = ['recordings', 'days', 'failures', 'waiting', 'staging'];

export async function haveFolders(files: FolderFiles): Promise<void> {
  for (const name of FOLDERS) await files.haveFolder(name);
}

/** Renames are atomic only inside one file system. @throws Failure `misconfigured` */
export async function requireOneFileSystem(files: FolderFiles): Promise<void> {
  const devices = new Set<number>();
  for (const name of FOLDERS) devices.add(await files.device(name));
  if (devices.size > 1) throw differentFileSystems();
}

/** @throws Failure where what was written is not what is read */
export async function tryWriting(files: FolderFiles): Promise<void> {
  await withProbe(files, async (probe) => {
    await files.write(probe, 'probe\n');
    if ((await files.readText(probe)) !== 'probe\n') throw probeDiffers();
    await files.sync('staging');
  });
}

/** A recording becomes visible by the rename of its folder, which must never replace another one. @throws Failure `misconfigured` */
export async function tryRenaming(files: FolderFiles): Promise<void> {
  await withProbe(files, async (probe) => {
    await files.makeStaging(probe);
    for (const name of ['first', 'second']) {
      await files.makeStaging(`${probe}/${name}`);
      await files.write(`${probe}/${name}/manifest.json`, `${name}\n`);
    }
    await requireRename(files, `${probe}/first`, `${probe}/target`);
    await rename(files.path(`${probe}/second`), files.path(`${probe}/target`)).catch(() => undefined);
    const there = await files.readText(`${probe}/target/manifest.json`);
    if (there !== 'first\n' || !(await files.isThere(`${probe}/second/manifest.json`))) throw replacesFolders();
  });
}

async function requireRename(files: FolderFiles, from: string, to: string): Promise<void> {
  try {
    await rename(files.path(from), files.path(to));
  } catch (cause) {
    throw new Failure(
      'misconfigured',
      'The file system of the archive folder (ARCHIVE_URL) cannot rename a folder that holds files, by which a recording becomes visible whole: let ARCHIVE_URL point to a local disk, or to Cloud Storage itself (gs://) instead of a mount of it.',
      { cause },
    );
  }
}

async function withProbe(files: FolderFiles, work: (probe: string) => Promise<void>): Promise<void> {
  const probe = stagingName(`probe.${randomBytes(8).toString('hex')}`);
  try {
    await work(probe);
  } finally {
    await rm(files.path(probe), { recursive: true, force: true });
  }
}

function replacesFolders(): Failure {
  return new Failure(
    'misconfigured',
    'The file system of the archive folder (ARCHIVE_URL) lets a renamed folder replace one that holds files, so that an archived recording could be overwritten: let ARCHIVE_URL point to another one.',
  );
}

function probeDiffers(): Failure {
  return new Failure(
    'archive-unavailable',
    'The disk of the archive folder (ARCHIVE_URL) gave back other bytes than were written: check it (dmesg, smartctl) before trusting it again.',
  );
}

/** A folder archive over an empty temporary folder, as the suite drives it. */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { openFolderArchive, type FolderArchive } from '../../../src/archive/folder/folder.ts';
import type { ArchiveHarness } from '../../archive/suite.ts';
import { found } from './found.ts';

const PUBLIC_URL = 'http://127.0.0.1:8080';

export interface FolderHarness extends ArchiveHarness {
  readonly archive: FolderArchive;
  /** The folder that holds the archive folder and link.key. */
  readonly parent: string;
  /** The archive folder. */
  readonly path: string;
}

export async function openFolderHarness(holdBackBytes = 128 * 1024): Promise<FolderHarness> {
  const parent = await mkdtemp(join(tmpdir(), 'archive-'));
  const path = join(parent, 'archive');
  const open = (): FolderArchive => openFolderArchive({ path, linkKeys: [], publicUrl: PUBLIC_URL, holdBackBytes });
  const archive = open();
  return {
    archive,
    holdBackBytes,
    parent,
    path,
    another: () => Promise.resolve(open()),
    objects: () => filesIn(path),
    bytes: (name) => readFile(join(path, name)),
    async fingerprint(name) {
      const { ino, mtimeNs, size } = await stat(join(path, name), { bigint: true });
      return `${String(ino)} ${String(mtimeNs)} ${String(size)}`;
    },
    async follow(url) {
      const { origin, pathname, searchParams } = new URL(url);
      if (origin !== PUBLIC_URL) throw new Error(`a link to ${origin}`);
      const { recording } = archive.verifyLink(pathname, searchParams);
      return buffer(await archive.read(await found(archive, recording), undefined, AbortSignal.timeout(300_000)));
    },
    async close() {
      await archive.close();
      await rm(parent, { recursive: true });
    },
  };
}

/** Paths of all files below `path`, none where there is no such folder. */
export async function filesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(path, join(entry.parentPath, entry.name)));
}

/** Opens the archive that ARCHIVE_URL names; each client library is loaded only where it is used. */
import type { Config } from '../config/config.ts';
import type { Archive, LinkVerifier } from './archive.ts';
import type { FolderArchiveOptions } from './folder/folder.ts';

/** `media` serves the folder's own links under /media; Cloud Storage serves its links itself. */
export interface OpenArchive {
  readonly archive: Archive;
  readonly media: (Archive & LinkVerifier) | undefined;
}

export interface OpenArchiveOptions {
  /** What the folder's own links start with; Cloud Storage has its own. */
  readonly publicUrl: string;
  /** Checks write nothing, and what a crash left unfinished is left to a worker. */
  readonly readOnly?: boolean;
  /** Told once of what the place of the archive cannot do, and does without. */
  readonly onNotice?: FolderArchiveOptions['onNotice'];
}

export async function openArchive(
  config: Pick<Config, 'archive'> & Partial<Pick<Config, 'proxies'>>,
  { publicUrl, readOnly = false, onNotice }: OpenArchiveOptions,
): Promise<OpenArchive> {
  if (config.archive.kind === 'folder') {
    const { openFolderArchive } = await import('./folder/folder.ts');
    const folder = config.archive;
    const archive = openFolderArchive({
      path: folder.path,
      linkLifetimeS: folder.linkLifetimeS,
      get linkKeys() {
        return folder.linkKeys;
      },
      publicUrl,
      ...(onNotice === undefined ? {} : { onNotice }),
    });
    return { archive, media: archive };
  }
  const { openBucketArchive } = await import('./bucket/bucket.ts');
  return { archive: openBucketArchive({ ...config.archive, readOnly, proxies: config.proxies }), media: undefined };
}

/** Opens the archive that ARCHIVE_URL names; each client library is loaded only where it is used. */
import type { Config } from '../config/config.ts';
import type { Archive, LinkVerifier } from './archive.ts';

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
}

export async function openArchive(
  config: Pick<Config, 'archive'>,
  { publicUrl, readOnly = false }: OpenArchiveOptions,
): Promise<OpenArchive> {
  if (config.archive.kind === 'folder') {
    const { openFolderArchive } = await import('./folder/folder.ts');
    const archive = openFolderArchive({
      path: config.archive.path,
      linkKeys: config.archive.linkKeys,
      publicUrl,
    });
    return { archive, media: archive };
  }
  const { openBucketArchive } = await import('./bucket/bucket.ts');
  return { archive: openBucketArchive({ ...config.archive, readOnly }), media: undefined };
}

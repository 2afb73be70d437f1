/** Turns the key of a day entry or a failure record into where it lies in an archive folder. */
import { join } from 'node:path';

/** Bytes, which for keys are characters: ext4, xfs, btrfs and APFS all stop here. */
const LONGEST_NAME = 255;

/**
 * `{folder}/{conversation}.{recording}{suffix}`. Two long ids are more than a file name may hold: then it is cut behind the dot,
 * `{folder}/{conversation}./{recording}{suffix}`.
 */
export function entryPath(folder: string, key: string, suffix = ''): string {
  const name = `${key}${suffix}`;
  if (name.length <= LONGEST_NAME) return join(folder, name);
  const cut = name.indexOf('.') + 1;
  return join(folder, name.slice(0, cut), name.slice(cut));
}

/** Whether a name is a folder that {@link entryPath} makes: no key ends in a dot. */
export function isCutEntry(name: string): boolean {
  return name.endsWith('.');
}

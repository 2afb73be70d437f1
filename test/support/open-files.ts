/** Files that this process has open, as Linux lists them. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';

const LIST = '/proc/self/fd';

/** Why a test of it is left out; false where it is not. */
export const cannotListOpenFiles = existsSync(LIST) ? false : 'needs /proc';

/** Those below `folder`, by their paths. */
export function openFilesBelow(folder: string): readonly string[] {
  return readdirSync(LIST)
    .map((fd) => targetOf(`${LIST}/${fd}`))
    .filter((path) => path.startsWith(`${folder}/`));
}

/** Empty where it was closed meanwhile. */
function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

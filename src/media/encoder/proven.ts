/** An ffmpeg that was asked for all that is needed → its version, kept for the next start while none of its files changes. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Fields } from '../../fields.ts';
import type { CageContents } from './contents.ts';

/**
 * Among the libraries that this runs with: who can write there can change the service itself. The image is built with it; where
 * it cannot be written, ffmpeg is asked at each start.
 */
const BESIDE_US = fileURLToPath(new URL('../../../node_modules/.cache/ffmpeg.json', import.meta.url));

export interface Proven {
  /** See {@link printOf}. */
  readonly print: string;
  readonly version: string;
}

/**
 * Of what was asked for, and of path, size and time of the program, its loader and each of its libraries: another one of any of
 * them is another ffmpeg. Whole seconds, which is what layers of images keep. undefined where nobody knows what it consists of: a
 * script starts others, and only Linux says which libraries are loaded.
 */
export async function printOf(contents: CageContents | undefined, asked: unknown): Promise<string | undefined> {
  if (contents === undefined || contents.isScript || process.platform !== 'linux') return undefined;
  const { executes, reads } = contents;
  try {
    const files = await Promise.all(
      [...executes, ...reads].map(async (path) => {
        const { size, mtimeMs } = await stat(path);
        return [path, size, Math.floor(mtimeMs / 1000)];
      }),
    );
    return createHash('sha256')
      .update(JSON.stringify([asked, files]))
      .digest('hex');
  } catch {
    return undefined;
  }
}

/** Its version; undefined where something else was proven, or nothing. */
export async function provenBefore(print: string, place = BESIDE_US): Promise<string | undefined> {
  try {
    const proven = Fields.in(JSON.parse(await readFile(place, 'utf8')));
    return proven?.text('print') === print ? proven.text('version') : undefined;
  } catch {
    return undefined;
  }
}

/** Nothing is lost where it cannot be kept: the next start asks again. */
export async function keepProven(proven: Proven, place = BESIDE_US): Promise<void> {
  const made = `${place}.${randomUUID()}`;
  try {
    await mkdir(dirname(place), { recursive: true });
    await writeFile(made, JSON.stringify(proven), { flag: 'wx' });
    await rename(made, place);
  } catch {
    return;
  }
}

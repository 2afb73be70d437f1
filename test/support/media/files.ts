/** Media that only a file gets: sizes and indexes that a pipe cannot be given. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What `write` leaves at the path it is given, whose name ends as asked. */
export async function withFile(name: string, write: (path: string) => Promise<unknown>): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'media-'));
  try {
    const path = join(folder, name);
    await write(path);
    return await readFile(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

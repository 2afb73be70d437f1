/** A file or folder that is made at the first start → whether it can be, where it is to lie; nothing is made to find out. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemCode } from '../failure.ts';
import { broken, type Opinion, well } from './check.ts';

export async function judgePlaceToCome(what: string, path: string): Promise<Opinion> {
  const { place, isFolder } = await nearestThere(resolve(path));
  const reason = isFolder ? await whyNotWritable(place) : 'ENOTDIR';
  if (reason === undefined) return well(`${what} is not there yet: it is made at the first start`);
  return broken(
    `${what} is not there yet, and cannot be made in ${place} (${reason})`,
    `Let ${place} be a folder that the user this service runs as may write, or name another place.`,
  );
}

async function whyNotWritable(folder: string): Promise<string | undefined> {
  try {
    await access(folder, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return systemCode(error) ?? 'unknown error';
  }
}

async function nearestThere(path: string): Promise<{ readonly place: string; readonly isFolder: boolean }> {
  const there = await stat(path).catch(() => undefined);
  if (there !== undefined || dirname(path) === path) return { place: path, isFolder: there?.isDirectory() === true };
  return nearestThere(dirname(path));
}

/**
 * One tree of files, entered through no symbolic link, with permissions that no umask changes, and with names that outlive a power
 * cut wherever the file system can.
 *
 * What is read is opened first and then asked where it lies: whoever swaps a folder for a link meanwhile wins nothing.
 */
import { randomBytes } from 'node:crypto';
import {
  close,
  constants,
  createReadStream,
  fstat,
  open as openNumber,
  read,
  readFile,
  readlinkSync,
  type ReadStream,
} from 'node:fs';
import { chmod, link, lstat, mkdir, open, realpath, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { syncFolder } from '../../durable.ts';
import { Failure, systemCode } from '../../failure.ts';
import { allOver } from '../../waiting.ts';
import { stagingName } from '../names.ts';
import { ifThere } from './failure.ts';

/** Recordings are personal data: nobody outside the service's own group reads them. */
const FOLDER_MODE = 0o750;
const FILE_MODE = 0o640;
/** Bytes, which for names here are characters: ext4, xfs, btrfs and APFS all stop here. */
const LONGEST_SEGMENT = 255;
/** An empty file that has waited so long for its content was left by a process that died. */
const ABANDONED_MS = 60_000;

/** A FIFO or a device would make the service wait; a link leads to what is not the archive's. */
const READ_ONLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface FileFacts {
  readonly sizeBytes: number;
  readonly changedAt: Date;
}

/** To be closed by whoever opened it. */
interface OpenedFile {
  readonly fd: number;
  readonly sizeBytes: number;
}

/**
 * By number: what is not there is asked for ten times a recording, and a FileHandle's error, which has a stack, costs half as much again
 * as the question.
 */
const byNumber = {
  open: promisify(openNumber),
  stat: promisify(fstat),
  read: promisify(read),
  readAll: promisify(readFile),
  close: promisify(close),
};

export class FolderFiles {
  readonly root: string;
  readonly #onUnsynced: () => void;
  #realRoot: string | undefined;
  #isUnsynced = false;
  /** Whether the umask leaves what is made here the permissions that were asked for: seen once, it need not be asked again. */
  #areFilesGranted = false;
  #areFoldersGranted = false;

  /** `root` may itself be a link: it is the operator's. `onUnsynced` is told once that names cannot be made durable here. */
  constructor(root: string, onUnsynced: () => void = () => undefined) {
    this.root = root;
    this.#onUnsynced = onUnsynced;
  }

  /** Where a name lies. Two long ids are more than one file name may hold: it is cut behind its first dot, `{C}./{R}.json`. */
  path(name = ''): string {
    if (name.length > LONGEST_SEGMENT) return join(this.root, ...name.split('/').map(cutSegment));
    return name === '' ? this.root : `${this.root === '/' ? '' : this.root}/${name}`;
  }

  /**
   * Of a plain file, from `start` to `end` inclusive; it closes the file. undefined where there is none.
   * @throws Failure `conflict` where it is no plain file
   */
  async stream(
    name: string,
    range: { readonly start?: number; readonly end?: number } = {},
  ): Promise<ReadStream | undefined> {
    const opened = await this.#open(name);
    return opened === undefined ? undefined : createReadStream('', { ...range, fd: opened.fd });
  }

  /** undefined where there is none. @throws Failure `conflict` where it is no plain file */
  async readBytes(name: string): Promise<Buffer | undefined> {
    const opened = await this.#open(name);
    if (opened === undefined) return undefined;
    try {
      return await readOpened(opened);
    } finally {
      await byNumber.close(opened.fd);
    }
  }

  /** undefined where there is none. @throws Failure `conflict` where it is no plain file */
  async readText(name: string): Promise<string | undefined> {
    return (await this.readBytes(name))?.toString();
  }

  /** Of a plain file; undefined where there is none. @throws Failure `conflict` where it is no plain file */
  async facts(name: string): Promise<FileFacts | undefined> {
    const found = await ifThere(lstat(this.path(name)));
    if (found === undefined) return undefined;
    if (!found.isFile()) throw notPlain();
    return { sizeBytes: found.size, changedAt: found.mtime };
  }

  /** Of whatever lies there, a link itself included; undefined where nothing does. */
  async ownFacts(name: string): Promise<FileFacts | undefined> {
    const found = await ifThere(lstat(this.path(name)));
    return found === undefined ? undefined : { sizeBytes: found.size, changedAt: found.mtime };
  }

  /** A new file, to be written and closed by the caller, in a folder that is there. */
  async create(name: string): Promise<FileHandle> {
    const file = await open(this.path(name), 'wx+', FILE_MODE);
    try {
      await this.#grantFile(file);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** A new file, whole and fsynced. An fsync that fails is never tried again: the kernel may have dropped the pages. */
  async write(name: string, content: string | Uint8Array): Promise<void> {
    await using file = await open(this.path(name), 'wx+', FILE_MODE);
    await allOver([this.#grantFile(file), ...(content.length > 0 ? [file.writeFile(content)] : [])]);
    await file.sync();
  }

  /** false where something has the name already, which stays as it is. Whole in one step, also for readers. */
  async put(name: string, content: string | Uint8Array): Promise<boolean> {
    const path = this.path(name);
    const isNew = await inFolder(
      () => this.#havePath(dirname(path)),
      () => (content.length === 0 ? this.#createEmpty(name) : this.#linkNew(name, content)),
    );
    if (isNew) await this.#syncPath(dirname(path));
    return isNew;
  }

  /** An empty file, new or not; its name is not durable, nor are those of the folders made for it. */
  async mark(name: string): Promise<void> {
    await inFolder(
      () => this.#haveMarks(dirname(this.path(name))),
      () => this.#createEmpty(name),
    );
  }

  /** An empty file, new or not, and its name durable. */
  async have(name: string): Promise<void> {
    const folder = dirname(this.path(name));
    const isNew = await this.#confirmPath(folder);
    await this.#createEmpty(name);
    await allOver([this.#syncPath(folder), ...(isNew ? [] : [this.#syncPath(dirname(folder))])]);
  }

  /** An empty file and its name durable, new or not, in a folder that is there; where there is none, it stays so. */
  async haveInside(name: string): Promise<void> {
    const made = await ifThere(this.#createEmpty(name));
    if (made !== undefined) await ifThere(this.#syncPath(dirname(this.path(name))));
  }

  async unmark(name: string): Promise<void> {
    await this.#unlink(this.path(name));
  }

  /** In one step, whatever lies there. */
  async replace(name: string, text: string): Promise<void> {
    const path = this.path(name);
    const staged = await this.#stage(text);
    try {
      await inFolder(
        () => this.#havePath(dirname(path)),
        () => rename(staged, path),
      );
    } finally {
      await rm(staged, { force: true }).catch(() => undefined);
    }
    await this.#syncPath(dirname(path));
  }

  /** false where it was gone already. A folder below those of the archive goes when it has become empty. */
  async remove(name: string): Promise<boolean> {
    const changed = await this.#unlink(this.path(name));
    if (changed !== undefined) await this.#syncPath(changed);
    return changed !== undefined;
  }

  /** Makes a folder and what is missing above it, and fsyncs every folder that got a new name, and always the one that holds it. */
  makeFolder(name: string): Promise<void> {
    return this.#makePath(this.path(name));
  }

  /** Makes a folder only where it is missing. */
  async haveFolder(name: string): Promise<void> {
    await this.#havePath(this.path(name));
  }

  /** A folder for what is not done yet: a crash may take its name. Its parent is there. */
  async makeStaging(name: string): Promise<void> {
    await mkdir(this.path(name), { mode: FOLDER_MODE });
    await this.#grantFolder(this.path(name));
  }

  /** Whatever it is. */
  async isThere(name: string): Promise<boolean> {
    return (await ifThere(lstat(this.path(name)))) !== undefined;
  }

  /** Makes the names in a folder durable, where the file system can. */
  sync(name = ''): Promise<void> {
    return this.#syncPath(this.path(name));
  }

  /** After something was taken out of a folder: durable, and without the folder where it has become empty. */
  async syncWithout(name: string): Promise<void> {
    const path = this.path(name);
    if (await removeIfEmpty(path)) await this.#syncPath(dirname(path));
    else await ifThere(this.#syncPath(path));
  }

  /** Number of the file system that a folder lies on. */
  async device(name: string): Promise<number> {
    return (await stat(this.path(name))).dev;
  }

  async #open(name: string, triesLeft = 2): Promise<OpenedFile | undefined> {
    const path = this.path(name);
    const fd = await ifThere(byNumber.open(path, READ_ONLY)).catch(refuseLink);
    if (fd === undefined) return undefined;
    try {
      const facts = await byNumber.stat(fd);
      if (!facts.isFile()) throw notPlain();
      if (await this.#liesAt(fd, path)) return { fd, sizeBytes: facts.size };
      if (triesLeft === 0 && (await this.isThere(name))) throw notPlain();
    } catch (error) {
      await byNumber.close(fd);
      throw error;
    }
    // An erasure took its folder away in between, or gave it back to a hold that was faster.
    await byNumber.close(fd);
    return triesLeft === 0 ? undefined : this.#open(name, triesLeft - 1);
  }

  async #syncPath(path: string): Promise<void> {
    await syncFolder(path, () => {
      if (!this.#isUnsynced) this.#onUnsynced();
      this.#isUnsynced = true;
    });
  }

  async #haveMarks(path: string): Promise<void> {
    if ((await ifThere(stat(path))) === undefined) await this.#makeMissing(path);
  }

  async #havePath(path: string): Promise<void> {
    if ((await ifThere(lstat(path)))?.isDirectory() !== true) await this.#makePath(path);
  }

  async #makePath(path: string): Promise<void> {
    const made = await this.#makeMissing(path);
    await this.#requireReal(await realpath(path), path);
    for (const folder of made.toReversed()) await this.#syncPath(dirname(folder));
  }

  /** Of a folder that is there nearly always; where it is not, it is made and durable. Whether it was. */
  async #confirmPath(path: string): Promise<boolean> {
    const real = await ifThere(realpath(path));
    if (real === undefined) await this.#makePath(path);
    else await this.#requireReal(real, path);
    return real === undefined;
  }

  async #requireReal(real: string, path: string): Promise<void> {
    if (real !== join(await this.#rootPath(), path.slice(this.root.length))) throw notPlain();
  }

  /**
   * Makes a folder that is hardly ever there, and what is missing above it. Which were missing: also those that somebody made meanwhile,
   * who may not have come to make them durable. An error is that of the first one, from the top, that cannot be made.
   */
  async #makeMissing(path: string): Promise<readonly string[]> {
    const above: string[] = [];
    try {
      await mkdir(path, { mode: FOLDER_MODE }).catch(async (error: unknown) => {
        if (systemCode(error) !== 'ENOENT') throw error;
        above.push(...(await this.#makeMissing(dirname(path))));
        await mkdir(path, { mode: FOLDER_MODE });
      });
      await this.#grantFolder(path);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
    return [...above, path];
  }

  /** mkdir(2) and open(2) take the umask away. Bits that a folder inherits (setgid) stay. */
  async #grantFolder(path: string): Promise<void> {
    if (this.#areFoldersGranted) return;
    const { mode } = await lstat(path);
    if ((mode & 0o777) === FOLDER_MODE) this.#areFoldersGranted = true;
    else await unlessUnsupported(chmod(path, (mode & 0o7000) | FOLDER_MODE));
  }

  async #grantFile(file: FileHandle): Promise<void> {
    if (this.#areFilesGranted) return;
    const { mode } = await file.stat();
    if ((mode & 0o777) === FILE_MODE) this.#areFilesGranted = true;
    else await unlessUnsupported(file.chmod(FILE_MODE));
  }

  /** The root as the system calls it; it is there once anything below it was opened. */
  async #rootPath(): Promise<string> {
    this.#realRoot ??= await realpath(this.root);
    return this.#realRoot;
  }

  /**
   * Whether an open file lies where its name says, behind no link. Linux says where; elsewhere the path is asked, and whether it
   * leads to the same file. Names are compared without case, as shares without case may have remembered another one.
   */
  async #liesAt(fd: number, path: string): Promise<boolean> {
    const expected = join(await this.#rootPath(), path.slice(this.root.length));
    const actual = linuxPathOf(fd) ?? (await samePath(fd, path));
    return actual?.toLowerCase() === expected.toLowerCase();
  }

  /** Path of a whole and fsynced file that is to get another name, or to be removed by the caller. */
  async #stage(content: string | Uint8Array): Promise<string> {
    await this.haveFolder('staging');
    const staged = stagingName(`text.${randomBytes(8).toString('hex')}`);
    try {
      await this.write(staged, content);
    } catch (error) {
      await rm(this.path(staged), { force: true }).catch(() => undefined);
      throw error;
    }
    return this.path(staged);
  }

  /** The folder that was changed by it; undefined where nothing was there. */
  async #unlink(path: string): Promise<string | undefined> {
    const wasThere = (await ifThere(unlink(path).then(() => true))) ?? false;
    if (!wasThere) return undefined;
    const folder = dirname(path);
    return dirname(folder) !== this.root && (await removeIfEmpty(folder)) ? dirname(folder) : folder;
  }

  async #createEmpty(name: string): Promise<boolean> {
    try {
      const file = await this.create(name);
      await file.close();
      return true;
    } catch (error) {
      if (systemCode(error) === 'EEXIST') return false;
      throw error;
    }
  }

  /** link(2) does not replace. */
  async #linkNew(name: string, content: string | Uint8Array): Promise<boolean> {
    const staged = await this.#stage(content);
    try {
      await link(staged, this.path(name));
      return true;
    } catch (error) {
      if (systemCode(error) !== 'EEXIST' && !isUnsupportedLink(error)) throw error;
      return await this.#renameNew(staged, name);
    } finally {
      await rm(staged, { force: true }).catch(() => undefined);
    }
  }

  /** Without hard links (CIFS, FAT, many FUSE file systems) an empty file of that name keeps others away until it is filled. */
  async #renameNew(staged: string, name: string): Promise<boolean> {
    if (!(await this.#createEmpty(name)) && !(await this.#isAbandoned(name))) return false;
    await rename(staged, this.path(name));
    return true;
  }

  async #isAbandoned(name: string): Promise<boolean> {
    const there = await this.facts(name);
    return there?.sizeBytes === 0 && Math.abs(Date.now() - there.changedAt.getTime()) > ABANDONED_MS;
  }
}

/** What it held as it was opened; to its end where the file system does not say how much that is. */
async function readOpened({ fd, sizeBytes }: OpenedFile): Promise<Buffer> {
  if (sizeBytes === 0) return byNumber.readAll(fd);
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  for (let at = 0; at < sizeBytes;) {
    const { bytesRead } = await byNumber.read(fd, bytes, at, sizeBytes - at, at);
    if (bytesRead === 0) return bytes.subarray(0, at);
    at += bytesRead;
  }
  return bytes;
}

/** Somebody may remove a folder as its last file goes, just as another one comes. */
async function inFolder<T>(haveFolder: () => Promise<unknown>, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      await haveFolder();
      return await work();
    } catch (error) {
      if (systemCode(error) !== 'ENOENT' || tries === 3) throw error;
    }
  }
}

async function removeIfEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EBUSY'].includes(systemCode(error) ?? '')) return false;
    throw error;
  }
}

/** Whether a name is a folder that a long one was cut into: none of ours ends in a dot. */
export function isCutFolder(name: string): boolean {
  return name.endsWith('.');
}

function cutSegment(segment: string): string {
  if (segment.length <= LONGEST_SEGMENT) return segment;
  const cut = segment.indexOf('.') + 1;
  return join(segment.slice(0, cut), segment.slice(cut));
}

/** undefined where the system has no such place, e.g. macOS. */
function linuxPathOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${String(fd)}`);
  } catch {
    return undefined;
  }
}

async function samePath(fd: number, path: string): Promise<string | undefined> {
  const [real, opened] = [await realpath(path), await byNumber.stat(fd)];
  const there = await lstat(real);
  return there.ino === opened.ino && there.dev === opened.dev ? real : undefined;
}

/** Where permissions belong to the mount (CIFS, FAT), they cannot be changed and need not be. */
async function unlessUnsupported(changing: Promise<void>): Promise<void> {
  try {
    await changing;
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL'].includes(systemCode(error) ?? '')) throw error;
  }
}

function isUnsupportedLink(error: unknown): boolean {
  return ['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EINVAL'].includes(systemCode(error) ?? '');
}

/** open(2) with O_NOFOLLOW says ELOOP of a link (EMLINK on FreeBSD), and ENXIO of a socket. */
function refuseLink(error: unknown): never {
  throw ['ELOOP', 'EMLINK', 'ENXIO'].includes(systemCode(error) ?? '') ? notPlain() : error;
}

function notPlain(): Failure {
  return new Failure(
    'conflict',
    'In the archive folder (ARCHIVE_URL) lies a symbolic link, or something else that is no plain file, where this service keeps its own: remove it, and restore what belongs there from a copy.',
  );
}

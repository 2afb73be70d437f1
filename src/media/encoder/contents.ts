/** The path of a program → the files that it cannot do without: its loader or interpreter, and its libraries. */
import { execFile } from 'node:child_process';
import { access, lstat, open, readlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';

export interface CageContents {
  /** Itself, and its loader. */
  readonly executes: readonly string[];
  /** Its libraries, as the loader names them, and what the loader looks into. */
  readonly reads: readonly string[];
  /** A script starts other programs: it may have the system's folders. */
  readonly isScript: boolean;
  /** Folders of the system in which these lie. */
  readonly folders: readonly string[];
  /** What lies elsewhere. */
  readonly alone: readonly string[];
  /** Links that lead from one of the folders to another by way of a third. */
  readonly links: readonly FileLink[];
}

export interface FileLink {
  readonly path: string;
  readonly target: string;
}

/**
 * In a cage of namespaces a folder of these is shown as a whole: to mount 200 libraries one by one takes 90 ms, their folder
 * none. Nobody keeps secrets there.
 */
const SYSTEM = /^\/(usr|lib|lib32|lib64)(\/|$)/;
const OF_SCRIPTS: readonly string[] = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/etc/alternatives'];
const OF_LOADERS: readonly string[] = ['/etc/ld.so.cache', '/etc/ld-musl-x86_64.path', '/etc/ld-musl-aarch64.path'];

/** `path` has no links. @throws where the file cannot be read, or its loader does not say what it would load */
export async function contentsOf(path: string): Promise<CageContents> {
  const head = await readElfHead(path);
  if (head.toString('latin1', 0, 2) === '#!') return contentsOfScript(path);
  const loader = loaderIn(head);
  const libraries = loader === undefined ? [] : await librariesOf(path, loader);
  const settings = loader === undefined ? [] : await existingPaths(OF_LOADERS);
  const inSystem = libraries.filter((library) => SYSTEM.test(library));
  const ways = await Promise.all(inSystem.map(followLinks));
  const ends = ways.map(({ file }) => file);
  const folders = [...new Set([...inSystem, ...ends.filter((file) => SYSTEM.test(file))].map((file) => dirname(file)))];
  return {
    executes: loader === undefined ? [path] : [path, loader],
    reads: [...libraries, ...settings],
    isScript: false,
    folders,
    alone: [...settings, ...libraries, ...ends].filter((file) => !SYSTEM.test(file)),
    links: ways.flatMap(({ links }) => links).filter((link) => !folders.includes(dirname(link.path))),
  };
}

async function contentsOfScript(path: string): Promise<CageContents> {
  const settings = await existingPaths(OF_LOADERS);
  const folders = await existingPaths(OF_SCRIPTS);
  return { executes: [path], reads: settings, isScript: true, folders, alone: settings, links: [] };
}

const HEAD_BYTES = 4096;

async function readElfHead(path: string): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
  return buffer.subarray(0, bytesRead);
}

const ELF_MAGIC = 0x7f454c46;
const PT_INTERP = 3;

/** elf(5): the program header that names the loader; none in what is linked statically. Little-endian and 64 bits wide. */
function loaderIn(head: Buffer): string | undefined {
  if (head.length < 64 || head.readUInt32BE(0) !== ELF_MAGIC || head[4] !== 2 || head[5] !== 1) return undefined;
  const [table, size, count] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)];
  for (let at = table; at < table + size * count && at + 56 <= head.length; at += size) {
    if (head.readUInt32LE(at) !== PT_INTERP) continue;
    const from = Number(head.readBigUInt64LE(at + 8));
    return head.toString('latin1', from, from + Number(head.readBigUInt64LE(at + 32)) - 1);
  }
  return undefined;
}

const runLdd = promisify(execFile);

/** ld.so(8) `--list`, which musl's loader knows as well. LD_LIBRARY_PATH and the like are not the encoder's either. */
async function librariesOf(path: string, loader: string): Promise<readonly string[]> {
  const { stdout } = await runLdd(loader, ['--list', path], { env: {}, timeout: 20_000 });
  return stdout.split('\n').flatMap((line) => /(?:=>|^)\s+(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

async function existingPaths(paths: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => [path],
        () => [],
      ),
    ),
  );
  return found.flat();
}

/** As path_resolution(7). */
const MOST_LINKS = 40;

/** The links that a path's last part leads through, and the file at their end. */
async function followLinks(path: string): Promise<{ readonly links: readonly FileLink[]; readonly file: string }> {
  const links: FileLink[] = [];
  let file = path;
  while ((await lstat(file)).isSymbolicLink()) {
    const target = resolve(dirname(file), await readlink(file));
    links.push({ path: file, target });
    file = target;
    if (links.length > MOST_LINKS) throw new Error(`Too many links lead on from ${path}.`);
  }
  return { links, file };
}

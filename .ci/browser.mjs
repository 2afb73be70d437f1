// Compiles what runs in browsers (src/console/browser) into dist/console/browser, unless it lies there already.
// Made beside its place and put there in one step: whoever serves from it meanwhile finds all of one or all of the other.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SOURCES = join(ROOT, 'src', 'console', 'browser');
const PLACE = join(ROOT, 'dist', 'console', 'browser');
const COPIED = /\.(css|svg)$/;

/** True where it compiled; false where nothing had changed. @throws where tsc found a mistake */
export function compileForBrowsers() {
  const wanted = hashOf(SOURCES);
  const stamp = join(PLACE, '.made-of');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return false;
  const made = `${PLACE}.${process.pid}`;
  mkdirSync(made, { recursive: true });
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const words = [tsc, '-p', SOURCES, '--outDir', made];
  const done = spawnSync(process.execPath, words, { cwd: ROOT, encoding: 'utf8' });
  if (done.status !== 0) {
    rmSync(made, { recursive: true });
    throw new Error(`src/console/browser could not be compiled:\n${done.stdout}${done.stderr}`);
  }
  for (const name of readdirSync(made).filter((name) => name.endsWith('.js'))) squeeze(join(made, name));
  for (const name of readdirSync(SOURCES).filter((name) => COPIED.test(name)))
    cpSync(join(SOURCES, name), join(made, name));
  writeFileSync(join(made, '.made-of'), wanted);
  putInPlace(made);
  return true;
}

/**
 * A twentieth less on the wire: without indents, without the ends of lines behind what ends by itself (tsc leaves no statement without
 * its semicolon), and without blanks around what no text says. Where a template goes over several lines the blanks may be part of it:
 * then it stays as it is.
 */
function squeeze(file) {
  const lines = readFileSync(file, 'utf8').split('\n');
  if (lines.some((line) => line.split('`').length % 2 === 0)) return;
  const text = lines.map((line) => line.trimStart()).join('\n');
  writeFileSync(
    file,
    text
      .replaceAll(/([;{},()])\n/g, '$1')
      .replaceAll(/ (=>|===|!==|\?\?) /g, '$1')
      .replaceAll(') {', '){'),
  );
}

function putInPlace(made) {
  const old = `${made}.old`;
  try {
    if (existsSync(PLACE)) renameSync(PLACE, old);
    renameSync(made, PLACE);
  } catch {
    // Somebody else was first, with the same.
    rmSync(made, { recursive: true, force: true });
  }
  rmSync(old, { recursive: true, force: true });
}

function hashOf(folder) {
  const hash = createHash('sha256');
  for (const name of readdirSync(folder).toSorted()) hash.update(`${name}\n`).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) compileForBrowsers();

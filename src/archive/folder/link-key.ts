/** The keys that sign links and certificates where none is configured: each made on first use, the same for all processes, kept with the archive. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { syncFolderNow } from '../../durable.ts';
import { Failure, systemCode } from '../../failure.ts';

/** A key that another process is just making is waited for so long. */
const MAKING_MS = 2_000;

/** A key that is kept in the archive folder, mode 0600, as long as the archive is. */
interface KeptKey {
  readonly file: string;
  /** One line of base64url, 43 characters or more. */
  readonly make: () => string;
  /** What it signs. */
  readonly signs: string;
  /** Set it, and no key is kept. */
  readonly variable: string;
}

const LINK_KEY: KeptKey = {
  file: 'link.key',
  make: () => randomBytes(32).toString('base64url'),
  signs: 'links',
  variable: 'LINK_KEYS',
};

const CERTIFICATE_KEY: KeptKey = {
  file: 'certificate.key',
  make: () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    return privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64url');
  },
  signs: 'certificates and seals',
  variable: 'CERTIFICATE_KEY',
};

/**
 * The key at `{folder}/link.key`. A key beside the folder, as earlier versions made it, is taken over: links it signed stay good.
 * A crash leaves either a whole key or none.
 * @throws Failure `misconfigured` naming LINK_KEYS
 */
export function keepLinkKey(folder: string): string {
  return keepKey(folder, LINK_KEY, join(dirname(folder), LINK_KEY.file));
}

/** The private key at `{folder}/certificate.key`: PKCS #8, DER, as base64url. @throws Failure `misconfigured` naming CERTIFICATE_KEY */
export function keepCertificateKey(folder: string): string {
  return keepKey(folder, CERTIFICATE_KEY);
}

function keepKey(folder: string, kept: KeptKey, earlier?: string): string {
  const { file, make, signs, variable } = kept;
  const path = join(folder, file);
  try {
    const known = readKey(path, kept);
    if (known !== undefined) return known;
    const old = earlier === undefined ? undefined : readKey(earlier, kept);
    return makeKey(path, { key: old ?? make(), fallback: old }, kept);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(
      'misconfigured',
      `The key that signs ${signs}, ${file} in the archive folder (ARCHIVE_URL), cannot be read or made: mend its permissions, or set ${variable}.`,
      { cause, facts: { path } },
    );
  }
}

/** undefined where there is none, or an empty file that is not filled yet. */
function readKey(path: string, kept: KeptKey): string | undefined {
  let text: string;
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if (!fstatSync(file).isFile()) throw noKey(path, kept);
      text = readFileSync(file, 'utf8');
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    if (systemCode(error) === 'ELOOP') throw noKey(path, kept);
    throw error;
  }
  if (text === '') return undefined;
  if (/^[A-Za-z0-9_-]{43,}$/.test(text.trim())) return text.trim();
  throw noKey(path, kept);
}

function noKey(path: string, { file, signs, variable }: KeptKey): Failure {
  return new Failure(
    'misconfigured',
    `${file} of the archive folder (ARCHIVE_URL) holds no key: remove it and a new one is made (${signs} signed before stop working), or set ${variable}.`,
    { facts: { path } },
  );
}

/** `fallback` is what stays good where nothing may be written. */
function makeKey(
  path: string,
  { key, fallback }: { readonly key: string; readonly fallback: string | undefined },
  kept: KeptKey,
): string {
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    writeFileSync(draft, `${key}\n`, { flag: 'wx', mode: 0o600, flush: true });
  } catch (error) {
    if (fallback !== undefined) return fallback;
    throw error;
  }
  try {
    placeKey(draft, path, kept);
  } finally {
    removeDraft(draft);
  }
  syncFolderNow(dirname(path));
  const there = readKey(path, kept);
  if (there === undefined) throw new Error(`${kept.file} vanished while it was made`);
  return there;
}

/** Of several processes that start at once one key stays: link(2) does not replace. */
function placeKey(draft: string, path: string, kept: KeptKey): void {
  try {
    linkSync(draft, path);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') awaitKey(draft, path, kept);
    else placeWithoutLinks(draft, path, kept);
  }
}

/** Where there are no hard links, an empty file keeps others away until it is filled in one step. */
function placeWithoutLinks(draft: string, path: string, kept: KeptKey): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    renameSync(draft, path);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    awaitKey(draft, path, kept);
  }
}

/** One that stays empty was left by a process that died. */
function awaitKey(draft: string, path: string, kept: KeptKey): void {
  const until = performance.now() + MAKING_MS;
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  while (readKey(path, kept) === undefined && performance.now() < until) Atomics.wait(nothing, 0, 0, 20);
  if (readKey(path, kept) === undefined) renameSync(draft, path);
}

function removeDraft(draft: string): void {
  try {
    unlinkSync(draft);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

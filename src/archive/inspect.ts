/** One shelf of recordings/ → what is wrong with it, by names, sizes, checksums and manifests: no media is read. */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { pathOf, recordingOfKey, type Recording } from '../recording.ts';
import { crc32c, encodeCrc32c } from './checksum.ts';
import { recordingOf, type Manifest } from './manifest.ts';
import { HELD_FILE, LEVELS_FILE, MANIFEST_FILE, WEBM_FILE } from './names.ts';
import { dayOf, isOf, tryManifest } from './records.ts';
import type { Shelf, ShelfFile } from './shelf.ts';

/**
 * - `damaged`     what lies there is not what the manifest says
 * - `unreadable`  a manifest that says nothing, or bytes that cannot be read
 * - `unproven`    a WebM without a manifest, which nothing can make anew
 * - `incomplete`  something that belongs to it is missing, the WebM is there
 * - `stray`       something that belongs to no recording
 * - `undead`      erased, and there
 * - `unheld`      a hold forbids its erasure, and the store does not know
 * - `gone`        a seal names it, and it is there no more, nor was it erased
 */
export type FaultState = 'damaged' | 'unreadable' | 'unproven' | 'incomplete' | 'stray' | 'undead' | 'unheld' | 'gone';

export interface Fault {
  readonly state: FaultState;
  /** In the recording's folder; the whole name for what lies elsewhere. Absent where it is about all of it. */
  readonly file?: string;
  /** Ids, names and figures only. */
  readonly reason: string;
}

export interface Inspection {
  readonly path: string;
  /** undefined for what lies where no recording can. */
  readonly recording: Recording | undefined;
  /** Of a recording that counts as archived. */
  readonly manifest: Manifest | undefined;
  /** The UTC day it is listed under; undefined where nothing says so. */
  readonly day: string | undefined;
  /** SHA-256, hex, of manifest.json, byte for byte. */
  readonly manifestSha256: string | undefined;
  readonly sizeBytes: number;
  /** When the newest file of it was written, in ms since 1970. */
  readonly writtenMs: number;
  readonly faults: readonly Fault[];
}

export async function inspectShelf(shelf: Shelf): Promise<Inspection> {
  const recording = recordingOfKey(shelf.path.replace('/', '.'));
  const sizeBytes = shelf.files.reduce((size, file) => size + file.sizeBytes, 0);
  const writtenMs = Math.max(...shelf.files.map(({ writtenAt }) => Date.parse(writtenAt)));
  const facts = { path: shelf.path, recording, sizeBytes, writtenMs };
  const nothing = { ...facts, manifest: undefined, manifestSha256: undefined, day: undefined };
  if (recording === undefined) return { ...nothing, faults: shelf.files.map(strayFile) };
  if (shelf.isErased) return { ...nothing, faults: [{ state: 'undead', reason: 'it was erased, and is still there' }] };
  const [webm, stated] = [fileOf(shelf, WEBM_FILE), fileOf(shelf, MANIFEST_FILE)];
  if (stated === undefined) return { ...nothing, ...withoutManifest({ shelf, recording, webm }) };
  const text = await manifestText({ shelf, stated, webm });
  if (text === undefined) return { ...nothing, faults: [] };
  const manifest = tryManifest(text);
  if (manifest === undefined)
    return {
      ...nothing,
      faults: [{ state: 'unreadable', file: MANIFEST_FILE, reason: `${MANIFEST_FILE} says nothing that can be read` }],
    };
  const manifestSha256 = createHash('sha256').update(text).digest('hex');
  return { ...facts, manifest, manifestSha256, day: dayOf(manifest), faults: faultsBeside(shelf, manifest, recording) };
}

function fileOf(shelf: Shelf, name: string): ShelfFile | undefined {
  return shelf.files.find(({ file }) => file === name);
}

function strayFile({ file }: ShelfFile): Fault {
  return { state: 'stray', file, reason: `${file} belongs to no recording` };
}

interface UncommittedShelf {
  readonly shelf: Shelf;
  readonly recording: Recording;
  readonly webm: ShelfFile | undefined;
}

function withoutManifest({ shelf, recording, webm }: UncommittedShelf): Pick<Inspection, 'day' | 'faults'> {
  if (webm === undefined) return { day: undefined, faults: shelf.files.map(strayFile) };
  const carried = tryManifest(webm.carried);
  const fault = { file: MANIFEST_FILE, reason: `${MANIFEST_FILE} is missing` };
  if (carried === undefined || !isOf(carried, recording) || !isAsStated(webm, carried))
    return { day: undefined, faults: [{ ...fault, state: 'unproven' }] };
  return { day: dayOf(carried), faults: [{ ...fault, state: 'incomplete' }] };
}

/**
 * Of what the WebM carries, where size and checksum say that manifest.json is the same, byte for byte; else it is read, a small
 * text. undefined where it is gone meanwhile.
 */
async function manifestText({
  shelf,
  stated,
  webm,
}: {
  readonly shelf: Shelf;
  readonly stated: ShelfFile;
  readonly webm: ShelfFile | undefined;
}): Promise<string | undefined> {
  const expected = writtenAs(webm?.carried);
  const bytes = Buffer.from(expected ?? '');
  const isThat = bytes.length === stated.sizeBytes && encodeCrc32c(crc32c(bytes)) === stated.crc32c;
  return expected !== undefined && isThat ? expected : shelf.readManifest();
}

/** As manifest.json is written. */
function writtenAs(carried: string | undefined): string | undefined {
  try {
    return carried === undefined ? undefined : `${JSON.stringify(JSON.parse(carried), null, 2)}\n`;
  } catch {
    return undefined;
  }
}

function faultsBeside(shelf: Shelf, manifest: Manifest, recording: Recording): readonly Fault[] {
  if (!isOf(manifest, recording)) return [damaged(MANIFEST_FILE, `is that of ${pathOf(recordingOf(manifest))}`)];
  const webm = webmFaults(fileOf(shelf, WEBM_FILE), manifest);
  return [...webm, ...originalFaults(shelf, manifest), ...straysBeside(shelf, manifest)];
}

function damaged(file: string, what: string): Fault {
  return { state: 'damaged', file, reason: `${file} ${what}` };
}

function webmFaults(webm: ShelfFile | undefined, manifest: Manifest): readonly Fault[] {
  if (webm === undefined) return [damaged(WEBM_FILE, 'is missing')];
  if (!isAsStated(webm, manifest)) return [damaged(WEBM_FILE, differenceOf(webm, manifest.webm))];
  const carried = tryManifest(webm.carried);
  if (carried === undefined || isDeepStrictEqual(withoutOriginals(carried), withoutOriginals(manifest))) return [];
  return [damaged(MANIFEST_FILE, `is not the one that ${WEBM_FILE} carries`)];
}

function isAsStated(webm: ShelfFile, { webm: stated }: Manifest): boolean {
  return webm.sizeBytes === stated.sizeBytes && (webm.crc32c ?? stated.crc32c) === stated.crc32c;
}

function differenceOf(webm: ShelfFile, stated: Manifest['webm']): string {
  if (webm.sizeBytes !== stated.sizeBytes) return otherSize(webm.sizeBytes, stated.sizeBytes);
  return `has CRC32C ${webm.crc32c ?? ''}, its manifest says ${stated.crc32c}`;
}

function otherSize(bytes: number, stated: number): string {
  return `has ${String(bytes)} bytes, its manifest says ${String(stated)}`;
}

/** An original that the sweep took before a crash was mended is in what the WebM carries, and rightly not in manifest.json. */
function withoutOriginals(manifest: Manifest): unknown {
  return { ...manifest, sources: manifest.sources.map((source) => ({ ...source, original: undefined })) };
}

function originalFaults(shelf: Shelf, { sources }: Manifest): readonly Fault[] {
  return sources.flatMap(({ original, sizeBytes }): Fault[] => {
    if (original === undefined) return [];
    const file = fileOf(shelf, original);
    if (file === undefined) return [{ state: 'incomplete', file: original, reason: `${original} is missing` }];
    return file.sizeBytes === sizeBytes ? [] : [damaged(original, otherSize(file.sizeBytes, sizeBytes))];
  });
}

function straysBeside(shelf: Shelf, { sources }: Manifest): readonly Fault[] {
  const known = [WEBM_FILE, MANIFEST_FILE, LEVELS_FILE, HELD_FILE, ...sources.map(({ original }) => original)];
  return shelf.files.filter(({ file }) => !known.includes(file)).map(strayFile);
}

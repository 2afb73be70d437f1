/** A stored recording, read back whole, → a list of what is wrong with it. */
import type { Readable } from 'node:stream';
import { Failure, systemCode } from '../failure.ts';
import type { Recording } from '../recording.ts';
import type { Archive, Stored } from './archive.ts';
import { type Checksum, createChecksum } from './checksum.ts';
import type { Fault } from './inspect.ts';
import type { Manifest } from './manifest.ts';
import { WEBM_FILE } from './names.ts';
import { parseManifest } from './records.ts';

/**
 * Empty where every byte of the WebM is as its manifest says. Originals are not read.
 * @throws Failure where the archive cannot be asked: that proves nothing either way
 */
export async function verifyStored(
  archive: Archive,
  recording: Recording,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    const manifest = await archive.find(recording, signal);
    if (manifest === undefined) return ['manifest.json: there is none, so the recording counts as not archived'];
    const checksum = createChecksum();
    for await (const chunk of await archive.read(manifest, undefined, signal)) checksum.update(chunk);
    return differences(manifest, checksum.stored());
  } catch (error) {
    if (error instanceof Failure && (error.code === 'conflict' || error.code === 'not-found')) return [error.message];
    throw error;
  }
}

/** What is wrong with the bytes of a recording and its originals, each read whole. That they cannot be read is a fault as well. */
export async function rereadFaults(
  manifest: Manifest,
  archive: Pick<Archive, 'read' | 'original'>,
  signal: AbortSignal,
): Promise<readonly Fault[]> {
  const webm = { name: WEBM_FILE, facts: manifest.webm, open: () => archive.read(manifest, undefined, signal) };
  const originals = manifest.sources.flatMap(({ original, sizeBytes, sha256 }) =>
    original === undefined
      ? []
      : [{ name: original, facts: { sizeBytes, sha256 }, open: () => archive.original(manifest, original, signal) }],
  );
  const faults: Fault[] = [];
  for (const { name, facts, open } of [webm, ...originals]) {
    const found = await readWhole(open, signal);
    if ('state' in found) faults.push({ ...found, file: name, reason: `${name} ${found.reason}` });
    else if (found.sha256 !== facts.sha256 || found.sizeBytes !== facts.sizeBytes)
      faults.push({ state: 'damaged', file: name, reason: `${name} was read, and its SHA-256 is not its manifest's` });
    else if ('crc32c' in facts && found.crc32c !== facts.crc32c)
      faults.push({ state: 'damaged', file: name, reason: `${name} was read, and its CRC32C is not its manifest's` });
  }
  return faults;
}

/** Size and checksums of what could be read, or why it could not. */
async function readWhole(open: () => Promise<Readable>, signal: AbortSignal): Promise<Stored | Fault> {
  try {
    const checksum = createChecksum();
    for await (const chunk of await open()) checksum.update(chunk);
    return checksum.stored();
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    const why = thrown instanceof Failure ? thrown.message : (systemCode(thrown) ?? String(thrown));
    return { state: 'unreadable', reason: `cannot be read (${why})` };
  }
}

/** Each fact that is not as the manifest says. */
function differences(manifest: Manifest, stored: Stored): readonly string[] {
  return (['sizeBytes', 'sha256', 'crc32c'] as const)
    .filter((fact) => stored[fact] !== manifest.webm[fact])
    .map(
      (fact) =>
        `recording.webm: ${fact} is ${String(stored[fact])}, but the manifest says ${String(manifest.webm[fact])}`,
    );
}

/** What a manifest has to state before it may be written. */
export interface Proof {
  readonly recording: Recording;
  readonly contentType: string;
  readonly stored: Stored;
  /** By archive name. */
  readonly originals: ReadonlyMap<string, { readonly checksum: Checksum }>;
}

/**
 * What could not be read again, or does not state what is stored, is never written.
 * @throws Failure `internal` with every fact that is wrong
 */
export function requireProof(manifest: Manifest, proof: Proof): Manifest {
  const problems = [...differences(manifest, proof.stored)];
  if (manifest.webm.contentType !== proof.contentType) problems.push('webm.contentType');
  if (manifest.recordingId !== proof.recording.recordingId) problems.push('recordingId');
  if (manifest.conversationId !== (proof.recording.conversationId ?? null)) problems.push('conversationId');
  problems.push(...wrongOriginals(manifest, proof.originals));
  if (problems.length === 0) return parseManifest(JSON.stringify(manifest));
  throw new Failure('internal', 'The manifest does not state what was stored: nothing was archived.', {
    facts: { problems },
  });
}

function wrongOriginals(manifest: Manifest, originals: Proof['originals']): readonly string[] {
  const named = new Map(manifest.sources.flatMap((source) => (source.original ? [[source.original, source]] : [])));
  const wrong = [...originals].filter(([name, { checksum }]) => {
    const { sizeBytes, sha256 } = checksum.stored();
    const source = named.get(name);
    return source?.sizeBytes !== sizeBytes || source.sha256 !== sha256;
  });
  return [...wrong.map(([name]) => name), ...[...named.keys()].filter((name) => !originals.has(name))];
}

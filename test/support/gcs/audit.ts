/** An object that has just become visible → what is wrong with it by the rules of the archive. */
import type { Manifest } from '../../../src/archive/manifest.ts';
import { parseManifest } from '../../../src/archive/records.ts';
import { type Audit, digestOf, type StoredObject } from './store.ts';

const EBML_MAGIC = '1a45dfa3';

/** The WebM is what its own metadata states; a manifest only ever lies beside all that it states. */
export function auditArchive(options: { readonly ebml: boolean }): Audit {
  return (object, objects) => {
    if (object.name.endsWith('/recording.webm')) return auditWebm(object, options.ebml);
    if (/(^|\/)recordings\/.*\/manifest\.json$/.test(object.name)) return auditManifest(object, objects);
    return [];
  };
}

function auditWebm(object: StoredObject, ebml: boolean): readonly string[] {
  const manifest = tryParse(object.metadata['manifest'] ?? '');
  if (manifest === undefined) return ['it carries no manifest'];
  const problems = differences(object, manifest.webm);
  if (object.contentType !== manifest.webm.contentType) problems.push(`its type is ${object.contentType}`);
  if (ebml && headOf(object) !== EBML_MAGIC) problems.push('it does not begin as EBML does');
  return problems;
}

function auditManifest(object: StoredObject, objects: ReadonlyMap<string, StoredObject>): readonly string[] {
  const manifest = tryParse(Buffer.concat(object.parts).toString('utf8'));
  if (manifest === undefined) return ['it cannot be parsed'];
  const folder = object.name.slice(0, -'manifest.json'.length);
  const webm = objects.get(`${folder}recording.webm`);
  const problems = webm === undefined ? ['there is no recording.webm beside it'] : differences(webm, manifest.webm);
  for (const { original, sizeBytes, sha256 } of manifest.sources) {
    if (original === undefined) continue;
    const kept = objects.get(`${folder}${original}`);
    if (kept?.sizeBytes !== sizeBytes || sha256Of(kept) !== sha256) problems.push(`${original} is not what it states`);
  }
  return problems;
}

function differences(object: StoredObject, stated: Manifest['webm']): string[] {
  const problems: string[] = [];
  if (object.sizeBytes !== stated.sizeBytes) problems.push(`it has ${String(object.sizeBytes)} bytes`);
  if (object.crc32c !== stated.crc32c) problems.push(`its crc32c is ${object.crc32c}`);
  if (sha256Of(object) !== stated.sha256) problems.push('its sha256 is not what the manifest states');
  return problems;
}

function sha256Of(object: StoredObject): string {
  return digestOf(object, 'sha256').toString('hex');
}

function headOf(object: StoredObject): string {
  return (object.parts.find((part) => part.length > 0) ?? Buffer.alloc(0)).subarray(0, 4).toString('hex');
}

function tryParse(text: string): Manifest | undefined {
  try {
    return parseManifest(text);
  } catch {
    return undefined;
  }
}

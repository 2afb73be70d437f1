/** A manifest → the metadata its WebM carries, and back. */
import { Failure } from '../../failure.ts';
import type { ObjectFacts } from './object.ts';
import type { Manifest } from '../manifest.ts';
import { tryManifest } from '../records.ts';

/** Names and values together. https://cloud.google.com/storage/quotas#objects */
const LARGEST_METADATA_BYTES = 8 * 1024;

/** What the WebM carries, so that its manifest can be rebuilt: it is as atomic as the object itself. */
export interface WebmMetadata {
  readonly manifest: Manifest;
  /** Where under staging/ its originals wait; undefined where none are kept. */
  readonly staged: string | undefined;
}

/**
 * ASCII only: metadata travels in headers, too. The picture is left out where there is no room for it.
 * @throws Failure `internal` where the rest would not fit
 */
export function encodeMetadata({ manifest, staged }: WebmMetadata): Readonly<Record<string, string>> {
  const { levels, ...bare } = manifest;
  const whole = metadataOf(manifest, staged);
  if (levels === undefined || bytesOf(whole) <= LARGEST_METADATA_BYTES) return requireRoom(whole);
  return requireRoom(metadataOf(bare, staged));
}

function metadataOf(manifest: Manifest, staged: string | undefined): Readonly<Record<string, string>> {
  const json = JSON.stringify(manifest).replaceAll(/[^\x20-\x7e]/g, escapeUnits);
  return { manifest: json, ...(staged === undefined ? {} : { staged }) };
}

function bytesOf(metadata: Readonly<Record<string, string>>): number {
  return Object.entries(metadata).reduce((size, [name, value]) => size + name.length + value.length, 0);
}

function requireRoom(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const sizeBytes = bytesOf(metadata);
  if (sizeBytes <= LARGEST_METADATA_BYTES) return metadata;
  throw new Failure(
    'internal',
    `The manifest has ${String(sizeBytes)} bytes: more than an object's metadata can hold.`,
    {
      retry: 'never',
    },
  );
}

/** undefined for an object this service did not make, or whose bytes are not what its metadata says. */
export function parseWebmMetadata(object: ObjectFacts): WebmMetadata | undefined {
  const text = object.metadata['manifest'];
  if (text === undefined) return undefined;
  const manifest = tryManifest(text);
  const { sizeBytes, crc32c } = manifest?.webm ?? {};
  if (manifest === undefined || sizeBytes !== object.sizeBytes || crc32c !== object.crc32c) return undefined;
  return { manifest, staged: object.metadata['staged'] };
}

/** JSON's own escape, per UTF-16 unit. */
function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    return `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }).join('');
}

/** Turns a WebM that lies in the bucket into a whole recording: its originals, its day, its manifest, in this order. */
import { Failure } from '../../failure.ts';
import type { Recording } from '../../recording.ts';
import type { BucketClient } from './client.ts';
import { parseWebmMetadata, type BucketLayout, type WebmMetadata } from './layout.ts';
import type { BucketLibrary } from './library.ts';
import type { ObjectFacts } from './object.ts';
import { readText } from './download.ts';
import { composeObject, insertObject } from './insert.ts';
import type { Manifest } from '../manifest.ts';
import { dayOf, parseManifest } from '../records.ts';

/** All that talks to one bucket. */
export interface BucketParts {
  readonly client: BucketClient;
  readonly library: BucketLibrary;
  readonly layout: BucketLayout;
}

const CLEANUP_TIMEOUT_MS = 5_000;

/**
 * Done by whoever finds the WebM without a manifest: its maker, another worker, or the next attempt after a crash.
 * Every step may be repeated, and by several at once: each object is created once and stays.
 *
 * The WebM is first, because it is the one object of which two attempts make different bytes; whatever else belongs
 * to it follows from its metadata. Were an original first, an attempt that died behind it would leave a file that a
 * second download need not equal, and that nobody may replace.
 * @throws Failure `conflict` where the WebM was not made by this service
 */
export async function completeRecording(
  webm: { readonly recording: Recording; readonly object: ObjectFacts },
  parts: BucketParts,
  signal: AbortSignal,
): Promise<Manifest> {
  const { recording, object } = webm;
  const known = parseWebmMetadata(object);
  if (known === undefined || !isOf(known.manifest, recording)) throw foreign(object.name);
  const manifest = await placeOriginals(recording, known, { parts, signal });
  await insertEmpty(parts.layout.day(dayOf(manifest), recording), parts.client, signal);
  const there = await placeManifest(recording, manifest, { parts, signal });
  const names = manifest.sources.flatMap((source) => (source.original === undefined ? [] : [source.original]));
  const staged = known.staged === undefined ? [] : names.map((name) => `${known.staged ?? ''}/${name}`);
  const records = (['failures', 'waiting'] as const).map((folder) => parts.layout.record(folder, recording));
  await removeAll([...records, ...staged.map((name) => parts.layout.staging(name))], parts);
  return there;
}

export function isOf(manifest: Manifest, recording: Recording): boolean {
  return (
    manifest.recordingId === recording.recordingId && manifest.conversationId === (recording.conversationId ?? null)
  );
}

/** Best effort, and only ever under staging/, failures/ and waiting/: what stays is swept, or ruled out by the manifest beside it. */
export async function removeAll(names: readonly string[], { library }: BucketParts): Promise<void> {
  const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
  await Promise.allSettled(names.map((name) => library.remove(name, signal)));
}

interface Context {
  readonly parts: BucketParts;
  readonly signal: AbortSignal;
}

/** The manifest without those originals that are nowhere any more: the sweep was faster than the next attempt. */
async function placeOriginals(recording: Recording, known: WebmMetadata, context: Context): Promise<Manifest> {
  const { manifest, staged } = known;
  const sources: Manifest['sources'][number][] = [];
  for (const source of manifest.sources) {
    const { original, ...without } = source;
    const placed = original === undefined || (await placeOriginal({ recording, original, staged }, context));
    sources.push(placed ? source : without);
  }
  return { ...manifest, sources };
}

interface Original {
  readonly recording: Recording;
  readonly original: string;
  readonly staged: string | undefined;
}

async function placeOriginal({ recording, original, staged }: Original, { parts, signal }: Context): Promise<boolean> {
  const { client, library, layout } = parts;
  const name = layout.original(recording, original);
  const source = await library.stat(layout.staging(`${staged ?? ''}/${original}`), signal);
  if (source === undefined) return (await library.stat(name, signal)) !== undefined;
  const object = { name, contentType: source.contentType };
  const { ours } = await composeObject({ object, sources: [source], expected: source }, client, signal);
  if (!ours) throw foreign(name);
  return true;
}

async function insertEmpty(name: string, client: BucketClient, signal: AbortSignal): Promise<void> {
  await insertObject({ object: { name, contentType: 'text/plain' }, parts: [] }, client, signal);
}

/** Whoever was first has written the same, but for originals that were gone for one and not for the other. */
async function placeManifest(recording: Recording, manifest: Manifest, { parts, signal }: Context): Promise<Manifest> {
  const name = parts.layout.manifest(recording);
  const object = { name, contentType: 'application/json; charset=utf-8' };
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  const { ours } = await insertObject({ object, parts: [text] }, parts.client, signal);
  const there = ours ? undefined : await readText(name, parts.client, signal);
  return there === undefined ? manifest : parseManifest(there);
}

function foreign(name: string): Failure {
  return new Failure(
    'conflict',
    'An object that this service did not make lies where this recording belongs: move it away from recordings/ and replay the recording.',
    { facts: { name } },
  );
}

/** A WebM that lies in the bucket → a whole recording: its originals, its day beside its levels, its manifest, in this order. */
import { Failure } from '../../failure.ts';
import type { Recording } from '../../recording.ts';
import type { Manifest } from '../manifest.ts';
import { besideName, dayName, levelsName, manifestName, stagingName } from '../names.ts';
import type { Reasons } from '../reasons.ts';
import { dayOf, isOf, parseManifest } from '../records.ts';
import type { BucketClient } from './client.ts';
import { readObject } from './download.ts';
import { composeObject, insertObject } from './insert.ts';
import type { KnownNames } from './known-names.ts';
import { lastingOf, type ObjectRetention } from './lock.ts';
import { removeAll, statObject } from './metadata.ts';
import { isSame, type ObjectFacts } from './object.ts';
import { parseWebmMetadata, type WebmMetadata } from './webm-metadata.ts';

export interface CommitNeeds {
  readonly client: BucketClient;
  readonly reasons: Reasons;
  readonly names: Pick<KnownNames, 'requireNotErased'>;
}

/** Only who made the WebM has them; whoever else completes it leaves them to be made from it. */
export interface KeptLevels {
  readonly bytes: Uint8Array;
  readonly onLost: (reason: unknown) => void;
}

export interface ShownWebm {
  readonly recording: Recording;
  readonly object: ObjectFacts;
  readonly levels?: KeptLevels | undefined;
}

/** To a recording's WebM, and locked as that is: all of it is free at the same moment, whoever lays it, and when. */
interface Belonging {
  readonly recording: Recording;
  readonly retention: ObjectRetention | undefined;
}

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
  webm: ShownWebm,
  { client, reasons, names }: CommitNeeds,
  signal: AbortSignal,
): Promise<Manifest> {
  const { recording, object } = webm;
  const known = parseWebmMetadata(object);
  if (known === undefined || !isOf(known.manifest, recording)) throw foreign(object.name);
  const retention = lastingOf(object.retention);
  const manifest = await placeOriginals({ recording, known, retention }, client, signal);
  const day = { name: dayName(dayOf(manifest), recording), contentType: 'text/plain' };
  const placed = keepLevels({ recording, levels: webm.levels, retention }, client, signal);
  try {
    await insertObject({ object: day, parts: [] }, client, signal);
  } finally {
    // Neither is still on its way when it is asked what was erased, nor once this has failed.
    await placed;
  }
  // By its manifest it is seen: an erasure that began since the WebM was stored leaves it unseen, and takes the rest.
  await names.requireNotErased(recording, signal);
  const there = await placeManifest({ recording, manifest, retention }, client, signal);
  if (!isSame(object, there.webm)) throw statesAnother();
  const originals = manifest.sources.flatMap((source) => (source.original === undefined ? [] : [source.original]));
  const staged =
    known.staged === undefined ? [] : originals.map((name) => stagingName(`${known.staged ?? ''}/${name}`));
  await Promise.all([reasons.forget(recording), removeAll(staged, client)]);
  return there;
}

/** The recording is whole without them. */
async function keepLevels(
  { levels, ...belonging }: Belonging & { readonly levels: KeptLevels | undefined },
  client: BucketClient,
  signal: AbortSignal,
): Promise<void> {
  if (levels === undefined) return;
  try {
    await placeLevels({ ...belonging, bytes: levels.bytes }, client, signal);
  } catch (error) {
    levels.onLost(error);
  }
}

/** False where there are other ones already, which stay. */
export async function placeLevels(
  { recording, bytes, retention }: Belonging & { readonly bytes: Uint8Array },
  client: BucketClient,
  signal: AbortSignal,
): Promise<boolean> {
  const object = { name: levelsName(recording), contentType: 'application/octet-stream', retention };
  return (await insertObject({ object, parts: [Buffer.from(bytes)] }, client, signal)).ours;
}

/** The manifest without those originals that are nowhere any more: the sweep was faster than the next attempt. */
async function placeOriginals(
  { recording, known, retention }: Belonging & { readonly known: WebmMetadata },
  client: BucketClient,
  signal: AbortSignal,
): Promise<Manifest> {
  const { manifest, staged } = known;
  const sources: Manifest['sources'][number][] = [];
  for (const source of manifest.sources) {
    const { original, ...without } = source;
    const placed =
      original === undefined || (await placeOriginal({ recording, original, staged, retention }, client, signal));
    sources.push(placed ? source : without);
  }
  return { ...manifest, sources };
}

interface StagedOriginal extends Belonging {
  readonly original: string;
  readonly staged: string | undefined;
}

async function placeOriginal(
  { recording, original, staged, retention }: StagedOriginal,
  client: BucketClient,
  signal: AbortSignal,
): Promise<boolean> {
  const name = besideName(recording, original);
  const source = await statObject(stagingName(`${staged ?? ''}/${original}`), client, signal);
  if (source === undefined) return (await statObject(name, client, signal)) !== undefined;
  const object = { name, contentType: source.contentType, retention };
  const { ours } = await composeObject({ object, sources: [source], expected: source }, client, signal);
  if (!ours) throw foreign(name);
  return true;
}

/** Whoever was first has written the same, but for originals that were gone for one and not for the other. */
async function placeManifest(
  { recording, manifest, retention }: Belonging & { readonly manifest: Manifest },
  client: BucketClient,
  signal: AbortSignal,
): Promise<Manifest> {
  const name = manifestName(recording);
  const object = { name, contentType: 'application/json; charset=utf-8', retention };
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  const { ours } = await insertObject({ object, parts: [text] }, client, signal);
  const there = ours ? undefined : await readObject(name, client, signal);
  return there === undefined ? manifest : parseManifest(there);
}

/** The WebM that it states was removed by somebody, and another one was made since. */
function statesAnother(): Failure {
  return new Failure(
    'conflict',
    'The manifest.json of this recording states another recording.webm than lies there: move manifest.json away from recordings/, and it is written anew from the WebM.',
  );
}

function foreign(name: string): Failure {
  return new Failure(
    'conflict',
    'An object that this service did not make lies where this recording belongs: move it away from recordings/ and replay the recording.',
    { facts: { name } },
  );
}

/**
 * The way of one recording. Start reading here.
 *
 *   archive:  there already? ▸ look up in Genesys ▸ download ▸ make WebM ▸ store ▸ manifest
 *   listen:   look up ▸ download ▸ make WebM ▸ play (what is archived is served by http/stored.ts)
 *
 * Both share the middle: whoever asks for a recording that is being made joins in (media/flight.ts).
 */
import { createHash } from 'node:crypto';
import type { Archive, Deposit, OriginalSink, Stored } from './archive/archive.ts';
import type { Manifest, SourceFacts } from './archive/manifest.ts';
import { Failure } from './failure.ts';
import type { Genesys, Located } from './genesys/genesys.ts';
import type { Download, MediaFile } from './media-file.ts';
import { createFlights, Lagged } from './media/flight.ts';
import { Unfit } from './media/as-is.ts';
import type { MediaTools } from './media/encoded.ts';
import { makeWebm, type MadeWebm } from './media/make-webm.ts';
import { formatOf } from './media/plan.ts';
import { sniff } from './media/sniff.ts';
import type { Metrics } from './metrics.ts';
import { keyOf, type Recording } from './recording.ts';

export interface PipelineParts {
  readonly genesys: Genesys;
  readonly archive: Archive;
  readonly tools: MediaTools;
  readonly metrics: Metrics;
  /** Keep the media bit-exact beside the WebM. */
  readonly keepOriginal: boolean;
  /** Version of this service, for the manifest. */
  readonly version: string;
}

/** One attempt at one recording. */
export interface Work {
  readonly recording: Recording;
  readonly attempt: number;
  readonly traceparent: string | undefined;
  /** What may take longer is refused before anything is made: Failure `too-long`. */
  readonly withinMs?: number | undefined;
}

/** WebM on its way to a listener. Its `body` must be read or its iterator returned, or the signal aborted. */
export interface Listening {
  readonly contentType: string;
  readonly body: AsyncIterable<Buffer>;
}

export interface Pipeline {
  /** Archives a recording; where it lies there already, that manifest and `fresh: false`. @throws Failure */
  archive(work: Work, signal: AbortSignal): Promise<{ readonly manifest: Manifest; readonly fresh: boolean }>;
  /** Of a recording that is not archived: made while it plays. @throws Failure */
  listen(recording: Recording, signal: AbortSignal): Promise<Listening>;
}

/** How much of one making is kept for late listeners; as much as a deposit holds back, and of the same buffers. */
const KEEP_BYTES = 8 * 1024 * 1024;

export function createPipeline(parts: PipelineParts): Pipeline {
  const flights = createFlights<Making>(KEEP_BYTES);

  async function archive(work: Work, signal: AbortSignal): Promise<{ manifest: Manifest; fresh: boolean }> {
    const known = await parts.archive.find(work.recording, signal);
    if (known !== undefined) return { manifest: known, fresh: false };
    try {
      return { manifest: await makeAndStore(work, 'any', signal), fresh: true };
    } catch (error) {
      // Found out only midway that the fast way does not fit this media: once more, by the way that fits everything.
      if (!(error instanceof Unfit)) throw error;
      return { manifest: await makeAndStore(work, 'encode', signal), fresh: true };
    }
  }

  async function makeAndStore(work: Work, ways: 'any' | 'encode', signal: AbortSignal): Promise<Manifest> {
    const startedAt = new Date();
    await using deposit = await parts.archive.begin(work.recording, signal);
    const keep = parts.keepOriginal ? deposit : undefined;
    // A making that also keeps originals belongs to this deposit alone.
    const flight = `${keyOf(work.recording)}${keep === undefined ? '' : '+original'}${ways === 'any' ? '' : '+encode'}`;
    const made = await flights.join(
      flight,
      (stop) => make(work.recording, { ways, keep, patient: true, withinMs: work.withinMs }, stop),
      signal,
    );
    for await (const cluster of made.clusters) await deposit.clusters.write(cluster);
    const storing = performance.now();
    const { head, sizeBytes } = made.result();
    const manifest = await deposit.commit(head, made.contentType, (stored) => {
      requireSize(stored, sizeBytes);
      return describe(made, stored, { ...work, startedAt, version: parts.version });
    });
    parts.metrics.seconds('store', (performance.now() - storing) / 1000);
    parts.metrics.bytes('out', manifest.webm.sizeBytes);
    return manifest;
  }

  async function make(recording: Recording, options: MakeOptions, signal: AbortSignal): Promise<Making> {
    const looking = performance.now();
    const located = await parts.genesys.locate(recording, options.patient ? 'worker' : 'listener', signal);
    parts.metrics.seconds('lookup', (performance.now() - looking) / 1000);
    const originals: string[] = [];
    const count = located.files.length;
    const files = located.files.map((file, index) =>
      counted(file, parts.metrics, options.keep && { deposit: options.keep, index, count, names: originals }),
    );
    const made = await makeWebm(
      {
        files,
        durationMs: located.durationMs,
        ways: options.ways,
        patient: options.patient,
        withinMs: options.withinMs,
      },
      parts.tools,
      signal,
    );
    return Object.assign(made, { located, originals });
  }

  async function listen(recording: Recording, signal: AbortSignal): Promise<Listening> {
    const made = await flights.join(
      keyOf(recording),
      (stop) => make(recording, { ways: 'any', keep: undefined, patient: false }, stop),
      signal,
    );
    return { contentType: made.contentType, body: play(recording, made, signal) };
  }

  /**
   * The live stream. Its head goes out with the first Cluster: only then is it certain that there is something to play.
   * A listener left behind by faster ones goes on with a making of its own, proven to begin with the same bytes.
   */
  async function* play(recording: Recording, made: Making, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const heard = createHash('sha256');
    let heardBytes = 0;
    const own = (ways: 'any' | 'encode'): Promise<Making> =>
      make(recording, { ways, keep: undefined, patient: true }, signal);
    try {
      for await (const cluster of made.clusters) {
        // A copy: a listener may still hold one when it asks for the next.
        yield Buffer.concat(heardBytes === 0 ? [made.liveHead, cluster] : [cluster]);
        heard.update(cluster);
        heardBytes += cluster.length;
      }
    } catch (error) {
      const [isLagged, isUnfit] = [error instanceof Lagged, error instanceof Unfit];
      if (heardBytes === 0 && (isLagged || isUnfit))
        yield* play(recording, await own(isUnfit ? 'encode' : 'any'), signal);
      else if (isLagged) yield* after((await own('any')).clusters, heardBytes, heard.digest('hex'));
      else throw error;
    }
  }

  return { archive, listen };
}

interface MakeOptions {
  readonly ways: 'any' | 'encode';
  /** Where originals go, if they are kept. */
  readonly keep: Deposit | undefined;
  /** Waits for an encoder as long as it takes; otherwise 429 when too many wait already. */
  readonly patient: boolean;
  readonly withinMs?: number | undefined;
}

type Making = MadeWebm & {
  readonly located: Located;
  /** Archive names of the bit-exact copies, by file; empty where none are kept. */
  readonly originals: readonly string[];
};

/** What comes after the first `sizeBytes`, once those have proven to be the same as before. */
async function* after(
  clusters: AsyncIterable<Buffer>,
  sizeBytes: number,
  sha256: string,
): AsyncGenerator<Buffer, void, void> {
  const hash = createHash('sha256');
  let skipped = 0;
  for await (const cluster of clusters) {
    if (skipped === sizeBytes) {
      yield cluster;
      continue;
    }
    hash.update(cluster);
    skipped += cluster.length;
    if (skipped > sizeBytes || (skipped === sizeBytes && hash.digest('hex') !== sha256)) throw new Lagged();
  }
  // Shorter than what was heard: not the same, whatever its own completeness says.
  if (skipped < sizeBytes) throw new Lagged();
}

/** The file, its bytes counted for the metrics and, where asked for, copied bit-exact into the deposit as they pass. */
function counted(file: MediaFile, metrics: Metrics, keep: Keep | undefined): MediaFile {
  return {
    channel: file.channel,
    open: async (signal) => {
      const download = await file.open(signal);
      const { contentType, sizeBytes, readRange } = download;
      return {
        contentType,
        sizeBytes,
        readRange,
        received: () => download.received(),
        [Symbol.asyncIterator]: () => tap(download, metrics, keep),
      };
    },
  };
}

interface Keep {
  readonly deposit: Deposit;
  readonly index: number;
  readonly count: number;
  /** Takes the name that the archive gives the copy. */
  readonly names: string[];
}

async function* tap(download: Download, metrics: Metrics, keep: Keep | undefined): AsyncGenerator<Buffer, void, void> {
  let sink: OriginalSink | undefined;
  for await (const chunk of download) {
    metrics.bytes('in', chunk.length);
    if (keep !== undefined) {
      sink ??= await openCopy(keep, chunk);
      await sink.write(chunk);
    }
    yield chunk;
  }
}

async function openCopy({ deposit, index, count, names }: Keep, beginning: Buffer): Promise<OriginalSink> {
  const { extension, mediaType } = formatOf(sniff(beginning));
  const sink = await deposit.original(index, count, extension, mediaType);
  names[index] = sink.name;
  return sink;
}

function sourcesOf(made: Making): readonly SourceFacts[] {
  return made.sources().map((source, index) => {
    const original = made.originals[index];
    return original === undefined ? source : { ...source, original };
  });
}

/** Who made the WebM and who stored it have to agree on how much there is. */
function requireSize(stored: Stored, sizeBytes: number): void {
  if (stored.sizeBytes === sizeBytes) return;
  const text = `The WebM has ${String(sizeBytes)} bytes, but ${String(stored.sizeBytes)} reached the archive; nothing was stored.`;
  throw new Failure('internal', text);
}

function describe(made: Making, stored: Stored, work: Work & { startedAt: Date; version: string }): Manifest {
  const result = made.result();
  return {
    version: 1,
    recordingId: work.recording.recordingId,
    conversationId: work.recording.conversationId ?? null,
    api: made.located.api,
    medium: made.contentType === 'video/webm' ? 'video' : 'audio',
    recordedAt: made.located.recordedAt?.toISOString() ?? null,
    sources: sourcesOf(made),
    way: made.way,
    why: [made.why, ...(result.note === undefined ? [] : [result.note])].join('; '),
    encoder: made.encoder ?? null,
    webm: {
      contentType: made.contentType,
      ...stored,
      durationMs: result.durationMs,
      channels: result.channels,
      codecs: result.codecs,
    },
    startedAt: work.startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    attempt: work.attempt,
    service: work.version,
    ...(work.traceparent === undefined ? {} : { traceparent: work.traceparent }),
  };
}

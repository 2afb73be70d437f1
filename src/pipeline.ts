/**
 * The way of one recording. Start reading here.
 *
 *   archive:  there already? ▸ look up in Genesys ▸ download ▸ make WebM ▸ store ▸ manifest
 *   listen:   look up ▸ download ▸ make WebM ▸ play (what is archived is served by http/stored.ts)
 *
 * Both share the middle: whoever asks for a recording that is being made joins in (media/flight.ts).
 */
import type { Archive, Deposit } from './archive/archive.ts';
import type { Manifest } from './archive/manifest.ts';
import type { Genesys } from './genesys/genesys.ts';
import { makeManifest, type MadeRecording } from './make-manifest.ts';
import { Unfit } from './media/as-is.ts';
import type { MediaTools } from './media/encoded.ts';
import { Flights, type LiveWebm } from './media/flight.ts';
import { makeWebm } from './media/make-webm.ts';
import type { Metrics } from './metrics.ts';
import { watchFiles } from './originals.ts';
import { keyOf, type Recording } from './recording.ts';

export interface PipelineNeeds {
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

type Ways = 'any' | 'encode';

export class Pipeline {
  readonly #needs: PipelineNeeds;
  readonly #flights = new Flights<MadeRecording>(KEEP_BYTES);

  constructor(needs: PipelineNeeds) {
    this.#needs = needs;
  }

  /** Archives a recording; where it lies there already, that manifest and `fresh: false`. @throws Failure */
  async archive(work: Work, signal: AbortSignal): Promise<{ readonly manifest: Manifest; readonly fresh: boolean }> {
    const known = await this.#needs.archive.find(work.recording, signal);
    if (known !== undefined) return { manifest: known, fresh: false };
    return { manifest: await eitherWay((ways) => this.#makeAndStore(work, ways, signal)), fresh: true };
  }

  /** A recording that is not archived, made while it plays. @throws Failure */
  listen(recording: Recording, signal: AbortSignal): Promise<LiveWebm> {
    return eitherWay((ways) => {
      const order = { ways, keep: undefined, patient: false };
      const make = (stop: AbortSignal): Promise<MadeRecording> => this.#make(recording, order, stop);
      return this.#flights.listen(flightOf(recording, order), make, signal);
    });
  }

  async #makeAndStore(work: Work, ways: Ways, signal: AbortSignal): Promise<Manifest> {
    const { archive, keepOriginal, metrics, version } = this.#needs;
    const startedAt = new Date();
    await using deposit = await archive.begin(work.recording, signal);
    const order = { ways, keep: keepOriginal ? deposit : undefined, patient: true, withinMs: work.withinMs };
    const make = (stop: AbortSignal): Promise<MadeRecording> => this.#make(work.recording, order, stop);
    const made = await this.#flights.join(flightOf(work.recording, order), make, signal);
    for await (const cluster of made.clusters) await deposit.clusters.write(cluster);
    const storing = performance.now();
    const manifest = await deposit.commit(made.result().head, made.contentType, (stored) =>
      makeManifest(made, stored, { ...work, startedAt, version }),
    );
    metrics.seconds('store', (performance.now() - storing) / 1000);
    metrics.bytes('out', manifest.webm.sizeBytes);
    return manifest;
  }

  async #make(recording: Recording, order: MakingOrder, signal: AbortSignal): Promise<MadeRecording> {
    const { genesys, metrics, tools } = this.#needs;
    const { ways, patient, withinMs } = order;
    const looking = performance.now();
    const located = await genesys.locate(recording, patient ? 'worker' : 'listener', signal);
    metrics.seconds('lookup', (performance.now() - looking) / 1000);
    const { files, originals } = watchFiles(located.files, metrics, order.keep);
    const made = await makeWebm({ files, durationMs: located.durationMs, ways, patient, withinMs }, tools, signal);
    return Object.assign(made, { located, originals });
  }
}

/** How much of one making is kept for late listeners; as much as a deposit holds back, and of the same buffers. */
const KEEP_BYTES = 8 * 1024 * 1024;

interface MakingOrder {
  readonly ways: Ways;
  /** Where originals go, if they are kept. */
  readonly keep: Deposit | undefined;
  /** Waits for an encoder as long as it takes; otherwise 429 when too many wait already. */
  readonly patient: boolean;
  readonly withinMs?: number | undefined;
}

/** A making that also keeps originals belongs to its deposit alone. */
function flightOf(recording: Recording, { ways, keep }: MakingOrder): string {
  return [keyOf(recording), ways, ...(keep === undefined ? [] : ['original'])].join('+');
}

/** Found out, perhaps only midway, that the fast way does not fit this media: once more, by the way that fits everything. */
async function eitherWay<T>(make: (ways: Ways) => Promise<T>): Promise<T> {
  try {
    return await make('any');
  } catch (error) {
    if (error instanceof Unfit) return make('encode');
    throw error;
  }
}

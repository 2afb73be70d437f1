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
import { Failure } from './failure.ts';
import type { Genesys, Located } from './genesys/genesys.ts';
import { makeManifest, type MadeRecording } from './make-manifest.ts';
import { Unfit } from './media/as-is.ts';
import type { MakingNeeds } from './media/encoded.ts';
import { Flights, type FlightOrder } from './media/flight.ts';
import { playLive, type LiveWebm } from './media/live.ts';
import { makeWebm } from './media/make-webm.ts';
import type { Purpose } from './media/purpose.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { watchFiles } from './originals.ts';
import { keyOf, type Recording } from './recording.ts';

export interface PipelineNeeds {
  readonly genesys: Genesys;
  readonly archive: Archive;
  readonly tools: MakingNeeds;
  /** What it archives makes room for what another one archives by the same tools. */
  readonly givesWay?: boolean;
  readonly metrics: Metrics;
  /** Keep the media bit-exact beside the WebM. */
  readonly keepOriginal: boolean;
  /** Version of this service, for the manifest. */
  readonly version: string;
  /** Told where a recording is archived without its levels, and why. */
  readonly onLevelsLost?: (recording: Recording, reason: unknown) => void;
}

/** One attempt at one recording. */
export interface Work {
  readonly recording: Recording;
  readonly attempt: number;
  readonly traceparent: string | undefined;
  /** What may take longer is refused before anything is made: Failure `too-long`. */
  readonly withinMs?: number | undefined;
  /** Called once it is made, and nothing is left but to store it. */
  readonly onMade?: (() => void) | undefined;
}

type Ways = 'any' | 'encode';

export class Pipeline {
  readonly #needs: PipelineNeeds;
  readonly #flights = new Flights<MadeRecording>();

  constructor(needs: PipelineNeeds) {
    this.#needs = needs;
  }

  /** Bytes held of recordings in the making: what is set aside for reading them, and what was made of them. */
  get heldBytes(): number {
    return this.#flights.heldBytes;
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
      const flight = this.#flightOf({ recording, ways, reader: 'listening' });
      return playLive(() => this.#flights.join(flight, signal));
    });
  }

  async #makeAndStore(work: Work, ways: Ways, signal: AbortSignal): Promise<Manifest> {
    const { archive, keepOriginal, metrics, version } = this.#needs;
    const startedAt = new Date();
    let located: Located | undefined;
    const onLocated = (found: Located): unknown => (located = found);
    try {
      await using deposit = await archive.begin(work.recording, signal);
      const keep = keepOriginal ? deposit : undefined;
      const order = { ...work, ways, keep, reader: 'archiving', onLocated } as const;
      const made = await this.#flights.join(this.#flightOf(order), signal);
      for await (const cluster of made.clusters) await deposit.clusters.write(cluster);
      this.#keepLevels(work.recording, made, deposit);
      work.onMade?.();
      const storing = performance.now();
      const manifest = await deposit.commit(made.result().head, made.contentType, (stored) =>
        makeManifest(made, stored, { ...work, startedAt, version }),
      );
      metrics.seconds('store', (performance.now() - storing) / 1000);
      metrics.bytes('out', manifest.webm.sizeBytes);
      return manifest;
    } catch (error) {
      throw located?.isOriginal === true ? doubted(error) : error;
    }
  }

  /** What goes wrong with them is told, and costs nothing else. */
  #keepLevels(recording: Recording, made: MadeRecording, deposit: Deposit): void {
    const onLost = (reason: unknown): void => this.#needs.onLevelsLost?.(recording, reason);
    const levels = made.levels();
    if (levels !== undefined) deposit.keepLevels(levels.bytes, onLost);
    else if (made.levelsFault() !== undefined) onLost(made.levelsFault());
  }

  /** A making that also keeps originals belongs to its deposit alone. */
  #flightOf(order: MakingOrder): FlightOrder<MadeRecording> {
    const key = [keyOf(order.recording), order.ways, ...(order.keep === undefined ? [] : ['original'])].join('+');
    return { key, reader: order.reader, make: (purpose, signal) => this.#make(order, purpose, signal) };
  }

  async #make(order: MakingOrder, purpose: Purpose, signal: AbortSignal): Promise<MadeRecording> {
    const { genesys, metrics, tools, givesWay = false } = this.#needs;
    if (givesWay) purpose.giveWay();
    const { recording, ways, keep, withinMs } = order;
    const looking = performance.now();
    const located = await genesys.locate(recording, purpose.archiving ? 'worker' : 'listener', signal);
    order.onLocated?.(located);
    metrics.seconds('lookup', (performance.now() - looking) / 1000);
    const { files, originals } = watchFiles(located.files, metrics, keep);
    const made = await makeWebm({ files, durationMs: located.durationMs, ways, purpose, withinMs }, tools, signal);
    return Object.assign(made, { located, originals });
  }
}

interface MakingOrder {
  readonly recording: Recording;
  readonly ways: Ways;
  readonly reader: 'archiving' | 'listening';
  /** Where originals go, if they are kept. */
  readonly keep?: Deposit | undefined;
  readonly withinMs?: number | undefined;
  readonly onLocated?: (located: Located) => void;
}

/** What is wrong with an original need not be wrong with what Genesys makes of it. */
function doubted(error: unknown): unknown {
  if (!(error instanceof Failure) || error.sort !== 'recording' || error.retry !== 'never') return error;
  const { code, message, sort, status, facts } = error;
  return new Failure(code, message, { cause: error, sort, retry: 'again', status, facts });
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

/** One recording's media files → its WebM: open and sniff ▸ plan ▸ packets ▸ one writer, and the proof that nothing is missing. */
import type { SourceFacts } from '../archive/manifest.ts';
import { Failure } from '../failure.ts';
import type { MediaFile } from '../media-file.ts';
import { type AsIsNeeds, openAsIs } from './as-is.ts';
import { eachBatch } from './batches.ts';
import { openEncoded, type EncodingNeeds, type MakingNeeds } from './encoded.ts';
import { LevelWatch, type MeasuredLevels } from './levels/level-watch.ts';
import { closeInputs, openInputs, totalBytes, type MediaInput } from './input.ts';
import type { SourceStream } from './packet.ts';
import { formatOf, planWebm, type Plan } from './plan.ts';
import type { Purpose } from './purpose.ts';
import { Scope } from '../waiting.ts';
import { requireWhole } from './proof.ts';
import { requireInTime } from './effort.ts';
import type { Webm, WebmResult } from './webm/webm.ts';
import { WebmWriter } from './webm/writer.ts';

export interface WebmOrder {
  readonly files: readonly MediaFile[];
  /** What Genesys says of its media. */
  readonly durationMs: number | undefined;
  /** `encode`: not by a way without decoding, after that turned out not to fit. */
  readonly ways: 'any' | 'encode';
  /** Decides who waits for an encoder, and how long; a listener is refused (Failure `busy`) where it would be too long. */
  readonly purpose: Purpose;
  /** Only what is certain to be made in this time: else Failure `too-long`, before anything is made. */
  readonly withinMs?: number | undefined;
}

export interface MadeWebm extends Webm {
  /** Only after `clusters` ended normally. */
  sources(): readonly SourceFacts[];
  /** The same. Who speaks when; undefined where the sound does not tell. */
  levels(): MeasuredLevels | undefined;
  /** Why they are missing, where they should not be. */
  levelsFault(): unknown;
}

/**
 * `clusters` must be read or left, or `signal` aborted.
 * @throws Failure where the media cannot become WebM; nothing is left open then. `Unfit`, as `clusters` may as well, where it
 * can be made with `ways: 'encode'` only
 */
export async function makeWebm(order: WebmOrder, tools: MakingNeeds, signal: AbortSignal): Promise<MadeWebm> {
  const reading = new Scope(signal);
  const letGo = (): void => reading.abort(new Failure('stopped', 'The media was left before its end.'));
  const inputs = await openInputs(order.files, reading.signal);
  try {
    const plan = planWebm(
      inputs.map(({ sniffed }) => sniffed),
      order.ways === 'any',
    );
    if (order.withinMs !== undefined)
      requireInTime({ plan, sizeBytes: totalBytes(inputs), durationMs: order.durationMs }, order.withinMs);
    const needs = { inputs, tools, purpose: order.purpose, letGo, genesysMs: order.durationMs };
    const stream = await openStream(plan, needs, signal);
    return writeWebm(stream, { inputs, genesysMs: order.durationMs, maxDurationMs: tools.maxDurationMs });
  } catch (error) {
    letGo();
    await closeInputs(inputs);
    throw error;
  }
}

function openStream(plan: Plan, needs: EncodingNeeds & AsIsNeeds, signal: AbortSignal): Promise<SourceStream> {
  const { way } = plan;
  return way === 'encode' ? openEncoded(plan, needs, signal) : openAsIs({ ...plan, way }, needs);
}

interface WritingNeeds {
  readonly inputs: readonly MediaInput[];
  readonly genesysMs: number | undefined;
  readonly maxDurationMs: number;
}

function writeWebm(stream: SourceStream, { inputs, genesysMs, maxDurationMs }: WritingNeeds): MadeWebm {
  const writer = new WebmWriter(stream.tracks, { durationMs: stream.durationMs ?? genesysMs });
  const isVideo = stream.tracks.some((track) => track.kind === 'video');
  const watch = new LevelWatch(stream.tracks);
  let result: WebmResult | undefined;
  let levels: MeasuredLevels | undefined;

  /** The last Clusters are withheld until everything agrees. */
  async function* clusters(): AsyncGenerator<Buffer, void, void> {
    const finished = eachBatch(stream.packets[Symbol.asyncIterator](), (batch) => {
      watch.add(batch);
      return writer.add(batch);
    });
    for await (const made of finished) {
      yield* made;
      if (writer.durationMs > maxDurationMs) throw tooLong(maxDurationMs);
    }
    const withheld = writer.flush();
    const { note, picturesUntilMs } = requireWhole({
      soundMs: writer.soundMs,
      picturesMs: writer.picturesMs,
      packets: writer.packets,
      sourceMs: stream.expectedMs(),
      isStated: stream.isStated,
      genesysMs,
      lacksEndMark: stream.lacksEndMark(),
      isSized: stream.isSized(),
      countedMs: stream.countedMs(),
      soundSlackMs: stream.soundSlackMs,
      hasKnownSize: totalBytes(inputs) !== undefined,
    });
    yield* withheld;
    yield* writer.end(picturesUntilMs);
    const notes = [...stream.notes(), ...(note === undefined ? [] : [note])];
    levels = watch.levels(writer.durationMs);
    result = { ...writer.result(), ...(notes.length === 0 ? {} : { note: notes.join('; ') }) };
  }

  return {
    contentType: isVideo ? 'video/webm' : 'audio/webm',
    way: stream.way,
    why: stream.why,
    encoder: stream.encoder,
    liveHead: writer.liveHead,
    clusters: { [Symbol.asyncIterator]: clusters },
    playsMs: () => writer.durationMs,
    result: () => {
      if (result === undefined) throw new Failure('internal', 'The result was asked for before the WebM was complete.');
      return result;
    },
    sources: () => inputs.map(sourceFactsOf),
    levels: () => levels,
    levelsFault: () => watch.fault,
  };
}

function sourceFactsOf({ channel, download, sniffed }: MediaInput): SourceFacts {
  return { channel, contentType: formatOf(sniffed).mediaType, ...download.received() };
}

function tooLong(maxDurationMs: number): Failure {
  return new Failure(
    'media-too-large',
    `The media plays longer than the ${String(maxDurationMs / 1000)} s that MAX_DURATION_S allows.`,
  );
}

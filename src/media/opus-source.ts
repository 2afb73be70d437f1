/** An Ogg Opus file on its way to the encoder → Matroska of one stream: links trimmed to the sample, the gain of each beside it. */
import { Failure } from '../failure.ts';
import { LEVEL_SCALE_DB, levelPackets, levelTrack } from './flac-level.ts';
import { nsToSamples, OPUS_RATE, type OpusHead, samplesToNs } from './opus.ts';
import type { AudioTrack, Packet } from './packet.ts';
import type { Contents } from './source/contents.ts';
import { type Lengths, ofSound, type SourceFigures, UNKNOWN_LENGTHS } from './source/tally.ts';
import { WebmWriter } from './webm/writer.ts';
import { type OggOpus, opusTrack, readOggOpus } from './ogg/ogg-opus.ts';
import type { OpusPacket } from './ogg/opus-run.ts';

/**
 * ffmpeg reads chained Ogg with the gain, the pre-skip and, beside a second file, the times of the first link alone. Matroska
 * tells of each packet when it is heard and which samples of it are not (RFC 9559 §5.1.3.5.7); gains it does not know, so they
 * come as a second track that sound is multiplied by.
 */
export class OpusSource implements SourceFigures {
  /** Its beginning does not tell. */
  readonly declaredMs = undefined;
  readonly notes = [];
  contents: Contents | undefined;
  lengths: Lengths = UNKNOWN_LENGTHS;
  lacksEndMark = false;

  /**
   * All of the file, its chunks given up → Matroska.
   * @throws Failure `unreadable-media` for damage, `incomplete` for an early end, both with the byte offset; `unsupported-media`
   * for links that one decoder cannot play
   */
  async *through(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    const file = await readOggOpus(chunks, 'encoder');
    const line = new LevelLine(file);
    this.contents = contentsOfOpus(file);
    const writer = new WebmWriter(line.tracks);
    yield writer.liveHead;
    for await (const batch of file.packets) yield* writer.add(line.withLevels(batch));
    yield* writer.end();
    this.lengths = ofSound(((line.end - file.startSamples) / OPUS_RATE) * 1000);
    this.lacksEndMark = !file.hasEndMark;
  }
}

/** As many as FLAC and Opus call by the same names; the links of others have one gain. */
const hasLevels = ({ head }: OggOpus): boolean => head.mappingFamily === 0;

function contentsOfOpus(file: OggOpus): Contents {
  const { channels } = file.head;
  const levels = hasLevels(file) ? { stream: 1, scaleDb: LEVEL_SCALE_DB } : undefined;
  const sound = { stream: 0, codec: 'opus', channels, isExact: false, levels };
  return { sounds: [sound], pictures: [], isTimed: true, startS: file.startSamples / OPUS_RATE };
}

/** Packets at their times on the file's own clock, in samples from granule position 0, and beside them the level. */
class LevelLine {
  readonly tracks: readonly AudioTrack[];
  /** Where the sound ends that came so far. */
  end: number;
  readonly #startNs: number;
  readonly #head: OpusHead;
  readonly #hasLevels: boolean;
  /** Up to where the level was told. */
  #told: number;
  #gainDb = 0;

  constructor(file: OggOpus) {
    const { head, startSamples } = file;
    this.#head = head;
    this.#hasLevels = hasLevels(file);
    this.#startNs = samplesToNs(startSamples);
    this.end = startSamples;
    this.#told = startSamples;
    this.tracks = this.#hasLevels
      ? [opusTrack({ ...head, outputGain: 0 }), levelTrack(head.channels)]
      : [opusTrack(head)];
  }

  /** @throws Failure `unsupported-media` for gains that no recording has, and for links of several whose channels are coded apart */
  withLevels(batch: readonly OpusPacket[]): readonly Packet[] {
    const found: Packet[] = [];
    for (const packet of batch) {
      const placed = { ...packet, timeNs: packet.timeNs + this.#startNs };
      found.push(placed);
      this.#hear(placed, found);
    }
    this.#tell(this.end, found);
    return found;
  }

  #hear(packet: OpusPacket, found: Packet[]): void {
    const place = nsToSamples(packet.timeNs) - this.#head.preSkip;
    const mute = nsToSamples(packet.discardPaddingNs ?? 0);
    const start = place + Math.max(0, -mute);
    const end = place + nsToSamples(packet.durationNs ?? 0) - Math.max(0, mute);
    if (end <= start) return;
    this.#change(packet.gain / 256, start, found);
    this.end = Math.max(this.end, end);
  }

  #change(gainDb: number, at: number, found: Packet[]): void {
    if (gainDb === this.#gainDb) return;
    this.#tell(at, found);
    this.#gainDb = gainDb;
    const isChained = !this.#hasLevels && gainDb !== this.#head.outputGain / 256;
    if (!isChained && gainDb <= LEVEL_SCALE_DB) return;
    throw new Failure(
      'unsupported-media',
      `The Ogg file has Opus of ${String(this.#head.channels)} channels with a gain of ${gainDb.toFixed(1)} dB, which cannot be applied.`,
    );
  }

  #tell(until: number, found: Packet[]): void {
    const samples = until - this.#told;
    if (samples <= 0 || !this.#hasLevels) return;
    const span = { start: this.#told, samples, gainDb: this.#gainDb };
    found.push(...levelPackets(span, { track: 1, channels: this.#head.channels }));
    this.#told = until;
  }
}

/** An Ogg Opus file, as it streams in → Opus packets with their true times (RFC 7845). */
import { Failure } from '../../failure.ts';
import { openBatches, type Parser } from '../batches.ts';
import { damagedOgg, type OggPage, OggParser } from './ogg.ts';
import {
  isSameShape,
  OPUS_RATE,
  type OpusHead,
  opusHeadBytes,
  packetSamples,
  parseOpusHead,
  samplesToNs,
  SEEK_PRE_ROLL_NS,
} from '../opus.ts';
import type { AudioTrack, FileStream, Packet } from '../packet.ts';

/**
 * A granule position that is less than the shortest frame (2.5 ms) away from where the packets end is a rounded one, not a gap:
 * programs that copy from containers with millisecond times write such.
 */
const MIN_GAP = 120;

/** What no recording is silent for: a day. */
const MAX_GAP = 24 * 3600 * OPUS_RATE;

export interface OggOpus extends FileStream {
  /** Of the first logical stream; chained ones have the same but for their pre-skip. */
  readonly head: OpusHead;
  /**
   * Samples the stream had already been running when its first packet was recorded: two channels of a call may begin at
   * different ones. Times of packets begin at zero nevertheless.
   */
  readonly startSamples: number;
  /**
   * After `packets` ended: whether the last page of every logical stream was marked as the last. A file without the mark may
   * have been cut between two pages, which only its duration can show; and its end is not trimmed.
   */
  readonly hasEndMark: boolean;
}

/**
 * Reads up to the first sound. `packets` has to be read or left (`return`), which closes `bytes`.
 * Packets that are trimmed off entirely are not handed out; a gap in granule positions is a gap in times.
 * @throws Failure `unsupported-media` for what an encoder would have to be asked for (another codec, chained streams of another
 * shape, sound that overlaps); `unreadable-media` for damage and `incomplete` for an early end, both with the byte offset.
 * `packets` throws the same.
 */
export async function readOggOpus(bytes: AsyncIterable<Buffer>): Promise<OggOpus> {
  const parser = new OggOpusParser();
  const packets = await openBatches(bytes, parser, () => parser.isTimed);
  const { head } = parser;
  return {
    head,
    tracks: [opusTrack(head)],
    durationMs: undefined,
    statedMs: undefined,
    startSamples: parser.startSamples,
    packets,
    get hasEndMark() {
      return parser.hasEndMark;
    },
  };
}

/** The Matroska track of an Opus stream (https://wiki.xiph.org/MatroskaOpus). */
export function opusTrack(head: OpusHead): AudioTrack {
  return {
    kind: 'audio',
    codecId: 'A_OPUS',
    codecPrivate: opusHeadBytes(head),
    channels: head.channels,
    sampleRate: OPUS_RATE,
    codecDelayNs: samplesToNs(head.preSkip),
    seekPreRollNs: SEEK_PRE_ROLL_NS,
  };
}

class OggOpusParser implements Parser<Packet> {
  startSamples = 0;
  /** Whether the first packet has its time. */
  isTimed = false;
  readonly #ogg = new OggParser();
  #head: OpusHead | undefined;
  #expects: 'head' | 'tags' | 'sound' = 'head';
  /** The sample on the time line that granule position 0 of this logical stream stands for; unknown before its first page of sound. */
  #origin: number | undefined;
  /** Where the next packet begins, in samples. */
  #next = 0;
  /** Where the last packet began, kept or not: times never run backwards. */
  #latest = 0;
  /** Samples of a chained stream that are not to be heard and still to come. */
  #preSkip = 0;
  /** The last packet is held back: an empty last page may still trim it. */
  #held: Packet | undefined;
  #heldSamples = 0;

  get hasEndMark(): boolean {
    return this.#ogg.hasEndMark;
  }

  /** @throws Failure `incomplete` where none was read. */
  get head(): OpusHead {
    if (this.#head === undefined) throw new Failure('incomplete', 'The Ogg stream ends before its header.');
    return this.#head;
  }

  push(chunk: Buffer): readonly Packet[] {
    const found: Packet[] = [];
    for (const page of this.#ogg.push(chunk)) this.#page(page, found);
    return found;
  }

  end(): readonly Packet[] {
    const found: Packet[] = [];
    for (const page of this.#ogg.end()) this.#page(page, found);
    if (this.#expects !== 'sound') throw new Failure('incomplete', 'The Ogg stream ends within its headers.');
    if (this.#held !== undefined) found.push(this.#held);
    return found;
  }

  #page(page: OggPage, found: Packet[]): void {
    if (page.isFirst) this.#expects = 'head';
    else if (this.#ogg.mediaStreams > 1) throw unfit('holds several streams side by side');
    if (this.#expects === 'sound') this.#sound(page, found);
    else this.#header(page);
  }

  /** Both headers have pages of their own (RFC 7845 §3). */
  #header(page: OggPage): void {
    const [packet, ...more] = page.packets;
    if (packet === undefined && this.#expects === 'tags') return;
    if (packet === undefined || more.length > 0) throw damagedOgg(page.offset, 'a header shares its page');
    if (this.#expects === 'tags') {
      if (packet.toString('latin1', 0, 8) !== 'OpusTags')
        throw damagedOgg(page.offset, 'the comment header is missing');
      this.#expects = 'sound';
      return;
    }
    this.#expects = 'tags';
    this.#takeHead(packet);
    this.#origin = undefined;
  }

  #takeHead(packet: Buffer): void {
    const head = parseOpusHead(packet);
    if (head === undefined) throw unfit('holds something other than Opus');
    if (this.#head !== undefined && !isSameShape(head, this.#head)) {
      throw unfit('chains streams of different channels, mapping or gain');
    }
    // A chained stream continues where the one before was heard to end: its pre-skip overlaps that end.
    if (this.#head !== undefined) this.#preSkip = head.preSkip;
    this.#next -= this.#preSkip;
    this.#head ??= head;
  }

  /**
   * Within a stream a page ends where its packets do (RFC 7845 §4). Programs that copy trimmed recordings one behind the other
   * (ffmpeg: -stream_loop, concat) write less: which samples are meant to go is stated nowhere, only that all are there.
   */
  #sound(page: OggPage, found: Packet[]): void {
    const packets = page.packets.filter(({ length }) => length > 0);
    const durations = packets.map((packet) => samplesOf(packet, page.offset));
    const total = durations.reduce((sum, samples) => sum + samples, 0);
    if (packets.length === 0 && !(page.isLast && page.granule >= 0)) return;
    if (page.granule < 0) throw damagedOgg(page.offset, 'a page of sound has no granule position');
    this.#start(page, total);
    const early = this.#next + total - ((this.#origin ?? 0) + page.granule);
    if (!page.isLast && early >= total) throw damagedOgg(page.offset, 'the granule position runs backwards');
    if (!page.isLast && early >= MIN_GAP) throw unfit(`holds sound that overlaps at byte ${page.offset}`);
    if (-early > MAX_GAP) throw damagedOgg(page.offset, 'the granule position jumps by more than a day');
    if (-early >= MIN_GAP) this.#next -= early;
    this.#lay({ ...page, packets }, { durations, heard: total - (page.isLast ? Math.max(0, early) : 0) }, found);
  }

  /** The first page of sound tells where the time line begins; what begins before zero has to be rejected (RFC 7845 §4.5). */
  #start(page: OggPage, total: number): void {
    if (this.#origin !== undefined) return;
    const start = page.granule - total;
    if (start < 0 && !page.isLast) throw damagedOgg(page.offset, 'the first granule position is too small');
    this.#origin = this.#next - Math.max(0, start);
    if (!this.isTimed) this.startSamples = Math.max(0, start);
    this.isTimed = true;
  }

  /** Lays the packets of a page on the time line, as far as they are heard: the last page may end early (§4.4). */
  #lay(page: OggPage, { durations, heard }: Laying, found: Packet[]): void {
    if (heard < 0) this.#trimHeld(-heard, page.offset);
    let left = heard;
    let index = 0;
    for (const data of page.packets) {
      if (left <= 0) break;
      const samples = durations[index] ?? 0;
      if (this.#held !== undefined) found.push(this.#held);
      this.#hold(data, samples, Math.max(0, samples - left));
      left -= samples;
      index += 1;
    }
    this.#next += Math.min(0, left);
  }

  /** `trim` samples at its end must not be heard. */
  #hold(data: Buffer, samples: number, trim: number): void {
    // Only whole packets can be kept from being heard at the beginning of a link, by trimming all of them.
    const mute = this.#preSkip >= samples ? samples : trim;
    this.#preSkip = this.#preSkip >= samples ? this.#preSkip - samples : 0;
    this.#latest = Math.max(this.#next, this.#latest);
    this.#held = {
      track: 0,
      timeNs: samplesToNs(this.#latest),
      data,
      keyframe: true,
      durationNs: samplesToNs(samples),
      discardPaddingNs: mute === 0 ? undefined : samplesToNs(mute),
    };
    this.#heldSamples = samples;
    this.#next += samples;
  }

  #trimHeld(samples: number, offset: number): void {
    if (this.#held === undefined || this.#heldSamples < samples)
      throw damagedOgg(offset, 'more is trimmed than there is');
    const discardPaddingNs = Math.max(samplesToNs(samples), this.#held.discardPaddingNs ?? 0);
    this.#held = this.#heldSamples === samples ? undefined : { ...this.#held, discardPaddingNs };
  }
}

/** Why an encoder has to be asked. */
function unfit(why: string): Failure {
  return new Failure('unsupported-media', `The Ogg file ${why}.`);
}

interface Laying {
  readonly durations: readonly number[];
  /** Samples of the page to be heard; negative where it takes some of the packet before away. */
  readonly heard: number;
}

function samplesOf(packet: Buffer, offset: number): number {
  const samples = packetSamples(packet);
  if (samples === undefined) throw damagedOgg(offset, 'the page holds an invalid Opus packet');
  return samples;
}

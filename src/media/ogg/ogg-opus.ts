/** An Ogg Opus file, as it streams in → Opus packets with their true times (RFC 7845). */
import { Failure } from '../../failure.ts';
import { openBatches, type Parser } from '../batches.ts';
import { damagedOgg, packetBuffer, type OggPage, OggParser } from './ogg.ts';
import {
  canDecode,
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

/** So much later than it was recorded sound may be heard: 20 ms. */
const MAX_LATE = OPUS_RATE / 50;

/** What no recording is silent for: a day. */
const MAX_GAP = 24 * 3600 * OPUS_RATE;

/**
 * Who gets the packets: a player knows one gain, and leaves out samples at the end of a packet or whole packets; an encoder of
 * ours leaves them out at either end (then `discardPaddingNs` is negative, RFC 9559 §5.1.3.5.7), and is told every gain.
 */
export type OpusReader = 'player' | 'encoder';

/** A packet, and the gain of the link that it came from, in 1/256 dB (RFC 7845 §5.1). */
export interface OpusPacket extends Packet {
  readonly gain: number;
}

export interface OggOpus extends FileStream {
  readonly packets: AsyncIterableIterator<readonly OpusPacket[]>;
  /** Of the first logical stream; chained ones have the same but for their pre-skip and, for an encoder, gain. */
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
 * shape or gain, sound that overlaps), or what not even an encoder gets right; `unreadable-media` for damage and `incomplete`
 * for an early end, both with the byte offset. `packets` throws the same.
 */
export async function readOggOpus(bytes: AsyncIterable<Buffer>, reader: OpusReader = 'player'): Promise<OggOpus> {
  const parser = new OggOpusParser(reader);
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

class OggOpusParser implements Parser<OpusPacket> {
  startSamples = 0;
  /** Whether the first packet has its time. */
  isTimed = false;
  readonly #reader: OpusReader;
  readonly #ogg = new OggParser();
  #head: OpusHead | undefined;
  /** Of the link that is being read. */
  #gain = 0;
  #expects: 'head' | 'tags' | 'sound' = 'head';
  /** The sample on the time line that granule position 0 of this logical stream stands for; unknown before its first page of sound. */
  #origin: number | undefined;
  /** Where the next packet begins, in samples. */
  #next = 0;
  /** Where the last packet began, kept or not: times never run backwards. */
  #latest = 0;
  /** Samples of a chained stream that are not to be heard and still to come. */
  #preSkip = 0;
  /** Samples of links' beginnings that a player could not be kept from hearing: what follows is late by them, up to the next gap. */
  #late = 0;
  /** The last packet is held back: an empty last page may still trim it. */
  #held: OpusPacket | undefined;
  #heldSamples = 0;

  constructor(reader: OpusReader) {
    this.#reader = reader;
  }

  get hasEndMark(): boolean {
    return this.#ogg.hasEndMark;
  }

  /** @throws Failure `incomplete` where none was read. */
  get head(): OpusHead {
    if (this.#head === undefined) throw new Failure('incomplete', 'The Ogg stream ends before its header.');
    return this.#head;
  }

  push(chunk: Buffer): readonly OpusPacket[] {
    const found: OpusPacket[] = [];
    for (const page of this.#ogg.push(chunk)) this.#page(page, found);
    return found;
  }

  end(): readonly OpusPacket[] {
    const found: OpusPacket[] = [];
    for (const page of this.#ogg.end()) this.#page(page, found);
    if (this.#expects !== 'sound') throw new Failure('incomplete', 'The Ogg stream ends within its headers.');
    if (this.#held !== undefined) found.push(this.#held);
    return found;
  }

  #page(page: OggPage, found: OpusPacket[]): void {
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
      if (packetBuffer(packet).toString('latin1', 0, 8) !== 'OpusTags')
        throw damagedOgg(page.offset, 'the comment header is missing');
      this.#expects = 'sound';
      return;
    }
    this.#expects = 'tags';
    this.#takeHead(packetBuffer(packet));
    this.#origin = undefined;
  }

  #takeHead(packet: Buffer): void {
    const head = parseOpusHead(packet);
    if (head === undefined) throw unfit('holds something other than Opus');
    if (this.#head !== undefined) this.#requireFollower(head, this.#head);
    // A chained stream continues where the one before was heard to end: its pre-skip overlaps that end.
    if (this.#head !== undefined) this.#preSkip = head.preSkip;
    this.#next -= this.#preSkip;
    this.#gain = head.outputGain;
    this.#head ??= head;
  }

  #requireFollower(head: OpusHead, first: OpusHead): void {
    if (this.#reader === 'player' && !isSameShape(head, first))
      throw unfit('chains streams of different channels, mapping or gain');
    if (!canDecode(first, head)) throw unfit('chains streams of different channels or mapping');
  }

  /**
   * Within a stream a page ends where its packets do (RFC 7845 §4). Programs that copy trimmed recordings one behind the other
   * (ffmpeg: -stream_loop, concat) write less: which samples are meant to go is stated nowhere, only that all are there.
   */
  #sound(page: OggPage, found: OpusPacket[]): void {
    const durations = page.packets.map((packet) => samplesOf(packet, page.offset));
    const total = durations.reduce((sum, samples) => sum + samples, 0);
    if (total === 0 && !(page.isLast && page.granule >= 0)) return;
    if (page.granule < 0) throw damagedOgg(page.offset, 'a page of sound has no granule position');
    this.#start(page, total);
    const early = this.#next + total - ((this.#origin ?? 0) + page.granule);
    if (!page.isLast && early >= total) throw damagedOgg(page.offset, 'the granule position runs backwards');
    const overlaps = !page.isLast && early >= MIN_GAP;
    if (overlaps && this.#reader === 'player') throw unfit(`holds sound that overlaps at byte ${page.offset}`);
    if (-early > MAX_GAP) throw damagedOgg(page.offset, 'the granule position jumps by more than a day');
    if (overlaps || -early >= MIN_GAP) this.#next -= early;
    if (-early >= MIN_GAP) this.#late = Math.max(0, this.#late + early);
    this.#lay(page, { durations, heard: total - (page.isLast ? Math.max(0, early) : 0) }, found);
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
  #lay(page: OggPage, { durations, heard }: Laying, found: OpusPacket[]): void {
    if (heard < 0) this.#trimHeld(-heard, page.offset);
    let left = heard;
    for (const [index, data] of page.packets.entries()) {
      if (left <= 0) break;
      const samples = durations[index] ?? 0;
      if (samples === 0) continue;
      if (this.#held !== undefined) found.push(this.#held);
      this.#hold(data, samples, Math.max(0, samples - left));
      left -= samples;
    }
    this.#next += Math.min(0, left);
  }

  /** `trim` samples at its end must not be heard. */
  #hold(data: Uint8Array, samples: number, trim: number): void {
    const mute = this.#muteOf(samples, trim);
    this.#latest = Math.max(this.#next, this.#latest);
    this.#held = {
      track: 0,
      timeNs: samplesToNs(this.#latest),
      data,
      keyframe: true,
      durationNs: samplesToNs(samples),
      discardPaddingNs: mute === 0 ? undefined : samplesToNs(mute),
      gain: this.#gain,
    };
    this.#heldSamples = samples;
    this.#next += samples;
  }

  /** Samples at its end that must not be heard; less than 0 for some at its beginning. */
  #muteOf(samples: number, trim: number): number {
    const early = Math.min(this.#preSkip, samples);
    this.#preSkip -= early;
    if (early === samples) return samples;
    if (this.#reader === 'encoder') return early > 0 ? -early : trim;
    // A player can only be kept from hearing whole packets there.
    this.#preSkip = 0;
    this.#late += early;
    if (this.#late > MAX_LATE) throw unfit('chains streams whose beginnings a player would hear');
    return trim;
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

/** 0 for an empty packet, which is none. */
function samplesOf(packet: Uint8Array, offset: number): number {
  const samples = packet.length === 0 ? 0 : packetSamples(packet);
  if (samples === undefined) throw damagedOgg(offset, 'the page holds an invalid Opus packet');
  return samples;
}

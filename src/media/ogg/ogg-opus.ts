/** An Ogg Opus file, as it streams in → Opus packets with their true times (RFC 7845). */
import { Failure } from '../../failure.ts';
import { eachBatch, openBatches, type Parser } from '../batches.ts';
import { damagedOgg, type LacedPackets, packetBuffer, type OggPage, OggParser, viewsOf } from './ogg.ts';
import {
  canDecode,
  isSameShape,
  OPUS_RATE,
  type OpusHead,
  opusHeadBytes,
  parseOpusHead,
  samplesByHead,
  samplesToNs,
  SEEK_PRE_ROLL_NS,
} from '../opus.ts';
import type { AudioTrack, FileStream } from '../packet.ts';
import { type OpusPacket, OpusRun, packetsOf } from './opus-run.ts';

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

export interface OggOpus extends FileStream {
  readonly packets: AsyncIterableIterator<readonly OpusPacket[]>;
  /** The same as they lie in their pages: either this is read or `packets`. */
  readonly runs: AsyncIterableIterator<readonly OpusRun[]>;
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
  const runs = await openBatches(bytes, parser, () => parser.isTimed);
  const { head } = parser;
  return {
    head,
    tracks: [opusTrack(head)],
    durationMs: undefined,
    statedMs: undefined,
    startSamples: parser.startSamples,
    packets: eachBatch(runs, packetsOf),
    runs,
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

class OggOpusParser implements Parser<OpusRun> {
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
  #held: OpusRun | undefined;

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

  push(chunk: Buffer): readonly OpusRun[] {
    const found: OpusRun[] = [];
    for (const page of this.#ogg.push(chunk)) this.#page(page, found);
    return found;
  }

  end(): readonly OpusRun[] {
    const found: OpusRun[] = [];
    for (const page of this.#ogg.end()) this.#page(page, found);
    if (this.#expects !== 'sound') throw new Failure('incomplete', 'The Ogg stream ends within its headers.');
    if (this.#held !== undefined) found.push(this.#held);
    return found;
  }

  #page(page: OggPage, found: OpusRun[]): void {
    if (page.isFirst) this.#expects = 'head';
    else if (this.#ogg.mediaStreams > 1) throw unfit('holds several streams side by side');
    if (this.#expects === 'sound') this.#sound(page, found);
    else this.#header(page);
  }

  /** Both headers have pages of their own (RFC 7845 §3). */
  #header(page: OggPage): void {
    const [packet, ...more] = viewsOf(page.packets);
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
  #sound(page: OggPage, found: OpusRun[]): void {
    const packets = withoutEmpty(page.packets);
    const durations = durationsOf(packets, page.offset);
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
    this.#lay(
      { packets, durations, offset: page.offset, heard: total - (page.isLast ? Math.max(0, early) : 0) },
      found,
    );
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
  #lay({ packets, durations, heard, offset }: Laying, found: OpusRun[]): void {
    if (heard < 0) this.#trimHeld(-heard, offset);
    const run = new OpusRun(packets, durations, this.#gain);
    let left = heard;
    for (let index = 0; index < durations.length && left > 0; index += 1) {
      const samples = durations[index] ?? 0;
      const mute = this.#muteOf(samples, Math.max(0, samples - left));
      this.#latest = Math.max(this.#next, this.#latest);
      run.place(this.#latest, mute);
      this.#next += samples;
      left -= samples;
    }
    this.#next += Math.min(0, left);
    this.#handOn(run, found);
  }

  #handOn(run: OpusRun, found: OpusRun[]): void {
    if (run.length === 0) return;
    if (this.#held !== undefined) found.push(this.#held);
    this.#held = run.takeLast();
    if (run.length > 0) found.push(run);
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
    const [held = 0] = this.#held?.samples ?? [];
    if (held < samples) throw damagedOgg(offset, 'more is trimmed than there is');
    if (held === samples) this.#held = undefined;
    else this.#held?.muteFirst(samples);
  }
}

/** Why an encoder has to be asked. */
function unfit(why: string): Failure {
  return new Failure('unsupported-media', `The Ogg file ${why}.`);
}

/** What a page of sound holds. */
interface Laying {
  readonly packets: LacedPackets;
  /** Samples of each packet. */
  readonly durations: readonly number[];
  /** Samples of the page to be heard; negative where it takes some of the packet before away. */
  readonly heard: number;
  /** Of the page. */
  readonly offset: number;
}

/** An empty packet is none. */
function withoutEmpty(packets: LacedPackets): LacedPackets {
  const { bytes, edges } = packets;
  const isEmpty = (start: number, index: number): boolean => start === edges[index + 1];
  return edges.some(isEmpty) ? { bytes, edges: edges.filter((edge, index) => !isEmpty(edge, index)) } : packets;
}

function durationsOf({ bytes, edges }: LacedPackets, offset: number): readonly number[] {
  const durations: number[] = [];
  for (let index = 0; index < edges.length - 1; index += 1) {
    const start = edges[index] ?? 0;
    const isOneByte = edges[index + 1] === start + 1;
    const samples = samplesByHead(bytes[start] ?? 0, isOneByte ? 0 : (bytes[start + 1] ?? 0));
    if (samples === undefined) throw damagedOgg(offset, 'the page holds an invalid Opus packet');
    durations.push(samples);
  }
  return durations;
}

/** An Ogg Speex file on its way to the encoder → Matroska of single frames, at their times and trimmed to the sample. */
import { Failure } from '../failure.ts';
import type { AudioTrack, Packet } from './packet.ts';
import type { Contents } from './source/contents.ts';
import { type Lengths, ofSound, type SourceFigures, UNKNOWN_LENGTHS } from './source/tally.ts';
import { WebmWriter } from './webm/writer.ts';
import { damagedOgg, type OggPage, OggParser, packetBuffer, viewsOf } from './ogg/ogg.ts';
import { framesOfSpeex, parseSpeexHead, type SpeexHead } from './ogg/speex.ts';

/**
 * What ffmpeg makes of several frames in a packet depends on its version: 5.1 takes a last packet with fewer for damage, libspeex
 * gives all but the first of each a wrong time. By the header 7.0 takes wide-band frames for twice as long. Single frames
 * without a header all of them decode alike.
 */
export class SpeexSource implements SourceFigures {
  /** Its beginning does not tell. */
  readonly declaredMs = undefined;
  readonly notes = [];
  contents: Contents | undefined;
  lengths: Lengths = UNKNOWN_LENGTHS;
  readonly #pages = new OggParser();
  #link: SpeexLink | undefined;
  #writer: WebmWriter | undefined;

  get lacksEndMark(): boolean {
    return !this.#pages.hasEndMark;
  }

  /**
   * All of the file, its chunks given up → Matroska.
   * @throws Failure `unreadable-media` for damage, `incomplete` for an early end, both with the byte offset; `unsupported-media`
   * for what one decoder cannot play
   */
  async *through(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    for await (const chunk of chunks) yield* this.#written(this.#pages.push(chunk));
    yield* this.#written(this.#pages.end());
    yield* this.#writer?.end() ?? [];
    this.lengths = ofSound(this.#link?.heardMs);
  }

  *#written(pages: readonly OggPage[]): Generator<Buffer, void, void> {
    for (const page of pages) {
      if (this.#pages.mediaStreams > 1) throw undecodable('holds several streams side by side');
      if (page.isFirst) this.#begin(page);
      const packets = this.#link?.packetsOf(page) ?? [];
      if (packets.length === 0 || this.#link === undefined) continue;
      if (this.#writer === undefined) {
        this.#writer = new WebmWriter([speexTrack(this.#link.head)]);
        this.contents = contentsOfSpeex(this.#link);
        yield this.#writer.liveHead;
      }
      yield* this.#writer.add(packets);
    }
  }

  #begin({ packets }: OggPage): void {
    const head = parseSpeexHead(packetBuffer(viewsOf(packets)[0] ?? NOTHING));
    if (head === undefined) throw undecodable('has a Speex header that is none');
    if (!isToldByRate(head)) throw undecodable(`has Speex at ${String(head.rate)} Hz, which its mode is not made for`);
    this.#link = new SpeexLink(head, this.#link);
  }
}

const NOTHING = new Uint8Array();

/** Without the header a decoder goes by the rate alone. */
const isToldByRate = ({ rate, mode }: SpeexHead): boolean => mode === 2 || rate === 8000 << mode;

function undecodable(what: string): Failure {
  return new Failure('unsupported-media', `The Ogg file ${what}: ask Genesys for another format.`);
}

function contentsOfSpeex({ head, startS }: SpeexLink): Contents {
  return {
    sounds: [{ stream: 0, codec: 'speex', channels: head.channels, isExact: false }],
    pictures: [],
    isTimed: true,
    startS,
  };
}

/** WAVEFORMATEX, as Matroska has codecs of WAV (RFC 9559 §27.1, A_MS/ACM), without the header. */
function speexTrack({ rate, channels }: SpeexHead): AudioTrack {
  const codecPrivate = Buffer.alloc(18);
  codecPrivate.writeUInt16LE(0xa109, 0);
  codecPrivate.writeUInt16LE(channels, 2);
  codecPrivate.writeUInt32LE(rate, 4);
  return {
    kind: 'audio',
    codecId: 'A_MS/ACM',
    codecPrivate,
    channels,
    sampleRate: rate,
    codecDelayNs: 0,
    seekPreRollNs: 0,
  };
}

/** One logical stream, or one of several that are chained: each goes on where the one before was heard to end. */
class SpeexLink {
  readonly head: SpeexHead;
  /** Pages of headers that are still to come. */
  #headers: number;
  /** On the time line, in samples: where the next frame begins, and where granule position 0 lies. */
  #next = 0;
  #shift: number | undefined;
  /** Where the first link begins. */
  #first: number | undefined;

  /** @throws Failure `unsupported-media` where a decoder of the link before cannot go on with it */
  constructor(head: SpeexHead, before: SpeexLink | undefined) {
    this.head = head;
    this.#headers = 2 + head.extraHeaders;
    if (before === undefined) return;
    const { rate, channels, mode } = before.head;
    if (rate !== head.rate || channels !== head.channels || mode !== head.mode)
      throw undecodable('chains streams of Speex that cannot be decoded as one');
    this.#next = before.#next;
    this.#first = before.#first;
  }

  /** Seconds on the stream's own clock at which it begins. */
  get startS(): number {
    return (this.#first ?? 0) / this.head.rate;
  }

  get heardMs(): number {
    return ((this.#next - (this.#first ?? 0)) / this.head.rate) * 1000;
  }

  packetsOf(page: OggPage): readonly Packet[] {
    const views = viewsOf(page.packets).filter(({ length }) => length > 0);
    const headers = Math.min(this.#headers, views.length);
    this.#headers -= headers;
    const frames = views.slice(headers).flatMap((packet) => this.#framesIn(packet, page));
    const end = this.#endOf(page, frames.length * this.head.frameSamples);
    return frames.flatMap((data) => this.#packet(data, end) ?? []);
  }

  #framesIn(packet: Uint8Array, { offset }: OggPage): readonly Buffer[] {
    const frames = framesOfSpeex(packet, this.head);
    if (frames === undefined) throw damagedOgg(offset, 'the page holds an invalid Speex packet');
    return frames;
  }

  /** Where the page is heard to end: the last one may end early, and in front of another there may be a hole. */
  #endOf({ granule, isLast, offset }: OggPage, samples: number): number {
    if (samples === 0 || granule < 0) return this.#next + samples;
    this.#shift ??= this.#begin(granule - samples);
    const late = granule + this.#shift - (this.#next + samples);
    if (!isLast && late <= -samples) throw damagedOgg(offset, 'the granule position runs backwards');
    if (late >= this.head.frameSamples) this.#next += late;
    return this.#next + samples + (isLast ? Math.min(0, late) : 0);
  }

  /** The first page counts less than it holds where that is the encoder's delay, more where the recording was captured midway. */
  #begin(position: number): number {
    this.#first ??= this.#next = Math.max(0, position);
    return this.#next - position;
  }

  /** Undefined where nothing of it is heard. */
  #packet(data: Buffer, end: number): Packet | undefined {
    const { frameSamples, rate } = this.head;
    const start = this.#next;
    if (start >= end) return undefined;
    const ns = (count: number): number => Math.round((count / rate) * 1e9);
    this.#next = Math.min(end, start + frameSamples);
    const trim = start + frameSamples - this.#next;
    return {
      track: 0,
      timeNs: ns(start),
      data,
      keyframe: true,
      durationNs: ns(frameSamples),
      discardPaddingNs: trim === 0 ? undefined : ns(trim),
    };
  }
}

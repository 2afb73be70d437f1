/** An Ogg file on its way to the encoder → its pages of sound and pictures, how long they play, and the proof that none is missing. */
import { Failure } from '../../failure.ts';
import { OPUS_RATE, packetSamples, parseOpusHead } from '../opus.ts';
import type { MediaKind } from '../sniff.ts';
import type { Contents, SoundContents } from '../source/contents.ts';
import { type Lengths, ofSound, type SourceFigures } from '../source/tally.ts';
import { packetBuffer, OggParser, type OggPage, viewsOf } from './ogg.ts';
import { parseVorbisHead, parseVorbisModes, VorbisClock, type VorbisHead } from './vorbis.ts';

const KINDS = ['ogg-opus', 'ogg-vorbis', 'ogg'] as const;
export type OggKind = (typeof KINDS)[number];

export const isOgg = (kind: MediaKind): kind is OggKind => KINDS.some((ogg) => ogg === kind);

/**
 * What a stream plays lies between its first granule position and its last (RFC 3533 §6): one that was captured midway does
 * not begin at 0. Links play one after the other, the streams of a link together. All pages are checked: ffmpeg passes over
 * damaged and lost ones, and the times of those behind hide that sound is missing.
 */
export class OggMeter implements SourceFigures {
  /** Its beginning does not tell. */
  readonly declaredMs = undefined;
  readonly notes: string[] = [];
  /** Of the first link, once each of its streams has begun. */
  contents: Contents | undefined;
  readonly #pages = new OggParser();
  readonly #isAlone: boolean;
  /** Of the link that passes, by serial number. */
  #spans = new Map<number, Span | undefined>();
  #isBeginning = false;
  /** What streams the first link has. */
  #streams: string | undefined;
  /** Of the links before; undefined where one did not tell. */
  #endedS: number | undefined = 0;

  /** Beside another file ffmpeg would play each link at its own times, one over the other. */
  constructor({ isAlone }: { readonly isAlone: boolean }) {
    this.#isAlone = isAlone;
  }

  /**
   * All of the file, its chunks given up → what there is to decode: no tags, no streams that describe others, no pages whose
   * packets are all empty (ffmpeg takes such a packet for damage).
   * @throws Failure `unreadable-media` for damage, `incomplete` for an early end, both with the byte offset
   */
  async *through(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    for await (const chunk of chunks) yield* this.push(chunk);
    yield* this.end();
  }

  push(chunk: Buffer): readonly Buffer[] {
    return this.#handOn(this.#pages.push(chunk));
  }

  end(): readonly Buffer[] {
    return this.#handOn(this.#pages.end());
  }

  /** In one piece, and in memory of its own. */
  #handOn(pages: readonly OggPage[]): readonly Buffer[] {
    for (const page of pages) this.#page(page);
    const decodable = pages.filter(({ packets: { edges } }) => edges.length === 1 || edges[0] !== edges.at(-1));
    return decodable.length === 0 ? [] : [Buffer.concat(decodable.map(({ bytes }) => bytes))];
  }

  #page(page: OggPage): void {
    if (page.isFirst) this.#begin(page);
    else {
      if (this.#isBeginning) this.#requireFollower();
      this.#spans.get(page.serial)?.add(page);
    }
    this.#isBeginning = page.isFirst;
    this.contents ??= this.#contents();
  }

  #contents(): Contents | undefined {
    const spans = [...this.#spans.values()].flatMap((span) => span ?? []);
    const starts = spans.flatMap(({ startS }) => startS ?? []);
    if (starts.length === 0 || starts.length < spans.length) return undefined;
    const sounds = spans.map(({ sound }, stream): SoundContents => ({ stream, ...sound }));
    return { sounds, pictures: [], isTimed: true, startS: Math.min(...starts) };
  }

  #begin({ serial, packets }: OggPage): void {
    if (!this.#isBeginning) {
      this.#endedS = this.#heardS();
      this.#spans = new Map();
    }
    const packet = packetBuffer(viewsOf(packets)[0] ?? NOTHING);
    const span = openSpan(packet);
    this.#spans.set(serial, span);
    if (span === undefined) this.#leaveOut(packet);
  }

  /** Of a codec that is not known here, or of pictures. */
  #leaveOut(firstPacket: Buffer): void {
    const [, name] = PICTURES.find(([start]) => firstPacket.toString('latin1', 0, start.length) === start) ?? [];
    const note = name === undefined ? 'a stream of another codec is left out' : `pictures left out: ${name}`;
    if (!this.notes.includes(note)) this.notes.push(note);
  }

  /** ffmpeg plays all links with decoder, rate and gain of the first, and further streams of theirs not at all. */
  #requireFollower(): void {
    const streams = [...this.#spans.values()].map((span) => span?.name ?? 'another codec').join(' beside ');
    const isFirst = this.#streams === undefined;
    this.#streams ??= streams;
    if (streams !== this.#streams)
      throw unchainable(`chains ${this.#streams} and ${streams}, which cannot be decoded as one`);
    if (!isFirst && !this.#isAlone)
      throw unchainable(`is one of two and chains streams of ${streams}, whose times cannot be told`);
  }

  /** To the end of the link that passes; undefined where no stream of it tells. */
  #heardS(): number | undefined {
    if (this.#spans.size === 0) return this.#endedS;
    const spans = [...this.#spans.values()].flatMap((span) => span?.seconds ?? []);
    return spans.length === 0 || this.#endedS === undefined ? undefined : this.#endedS + Math.max(...spans);
  }

  get lengths(): Lengths {
    const heardS = this.#heardS();
    return ofSound(heardS === undefined ? undefined : heardS * 1000);
  }

  get lacksEndMark(): boolean {
    return !this.#pages.hasEndMark;
  }
}

const NOTHING = Buffer.alloc(0);

/** First bytes of streams of pictures (wiki.xiph.org/MIMETypesCodecs). */
const PICTURES: readonly (readonly [string, string])[] = [
  ['\x80theora', 'Theora'],
  ['OVP80', 'VP8'],
  ['BBCD\0', 'Dirac'],
  ['\x80daala', 'Daala'],
];

function unchainable(what: string): Failure {
  return new Failure('unsupported-media', `The Ogg file ${what}: ask Genesys for another format.`);
}

/** What a codec makes of a stream: of every one a granule position is a number of samples. */
interface OggSound {
  readonly sound: Omit<SoundContents, 'stream'>;
  readonly rate: number;
  readonly preSkip: number;
  /** 1/256 dB. */
  readonly gain?: number;
  readonly samplesOf: (packet: Uint8Array) => number;
}

const READERS: readonly ((firstPacket: Buffer) => OggSound | undefined)[] = [
  opusSound,
  vorbisSound,
  speexSound,
  flacSound,
];

/** Undefined for a codec whose granule positions are not understood. */
function openSpan(firstPacket: Buffer): Span | undefined {
  for (const read of READERS) {
    const sound = read(firstPacket);
    if (sound !== undefined) return new Span(sound);
  }
  return undefined;
}

function opusSound(packet: Buffer): OggSound | undefined {
  const head = parseOpusHead(packet);
  if (head === undefined) return undefined;
  const sound = { codec: 'opus', channels: head.channels, isExact: false };
  const { preSkip, outputGain: gain } = head;
  return { sound, rate: OPUS_RATE, preSkip, gain, samplesOf: (each) => packetSamples(each) ?? 0 };
}

function vorbisSound(packet: Buffer): OggSound | undefined {
  const head = parseVorbisHead(packet);
  if (head === undefined) return undefined;
  const sound = { codec: 'vorbis', channels: packet[11], isExact: false };
  return { sound, rate: head.rate, preSkip: 0, samplesOf: vorbisSamples(head) };
}

/** speex.org, Speex codec manual, "Ogg file format": each packet holds as many frames of one size; the second header is none. */
function speexSound(packet: Buffer): OggSound | undefined {
  if (packet.length < 68 || packet.toString('latin1', 0, 8) !== 'Speex   ') return undefined;
  const [rate, channels] = [packet.readUInt32LE(36), packet.readUInt32LE(48)];
  const samples = packet.readUInt32LE(56) * Math.max(1, packet.readUInt32LE(64));
  if (rate === 0 || channels === 0 || channels > 2) return undefined;
  return { sound: { codec: 'speex', channels, isExact: false }, rate, preSkip: 0, samplesOf: () => samples };
}

/** RFC 9639 §10.1: STREAMINFO in the first packet; frames begin with 14 bits of which the first 13 are ones, and have one size but for the last. */
function flacSound(packet: Buffer): OggSound | undefined {
  if (packet.length < 51 || packet.toString('latin1', 0, 5) !== '\x7fFLAC') return undefined;
  const packed = packet.readUInt32BE(27);
  const [blockSamples, rate] = [packet.readUInt16BE(19), packed >>> 12];
  if (rate === 0) return undefined;
  const sound = { codec: 'flac', channels: ((packed >>> 9) & 7) + 1, isExact: true };
  return { sound, rate, preSkip: 0, samplesOf: (each) => (each[0] === 0xff ? blockSamples : 0) };
}

/** SoundContents alone is counted: the packets that come before it are headers. */
function vorbisSamples(head: VorbisHead): (packet: Uint8Array) => number {
  let clock: VorbisClock | undefined;
  return (packet) => {
    const modes = clock === undefined ? parseVorbisModes(packetBuffer(packet)) : undefined;
    if (modes !== undefined) clock = new VorbisClock(head, modes);
    return clock?.samplesOf(packet) ?? 0;
  };
}

/** What one stream plays, from its first sample to its last. */
class Span {
  readonly sound: OggSound['sound'];
  /** What a decoder has to be set up for. */
  readonly name: string;
  readonly #rate: number;
  readonly #preSkip: number;
  readonly #samplesOf: (packet: Uint8Array) => number;
  #first: number | undefined;
  #last = 0;

  constructor({ sound, rate, preSkip, gain = 0, samplesOf }: OggSound) {
    this.sound = sound;
    const level = gain === 0 ? '' : ` at ${(gain / 256).toFixed(1)} dB`;
    this.name = `${sound.codec ?? ''} of ${String(sound.channels)} × ${String(rate)} Hz${level}`;
    this.#rate = rate;
    this.#preSkip = preSkip;
    this.#samplesOf = samplesOf;
  }

  /** On the stream's own clock, once it has begun. */
  get startS(): number | undefined {
    return this.#first === undefined ? undefined : this.#first / this.#rate;
  }

  get seconds(): number {
    return Math.max(0, this.#last - (this.#first ?? 0) - this.#preSkip) / this.#rate;
  }

  /** A first page that says less than its packets hold has its beginning cut off: it begins at 0. */
  add({ granule, packets }: OggPage): void {
    if (this.#first === undefined) {
      let samples = 0;
      for (const packet of viewsOf(packets)) samples += this.#samplesOf(packet);
      if (granule <= 0 || samples === 0) return;
      this.#first = Math.max(0, granule - samples);
    }
    this.#last = Math.max(this.#last, granule);
  }
}

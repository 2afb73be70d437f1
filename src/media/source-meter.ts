/** Turns the bytes of a source, as they pass, into how long it plays: what the encoder makes of it has to agree. */
import { Failure } from '../failure.ts';
import { ID3_HEADER_BYTES, id3Bytes } from './id3.ts';
import { MPEG_HEADER_BYTES, type MpegFrame, parseMpegHeader } from './mpeg-frame.ts';
import type { OggKind } from './ogg/meter.ts';
import type { MediaKind } from './sniff.ts';

/** What is known of a source that passed. */
export interface SourceLength {
  /** Milliseconds as the header announces them, once it has passed; undefined where it does not. */
  declaredMs(): number | undefined;
  /**
   * Milliseconds of what came, after the last push; undefined where the format does not tell without decoding.
   * @throws Failure `incomplete` where the file itself says that more should have come
   */
  durationOf(): number | undefined;
  /** Whether it may have been cut where it ends, after the last push: only Ogg marks its end, and this one does not. */
  lacksEndMark(): boolean;
}

export interface SourceMeter extends SourceLength {
  /**
   * In order, each byte once. Keeps no reference to the chunk.
   * @throws Failure `unreadable-media` where ffmpeg would pass over damage without a word
   */
  push(chunk: Buffer): void;
}

/** Media whose bytes are judged by their decoder; pages of Ogg are by their own meter (ogg/meter.ts). */
export type MeteredKind = Exclude<MediaKind, OggKind>;

/** A meter for media of this kind. It judges no bytes: what it cannot follow it leaves to the decoder. */
export function createSourceMeter(kind: MeteredKind): SourceMeter {
  const tally: Tally = { declaredMs: undefined, settle: () => undefined };
  const driver = new Driver(WALKS[kind](tally));
  return {
    push: (chunk) => driver.push(chunk),
    declaredMs: () => tally.declaredMs,
    durationOf: () => tally.settle(driver),
    lacksEndMark: () => false,
  };
}

interface Tally {
  declaredMs: number | undefined;
  settle: (end: End) => number | undefined;
}

/** How far the bytes came. */
interface End {
  readonly position: number;
  /** Bytes wanted by a step that was begun and not finished. */
  readonly missing: number;
}

/** What a walk wants next: so many bytes to look at, or to pass over unseen. */
type Want = { readonly take: number } | { readonly skip: number };
type Walk = Generator<Want, void, Buffer>;

const NOTHING: Buffer = Buffer.alloc(0);

/** Feeds a walk over chunk boundaries with copies of what it looks at: it may look again when the chunk is gone. */
class Driver implements End {
  position = 0;
  readonly #walk: Walk;
  #want: Want | undefined;
  #held: Buffer = NOTHING;
  #skip = 0;

  constructor(walk: Walk) {
    this.#walk = walk;
    this.#step(walk.next());
  }

  get missing(): number {
    if (this.#skip > 0) return this.#skip;
    return this.#want !== undefined && 'take' in this.#want && this.#held.length > 0
      ? this.#want.take - this.#held.length
      : 0;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && this.#want !== undefined) {
      at += 'skip' in this.#want ? this.#pass(chunk.length - at) : this.#take(this.#want.take, chunk.subarray(at));
    }
    this.position += chunk.length;
  }

  #pass(available: number): number {
    const passed = Math.min(this.#skip, available);
    this.#skip -= passed;
    if (this.#skip === 0) this.#step(this.#walk.next(NOTHING));
    return passed;
  }

  #take(size: number, rest: Buffer): number {
    const lacking = size - this.#held.length;
    if (rest.length < lacking) {
      this.#held = Buffer.concat([this.#held, rest]);
      return rest.length;
    }
    const bytes = Buffer.allocUnsafe(size);
    rest.copy(bytes, this.#held.copy(bytes), 0, lacking);
    this.#held = NOTHING;
    this.#step(this.#walk.next(bytes));
    return lacking;
  }

  /** A walk that skips nothing goes on at once; one that returned wants no more. */
  #step(next: IteratorResult<Want, void>): void {
    let step = next;
    while (step.done !== true && 'skip' in step.value && step.value.skip <= 0) step = this.#walk.next(NOTHING);
    this.#want = step.done === true ? undefined : step.value;
    this.#skip = this.#want !== undefined && 'skip' in this.#want ? this.#want.skip : 0;
  }
}

const WALKS: Readonly<Record<MeteredKind, (tally: Tally) => Walk>> = {
  wav: walkWav,
  mp3: walkMpeg,
  'aac-adts': walkMpeg,
  flac: walkFlac,
  mp4: walkMp4,
  // Read by its own reader, which counts packets.
  webm: function* nothing(): Walk {},
};

function incomplete(what: string, end: End): Failure {
  return new Failure('incomplete', `The media ends at byte ${String(end.position)}, ${what}.`);
}

const isPcmLike = (tag: number): boolean => [1, 3, 6, 7].includes(tag);

/** ADPCM of Microsoft and IMA, GSM 6.10: their header says how many samples a block holds. */
const isInBlocks = (tag: number): boolean => [0x02, 0x11, 0x31].includes(tag);

/** Bytes of sound to milliseconds: by sample frames or blocks where all have one size, else by the average rate, which some get wrong. */
function wavScale(format: Buffer): ((sizeBytes: number) => number) | undefined {
  const label = format.readUInt16LE(0);
  const tag = label === 0xfffe && format.length >= 26 ? format.readUInt16LE(24) : label;
  const sampleRate = format.readUInt32LE(4);
  const bytesPerSecond = format.readUInt32LE(8);
  const frame = format.readUInt16LE(12);
  if (isPcmLike(tag) && frame > 0 && sampleRate > 0) return (size) => (Math.floor(size / frame) / sampleRate) * 1000;
  const blockSamples = isInBlocks(tag) && format.length >= 20 ? format.readUInt16LE(18) : 0;
  if (blockSamples > 0 && frame > 0 && sampleRate > 0) {
    return (size) => ((size / frame) * blockSamples * 1000) / sampleRate;
  }
  return bytesPerSecond > 0 ? (size) => (size / bytesPerSecond) * 1000 : undefined;
}

/** What writers to a pipe leave in place of a size they do not know yet: none, all ones, or 2 GiB less a header. */
const isPlaceholder = (size: number): boolean =>
  size === 0 || size >= 0xfffff000 || (size >= 0x7ffff000 && size <= 0x7fffffff);

/** RIFF WAVE, and RF64 (EBU Tech 3306), whose `ds64` holds the size of `data`. */
function* walkWav(tally: Tally): Walk {
  yield { take: 12 };
  let scale: ((sizeBytes: number) => number) | undefined;
  let largeSize: number | undefined;
  for (;;) {
    const head = yield { take: 8 };
    const name = head.toString('latin1', 0, 4);
    const size = head.readUInt32LE(4);
    if (name === 'data') {
      yield* walkWavData(tally, { size: largeSize ?? size, scale });
      return;
    }
    const kept = name === 'fmt ' || name === 'ds64' ? Math.min(size, 40) : 0;
    const content = kept >= 16 ? yield { take: kept } : undefined;
    if (content !== undefined && name === 'fmt ') scale = wavScale(content);
    if (content !== undefined && name === 'ds64') largeSize = Number(content.readBigUInt64LE(8));
    yield { skip: size - (content?.length ?? 0) + (size % 2) };
  }
}

interface WavData {
  readonly size: number;
  readonly scale: ((sizeBytes: number) => number) | undefined;
}

function* walkWavData(tally: Tally, { size, scale }: WavData): Walk {
  const streamed = isPlaceholder(size);
  if (!streamed) tally.declaredMs = scale?.(size);
  let whole = false;
  tally.settle = (end) => {
    if (!streamed && !whole) throw incomplete(`${String(end.missing)} bytes before its sound does`, end);
    return scale?.(streamed ? unknownSize - end.missing : size);
  };
  const unknownSize = Number.MAX_SAFE_INTEGER;
  yield { skip: streamed ? unknownSize : size };
  whole = true;
}

/** Garbage between frames that is searched for the next one; a longer stretch is the decoder's to judge. */
const MAX_RESYNC_BYTES = 65_536;

/** MPEG audio and ADTS: every frame says how many samples it plays. */
function* walkMpeg(tally: Tally): Walk {
  let playedS = 0;
  let frames = 0;
  let declaredFrames: number | undefined;
  tally.settle = (end) => {
    if (declaredFrames !== undefined && frames + 1 < declaredFrames) {
      throw incomplete(`${String(declaredFrames - frames)} of ${String(declaredFrames)} frames early`, end);
    }
    return frames === 0 ? undefined : playedS * 1000;
  };
  let head = yield* skipId3();
  for (;;) {
    const frame = yield* findFrame(head);
    if (frame === undefined) return giveUp(tally);
    const tag = frames === 0 && declaredFrames === undefined ? yield* readTag(frame) : undefined;
    if (tag === undefined) yield { skip: frame.sizeBytes - MPEG_HEADER_BYTES };
    declaredFrames ??= tag?.frames;
    if (tag?.isTag !== true) {
      frames += 1;
      playedS += frame.samples / frame.sampleRate;
    } else if (tag.frames !== undefined) tally.declaredMs = ((tag.frames * frame.samples) / frame.sampleRate) * 1000;
    head = yield { take: MPEG_HEADER_BYTES };
  }
}

function giveUp(tally: Tally): void {
  tally.settle = () => undefined;
}

/** Returns the bytes behind any ID3v2 tags, as many as a header needs. */
function* skipId3(): Generator<Want, Buffer, Buffer> {
  for (;;) {
    const head = yield { take: MPEG_HEADER_BYTES };
    if (head.toString('latin1', 0, 3) !== 'ID3') return head;
    const header = Buffer.concat([head, yield { take: ID3_HEADER_BYTES - MPEG_HEADER_BYTES }]);
    yield { skip: (id3Bytes(header) ?? 0) - header.length };
  }
}

function* findFrame(head: Buffer): Generator<Want, MpegFrame | undefined, Buffer> {
  let bytes = head;
  for (let searched = 0; searched < MAX_RESYNC_BYTES; searched += 1) {
    const frame = parseMpegHeader(bytes, 0);
    if (frame !== undefined) return frame;
    bytes = Buffer.concat([bytes.subarray(1), yield { take: 1 }]);
  }
  return undefined;
}

interface FirstFrame {
  /** The frame holds a tag and no sound. */
  readonly isTag: boolean;
  /** Frames of sound behind it, where the tag counts them. */
  readonly frames: number | undefined;
}

/** Looks into the first frame for a Xing or Info tag (its frame count is flag 1). */
function* readTag(frame: MpegFrame): Generator<Want, FirstFrame | undefined, Buffer> {
  const needed = frame.tagOffset + 12;
  if (frame.layer !== 'mp3' || frame.sizeBytes < needed) return undefined;
  const content = yield { take: frame.sizeBytes - MPEG_HEADER_BYTES };
  const tag = content.subarray(frame.tagOffset - MPEG_HEADER_BYTES);
  const isTag = /^(Xing|Info)$/.test(tag.toString('latin1', 0, 4));
  return { isTag, frames: isTag && (tag.readUInt32BE(4) & 1) === 1 ? tag.readUInt32BE(8) : undefined };
}

/** RFC 9639 §8.2: 20 bits of rate and, after 8 bits, 36 bits of samples; 0 where the writer did not know. */
function* walkFlac(tally: Tally): Walk {
  const info = yield { take: 26 };
  const sampleRate = info.readUInt32BE(18) >>> 12;
  const samples = ((info[21] ?? 0) & 15) * 2 ** 32 + info.readUInt32BE(22);
  if (sampleRate === 0 || samples === 0) return;
  const ms = (samples / sampleRate) * 1000;
  tally.declaredMs = ms;
  tally.settle = () => ms;
}

/** ISO/IEC 14496-12 §4.2 and §8.2.2: boxes of a size and a type; `mvhd` lies in `moov`, the rest is passed over. */
function* walkMp4(tally: Tally): Walk {
  tally.settle = (end) => {
    if (end.missing > 0) throw incomplete('in the middle of an MP4 box', end);
    return tally.declaredMs;
  };
  for (;;) {
    const head = yield { take: 8 };
    const type = head.toString('latin1', 4, 8);
    const short = head.readUInt32BE(0);
    // Size 0: the box reaches to the end of the file.
    if (short === 0) return;
    const size = short === 1 ? Number((yield { take: 8 }).readBigUInt64BE(0)) - 16 : short - 8;
    if (type === 'moov') continue;
    const content = type === 'mvhd' && size >= 20 ? yield { take: Math.min(size, 32) } : undefined;
    if (content !== undefined) tally.declaredMs = mvhdMs(content);
    yield { skip: size - (content?.length ?? 0) };
  }
}

/** A duration of 0 is a fragmented file, one of all ones is unknown. */
function mvhdMs(content: Buffer): number | undefined {
  const long = content[0] === 1;
  if (long && content.length < 32) return undefined;
  const timescale = content.readUInt32BE(long ? 20 : 12);
  const duration = long ? Number(content.readBigUInt64BE(24)) : content.readUInt32BE(16);
  const unknown = timescale === 0 || duration === 0 || duration >= (long ? 2 ** 63 : 0xffffffff);
  return unknown ? undefined : (duration / timescale) * 1000;
}

/** MPEG audio or AAC in ADTS on its way to the encoder → its frames alone, how long they play, and the proof that none is cut. */
import { Failure } from '../../failure.ts';
import { ID3_HEADER_BYTES, id3Bytes } from '../id3.ts';
import { oneSound } from './contents.ts';
import { foreignTail, isForeign } from './foreign.ts';
import { type MpegFrame, parseMpegHeader } from './mpeg-frame.ts';
import type { Sieve, Walk } from './sieve.ts';
import { incomplete, ofSound, type Tally, UNKNOWN_LENGTHS } from './tally.ts';

/** What is looked through for the next frame where none follows. */
const GAP_BYTES = 65_536;

/**
 * Every frame says how many samples it plays. Tags may stand in front, behind, and between files that were put behind each
 * other; anything else between two frames is damage, and in front of the first it is left out.
 */
export function* walkMpeg(tally: Tally, sieve: Sieve): Walk {
  const frames = new Frames(tally);
  for (;;) {
    const head = yield { look: ID3_HEADER_BYTES };
    if (head.length === 0) return;
    const tagBytes = yield* lookForTag(head);
    if (tagBytes > 0) {
      yield* dropTag(tagBytes);
      frames.restart();
      continue;
    }
    const frame = parseMpegHeader(head, 0);
    if (frames.any && isLastOfAll(head, frame)) return endWith(head, frames, sieve);
    if (frame !== undefined && (frames.goesOnWith(frame) || (yield* isConfirmed(frame)))) {
      yield* walkFrame(frame, frames, sieve);
    } else if (!(yield* walkGap(frames, sieve))) return;
  }
}

/** Whether the file ends here, and not with a frame. */
function isLastOfAll(head: Buffer, frame: MpegFrame | undefined): boolean {
  return head.length < ID3_HEADER_BYTES && (frame?.sizeBytes ?? Infinity) > head.length;
}

/** What begins as frames do is one that was cut. */
function endWith(rest: Buffer, frames: Frames, sieve: Sieve): void {
  if (rest[0] === SYNC) frames.breakOff();
  else requireTail(rest, frames, sieve);
}

/** The first byte of every frame. */
const SYNC = 0xff;

/** Bytes of the tag that begins here, 0 where none does: ID3v2, ID3v1, APEv2 (wiki.hydrogenaudio.org/APEv2). */
function* lookForTag(head: Buffer): Walk<number> {
  const id3v2 = id3Bytes(head);
  if (id3v2 !== undefined) return id3v2;
  const text = head.toString('latin1');
  if (text.startsWith('TAG')) return 128;
  if (!text.startsWith('APETAGEX')) return 0;
  const ape = yield { look: 32 };
  // The size counts the items and the footer, so that a tag with a header is longer by that.
  return ape.length < 32 ? 32 : 32 + ((ape.readUInt32LE(20) & 0x2000_0000) === 0 ? 0 : ape.readUInt32LE(12));
}

/** With zeros behind it: some pad more than the tag's size says. */
function* dropTag(tagBytes: number): Walk {
  // Of a tag that is cut nothing is missing.
  for (let left = tagBytes; left > 0;) {
    const part = yield { look: Math.min(left, GAP_BYTES) };
    if (part.length === 0) return;
    left -= part.length;
    yield { drop: part.length };
  }
  for (let [zero] = yield { look: 1 }; zero === 0; [zero] = yield { look: 1 }) yield { drop: 1 };
}

/** One header may be chance; behind a real frame stands another one, a tag, or nothing. */
function* isConfirmed(frame: MpegFrame): Walk<boolean> {
  const bytes = yield { look: frame.sizeBytes + ID3_HEADER_BYTES };
  const behind = bytes.subarray(frame.sizeBytes);
  return behind.length === 0 || isBeginning(behind, frame);
}

function isBeginning(bytes: Buffer, before: MpegFrame): boolean {
  const next = parseMpegHeader(bytes, 0);
  return next === undefined ? /^(ID3|TAG|APETAGEX)/.test(bytes.toString('latin1', 0, 8)) : isLike(next, before);
}

const isLike = (a: MpegFrame, b: MpegFrame): boolean => a.layer === b.layer && a.sampleRate === b.sampleRate;

function* walkFrame(frame: MpegFrame, frames: Frames, sieve: Sieve): Walk {
  const tag = frames.mayBeTag(frame) ? parseFrameTag(frame, yield { look: LAST_TAG_BYTE }) : undefined;
  frames.add(frame, tag, sieve.position);
  // The tag of the first file tells ffmpeg what to leave out at its beginning; others would be heard.
  yield frames.isTagToDrop(tag) ? { drop: frame.sizeBytes } : { keep: frame.sizeBytes };
  frames.end();
}

/** Where VBRI begins, and the end of its count of frames; those of Xing lie in front of that. */
const VBRI_OFFSET = 36;
const LAST_TAG_BYTE = VBRI_OFFSET + 18;

/** Xing or Info (its frame count is flag 1), or VBRI, which encoders of Fraunhofer write: a frame without sound. */
function parseFrameTag({ tagOffset }: MpegFrame, bytes: Buffer): FrameTag | undefined {
  if (bytes.length < LAST_TAG_BYTE) return undefined;
  if (bytes.toString('latin1', VBRI_OFFSET, VBRI_OFFSET + 4) === 'VBRI')
    return { frames: bytes.readUInt32BE(VBRI_OFFSET + 14) };
  if (!/^(Xing|Info)$/.test(bytes.toString('latin1', tagOffset, tagOffset + 4))) return undefined;
  return { frames: (bytes.readUInt32BE(tagOffset + 4) & 1) === 1 ? bytes.readUInt32BE(tagOffset + 8) : undefined };
}

interface FrameTag {
  /** Frames of sound behind it, where the tag counts them. */
  readonly frames: number | undefined;
}

/** Returns whether there is more. @throws Failure `unreadable-media` for bytes between frames, or behind them, that are none */
function* walkGap(frames: Frames, sieve: Sieve): Walk<boolean> {
  const bytes = yield { look: GAP_BYTES };
  const at = findRun(bytes);
  if (!frames.any) {
    // Junk in front of the first frame. Where there is none at all, the decoder judges.
    if (at === undefined) frames.giveUp();
    yield at === undefined ? { keep: Infinity } : { drop: at };
    return at !== undefined;
  }
  if (at !== undefined || bytes.length === GAP_BYTES) throw notFrames(sieve.position, frames.heardS);
  requireTail(bytes, frames, sieve);
  return false;
}

/** @throws Failure `unreadable-media` where the end of the file is neither tags nor text */
function requireTail(bytes: Buffer, frames: Frames, sieve: Sieve): void {
  if (!isForeign(bytes) && foreignTail(bytes) !== bytes.length) throw notFrames(sieve.position, frames.heardS);
}

function notFrames(position: number, atS: number): Failure {
  const text = `The media is damaged: at byte ${String(position)}, ${atS.toFixed(2)} s, there is neither a frame nor a tag nor text.`;
  return new Failure('unreadable-media', text);
}

/** What was counted so far. */
class Frames {
  heardS = 0;
  readonly #tally: Tally;
  #count = 0;
  /** By the tags of all files so far; undefined where none counts. */
  #declared: number | undefined;
  #before: MpegFrame | undefined;
  #isWithin = false;
  #tags = 0;
  #channels: number | undefined;

  constructor(tally: Tally) {
    this.#tally = tally;
    tally.settle = (end) => {
      if (this.#isWithin) throw incomplete('in the middle of a frame', end);
      const declared = this.#declared;
      if (declared !== undefined && this.#count + 1 < declared)
        throw incomplete(`${String(declared - this.#count)} of ${String(declared)} frames early`, end);
      return ofSound(this.#count === 0 ? undefined : this.heardS * 1000);
    };
  }

  get any(): boolean {
    return this.#count > 0 || this.#tags > 0;
  }

  /** Another file may begin. */
  restart(): void {
    this.#before = undefined;
  }

  goesOnWith(frame: MpegFrame): boolean {
    return this.#before !== undefined && isLike(frame, this.#before);
  }

  mayBeTag(frame: MpegFrame): boolean {
    return frame.layer === 'mp3' && frame.sizeBytes >= frame.tagOffset + 12;
  }

  isTagToDrop(tag: FrameTag | undefined): boolean {
    return tag !== undefined && (this.#tags > 1 || this.#count > 0);
  }

  add(frame: MpegFrame, tag: FrameTag | undefined, position: number): void {
    this.#requireSameChannels(frame, position);
    this.#tally.contents ??= oneSound({ codec: frame.layer, channels: frame.channels, isExact: false });
    this.#before = frame;
    this.#isWithin = true;
    const frameS = frame.samples / frame.sampleRate;
    if (tag === undefined) {
      this.#count += 1;
      this.heardS += frameS;
      return;
    }
    this.#tags += 1;
    if (tag.frames === undefined) return;
    if (this.#count === 0) this.#tally.declaredMs = tag.frames * frameS * 1000;
    this.#declared = this.#count + tag.frames;
  }

  end(): void {
    this.#isWithin = false;
  }

  /** The file ends within the header of a frame. */
  breakOff(): void {
    this.#isWithin = true;
  }

  /** ffmpeg's filters are set up once. */
  #requireSameChannels({ channels }: MpegFrame, position: number): void {
    const before = this.#channels;
    this.#channels = channels;
    if (before === undefined || before === channels) return;
    const text = `The sound changes from ${String(before)} to ${String(channels)} channels at byte ${String(position)}, ${this.heardS.toFixed(2)} s.`;
    throw new Failure('unsupported-media', text);
  }

  giveUp(): void {
    this.#tally.settle = () => UNKNOWN_LENGTHS;
  }
}

/** Where the first run of frames begins; undefined where none does. */
function findRun(bytes: Buffer): number | undefined {
  for (let at = bytes.indexOf(0xff); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const frame = parseMpegHeader(bytes, at);
    if (frame === undefined) continue;
    const behind = bytes.subarray(at + frame.sizeBytes);
    if (behind.length >= ID3_HEADER_BYTES && isBeginning(behind, frame)) return at;
  }
  return undefined;
}

/** WebM blocks → packets: times, flags, lacing (RFC 9559 §10). */
import { childrenOf, type Content, damagedWebm, ID, readSint, readUint, readVint } from './ebml.ts';
import { packetSamples, samplesToNs } from '../opus.ts';
import { Failure } from '../../failure.ts';
import type { Packet } from '../packet.ts';
import { SECOND_SOUND, type SourceTrack, type SourceTracks } from './head.ts';
import type { TimeLine } from './time-line.ts';

/** What blocks of one Cluster have in common. */
export interface BlockContext {
  /** Of the Cluster. */
  readonly ticks: number;
  readonly scaleNs: number;
  readonly tracks: SourceTracks;
  readonly line: TimeLine;
}

/** What a BlockGroup says beside its block. */
interface Beside {
  readonly keyframe: boolean;
  readonly durationNs: number | undefined;
  readonly discardPaddingNs: number | undefined;
}

const NOTHING: Omit<Beside, 'keyframe'> = { durationNs: undefined, discardPaddingNs: undefined };

/** @throws Failure `unreadable-media` */
export function simpleBlockPackets(block: Content, context: BlockContext, found: Packet[]): void {
  const source = sourceOf(block, context);
  if (source === undefined) return;
  const keyframe = source.track.kind === 'audio' || ((block.content[trackWidth(block.content) + 2] ?? 0) & 0x80) !== 0;
  blockPackets(block, { source, context, beside: { keyframe, ...NOTHING } }, found);
}

/** @throws Failure `unreadable-media` */
export function blockGroupPackets(group: Content, context: BlockContext, found: Packet[]): void {
  let block: Content | undefined;
  let references = false;
  let duration: number | undefined;
  let discardPaddingNs: number | undefined;
  for (const child of childrenOf(group)) {
    if (child.id === ID.Block) block = child;
    else if (child.id === ID.ReferenceBlock) references = true;
    else if (child.id === ID.BlockDuration) duration = readUint(child);
    else if (child.id === ID.DiscardPadding) discardPaddingNs = readSint(child);
  }
  if (block === undefined) throw damagedWebm(group.offset, 'a BlockGroup holds no block');
  const source = sourceOf(block, context);
  if (source === undefined) return;
  const isAudio = source.track.kind === 'audio';
  const durationNs = duration === undefined ? undefined : duration * context.scaleNs;
  const beside = {
    keyframe: isAudio || !references,
    durationNs,
    discardPaddingNs: isAudio ? discardPaddingNs : undefined,
  };
  blockPackets(block, { source, context, beside }, found);
}

/**
 * The track a block belongs to; undefined for one that is dropped.
 * @throws Failure `unreadable-media`, `unsupported-media` for sound of a second track
 */
function sourceOf({ content, offset }: Content, { tracks }: BlockContext): SourceTrack | undefined {
  const width = trackWidth(content);
  if (content.length < width + 3) throw damagedWebm(offset, 'a block is shorter than its own head');
  const number = readVint(content, 0, width, offset);
  if (number === undefined || !tracks.has(number)) throw damagedWebm(offset, 'a block belongs to no track');
  const source = tracks.get(number);
  if (source !== SECOND_SOUND) return source;
  throw new Failure('unsupported-media', 'The WebM holds two tracks of sound, of which a player would play one.');
}

/** Bytes of the track number; more than a block can have where the first byte is none. */
function trackWidth(content: Buffer): number {
  return Math.clz32(content[0] ?? 0) - 23;
}

interface BlockOrigin {
  readonly source: SourceTrack;
  readonly context: BlockContext;
  readonly beside: Beside;
}

function blockPackets(block: Content, origin: BlockOrigin, found: Packet[]): void {
  const { content, offset } = block;
  const at = trackWidth(content);
  const timeNs = (origin.context.ticks + content.readInt16BE(at)) * origin.context.scaleNs;
  if (timeNs > Number.MAX_SAFE_INTEGER) throw damagedWebm(offset, 'a time is out of range');
  const lacing = ((content[at + 2] ?? 0) >> 1) & 3;
  if (lacing === 0) {
    // An empty block is no frame: whether one is missing, the times tell.
    if (content.length > at + 3) found.push(packetOf({ content: content.subarray(at + 3), offset }, origin, timeNs));
    return;
  }
  lacedPackets(framesOf({ content: content.subarray(at + 3), offset: offset + at + 3 }, lacing), origin, {
    timeNs,
    found,
  });
}

/** Frames of one lace follow each other; where nothing tells how long each is, they share the time of the first. */
function lacedPackets(
  frames: readonly Content[],
  origin: BlockOrigin,
  { timeNs, found }: { readonly timeNs: number; readonly found: Packet[] },
): void {
  const { beside } = origin;
  const shared = beside.durationNs === undefined ? undefined : beside.durationNs / frames.length;
  let time = timeNs;
  for (const [index, frame] of frames.entries()) {
    const isLast = index === frames.length - 1;
    const each = { ...beside, durationNs: shared, discardPaddingNs: isLast ? beside.discardPaddingNs : undefined };
    const packet = packetOf(frame, { ...origin, beside: each }, time);
    found.push(packet);
    time += packet.durationNs ?? 0;
  }
}

function packetOf({ content, offset }: Content, { source, beside, context }: BlockOrigin, timeNs: number): Packet {
  const { keyframe, discardPaddingNs } = beside;
  const durationNs = source.isOpus ? opusDurationNs(content, offset) : (beside.durationNs ?? source.defaultDurationNs);
  return {
    track: source.index,
    timeNs: context.line.place(source.index, { timeNs, durationNs, discardPaddingNs }, offset),
    data: content,
    keyframe,
    durationNs,
    discardPaddingNs,
  };
}

function opusDurationNs(data: Buffer, offset: number): number {
  const samples = packetSamples(data);
  if (samples === undefined) throw damagedWebm(offset, 'a block holds no valid Opus packet');
  return samplesToNs(samples);
}

// ── lacing ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Cuts a lace into its frames: 1 Xiph, 2 of equal size, 3 EBML (RFC 9559 §10.3). */
function framesOf(lace: Content, lacing: number): Content[] {
  const { content, offset } = lace;
  const last = content[0];
  if (last === undefined) throw damagedWebm(offset, 'a lace is empty');
  const { sizes, start } =
    lacing === 1 ? xiphSizes(lace, last) : lacing === 3 ? ebmlSizes(lace, last) : equalSizes(lace, last);
  const rest = content.length - start - sizes.reduce((sum, size) => sum + size, 0);
  if (rest <= 0 || sizes.some((size) => size <= 0))
    throw damagedWebm(offset, 'a lace is longer than its block, or holds nothing');
  let at = start;
  return [...sizes, rest].map((size) => {
    const frame = { content: content.subarray(at, at + size), offset: offset + at };
    at += size;
    return frame;
  });
}

/** Sizes of all frames but the last, and where the first begins. */
interface Lace {
  readonly sizes: readonly number[];
  readonly start: number;
}

function xiphSizes({ content, offset }: Content, count: number): Lace {
  const sizes: number[] = [];
  let at = 1;
  let size = 0;
  while (sizes.length < count) {
    const byte = content[at];
    if (byte === undefined) throw damagedWebm(offset, 'a lace is cut short');
    at += 1;
    size += byte;
    if (byte === 255) continue;
    sizes.push(size);
    size = 0;
  }
  return { sizes, start: at };
}

function equalSizes({ content, offset }: Content, count: number): Lace {
  const size = (content.length - 1) / (count + 1);
  if (!Number.isInteger(size)) throw damagedWebm(offset, 'a lace does not divide into equal frames');
  return { sizes: Array.from({ length: count }, () => size), start: 1 };
}

/** The first size stands as it is, each further one as the difference from the one before. */
function ebmlSizes({ content, offset }: Content, count: number): Lace {
  const sizes: number[] = [];
  let at = 1;
  while (sizes.length < count) {
    const width = Math.clz32(content[at] ?? 0) - 23;
    const value = width > 8 || at + width > content.length ? undefined : readVint(content, at, width, offset);
    if (value === undefined) throw damagedWebm(offset + at, 'a lace states no size');
    sizes.push(sizes.length === 0 ? value : (sizes.at(-1) ?? 0) + value - (2 ** (7 * width - 1) - 1));
    at += width;
  }
  return { sizes, start: at };
}

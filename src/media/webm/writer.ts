/** Packets → WebM: whole Clusters while they come in, and at the end the head that makes them a seekable file. */
import { Failure } from '../../failure.ts';
import {
  element,
  floatElement,
  ID,
  idBytes,
  sintElement,
  sizeBytes,
  sizeWidth,
  textElement,
  uintElement,
  uintWidth,
  UNKNOWN_SIZE,
  writeSize,
} from './ebml.ts';
import { createInterleaver } from './interleave.ts';
import type { Packet, Track } from '../packet.ts';
import type { WebmResult } from './webm.ts';

const APP = 'genesys-recording-archiver';

/** WebM wants milliseconds (https://www.webmproject.org/docs/container/, TimestampScale). */
const NS_PER_TICK = 1_000_000;

/** Block times are signed 16-bit ticks relative to their Cluster (RFC 9559 §10.1). */
const MAX_RELATIVE = 32_767;

/** The first Cluster of a stream is short, so that a listener hears it at once; each further one doubles up to the longest. */
const FIRST_CLUSTER_MS = 200;
const LONGEST_CLUSTER_MS = 5_000;

/** Shortest distance of two Cues of a recording without video. */
const CUE_MS = 5_000;

/** A video Cluster begins at a keyframe, but not at each of a stream that has nothing else. */
const MIN_VIDEO_CLUSTER_MS = 500;

/** Cluster content is held in memory until the Cluster is closed; packets take more of it than their bytes. */
const MAX_CLUSTER_BYTES = 4 * 1024 * 1024;
const MAX_CLUSTER_PACKETS = 4096;

/** The longest step between two frames that the last frame of unknown duration is taken to last as well. */
const MAX_GUESSED_FRAME_NS = 1_000_000_000;

export interface WebmWriterOptions {
  /** Written into the live head, where it is known beforehand; the final head says what was counted. */
  readonly durationMs?: number | undefined;
}

interface Cue {
  readonly track: number;
  readonly timeMs: number;
  /** Offset of its Cluster behind the first one. */
  readonly position: number;
}

/** The Clusters of one WebM while they come about; what was counted on the way makes its head. */
export class WebmWriter {
  /** EBML header, Segment of unknown size, Info, Tracks: what a live stream begins with. */
  readonly liveHead: Buffer;
  readonly #tracks: readonly Track[];
  readonly #tracksElement: Buffer;
  readonly #interleaver;
  readonly #videoCues: Cue[] = [];
  readonly #audioCues: Cue[] = [];
  #sawVideo = false;
  readonly #lastTimeNs: number[];
  #packets = 0;
  #soundNs = 0;
  #picturesNs = 0;
  #sawSound = false;
  #writtenBytes = 0;
  #limitMs = FIRST_CLUSTER_MS;
  #startMs = 0;
  #blocks: Block[] = [];
  #blockBytes = 0;

  /** @throws Failure `unsupported-media` for no track, or more than one byte can number */
  constructor(tracks: readonly Track[], options: WebmWriterOptions = {}) {
    if (tracks.length === 0 || tracks.length > 126)
      throw new Failure('unsupported-media', `A WebM of ${String(tracks.length)} tracks cannot be written.`);
    this.#tracks = tracks;
    this.#tracksElement = tracksElement(tracks);
    this.#interleaver = createInterleaver(tracks.length);
    this.#lastTimeNs = tracks.map(() => 0);
    this.liveHead = Buffer.concat([
      EBML_HEADER,
      idBytes(ID.Segment),
      UNKNOWN_SIZE,
      infoElement(options.durationMs),
      this.#tracksElement,
    ]);
  }

  /** Presentation time of the end of what was placed so far: without codec delay and discarded samples. */
  get durationMs(): number {
    return Math.max(this.#soundNs, this.#picturesNs) / NS_PER_TICK;
  }

  /** The same of the sound alone; undefined where there is none. */
  get soundMs(): number | undefined {
    return this.#sawSound ? this.#soundNs / NS_PER_TICK : undefined;
  }

  /** The same of the pictures alone; undefined where there are none. */
  get picturesMs(): number | undefined {
    return this.#sawVideo ? this.#picturesNs / NS_PER_TICK : undefined;
  }

  /** Packets placed so far. */
  get packets(): number {
    return this.#packets;
  }

  /** Takes packets, times ascending per track; returns the Clusters that are finished by them, each of known size. */
  add(packets: readonly Packet[]): Buffer[] {
    const clusters: Buffer[] = [];
    for (const packet of this.#interleaver.add(packets)) this.#place(packet, clusters);
    return clusters;
  }

  /** Places what is still held back; returns the Clusters that are finished by it. Nothing may be added afterwards. */
  flush(): Buffer[] {
    const clusters: Buffer[] = [];
    for (const packet of this.#interleaver.end()) this.#place(packet, clusters);
    return clusters;
  }

  /**
   * The Clusters not handed out yet. The last picture is shown until `picturesUntilMs` where nothing comes behind it, so that
   * the file plays as long as it says.
   */
  end(picturesUntilMs?: number): Buffer[] {
    const clusters = this.flush();
    this.#holdLastPicture(picturesUntilMs);
    this.#close(clusters);
    return clusters;
  }

  /**
   * The head in front of all Clusters handed out: Segment of known size, SeekHead, Info, Tracks, Cues. Only after `end`.
   * @throws Failure `unreadable-media` where there was no packet at all, or of a video no keyframe.
   */
  result(): WebmResult {
    if (this.#packets === 0) throw new Failure('unreadable-media', 'The media holds no sound and no picture.');
    const { durationMs } = this;
    const audio = this.#tracks.filter((track) => track.kind === 'audio');
    const head = finalHead(infoElement(durationMs), this.#tracksElement, this.#cues, this.#writtenBytes);
    return {
      head,
      sizeBytes: head.length + this.#writtenBytes,
      durationMs,
      channels: audio[0]?.channels ?? 0,
      codecs: this.#tracks.map((track) => track.codecId),
      packets: this.#packets,
    };
  }

  #place(packet: Packet, clusters: Buffer[]): void {
    const timeMs = Math.round(packet.timeNs / NS_PER_TICK);
    if (this.#blocks.length > 0 && this.#beginsCluster(packet, timeMs)) this.#close(clusters);
    // A Cluster cannot begin before zero; a block in it can (a codec's pre-roll).
    if (this.#blocks.length === 0) this.#startMs = Math.max(0, timeMs);
    this.#index(packet, timeMs);
    this.#blocks.push(packet);
    this.#blockBytes += blockSize(packet);
    this.#packets += 1;
    this.#count(packet);
  }

  /** Its duration has to be written: no later picture tells it. Only in the Cluster that is open yet. */
  #holdLastPicture(untilMs = 0): void {
    const isPicture = ({ track }: Packet): boolean => this.#tracks[track]?.kind === 'video';
    const at = this.#blocks.findLastIndex(isPicture);
    const last = this.#blocks[at];
    if (last === undefined || last.discardPaddingNs !== undefined) return;
    const before = this.#blocks.findLast((block, index) => index < at && block.track === last.track);
    const endNs = Math.max(this.#picturesNs, untilMs * NS_PER_TICK);
    if (endNs <= last.timeNs) return;
    const held = { ...last, durationNs: endNs - last.timeNs, after: before?.timeNs ?? last.timeNs - NS_PER_TICK };
    this.#picturesNs = endNs;
    this.#blockBytes += blockSize(held) - blockSize(last);
    this.#blocks[at] = held;
  }

  #beginsCluster(packet: Packet, timeMs: number): boolean {
    const age = timeMs - this.#startMs;
    if (age >= this.#limitMs || age < -MAX_RELATIVE || this.#isFull) return true;
    return packet.keyframe && age >= MIN_VIDEO_CLUSTER_MS && this.#tracks[packet.track]?.kind === 'video';
  }

  get #isFull(): boolean {
    return this.#blockBytes >= MAX_CLUSTER_BYTES || this.#blocks.length >= MAX_CLUSTER_PACKETS;
  }

  /** One Cue for a Cluster at most: for its first keyframe, and for its first block where there turns out to be sound only. */
  #index(packet: Packet, blockMs: number): void {
    const isVideo = this.#tracks[packet.track]?.kind === 'video';
    if (isVideo ? !packet.keyframe : this.#blocks.length > 0) return;
    const cues = isVideo ? this.#videoCues : this.#audioCues;
    const last = cues.at(-1);
    const timeMs = Math.max(0, blockMs);
    if (last?.position === this.#writtenBytes) return;
    if (!isVideo && last !== undefined && timeMs - last.timeMs < CUE_MS) return;
    cues.push({ track: packet.track, timeMs, position: this.#writtenBytes });
  }

  get #cues(): readonly Cue[] {
    if (this.#videoCues.length > 0) return this.#videoCues;
    if (this.#audioCues.length > 0 && !this.#sawVideo) return this.#audioCues;
    throw new Failure('unreadable-media', 'The video has no keyframe: no picture of it can be decoded.');
  }

  #close(clusters: Buffer[]): void {
    if (this.#blocks.length === 0) return;
    const cluster = clusterBytes(this.#startMs, this.#blocks, this.#blockBytes);
    clusters.push(cluster);
    this.#writtenBytes += cluster.length;
    this.#limitMs = Math.min(this.#limitMs * 2, LONGEST_CLUSTER_MS);
    this.#blocks = [];
    this.#blockBytes = 0;
  }

  #count(packet: Packet): void {
    const track = this.#tracks[packet.track];
    const step = Math.max(0, packet.timeNs - (this.#lastTimeNs[packet.track] ?? 0));
    const durationNs = packet.durationNs ?? Math.min(step, MAX_GUESSED_FRAME_NS);
    const endNs = packet.timeNs + durationNs - Math.max(0, packet.discardPaddingNs ?? 0);
    this.#lastTimeNs[packet.track] = packet.timeNs;
    if (track?.kind === 'audio') {
      this.#sawSound = true;
      this.#soundNs = Math.max(this.#soundNs, endNs - track.codecDelayNs);
    } else {
      this.#sawVideo = true;
      this.#picturesNs = Math.max(this.#picturesNs, endNs);
    }
  }
}

// ── head ────────────────────────────────────────────────────────────────────────────────────────────────────────

const EBML_HEADER: Buffer = element(
  ID.EBML,
  uintElement(ID.EBMLVersion, 1),
  uintElement(ID.EBMLReadVersion, 1),
  uintElement(ID.EBMLMaxIDLength, 4),
  uintElement(ID.EBMLMaxSizeLength, 8),
  textElement(ID.DocType, 'webm'),
  // CodecDelay, SeekPreRoll and DiscardPadding came with version 4; SimpleBlock is needed to read it, from 2 (RFC 9559 §4.2).
  uintElement(ID.DocTypeVersion, 4),
  uintElement(ID.DocTypeReadVersion, 2),
);

function infoElement(durationMs: number | undefined): Buffer {
  const duration = durationMs === undefined ? [] : [floatElement(ID.Duration, durationMs)];
  return element(
    ID.Info,
    uintElement(ID.TimestampScale, NS_PER_TICK),
    ...duration,
    textElement(ID.MuxingApp, APP),
    textElement(ID.WritingApp, APP),
  );
}

function tracksElement(tracks: readonly Track[]): Buffer {
  return element(ID.Tracks, ...tracks.map(trackEntry));
}

function trackEntry(track: Track, index: number): Buffer {
  const codecPrivate = track.codecPrivate === undefined ? [] : [element(ID.CodecPrivate, track.codecPrivate)];
  return element(
    ID.TrackEntry,
    uintElement(ID.TrackNumber, index + 1),
    uintElement(ID.TrackUID, index + 1),
    uintElement(ID.TrackType, track.kind === 'video' ? 1 : 2),
    uintElement(ID.FlagLacing, 0),
    // Without it a reader has to assume English.
    textElement(ID.Language, 'und'),
    textElement(ID.CodecID, track.codecId),
    ...codecPrivate,
    ...(track.kind === 'audio'
      ? [
          uintElement(ID.CodecDelay, track.codecDelayNs),
          uintElement(ID.SeekPreRoll, track.seekPreRollNs),
          element(
            ID.Audio,
            floatElement(ID.SamplingFrequency, track.sampleRate),
            uintElement(ID.Channels, track.channels),
          ),
        ]
      : [
          element(
            ID.Video,
            uintElement(ID.PixelWidth, track.width),
            uintElement(ID.PixelHeight, track.height),
            track.extra ?? Buffer.alloc(0),
          ),
        ]),
  );
}

/** Bytes of every position in the SeekHead: fixed, so that its length does not depend on what it says. */
const SEEK_WIDTH = 4;

function finalHead(info: Buffer, tracks: Buffer, cues: readonly Cue[], clusterBytes: number): Buffer {
  const seekLength = seekHead(0, 0, 0).length;
  const front = seekLength + info.length + tracks.length;
  const cuesBytes = cuesElement(cues, front, clusterBytes);
  const seek = seekHead(seekLength, seekLength + info.length, front);
  const size = front + cuesBytes.length + clusterBytes;
  return Buffer.concat([EBML_HEADER, idBytes(ID.Segment), sizeBytes(size, 8), seek, info, tracks, cuesBytes]);
}

/** Positions count from the first byte inside the Segment (RFC 9559 §16). */
function seekHead(info: number, tracks: number, cues: number): Buffer {
  return element(ID.SeekHead, seek(ID.Info, info), seek(ID.Tracks, tracks), seek(ID.Cues, cues));
}

function seek(id: number, position: number): Buffer {
  return element(ID.Seek, element(ID.SeekID, idBytes(id)), uintElement(ID.SeekPosition, position, SEEK_WIDTH));
}

/**
 * The Cues stand in front of what they point at, so their own length shifts every position in them. Each position takes the
 * same number of bytes, the fewest that hold the largest: then the length follows from the count alone.
 */
function cuesElement(cues: readonly Cue[], front: number, clusterBytes: number): Buffer {
  for (let width = 1; ; width += 1) {
    const content = cues.reduce((sum, cue) => sum + cuePointSize(cue, width), 0);
    const length = 4 + sizeWidth(content) + content;
    if (uintWidth(front + length + clusterBytes) > width) continue;
    const points = Buffer.allocUnsafe(content);
    let at = 0;
    for (const cue of cues) at = writeCuePoint(points, at, { cue, width, position: front + length + cue.position });
    return element(ID.Cues, points);
  }
}

function cuePointSize(cue: Cue, width: number): number {
  return 2 + 2 + uintWidth(cue.timeMs) + 2 + 3 + 2 + width;
}

interface Pointer {
  readonly cue: Cue;
  readonly width: number;
  readonly position: number;
}

/** CuePoint { CueTime, CueTrackPositions { CueTrack, CueClusterPosition } }: all of them shorter than one size byte can say. */
function writeCuePoint(bytes: Buffer, offset: number, { cue, width, position }: Pointer): number {
  const timeWidth = uintWidth(cue.timeMs);
  bytes.set([ID.CuePoint, 0x80 | (cuePointSize(cue, width) - 2), ID.CueTime, 0x80 | timeWidth], offset);
  let at = bytes.writeUIntBE(cue.timeMs, offset + 4, timeWidth);
  bytes.set([ID.CueTrackPositions, 0x80 | (5 + width), ID.CueTrack, 0x81, cue.track + 1], at);
  bytes.set([ID.CueClusterPosition, 0x80 | width], at + 5);
  at = bytes.writeUIntBE(position, at + 7, width);
  return at;
}

// ── clusters ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Track number, relative time and flags in front of a block's data. */
const BLOCK_HEAD = 4;

interface Block extends Packet {
  /** Of a picture whose duration is written: when the one before begins, nanoseconds. */
  readonly after?: number;
}

/** A SimpleBlock can say neither how long a picture stays nor that samples at its end must not be heard. */
function needsGroup({ discardPaddingNs, after }: Block): boolean {
  return discardPaddingNs !== undefined || after !== undefined;
}

/** In memory of its own: it may be kept for long. */
function clusterBytes(startMs: number, blocks: readonly Block[], blockBytes: number): Buffer {
  const timestamp = uintElement(ID.Timestamp, startMs);
  const size = timestamp.length + blockBytes;
  const headLength = 4 + sizeWidth(size);
  const bytes = Buffer.allocUnsafeSlow(headLength + size);
  bytes.writeUInt32BE(ID.Cluster, 0);
  let at = writeSize(bytes, 4, size, sizeWidth(size));
  at += timestamp.copy(bytes, at);
  for (const packet of blocks) at = writePacket(bytes, at, packet, startMs);
  return bytes;
}

function blockSize(packet: Block): number {
  const size = BLOCK_HEAD + packet.data.length;
  const block = 1 + sizeWidth(size) + size;
  if (!needsGroup(packet)) return block;
  const group = block + groupTail(packet).length;
  return 1 + sizeWidth(group) + group;
}

function writePacket(bytes: Buffer, offset: number, packet: Block, startMs: number): number {
  if (!needsGroup(packet)) {
    return writeBlock(bytes, offset, { id: ID.SimpleBlock, packet, startMs });
  }
  const tail = groupTail(packet);
  const size = BLOCK_HEAD + packet.data.length;
  const group = 1 + sizeWidth(size) + size + tail.length;
  bytes[offset] = ID.BlockGroup;
  const inside = writeSize(bytes, offset + 1, group, sizeWidth(group));
  const at = writeBlock(bytes, inside, { id: ID.Block, packet, startMs });
  return at + tail.copy(bytes, at);
}

/** What a SimpleBlock cannot say (RFC 9559 §5.1.3.5): a picture without a reference would be taken for a keyframe. */
function groupTail({ timeNs, durationNs, keyframe, discardPaddingNs, after }: Block): Buffer {
  const ticks = (ns: number): number => Math.round(ns / NS_PER_TICK);
  const reference = Math.min(-1, ticks(after ?? timeNs) - ticks(timeNs));
  return Buffer.concat([
    ...(durationNs === undefined ? [] : [uintElement(ID.BlockDuration, ticks(durationNs))]),
    ...(keyframe ? [] : [sintElement(ID.ReferenceBlock, reference)]),
    ...(discardPaddingNs === undefined ? [] : [sintElement(ID.DiscardPadding, discardPaddingNs)]),
  ]);
}

interface Placed {
  readonly id: number;
  readonly packet: Packet;
  readonly startMs: number;
}

function writeBlock(bytes: Buffer, offset: number, { id, packet, startMs }: Placed): number {
  const { data } = packet;
  const size = BLOCK_HEAD + data.length;
  const relative = Math.round(packet.timeNs / NS_PER_TICK) - startMs;
  bytes[offset] = id;
  const at = writeSize(bytes, offset + 1, size, sizeWidth(size));
  bytes[at] = 0x81 + packet.track;
  bytes[at + 1] = (relative >> 8) & 0xff;
  bytes[at + 2] = relative & 0xff;
  bytes[at + 3] = id === ID.SimpleBlock && packet.keyframe ? 0x80 : 0;
  bytes.set(data, at + BLOCK_HEAD);
  return at + size;
}

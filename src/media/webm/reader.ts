/** Turns the bytes of a WebM or Matroska file, as they stream in, into its tracks and packets (RFC 9559). */
import { Failure } from '../../failure.ts';
import { Backlog } from '../backlog.ts';
import { openBatches, type Parser } from '../batches.ts';
import { type Content, damagedWebm, type ElementHead, ID, readHead, readUint } from './ebml.ts';
import type { FileStream, Packet, Track } from '../packet.ts';
import { type BlockContext, blockGroupPackets, simpleBlockPackets } from './block.ts';
import { parseDocument, parseInfo, parseTracks, type SourceTrack } from './head.ts';

/** Info and Tracks are small; what claims more is an attack or damage. */
const MAX_HEADER_BYTES = 1024 * 1024;

/** One frame, laced frames included. */
const MAX_BLOCK_BYTES = 32 * 1024 * 1024;

/** Elements that may stand between Clusters: where a Cluster has no size, one of them ends it. */
const SEGMENT_LEVEL: ReadonlySet<number> = new Set([
  ID.Cluster,
  ID.Cues,
  ID.Tags,
  ID.SeekHead,
  ID.Info,
  ID.Tracks,
  ID.Attachments,
  ID.Chapters,
]);

export interface WebmStream extends FileStream {
  /**
   * Known from the beginning: whether the Segment has a size; `packets` end only there, then. A file without sizes
   * (`MediaRecorder`, a pipe) ends between two elements wherever it was cut.
   */
  readonly hasEndMark: boolean;
}

/**
 * Reads up to the first Cluster. `packets` has to be read or left (`return`), which closes `bytes`.
 * @throws Failure `unsupported-media` naming what an encoder would have to be asked for; `unreadable-media` for damage and
 * `incomplete` for an early end, both with the byte offset. `packets` throws the same, `unsupported-media` only where times
 * run backwards or begin before zero.
 */
export async function readWebm(bytes: AsyncIterable<Buffer>): Promise<WebmStream> {
  const parser = new WebmParser();
  const packets = await openBatches(bytes, parser, () => parser.headIsRead);
  return {
    tracks: parser.tracks,
    durationMs: parser.durationMs,
    packets,
    hasEndMark: parser.hasEndMark,
  };
}

export type WebmProbe =
  | { readonly passes: true; readonly tracks: readonly Track[]; readonly durationMs: number | undefined }
  | { readonly passes: false; readonly why: string };

/**
 * Whether {@link readWebm} would take a file that begins with these bytes; undefined where its Tracks lie further behind.
 * @throws Failure `unreadable-media`
 */
export function probeWebm(beginning: Buffer): WebmProbe | undefined {
  const parser = new WebmParser();
  try {
    parser.push(beginning);
  } catch (error) {
    if (error instanceof Failure && error.code === 'unsupported-media') return { passes: false, why: error.message };
    if (!parser.hasTracks) throw error;
  }
  return parser.hasTracks ? { passes: true, tracks: parser.tracks, durationMs: parser.durationMs } : undefined;
}

/** Where the parser is: each level knows where it ends, undefined meaning that the file does not say. */
type Level = 'file' | 'segment' | 'cluster';

class WebmParser implements Parser<Packet> {
  durationMs: number | undefined;
  headIsRead = false;
  readonly #backlog = new Backlog();
  #level: Level = 'file';
  #segmentEnd: number | undefined;
  #clusterEnd: number | undefined;
  #sawDocument = false;
  #sawSegment = false;
  #tracks: ReadonlyMap<number, SourceTrack | undefined> | undefined;
  #sawInfo = false;
  #scaleNs = 1_000_000;
  #clusterTicks: number | undefined;
  readonly #latestNs: number[] = [];
  #skip = 0;
  #need = 1;

  get hasEndMark(): boolean {
    return this.#segmentEnd !== undefined;
  }

  get hasTracks(): boolean {
    return this.#tracks !== undefined;
  }

  get tracks(): readonly Track[] {
    return [...(this.#tracks?.values() ?? [])].flatMap((source) => (source === undefined ? [] : [source.track]));
  }

  push(chunk: Buffer): readonly Packet[] {
    const found: Packet[] = [];
    this.#backlog.add(chunk);
    if (this.#backlog.length < this.#need) return found;
    const bytes = this.#backlog.bytes();
    let at = 0;
    this.#need = 1;
    while (at < bytes.length) {
      const used = this.#step(bytes, at, found);
      if (used === 0) break;
      at += used;
    }
    this.#backlog.consume(at);
    for (const packet of found) this.#checkAscends(packet);
    return found;
  }

  #checkAscends({ track, timeNs }: Packet): void {
    if (timeNs < (this.#latestNs[track] ?? 0)) {
      throw new Failure('unsupported-media', 'The times of a track of the WebM run backwards, or begin before zero.');
    }
    this.#latestNs[track] = timeNs;
  }

  end(): readonly Packet[] {
    const { offset, length } = this.#backlog;
    this.#leaveAt(offset);
    const open = this.#level === 'cluster' ? (this.#clusterEnd ?? this.#segmentEnd) : this.#segmentEnd;
    const cut = length > 0 || this.#skip > 0 || (this.#level !== 'file' && open !== undefined);
    if (cut || !this.hasTracks) {
      throw new Failure('incomplete', `The WebM ends at byte ${offset + length}, in the middle of an element.`);
    }
    return [];
  }

  /** Handles what begins at `at`; returns the bytes used, 0 where more are needed first. */
  #step(bytes: Buffer, at: number, found: Packet[]): number {
    const base = this.#backlog.offset;
    if (this.#skip > 0) {
      const used = Math.min(this.#skip, bytes.length - at);
      this.#skip -= used;
      return used;
    }
    this.#leaveAt(base + at);
    const head = readHead(bytes, at, base);
    if (head === undefined) return this.#wait(bytes.length - at + 1);
    this.#leaveForSibling(head.id);
    this.#checkFits(head, base + at);
    const size = this.#sizeToHold(head, base + at);
    if (size === undefined) return this.#enterOrSkip(head, base + at);
    const whole = head.headLength + size;
    if (bytes.length - at < whole) return this.#wait(whole);
    const start = at + head.headLength;
    this.#take(head.id, { content: bytes.subarray(start, at + whole), offset: base + start }, found);
    return whole;
  }

  #wait(need: number): number {
    this.#need = need;
    return 0;
  }

  /** Leaves every level that ends here. */
  #leaveAt(offset: number): void {
    if (this.#level === 'cluster' && this.#clusterEnd === offset) this.#level = 'segment';
    if (this.#level === 'segment' && this.#segmentEnd === offset) this.#level = 'file';
  }

  #leaveForSibling(id: number): void {
    if (this.#level === 'cluster' && this.#clusterEnd === undefined && SEGMENT_LEVEL.has(id)) this.#level = 'segment';
  }

  #checkFits(head: ElementHead, offset: number): void {
    if (head.size === undefined) {
      if (head.id === ID.Segment || head.id === ID.Cluster) return;
      throw damagedWebm(offset, 'an element other than Segment and Cluster has no size');
    }
    const parentEnd =
      this.#level === 'file' ? undefined : this.#level === 'segment' ? this.#segmentEnd : this.#innermostEnd;
    if (parentEnd === undefined || offset + head.headLength + head.size <= parentEnd) return;
    throw damagedWebm(offset, 'an element reaches beyond its parent');
  }

  get #innermostEnd(): number | undefined {
    return this.#clusterEnd ?? this.#segmentEnd;
  }

  /** Content size of an element that is taken as a whole; undefined for one that is entered or skipped. */
  #sizeToHold({ id, size = 0 }: ElementHead, offset: number): number | undefined {
    const limit = this.#limitOf(id);
    if (limit === undefined) return undefined;
    if (size > limit) throw damagedWebm(offset, `an element of ${size} bytes is larger than any can be (${limit})`);
    return size;
  }

  #limitOf(id: number): number | undefined {
    if (this.#level === 'file') return id === ID.EBML ? MAX_HEADER_BYTES : undefined;
    if (this.#level === 'segment') {
      const wanted = (id === ID.Info && !this.#sawInfo) || (id === ID.Tracks && !this.hasTracks);
      return wanted ? MAX_HEADER_BYTES : undefined;
    }
    if (id === ID.SimpleBlock || id === ID.BlockGroup) return MAX_BLOCK_BYTES;
    return id === ID.Timestamp ? 8 : undefined;
  }

  #enterOrSkip(head: ElementHead, offset: number): number {
    const start = offset + head.headLength;
    const end = head.size === undefined ? undefined : start + head.size;
    if (this.#level === 'file' && head.id === ID.Segment) this.#enterSegment(offset, end);
    else if (this.#level === 'segment' && head.id === ID.Cluster) this.#enterCluster(offset, end);
    else this.#skipElement(head, offset);
    return head.headLength;
  }

  #enterSegment(offset: number, end: number | undefined): void {
    if (!this.#sawDocument || this.#sawSegment) throw damagedWebm(offset, 'a Segment stands where none belongs');
    this.#sawSegment = true;
    this.#segmentEnd = end;
    this.#level = 'segment';
  }

  #enterCluster(offset: number, end: number | undefined): void {
    if (!this.hasTracks) throw damagedWebm(offset, 'a Cluster comes before the Tracks');
    this.headIsRead = true;
    this.#clusterEnd = end;
    this.#clusterTicks = undefined;
    this.#level = 'cluster';
  }

  #skipElement({ id, size = 0 }: ElementHead, offset: number): void {
    const known = id === ID.Void || id === ID.CRC32;
    if (this.#level === 'file' && !known) throw damagedWebm(offset, 'something other than a WebM begins');
    if (this.#level === 'cluster' && SEGMENT_LEVEL.has(id))
      throw damagedWebm(offset, 'a Cluster holds what belongs outside');
    this.#skip = size;
  }

  #take(id: number, element: Content, found: Packet[]): void {
    if (id === ID.SimpleBlock) simpleBlockPackets(element, this.#context(element), found);
    else if (id === ID.BlockGroup) blockGroupPackets(element, this.#context(element), found);
    else if (id === ID.Timestamp) this.#clusterTicks = readUint(element);
    else if (id === ID.EBML) this.#takeDocument(element);
    else if (id === ID.Info) this.#takeInfo(element);
    else this.#tracks = parseTracks(element);
  }

  #takeDocument(element: Content): void {
    if (this.#sawDocument) throw damagedWebm(element.offset, 'a second document begins');
    parseDocument(element);
    this.#sawDocument = true;
  }

  #takeInfo(element: Content): void {
    const info = parseInfo(element);
    this.#sawInfo = true;
    this.#scaleNs = info.scaleNs;
    this.durationMs = info.durationMs;
  }

  #context({ offset }: Content): BlockContext {
    if (this.#clusterTicks === undefined || this.#tracks === undefined) {
      throw damagedWebm(offset, 'a block comes before the time of its Cluster');
    }
    return { ticks: this.#clusterTicks, scaleNs: this.#scaleNs, tracks: this.#tracks };
  }
}

/** The bytes of a WebM or Matroska file, as they stream in → its tracks and packets (RFC 9559). */
import { Failure } from '../../failure.ts';
import { KeptBytes } from '../kept-bytes.ts';
import { openBatches, type Parser } from '../batches.ts';
import type { FileStream, Packet, Track } from '../packet.ts';
import { isText, MediaTail } from '../tail.ts';
import { type BlockContext, blockGroupPackets, simpleBlockPackets } from './block.ts';
import { type Content, damagedWebm, type ElementHead, ID, idBytes, readHead, readUint, SEGMENT_LEVEL } from './ebml.ts';
import { alignTracks, keptTracks, parseDocument, parseInfo, parseTracks, type SourceTracks } from './head.ts';
import { TimeLine } from './time-line.ts';

/** Info and Tracks are small; what claims more is an attack or damage. */
const MAX_HEADER_BYTES = 1024 * 1024;

/** One frame, laced frames included. */
const MAX_BLOCK_BYTES = 32 * 1024 * 1024;

/** What may follow a whole document and has a meaning. */
const FILE_LEVEL: ReadonlySet<number> = new Set([ID.EBML, ID.Void, ID.CRC32]);

/**
 * Reads up to the first Cluster. `packets` has to be read or left (`return`), which closes `bytes`. Documents one behind the
 * other are one recording; text, tags and padding behind the last are passed over. The end is marked where every Segment has a
 * size: a file without sizes (`MediaRecorder`, a pipe) ends between two elements wherever it was cut.
 * @throws Failure `unsupported-media` naming what an encoder would have to be asked for; `unreadable-media` for damage, times
 * that run backwards and documents of other tracks, `incomplete` for an early end, both with the byte offset. `packets` throws
 * the last two.
 */
export async function readWebm(bytes: AsyncIterable<Buffer>): Promise<FileStream> {
  const parser = new WebmParser();
  const packets = await openBatches(bytes, parser, () => parser.headIsRead);
  return {
    tracks: parser.tracks,
    durationMs: parser.durationMs,
    packets,
    get hasEndMark() {
      return parser.isSized;
    },
    get statedMs() {
      return parser.statedMs;
    },
  };
}

/** Where the parser is: each level knows where it ends, undefined meaning that the file does not say. */
type Level = 'file' | 'segment' | 'cluster';

/** What is known of one document: an EBML header and its Segment. */
class WebmDocument {
  sawHeader = false;
  sawSegment = false;
  segmentEnd: number | undefined;
  tracks: SourceTracks | undefined;
  sawInfo = false;
  scaleNs = 1_000_000;
  durationMs: number | undefined;
}

class WebmParser implements Parser<Packet> {
  headIsRead = false;
  /** What the first document says of its length. */
  durationMs: number | undefined;
  /** Whether every Segment so far has a size. */
  isSized = true;
  readonly #backlog = new KeptBytes();
  readonly #line = new TimeLine();
  #level: Level = 'file';
  #document = new WebmDocument();
  #isFirst = true;
  /** Of the first document: the others go on with them. */
  #tracks: SourceTracks = new Map();
  #clusterEnd: number | undefined;
  /** Of the Cluster, once its time is known. */
  #context: BlockContext | undefined;
  #skip = 0;
  #need = 1;
  #tail: MediaTail | undefined;

  get tracks(): readonly Track[] {
    return keptTracks(this.#tracks).map(({ track }) => track);
  }

  /** What all of them say, after the end. */
  get statedMs(): number | undefined {
    return this.#line.statedMs;
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
    return found;
  }

  end(): readonly Packet[] {
    const { offset, length } = this.#backlog;
    this.#leaveAt(offset);
    const isTail = length > 0 && this.#isBehindDocument;
    if (isTail) this.#passTail(this.#backlog.bytes(), offset);
    const open = this.#level === 'cluster' ? this.#innermostEnd : this.#document.segmentEnd;
    const isCut = (length > 0 && !isTail) || this.#skip > 0 || (this.#level !== 'file' && open !== undefined);
    if (isCut || this.#document.tracks === undefined) {
      throw new Failure('incomplete', `The WebM ends at byte ${offset + length}, in the middle of an element.`);
    }
    this.#line.endDocument(this.#document.durationMs);
    return [];
  }

  /** Handles what begins at `at`; returns the bytes used, 0 where more are needed first. */
  #step(bytes: Buffer, at: number, found: Packet[]): number {
    const offset = this.#backlog.offset + at;
    if (this.#skip > 0) return this.#pass(bytes.length - at);
    this.#leaveAt(offset);
    if (this.#tail !== undefined || this.#isNoElement(bytes[at] ?? 0))
      return this.#passTail(bytes.subarray(at), offset);
    if (this.#isBehindDocument && bytes.length - at < 4) return this.#wait(4);
    if (this.#isBehindDocument && !beginsDocument(bytes, at)) return this.#passTail(bytes.subarray(at), offset);
    const head = readHead(bytes, at, this.#backlog.offset);
    if (head === undefined) return this.#wait(bytes.length - at + 1);
    this.#leaveForSibling(head.id, offset);
    this.#checkFits(head, offset);
    const size = this.#sizeToHold(head, offset);
    if (size === undefined) return this.#enterOrSkip(head, offset);
    const whole = head.headLength + size;
    if (bytes.length - at < whole) return this.#wait(whole);
    const start = at + head.headLength;
    this.#take(head.id, { content: bytes.subarray(start, at + whole), offset: offset + head.headLength }, found);
    return whole;
  }

  #wait(need: number): number {
    this.#need = need;
    return 0;
  }

  #pass(available: number): number {
    const used = Math.min(this.#skip, available);
    this.#skip -= used;
    return used;
  }

  get #isBehindDocument(): boolean {
    return this.#level === 'file' && this.#document.sawSegment;
  }

  /** In a parent of unknown size what begins like text is behind its end: no element that belongs here begins so. */
  #isNoElement(first: number): boolean {
    return this.#level !== 'file' && this.#innermostEnd === undefined && isText(first);
  }

  #passTail(rest: Buffer, offset: number): number {
    this.#tail ??= new MediaTail(offset, {
      marker: idBytes(ID.Cluster),
      isBehindEnd: this.#level === 'file',
      damaged: damagedWebm,
      otherwise: 'no element begins here',
    });
    this.#tail.push(rest);
    return rest.length;
  }

  /** Leaves every level that ends here. */
  #leaveAt(offset: number): void {
    if (this.#level === 'cluster' && this.#clusterEnd === offset) this.#level = 'segment';
    if (this.#level === 'segment' && this.#document.segmentEnd === offset) this.#level = 'file';
  }

  #leaveForSibling(id: number, offset: number): void {
    if (id === ID.EBML && this.#level !== 'file') {
      if (this.#innermostEnd !== undefined) throw damagedWebm(offset, 'a document begins inside another');
      this.#level = 'file';
    }
    if (this.#level === 'cluster' && this.#clusterEnd === undefined && SEGMENT_LEVEL.has(id)) this.#level = 'segment';
  }

  #checkFits(head: ElementHead, offset: number): void {
    if (head.size === undefined) {
      if (head.id === ID.Segment || head.id === ID.Cluster) return;
      throw damagedWebm(offset, 'an element other than Segment and Cluster has no size');
    }
    const parentEnd = this.#level === 'file' ? undefined : this.#innermostEnd;
    if (parentEnd === undefined || offset + head.headLength + head.size <= parentEnd) return;
    throw damagedWebm(offset, 'an element reaches beyond its parent');
  }

  get #innermostEnd(): number | undefined {
    const segmentEnd = this.#document.segmentEnd;
    return this.#level === 'cluster' ? (this.#clusterEnd ?? segmentEnd) : segmentEnd;
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
      const { sawInfo, tracks } = this.#document;
      const wanted = (id === ID.Info && !sawInfo) || (id === ID.Tracks && tracks === undefined);
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
    const document = this.#document;
    if (!document.sawHeader || document.sawSegment) throw damagedWebm(offset, 'a Segment stands where none belongs');
    document.sawSegment = true;
    document.segmentEnd = end;
    this.isSized &&= end !== undefined;
    this.#level = 'segment';
  }

  #enterCluster(offset: number, end: number | undefined): void {
    if (this.#document.tracks === undefined) throw damagedWebm(offset, 'a Cluster comes before the Tracks');
    this.headIsRead = true;
    this.#clusterEnd = end;
    this.#context = undefined;
    this.#level = 'cluster';
  }

  #skipElement({ id, size = 0 }: ElementHead, offset: number): void {
    if (this.#level === 'file' && !FILE_LEVEL.has(id)) throw damagedWebm(offset, 'something other than a WebM begins');
    if (this.#level === 'cluster' && SEGMENT_LEVEL.has(id))
      throw damagedWebm(offset, 'a Cluster holds what belongs outside');
    this.#skip = size;
  }

  #take(id: number, element: Content, found: Packet[]): void {
    if (id === ID.SimpleBlock) simpleBlockPackets(element, this.#contextOf(element), found);
    else if (id === ID.BlockGroup) blockGroupPackets(element, this.#contextOf(element), found);
    else if (id === ID.Timestamp) this.#takeTimestamp(element);
    else if (id === ID.EBML) this.#takeDocument(element);
    else if (id === ID.Info) this.#takeInfo(element);
    else this.#takeTracks(element);
  }

  #takeDocument(element: Content): void {
    const { sawHeader, sawSegment, durationMs } = this.#document;
    if (sawHeader && !sawSegment) throw damagedWebm(element.offset, 'a document begins twice');
    parseDocument(element);
    if (sawHeader) this.#line.endDocument(durationMs);
    this.#isFirst = !sawHeader;
    this.#document = new WebmDocument();
    this.#document.sawHeader = true;
  }

  #takeInfo(element: Content): void {
    const { scaleNs, durationMs } = parseInfo(element);
    this.#document.sawInfo = true;
    this.#document.scaleNs = scaleNs;
    this.#document.durationMs = durationMs;
    if (this.#isFirst) this.durationMs = durationMs;
  }

  #takeTracks(element: Content): void {
    const tracks = this.#isFirst ? parseTracks(element) : alignTracks(element, this.#tracks);
    if (this.#isFirst) this.#tracks = tracks;
    this.#document.tracks = tracks;
  }

  #takeTimestamp(element: Content): void {
    const { tracks, scaleNs } = this.#document;
    if (tracks === undefined) return;
    const ticks = readUint(element);
    this.#line.beginAt(ticks * scaleNs);
    this.#context = { ticks, scaleNs, tracks, line: this.#line };
  }

  #contextOf({ offset }: Content): BlockContext {
    if (this.#context === undefined) throw damagedWebm(offset, 'a block comes before the time of its Cluster');
    return this.#context;
  }
}

/** Whether another document begins here, or what may stand between two. */
function beginsDocument(bytes: Buffer, at: number): boolean {
  const first = bytes[at] ?? 0;
  return bytes.readUInt32BE(at) === ID.EBML || first === ID.Void || first === ID.CRC32;
}

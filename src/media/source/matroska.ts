/**
 * A Matroska file on its way to the encoder → one document, how long each kind of track plays, and the proof that all is there.
 * Documents behind the first go on with its tracks: of them the encoder gets the Clusters, at times behind the end of those before.
 */
import {
  damagedWebm,
  type ElementHead,
  ID,
  idBytes,
  readHead,
  readUint,
  SEGMENT_LEVEL,
  uintElement,
  UNKNOWN_SIZE,
} from '../webm/ebml.ts';
import { parseInfo } from '../webm/head.ts';
import { walkForeign } from './foreign.ts';
import { MatroskaFilm } from './matroska-film.ts';
import type { Sieve, Walk } from './sieve.ts';
import { incomplete, type Tally } from './tally.ts';

/** Info, Tracks and Tags are small; what claims more is an attack or damage. */
const MAX_HEADER_BYTES = 1024 * 1024;

/** Of an element's id and size; behind them a block has its track and its time. */
const MAX_HEAD_BYTES = 12;
const BLOCK_HEAD_BYTES = 8 + 4;

/** What may stand between Clusters here: where the Segment has no size, the next document too. */
const ENDS: ReadonlySet<number> = new Set([...SEGMENT_LEVEL, ID.EBML]);

/** PrevSize, Position and SilentTracks. */
const CLUSTER_LEVEL: ReadonlySet<number> = new Set([ID.Timestamp, ID.SimpleBlock, ID.BlockGroup, 0xab, 0xa7, 0x5854]);

const FILE_LEVEL: ReadonlySet<number> = new Set([ID.EBML, ID.Segment]);

type IsKnown = (id: number) => boolean;

/** RFC 9559: a header, and a Segment of header elements and Clusters; or several such documents. */
export function* walkMatroska(tally: Tally, sieve: Sieve): Walk {
  const film = new MatroskaFilm(tally);
  const isKnown: IsKnown = (id) => FILE_LEVEL.has(id);
  for (let head = yield* lookAhead(sieve, isKnown); head !== undefined; head = yield* lookAhead(sieve, isKnown)) {
    if (head.id === ID.Segment) yield* walkSegment(head, film, sieve);
    else if (!film.hasBegun) yield { keep: wholeSize(head, sieve) };
    else {
      if (head.id === ID.EBML) film.beginNext(sieve);
      yield { drop: wholeSize(head, sieve) };
    }
  }
}

/**
 * The head of the element that begins here, which stays where it is. undefined at the end of the file, and where nothing but
 * tags and text follows. @throws Failure `unreadable-media`, `incomplete`
 */
function* lookAhead(sieve: Sieve, isKnown: IsKnown): Walk<ElementHead | undefined> {
  const bytes = yield { look: MAX_HEAD_BYTES };
  if (bytes.length === 0) return undefined;
  // The first byte of an id says how long it is: up to four bytes.
  const isElement = (bytes[0] ?? 0) >= 0x10;
  const head = isElement ? readHead(bytes, 0, sieve.position) : undefined;
  if (isElement && head === undefined) throw incomplete('in the middle of a Matroska element', sieve);
  if (head !== undefined && (head.id === ID.Void || head.id === ID.CRC32 || isKnown(head.id))) return head;
  yield* walkForeign(sieve, 'the last element of the Matroska');
  return undefined;
}

function wholeSize({ headLength, size }: ElementHead, { position }: Sieve): number {
  if (size === undefined) throw damagedWebm(position, 'an element other than Segment and Cluster has no size');
  return headLength + size;
}

/** Where a level ends; Infinity where the file does not say. */
function endOf({ headLength, size }: ElementHead, { position }: Sieve): number {
  return position + headLength + (size ?? Infinity);
}

/** Within a known size any element is believed to be one. */
const knownUntil = (end: number, ids: ReadonlySet<number>): IsKnown =>
  Number.isFinite(end) ? () => true : (id) => ids.has(id);

const BOTH_LEVELS: ReadonlySet<number> = new Set([...ENDS, ...CLUSTER_LEVEL]);

function* walkSegment(segment: ElementHead, film: MatroskaFilm, sieve: Sieve): Walk {
  const end = endOf(segment, sieve);
  // Of no size, so that more may follow.
  if (!film.hasBegun) yield { put: unsized(ID.Segment) };
  film.begin(end);
  yield { drop: segment.headLength };
  while (sieve.position < end) {
    const head = yield* lookAhead(sieve, knownUntil(end, ENDS));
    if (head === undefined || (head.id === ID.EBML && !Number.isFinite(end))) return;
    if (head.id === ID.Cluster) yield* walkCluster(head, film, sieve);
    else yield* walkHeader(head, film, sieve);
  }
}

const unsized = (id: number): Buffer => Buffer.concat([idBytes(id), UNKNOWN_SIZE]);

function* walkHeader(head: ElementHead, film: MatroskaFilm, sieve: Sieve): Walk {
  const wholeBytes = wholeSize(head, sieve);
  const isRead = (head.id === ID.Info || head.id === ID.Tracks) && wholeBytes < MAX_HEADER_BYTES;
  if (isRead) {
    const bytes = yield { look: wholeBytes };
    const content = { content: bytes.subarray(head.headLength), offset: sieve.position + head.headLength };
    const isWhole = bytes.length === wholeBytes;
    if (isWhole && head.id === ID.Info) film.takeInfo(parseInfo(content), sieve);
    if (isWhole && head.id === ID.Tracks) film.takeTracks(content, sieve);
  }
  yield film.follows ? { drop: wholeBytes } : { keep: wholeBytes };
}

function* walkCluster(cluster: ElementHead, film: MatroskaFilm, sieve: Sieve): Walk {
  const end = endOf(cluster, sieve);
  if (film.follows) yield { put: unsized(ID.Cluster) };
  yield film.follows ? { drop: cluster.headLength } : { keep: cluster.headLength };
  while (sieve.position < end) {
    const head = yield* lookAhead(sieve, knownUntil(end, BOTH_LEVELS));
    if (head === undefined || (!Number.isFinite(end) && ENDS.has(head.id))) return;
    if (head.id === ID.BlockGroup) yield* walkGroup(head, film, sieve);
    else if (film.follows && head.id === ID.Timestamp) yield* walkMovedTime(head, film, sieve);
    else if (film.follows && head.id !== ID.SimpleBlock) yield { drop: wholeSize(head, sieve) };
    else yield* walkBlock(head, film, sieve);
  }
}

function* walkMovedTime(head: ElementHead, film: MatroskaFilm, sieve: Sieve): Walk {
  const wholeBytes = wholeSize(head, sieve);
  const bytes = yield { look: wholeBytes };
  film.takeTime(readUint({ content: bytes.subarray(head.headLength), offset: sieve.position + head.headLength }));
  yield { put: uintElement(ID.Timestamp, film.clusterTicks) };
  yield { drop: wholeBytes };
}

/** A Timestamp, a block, or what nobody needs here. */
function* walkBlock(head: ElementHead, film: MatroskaFilm, sieve: Sieve): Walk {
  const wholeBytes = wholeSize(head, sieve);
  const isBlock = head.id === ID.SimpleBlock || head.id === ID.Block;
  const isTime = head.id === ID.Timestamp || head.id === ID.BlockDuration;
  const wanted = isBlock ? Math.min(wholeBytes, head.headLength + BLOCK_HEAD_BYTES) : isTime ? wholeBytes : 0;
  const content = {
    content: (yield { look: wanted }).subarray(head.headLength),
    offset: sieve.position + head.headLength,
  };
  if (isBlock) film.addBlock(content, wholeBytes - head.headLength);
  else if (head.id === ID.Timestamp) film.takeTime(readUint(content));
  else if (head.id === ID.BlockDuration) film.stretch(readUint(content));
  yield { keep: wholeBytes };
}

function* walkGroup(group: ElementHead, film: MatroskaFilm, sieve: Sieve): Walk {
  const end = sieve.position + wholeSize(group, sieve);
  yield { keep: group.headLength };
  while (sieve.position < end) {
    const head = yield* lookAhead(sieve, () => true);
    if (head === undefined) return;
    yield* walkBlock(head, film, sieve);
  }
}

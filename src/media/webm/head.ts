/** The elements in front of a WebM's Clusters → its document type, time scale, duration and tracks. */
import { Failure } from '../../failure.ts';
import { type Child, childrenOf, type Content, damagedWebm, ID, readFloat, readUtf8, readUint } from './ebml.ts';
import { isSameShape, parseOpusHead } from '../opus.ts';
import type { AudioTrack, Track, VideoTrack } from '../packet.ts';

/** Codecs a browser plays from WebM. The value says whether the codec cannot do without CodecPrivate. */
const CODECS: ReadonlyMap<string, { readonly kind: Track['kind']; readonly needsPrivate: boolean }> = new Map([
  ['V_VP8', { kind: 'video', needsPrivate: false }],
  ['V_VP9', { kind: 'video', needsPrivate: false }],
  ['V_AV1', { kind: 'video', needsPrivate: true }],
  ['A_OPUS', { kind: 'audio', needsPrivate: true }],
  ['A_VORBIS', { kind: 'audio', needsPrivate: true }],
]);

const MAX_TRACKS = 8;

/** Absolute times have to stay exact in nanoseconds: 2^53 of them are 104 days. */
const MAX_SCALE_NS = 1_000_000_000;

/** A track of the file that is kept. */
export interface SourceTrack {
  /** Index among the tracks that are kept. */
  readonly index: number;
  readonly track: Track;
  readonly isOpus: boolean;
  readonly defaultDurationNs: number | undefined;
}

/** Sound behind the first track of sound: another party, whom no player plays. Only where it has packets an encoder has to be asked. */
export const SECOND_SOUND = 'second sound';

/** @throws Failure `unsupported-media` for EBML that is no WebM or Matroska, or uses longer fields than either may. */
export function parseDocument(element: Content): void {
  const found = valuesOf(element);
  const docType = text(found.get(ID.DocType)) ?? '';
  if (docType !== 'webm' && docType !== 'matroska') {
    throw new Failure('unsupported-media', 'The media is EBML, but neither WebM nor Matroska.');
  }
  const idLength = uint(found.get(ID.EBMLMaxIDLength)) ?? 4;
  const sizeLength = uint(found.get(ID.EBMLMaxSizeLength)) ?? 8;
  if (idLength > 4 || sizeLength > 8)
    throw new Failure('unsupported-media', 'The Matroska file uses oversized fields.');
}

/** Time scale, and the duration where one is stated. @throws Failure `unreadable-media` */
export function parseInfo(element: Content): { readonly scaleNs: number; readonly durationMs: number | undefined } {
  const found = valuesOf(element);
  const scaleNs = uint(found.get(ID.TimestampScale)) ?? 1_000_000;
  if (scaleNs < 1 || scaleNs > MAX_SCALE_NS) throw damagedWebm(element.offset, 'the time scale is out of range');
  const duration = found.get(ID.Duration);
  const durationMs = duration === undefined ? 0 : (readFloat(duration) * scaleNs) / 1_000_000;
  const stated = durationMs > 0 && durationMs * 1_000_000 <= Number.MAX_SAFE_INTEGER;
  return { scaleNs, durationMs: stated ? durationMs : undefined };
}

/** Tracks by their number in the file; undefined stands for one that is dropped (subtitles, data). */
export type SourceTracks = ReadonlyMap<number, SourceTrack | typeof SECOND_SOUND | undefined>;

/** Those that are kept, in their order. */
export function keptTracks(tracks: SourceTracks): readonly SourceTrack[] {
  return [...tracks.values()].filter(isKept);
}

function isKept(source: SourceTrack | typeof SECOND_SOUND | undefined): source is SourceTrack {
  return source !== undefined && source !== SECOND_SOUND;
}

/** @throws Failure `unsupported-media` for sound or pictures that cannot be kept as they are, `unreadable-media` */
export function parseTracks(element: Content): SourceTracks {
  const tracks = new Map<number, SourceTrack | typeof SECOND_SOUND | undefined>();
  let kept = 0;
  let hasSound = false;
  for (const child of childrenOf(element)) {
    if (child.id !== ID.TrackEntry) continue;
    const entry = valuesOf(child);
    const number = uint(entry.get(ID.TrackNumber));
    if (number === undefined || tracks.has(number)) throw damagedWebm(child.offset, 'a track has no number of its own');
    if (tracks.size >= MAX_TRACKS)
      throw new Failure('unsupported-media', `The WebM has more than ${MAX_TRACKS} tracks.`);
    const source = parseTrack(entry, child.offset, kept);
    const isSound = source?.track.kind === 'audio';
    const isSecond = isSound && hasSound;
    hasSound ||= isSound;
    if (source !== undefined && !isSecond) kept += 1;
    tracks.set(number, isSecond ? SECOND_SOUND : source);
  }
  if (kept === 0) throw new Failure('no-media', 'The WebM has no track of sound or pictures.');
  return tracks;
}

/**
 * The tracks of a document behind the first: each takes the place of one of the first that it can go on, whatever numbers they
 * have. @throws Failure `unreadable-media` where one cannot
 */
export function alignTracks(element: Content, first: SourceTracks): SourceTracks {
  const others = `a second recording begins with tracks that cannot follow those of the first`;
  const free = [...keptTracks(first)];
  const place = (source: SourceTrack): SourceTrack => {
    const index = free.findIndex((candidate) => canFollow(source.track, candidate.track));
    const [taken] = index === -1 ? [] : free.splice(index, 1);
    if (taken === undefined) throw damagedWebm(element.offset, others);
    return { ...source, index: taken.index };
  };
  try {
    return new Map(
      [...parseTracks(element)].map(([number, source]) => [number, isKept(source) ? place(source) : source]),
    );
  } catch (error) {
    throw error instanceof Failure && error.code === 'unsupported-media' ? damagedWebm(element.offset, others) : error;
  }
}

/** Whether a decoder of the one plays the other as well, at its level. */
function canFollow(next: Track, track: Track): boolean {
  if (next.codecId !== track.codecId) return false;
  if (next.kind === 'video' && track.kind === 'video')
    return next.width === track.width && next.height === track.height;
  if (next.kind !== 'audio' || track.kind !== 'audio' || next.channels !== track.channels) return false;
  const [a, b] = [next, track].map(({ codecPrivate = Buffer.alloc(0) }) => codecPrivate);
  if (a === undefined || b === undefined) return false;
  const [head, firstHead] = [parseOpusHead(a), parseOpusHead(b)];
  return head !== undefined && firstHead !== undefined ? isSameShape(head, firstHead) : a.equals(b);
}

type Values = ReadonlyMap<number, Child>;

/** More is a mean of pictures that come when something changes: the last one need not stay so long. */
const MAX_PICTURE_NS = 1_000_000_000;

function frameNsOf(entry: Values, isPicture: boolean): number | undefined {
  const ns = uint(entry.get(ID.DefaultDuration)) || undefined;
  return isPicture && (ns ?? 0) > MAX_PICTURE_NS ? undefined : ns;
}

function parseTrack(entry: Values, offset: number, index: number): SourceTrack | undefined {
  const type = uint(entry.get(ID.TrackType));
  if (type !== 1 && type !== 2) return undefined;
  const codecId = text(entry.get(ID.CodecID)) ?? '';
  const codecPrivate = copy(entry.get(ID.CodecPrivate));
  requireCodec(codecId, type === 1 ? 'video' : 'audio', codecPrivate);
  if (entry.has(ID.ContentEncodings)) {
    throw new Failure('unsupported-media', 'A track of the WebM is compressed or encrypted by its container.');
  }
  const scale = entry.get(ID.TrackTimestampScale);
  if (scale !== undefined && readFloat(scale) !== 1) {
    throw new Failure('unsupported-media', 'A track of the Matroska file has a time scale of its own.');
  }
  const details = { codecId, codecPrivate };
  return {
    index,
    track: type === 1 ? videoTrack(entry, offset, details) : audioTrack(entry, offset, details),
    isOpus: codecId === 'A_OPUS',
    defaultDurationNs: frameNsOf(entry, type === 1),
  };
}

function requireCodec(codecId: string, kind: Track['kind'], codecPrivate: Buffer | undefined): void {
  const codec = CODECS.get(codecId);
  const name = /^[A-Z0-9_/.-]{1,40}$/.test(codecId) ? codecId : 'an unnamed codec';
  if (codec?.kind !== kind)
    throw new Failure('unsupported-media', `The WebM holds ${name}, which browsers do not play.`);
  const usable =
    codecId === 'A_OPUS' ? parseOpusHead(codecPrivate ?? Buffer.alloc(0)) !== undefined : codecPrivate !== undefined;
  if (codec.needsPrivate && !usable) {
    throw new Failure('unsupported-media', `The WebM's ${name} track lacks the codec's own header.`);
  }
}

interface Details {
  readonly codecId: string;
  readonly codecPrivate: Buffer | undefined;
}

function audioTrack(entry: Values, offset: number, details: Details): AudioTrack {
  const audio = valuesOf(entry.get(ID.Audio) ?? { content: Buffer.alloc(0), offset });
  const channels = uint(audio.get(ID.Channels)) ?? 1;
  const rate = audio.get(ID.SamplingFrequency);
  const sampleRate = rate === undefined ? 8000 : readFloat(rate);
  if (channels < 1 || channels > 255 || sampleRate <= 0)
    throw damagedWebm(offset, 'a track has no channels or no rate');
  return {
    kind: 'audio',
    ...details,
    channels,
    sampleRate,
    codecDelayNs: uint(entry.get(ID.CodecDelay)) ?? 0,
    seekPreRollNs: uint(entry.get(ID.SeekPreRoll)) ?? 0,
  };
}

/** AlphaMode announces a second picture in BlockAdditions, which are not kept. */
const ALPHA_MODE = 0x53c0;

const NOT_EXTRA: ReadonlySet<number> = new Set([ID.PixelWidth, ID.PixelHeight, ID.Void, ID.CRC32, ALPHA_MODE]);

function videoTrack(entry: Values, offset: number, details: Details): VideoTrack {
  const video = entry.get(ID.Video) ?? { content: Buffer.alloc(0), offset };
  const values = valuesOf(video);
  const width = uint(values.get(ID.PixelWidth)) ?? 0;
  const height = uint(values.get(ID.PixelHeight)) ?? 0;
  if (width === 0 || height === 0) throw damagedWebm(offset, 'a video track has no size');
  const extra = [...childrenOf(video)].flatMap((child) => (NOT_EXTRA.has(child.id) ? [] : [child.whole]));
  return { kind: 'video', ...details, width, height, extra: extra.length === 0 ? undefined : Buffer.concat(extra) };
}

/** Children by id; where one is repeated, the first counts. */
function valuesOf(element: Content): Values {
  const values = new Map<number, Child>();
  for (const child of childrenOf(element)) if (!values.has(child.id)) values.set(child.id, child);
  return values;
}

function uint(child: Child | undefined): number | undefined {
  return child === undefined ? undefined : readUint(child);
}

function text(child: Child | undefined): string | undefined {
  return child === undefined ? undefined : readUtf8(child);
}

/** A copy, so that a few bytes do not keep a whole chunk. */
function copy(child: Child | undefined): Buffer | undefined {
  return child === undefined ? undefined : Buffer.from(child.content);
}

/** What a Matroska file says of its tracks, and the blocks that come → how long sound and pictures play, each on its own. */
import { Failure } from '../../failure.ts';
import { type Child, childrenOf, type Content, ID, readFloat, readUtf8, readUint, readVint } from '../webm/ebml.ts';
import type { Contents, SoundContents } from './contents.ts';
import { LatestPictures } from './repeats.ts';
import { type KindEnd, incomplete, type Lengths, type Tally } from './tally.ts';

/** Media of the recorder has one or two; ffmpeg is allowed no more. */
const MAX_TRACKS = 8;

/** A picture that does not change is not repeated for so long, at most. */
const LAST_PICTURE_MS = 5_000;
/** More than rounding and the last packet of sound can make. */
const SLACK_MS = 500;
/** Genesys rounds, too. */
const GENESYS_SLACK_MS = 1_000;

/** Times in milliseconds. */
interface FilmTrack {
  readonly kind: 'sound' | 'picture' | 'other';
  readonly codec: string;
  readonly channels: number;
  /** Bytes of PCM that play a millisecond; 0 of other codecs. */
  readonly bytesPerMs: number;
  readonly frameMs: number | undefined;
  startMs: number | undefined;
  lastMs: number;
  endMs: number;
  readonly latest: LatestPictures;
}

export interface FilmInfo {
  readonly scaleNs: number;
  readonly durationMs: number | undefined;
}

export class MatroskaFilm {
  hasBegun = false;
  /** The document that passes is not the first. */
  follows = false;
  /** The time of the Cluster that passes, counted as the first document does. */
  clusterTicks = 0;
  readonly #tally: Tally;
  #segmentEnd = Infinity;
  #isSized = true;
  #scaleNs = 1_000_000;
  #durationMs: number | undefined;
  /** Where the document that passes begins: the end of those before. */
  #startMs = 0;
  /** What its first Cluster says; undefined before that. */
  #originTicks: number | undefined;
  /** What a decoder has to know of the tracks. */
  #shape: string | undefined;
  #tracks: ReadonlyMap<number, FilmTrack> = new Map();
  #latest: FilmTrack | undefined;

  constructor(tally: Tally) {
    this.#tally = tally;
    tally.settle = (end) => this.#settle(end);
  }

  begin(segmentEnd: number): void {
    this.hasBegun = true;
    this.#segmentEnd = segmentEnd;
    this.#isSized &&= Number.isFinite(segmentEnd);
  }

  /** Another document begins here. @throws Failure `incomplete` where the one before ended too early */
  beginNext({ position }: Pick<KindEnd, 'position'>): void {
    const played = this.#requireDocument({ position, missing: 0 });
    this.follows = true;
    this.#startMs = Math.max(this.#startMs, ...played.map(({ endMs }) => endMs));
    this.#originTicks = undefined;
    this.#durationMs = undefined;
  }

  /** @throws Failure `unsupported-media` for a document that cannot follow the first */
  takeInfo({ scaleNs, durationMs }: FilmInfo, at: Pick<KindEnd, 'position'>): void {
    if (this.follows && scaleNs !== this.#scaleNs) throw cannotFollow(at);
    this.#scaleNs = scaleNs;
    this.#durationMs = durationMs;
    if (!this.follows) this.#tally.declaredMs = durationMs;
  }

  /** @throws Failure `unsupported-media` for more tracks than are read, and for others than the first document has */
  takeTracks(tracks: Content, at: Pick<KindEnd, 'position'>): void {
    const shape = shapeOf(tracks);
    this.#shape ??= shape;
    if (shape !== this.#shape) throw cannotFollow(at);
    if (this.#tracks.size > 0) return;
    const entries = [...childrenOf(tracks)].filter(({ id }) => id === ID.TrackEntry);
    if (entries.length > MAX_TRACKS) throw tooMany(entries.length);
    this.#tracks = new Map(entries.map(readFilmTrack));
  }

  takeTime(ticks: number): void {
    this.#originTicks ??= ticks;
    const startTicks = Math.ceil((this.#startMs * 1e6) / this.#scaleNs);
    this.clusterTicks = this.follows ? Math.max(0, ticks - this.#originTicks) + startTicks : ticks;
  }

  /** Track number and relative time (RFC 9559 §10.1); `sizeBytes` is that of the whole block. */
  addBlock({ content, offset }: Content, sizeBytes: number): void {
    const width = Math.clz32(content[0] ?? 0) - 23;
    if (content.length < width + 2) return;
    const track = this.#tracks.get(readVint(content, 0, width, offset) ?? 0);
    this.#latest = track;
    if (track === undefined) return;
    const timeMs = ((this.clusterTicks + content.readInt16BE(width)) * this.#scaleNs) / 1e6;
    const stepMs = Math.min(Math.max(0, timeMs - track.lastMs), 1_000);
    const pcmMs = track.bytesPerMs > 0 ? (sizeBytes - width - 3) / track.bytesPerMs : undefined;
    const frameMs = pcmMs ?? track.frameMs ?? (track.startMs === undefined ? 0 : stepMs);
    this.#tally.contents ??= filmContentsOf([...this.#tracks.values()], timeMs / 1000);
    track.startMs = Math.min(track.startMs ?? timeMs, timeMs);
    track.lastMs = timeMs;
    track.latest.begin(timeMs);
    track.endMs = Math.max(track.endMs, timeMs + frameMs);
  }

  /** BlockDuration of the latest block. */
  stretch(ticks: number): void {
    if (this.#latest === undefined) return;
    const endMs = this.#latest.lastMs + (ticks * this.#scaleNs) / 1e6;
    this.#latest.endMs = Math.max(this.#latest.endMs, endMs);
  }

  #settle(end: KindEnd): Lengths {
    const played = this.#requireDocument(end);
    const startMs = Math.min(...played.map((track) => track.startMs ?? 0));
    this.#tally.lacksEndMark = !this.#isSized && this.#durationMs === undefined;
    const latestOf = (kind: FilmTrack['kind'], timeOf: (track: FilmTrack) => number): number | undefined => {
      const times = played.filter((track) => track.kind === kind).map((track) => timeOf(track) - startMs);
      return times.length === 0 ? undefined : Math.max(...times);
    };
    return {
      soundMs: latestOf('sound', ({ endMs }) => endMs),
      picturesMs: latestOf('picture', ({ endMs }) => endMs),
      repeatsFromMs: latestOf('picture', ({ latest, endMs }) => latest.since ?? endMs),
    };
  }

  /** @throws Failure `incomplete` unless the document that ends here is whole. Returns the tracks that played. */
  #requireDocument(end: KindEnd): readonly FilmTrack[] {
    const isSized = Number.isFinite(this.#segmentEnd);
    if (end.missing > 0 || (isSized && end.position < this.#segmentEnd))
      throw incomplete('in the middle of a Matroska element', end);
    const played = [...this.#tracks.values()].filter(({ kind, startMs }) => kind !== 'other' && startMs !== undefined);
    // As its own clock counts.
    const originMs = ((this.#originTicks ?? 0) * this.#scaleNs) / 1e6;
    const movedMs = this.follows ? this.#startMs - originMs : 0;
    const startMs = this.follows ? originMs : Math.min(...played.map((track) => track.startMs ?? 0));
    if (isSized) this.#holdLastPicture(played, { startMs, movedMs });
    const ends = (['sound', 'picture'] as const).flatMap((kind) => {
      const all = played.filter((track) => track.kind === kind).map(({ endMs }) => endMs);
      return all.length === 0 ? [] : [{ kind, endMs: Math.max(...all) - movedMs }];
    });
    this.#requireDuration(ends, { startMs, isSized }, end);
    return played;
  }

  /** Every byte is accounted for: the last picture stays as long as the header says. Times of the document's own clock. */
  #holdLastPicture(played: readonly FilmTrack[], { startMs, movedMs }: { startMs: number; movedMs: number }): void {
    const durationMs = this.#durationMs;
    const [last] = played.filter(({ kind }) => kind === 'picture').toSorted((a, b) => b.endMs - a.endMs);
    if (durationMs === undefined || last === undefined) return;
    const endMs = last.endMs - movedMs;
    if (this.#isAsGenesysSays(endMs - startMs) && !this.#isAsGenesysSays(durationMs)) return;
    // Some writers count from the first block, others from zero: what fits better is meant.
    const [dueMs = 0] = [durationMs, startMs + durationMs].toSorted(
      (a, b) => Math.abs(a - endMs) - Math.abs(b - endMs),
    );
    if (dueMs + movedMs > last.lastMs) last.endMs = dueMs + movedMs;
  }

  #isAsGenesysSays(lengthMs: number): boolean {
    const { genesysMs } = this.#tally.announced;
    return genesysMs !== undefined && Math.abs(lengthMs - genesysMs) <= GENESYS_SLACK_MS;
  }

  /**
   * SoundContents and pictures each reach the length of the header, counted from their beginning or from zero. Where sizes account for
   * every byte it is enough that one of them does: the other ended early when it was recorded.
   */
  #requireDuration(
    ends: readonly { readonly kind: 'sound' | 'picture'; readonly endMs: number }[],
    { startMs, isSized }: { readonly startMs: number; readonly isSized: boolean },
    end: KindEnd,
  ): void {
    const dueMs = this.#durationMs;
    if (dueMs === undefined) return;
    const early = ends.filter(({ kind, endMs }) => {
      const slackMs = SLACK_MS + (kind === 'picture' ? LAST_PICTURE_MS : 0);
      return dueMs - endMs > slackMs && !this.#isAsGenesysSays(endMs - startMs);
    });
    if (early.length === 0 || (isSized && early.length < ends.length)) return;
    const [first] = early;
    const what = first?.kind === 'sound' ? 'its sound' : 'its last picture';
    const [at, due] = [(first?.endMs ?? 0) - startMs, dueMs].map((ms) => (ms / 1000).toFixed(2));
    throw incomplete(`${what} ends at ${at ?? ''} s, although its header says ${due ?? ''} s`, end);
  }
}

function cannotFollow({ position }: Pick<KindEnd, 'position'>): Failure {
  const text = `A second Matroska document, of other tracks or times than the first, stands before byte ${String(position)}: that is no one recording.`;
  return new Failure('unsupported-media', text);
}

/** Elements of a track that a decoder goes by. */
const DECODED: readonly number[] = [ID.TrackNumber, ID.TrackType, ID.CodecID, ID.ContentEncodings];
const DECODED_SOUND: readonly number[] = [ID.SamplingFrequency, ID.Channels, ID.BitDepth];
const DECODED_PICTURE: readonly number[] = [ID.PixelWidth, ID.PixelHeight];

function shapeOf(tracks: Content): string {
  const entries = [...childrenOf(tracks)].filter(({ id }) => id === ID.TrackEntry);
  return entries.map(trackShape).join('/');
}

function trackShape(entry: Content): string {
  const children = [...childrenOf(entry)];
  const sounds = children.filter(({ id }) => id === ID.Audio).map((audio) => told(audio, DECODED_SOUND));
  const pictures = children.filter(({ id }) => id === ID.Video).map((video) => told(video, DECODED_PICTURE));
  const isFlac = children.some(({ id, content }) => id === ID.CodecID && content.toString('latin1') === 'A_FLAC');
  // FLAC's own header also counts and sums up all samples; its blocks say the rest themselves.
  return [told(entry, isFlac ? DECODED : [...DECODED, ID.CodecPrivate]), ...sounds, ...pictures].join(' ');
}

function told(element: Content, ids: readonly number[]): string {
  const children = [...childrenOf(element)];
  return ids.map((id) => children.find((child) => child.id === id)?.content.toString('hex') ?? '').join(' ');
}

function tooMany(tracks: number): Failure {
  return new Failure(
    'unsupported-media',
    `The Matroska has ${String(tracks)} tracks; up to ${String(MAX_TRACKS)} are read.`,
  );
}

const KINDS: ReadonlyMap<number, FilmTrack['kind']> = new Map([
  [1, 'picture'],
  [2, 'sound'],
]);

function readFilmTrack(entry: Content): readonly [number, FilmTrack] {
  const values = new Map([...childrenOf(entry)].map((child) => [child.id, child]));
  const audio = new Map([...childrenOf(values.get(ID.Audio) ?? NOTHING)].map((child) => [child.id, child]));
  const codec = elementText(values.get(ID.CodecID));
  const channels = elementUint(audio.get(ID.Channels)) ?? 1;
  const rate = audio.get(ID.SamplingFrequency);
  const frameBytes = codec.startsWith('A_PCM/') ? (channels * (elementUint(audio.get(ID.BitDepth)) ?? 0)) / 8 : 0;
  const frameNs = elementUint(values.get(ID.DefaultDuration));
  return [
    elementUint(values.get(ID.TrackNumber)) ?? 0,
    {
      kind: KINDS.get(elementUint(values.get(ID.TrackType)) ?? 0) ?? 'other',
      codec,
      channels,
      bytesPerMs: rate === undefined ? 0 : (frameBytes * readFloat(rate)) / 1000,
      frameMs: frameNs === undefined ? undefined : frameNs / 1e6,
      startMs: undefined,
      lastMs: 0,
      endMs: 0,
      latest: new LatestPictures(),
    },
  ];
}

const NOTHING: Content = { content: Buffer.alloc(0), offset: 0 };

const elementUint = (child: Child | undefined): number | undefined =>
  child === undefined ? undefined : readUint(child);
const elementText = (child: Child | undefined): string => (child === undefined ? '' : readUtf8(child));

/** Codecs whose decoder gives as many channels as the track says. */
const EXACT = /^A_(PCM|FLAC)/;

function filmContentsOf(tracks: readonly FilmTrack[], startS: number): Contents {
  const sounds = tracks
    .filter(({ kind }) => kind === 'sound')
    .map(({ codec, channels }, stream): SoundContents => ({ stream, codec, channels, isExact: EXACT.test(codec) }));
  const pictures = tracks.filter(({ kind }) => kind === 'picture').map(({ codec }) => codec);
  return { sounds, pictures, isTimed: true, startS };
}

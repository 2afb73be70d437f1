/** The index of an MP4 (moov) as what is in the file: its tracks, how long each plays, and how far their samples reach. */
import { Failure } from '../../failure.ts';
import { boxesIn, type BoxContent, descendantsOf, unreadableMp4 } from './box.ts';
import type { Contents, SoundContents } from '../source/contents.ts';
import { LATEST_PICTURES, LatestPictures } from '../source/repeats.ts';
import { channelsOfAac } from './aac-config.ts';

export interface Mp4Track {
  /** As fragments name it. */
  readonly id: number;
  readonly kind: 'sound' | 'picture' | 'other';
  /** Type of its sample entry: `mp4a`, `avc1`, `alac` … */
  readonly codec: string;
  /** Of sound, where the index tells. */
  readonly channels: number | undefined;
  /** Hertz, of sound. */
  readonly sampleRate: number | undefined;
  /** Units of time per second in its own tables and fragments. */
  readonly timescale: number;
  /** Seconds at which its first sample is shown or heard. */
  readonly startS: number;
  /** Seconds at which its last one is over; 0 where its samples are in fragments. */
  readonly endS: number;
  /** Seconds from its own times to those of the movie, as its edits say. */
  readonly offsetS: number;
  /** Seconds of its end with so few samples that all of them may be repeats. */
  readonly repeatsS: number;
  readonly latest: LatestPictures;
  /** Those of the index; there may be more in fragments. */
  readonly samples: number;
  /** How long they last together, in units of `timescale`. */
  readonly decodedUnits: number;
  /** Of a sample in a fragment that says no other, in units of `timescale`. */
  readonly fragmentUnits: number;
}

export interface Movie {
  /** In the order of the file, which is how ffmpeg numbers them. */
  readonly tracks: readonly Mp4Track[];
  /** The longest track as the header says it (ISO/IEC 14496-12 §8.2.2), fragments aside, milliseconds; undefined where it does not know. */
  readonly headerMs: number | undefined;
  /** Of all fragments, where the index says it beforehand (mehd, §8.8.2), milliseconds. */
  readonly fragmentsMs: number | undefined;
  readonly isFragmented: boolean;
  /** The file is at least so long, or samples are missing. */
  readonly endByte: number;
}

/** The index of 12 h of screen is a few MB. */
export const MAX_INDEX_BYTES = 64 * 1024 * 1024;

/** Media of the recorder has one or two; ffmpeg is allowed no more. */
const MAX_TRACKS = 8;

/** @throws Failure `unreadable-media` naming box and byte, `unsupported-media` for what ffmpeg would not read either */
export function parseMovie(moov: BoxContent): Movie {
  const boxes = boxesIn(moov);
  if (boxes.some(({ type }) => type === 'cmov')) throw compressed();
  const header = boxes.find(({ type }) => type === 'mvhd');
  const { timescale, units } = header === undefined ? NO_TIME : readTimes(header);
  const traks = boxes.filter(({ type }) => type === 'trak');
  if (traks.length > MAX_TRACKS)
    throw new Failure('unsupported-media', `The MP4 has ${String(traks.length)} tracks, more than any real one.`);
  const extends_ = boxes.filter(({ type }) => type === 'mvex');
  const defaults = new Map(extends_.flatMap((mvex) => descendantsOf(mvex, ['trex'])).map(readDefaults));
  const tracks = traks.map((trak) => readTrack(trak, timescale, defaults));
  const [mehd] = extends_.flatMap((mvex) => descendantsOf(mvex, ['mehd']));
  const fragmentUnits = mehd === undefined ? undefined : knownUnits(mehd, 4);
  return {
    tracks: tracks.map(({ track }) => track),
    headerMs: milliseconds(units, timescale),
    fragmentsMs: milliseconds(fragmentUnits, timescale),
    isFragmented: extends_.length > 0,
    endByte: tracks.reduce((most, { endByte }) => Math.max(most, endByte), 0),
  };
}

function compressed(): Failure {
  return new Failure('unsupported-media', 'The MP4 has a compressed index ("cmov"), which is not supported.');
}

interface Times {
  /** 0 where the box is too short to say. */
  readonly timescale: number;
  /** undefined where unknown: 0 or all ones. */
  readonly units: number | undefined;
}

const NO_TIME: Times = { timescale: 0, units: undefined };

/** mvhd and mdhd begin alike (§8.2.2, §8.4.2): version, two dates, time scale, duration. */
function readTimes({ body }: BoxContent): Times {
  const at = body[0] === 1 ? 20 : 12;
  if (body.length < at + 8) return NO_TIME;
  return { timescale: body.readUInt32BE(at), units: knownUnits({ body }, at + 4) };
}

/** A number of 32 or, in version 1, of 64 bits; undefined where it is cut off, 0 or all ones. */
function knownUnits({ body }: Pick<BoxContent, 'body'>, at: number): number | undefined {
  const wide = body[0] === 1;
  if (body.length < at + (wide ? 8 : 4)) return undefined;
  const units = wide ? Number(body.readBigUInt64BE(at)) : body.readUInt32BE(at);
  const unknown = units === 0 || units > Number.MAX_SAFE_INTEGER || (!wide && units === 0xffff_ffff);
  return unknown ? undefined : units;
}

function milliseconds(units: number | undefined, timescale: number): number | undefined {
  return units === undefined || timescale === 0 ? undefined : (units / timescale) * 1000;
}

/** trex (§8.8.3): track, sample description, duration of a sample. */
function readDefaults({ body }: BoxContent): readonly [number, number] {
  return body.length < 16 ? [0, 0] : [body.readUInt32BE(4), body.readUInt32BE(12)];
}

/** Sample entries of encrypted tracks (ISO/IEC 14496-12 §8.12, and Apple's). */
const ENCRYPTED = new Set(['enca', 'encv', 'drms', 'drmi']);

/** Codecs whose decoder gives as many channels as the track says. */
const EXACT = /^(alac|fLaC|sowt|twos|raw |in24|in32|fl32|fl64|lpcm|ipcm|fpcm|NONE|ulaw|alaw|ima4)$/;

/**
 * What the encoder has to know; `startS` where it is not the index that tells when the first sample is shown or heard.
 * @throws Failure `unsupported-media` for what nobody without a key can play
 */
export function contentsOfMovie({ tracks, isFragmented }: Movie, startS?: number): Contents {
  const encrypted = tracks.find(({ codec }) => ENCRYPTED.has(codec));
  if (encrypted !== undefined)
    throw new Failure('unsupported-media', `A track of the MP4 is encrypted ("${encrypted.codec}").`);
  const isThere = ({ samples }: Mp4Track): boolean => isFragmented || samples > 0;
  const sounds = tracks
    .filter(({ kind }) => kind === 'sound')
    .map((track, stream) => ({ track, stream }))
    .filter(({ track }) => isThere(track))
    .map(({ track: { codec, channels }, stream }): SoundContents => {
      return { stream, codec, channels: channels === 0 ? undefined : channels, isExact: EXACT.test(codec) };
    });
  const pictures = tracks.filter((track) => track.kind === 'picture' && isThere(track)).map(({ codec }) => codec);
  const starts = tracks.filter(({ kind, samples }) => kind !== 'other' && samples > 0).map((track) => track.startS);
  return { sounds, pictures, isTimed: true, startS: startS ?? (starts.length === 0 ? 0 : Math.min(...starts)) };
}

// ── one track ───────────────────────────────────────────────────────────────────────────────────────────────────

interface IndexedTrack {
  readonly track: Mp4Track;
  readonly endByte: number;
}

const KINDS: ReadonlyMap<string, Mp4Track['kind']> = new Map([
  ['soun', 'sound'],
  ['vide', 'picture'],
]);

function readTrack(trak: BoxContent, movieScale: number, defaults: ReadonlyMap<number, number>): IndexedTrack {
  const [mdhd] = descendantsOf(trak, ['mdia', 'mdhd']);
  const [hdlr] = descendantsOf(trak, ['mdia', 'hdlr']);
  const [table] = descendantsOf(trak, ['mdia', 'minf', 'stbl']);
  requireOwnSamples(trak);
  const boxes = new Map((table === undefined ? [] : boxesIn(table)).map((box) => [box.type, box]));
  const kind = KINDS.get(hdlr?.body.toString('latin1', 8, 12) ?? '') ?? 'other';
  const timescale = mdhd === undefined ? 0 : readTimes(mdhd).timescale;
  const times = readTimeTable(boxes.get('stts'), boxes.get('ctts'), countOfSizes(boxes.get('stsz')));
  const [elst] = descendantsOf(trak, ['edts', 'elst']);
  const { pauses, ...presented } = readEdits(elst, { movieScale, timescale, ...times });
  if (kind === 'sound' && pauses) throw hasPause(elst?.offset ?? trak.offset);
  const id = readTrackId(trak);
  return {
    track: {
      id,
      kind,
      ...readEntry(boxes.get('stsd'), kind),
      timescale,
      ...presented,
      repeatsS: timescale === 0 ? 0 : (times.endUnits - (times.latest.since ?? times.endUnits)) / timescale,
      latest: times.latest,
      samples: times.samples,
      decodedUnits: times.decodedUnits,
      fragmentUnits: defaults.get(id) ?? 0,
    },
    endByte: endOfChunks(boxes),
  };
}

/** dref (§8.7.2): flag 1 says that the samples lie in this very file. */
function requireOwnSamples(trak: BoxContent): void {
  for (const { body, offset } of descendantsOf(trak, ['mdia', 'minf', 'dinf', 'dref'])) {
    const references = boxesIn({ type: 'dref', body: body.subarray(8), offset: offset + 8 });
    const elsewhere = references.find((reference) => ((reference.body[3] ?? 1) & 1) === 0);
    if (elsewhere !== undefined) throw unreadableMp4(elsewhere.offset, 'its samples lie in another file');
  }
}

function readTrackId(trak: BoxContent): number {
  const [tkhd] = descendantsOf(trak, ['tkhd']);
  const at = tkhd?.body[0] === 1 ? 20 : 12;
  return tkhd === undefined || tkhd.body.length < at + 4 ? 0 : tkhd.body.readUInt32BE(at);
}

/** A table of so many entries behind its version and what else stands in front. @throws Failure where its box is too short for it */
function tableEntries(
  { type, body, offset }: BoxContent,
  { head, entryBytes }: { head: number; entryBytes: number },
): number {
  const count = body.length < head ? 0 : body.readUInt32BE(head - 4);
  if (head + count * entryBytes > body.length)
    throw unreadableMp4(offset, `"${type}" announces ${String(count)} entries, which its box cannot hold`);
  return count;
}

const NOTHING = Buffer.alloc(0);

interface TimeTable {
  readonly samples: number;
  /** When the first sample is shown or heard, and when the last one is over. */
  readonly startUnits: number;
  readonly endUnits: number;
  readonly decodedUnits: number;
  readonly latest: LatestPictures;
}

/**
 * stts (§8.6.1.2): runs of samples that last equally long; of no more samples than have a size. ctts (§8.6.1.3): runs of
 * samples that are shown so much later than they are decoded.
 */
function readTimeTable(stts: BoxContent | undefined, ctts: BoxContent | undefined, most: number): TimeTable {
  const latest = new LatestPictures();
  const offsets = new CompositionOffsets(ctts);
  let [samples, decodedUnits, startUnits, endUnits] = [0, 0, Infinity, 0];
  const body = stts?.body ?? NOTHING;
  const count = stts === undefined ? 0 : tableEntries(stts, { head: 8, entryBytes: 8 });
  for (let at = 8; at < 8 + count * 8; at += 8) {
    const each = body.readUInt32BE(at + 4);
    for (let left = Math.min(body.readUInt32BE(at), most - samples); left > 0;) {
      const run = offsets.take(left);
      const start = decodedUnits + offsets.latest;
      startUnits = Math.min(startUnits, start);
      endUnits = Math.max(endUnits, start + run * each);
      if (at >= 8 + (count - LATEST_PICTURES) * 8) latest.beginAll(start, run, each);
      samples += run;
      decodedUnits += run * each;
      left -= run;
    }
  }
  return { samples, startUnits: samples === 0 ? 0 : startUnits, endUnits, decodedUnits, latest };
}

/** Of one sample after the other. Signed in both versions, as ffmpeg reads them. */
class CompositionOffsets {
  /** Of the samples that were taken last. */
  latest = 0;
  readonly #body: Buffer;
  readonly #end: number;
  #at = 8;
  #left = 0;

  constructor(ctts: BoxContent | undefined) {
    this.#body = ctts?.body ?? NOTHING;
    this.#end = ctts === undefined ? 8 : 8 + 8 * tableEntries(ctts, { head: 8, entryBytes: 8 });
  }

  /** The next samples that have the same, as many as are wanted at most. */
  take(wanted: number): number {
    while (this.#left === 0 && this.#at < this.#end) {
      this.#left = this.#body.readUInt32BE(this.#at);
      this.latest = this.#body.readInt32BE(this.#at + 4);
      this.#at += 8;
    }
    if (this.#left === 0) this.latest = 0;
    const taken = this.#left === 0 ? wanted : Math.min(wanted, this.#left);
    this.#left -= Math.min(taken, this.#left);
    return taken;
  }
}

function countOfSizes(stsz: BoxContent | undefined): number {
  return stsz === undefined || stsz.body.length < 12 ? Infinity : stsz.body.readUInt32BE(8);
}

interface MediaClock extends TimeTable {
  readonly movieScale: number;
  readonly timescale: number;
}

interface Presented extends Pick<Mp4Track, 'startS' | 'endS' | 'offsetS'> {
  /** There is nothing in between or behind as well. */
  readonly pauses: boolean;
}

/**
 * elst (§8.6.6): segments of the movie's time, each at a time of the media or, at -1, without any. Where none has a length,
 * as in front of fragments, the first shows all that is behind its time.
 */
function readEdits(elst: BoxContent | undefined, clock: MediaClock): Presented {
  const { movieScale, timescale, samples, startUnits, endUnits } = clock;
  if (timescale === 0) return { startS: 0, endS: 0, offsetS: 0, pauses: false };
  const [mediaStartS, mediaEndS] = [startUnits / timescale, endUnits / timescale];
  const body = elst?.body ?? NOTHING;
  const wide = body[0] === 1;
  const entryBytes = wide ? 20 : 12;
  const count = elst === undefined || movieScale === 0 ? 0 : tableEntries(elst, { head: 8, entryBytes });
  let [emptyS, shownS, pauses] = [0, 0, false];
  let firstS: number | undefined;
  // What is shown begins with the first sample that there is.
  const restS = (fromS: number): number => Math.max(0, mediaEndS - Math.max(fromS, mediaStartS));
  for (let at = 8; at < 8 + count * entryBytes; at += entryBytes) {
    const units = wide ? Number(body.readBigUInt64BE(at)) : body.readUInt32BE(at);
    const from = wide ? Number(body.readBigInt64BE(at + 8)) : body.readInt32BE(at + 4);
    if (from !== -1) {
      firstS ??= from / timescale;
      shownS += Math.min(units / movieScale, restS(from / timescale));
    } else if (firstS === undefined) emptyS += units / movieScale;
    else pauses ||= units > 0;
  }
  const offsetS = emptyS - (firstS ?? 0);
  const startS = emptyS + (firstS === undefined ? mediaStartS : 0);
  const lengthS = shownS > 0 ? shownS : restS(firstS ?? 0);
  return { startS, endS: samples === 0 ? 0 : startS + lengthS, offsetS, pauses };
}

/** ffmpeg plays some of the sound twice where its edits pause. */
function hasPause(offset: number): Failure {
  const text = `The edit list ("elst") of the MP4 at byte ${String(offset)} has a pause behind its beginning, which cannot be kept.`;
  return new Failure('unsupported-media', text);
}

/** stsd (§8.5.2): the first sample entry; of sound (§12.2.3) also how much of it there is. */
function readEntry(
  stsd: BoxContent | undefined,
  kind: Mp4Track['kind'],
): Pick<Mp4Track, 'codec' | 'channels' | 'sampleRate'> {
  const [entry] = stsd === undefined ? [] : boxesIn({ ...stsd, body: stsd.body.subarray(8), offset: stsd.offset + 8 });
  const codec = entry?.type ?? 'none';
  const none = { codec, channels: undefined, sampleRate: undefined };
  if (entry === undefined || kind !== 'sound' || entry.body.length < 28) return none;
  const { body } = entry;
  // Version 2 of QuickTime has its own fields behind those of version 0.
  if (body.readUInt16BE(8) === 2 && body.length >= 44)
    return { codec, channels: body.readUInt32BE(40), sampleRate: Math.round(body.readDoubleBE(32)) };
  return { codec, channels: channelsOfAac(body) ?? body.readUInt16BE(16), sampleRate: body.readUInt16BE(24) };
}

// ── where samples lie ───────────────────────────────────────────────────────────────────────────────────────────

/** The byte behind the last sample of the track, by its chunks (stco, co64, stsc) and sizes (stsz); 0 where it has none. */
function endOfChunks(boxes: ReadonlyMap<string, BoxContent>): number {
  const offsets = boxes.get('co64') ?? boxes.get('stco');
  const [runs, sizes] = [boxes.get('stsc'), boxes.get('stsz')];
  if (offsets === undefined || runs === undefined || sizes === undefined) return 0;
  const width = offsets.type === 'co64' ? 8 : 4;
  const chunks = tableEntries(offsets, { head: 8, entryBytes: width });
  const sizeOf = sampleSizes(sizes);
  let [end, sample] = [0, 0];
  for (const { first, last, samples } of chunkRuns(runs, chunks)) {
    for (let chunk = first; chunk < last; chunk += 1) {
      const at = 8 + chunk * width;
      const offset = width === 8 ? Number(offsets.body.readBigUInt64BE(at)) : offsets.body.readUInt32BE(at);
      const size = sizeOf(sample, samples);
      if (size > 0) end = Math.max(end, offset + size);
      sample += samples;
    }
  }
  return end;
}

/** stsz (§8.7.3.2): one size for all, or one each. Returns the bytes of `count` samples from `first` on. */
function sampleSizes(stsz: BoxContent): (first: number, count: number) => number {
  const uniform = stsz.body.length < 8 ? 0 : stsz.body.readUInt32BE(4);
  if (uniform > 0) {
    const total = stsz.body.length < 12 ? 0 : stsz.body.readUInt32BE(8);
    return (first, count) => Math.max(0, Math.min(count, total - first)) * uniform;
  }
  const total = tableEntries(stsz, { head: 12, entryBytes: 4 });
  return (first, count) => {
    let sum = 0;
    for (let sample = first; sample < Math.min(first + count, total); sample += 1)
      sum += stsz.body.readUInt32BE(12 + sample * 4);
    return sum;
  };
}

interface ChunkRun {
  /** Counted from 0; `last` is the first one behind. */
  readonly first: number;
  readonly last: number;
  /** In each chunk. */
  readonly samples: number;
}

/** stsc (§8.7.4): from which chunk on there are how many samples in each. */
function* chunkRuns(stsc: BoxContent, chunks: number): Generator<ChunkRun, void, void> {
  const count = tableEntries(stsc, { head: 8, entryBytes: 12 });
  for (let index = 0; index < count; index += 1) {
    const at = 8 + index * 12;
    const next = index + 1 < count ? stsc.body.readUInt32BE(at + 12) - 1 : chunks;
    const first = stsc.body.readUInt32BE(at) - 1;
    if (first < 0) throw unreadableMp4(stsc.offset, '"stsc" counts its chunks from 0');
    yield { first, last: Math.min(next, chunks), samples: stsc.body.readUInt32BE(at + 4) };
  }
}

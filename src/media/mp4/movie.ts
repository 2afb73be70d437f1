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
  /** Seconds of what is presented before its samples are (empty edits). */
  readonly startS: number;
  /** Seconds at which its last sample ends, `startS` included; 0 where its samples are in fragments. */
  readonly endS: number;
  /** Seconds of its end with so few samples that all of them may be repeats. */
  readonly repeatsS: number;
  readonly samples: number;
  /** Of a sample in a fragment that says no other, in units of `timescale`. */
  readonly fragmentUnits: number;
}

export interface Movie {
  /** In the order of the file, which is how ffmpeg numbers them. */
  readonly tracks: readonly Mp4Track[];
  /** The longest track as the header says it (ISO/IEC 14496-12 §8.2.2), milliseconds; undefined where it does not know. */
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
 * What the encoder has to know; `startS` of fragments is that of the first.
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
  const starts = tracks.filter(({ kind }) => kind !== 'other').map((track) => track.startS);
  return { sounds, pictures, isTimed: true, startS: startS ?? Math.min(...starts, Infinity) };
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
  const { samples, units, repeatsUnits } = readTimeTable(boxes.get('stts'), countOfSizes(boxes.get('stsz')));
  const [elst] = descendantsOf(trak, ['edts', 'elst']);
  const edits = readEdits(elst, movieScale, timescale);
  if (kind === 'sound') requireUnbroken(edits, elst?.offset ?? trak.offset);
  const id = readTrackId(trak);
  return {
    track: {
      id,
      kind,
      ...readEntry(boxes.get('stsd'), kind),
      timescale,
      ...presented(timescale === 0 ? 0 : units / timescale, edits),
      repeatsS: timescale === 0 ? 0 : repeatsUnits / timescale,
      samples,
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

interface TimeTable {
  readonly samples: number;
  readonly units: number;
  /** Of its end, with so few samples that all of them may be repeats. */
  readonly repeatsUnits: number;
}

/** stts (§8.6.1.2): runs of samples that last equally long; of no more samples than have a size. */
function readTimeTable(stts: BoxContent | undefined, most: number): TimeTable {
  let [samples, units] = [0, 0];
  if (stts === undefined) return { samples, units, repeatsUnits: 0 };
  const latest = new LatestPictures();
  const count = tableEntries(stts, { head: 8, entryBytes: 8 });
  for (let at = 8; at < 8 + count * 8; at += 8) {
    const run = Math.min(stts.body.readUInt32BE(at), most - samples);
    const each = stts.body.readUInt32BE(at + 4);
    if (at >= 8 + (count - LATEST_PICTURES) * 8) latest.beginAll(units, run, each);
    samples += run;
    units += run * each;
  }
  return { samples, units, repeatsUnits: units - (latest.since ?? units) };
}

function countOfSizes(stsz: BoxContent | undefined): number {
  return stsz === undefined || stsz.body.length < 12 ? Infinity : stsz.body.readUInt32BE(8);
}

interface Edits {
  /** Seconds of nothing in front. */
  readonly emptyS: number;
  /** Seconds of media that are presented; undefined where all of them are. */
  readonly shownS: number | undefined;
  /** There is nothing in between or behind as well. */
  readonly pauses: boolean;
}

const WITHOUT_EDITS: Edits = { emptyS: 0, shownS: undefined, pauses: false };

/** elst (§8.6.6): segments of the movie's time, each at a time of the media or, at -1, without any. */
function readEdits(elst: BoxContent | undefined, movieScale: number, mediaScale: number): Edits {
  if (elst === undefined || movieScale === 0 || mediaScale === 0) return WITHOUT_EDITS;
  const wide = elst.body[0] === 1;
  const entryBytes = wide ? 20 : 12;
  const count = tableEntries(elst, { head: 8, entryBytes });
  let [emptyS, shownS, pauses] = [0, 0, false];
  for (let at = 8; at < 8 + count * entryBytes; at += entryBytes) {
    const units = wide ? Number(elst.body.readBigUInt64BE(at)) : elst.body.readUInt32BE(at);
    const isEmpty = wide ? elst.body.readBigInt64BE(at + 8) === -1n : elst.body.readInt32BE(at + 4) === -1;
    if (!isEmpty) shownS += units / movieScale;
    else if (shownS === 0) emptyS += units / movieScale;
    else pauses ||= units > 0;
  }
  return { emptyS, shownS: shownS === 0 ? undefined : shownS, pauses };
}

/** ffmpeg plays some of the sound twice where its edits pause. */
function requireUnbroken({ pauses }: Edits, offset: number): void {
  if (!pauses) return;
  const text = `The edit list ("elst") of the MP4 at byte ${String(offset)} has a pause behind its beginning, which cannot be kept.`;
  throw new Failure('unsupported-media', text);
}

function presented(mediaS: number, { emptyS, shownS }: Edits): Pick<Mp4Track, 'startS' | 'endS'> {
  return { startS: emptyS, endS: mediaS === 0 ? 0 : emptyS + Math.min(mediaS, shownS ?? mediaS) };
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

/** The index of an MP4, and its fragments (moof, ISO/IEC 14496-12 §8.8) as they pass → from when to when each track plays. */
import { boxesIn, type BoxContent, unreadableMp4 } from './box.ts';
import { LATEST_PICTURES, type LatestPictures } from '../source/repeats.ts';
import type { Mp4Track } from './movie.ts';

/** Seconds. */
export interface TrackSpan {
  readonly kind: Mp4Track['kind'];
  readonly startS: number;
  readonly endS: number;
  /** Of its end, with so few samples that all of them may be repeats. */
  readonly repeatsS: number;
}

/** What of a track has passed, in its own units of time. */
class PlayedTrack {
  /** When its first sample is shown or heard, and when its last one is over. */
  start = Infinity;
  end = 0;
  /** Where the next fragment is decoded, if that does not say. */
  decoded: number;
  fragments = 0;
  readonly latest: LatestPictures;

  constructor({ decodedUnits, latest }: Mp4Track) {
    this.decoded = decodedUnits;
    this.latest = latest;
  }

  cover(start: number, end: number): void {
    this.start = Math.min(this.start, start);
    this.end = Math.max(this.end, end);
  }
}

/** So much of some tracks is read until the first of the others has come. */
const MOST_AHEAD_S = 5;

export class Fragments {
  /** Seconds that all of them should play, by a segment index in front of them; 0 where there is none. */
  announcedS = 0;
  /** Where it says that they end. */
  announcedByte = 0;
  #sawIndex = false;
  readonly #tracks: readonly Mp4Track[];
  /** By track. */
  readonly #played = new Map<number, PlayedTrack>();

  constructor(tracks: readonly Mp4Track[]) {
    this.#tracks = tracks.filter(({ kind }) => kind !== 'other');
  }

  /** What a fragment adds. @throws Failure `unreadable-media` where it contradicts itself */
  add(moof: BoxContent): void {
    for (const traf of boxesIn(moof)) if (traf.type === 'traf') this.#addRun(boxesIn(traf));
  }

  #addRun(boxes: readonly BoxContent[]): void {
    const header = boxes.find(({ type }) => type === 'tfhd');
    if (header === undefined || header.body.length < 8) return;
    const track = this.#tracks.find(({ id }) => id === header.body.readUInt32BE(4));
    if (track === undefined) return;
    const each = defaultUnits(header) ?? track.fragmentUnits;
    const played = this.#played.get(track.id) ?? new PlayedTrack(track);
    played.decoded = startUnits(boxes.find(({ type }) => type === 'tfdt')) ?? played.decoded;
    for (const run of boxes.filter(({ type }) => type === 'trun')) playRun(run, each, played);
    played.fragments += 1;
    if (played.end > played.start) this.#played.set(track.id, played);
  }

  /** Of several the first counts, if it covers the others as well (sidx, §8.16.3). */
  announce(sidx: BoxContent): void {
    const { body } = sidx;
    const at = body[0] === 0 ? 20 : 28;
    if (body.length < at + 4 || this.#sawIndex) return this.#announceMore(sidx);
    this.#sawIndex = true;
    const timescale = body.readUInt32BE(8);
    const count = body.readUInt16BE(at + 2);
    if (timescale === 0 || at + 4 + count * 12 > body.length) return;
    let [units, sizeBytes] = [0, body.readUInt32BE(at - 4)];
    for (let entry = at + 4; entry < at + 4 + count * 12; entry += 12) {
      sizeBytes += body.readUInt32BE(entry) % 2 ** 31;
      units += body.readUInt32BE(entry + 4);
    }
    this.announcedS = units / timescale;
    this.announcedByte = sidx.offset + body.length + sizeBytes;
  }

  /** A segment of its own behind what the first one covers: then nothing says how many there are. */
  #announceMore({ offset }: BoxContent): void {
    if (offset < this.announcedByte) return;
    this.announcedS = 0;
  }

  /** Of sound and pictures, each track of which there was anything. */
  get played(): readonly TrackSpan[] {
    return this.#tracks.map((track) => this.#spanOf(track)).filter(({ endS }) => endS > 0);
  }

  #spanOf(track: Mp4Track): TrackSpan {
    const played = this.#played.get(track.id);
    if (played === undefined || track.timescale === 0) return track;
    const { start, end, latest } = played;
    const [startS = 0, endS = 0] = [start, end].map((units) => track.offsetS + units / track.timescale);
    return {
      kind: track.kind,
      // Of what its edits leave out in front nothing is heard.
      startS: track.samples > 0 ? track.startS : Math.max(startS, track.startS),
      endS: Math.max(endS, track.endS),
      repeatsS: (end - (latest.since ?? end)) / track.timescale,
    };
  }

  /** Whether it is known when the first track begins: one whose fragments come behind so many others begins later. */
  get haveBegun(): boolean {
    if (this.played.length === this.#tracks.length) return true;
    return this.heardS > MOST_AHEAD_S && [...this.#played.values()].some(({ fragments }) => fragments > 1);
  }

  /** Seconds on the movie's clock at which the first track begins; 0 before any did. */
  get startS(): number {
    const starts = this.played.map(({ startS }) => startS);
    return starts.length === 0 ? 0 : Math.min(...starts);
  }

  /** Seconds from the first sample of any track to the last. */
  get heardS(): number {
    return Math.max(this.startS, ...this.played.map(({ endS }) => endS)) - this.startS;
  }
}

/** Of tfhd (§8.8.7): fields stand one behind the other, each where a flag says so. */
function defaultUnits({ body }: BoxContent): number | undefined {
  const flags = body.readUInt32BE(0);
  const at = 8 + ((flags & 0x1) === 0 ? 0 : 8) + ((flags & 0x2) === 0 ? 0 : 4);
  return (flags & 0x8) === 0 || body.length < at + 4 ? undefined : body.readUInt32BE(at);
}

/** tfdt (§8.8.12). */
function startUnits(tfdt: BoxContent | undefined): number | undefined {
  if (tfdt === undefined) return undefined;
  const wide = tfdt.body[0] === 1;
  if (tfdt.body.length < (wide ? 12 : 8)) return undefined;
  return wide ? Number(tfdt.body.readBigUInt64BE(4)) : tfdt.body.readUInt32BE(4);
}

/** The fields of a sample, by their flags: how long it lasts, its size, its own flags, how much later it is shown. */
const SAMPLE_FLAGS = [0x100, 0x200, 0x400, 0x800];

/** trun (§8.8.8): as many samples, each with those fields that the flags name. `units` is how long one lasts that says no other. */
function playRun({ body, offset }: BoxContent, units: number, played: PlayedTrack): void {
  if (body.length < 8) return;
  const flags = body.readUInt32BE(0);
  const count = body.readUInt32BE(4);
  const [hasUnits, , , hasOffset] = SAMPLE_FLAGS.map((flag) => (flags & flag) !== 0);
  const sampleBytes = SAMPLE_FLAGS.filter((flag) => (flags & flag) !== 0).length * 4;
  const first = 8 + ((flags & 0x1) === 0 ? 0 : 4) + ((flags & 0x4) === 0 ? 0 : 4);
  const last = first + count * sampleBytes;
  if (last > body.length)
    throw unreadableMp4(offset, `"trun" announces ${String(count)} samples, which its box cannot hold`);
  if (hasUnits !== true && hasOffset !== true) {
    played.cover(played.decoded, played.decoded + count * units);
    played.latest.beginAll(played.decoded, count, units);
    played.decoded += count * units;
    return;
  }
  for (let at = first; at < last; at += sampleBytes) {
    const each = hasUnits === true ? body.readUInt32BE(at) : units;
    const start = played.decoded + (hasOffset === true ? body.readInt32BE(at + sampleBytes - 4) : 0);
    played.cover(start, start + each);
    if (at >= last - LATEST_PICTURES * sampleBytes) played.latest.begin(start);
    played.decoded += each;
  }
}

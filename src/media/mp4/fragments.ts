/** Fragments of an MP4 (moof, ISO/IEC 14496-12 §8.8), as they pass → from when to when each track plays. */
import { boxesIn, type BoxContent, unreadableMp4 } from './box.ts';
import { LATEST_PICTURES, LatestPictures } from '../source/repeats.ts';
import type { Mp4Track } from './movie.ts';

/** Seconds. */
export interface FragmentSpan {
  readonly kind: Mp4Track['kind'];
  readonly startS: number;
  readonly endS: number;
  /** Of its end, with so few samples that all of them may be repeats. */
  readonly repeatsS: number;
}

interface Units {
  start: number;
  end: number;
  readonly latest: LatestPictures;
}

export class Fragments {
  /** Seconds that all of them should play, by a segment index in front of them; 0 where there is none. */
  announcedS = 0;
  /** Where it says that they end. */
  announcedByte = 0;
  #sawIndex = false;
  readonly #tracks: ReadonlyMap<number, Mp4Track>;
  /** By track, in its own units of time. */
  readonly #played = new Map<number, Units>();

  constructor(tracks: readonly Mp4Track[]) {
    this.#tracks = new Map(tracks.map((track) => [track.id, track]));
  }

  /** What a fragment adds. @throws Failure `unreadable-media` where it contradicts itself */
  add(moof: BoxContent): void {
    for (const traf of boxesIn(moof)) if (traf.type === 'traf') this.#addRun(boxesIn(traf));
  }

  #addRun(boxes: readonly BoxContent[]): void {
    const header = boxes.find(({ type }) => type === 'tfhd');
    const track =
      header === undefined || header.body.length < 8 ? undefined : this.#tracks.get(header.body.readUInt32BE(4));
    if (header === undefined || track === undefined) return;
    const sampleUnits = defaultUnits(header) ?? track.fragmentUnits;
    const played = this.#played.get(track.id);
    const start = startUnits(boxes.find(({ type }) => type === 'tfdt')) ?? played?.end ?? 0;
    const runs = boxes.filter(({ type }) => type === 'trun');
    const latest = played?.latest ?? new LatestPictures();
    const end = runs.reduce((at, run) => at + unitsOf(run, { at, sampleUnits, latest }), start);
    if (end === start) return;
    const first = played?.start ?? start;
    this.#played.set(track.id, { start: Math.min(first, start), end: Math.max(played?.end ?? 0, end), latest });
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

  spanOf(track: Mp4Track): FragmentSpan | undefined {
    const played = this.#played.get(track.id);
    if (played === undefined || track.timescale === 0) return undefined;
    const { start, end, latest } = played;
    const [startS = 0, endS = 0] = [start, end].map((units) => track.startS + units / track.timescale);
    return { kind: track.kind, startS, endS, repeatsS: (end - (latest.since ?? end)) / track.timescale };
  }

  /** Seconds on the movie's clock at which the first track begins; 0 before any did. */
  get startS(): number {
    const starts = this.#spans.map(({ startS }) => startS);
    return starts.length === 0 ? 0 : Math.min(...starts);
  }

  /** Seconds from the first sample of any track to the last. */
  get heardS(): number {
    return Math.max(this.startS, ...this.#spans.map(({ endS }) => endS)) - this.startS;
  }

  get #spans(): readonly FragmentSpan[] {
    return [...this.#tracks.values()].flatMap((track) => this.spanOf(track) ?? []);
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

interface RunPlace {
  readonly at: number;
  /** Of a sample that says no other. */
  readonly sampleUnits: number;
  readonly latest: LatestPictures;
}

/** trun (§8.8.8): as many samples, each with those fields that the flags name. */
function unitsOf({ body, offset }: BoxContent, { at: start, sampleUnits, latest }: RunPlace): number {
  if (body.length < 8) return 0;
  const flags = body.readUInt32BE(0);
  const count = body.readUInt32BE(4);
  const sampleBytes = [0x100, 0x200, 0x400, 0x800].filter((flag) => (flags & flag) !== 0).length * 4;
  const first = 8 + ((flags & 0x1) === 0 ? 0 : 4) + ((flags & 0x4) === 0 ? 0 : 4);
  if (first + count * sampleBytes > body.length)
    throw unreadableMp4(offset, `"trun" announces ${String(count)} samples, which its box cannot hold`);
  if ((flags & 0x100) === 0) {
    latest.beginAll(start, count, sampleUnits);
    return count * sampleUnits;
  }
  let units = 0;
  for (let at = first; at < first + count * sampleBytes; at += sampleBytes) {
    if (at >= first + (count - LATEST_PICTURES) * sampleBytes) latest.begin(start + units);
    units += body.readUInt32BE(at);
  }
  return units;
}

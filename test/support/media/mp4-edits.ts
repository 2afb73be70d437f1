/** Puts an edit list into an MP4 whose index is at its end, in place of none. */
import { boxOf } from './mp4-write.ts';

/** Seconds it lasts, and the second of the media it begins at; undefined for nothing. */
export type Edit = readonly [lastsS: number, fromS: number | undefined];

/** Of the only track; in version 1 with wide numbers. */
export function withEdits(mp4: Buffer, edits: readonly Edit[], version: 0 | 1 = 0): Buffer {
  const moov = within(mp4, [0, mp4.length], 'moov');
  const [mvhd, trak] = [within(mp4, inside(moov), 'mvhd'), within(mp4, inside(moov), 'trak')];
  const [tkhd, mdia] = [within(mp4, inside(trak), 'tkhd'), within(mp4, inside(trak), 'mdia')];
  const mdhd = within(mp4, inside(mdia), 'mdhd');
  const [movieScale, mediaScale] = [mvhd, mdhd].map(([at]) => mp4.readUInt32BE(at + 20)) as [number, number];
  const head = Buffer.alloc(8);
  head[0] = version;
  head.writeUInt32BE(edits.length, 4);
  const entries = edits.map(([lastsS, fromS]) => {
    const from = fromS === undefined ? -1 : Math.round(fromS * mediaScale);
    return entryOf(Math.round(lastsS * movieScale), from, version);
  });
  const edts = boxOf('edts', boxOf('elst', Buffer.concat([head, ...entries])));
  const made = Buffer.concat([mp4.subarray(0, tkhd[1]), edts, mp4.subarray(tkhd[1])]);
  for (const [at, end] of [trak, moov]) made.writeUInt32BE(end - at + edts.length, at);
  const units = Math.round(edits.reduce((sum, [lastsS]) => sum + lastsS, 0) * movieScale);
  made.writeUInt32BE(units, mvhd[0] + 24);
  made.writeUInt32BE(units, tkhd[0] + 28);
  return made;
}

function entryOf(units: number, from: number, version: 0 | 1): Buffer {
  const entry = Buffer.alloc(version === 1 ? 20 : 12);
  if (version === 1) {
    entry.writeBigUInt64BE(BigInt(units));
    entry.writeBigInt64BE(BigInt(from), 8);
  } else {
    entry.writeUInt32BE(units);
    entry.writeInt32BE(from, 4);
  }
  // Its rate is 1.
  entry.writeUInt32BE(0x1_0000, entry.length - 4);
  return entry;
}

/** Where a box begins and ends. */
type Range = readonly [number, number];

const inside = ([at, end]: Range): Range => [at + 8, end];

function within(mp4: Buffer, [from, to]: Range, type: string): Range {
  for (let at = from; at < to;) {
    const end = at + mp4.readUInt32BE(at);
    if (mp4.toString('latin1', at + 4, at + 8) === type) return [at, end];
    at = end;
  }
  throw new Error(`There is no ${type}.`);
}

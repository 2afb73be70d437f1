/** One seek in a stored hour → the bytes a player has to read for it, over the signed link and by the file's own index. */
import { createReadStream } from 'node:fs';
import { ID, readHead, readUint, type Content, childrenOf } from '../../src/media/webm/ebml.ts';
import { readWebm } from '../../src/media/webm/reader.ts';
import { fileOf, startRig } from './rig.ts';
import type { Bench, Row } from './row.ts';

/** How long is played after the seek. */
const PLAYED_MS = 10_000;

/** What a player asks for first, and as much again until it has the index. */
const HEAD_BYTES = 16_384;

export async function seekRow(bench: Bench): Promise<Row> {
  const path = await bench.inputs.stereoOpus(bench.quick ? 300 : 3600);
  await using rig = await startRig(bench.folder);
  const { manifest, path: stored } = await rig.archive([fileOf(path, '0')]);
  const { conversationId, recordingId } = manifest;
  const link: unknown = await (
    await fetch(`${rig.service.url}/recordings/${conversationId ?? '_'}/${recordingId}/link`)
  ).json();
  const reader = new RangedReader(String(Object(link).url));
  const fromMs = 0.9 * manifest.webm.durationMs;
  const cues = await readCues(reader);
  const first = cues.findLast((cue) => cue.timeMs <= fromMs);
  const last = cues.find((cue) => cue.timeMs >= fromMs + PLAYED_MS);
  if (first === undefined || last === undefined) throw new Error('There are no Cues around the place.');
  await reader.read(first.at, last.at);
  const playedBytes = await bytesPlayed(stored, fromMs);
  const share = (reader.readBytes - playedBytes) / manifest.webm.sizeBytes;
  return {
    work: `a seek to 90 % of ${bench.quick ? '5 min' : 'an hour'} of Opus and ${String(PLAYED_MS / 1000)} s of playing: bytes read beyond what is played`,
    reference: `${(manifest.webm.sizeBytes / 1e6).toFixed(1)} MB (a file without Cues is read up to there)`,
    ours: `${((reader.readBytes - playedBytes) / 1000).toFixed(0)} kB in ${String(reader.requests)} requests`,
    ratio: `${(share * 100).toFixed(2)} %`,
    target: '2 % of the file',
    met: share < 0.02,
  };
}

/** Counts what comes over the wire. */
class RangedReader {
  readBytes = 0;
  requests = 0;
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async read(start: number, end: number): Promise<Buffer> {
    const response = await fetch(this.#url, { headers: { range: `bytes=${String(start)}-${String(end - 1)}` } });
    if (response.status !== 206) throw new Error(`The link answered ${String(response.status)} to a range.`);
    const bytes = Buffer.from(await response.arrayBuffer());
    this.readBytes += bytes.length;
    this.requests += 1;
    return bytes;
  }
}

interface Cue {
  readonly timeMs: number;
  /** Offset in the file. */
  readonly at: number;
}

async function readCues(reader: RangedReader): Promise<readonly Cue[]> {
  let bytes = await reader.read(0, HEAD_BYTES);
  for (;;) {
    const cues = findCues(bytes);
    if (cues !== undefined) return cues;
    bytes = Buffer.concat([bytes, await reader.read(bytes.length, bytes.length + HEAD_BYTES)]);
  }
}

/** undefined where the beginning of the file is too short to hold all of them. */
function findCues(bytes: Buffer): readonly Cue[] | undefined {
  let at = 0;
  let segmentAt = 0;
  for (;;) {
    const head = readHead(bytes, at, 0);
    if (head === undefined) return undefined;
    const start = at + head.headLength;
    if (head.id === ID.Segment) segmentAt = start;
    const end = head.id === ID.Segment ? start : start + (head.size ?? 0);
    if (end > bytes.length) return undefined;
    if (head.id === ID.Cues) return cuesOf({ content: bytes.subarray(start, end), offset: start }, segmentAt);
    if (head.id === ID.Cluster) throw new Error('A Cluster comes before the Cues.');
    at = end;
  }
}

function cuesOf(element: Content, segmentAt: number): readonly Cue[] {
  return [...childrenOf(element)].map((point) => {
    const inside = [...childrenOf(point)];
    const positions = inside.find(({ id }) => id === ID.CueTrackPositions);
    const position = positions && [...childrenOf(positions)].find(({ id }) => id === ID.CueClusterPosition);
    const time = inside.find(({ id }) => id === ID.CueTime);
    if (position === undefined || time === undefined) throw new Error('A Cue has no time or no position.');
    return { timeMs: readUint(time), at: segmentAt + readUint(position) };
  });
}

/** The packets themselves of what is played, counted in the file. */
async function bytesPlayed(path: string, fromMs: number): Promise<number> {
  const { packets } = await readWebm(createReadStream(path));
  let bytes = 0;
  for await (const batch of packets)
    for (const { timeNs, data } of batch)
      if (timeNs >= fromMs * 1e6 && timeNs < (fromMs + PLAYED_MS) * 1e6) bytes += data.length;
  return bytes;
}

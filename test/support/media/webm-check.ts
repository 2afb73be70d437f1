/** Checks a WebM the way mkvalidator does, by a walk of its own through every element, and says what it found. */
import assert from 'node:assert/strict';

export interface CheckedCue {
  readonly timeMs: number;
  readonly track: number;
  /** Absolute offset of the Cluster it points at. */
  readonly cluster: number;
}

export interface CheckedBlock {
  readonly track: number;
  readonly timeMs: number;
  readonly keyframe: boolean;
  readonly discardPaddingNs: number;
  readonly data: Buffer;
  /** Absolute offset of its Cluster. */
  readonly cluster: number;
}

export interface Checked {
  readonly durationMs: number | undefined;
  /** Bytes in front of the first Cluster. */
  readonly headBytes: number;
  readonly clusters: readonly { readonly at: number; readonly size: number; readonly timeMs: number }[];
  readonly cues: readonly CheckedCue[];
  readonly blocks: readonly CheckedBlock[];
}

interface Element {
  readonly id: number;
  readonly at: number;
  readonly start: number;
  readonly end: number;
}

const MASTERS = new Set([0x1a45dfa3, 0x18538067, 0x114d9b74, 0x4dbb, 0x1549a966, 0x1654ae6b, 0xae, 0xe0, 0xe1]);
for (const id of [0x1c53bb6b, 0xbb, 0xb7, 0x1f43b675, 0xa0]) MASTERS.add(id);

/** Everything a seekable file must be: asserts, and returns what was found. `live`: Segment of unknown size, without SeekHead and Cues. */
export function checkWebm(bytes: Buffer, { live = false }: { readonly live?: boolean } = {}): Checked {
  const top = children(bytes, 0, bytes.length);
  assert.deepEqual(
    top.map((element) => element.id),
    [0x1a45dfa3, 0x18538067],
    'one EBML header, one Segment, nothing else',
  );
  const segment = the(top, 0x18538067);
  assert.equal(segment.end, bytes.length, 'the Segment reaches to the last byte');
  const parts = children(bytes, segment.start, segment.end);
  const expected = live ? [0x1549a966, 0x1654ae6b] : [0x114d9b74, 0x1549a966, 0x1654ae6b, 0x1c53bb6b];
  const clusters = parts.filter((part) => part.id === 0x1f43b675);
  assert.deepEqual(
    parts.map((part) => part.id),
    [...expected, ...clusters.map((part) => part.id)],
    'head elements in order, then Clusters only',
  );
  walk(bytes, 0, bytes.length);
  if (!live) checkSeekHead(bytes, segment, parts);
  const blocks = clusters.flatMap((cluster) => blocksOf(bytes, cluster));
  const cues = live ? [] : cuesOf(bytes, segment, parts);
  checkBlocks(blocks, trackNumbers(bytes, the(parts, 0x1654ae6b)));
  checkCues(cues, blocks, clusters);
  const duration = children(bytes, the(parts, 0x1549a966).start, the(parts, 0x1549a966).end).find(
    (e) => e.id === 0x4489,
  );
  return {
    durationMs: duration === undefined ? undefined : bytes.readDoubleBE(duration.start),
    headBytes: clusters[0]?.at ?? bytes.length,
    clusters: clusters.map((cluster) => ({
      at: cluster.at,
      size: cluster.end - cluster.at,
      timeMs: clusterTime(bytes, cluster),
    })),
    cues,
    blocks,
  };
}

/** Every master's children fill it exactly, all the way down. */
function walk(bytes: Buffer, start: number, end: number): void {
  for (const element of children(bytes, start, end))
    if (MASTERS.has(element.id)) walk(bytes, element.start, element.end);
}

function children(bytes: Buffer, start: number, end: number): Element[] {
  const found: Element[] = [];
  let at = start;
  while (at < end) {
    const idWidth = Math.clz32(bytes.readUInt8(at)) - 23;
    const sizeWidth = Math.clz32(bytes.readUInt8(at + idWidth)) - 23;
    assert.ok(idWidth <= 4 && sizeWidth <= 8, `an element begins at ${at}`);
    const id = bytes.readUIntBE(at, idWidth);
    const raw = vint(bytes, at + idWidth, sizeWidth);
    const from = at + idWidth + sizeWidth;
    const isUnknown = raw === 2 ** (7 * sizeWidth) - 1;
    assert.ok(!isUnknown || id === 0x18538067, 'only the Segment may have no size');
    const to = isUnknown ? end : from + raw;
    assert.ok(to <= end, `the element ${id.toString(16)} at ${at} stays within its parent`);
    found.push({ id, at, start: from, end: to });
    at = to;
  }
  return found;
}

function vint(bytes: Buffer, at: number, width: number): number {
  let value = bytes.readUInt8(at) & (0xff >> width);
  for (let i = 1; i < width; i += 1) value = value * 256 + bytes.readUInt8(at + i);
  return value;
}

function uint(bytes: Buffer, { start, end }: Element): number {
  return end === start ? 0 : bytes.readUIntBE(start, end - start);
}

function the(elements: readonly Element[], id: number): Element {
  const found = elements.filter((element) => element.id === id);
  assert.equal(found.length, 1, `one element ${id.toString(16)}`);
  const [only] = found;
  assert.ok(only !== undefined);
  return only;
}

function checkSeekHead(bytes: Buffer, segment: Element, parts: readonly Element[]): void {
  const head = the(parts, 0x114d9b74);
  const pointed = children(bytes, head.start, head.end).map((seek) => {
    const inside = children(bytes, seek.start, seek.end);
    const id = uint(bytes, the(inside, 0x53ab));
    const at = segment.start + uint(bytes, the(inside, 0x53ac));
    assert.ok(
      parts.some((part) => part.at === at && part.id === id),
      `the SeekHead entry for ${id.toString(16)} points at one`,
    );
    return id;
  });
  assert.deepEqual(pointed, [0x1549a966, 0x1654ae6b, 0x1c53bb6b]);
}

function cuesOf(bytes: Buffer, segment: Element, parts: readonly Element[]): CheckedCue[] {
  const cues = the(parts, 0x1c53bb6b);
  const points = children(bytes, cues.start, cues.end).map((point) => {
    const inside = children(bytes, point.start, point.end);
    const positions = the(inside, 0xb7);
    const where = children(bytes, positions.start, positions.end);
    return {
      timeMs: uint(bytes, the(inside, 0xb3)),
      track: uint(bytes, the(where, 0xf7)),
      cluster: segment.start + uint(bytes, the(where, 0xf1)),
    };
  });
  assert.ok(points.length > 0, 'there are Cues');
  const times = points.map((point) => point.timeMs);
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
    'Cues ascend',
  );
  return points;
}

function checkCues(cues: readonly CheckedCue[], blocks: readonly CheckedBlock[], clusters: readonly Element[]): void {
  const starts = new Set(clusters.map((cluster) => cluster.at));
  const keyframes = new Set(
    blocks.filter((block) => block.keyframe).map((block) => `${block.cluster} ${block.track} ${block.timeMs}`),
  );
  for (const cue of cues) {
    assert.ok(starts.has(cue.cluster), `the Cue at ${cue.timeMs} ms points at a Cluster`);
    const key = `${cue.cluster} ${cue.track} ${cue.timeMs}`;
    assert.ok(keyframes.has(key), `which holds a keyframe of that track at that time`);
  }
}

function trackNumbers(bytes: Buffer, tracks: Element): number[] {
  return children(bytes, tracks.start, tracks.end).map((entry) => {
    const inside = children(bytes, entry.start, entry.end);
    return uint(bytes, the(inside, 0xd7));
  });
}

function clusterTime(bytes: Buffer, cluster: Element): number {
  const [first] = children(bytes, cluster.start, cluster.end);
  assert.equal(first?.id, 0xe7, 'a Cluster begins with its time');
  return uint(bytes, first);
}

function blocksOf(bytes: Buffer, cluster: Element): CheckedBlock[] {
  const timeMs = clusterTime(bytes, cluster);
  return children(bytes, cluster.start, cluster.end)
    .slice(1)
    .map((element) => {
      assert.ok(element.id === 0xa3 || element.id === 0xa0, 'a Cluster holds blocks only');
      const group = element.id === 0xa0 ? children(bytes, element.start, element.end) : [];
      const block = element.id === 0xa0 ? the(group, 0xa1) : element;
      const flags = bytes.readUInt8(block.start + 3);
      assert.equal(flags & 0x06, 0, 'no lacing');
      const discard = group.find((child) => child.id === 0x75a2);
      return {
        track: bytes.readUInt8(block.start) & 0x7f,
        timeMs: timeMs + bytes.readInt16BE(block.start + 1),
        keyframe: element.id === 0xa0 ? group.every((child) => child.id !== 0xfb) : (flags & 0x80) !== 0,
        discardPaddingNs: discard === undefined ? 0 : Number(bytes.readBigInt64BE(discard.start)),
        data: bytes.subarray(block.start + 4, block.end),
        cluster: cluster.at,
      };
    });
}

function checkBlocks(blocks: readonly CheckedBlock[], tracks: readonly number[]): void {
  const last = new Map<number, number>();
  for (const { track, timeMs } of blocks) {
    assert.ok(tracks.includes(track), `track ${track} is declared`);
    assert.ok(timeMs >= (last.get(track) ?? Number.NEGATIVE_INFINITY), `times of track ${track} ascend`);
    last.set(track, timeMs);
  }
}

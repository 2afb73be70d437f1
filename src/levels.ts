/** Who speaks when, and how loud: the values of `levels.bin`, their bytes, and the picture and figures that follow from them. */

/** Values per second and channel. */
export const LEVELS_PER_S = 10;

/** Columns of the picture that a list shows of a recording. */
export const PICTURE_COLUMNS = 28;

/** A value's step, dB: 255 is full scale, 1 is 63.5 dB below it, 0 is silence. */
export const LEVEL_STEP_DB = 0.25;

/** From and to (exclusive), in tenths of a second. */
export interface SpeechSpan {
  readonly start: number;
  readonly end: number;
}

export interface ChannelLevels {
  /** Root mean square of each tenth of a second: see {@link LEVEL_STEP_DB}. */
  readonly values: Uint8Array;
  /** Where somebody speaks on this channel; ascending, none touches the next. */
  readonly speech: readonly SpeechSpan[];
}

export interface Levels {
  /** By channel, at most two, all as long; none where nothing can be told of the sound. */
  readonly channels: readonly ChannelLevels[];
}

/** What a list shows without reading `levels.bin`. Seconds have one decimal. */
export interface LevelFacts {
  /** By channel {@link PICTURE_COLUMNS} digits, `0` for nothing to `f`: how much and how loud somebody speaks there. */
  readonly picture: readonly string[];
  /** Seconds that somebody speaks, by channel. */
  readonly speakingS: readonly number[];
  /** Seconds that both channels speak at once. */
  readonly bothS: number;
  /** Seconds that nobody speaks, and the longest of these times. */
  readonly silentS: number;
  readonly longestSilenceS: number;
}

/** `LVLS`. */
const MAGIC = 0x4c_56_4c_53;
const VERSION = 1;
const MAX_CHANNELS = 2;
const HEAD_BYTES = 20;
const SPAN_BYTES = 8;

/** Version 1: the head, the spans of each channel, the values of each channel; numbers are little-endian (archive/README.md). */
export function encodeLevels({ channels }: Levels): Uint8Array {
  const length = channels[0]?.values.length ?? 0;
  const spans = channels.flatMap(({ speech }) => speech);
  const bytes = new Uint8Array(HEAD_BYTES + spans.length * SPAN_BYTES + channels.length * length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint8(4, VERSION);
  view.setUint8(5, channels.length);
  view.setUint16(6, LEVELS_PER_S, true);
  view.setUint32(8, length, true);
  for (const [index, { speech }] of channels.entries()) view.setUint32(12 + 4 * index, speech.length, true);
  let at = HEAD_BYTES;
  for (const { start, end } of spans) {
    view.setUint32(at, start, true);
    view.setUint32(at + 4, end, true);
    at += SPAN_BYTES;
  }
  for (const { values } of channels) {
    bytes.set(values, at);
    at += length;
  }
  return bytes;
}

/** undefined for what is no whole `levels.bin` of this version; never throws. The values are views of the bytes. */
export function parseLevels(bytes: Uint8Array): Levels | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== MAGIC) return undefined;
  const count = view.getUint8(5);
  if (view.getUint8(4) !== VERSION || count > MAX_CHANNELS || view.getUint16(6, true) !== LEVELS_PER_S)
    return undefined;
  const length = view.getUint32(8, true);
  const [spans, others] = spanCounts(view, count);
  if (others > 0) return undefined;
  const values = HEAD_BYTES + spans.reduce((sum, each) => sum + each * SPAN_BYTES, 0);
  if (values + count * length !== bytes.length) return undefined;
  const channels: ChannelLevels[] = [];
  let at = HEAD_BYTES;
  for (const [index, each] of spans.entries()) {
    const speech = readSpans(view, { at, count: each, length });
    if (speech === undefined) return undefined;
    const from = values + index * length;
    channels.push({ values: bytes.subarray(from, from + length), speech });
    at += each * SPAN_BYTES;
  }
  return { channels };
}

/** Of the channels that there are, and of those that there are not. */
function spanCounts(view: DataView, count: number): readonly [readonly number[], number] {
  const counts = [view.getUint32(12, true), view.getUint32(16, true)];
  return [counts.slice(0, count), counts.slice(count).reduce((sum, each) => sum + each, 0)];
}

interface Spans {
  readonly at: number;
  readonly count: number;
  /** None ends behind it. */
  readonly length: number;
}

function readSpans(view: DataView, { at, count, length }: Spans): readonly SpeechSpan[] | undefined {
  const speech: SpeechSpan[] = [];
  let last = -1;
  for (let index = 0; index < count; index += 1) {
    const start = view.getUint32(at + index * SPAN_BYTES, true);
    const end = view.getUint32(at + index * SPAN_BYTES + 4, true);
    if (start <= last || end <= start || end > length) return undefined;
    speech.push({ start, end });
    last = end;
  }
  return speech;
}

/** The picture and the figures of these levels. */
export function levelFactsOf({ channels }: Levels): LevelFacts {
  const length = channels[0]?.values.length ?? 0;
  const speaking = channels.map(({ speech }) => tenthsOf(speech));
  const sound = union(channels.flatMap(({ speech }) => speech));
  const sounding = tenthsOf(sound);
  return {
    picture: channels.map(pictureOf),
    speakingS: speaking.map((tenths) => tenths / LEVELS_PER_S),
    bothS: (speaking.reduce((sum, tenths) => sum + tenths, 0) - sounding) / LEVELS_PER_S,
    silentS: (length - sounding) / LEVELS_PER_S,
    longestSilenceS: longestGap(sound, length) / LEVELS_PER_S,
  };
}

function tenthsOf(spans: readonly SpeechSpan[]): number {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0);
}

function union(spans: readonly SpeechSpan[]): readonly SpeechSpan[] {
  const joined: SpeechSpan[] = [];
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last === undefined || span.start > last.end) joined.push(span);
    else joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, span.end) };
  }
  return joined;
}

function longestGap(spans: readonly SpeechSpan[], length: number): number {
  let longest = 0;
  let from = 0;
  for (const { start, end } of spans) {
    longest = Math.max(longest, start - from);
    from = end;
  }
  return Math.max(longest, length - from);
}

/** What lies so far below the loudest speech of a channel is drawn as its lowest: 30 dB. */
const PICTURE_RANGE = 30 / LEVEL_STEP_DB;

/** The loudness of what is spoken in a column, lowered by how little of the column that is. */
function pictureOf({ values, speech }: ChannelLevels): string {
  const isSpoken = new Uint8Array(values.length);
  for (const { start, end } of speech) isSpoken.fill(1, start, end);
  const loudest = speech.reduce((most, { start, end }) => Math.max(most, meanOf(values.subarray(start, end))), 0);
  return Array.from({ length: PICTURE_COLUMNS }, (_, column) => {
    const start = Math.floor((column * values.length) / PICTURE_COLUMNS);
    const end = Math.max(start + 1, Math.floor(((column + 1) * values.length) / PICTURE_COLUMNS));
    const [spoken, mean] = spokenIn(values, isSpoken, { start, end });
    if (spoken === 0) return '0';
    const loudness = 1 - Math.min(Math.max(loudest - mean, 0) / PICTURE_RANGE, 0.9);
    return Math.max(1, Math.round(15 * loudness * Math.sqrt(spoken / (end - start)))).toString(16);
  }).join('');
}

/** How many of the tenths of a span are spoken, and the mean of those. */
function spokenIn(values: Uint8Array, isSpoken: Uint8Array, { start, end }: SpeechSpan): readonly [number, number] {
  let spoken = 0;
  let sum = 0;
  for (let tenth = start; tenth < Math.min(end, values.length); tenth += 1) {
    if (isSpoken[tenth] !== 1) continue;
    spoken += 1;
    sum += values[tenth] ?? 0;
  }
  return [spoken, sum / Math.max(1, spoken)];
}

function meanOf(values: Uint8Array): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** The `fmt ` chunk of a WAV → what its sound is, how long so many bytes of it play, and the same chunk as ffmpeg reads it best. */
import { Failure } from '../../failure.ts';

export interface WavFormat {
  /** `pcm`, `a-law`, `g.722` …; `format 0x…` where it is not decoded here. */
  readonly codec: string;
  readonly channels: number;
  /** Hertz. */
  readonly sampleRate: number;
  /** Whether decoding gives exactly so many channels. */
  readonly isExact: boolean;
  /** Of one sample of all channels; undefined where there is no such thing. */
  readonly frameBytes: number | undefined;
  /** Milliseconds that so many bytes of sound play; undefined where the format does not tell. */
  readonly msOf: ((sizeBytes: number) => number) | undefined;
}

interface WavCodec {
  readonly name: string;
  /** What ffmpeg calls it, where that is another number. */
  readonly alias?: number;
  /** How its bytes become samples; by their average rate where absent. */
  readonly count?: 'samples' | 'bytes' | 'blocks' | 'half-bytes';
  /** Its own header says how many channels it has. */
  readonly isInexact?: true;
}

/** Numbers of RFC 2361 and of Microsoft's mmreg.h that are decoded here. */
const WAV_CODECS: ReadonlyMap<number, WavCodec> = new Map<number, WavCodec>([
  [0x01, { name: 'pcm', count: 'samples' }],
  [0x02, { name: 'ms adpcm', count: 'blocks' }],
  [0x03, { name: 'float', count: 'samples' }],
  [0x06, { name: 'a-law', count: 'bytes' }],
  [0x07, { name: 'µ-law', count: 'bytes' }],
  [0x10, { name: 'oki adpcm' }],
  [0x11, { name: 'ima adpcm', count: 'blocks' }],
  [0x17, { name: 'dialogic oki adpcm' }],
  [0x31, { name: 'gsm', count: 'blocks' }],
  [0x42, { name: 'g.723.1' }],
  [0x45, { name: 'g.726' }],
  [0x50, { name: 'mp2', isInexact: true }],
  [0x55, { name: 'mp3', isInexact: true }],
  [0x64, { name: 'g.726', alias: 0x45 }],
  [0x65, { name: 'g.722', alias: 0x28f, count: 'half-bytes' }],
  [0x83, { name: 'g.729' }],
  [0xff, { name: 'aac', isInexact: true }],
  [0x28f, { name: 'g.722', count: 'half-bytes' }],
  [0xa109, { name: 'speex', isInexact: true }],
]);

/** What is met in telephony and not decoded here, by the name that people know. */
const OTHERS: ReadonlyMap<number, string> = new Map([
  [0x22, 'TrueSpeech'],
  [0x40, 'G.721 ADPCM'],
  [0x70, 'Lernout & Hauspie CELP'],
  [0x130, 'ACELP.net'],
  [0x160, 'Windows Media Audio 1'],
  [0x161, 'Windows Media Audio'],
  [0x162, 'Windows Media Audio Professional'],
  [0x163, 'Windows Media Audio Lossless'],
  [0x2000, 'AC-3'],
  [0x2001, 'DTS'],
]);

/** Of several channels nothing says how they lie in each other. */
const MONO_ONLY = new Set(['gsm', 'g.722', 'g.726']);

const EXTENSIBLE = 0xfffe;

/** Whether the name of a chunk may stand here (`_PMX`, `.smp`, `3DIM` and `(c) ` are met), and not the beginning of a text. */
export const isChunkName = (bytes: Buffer): boolean =>
  /^[A-Za-z0-9_.(][\x20-\x7e]{3}/.test(bytes.toString('latin1', 0, 4));

/** undefined where there are not even the 16 bytes of its oldest version. */
export function parseWavFormat(chunk: Buffer): WavFormat | undefined {
  if (chunk.length < 16) return undefined;
  const tag = tagOf(chunk);
  const codec = WAV_CODECS.get(tag);
  const channels = chunk.readUInt16LE(2);
  const sampleRate = chunk.readUInt32LE(4);
  return {
    codec: codec?.name ?? unknownName(tag),
    channels,
    sampleRate,
    isExact: codec?.isInexact !== true,
    frameBytes: frameOf(codec?.count, chunk),
    msOf: lengthBy(codec?.count, chunk),
  };
}

/** Its own size of a frame some get wrong: no sample takes less than its bits. */
function frameOf(count: WavCodec['count'], chunk: Buffer): number | undefined {
  const [channels, block, bits] = [chunk.readUInt16LE(2), chunk.readUInt16LE(12), chunk.readUInt16LE(14)];
  const frame = count === 'samples' ? Math.max(block, channels * Math.ceil(bits / 8)) : channels;
  return (count === 'samples' || count === 'bytes') && frame > 0 ? frame : undefined;
}

function tagOf(chunk: Buffer): number {
  const label = chunk.readUInt16LE(0);
  return label === EXTENSIBLE && chunk.length >= 26 ? chunk.readUInt16LE(24) : label;
}

function unknownName(tag: number): string {
  const name = OTHERS.get(tag);
  return `format 0x${tag.toString(16).padStart(2, '0')}${name === undefined ? '' : ` (${name})`}`;
}

/** Bytes to milliseconds: by sample frames or blocks where all have one size, else by the average rate, which some get wrong. */
function lengthBy(count: WavCodec['count'], chunk: Buffer): WavFormat['msOf'] {
  const [channels, sampleRate] = [chunk.readUInt16LE(2), chunk.readUInt32LE(4)];
  const [bytesPerSecond, block] = [chunk.readUInt32LE(8), chunk.readUInt16LE(12)];
  if (sampleRate === 0 || channels === 0) return undefined;
  const ms = (samples: number): number => (samples / sampleRate) * 1000;
  const frame = frameOf(count, chunk);
  if (frame !== undefined) return (size) => ms(Math.floor(size / frame));
  if (count === 'half-bytes') return (size) => ms((size * 2) / channels);
  const blockSamples = count === 'blocks' && chunk.length >= 20 ? chunk.readUInt16LE(18) : 0;
  if (blockSamples > 0 && block > 0) return (size) => ms((size / block) * blockSamples);
  return bytesPerSecond > 0 ? (size) => (size / bytesPerSecond) * 1000 : undefined;
}

/**
 * The chunk's content for ffmpeg: channels by their number and not by the places that a mask gives them, samples by all of their
 * bits, and the codec by the number that ffmpeg knows.
 * @throws Failure `unsupported-media` naming the codec, `unreadable-media` for a format that nothing can be decoded by
 */
export function plainFormat(chunk: Buffer): Buffer {
  requireDecodable(parseWavFormat(chunk));
  const plain = Buffer.from(chunk);
  if (plain.readUInt16LE(0) === EXTENSIBLE && plain.length >= 24) {
    // What of a sample is valid stands at its top: read as a whole it has the same level.
    plain.copy(plain, 18, 14, 16);
    plain.writeUInt32LE(0, 20);
  }
  const alias = WAV_CODECS.get(tagOf(chunk))?.alias;
  if (alias !== undefined) plain.writeUInt16LE(alias, plain.readUInt16LE(0) === EXTENSIBLE ? 24 : 0);
  return plain;
}

/** As many as ffmpeg's filters can name. */
const MAX_CHANNELS = 64;

/** @throws Failure `unsupported-media` naming the codec, `unreadable-media` for a format that nothing can be decoded by */
export function requireDecodable(format: Pick<WavFormat, 'codec' | 'channels' | 'sampleRate'> | undefined): void {
  if (format === undefined) throw new Failure('unreadable-media', 'The WAV does not say in which format its sound is.');
  const { codec, channels, sampleRate } = format;
  if (codec.startsWith('format '))
    throw new Failure('unsupported-media', `The WAV holds ${codec}, which is not decoded here.`);
  if (channels > MAX_CHANNELS)
    throw new Failure(
      'unsupported-media',
      `The WAV has ${String(channels)} channels; up to ${String(MAX_CHANNELS)} are read.`,
    );
  if (channels > 1 && MONO_ONLY.has(codec))
    throw new Failure(
      'unsupported-media',
      `The WAV holds ${codec} of ${String(channels)} channels; one is decoded here.`,
    );
  if (channels === 0 || sampleRate === 0)
    throw new Failure('unreadable-media', 'The WAV announces sound of no channels or no sample rate.');
}

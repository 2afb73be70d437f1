/** The header of one MPEG audio or ADTS frame → its size and what it plays. */

export interface MpegFrame {
  /** `mp1`, `mp2`, `mp3` or AAC in ADTS. */
  readonly layer: 'mp1' | 'mp2' | 'mp3' | 'adts';
  /** With its header. */
  readonly sizeBytes: number;
  /** Per channel. */
  readonly samples: number;
  /** Hertz. */
  readonly sampleRate: number;
  readonly channels: number;
  /** Where a Xing or Info tag would begin, from the start of the frame. */
  readonly tagOffset: number;
}

/** Bytes of header that {@link parseMpegHeader} needs. */
const MPEG_HEADER_BYTES = 7;

/** The frame that begins at `at`; undefined where none does (ISO/IEC 11172-3 §2.4.1.3, 13818-3, 14496-3 §1.A.2.2 for ADTS). */
export function parseMpegHeader(bytes: Buffer, at: number): MpegFrame | undefined {
  if (at + MPEG_HEADER_BYTES > bytes.length || bytes[at] !== 0xff) return undefined;
  const word = bytes.readUInt32BE(at);
  if (word >>> 21 !== 0x7ff) return undefined;
  return ((word >>> 17) & 3) === 0 ? parseAdts(bytes, at) : parseMpeg(word);
}

const ADTS_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

function parseAdts(bytes: Buffer, at: number): MpegFrame | undefined {
  const word = bytes.readUInt32BE(at);
  const sampleRate = ADTS_RATES[(word >>> 10) & 15];
  const sizeBytes = (bytes.readUInt32BE(at + 3) >>> 13) & 0x1fff;
  if (word >>> 20 !== 0xfff || sampleRate === undefined || sizeBytes < MPEG_HEADER_BYTES) return undefined;
  const samples = 1024 * (((bytes[at + 6] ?? 0) & 3) + 1);
  return { layer: 'adts', sizeBytes, samples, sampleRate, channels: (word >>> 6) & 7 || 2, tagOffset: 0 };
}

const RATES = [44100, 48000, 32000];

/** kbit/s by index 1 to 14, ISO/IEC 11172-3 table 2.4.2.3 and 13818-3 table 2.4.2.3. */
const KBPS = {
  v1mp1: [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  v1mp2: [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  v1mp3: [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  v2mp1: [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  v2mp2: [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
  v2mp3: [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
} as const;

/** By the two layer bits; the index is never 0, which is ADTS. */
const LAYERS = ['mp3', 'mp3', 'mp2', 'mp1'] as const;

/** By the two version bits: MPEG 2.5, reserved, MPEG 2, MPEG 1. The rate is divided by this. */
const RATE_DIVISORS = [4, undefined, 2, 1];

function parseMpeg(word: number): MpegFrame | undefined {
  const divisor = RATE_DIVISORS[(word >>> 19) & 3];
  const rate = RATES[(word >>> 10) & 3];
  const layer = LAYERS[(word >>> 17) & 3] ?? 'mp3';
  if (divisor === undefined || rate === undefined) return undefined;
  const first = divisor === 1;
  const kbps = KBPS[`${first ? 'v1' : 'v2'}${layer}`][((word >>> 12) & 15) - 1];
  if (kbps === undefined) return undefined;
  const sampleRate = rate / divisor;
  const samples = layer === 'mp1' ? 384 : layer === 'mp3' && !first ? 576 : 1152;
  const padding = (word >>> 9) & 1;
  const mono = ((word >>> 6) & 3) === 3;
  return {
    layer,
    sizeBytes:
      layer === 'mp1' ? mp1Size(kbps, sampleRate, padding) : Math.floor((samples * 125 * kbps) / sampleRate) + padding,
    samples,
    sampleRate,
    channels: mono ? 1 : 2,
    tagOffset: 4 + (first ? (mono ? 17 : 32) : mono ? 9 : 17),
  };
}

/** Layer I counts in slots of four bytes. */
function mp1Size(kbps: number, sampleRate: number, padding: number): number {
  return (Math.floor((12_000 * kbps) / sampleRate) + padding) * 4;
}

/** Writes WAV files of any shape, lying ones included. */

export interface WavShape {
  readonly channels?: number;
  readonly sampleRate?: number;
  /** Format tag: 1 PCM (16 bit), 6 A-law, 7 µ-law (8 bit). */
  readonly tag?: number;
  /** What the header claims instead of the truth. */
  readonly declaredBytes?: number;
  /** Chunks between `fmt ` and `data`. */
  readonly extra?: Buffer;
}

export interface Voices {
  readonly sampleRate?: number;
  readonly seconds?: number;
  /** dwChannelMask of WAVEFORMATEXTENSIBLE; the plain format where absent. */
  readonly mask?: number;
  /** Amplitude and frequency of the tone in each channel; an amplitude of 0 is silence. */
  readonly voices: readonly (readonly [amplitude: number, hertz: number])[];
}

const SUBFORMAT_PCM = Buffer.from('0100000000001000800000aa00389b71', 'hex');

/** PCM of 16 bit, a tone of its own in every channel. */
export function voicesWav({ voices, mask, sampleRate = 16_000, seconds = 1 }: Voices): Buffer {
  const samples = Math.round(sampleRate * seconds);
  const frame = voices.length * 2;
  const data = Buffer.alloc(samples * frame);
  for (const [channel, [amplitude, hertz]] of voices.entries()) {
    if (amplitude === 0) continue;
    for (let at = 0; at < samples; at += 1) {
      const value = amplitude * Math.sin((2 * Math.PI * hertz * at) / sampleRate);
      data.writeInt16LE(Math.round(value * 32_767), at * frame + channel * 2);
    }
  }
  const format = Buffer.alloc(16);
  format.writeUInt16LE(mask === undefined ? 1 : 0xfffe, 0);
  format.writeUInt16LE(voices.length, 2);
  format.writeUInt32LE(sampleRate, 4);
  format.writeUInt32LE(sampleRate * frame, 8);
  format.writeUInt16LE(frame, 12);
  format.writeUInt16LE(16, 14);
  const extension = Buffer.from([22, 0, 16, 0, 0, 0, 0, 0]);
  extension.writeUInt32LE(mask ?? 0, 4);
  const whole = mask === undefined ? format : Buffer.concat([format, extension, SUBFORMAT_PCM]);
  const chunks = Buffer.concat([chunk('fmt ', whole), chunkHead('data', data.length), data]);
  return Buffer.concat([chunkHead('RIFF', chunks.length + 4), Buffer.from('WAVE'), chunks]);
}

/** So many samples per channel of a tone that differs from channel to channel. */
export function wav(samples: number, shape: WavShape = {}): Buffer {
  const { channels = 1, sampleRate = 8000, tag = 1, extra = Buffer.alloc(0) } = shape;
  const width = tag === 1 ? 2 : 1;
  const data = Buffer.alloc(samples * channels * width);
  for (let index = 0; index < samples * channels; index += 1) {
    const tone = Math.sin(
      ((Math.floor(index / channels) * (400 + 150 * (index % channels))) / sampleRate) * 2 * Math.PI,
    );
    if (width === 2) data.writeInt16LE(Math.round(tone * 8000), index * 2);
    else data[index] = 0x80 + Math.round(tone * 60);
  }
  const format = Buffer.alloc(16);
  format.writeUInt16LE(tag, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(sampleRate, 4);
  format.writeUInt32LE(sampleRate * channels * width, 8);
  format.writeUInt16LE(channels * width, 12);
  format.writeUInt16LE(width * 8, 14);
  const declared = shape.declaredBytes ?? data.length;
  const chunks = Buffer.concat([chunk('fmt ', format), extra, chunkHead('data', declared), data]);
  return Buffer.concat([chunkHead('RIFF', chunks.length + 4), Buffer.from('WAVE'), chunks]);
}

export function chunk(name: string, content: Buffer): Buffer {
  return Buffer.concat([chunkHead(name, content.length), content, Buffer.alloc(content.length % 2)]);
}

function chunkHead(name: string, sizeBytes: number): Buffer {
  const head = Buffer.alloc(8);
  head.write(name, 'latin1');
  head.writeUInt32LE(sizeBytes, 4);
  return head;
}

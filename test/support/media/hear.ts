/** Judges what sounds in a WebM from outside: libopus decodes it, and tones are found again by correlation. */
import { writeFile } from 'node:fs/promises';
import { withFile } from './files.ts';
import { ffmpeg } from './ffmpeg.ts';

/** Of what libopus gives. */
export const HEARD_RATE = 48_000;

/** Samples by channel, as a player would have them. */
export async function hear(webm: Buffer, channels: number): Promise<readonly Float32Array[]> {
  let raw: Buffer = Buffer.alloc(0);
  await withFile('heard.webm', async (path) => {
    await writeFile(path, webm);
    raw = await ffmpeg('-c:a', 'libopus', '-i', path, '-map', '0:a:0', '-f', 'f32le', 'pipe:1');
  });
  const samples = new Float32Array(new Uint8Array(raw).buffer);
  return Array.from({ length: channels }, (_, channel) => {
    const side = new Float32Array(Math.floor(samples.length / channels));
    for (let at = 0; at < side.length; at += 1) side[at] = samples[at * channels + channel] ?? 0;
    return side;
  });
}

/** Amplitude of a tone in a stretch of sound, seconds. */
export function amplitudeOf(sound: Float32Array, hertz: number, [fromS, toS]: readonly [number, number]): number {
  const [from, to] = [fromS, toS].map((seconds) => Math.round(seconds * HEARD_RATE));
  const part = sound.subarray(from, to);
  let [re, im] = [0, 0];
  for (const [at, value] of part.entries()) {
    re += value * Math.cos((2 * Math.PI * hertz * at) / HEARD_RATE);
    im += value * Math.sin((2 * Math.PI * hertz * at) / HEARD_RATE);
  }
  return (2 * Math.hypot(re, im)) / part.length;
}

export const decibels = (ratio: number): number => 20 * Math.log10(Math.max(ratio, 1e-9));

/** Share of samples at full scale. The codec itself overshoots a loud tone now and then; a clipped one stays there. */
export function clippedShare(sound: Float32Array): number {
  return sound.filter((value) => Math.abs(value) > 0.9999).length / sound.length;
}

/** Stretches in which something sounds, in seconds: by windows of 4 ms, breaks below 12 ms aside. */
export function stretchesOf(sound: Float32Array, threshold = 0.02): readonly (readonly [number, number])[] {
  const window = HEARD_RATE / 250;
  const stretches: [number, number][] = [];
  for (let at = 0; at + window <= sound.length; at += window) {
    const power = sound.subarray(at, at + window).reduce((sum, value) => sum + value * value, 0) / window;
    if (Math.sqrt(power) < threshold) continue;
    const last = stretches.at(-1);
    if (last !== undefined && at / HEARD_RATE - last[1] < 0.012) last[1] = (at + window) / HEARD_RATE;
    else stretches.push([at / HEARD_RATE, (at + window) / HEARD_RATE]);
  }
  return stretches;
}

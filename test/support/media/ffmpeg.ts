/** Runs the real ffmpeg and ffprobe, which tests ask for media and for a second opinion. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What `ffmpeg` writes to its standard output; `pipe:1` has to be among the arguments. */
export async function ffmpeg(...args: readonly string[]): Promise<Buffer> {
  const { stdout } = await run('ffmpeg', ['-hide_banner', '-nostdin', '-v', 'error', ...args], {
    encoding: 'buffer',
    maxBuffer: 1 << 30,
    timeout: 300_000,
  });
  return stdout;
}

/** Decodes a file by libopus to 32-bit float samples: `planes[channel][sample]`. */
export async function decodeOpus(path: string, channels: number): Promise<Float32Array[]> {
  const raw = await ffmpeg('-c:a', 'libopus', '-i', path, '-map', '0:a', '-f', 'f32le', '-c:a', 'pcm_f32le', 'pipe:1');
  assert.equal(raw.length % (4 * channels), 0);
  const interleaved = new Float32Array(new Uint8Array(raw).buffer);
  return Array.from({ length: channels }, (_, channel) => {
    const plane = new Float32Array(interleaved.length / channels);
    for (let i = 0; i < plane.length; i += 1) plane[i] = interleaved[i * channels + channel] ?? 0;
    return plane;
  });
}

/** The first sample in which two channels differ; undefined where one is the beginning of the other, or they are equal. */
export function firstDifference(a: Float32Array, b: Float32Array): number | undefined {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) if (a[i] !== b[i]) return i;
  return undefined;
}

/** What `ffprobe` warns of; a sound file gives an empty text. */
export async function probeComplaints(path: string): Promise<string> {
  const { stdout, stderr } = await run(
    'ffprobe',
    ['-hide_banner', '-v', 'warning', '-show_packets', '-of', 'csv=p=0', path],
    {
      maxBuffer: 1 << 28,
      timeout: 300_000,
    },
  );
  assert.notEqual(stdout, '');
  return stderr;
}

/** Seconds, as ffprobe reads them from the container. */
export async function probeDuration(path: string): Promise<number> {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', path], {
    timeout: 300_000,
  });
  return Number(stdout.trim());
}

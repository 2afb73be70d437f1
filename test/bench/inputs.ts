/** The fixtures → inputs of any length, with fresh noise each time, so that nothing is special about them. */
import { randomBytes, randomInt } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { SimulatedFile } from '../support/genesys/server.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';
import { runFfmpeg } from './ffmpeg.ts';

/** Everything is made when it is first asked for, and kept in `folder`. */
export class Inputs {
  readonly #folder: string;
  readonly #made = new Map<string, Promise<string>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** A call, both channels in one Ogg Opus file, as Genesys' OGG_OPUS: packets of 20 ms. */
  stereoOpus(seconds: number): Promise<string> {
    return this.#once(`stereo-${String(seconds)}.opus`, (path) =>
      speech({ pan: 'anull', channels: 2, seconds }, [...opus('32k'), path]),
    );
  }

  /** A call, one mono Ogg Opus file per channel. */
  async dualOpus(seconds: number): Promise<readonly [string, string]> {
    const [left, right] = [0, 1].map((channel) =>
      this.#once(`dual-${String(channel)}-${String(seconds)}.opus`, (path) =>
        speech({ pan: `pan=mono|c0=c${String(channel)}`, channels: 1, seconds }, [...opus('24k'), path]),
      ),
    );
    return [(await left) ?? '', (await right) ?? ''];
  }

  /** A call, both channels in one WAV file of 16 bit. */
  wav(seconds: number, rate = 8000): Promise<string> {
    return this.#once(`stereo-${String(rate)}-${String(seconds)}.wav`, (path) =>
      speech({ pan: 'anull', channels: 2, seconds }, ['-c:a', 'pcm_s16le', '-ar', String(rate), path]),
    );
  }

  /** The captured screen with a fresh picture in it, every 20 s another. */
  screen(seconds: number): Promise<string> {
    return this.#once(`screen-${String(seconds)}.mp4`, (path) => this.#picture(seconds, 'null', path));
  }

  /** The same in constant motion: all of it scrolls, 4 pixels with every frame. */
  motion(seconds: number): Promise<string> {
    return this.#once(`motion-${String(seconds)}.mp4`, (path) =>
      this.#picture(seconds, 'scroll=vertical=0.0055556', path),
    );
  }

  async #picture(seconds: number, filter: string, path: string): Promise<void> {
    const patches = join(this.#folder, `${path.replaceAll(/\W/g, '')}.gray`);
    await writeFile(patches, randomBytes(32 * 18 * Math.ceil(seconds / 20)));
    const [x, y] = [randomInt(1000), randomInt(550)].map(String);
    const graph = [
      '[1:v]scale=256:144:flags=bicubic,format=yuv420p[patch]',
      `[0:v][patch]overlay=${x ?? '0'}:${y ?? '0'},${filter},format=yuv420p[v]`,
      `[2:a]aformat=channel_layouts=stereo[n];[0:a][n]amix=inputs=2:duration=first:normalize=0[a]`,
    ].join(';');
    const args = [
      ['-stream_loop', '-1', '-i', pathOfFixture('screen-faststart.mp4')],
      ['-f', 'rawvideo', '-pix_fmt', 'gray', '-s', '32x18', '-r', '1/20', '-i', patches],
      ['-f', 'lavfi', '-i', noise(seconds), '-filter_complex', graph, '-map', '[v]', '-map', '[a]'],
      ['-t', String(seconds), '-c:v', 'libx264', '-preset', 'veryfast', '-crf', '20', '-c:a', 'aac', '-b:a', '48k'],
      ['-movflags', '+faststart', path],
    ];
    await runFfmpeg(args.flat());
  }

  #once(name: string, make: (path: string) => Promise<unknown>): Promise<string> {
    const path = join(this.#folder, name);
    const made = this.#made.get(name) ?? make(path).then(() => path);
    this.#made.set(name, made);
    return made;
  }
}

function opus(bitrate: string): readonly string[] {
  return ['-c:a', 'libopus', '-b:a', bitrate, '-compression_level', '0', '-frame_duration', '20'];
}

const noise = (seconds: number): string =>
  `anoisesrc=a=0.0005:r=8000:d=${String(seconds)}:seed=${String(randomInt(2 ** 31))}`;

interface Speech {
  /** Takes what is wanted of both channels. */
  readonly pan: string;
  readonly channels: 1 | 2;
  readonly seconds: number;
}

async function speech({ pan, channels, seconds }: Speech, output: readonly string[]): Promise<void> {
  const layout = channels === 2 ? 'stereo' : 'mono';
  const mix = `[0:a]${pan}[s];[1:a]aformat=channel_layouts=${layout}[n];[s][n]amix=inputs=2:duration=first:normalize=0`;
  const args = [
    ['-stream_loop', '-1', '-i', pathOfFixture('stereo-pcm.wav'), '-f', 'lavfi', '-i', noise(seconds)],
    ['-filter_complex', mix, '-t', String(seconds), '-ac', String(channels), ...output],
  ];
  await runFfmpeg(args.flat());
}

const WAV_HEAD_BYTES = 44;
const SLICE_BYTES = 65_536;

/** A WAV of `sizeBytes` in all that is nowhere: its sound is that of the file over and over, made while it is read. */
export async function endlessWav(path: string, sizeBytes: number): Promise<SimulatedFile> {
  const file = await readFile(path);
  const dataAt = file.indexOf('data') + 8;
  const block = file.subarray(dataAt);
  const head = Buffer.concat([file.subarray(0, 36), Buffer.from('data'), Buffer.alloc(4)]);
  head.writeUInt32LE(16, 16);
  file.copy(head, 20, file.indexOf('fmt ') + 8, file.indexOf('fmt ') + 24);
  head.writeUInt32LE(sizeBytes - 8, 4);
  head.writeUInt32LE(sizeBytes - WAV_HEAD_BYTES, 40);
  return {
    channel: '0',
    contentType: 'audio/wav',
    sizeBytes,
    stream: () => Readable.from(repeat(head, block, sizeBytes)),
  };
}

function* repeat(head: Buffer, block: Buffer, sizeBytes: number): Generator<Buffer> {
  yield head;
  let left = sizeBytes - head.length;
  while (left > 0) {
    for (let at = 0; at < block.length && left > 0; at += SLICE_BYTES) {
      const slice = block.subarray(at, Math.min(at + SLICE_BYTES, block.length, at + left));
      left -= slice.length;
      yield slice;
    }
  }
}

/** A process that encodes until it is killed: says when its encoder runs. Arguments: the encoder as JSON. */
import { encode } from '../../../src/media/ffmpeg.ts';
import type { Ffmpeg } from '../../../src/media/ffmpeg-check.ts';

function parseFfmpeg(json: string | undefined): Ffmpeg {
  return JSON.parse(json ?? '') as Ffmpeg;
}

async function* never(): AsyncGenerator<Buffer, void, void> {
  process.stdout.write('started\n');
  await new Promise((resolve) => setTimeout(resolve, 600_000));
  yield Buffer.alloc(0);
}

await encode(
  {
    media: [{ kind: 'wav', codec: 'pcm', channels: 1, sampleRate: 8000 }],
    sources: [never()],
    maxDurationMs: 3_600_000,
  },
  { ffmpeg: parseFfmpeg(process.argv[2]) },
  new AbortController().signal,
);

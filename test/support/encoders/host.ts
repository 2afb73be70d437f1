/** A process that encodes until it is killed, and says when it begins. Arguments: the encoder's path, and its search path. */
import { checkFfmpeg } from '../../../src/media/encoder/check.ts';
import { standIn } from './fake.ts';
import { encode } from '../../../src/media/encoder/encode.ts';

async function* never(): AsyncGenerator<Buffer, void, void> {
  process.stdout.write('started\n');
  await new Promise((resolve) => setTimeout(resolve, 600_000));
  yield Buffer.alloc(0);
}

const [path = '', searchPath = ''] = process.argv.slice(2);
await encode(
  {
    media: [{ kind: 'wav', codec: 'pcm', channels: 1, sampleRate: 8000 }],
    sources: [never()],
    maxDurationMs: 3_600_000,
  },
  { ffmpeg: await standIn({ ...(await checkFfmpeg()), searchPath }, path) },
  new AbortController().signal,
);

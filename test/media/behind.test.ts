/** Files of two kinds in one, one behind the other: never the first alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { ffmpeg } from '../support/media/ffmpeg.ts';
import { withFile } from '../support/media/files.ts';
import { archived } from '../support/media/made.ts';

const KINDS = {
  'sound.webm': ['-c:a', 'libopus'],
  'sound.ogg': ['-c:a', 'libopus'],
  'sound.mp4': ['-c:a', 'aac'],
  'sound.wav': ['-c:a', 'pcm_s16le'],
  'sound.flac': ['-c:a', 'flac'],
} as const;

const files = new Map<string, Buffer>();
for (const [name, codec] of Object.entries(KINDS)) {
  const write = (path: string): Promise<Buffer> =>
    ffmpeg('-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=1', ...codec, path);
  files.set(name, await withFile(name, write));
}

for (const [first, one] of files) {
  for (const [second, other] of files) {
    if (first === second) continue;
    test(`(D3) ${second} behind ${first} is refused, not left out`, async () => {
      await assert.rejects(
        archived([Buffer.concat([one, other])]),
        (error: unknown) => error instanceof Failure && ['unreadable-media', 'unsupported-media'].includes(error.code),
      );
    });
  }
}

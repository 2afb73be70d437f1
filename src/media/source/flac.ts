/** A FLAC on its way to the encoder → without tags in front of it and behind it, and how long it says it plays. */
import { id3Bytes, ID3_HEADER_BYTES } from '../id3.ts';
import { oneSound } from './contents.ts';
import { foreignTail } from './foreign.ts';
import type { Walk } from './sieve.ts';
import { ofSound, type Tally } from './tally.ts';

/** RFC 9639 §8.2: 20 bits of rate and, after 8 bits, 36 bits of samples; 0 where the writer did not know. */
export function* walkFlac(tally: Tally): Walk {
  for (let tagBytes = id3Bytes(yield { look: ID3_HEADER_BYTES }); tagBytes !== undefined;) {
    yield { drop: tagBytes };
    tagBytes = id3Bytes(yield { look: ID3_HEADER_BYTES });
  }
  const info = yield { look: 26 };
  if (info.length === 26) {
    const sampleRate = info.readUInt32BE(18) >>> 12;
    const samples = ((info[21] ?? 0) & 15) * 2 ** 32 + info.readUInt32BE(22);
    const ms = sampleRate === 0 || samples === 0 ? undefined : (samples / sampleRate) * 1000;
    tally.contents = oneSound({ codec: 'flac', channels: ((info.readUInt32BE(18) >>> 9) & 7) + 1, isExact: true });
    tally.declaredMs = ms;
    tally.settle = () => ofSound(ms);
  }
  yield* keepWithoutTail();
}

/** What is held back until it is known whether it is the end. */
const TAIL_BYTES = 65_536;

/** Frames have no size of their own: only at the very end of the file a tag can be told from one. */
function* keepWithoutTail(): Walk {
  for (;;) {
    const bytes = yield { look: 2 * TAIL_BYTES };
    const isEnd = bytes.length < 2 * TAIL_BYTES;
    yield { keep: isEnd ? bytes.length - foreignTail(bytes) : TAIL_BYTES };
    if (isEnd) return;
  }
}

/** Bytes behind the end of media → nothing, as long as they cannot be media: tags, padding, text. */
import { Failure } from '../../failure.ts';
import { isText } from '../tail.ts';
import type { Sieve, Walk } from './sieve.ts';

/** At once; longer tails are looked at in parts. */
const PART_BYTES = 4096;

/** ID3v1, APEv2 and Lyrics3 (id3.org, wiki.hydrogenaudio.org/APEv2): what taggers put behind whatever they are given. */
const TAGS = /^(TAG|APETAGEX|LYRICSBEGIN|ID3|3DI)/;

/** Drops all that is left. @throws Failure `unreadable-media` where it might be the media that goes on */
export function* walkForeign(sieve: Sieve, what: string): Walk {
  const start = sieve.position;
  let part = yield { look: PART_BYTES };
  if (TAGS.test(part.toString('latin1', 0, 12))) {
    yield { drop: Infinity };
    return;
  }
  while (part.length > 0) {
    if (!isForeign(part)) throw behind(start, what);
    yield { drop: part.length };
    part = yield { look: PART_BYTES };
  }
}

/** Text, or zeros as blocks are padded with. */
export function isForeign(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0 || isText(byte));
}

/** So many bytes of text or zeros in a row are no chance. */
const LEAST_RUN_BYTES = 16;

/** Bytes at the end of a file that are ID3v1 or APEv2 tags, text or padding. */
export function foreignTail(bytes: Buffer): number {
  let end = bytes.length;
  for (let before = -1; before !== end;) {
    before = end;
    if (bytes.toString('latin1', end - 128, end - 125) === 'TAG' && end >= 128) end -= 128;
    if (bytes.toString('latin1', end - 32, end - 24) === 'APETAGEX' && end >= 32)
      end = Math.max(0, end - apeBytes(bytes, end));
    const run = runOfForeign(bytes, end);
    if (run >= LEAST_RUN_BYTES) end -= run;
  }
  return bytes.length - end;
}

/** By its footer: items and footer, and a header where a flag says so. */
function apeBytes(bytes: Buffer, end: number): number {
  const hasHeader = (bytes.readUInt32LE(end - 12) & 0x8000_0000) !== 0;
  return bytes.readUInt32LE(end - 20) + (hasHeader ? 32 : 0);
}

function runOfForeign(bytes: Buffer, end: number): number {
  let at = end;
  while (at > 0 && isForeign(bytes.subarray(at - 1, at))) at -= 1;
  return end - at;
}

function behind(start: number, what: string): Failure {
  const text = `More stands behind ${what}, from byte ${String(start)} on, that is neither a tag nor text: the media is damaged, or says less than it holds.`;
  return new Failure('unreadable-media', text);
}

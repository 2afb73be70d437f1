/** Bytes behind the end of media → nothing, as long as they are none of it: tags, padding, text. */
import type { Failure } from '../failure.ts';

/** Tags hold names and at most a small picture; more than this is not what stands behind media. */
const MAX_TAIL_BYTES = 1024 * 1024;

/** ID3v1 (128 bytes at the very end) and APEv2: what taggers put behind whatever they are given. */
const TAGS = ['TAG', 'APETAGEX'];

/** What files of media begin with, and at which byte: another recording, of which nothing would be kept. */
const FILES: readonly (readonly [number, string])[] = [
  [0, 'OggS'],
  [0, '\x1a\x45\xdf\xa3'],
  [0, 'RIFF'],
  [0, 'fLaC'],
  [4, 'ftyp'],
];
const FILE_BYTES = 8;

export interface MediaTailRules {
  /** With what more of the media would begin. */
  readonly marker: Buffer;
  /** Whether the media itself says that it ended here. If not, only text and tags are believed to be none of it. */
  readonly isBehindEnd: boolean;
  /** The failure for damage at a byte of the file. */
  readonly damaged: (offset: number, what: string) => Failure;
  /** What is wrong where it might be the media that goes on, damaged. */
  readonly otherwise: string;
}

/** Takes all that is left of a file, from `offset` on; fewer bytes in a row than a marker has are looked at together. */
export class MediaTail {
  readonly #rules: MediaTailRules;
  readonly #start: number;
  #length = 0;
  #first: Buffer = Buffer.alloc(0);
  #isTag: boolean | undefined;
  #last: Buffer = Buffer.alloc(0);

  constructor(offset: number, rules: MediaTailRules) {
    this.#rules = rules;
    this.#start = offset;
  }

  /** @throws Failure for what is more of the media, or cannot be told from it */
  push(bytes: Buffer): void {
    const { marker, damaged } = this.#rules;
    this.#length += bytes.length;
    if (this.#length > MAX_TAIL_BYTES) throw damaged(this.#start, 'too much stands behind its end');
    this.#requireNoFile(bytes);
    const seen = Buffer.concat([this.#last, bytes]);
    if (seen.includes(marker)) throw damaged(this.#start, this.#rules.otherwise);
    if (!this.#rules.isBehindEnd) this.#requireForeign(seen);
    this.#last = Buffer.from(seen.subarray(Math.max(0, seen.length - marker.length + 1)));
  }

  #requireNoFile(bytes: Buffer): void {
    if (this.#first.length >= FILE_BYTES) return;
    this.#first = Buffer.concat([this.#first, bytes.subarray(0, FILE_BYTES)]);
    if (beginsFile(this.#first)) throw this.#rules.damaged(this.#start, 'another recording begins behind its end');
  }

  /** What damage left of the media is neither text nor begins like a tag. */
  #requireForeign(seen: Buffer): void {
    if (this.#isTag === true) return;
    this.#isTag ??= TAGS.some((tag) => seen.toString('latin1', 0, tag.length) === tag);
    if (this.#isTag) return;
    if (!seen.every(isText)) throw this.#rules.damaged(this.#start, this.#rules.otherwise);
  }
}

/** Whether a file of media begins here, as far as eight bytes tell. */
export function beginsFile(bytes: Buffer): boolean {
  return FILES.some(([at, start]) => bytes.toString('latin1', at, at + start.length) === start);
}

/** Printable ASCII and white space. */
export function isText(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

/** A WAV on its way to the encoder → its sound under a plain header, how long it plays, and the proof that it is all there. */
import { Failure } from '../../failure.ts';
import type { Sieve, Walk } from './sieve.ts';
import { ID3_HEADER_BYTES, id3Bytes } from '../id3.ts';
import { oneSound } from './contents.ts';
import { walkForeign } from './foreign.ts';
import { incomplete, ofSound, type Tally } from './tally.ts';
import { beginsFile } from '../tail.ts';
import { isChunkName, parseWavFormat, plainFormat, type WavFormat } from './wav-format.ts';

/** A format with all that codecs put behind it; MS ADPCM takes 50 bytes. */
const MAX_FORMAT_BYTES = 1024;

/** ffmpeg reads to the end of what it gets: wrong sizes, and chunks behind the sound, do not reach it. */
const ENDLESS = 0xffff_ffff;

function chunkHead(name: string, size: number): Buffer {
  const head = Buffer.alloc(8);
  head.write(name, 'latin1');
  head.writeUInt32LE(size, 4);
  return head;
}

/** RIFF WAVE, and RF64 (EBU Tech 3306), whose `ds64` holds the size of `data`. Several behind each other play in order. */
export function* walkWav(tally: Tally, sieve: Sieve): Walk {
  tally.settle = (end) => {
    throw incomplete('before its sound begins', end);
  };
  for (let tag = id3Bytes(yield { look: ID3_HEADER_BYTES }); tag !== undefined;) {
    yield { drop: tag };
    tag = id3Bytes(yield { look: ID3_HEADER_BYTES });
  }
  yield { drop: 12 };
  const first = yield* walkToSound();
  if (first === undefined) return;
  const plain = plainFormat(first.format);
  const format = parseWavFormat(first.format);
  tally.contents = oneSound({ codec: format?.codec, channels: format?.channels, isExact: format?.isExact === true });
  yield {
    put: Buffer.concat([chunkHead('RIFF', ENDLESS), Buffer.from('WAVE'), chunkHead('fmt ', plain.length), plain]),
  };
  yield { put: chunkHead('data', ENDLESS) };
  const sound = new WavSound(format, tally);
  for (let more: WavBeginning | undefined = first; more !== undefined; more = yield* walkToNext(more, sound, sieve)) {
    if (!plainFormat(more.format).equals(plain)) throw otherFormat(sieve);
    yield* walkSound(more.sizeBytes, sound, sieve);
  }
}

function otherFormat({ position }: Sieve): Failure {
  const text = `A second WAV, of another format than the first, stands before byte ${String(position)}: that is no one recording.`;
  return new Failure('unsupported-media', text);
}

interface WavBeginning {
  /** Content of `fmt `; empty where there was none. */
  readonly format: Buffer;
  /** Of the sound, as announced. */
  readonly sizeBytes: number;
}

/** Over chunks of a name and a size, up to and with the head of the sound's; undefined where the file ends before. */
function* walkToSound(): Walk<WavBeginning | undefined> {
  let format: Buffer = Buffer.alloc(0);
  let largeBytes: number | undefined;
  for (;;) {
    const head = yield { look: 8 };
    if (head.length < 8) return undefined;
    const name = head.toString('latin1', 0, 4);
    const sizeBytes = head.readUInt32LE(4);
    yield { drop: 8 };
    if (name === 'data') return { format, sizeBytes: largeBytes ?? sizeBytes };
    const isWanted = (name === 'fmt ' && format.length === 0) || name === 'ds64';
    const content = yield { look: isWanted ? Math.min(sizeBytes, MAX_FORMAT_BYTES) : 0 };
    if (isWanted && name === 'fmt ') format = Buffer.from(content);
    if (isWanted && name === 'ds64' && content.length >= 16) largeBytes = Number(content.readBigUInt64LE(8));
    yield { drop: sizeBytes + (sizeBytes % 2) };
  }
}

// ── the sound ───────────────────────────────────────────────────────────────────────────────────────────────────

/** What writers to a pipe leave in place of a size they do not know yet: none, all ones, or 2 GiB less a header. */
const isPlaceholder = (size: number): boolean =>
  size === 0 || size >= 0xffff_f000 || (size >= 0x7fff_f000 && size <= 0x7fff_ffff);

/** More than 12 hours of anything a telephone gives; who announces so much and has not got it wrote down a number of his own. */
const NONSENSE_BYTES = 1_000_000_000;

/** Genesys counts in milliseconds. */
const GENESYS_SLACK_MS = 50;

/** The sound of one file, or of several behind each other. */
class WavSound {
  readonly #format: WavFormat | undefined;
  readonly #tally: Tally;
  #doneBytes = 0;

  constructor(format: WavFormat | undefined, tally: Tally) {
    this.#format = format;
    this.#tally = tally;
  }

  get unitBytes(): number {
    return this.#format?.frameBytes ?? 1;
  }

  #ms(sizeBytes: number): number | undefined {
    return this.#format?.msOf?.(this.#doneBytes + sizeBytes);
  }

  /** So much follows from here, as far as anybody says. */
  begin(startByte: number, announcedBytes: number): void {
    const { sizeBytes, genesysMs } = this.#tally.announced;
    const isOpen = isPlaceholder(announcedBytes);
    const inFile = sizeBytes === undefined ? Infinity : sizeBytes - startByte;
    if (!isOpen) this.#tally.declaredMs = this.#ms(Math.min(announcedBytes, inFile));
    this.#tally.settle = (end) => {
      const heardBytes = end.position - startByte;
      const ms = this.#ms(heardBytes);
      if (isOpen || end.missing === 0) return ofSound(ms);
      const isAsGenesysSays = genesysMs !== undefined && Math.abs((ms ?? Infinity) - genesysMs) <= GENESYS_SLACK_MS;
      const missingBytes = end.missing + (announcedBytes % this.unitBytes);
      if (!isAsGenesysSays && !countsItsHeader(missingBytes, startByte)) {
        if (announcedBytes < NONSENSE_BYTES)
          throw incomplete(`${String(missingBytes)} bytes before its sound does`, end);
        this.#tally.lacksEndMark = true;
      }
      this.#tally.notes.push(`its header announces ${String(missingBytes)} bytes of sound more than there are`);
      return ofSound(ms);
    };
  }

  end(sizeBytes: number): void {
    this.#doneBytes += sizeBytes;
    this.#tally.settle = () => ofSound(this.#ms(0));
  }

  /** What is longer than the file is no chunk, whatever its bytes spell: the sound may go on there. A pad byte may be missing. */
  behind(chunk: string): void {
    this.#tally.settle = (end) => {
      if (end.missing > 1) throw incomplete(`within what may be a "${chunk}" chunk behind its sound`, end);
      return ofSound(this.#ms(0));
    };
  }
}

/** Some write the size of the file, or what RIFF says of it, where that of the sound belongs. */
function countsItsHeader(missingBytes: number, startByte: number): boolean {
  return missingBytes === startByte || missingBytes === startByte - 8;
}

/** What is left behind the last whole sample of all channels is no sound: an encoder takes it for damage. */
function* walkSound(sizeBytes: number, sound: WavSound, sieve: Sieve): Walk {
  const { unitBytes } = sound;
  const wholeBytes = sizeBytes - (sizeBytes % unitBytes);
  sound.begin(sieve.position, sizeBytes);
  yield { keep: isPlaceholder(sizeBytes) ? Infinity : wholeBytes, unitBytes };
  sound.end(wholeBytes);
  yield { drop: sizeBytes - wholeBytes };
  const pad = yield { look: sizeBytes % 2 };
  yield { drop: pad[0] === 0 ? 1 : 0 };
}

// ── behind it ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Four letters of text, read as a size, are more than 150 MB. */
const LEAST_TEXT_SIZE = 0x0909_0909;

/** Over what is no sound, to where it goes on: in a further chunk, or in a further WAV. undefined where it does not. */
function* walkToNext(before: WavBeginning, sound: WavSound, sieve: Sieve): Walk<WavBeginning | undefined> {
  for (;;) {
    const head = yield { look: 12 };
    const isWav = /^(RIFF|RF64|BW64)....WAVE$/s.test(head.toString('latin1'));
    if (isWav) {
      yield { drop: 12 };
      return yield* walkToSound();
    }
    if (head.length < 8 || beginsFile(head) || !isChunkName(head)) return yield* walkTail(sieve);
    const [name, sizeBytes] = [head.toString('latin1', 0, 4), head.readUInt32LE(4)];
    if (name === 'data') {
      yield { drop: 8 };
      return { ...before, sizeBytes };
    }
    if (sizeBytes >= LEAST_TEXT_SIZE) return yield* walkTail(sieve);
    sound.behind(name);
    yield { drop: 8 + sizeBytes + (sizeBytes % 2) };
  }
}

function* walkTail(sieve: Sieve): Walk<undefined> {
  yield* walkForeign(sieve, 'the end of its sound');
  return undefined;
}

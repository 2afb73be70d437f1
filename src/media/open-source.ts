/** A media file that has to be encoded → its bytes as an encoder can read them from a pipe, and what it has to know of them. */
import type { MediaInput } from './input.ts';
import { contentsOfMovie } from './mp4/movie.ts';
import type { Spool } from './mp4/spool.ts';
import { streamableMp4 } from './mp4/stream.ts';
import { isOgg, OggMeter } from './ogg/meter.ts';
import { OpusSource } from './opus-source.ts';
import type { Media } from './sniff.ts';
import type { Contents } from './source/contents.ts';
import { SourceMeter } from './source-meter.ts';
import type { SourceFigures } from './source/tally.ts';
import { SpeexSource } from './speex-source.ts';

export interface OpenSource {
  readonly media: Media;
  readonly contents: Contents | undefined;
  readonly bytes: AsyncIterable<Buffer>;
  readonly figures: SourceFigures;
  /** For the manifest. */
  readonly note: string | undefined;
}

export interface SourceNeeds {
  readonly media: Media;
  readonly genesysMs: number | undefined;
  /** The recording has no other file. */
  readonly isAlone: boolean;
  /** Where an MP4 goes whose index comes last, from a host without ranges. */
  readonly openSpool: () => Promise<Spool>;
}

/** What is read at most until it is known what is in a file: an index in front, and what it lies in. */
const MOST_AHEAD_BYTES = 80 * 1024 * 1024;

/** Reads up to where the beginning has told what is in the file. @throws Failure */
export async function openSource(input: MediaInput, needs: SourceNeeds, signal: AbortSignal): Promise<OpenSource> {
  const { media, genesysMs, isAlone, openSpool } = needs;
  const { sizeBytes, readRange } = input.download;
  if (media.kind === 'ogg-opus' || (media.kind === 'ogg' && media.codec === 'speex')) {
    const figures = media.codec === 'speex' ? new SpeexSource() : new OpusSource();
    const read = await readAhead(figures.through(input.bytes()), figures);
    return { media: { ...media, kind: 'webm' }, figures, note: undefined, ...read };
  }
  const figures = isOgg(media.kind) ? new OggMeter({ isAlone }) : new SourceMeter(media.kind, { sizeBytes, genesysMs });
  const bytes = figures.through(input.bytes());
  if (media.kind !== 'mp4') return { media, figures, note: undefined, ...(await readAhead(bytes, figures)) };
  const { movie, note, ...mp4 } = await streamableMp4({ bytes, sizeBytes, readRange, openSpool }, signal);
  if (movie !== undefined) return { media, figures, note, contents: contentsOfMovie(movie), bytes: mp4.bytes };
  return { media, figures, note, ...(await readAhead(mp4.bytes, figures)) };
}

async function readAhead(
  bytes: AsyncIterable<Buffer>,
  figures: SourceFigures,
): Promise<Pick<OpenSource, 'contents' | 'bytes'>> {
  const iterator = bytes[Symbol.asyncIterator]();
  const read: Buffer[] = [];
  for (let readBytes = 0; figures.contents === undefined && readBytes < MOST_AHEAD_BYTES;) {
    const step = await iterator.next();
    if (step.done === true) break;
    read.push(step.value);
    readBytes += step.value.length;
  }
  return { contents: figures.contents, bytes: resumedFrom(read, iterator) };
}

function resumedFrom(read: Buffer[], iterator: AsyncIterator<Buffer>): AsyncIterableIterator<Buffer> {
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const value = read.shift();
      return value === undefined ? iterator.next() : { done: false, value };
    },
    async return() {
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}

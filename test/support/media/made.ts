/** Makes WebM of files in memory, as the pipeline does it. */
import { checkFfmpeg } from '../../../src/media/encoder/check.ts';
import { Unfit } from '../../../src/media/as-is.ts';
import { makeWebm, type MadeWebm, type WebmOrder } from '../../../src/media/make-webm.ts';
import { Slots } from '../../../src/media/encoder/slots.ts';
import type { WebmResult } from '../../../src/media/webm/webm.ts';
import { source } from './packets.ts';
import { Purpose } from '../../../src/media/purpose.ts';
import { makingWith } from './making.ts';

const FFMPEG = await checkFfmpeg();

export interface Asked {
  /** One per channel. */
  readonly files: readonly Buffer[];
  /** What Genesys says. */
  readonly seconds?: number | undefined;
  /** Its size is not announced. */
  readonly chunked?: true | undefined;
  readonly ways?: WebmOrder['ways'];
  /** Its server says that it is. */
  readonly isCalledCompressed?: boolean;
}

/** By an encoder where the fast way turns out at once not to fit. */
export async function make(asked: Asked): Promise<MadeWebm> {
  try {
    return await makeBy(asked);
  } catch (error) {
    if (error instanceof Unfit) return makeBy({ ...asked, ways: 'encode' });
    throw error;
  }
}

function makeBy({ files, seconds, chunked, ways = 'any', isCalledCompressed = false }: Asked): Promise<MadeWebm> {
  const making: WebmOrder = {
    files: files.map((bytes, index) => ({
      channel: String(index),
      open: async () => ({
        contentType: 'application/octet-stream',
        sizeBytes: chunked === true ? undefined : bytes.length,
        readRange: undefined,
        isCalledCompressed,
        received: () => ({ sizeBytes: bytes.length, sha256: '' }),
        // A copy, because chunks are given up.
        [Symbol.asyncIterator]: () => source(Buffer.from(bytes), 16_384)[Symbol.asyncIterator](),
      }),
    })),
    durationMs: seconds === undefined ? undefined : seconds * 1000,
    ways,
    purpose: new Purpose('archiving'),
  };
  const tools = makingWith({ ffmpeg: FFMPEG, slots: new Slots({ slots: 1, maxWaiting: 1, archives: true }) });
  return makeWebm(making, tools, new AbortController().signal);
}

export async function allClusters(made: MadeWebm): Promise<Buffer[]> {
  const clusters: Buffer[] = [];
  for await (const cluster of made.clusters) clusters.push(cluster);
  return clusters;
}

export interface Archived {
  readonly way: string;
  readonly why: string;
  readonly file: Buffer;
  readonly result: WebmResult;
}

/** Once more by an encoder where only the media's middle shows that it takes one. */
export async function archived(files: readonly Buffer[], asked: Omit<Asked, 'files'> = {}): Promise<Archived> {
  try {
    const made = await make({ files, ...asked });
    const clusters = await allClusters(made);
    const result = made.result();
    const why = [made.why, ...(result.note === undefined ? [] : [result.note])].join('; ');
    return { way: made.way, why, file: Buffer.concat([result.head, ...clusters]), result };
  } catch (error) {
    if (!(error instanceof Unfit) || asked.ways === 'encode') throw error;
    return archived(files, { ...asked, ways: 'encode' });
  }
}

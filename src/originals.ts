/** A recording's files → the same files, their bytes counted and, where originals are kept, copied bit-exact into the deposit as they pass. */
import type { Deposit, OriginalSink } from './archive/archive.ts';
import type { Download, MediaFile } from './media-file.ts';
import { formatOf } from './media/plan.ts';
import { sniff } from './media/sniff.ts';
import type { Metrics } from './telemetry/metrics.ts';

export interface Watched {
  readonly files: readonly MediaFile[];
  /** Archive names of the copies, by file, once each has begun; empty where none are kept. */
  readonly originals: readonly string[];
}

/** `deposit` where the originals are kept. */
export function watchFiles(files: readonly MediaFile[], metrics: Metrics, deposit: Deposit | undefined): Watched {
  const names: string[] = [];
  const keeping = (index: number): Keep | undefined => deposit && { deposit, index, count: files.length, names };
  return { files: files.map((file, index) => watched(file, metrics, keeping(index))), originals: names };
}

interface Keep {
  readonly deposit: Deposit;
  readonly index: number;
  readonly count: number;
  /** Takes the name that the archive gives the copy. */
  readonly names: string[];
}

function watched(file: MediaFile, metrics: Metrics, keep: Keep | undefined): MediaFile {
  return {
    channel: file.channel,
    open: async (signal) => {
      const download = await file.open(signal);
      const { contentType, isCalledCompressed, sizeBytes, readRange } = download;
      return {
        contentType,
        isCalledCompressed,
        sizeBytes,
        readRange,
        received: () => download.received(),
        [Symbol.asyncIterator]: () => tap(download, metrics, keep),
      };
    },
  };
}

async function* tap(download: Download, metrics: Metrics, keep: Keep | undefined): AsyncGenerator<Buffer, void, void> {
  let sink: OriginalSink | undefined;
  for await (const chunk of download) {
    metrics.bytes('in', chunk.length);
    if (keep !== undefined) {
      sink ??= await openCopy(keep, chunk);
      await sink.write(chunk);
    }
    yield chunk;
  }
}

async function openCopy({ deposit, index, count, names }: Keep, beginning: Buffer): Promise<OriginalSink> {
  const { extension, mediaType } = formatOf(sniff(beginning));
  const sink = await deposit.original(index, count, extension, mediaType);
  names[index] = sink.name;
  return sink;
}

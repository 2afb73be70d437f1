/** A recording's media files → inputs that are open: the beginning of each says what it is, and its bytes can be read once. */
import type { Download, MediaFile } from '../media-file.ts';
import { sniff, SNIFF_BYTES, type Sniffed } from './sniff.ts';
import type { SourceMeter } from './source-meter.ts';

/** One media file: its beginning, which said what it is, and its bytes. */
export interface MediaInput {
  readonly channel: string;
  readonly download: Download;
  readonly sniffed: Sniffed;
  /** All of it, once; what is encoded passes a meter. */
  bytes(meter?: SourceMeter): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** As announced; undefined unless every server said it. */
export function totalBytes(inputs: readonly MediaInput[]): number | undefined {
  const sizes = inputs.map(({ download }) => download.sizeBytes);
  return sizes.includes(undefined) ? undefined : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

/** All or nothing: where one file cannot be had, the others are let go. */
export async function openInputs(files: readonly MediaFile[], signal: AbortSignal): Promise<readonly MediaInput[]> {
  const opened = await Promise.allSettled(files.map((file) => openInput(file, signal)));
  const inputs = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = opened.find((result) => result.status === 'rejected');
  if (failed === undefined) return inputs;
  await closeInputs(inputs);
  throw failed.reason;
}

export async function closeInputs(inputs: readonly MediaInput[]): Promise<void> {
  await Promise.allSettled(inputs.map((input) => input.close()));
}

async function openInput(file: MediaFile, signal: AbortSignal): Promise<MediaInput> {
  const download = await file.open(signal);
  const iterator = download[Symbol.asyncIterator]();
  const head = await peek(iterator);
  const sniffed = sniff(head.subarray(0, SNIFF_BYTES));
  return {
    channel: file.channel,
    download,
    sniffed,
    bytes: (meter) => resume(head, iterator, meter),
    close: async () => void (await iterator.return?.()),
  };
}

/** The first bytes: no more chunks than it takes to know what the file is. */
async function peek(iterator: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < SNIFF_BYTES) {
    const step = await iterator.next();
    if (step.done === true) break;
    head = head.length === 0 ? step.value : Buffer.concat([head, step.value]);
  }
  return head;
}

async function* resume(
  head: Buffer,
  iterator: AsyncIterator<Buffer>,
  meter: SourceMeter | undefined,
): AsyncGenerator<Buffer, void, void> {
  try {
    for (let chunk = head; ;) {
      meter?.push(chunk);
      yield chunk;
      const step = await iterator.next();
      if (step.done === true) return;
      chunk = step.value;
    }
  } finally {
    await iterator.return?.();
  }
}

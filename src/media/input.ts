/** A recording's media files → inputs that are open: the beginning of each says what it is, and its bytes can be read once. */
import { Failure } from '../failure.ts';
import type { Download, MediaFile } from '../media-file.ts';
import { bytesToTell, sniff, SNIFF_BYTES, type Sniffed } from './sniff.ts';

/** One media file: its beginning, which said what it is, and its bytes. */
export interface MediaInput {
  readonly channel: string;
  readonly download: Download;
  readonly sniffed: Sniffed;
  /** All of it, once. */
  bytes(): AsyncIterable<Buffer>;
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
  const sniffed = sniff(head);
  if (download.isCalledCompressed && sniffed.kind === 'refused') {
    await iterator.return?.();
    throw compressedMedia();
  }
  return {
    channel: file.channel,
    download,
    sniffed,
    bytes: () => resume(head, iterator),
    close: async () => void (await iterator.return?.()),
  };
}

/** The bytes decide: media that is merely called compressed is media. Inflated bytes would have no end that is proven. */
function compressedMedia(): Failure {
  return new Failure('upstream-error', 'The media host compressed the media although it was asked not to.');
}

/** The first bytes: no more chunks than it takes to know what the file is. */
async function peek(iterator: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  for (let wanted = SNIFF_BYTES; head.length < wanted; wanted = Math.max(wanted, bytesToTell(head))) {
    const more = await readTo(iterator, wanted - head.length);
    if (more.length === 0) break;
    head = head.length === 0 ? more : Buffer.concat([head, more]);
  }
  return head;
}

/** At least so many bytes, fewer only at the end. */
async function readTo(iterator: AsyncIterator<Buffer>, sizeBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let left = sizeBytes; left > 0;) {
    const step = await iterator.next();
    if (step.done === true) break;
    chunks.push(step.value);
    left -= step.value.length;
  }
  const [only] = chunks;
  return only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks);
}

async function* resume(head: Buffer, iterator: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, void> {
  try {
    for (let chunk = head; ;) {
      yield chunk;
      const step = await iterator.next();
      if (step.done === true) return;
      chunk = step.value;
    }
  } finally {
    await iterator.return?.();
  }
}

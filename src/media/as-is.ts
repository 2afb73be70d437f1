/** Inputs whose packets WebM can hold → those packets, without decoding: one file re-wrapped, or two joined. */
import { Failure } from '../failure.ts';
import { eachBatch } from './batches.ts';
import { withoutHoles } from './holes.ts';
import type { MediaInput } from './input.ts';
import { joinMono } from './ogg/join.ts';
import { readOggOpus } from './ogg/ogg-opus.ts';
import type { FileStream, SourceStream, Track } from './packet.ts';
import type { Plan } from './plan.ts';
import { UNKNOWN_LENGTHS } from './source/tally.ts';
import { readWebm } from './webm/reader.ts';

export type PlanAsIs = Plan & { readonly way: Exclude<Plan['way'], 'encode'> };

/** What does not fit the fast way, found out at the beginning or midway: make it again with `ways: 'encode'`. */
export class Unfit extends Failure {
  constructor(cause: Failure) {
    super('unsupported-media', cause.message, { cause });
  }
}

export interface AsIsNeeds {
  readonly inputs: readonly MediaInput[];
  /** How long Genesys says that the recording is. */
  readonly genesysMs: number | undefined;
}

/** @throws Failure, so do the packets: `Unfit` where an encoder may manage what a fast way does not support */
export async function openAsIs(plan: PlanAsIs, needs: AsIsNeeds): Promise<SourceStream> {
  const file = await unlessUnfit(readFiles(plan.way, needs));
  const { tracks, durationMs } = file;
  return {
    tracks,
    durationMs,
    packets: { [Symbol.asyncIterator]: () => eachBatch(withoutHoles(tracks, file.packets), (batch) => batch, unfitOr) },
    way: plan.way === 'join' ? 'join' : 'rewrap',
    why: [plan.why, ...unseen(tracks)].join('; '),
    encoder: undefined,
    expectedMs: () => file.statedMs,
    isStated: true,
    lacksEndMark: () => !file.hasEndMark,
    isSized: () => file.hasEndMark,
    countedMs: () => UNKNOWN_LENGTHS,
    soundSlackMs: undefined,
    notes: () => [],
  };
}

/** Nothing is lost of further pictures, but no player shows them by itself. */
function unseen(tracks: readonly Track[]): readonly string[] {
  const pictures = tracks.filter(({ kind }) => kind === 'video').length;
  return pictures < 2 ? [] : [`it holds ${String(pictures)} tracks of pictures, of which players show the first`];
}

async function readFiles(way: PlanAsIs['way'], { inputs, genesysMs }: AsIsNeeds): Promise<FileStream> {
  const [first, second] = inputs;
  if (first === undefined) throw new Failure('internal', 'A way of making WebM was planned for no file.');
  if (way === 'rewrap-webm') return readWebm(first.bytes());
  if (way === 'rewrap-ogg' || second === undefined) return readOggOpus(first.bytes());
  const [left, right] = await Promise.all([readOggOpus(first.bytes()), readOggOpus(second.bytes())]);
  return joinMono(left, right, genesysMs);
}

async function unlessUnfit<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw unfitOr(error);
  }
}

/** What a fast way does not support, an encoder may. */
function unfitOr(error: unknown): unknown {
  return error instanceof Failure && error.code === 'unsupported-media' ? new Unfit(error) : error;
}

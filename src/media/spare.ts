/** Turns the wait for ffmpeg to start, about 0.1 s, into a child that was started before anybody asked. */
import { type EncoderOrder, type EncoderProcess, startEncoder } from './ffmpeg-process.ts';
import type { Encoder } from './ffmpeg-process.ts';

/**
 * At most one encoder that waits for its input. Whoever takes one holds a slot, and taking ends the spare one way or the other:
 * so spare and working encoders together are never more than the slots.
 */
export interface Spare extends AsyncDisposable {
  /** The spare one if it was started for the same order, else a new one. @throws Failure as {@link startEncoder} */
  take(order: EncoderOrder): Promise<EncoderProcess>;
  /** Starts one for the next of the same order. Call it at the start, or when an encoder has ended and its slot is still held. */
  prepare(order: EncoderOrder): void;
}

interface Waiting {
  readonly order: string;
  /** undefined where it could not be started: then the next `take` says why. */
  readonly child: Promise<EncoderProcess | undefined>;
}

export function createSpare(encoder: Encoder): Spare {
  let waiting: Waiting | undefined;
  let closed = false;

  function start(order: EncoderOrder): Promise<EncoderProcess | undefined> {
    return startEncoder(encoder, order).catch(() => undefined);
  }

  async function release(): Promise<EncoderProcess | undefined> {
    const released = await waiting?.child;
    waiting = undefined;
    return released;
  }

  return {
    async take(order) {
      const wanted = waiting?.order === JSON.stringify(order);
      const child = await release();
      if (wanted && child?.isRunning() === true) return child;
      await discard(child);
      return startEncoder(encoder, order);
    },
    prepare(order) {
      if (!closed) waiting ??= { order: JSON.stringify(order), child: start(order) };
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await discard(await release());
    },
  };
}

async function discard(child: EncoderProcess | undefined): Promise<void> {
  if (child === undefined) return;
  child.kill();
  child.output.destroy();
  await child.ended;
}

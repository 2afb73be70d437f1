/** Packets with holes in the times of their sound → the same with silence in the holes, so that every player stays in step. */
import { Failure } from '../failure.ts';
import { parseVorbisPrivate } from './ogg/vorbis.ts';
import { nsToSamples, type OpusHead, packetSamples, parseOpusHead, samplesToNs } from './opus.ts';
import { SILENCE_STEP, silentPackets } from './opus-silence.ts';
import type { Packet, Track } from './packet.ts';

/** Clocks and rounding differ by less; what is shorter is not heard, and adds up until it is longer. */
const MIN_HOLE_NS = 15_000_000;

/** Of silence made at once, so that filling an hour does not hold an hour. */
const MAX_BATCH = 512;

/**
 * A player that counts samples plays what is behind a hole too early; one that goes by the times makes the silence by itself.
 * Opus is silenced without decoding.
 * @throws Failure `unsupported-media` for a hole in sound that cannot: an encoder has to be asked.
 */
export function withoutHoles(
  tracks: readonly Track[],
  packets: AsyncIterable<readonly Packet[]>,
): AsyncIterableIterator<readonly Packet[]> {
  return new Filled(
    tracks.map((track) => (track.kind === 'audio' ? finderOf(track.codecId, track.codecPrivate) : undefined)),
    packets[Symbol.asyncIterator](),
  );
}

/** How one track of sound goes on. */
interface HoleFinder {
  /** What is missing in front of a packet; undefined where nothing is. */
  holeBefore(packet: Packet): Hole | undefined;
}

/** What is missing in front of a packet. */
interface Hole {
  readonly timeNs: number;
  readonly packets: Generator<Uint8Array, void, void>;
}

function finderOf(codecId: string, codecPrivate: Buffer | undefined): HoleFinder | undefined {
  const opus = codecId === 'A_OPUS' ? parseOpusHead(codecPrivate ?? NOTHING) : undefined;
  if (opus !== undefined) return new OpusHoles(opus);
  const stepNs = codecId === 'A_VORBIS' ? longestStepNs(codecPrivate ?? NOTHING) : undefined;
  return stepNs === undefined ? undefined : new VorbisHoles(stepNs);
}

const NOTHING = Buffer.alloc(0);

class OpusHoles implements HoleFinder {
  readonly #head: OpusHead;
  /** How much was heard, silence included. */
  #heardNs = 0;
  #endNs = 0;
  #last: Uint8Array | undefined;

  constructor(head: OpusHead) {
    this.#head = head;
  }

  holeBefore(packet: Packet): Hole | undefined {
    const missingNs = packet.timeNs - this.#heardNs;
    const hole = missingNs < MIN_HOLE_NS ? undefined : this.#fill(missingNs, this.#last ?? packet.data);
    this.#heardNs += (packet.durationNs ?? 0) - Math.max(0, packet.discardPaddingNs ?? 0);
    this.#endNs = packet.timeNs + (packet.durationNs ?? 0);
    this.#last = packet.data;
    return hole;
  }

  #fill(missingNs: number, like: Uint8Array): Hole {
    const missing = nsToSamples(missingNs);
    const samples = missing - (missing % SILENCE_STEP);
    this.#heardNs += samplesToNs(samples);
    return { timeNs: this.#endNs, packets: silentPackets(samples, like, this.#head) };
  }
}

class VorbisHoles implements HoleFinder {
  readonly #stepNs: number;
  #lastNs: number | undefined;

  constructor(stepNs: number) {
    this.#stepNs = stepNs;
  }

  holeBefore({ timeNs }: Packet): undefined {
    const stepNs = timeNs - (this.#lastNs ?? timeNs);
    this.#lastNs = timeNs;
    if (stepNs - this.#stepNs < MIN_HOLE_NS) return;
    const at = (timeNs / 1e9).toFixed(2);
    throw new Failure(
      'unsupported-media',
      `The sound is Vorbis with a hole before ${at} s, which only an encoder can fill.`,
    );
  }
}

/** A packet adds a half of its block and of the one before, at most. */
function longestStepNs(codecPrivate: Buffer): number | undefined {
  const head = parseVorbisPrivate(codecPrivate);
  return head === undefined ? undefined : (Math.max(...head.sizes) / 2 / head.rate) * 1e9;
}

class Filled implements AsyncIterableIterator<readonly Packet[]> {
  readonly #finders: readonly (HoleFinder | undefined)[];
  readonly #source: AsyncIterator<readonly Packet[]>;
  #batch: readonly Packet[] = [];
  /** The first packet of the batch that was not handed on, and the first that was not looked at. */
  #next = 0;
  #unseen = 0;
  /** Silence that goes in front of the next packet. */
  #silence: Generator<Packet, void, void> | undefined;

  constructor(finders: readonly (HoleFinder | undefined)[], source: AsyncIterator<readonly Packet[]>) {
    this.#finders = finders;
    this.#source = source;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<readonly Packet[]>> {
    for (;;) {
      const value = this.#silence === undefined ? this.#untilHole() : this.#someOf(this.#silence);
      if (value.length > 0) return { done: false, value };
      if (this.#silence !== undefined || this.#next < this.#batch.length) continue;
      const step = await this.#source.next();
      if (step.done === true) return step;
      this.#batch = step.value;
      this.#next = this.#unseen = 0;
    }
  }

  async return(): Promise<IteratorResult<readonly Packet[]>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  /** The rest of the batch, or what of it is in front of a hole. */
  #untilHole(): readonly Packet[] {
    const batch = this.#batch;
    const start = this.#next;
    while (this.#unseen < batch.length && this.#silence === undefined) {
      this.#next = this.#unseen;
      this.#look(batch[this.#unseen]);
      this.#unseen += 1;
    }
    if (this.#silence !== undefined) return batch.slice(start, this.#next);
    // Whoever waits for its reader keeps nothing that was handed on.
    this.#batch = [];
    this.#next = this.#unseen = 0;
    return start === 0 ? batch : batch.slice(start);
  }

  #look(packet: Packet | undefined): void {
    const hole = packet && this.#finders[packet.track]?.holeBefore(packet);
    if (hole !== undefined && packet !== undefined) this.#silence = silentOf(hole, packet.track);
  }

  #someOf(silence: Generator<Packet, void, void>): readonly Packet[] {
    const some: Packet[] = [];
    while (some.length < MAX_BATCH) {
      const step = silence.next();
      if (step.done === true) {
        this.#silence = undefined;
        break;
      }
      some.push(step.value);
    }
    return some;
  }
}

function* silentOf(hole: Hole, track: number): Generator<Packet, void, void> {
  let { timeNs } = hole;
  for (const data of hole.packets) {
    const durationNs = samplesToNs(packetSamples(data) ?? 0);
    yield { track, timeNs, data, keyframe: true, durationNs, discardPaddingNs: undefined };
    timeNs += durationNs;
  }
}

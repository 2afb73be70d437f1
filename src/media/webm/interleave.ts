/** The packets of several tracks → one sequence by time, with no more held back than a bound. */
import type { Packet } from '../packet.ts';

/** Held back while a track has nothing to compare with: a track may be silent for longer than that. */
const MAX_SPAN_NS = 2_000_000_000;
const MAX_HELD = 4096;
const MAX_HELD_BYTES = 4 * 1024 * 1024;

export interface Interleaver {
  /** Takes packets, times ascending per track; returns those that no later one can precede, within the bound. */
  add(packets: readonly Packet[]): readonly Packet[];
  /** All that is still held back. */
  end(): readonly Packet[];
}

export function createInterleaver(tracks: number): Interleaver {
  return tracks === 1 ? { add: (packets) => packets, end: () => [] } : new Waiting(tracks);
}

class Waiting implements Interleaver {
  readonly #queues: Packet[][];
  readonly #taken: number[];
  #held = 0;
  #heldBytes = 0;
  #newestNs = 0;

  constructor(tracks: number) {
    this.#queues = Array.from({ length: tracks }, () => []);
    this.#taken = Array.from({ length: tracks }, () => 0);
  }

  add(packets: readonly Packet[]): readonly Packet[] {
    const released: Packet[] = [];
    for (const packet of packets) {
      this.#queues[packet.track]?.push(packet);
      this.#held += 1;
      this.#heldBytes += packet.data.length;
      this.#newestNs = Math.max(this.#newestNs, packet.timeNs);
      while (this.#held > 0 && this.#mayRelease()) released.push(...this.#release());
    }
    return released;
  }

  end(): readonly Packet[] {
    const released: Packet[] = [];
    while (this.#held > 0) released.push(...this.#release());
    return released;
  }

  #mayRelease(): boolean {
    if (this.#held > MAX_HELD || this.#heldBytes > MAX_HELD_BYTES) return true;
    if (this.#queues.every((queue, track) => queue.length > (this.#taken[track] ?? 0))) return true;
    return this.#newestNs - (this.#earliest()?.timeNs ?? 0) > MAX_SPAN_NS;
  }

  /** Of packets at the same time the one of the lower track goes first. */
  #earliest(): Packet | undefined {
    let earliest: Packet | undefined;
    for (const [track, queue] of this.#queues.entries()) {
      const packet = queue[this.#taken[track] ?? 0];
      if (packet !== undefined && (earliest === undefined || packet.timeNs < earliest.timeNs)) earliest = packet;
    }
    return earliest;
  }

  #release(): Packet[] {
    const packet = this.#earliest();
    if (packet === undefined) return [];
    const queue = this.#queues[packet.track] ?? [];
    const taken = (this.#taken[packet.track] ?? 0) + 1;
    this.#held -= 1;
    this.#heldBytes -= packet.data.length;
    this.#taken[packet.track] = taken;
    if (taken >= 256 || taken === queue.length) {
      queue.splice(0, taken);
      this.#taken[packet.track] = 0;
    }
    return [packet];
  }
}

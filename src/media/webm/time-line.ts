/** Block times, document by document → one time line that ascends on every track, in nanoseconds from the first block. */
import { damagedWebm } from './ebml.ts';

/** What recorders that take their times from a clock may be wrong by. */
const JITTER_NS = 40_000_000;

/** The longest step between two frames that the last frame of unknown duration is taken to last as well. */
const MAX_GUESSED_FRAME_NS = 1_000_000_000;

/** So much longer than its last picture begins may a document say it is, and be believed. */
const LAST_PICTURE_NS = 5_000_000_000;

/** Where a track has come to. */
interface Reached {
  /** Of the latest packet. */
  timeNs: number;
  /** Between the latest two. */
  stepNs: number;
  endNs: number;
}

export interface Timed {
  readonly timeNs: number;
  readonly durationNs: number | undefined;
  readonly discardPaddingNs: number | undefined;
}

/**
 * Each document of a file counts from its own first Cluster, whatever time that has, and begins where the one before ended: so
 * recordings one behind the other play one after the other.
 */
export class TimeLine {
  /** What all documents together say of their length; undefined where one of them does not, or has not ended. */
  statedMs: number | undefined = 0;
  readonly #tracks = new Map<number, Reached>();
  /** Where the document that is being read begins. */
  #startNs = 0;
  /** The time that its first Cluster has. */
  #originNs: number | undefined;

  /** The first Cluster of a document. */
  beginAt(timeNs: number): void {
    this.#originNs ??= timeNs;
  }

  /**
   * The time of a packet on the line.
   * @throws Failure `unreadable-media` where the times of a track run backwards
   */
  place(track: number, packet: Timed, offset: number): number {
    const wanted = packet.timeNs - (this.#originNs ?? 0) + this.#startNs;
    const reached = this.#tracks.get(track) ?? this.#begin(track, wanted);
    const backNs = reached.timeNs - wanted;
    if (backNs > JITTER_NS) {
      throw damagedWebm(offset, `the times of a track run backwards by ${(backNs / 1e9).toFixed(2)} s`);
    }
    const timeNs = Math.max(wanted, reached.timeNs);
    reached.stepNs = timeNs - reached.timeNs;
    reached.timeNs = timeNs;
    const durationNs = packet.durationNs ?? Math.min(reached.stepNs, MAX_GUESSED_FRAME_NS);
    reached.endNs = Math.max(reached.endNs, timeNs + durationNs - Math.max(0, packet.discardPaddingNs ?? 0));
    return timeNs;
  }

  #begin(track: number, wanted: number): Reached {
    const timeNs = Math.max(wanted, this.#startNs);
    const reached = { timeNs, stepNs: 0, endNs: timeNs };
    this.#tracks.set(track, reached);
    return reached;
  }

  /** The document has ended; `statedMs` is what it says of its length. */
  endDocument(statedMs: number | undefined): void {
    const reachedAll = [...this.#tracks.values()];
    const playedNs = Math.max(this.#startNs, ...reachedAll.map(({ endNs }) => endNs)) - this.#startNs;
    const statedNs = statedMs === undefined ? undefined : this.#lengthOf(statedMs * 1e6, playedNs);
    if (statedNs === undefined || this.statedMs === undefined) this.statedMs = undefined;
    else this.statedMs += statedNs / 1e6;
    const staysNs = (statedNs ?? 0) - playedNs;
    this.#startNs += staysNs > 0 && staysNs <= LAST_PICTURE_NS ? (statedNs ?? 0) : playedNs;
    for (const reached of reachedAll) reached.timeNs = this.#startNs;
    this.#originNs = undefined;
  }

  /** Some writers count a document that begins late from its first block, others from zero: what fits better is meant. */
  #lengthOf(statedNs: number, playedNs: number): number {
    const fromOrigin = statedNs - (this.#originNs ?? 0);
    return Math.abs(fromOrigin - playedNs) < Math.abs(statedNs - playedNs) ? fromOrigin : statedNs;
  }
}

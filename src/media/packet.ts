/** Media, taken apart: every way of making WebM goes through packets, and one writer makes the file of them. */
import type { Lengths } from './source/tally.ts';
import type { Webm } from './webm/webm.ts';

export interface AudioTrack {
  readonly kind: 'audio';
  /** Matroska codec id: `A_OPUS` or `A_VORBIS`. */
  readonly codecId: string;
  readonly codecPrivate: Buffer | undefined;
  readonly channels: number;
  readonly sampleRate: number;
  /** Opus pre-skip (RFC 7845 §4.2), nanoseconds. */
  readonly codecDelayNs: number;
  /** 80 ms for Opus (RFC 7845 §4.6), nanoseconds. */
  readonly seekPreRollNs: number;
}

export interface VideoTrack {
  readonly kind: 'video';
  /** `V_VP8`, `V_VP9` or `V_AV1`. */
  readonly codecId: string;
  readonly codecPrivate: Buffer | undefined;
  readonly width: number;
  readonly height: number;
  /** Raw children of the Matroska Video element that must survive a re-wrap (Colour …), as they were read. */
  readonly extra: Buffer | undefined;
}

export type Track = AudioTrack | VideoTrack;

export interface Packet {
  /** Index into the stream's tracks. */
  readonly track: number;
  /** Presentation time, nanoseconds from the start; includes the codec delay, as Matroska block times do. */
  readonly timeNs: number;
  /** No Buffer: there are many of them, and a view of this sort costs half. */
  readonly data: Uint8Array;
  readonly keyframe: boolean;
  /** Where known: every Opus packet (RFC 6716 §3.1). */
  readonly durationNs: number | undefined;
  /** Matroska DiscardPadding: samples at the end that must not be heard, nanoseconds. */
  readonly discardPaddingNs: number | undefined;
}

export interface PacketStream {
  readonly tracks: readonly Track[];
  /** Total duration where a header tells it beforehand, milliseconds. */
  readonly durationMs: number | undefined;
  /**
   * In batches, times ascending per track. Ends only when every source byte was read, parsed and accounted for;
   * anything less throws a Failure. Data may be a view of a larger buffer.
   */
  readonly packets: AsyncIterable<readonly Packet[]>;
}

/** Read from a file as it is, without decoding. */
export interface FileStream extends PacketStream {
  /** After `packets` ended: whether the file itself marks this as its end. Otherwise it may have been cut here: something else has to tell. */
  readonly hasEndMark: boolean;
  /** After `packets` ended: what the file says of its own length, milliseconds; undefined where it does not. */
  readonly statedMs: number | undefined;
}

/** The packets of one recording by whichever way was taken, and what is known of how long they have to play. */
export interface SourceStream extends PacketStream {
  readonly way: Webm['way'];
  readonly why: string;
  readonly encoder: string | undefined;
  /** After `packets` ended: milliseconds the sources play, where they tell. */
  expectedMs(): number | undefined;
  /** Whether that is what a header says; otherwise it was counted as the source passed. */
  readonly isStated: boolean;
  /** After `packets` ended: whether a source of a kind that marks its end does not, so that it may have been cut there. */
  lacksEndMark(): boolean;
  /** After `packets` ended: whether sizes of the source's own account for its every byte. */
  isSized(): boolean;
  /** After `packets` ended: how long sound and pictures play, each as it was counted on the source's own bytes. */
  countedMs(): Lengths;
  /** How far its sound may be from that, where its decoder is known so well: decoder-slack.ts. */
  readonly soundSlackMs: number | undefined;
  /** After `packets` ended, for the manifest. */
  notes(): readonly string[];
}

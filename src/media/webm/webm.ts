/** What the pipeline hands on: a WebM in the making. Archiving stores it, the live route plays it. */

export interface WebmResult {
  /** EBML header, Segment of known size, SeekHead, Info with Duration, Tracks, Cues: in front of the clusters it makes the seekable file. */
  readonly head: Buffer;
  /** Of the head and all clusters. */
  readonly sizeBytes: number;
  readonly durationMs: number;
  readonly channels: number;
  readonly codecs: readonly string[];
  readonly packets: number;
  /** What only the end of the media showed; belongs to `why`. */
  readonly note?: string;
}

export interface Webm {
  readonly contentType: 'audio/webm' | 'video/webm';
  readonly way: 'rewrap' | 'join' | 'encode-audio' | 'encode-video';
  readonly why: string;
  readonly encoder: string | undefined;
  /** Head of the live stream: Segment of unknown size, Duration where it is known beforehand, no Cues. */
  readonly liveHead: Buffer;
  /**
   * Whole Clusters, each once. Its normal end is the proof of completeness: source bytes accounted for, encoder gone with
   * code 0, duration in agreement, packets > 0. Anything else throws a Failure, and leaving early stops everything behind it.
   * Each is the reader's until it asks for the next.
   */
  readonly clusters: AsyncIterable<Buffer>;
  /** How long that plays which was made so far, milliseconds. */
  playsMs(): number;
  /** Only after `clusters` ended normally. */
  result(): WebmResult;
}

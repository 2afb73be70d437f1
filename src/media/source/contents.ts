/** What is in a media file, as its beginning tells it, whichever container it is. */

/** One track of sound. */
export interface SoundContents {
  /** Among the sound tracks of its file, from 0, as ffmpeg counts them. */
  readonly stream: number;
  /** As the container names it. */
  readonly codec: string | undefined;
  /** undefined where only decoding tells: one or two then, as far as anything known goes. */
  readonly channels: number | undefined;
  /** Whether decoding gives exactly so many: of PCM it does; AAC that says one may give two. */
  readonly isExact: boolean;
  /** A track that says how loud it has to be. */
  readonly levels?: LevelTrack | undefined;
}

/** Sound to be multiplied by, of as many channels. */
export interface LevelTrack {
  /** As {@link SoundContents.stream}. */
  readonly stream: number;
  /** Decibels that its full scale stands for. */
  readonly scaleDb: number;
}

export interface Contents {
  readonly sounds: readonly SoundContents[];
  /** Pictures that move: codec of each track, as the container names it. */
  readonly pictures: readonly string[];
  /** Whether its packets have times of their own: only then can there be holes in it, or a late start. */
  readonly isTimed: boolean;
  /** Seconds on its own clock at which it begins. */
  readonly startS: number;
}

/** What is in a file that is all one track of sound, without times. */
export function oneSound(sound: Omit<SoundContents, 'stream'>): Contents {
  return { sounds: [{ stream: 0, ...sound }], pictures: [], isTimed: false, startS: 0 };
}

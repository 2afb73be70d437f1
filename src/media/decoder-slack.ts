/**
 * The codecs of a recording → how far what their decoders give may be from what was counted on the source's own bytes, where
 * nothing is lost. Beside each figure: what was observed over 400 files that ffmpeg made, of 8 to 48 kHz and 0.1 to 180 s, most of
 * it at 8 kHz; nothing of it grows with the length. Codecs whose packets differ in length are not here where they lie in
 * Matroska, which does not say how long the last one is.
 */
import type { Contents } from './source/contents.ts';

interface CodecSlack {
  /** As the containers name them. */
  readonly codecs: RegExp;
  readonly ms: number;
}

const SLACKS: readonly CodecSlack[] = [
  /** Sample for sample, or in blocks that are counted: 0 to +3 ms, what Opus puts in front. */
  {
    codecs:
      /^(pcm|float|a-law|µ-law|(ms|ima) adpcm|g\.722|flac|alac|fLaC|sowt|twos|raw |in24|in32|fl32|fl64|lpcm|ipcm|fpcm|NONE|ulaw|alaw|A_PCM\/.+)$/,
    ms: 60,
  },
  /** 0 to +59 ms: the last packet is played to its end. */
  { codecs: /^vorbis$/, ms: 200 },
  /** -135 to +27 ms of MP3, the delay and padding that its tag lets one leave out; 0 to +85 of AAC, whose last frame is whole. */
  { codecs: /^(mp[123]|A_MPEG\/L[123]|adts|mp4a|A_AAC.*)$/, ms: 400 },
];

/** Milliseconds; undefined where one of the codecs is not known so well. */
export function decoderSlackMs(contents: readonly (Contents | undefined)[]): number | undefined {
  const slacks = contents.flatMap((each) => each?.sounds.map(({ codec }) => slackOf(codec)) ?? [undefined]);
  return slacks.reduce((most, ms) => (most === undefined || ms === undefined ? undefined : Math.max(most, ms)), 0);
}

function slackOf(codec: string | undefined): number | undefined {
  return SLACKS.find(({ codecs }) => codec !== undefined && codecs.test(codec))?.ms;
}

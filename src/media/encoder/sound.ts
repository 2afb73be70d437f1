/**
 * What sounds in a recording → ffmpeg's filters that make one or two channels of it, by one rule: parties keep their level.
 *
 * Parties are the files, where there are two; else the tracks of sound, where there are several; else the channels. One is
 * mono. Of several the first is heard left, the second right, the third left again, and so on. Those on one side are added,
 * each at its own level; a limiter holds the sum below full scale. The two channels of one party are one voice: what they
 * have in common is heard once.
 */
import type { Contents, SoundContents } from '../source/contents.ts';

/** One file of the recording. */
export interface Heard {
  readonly contents: Contents;
  /** Seconds of the file's own clock that are the recording's beginning; undefined where it begins with its first sample. */
  readonly zeroS: number | undefined;
}

export interface SoundFilters {
  /** For the one track that `map` names, or for all that go into `map`. */
  readonly kind: 'simple' | 'complex';
  readonly filters: string;
  readonly map: string;
  readonly channels: 1 | 2;
  /** More voices than channels. */
  readonly isMixed: boolean;
  /** They need the times of each file as they are, where ffmpeg would let each begin at 0. */
  readonly keepsClocks: boolean;
}

/** undefined where there is no sound. */
export function soundFilters(files: readonly Heard[]): SoundFilters | undefined {
  const [first, second] = files;
  const sounds = files.flatMap(({ contents }) => contents.sounds);
  const [only] = sounds;
  if (first === undefined || only === undefined) return undefined;
  if (second === undefined && sounds.length === 1) return alone(only, first);
  return together(files);
}

function alone(sound: SoundContents, file: Heard): SoundFilters {
  const channels = sound.channels === 1 ? 1 : 2;
  const isMixed = sound.channels !== undefined && sound.channels > 2;
  if (sound.levels === undefined) {
    const filters = [...inPlace(file), ...ownChannels(sound)].join(',');
    return { kind: 'simple', filters, map: `0:a:${String(sound.stream)}`, channels, isMixed, keepsClocks: false };
  }
  const filters = filtersOf({ sound, file: 0, label: '0' }, inStep(file), [...ownChannels(sound), LIMITER]);
  return { kind: 'complex', filters: `${filters}[sound]`, map: '[sound]', channels, isMixed, keepsClocks: true };
}

interface HeardTrack {
  readonly sound: SoundContents;
  readonly file: number;
  /** Its own among those of all tracks. */
  readonly label: string;
}

/** A track through filters that put it in its place in time, then at its level, then where it is heard. */
function filtersOf({ sound, file, label }: HeardTrack, places: readonly string[], sides: readonly string[]): string {
  const { stream, levels } = sound;
  const inputOf = (track: number): string => `[${String(file)}:a:${String(track)}]${places.join(',')}`;
  if (levels === undefined) return `${inputOf(stream)}${places.length > 0 ? ',' : ''}${sides.join(',')}`;
  const [heard, level] = [`[h${label}]`, `[l${label}]`];
  const leveled = `${heard}${level}amultiply,volume=${String(levels.scaleDb)}dB`;
  return `${inputOf(stream)}${heard};${inputOf(levels.stream)}${level};${leveled},${sides.join(',')}`;
}

/**
 * Silence wherever packets leave a hole, and in front of a late start; without it what is behind a hole is heard in front of
 * it. Times that jitter by less than 15 ms are let be.
 */
const IN_PLACE = 'aresample=async=1:min_hard_comp=0.015:first_pts=0';

/** One or two as they are, by their number and not by what a channel mask calls them; more are put on two sides. */
function ownChannels({ channels, isExact }: SoundContents): readonly string[] {
  if (channels !== undefined && channels > 2) {
    const [left, right] = [0, 1].map((side) => sumOf(channels, (channel) => channel % 2 === side));
    return [`pan=stereo|c0=${left ?? ''}|c1=${right ?? ''}`, LIMITER];
  }
  if (!isExact || channels === undefined) return ['aformat=channel_layouts=stereo|mono'];
  return [channels === 1 ? 'channelmap=map=0:channel_layout=mono' : 'channelmap=map=0|1:channel_layout=stereo'];
}

function sumOf(channels: number, isWanted: (channel: number) => boolean): string {
  const wanted = Array.from({ length: channels }, (_, channel) => channel).filter(isWanted);
  return wanted.map((channel) => `c${String(channel)}`).join('+');
}

/** 0.6 dB below full scale, which leaves Opus room; what is quieter passes unchanged, 5 ms late. */
const LIMITER = 'alimiter=limit=0.93:attack=5:release=50:level=disabled';

/**
 * What goes first into the sum: of silence, and over at once. amix counts by its first input while that lasts, and drops the
 * end of it where another ended before; once it is over, the others play to their ends.
 */
const SEED = '[seed]atrim=end_sample=1,volume=0[start]';

/** Every track becomes one side of a stereo whose other side is silent; their sum lasts as long as the longest. */
function together(files: readonly Heard[]): SoundFilters {
  const tracks = files.flatMap((file, index) => file.contents.sounds.map((sound) => ({ sound, file, index })));
  const chains = tracks.map(({ sound, file, index }, number) => {
    const side = (files.length > 1 ? index : number) % 2;
    const places = files.length > 1 ? inStep(file) : inPlace(file);
    const label = String(number);
    const isFirst = number === 0;
    const filters = filtersOf({ sound, file: index, label }, places, toSide(sound, side));
    return `${filters}${isFirst ? `,asplit[s0][seed];${SEED}` : `[s${label}]`}`;
  });
  const labels = tracks.map((_, number) => `[s${String(number)}]`).join('');
  const isMixed = tracks.length > 2 || tracks.some(({ sound }) => sound.channels !== 1);
  const isLimited = isMixed || tracks.some(({ sound }) => sound.levels !== undefined);
  const mix = `amix=inputs=${String(tracks.length + 1)}:duration=longest:normalize=0${isLimited ? `,${LIMITER}` : ''}`;
  return {
    kind: 'complex',
    filters: [...chains, `[start]${labels}${mix}[sound]`].join(';'),
    map: '[sound]',
    channels: 2,
    isMixed,
    keepsClocks: files.length > 1,
  };
}

function inPlace({ contents }: Heard): readonly string[] {
  return contents.isTimed ? [IN_PLACE] : [];
}

/** Two files by one clock: without times of its own a file begins at 0. */
function inStep(file: Heard): readonly string[] {
  const zero = file.contents.isTimed && file.zeroS !== undefined ? `${file.zeroS.toFixed(6)}/TB` : 'STARTPTS';
  return [`asetpts=PTS-${zero}`, ...inPlace(file)];
}

function toSide({ channels, isExact }: SoundContents, side: number): readonly string[] {
  const place = `pan=stereo|c${String(side)}=`;
  if (channels === 1) return [...(isExact ? [] : ['aformat=channel_layouts=mono']), `${place}c0`];
  if (channels === undefined || channels === 2) return [`aeval=${ONE_VOICE}:channel_layout=mono`, `${place}c0`];
  return [`${place}${sumOf(channels, () => true)}`];
}

/**
 * Two channels of one party as one, as loud as the louder: their mean, raised by as much as they differ. Equal ones stay what
 * they are, a voice on one of them keeps its level, two different ones are added, and of inverted ones the difference is taken.
 * Powers of mean (0) and half difference (1) are followed over 500 samples.
 */
const ONE_VOICE = [
  "'st(0,ld(0)+0.002*((val(0)+val(1))^2-ld(0)))",
  'st(1,ld(1)+0.002*((val(0)-val(1))^2-ld(1)))',
  "if(gt(ld(1),4*ld(0)),(val(0)-val(1))/2*(1+sqrt(ld(0)/(ld(1)+1e-12))),(val(0)+val(1))/2*(1+min(1,sqrt(ld(1)/(ld(0)+1e-12)))))'",
].join(';');

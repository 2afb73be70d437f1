/** What is known of the sources → ffmpeg's arguments: a fixed set, in which nothing of the input appears but its kind. */
import { Failure } from '../../failure.ts';
import type { Contents } from '../source/contents.ts';
import { MOST_REPEATS } from '../source/repeats.ts';
import type { Media, MediaKind } from '../sniff.ts';
import { type Heard, type SoundFilters, soundFilters } from './sound.ts';

/** One file as the encoder gets it. */
export interface EncoderInput extends Media {
  /** What is in it, where more of it was read than {@link Media} tells. */
  readonly contents?: Contents | undefined;
  /** Seconds of its own clock that are the recording's beginning; its own first sample where absent. */
  readonly zeroS?: number | undefined;
}

export interface EncodePlan {
  /** One file, or one of sound per channel, left first. */
  readonly media: readonly EncoderInput[];
  /** Longer media is cut off by ffmpeg itself, should nobody have stopped it before. */
  readonly maxDurationMs: number;
  /** How long the media says it plays, or Genesys does; undefined where nobody does. */
  readonly announcedMs?: number | undefined;
  /** Of all files, as their servers announce them. */
  readonly sizeBytes?: number | undefined;
  /** Somebody waits for the first second; else it may come in large pieces, which cost less. */
  readonly listened?: boolean;
  /** Of decoder and encoder each; one where absent. */
  readonly threads?: number | undefined;
}

/** The demuxer is forced and the only one allowed: a playlist can then never be taken for one, whatever its bytes say. */
const DEMUXERS: Readonly<Record<MediaKind, string>> = {
  'ogg-opus': 'ogg',
  'ogg-vorbis': 'ogg',
  ogg: 'ogg',
  wav: 'wav',
  mp3: 'mp3',
  flac: 'flac',
  'aac-adts': 'aac',
  mp4: 'mov',
  webm: 'matroska',
};

/** Allowed by every name that the demuxer goes by. */
const DEMUXER_NAMES: Readonly<Record<string, string>> = {
  mov: 'mov,mp4,m4a,3gp,3g2,mj2',
  matroska: 'matroska,webm',
};

/** Decoders of telephone and screen recordings. What is not here is refused before its first byte is decoded. */
const DECODERS: readonly string[] = [
  'pcm_s16le pcm_s16be pcm_u8 pcm_s8 pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_f64be',
  'pcm_mulaw pcm_alaw adpcm_ms adpcm_ima_wav adpcm_ima_qt adpcm_ima_oki g722 g723_1 g726 g726le g729',
  'gsm gsm_ms libgsm libgsm_ms libspeex speex amrnb amrwb libopencore_amrnb libopencore_amrwb',
  'opus libopus vorbis libvorbis flac alac mp3 mp3float mp2 mp2float mp1 mp1float aac aac_latm',
  'h264 hevc mpeg4 vp8 vp9 libvpx libvpx-vp9 av1 libdav1d libaom-av1',
].flatMap((line) => line.split(' '));

/** 4096 x 2176: a 4K screen. A frame of 16384 x 8640 in 416 kB of input took 16 GB of memory. */
const MAX_PIXELS = 4096 * 2176;

/** Of one allocation; a frame of the above takes 14 MB. */
const MAX_ALLOC_BYTES = 256 * 1024 * 1024;

/** Media of the recorder has one or two; a thousand is an attack. */
const MAX_STREAMS = 8;

/** More gain nothing at these sizes, and each takes address space (libvpx, H.264 frames). */
const MAX_THREADS = 2;

/**
 * Where as many recordings are encoded at once as there are cores, each by one thread: a screen takes 8 % less CPU than by two,
 * which wait for each other, and 1.2 of the time where it is the only one.
 */
export function threadsFor(slots: number, cores: number): number {
  return Math.min(MAX_THREADS, Math.max(1, Math.floor(cores / slots)));
}

/**
 * Why these, measured by test/bench/encode-experiments.ts on two minutes of 8 kHz stereo speech against `-c:a libopus -b:a 128k`
 * (2 cores, ffmpeg 5.1):
 *
 * - `lowdelay`, which is CELT alone: 0.34 of the reference's CPU (0.39 for mono). `voip`, SILK for speech, takes 0.47 (0.54).
 * - complexity 0: 10 takes 0.70 of the CPU and a seventh more bytes for 0.56 dB.
 * - packets of 120 ms: with 20 ms it is 0.49, since much of the work is per packet.
 */
const AUDIO_CODEC = flags({
  'c:a': 'libopus',
  application: 'lowdelay',
  compression_level: 0,
  frame_duration: 120,
});

/**
 * Bits per second by channels: telephone band up to 12 kHz sampling, else the wider band; what stays within a third of the
 * reference's bytes. Log-spectral distance to the source, 100 to 3400 Hz (1 dB counts as transparent): 1.33 dB for both
 * channels, 0.62 dB for one. Between the sides of a call 52 dB remain, as of the reference; at 32 kbit/s it is 30 dB.
 */
const NARROW_BITRATES = { mono: 32_000, stereo: 48_000 };
const WIDE_BITRATES = { mono: 40_000, stereo: 44_000 };
const NARROW_RATE = 12_000;

/** Several voices on one side: at 44 kbit/s one of four tones loses 0.7 dB, at 64 kbit/s 0.15. */
const MIXED_BITRATE = 64_000;

/** Seconds; with the longest run of dropped duplicates a key frame comes every 5 s or sooner, from 10 frames a second up. */
const KEYFRAME_EVERY_S = 4;

/**
 * Measured against `-c:v libvpx-vp9 -b:v 1M` (same script): a screen capture takes 1/15 of the CPU at SSIM 0.999, constant
 * scrolling 1/8 at 0.998. `mpdecimate` drops what does not change, at 10 frames a second all but one about every second, and keeps the
 * times of the rest; `tune-content screen` takes 0.6 of the bytes for scrolling text; no lag, because 25 frames of a still screen would be held back for half a minute.
 */
const VIDEO_CODEC = {
  vf: `mpdecimate=max=${String(MOST_REPEATS)},scale=trunc(iw/2)*2:trunc(ih/2)*2`,
  pix_fmt: 'yuv420p',
  'c:v': 'libvpx-vp9',
  deadline: 'realtime',
  'cpu-used': 8,
  'row-mt': 1,
  'tune-content': 'screen',
  'lag-in-frames': 0,
  crf: 30,
  'b:v': '2M',
  // Seconds of a tick: by default one is as long as a picture of the source, and the times of pictures are rounded to that.
  'enc_time_base:v': '1:120',
  force_key_frames: `expr:gte(t,n_forced*${String(KEYFRAME_EVERY_S)})`,
};

/** ffmpeg's arguments for one recording: sources on `pipe:0` (and `pipe:3`), WebM on `pipe:1`. */
export function encodeArguments({
  media,
  maxDurationMs,
  listened = false,
  threads = 1,
}: EncodePlan): readonly string[] {
  const [first, second, ...more] = media;
  if (first === undefined || more.length > 0) throw new Failure('internal', 'The encoder takes one file or two.');
  const heard = media.map(heardIn);
  const sound = soundFilters(heard);
  const beginsS = second === undefined ? beginningOf(first) : undefined;
  return [
    ...GLOBAL,
    ...(sound?.keepsClocks === true || beginsS !== undefined ? flags({ copyts: true }) : []),
    ...(beginsS === undefined ? [] : flags({ itsoffset: -beginsS })),
    ...inputArguments(first, 'pipe:0', threads),
    ...(second === undefined ? [] : inputArguments(second, 'pipe:3', threads)),
    ...(second === undefined && mayHoldVideo(first) ? flags({ map: '0:V:0?', ...VIDEO_CODEC, threads }) : []),
    ...(sound === undefined ? [] : soundArguments(sound, media)),
    ...flags({ t: Math.ceil(maxDurationMs / 1000) + OVERRUN_S }),
    ...flags({ ...WITHOUT_NOTES, ...(listened ? SOON : CHEAP), f: 'webm' }),
    'pipe:1',
  ];
}

/** MP4 may store seconds of pictures in front of the sound that begins before them: ffmpeg takes what comes first for the beginning. */
function beginningOf({ kind, contents, zeroS }: EncoderInput): number | undefined {
  return kind === 'mp4' && contents !== undefined ? zeroS : undefined;
}

/** Where nobody looked further, one track of sound is taken for granted. */
function heardIn({ kind, codec, channels, contents, zeroS }: EncoderInput): Heard {
  const isExact = kind === 'wav' || kind === 'flac';
  const isTimed = !isExact && kind !== 'mp3' && kind !== 'aac-adts';
  const sound = { stream: 0, codec, channels, isExact: isExact && channels !== undefined };
  return { contents: contents ?? { sounds: [sound], pictures: [], isTimed, startS: 0 }, zeroS };
}

function soundArguments(sound: SoundFilters, media: readonly EncoderInput[]): readonly string[] {
  const { kind, filters, map } = sound;
  // Of kinds that were not looked into there may be pictures alone.
  const optional = media.some((input) => mayHoldVideo(input) && input.contents === undefined) ? '?' : '';
  return [
    ...(kind === 'simple' ? flags({ map: `${map}${optional}`, af: filters }) : flags({ filter_complex: filters, map })),
    ...AUDIO_CODEC,
    ...flags({ 'b:a': bitrateOf(sound, media) }),
  ];
}

function bitrateOf({ channels, isMixed }: SoundFilters, media: readonly EncoderInput[]): number {
  if (isMixed) return MIXED_BITRATE;
  const isWide = media.some(({ sampleRate }) => (sampleRate ?? 0) > NARROW_RATE);
  const { mono, stereo } = isWide ? WIDE_BITRATES : NARROW_BITRATES;
  return channels === 1 ? mono : stereo;
}

/** So much longer than allowed may the result become before ffmpeg ends by itself: long enough to be seen. */
const OVERRUN_S = 60;

/** `-max_error_rate`, not `-xerror`, which fails good WAV that was streamed; what is empty ends with an error. */
const GLOBAL = flags({
  hide_banner: true,
  nostdin: true,
  nostats: true,
  loglevel: 'error',
  filter_threads: 1,
  filter_complex_threads: 1,
  max_error_rate: 0,
  // Seconds; in Ogg a longer step between two times would be taken for a mistake, and what lies behind it moved up to it.
  dts_delta_threshold: 1_000_000,
  abort_on: 'empty_output+empty_output_stream',
});

/**
 * Names, titles and notes of the source are nobody's business here; nor is a random id of a file that is not kept: in its cage
 * ffmpeg has no device to ask for one, and gathers it out of the clock for a quarter of a second (libavutil/random_seed.c).
 */
const WITHOUT_NOTES = { map_metadata: -1, map_chapters: -1, sn: true, dn: true, fflags: '+bitexact' } as const;

/** Milliseconds. Each cluster is written at once: with 3000 the first one takes 8 ms longer. */
const SOON = { cluster_time_limit: 500, flush_packets: 1 };

/** A cluster of half a minute in one piece, where a pipe would get one of 32 KiB: the service takes half the CPU for reading it. */
const CHEAP = { cluster_time_limit: 30_000, cluster_size_limit: 1_048_576, flush_packets: 0, avioflags: 'direct' };

function inputArguments({ kind }: Media, url: 'pipe:0' | 'pipe:3', threads: number): readonly string[] {
  const demuxer = DEMUXERS[kind];
  return flags({
    protocol_whitelist: 'pipe',
    format_whitelist: DEMUXER_NAMES[demuxer] ?? demuxer,
    codec_whitelist: DECODERS.join(','),
    max_streams: MAX_STREAMS,
    max_alloc: MAX_ALLOC_BYTES,
    max_pixels: MAX_PIXELS,
    ...(kind === 'wav' ? HEADER_TELLS : LOOK_INSIDE),
    ...(kind === 'flac' ? CHECKSUMS_COUNT : {}),
    threads,
    f: demuxer,
    i: url,
  });
}

/** What ffmpeg may read before it has to know what is inside: bytes and microseconds. */
const LOOK_INSIDE = { probesize: 5_000_000, analyzeduration: 5_000_000 };

/** The header of WAV says it all; to look further costs 10 ms. */
const HEADER_TELLS = { probesize: 4_096, analyzeduration: 1 };

/** Without it frames whose checksum is wrong are played all the same. Of other kinds good media would fail. */
const CHECKSUMS_COUNT = { err_detect: 'crccheck+explode' };

/** `V` in a map is a picture that moves: cover art is none. */
function mayHoldVideo({ kind, contents }: EncoderInput): boolean {
  return (kind === 'mp4' || kind === 'webm') && (contents === undefined || contents.pictures.length > 0);
}

export interface EncoderLimits {
  /** Address space, bytes. */
  readonly memoryBytes: number;
  /** User and system time, seconds: soft and hard alike, since at a soft limit ffmpeg writes a shorter WebM that looks whole. */
  readonly cpuS: number;
}

interface Cost {
  /** Starting up, and the first frames of a large picture. */
  readonly baseS: number;
  /** Per second of media. */
  readonly perSecond: number;
  /** Per megabyte, where that is less. */
  readonly perMegabyte: number;
}

/**
 * An hour of sound takes about 10 s of CPU, 80 s where stereo files at 48 kHz become one side each; a megabyte of silence in
 * FLAC or Opus takes 17 s. An hour of screen takes at most 20 min; a second of 4K that changes all over takes 2 s.
 */
const SOUND_COST: Cost = { baseS: 30, perSecond: 0.1, perMegabyte: 60 };
const PICTURE_COST: Cost = { baseS: 60, perSecond: 6, perMegabyte: 600 };

/** By what the media announces of itself, with room: what takes more is an attack, or an encoder that hangs in a loop. */
export function limitsOf(plan: EncodePlan): EncoderLimits {
  const isPicture = plan.media.some(mayHoldVideo);
  const { baseS, perSecond, perMegabyte } = isPicture ? PICTURE_COST : SOUND_COST;
  const playS = Math.min(plan.announcedMs ?? Infinity, plan.maxDurationMs) / 1000;
  const byBytesS = ((plan.sizeBytes ?? Infinity) / 1e6) * perMegabyte;
  return {
    memoryBytes: (isPicture ? 4 : 1) * 1024 ** 3,
    cpuS: steppedUp(baseS + Math.min(playS * perSecond, byBytesS)),
  };
}

/** In steps of two, so that encoders that wait for work fit media of about the same length. */
const steppedUp = (seconds: number): number => 2 ** Math.ceil(Math.log2(seconds));

/** Options as ffmpeg takes them, in order. */
function flags(options: Readonly<Record<string, string | number | true>>): readonly string[] {
  return Object.entries(options).flatMap(([name, value]) =>
    value === true ? [`-${name}`] : [`-${name}`, String(value)],
  );
}

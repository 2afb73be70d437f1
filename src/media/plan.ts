/** Decides from what the bytes are, never from a label, how a recording becomes WebM. Pure. */
import { Failure } from '../failure.ts';
import { requireDecodable } from './source/wav-format.ts';
import { requireMedia, type Media, type MediaKind, type Sniffed } from './sniff.ts';

export interface Plan {
  /** `encode` becomes `encode-audio` or `encode-video` once the encoder has said what is inside. */
  readonly way: 'rewrap-ogg' | 'rewrap-webm' | 'join' | 'encode';
  /** For the manifest. */
  readonly why: string;
  readonly media: readonly Media[];
}

/**
 * `fast: false` after the fast way turned out not to fit this media: then everything is encoded.
 * @throws Failure `unsupported-media` saying what it is instead
 */
export function planWebm(sniffed: readonly Sniffed[], fast: boolean): Plan {
  const media = sniffed.map(requireMedia);
  for (const each of media) requireKnown(each);
  const [first, second, ...more] = media;
  if (first === undefined) throw new Failure('incomplete', 'The recording has no media files.');
  if (more.length > 0) {
    throw new Failure(
      'unsupported-media',
      `The recording has ${String(media.length)} media files; at most two, one per channel, can be joined.`,
    );
  }
  return second === undefined ? planOne(first, fast) : planPair(first, second, fast);
}

/** What a WAV says of itself in its first bytes decides whether an encoder is started for it. */
function requireKnown({ kind, codec, channels, sampleRate }: Media): void {
  if (kind !== 'wav' || codec === undefined || channels === undefined || sampleRate === undefined) return;
  requireDecodable({ codec, channels, sampleRate });
}

function planOne(media: Media, fast: boolean): Plan {
  if (!fast) return { way: 'encode', why: `${nameOfMedia(media)} that cannot be re-wrapped`, media: [media] };
  if (media.kind === 'ogg-opus') return { way: 'rewrap-ogg', why: 'one Ogg Opus file', media: [media] };
  if (media.kind === 'webm') return { way: 'rewrap-webm', why: 'WebM with codecs every browser plays', media: [media] };
  return { way: 'encode', why: `${nameOfMedia(media)} is not what WebM may hold`, media: [media] };
}

function planPair(first: Media, second: Media, fast: boolean): Plan {
  const media = [first, second];
  if (first.kind === 'ogg-opus' && second.kind === 'ogg-opus' && fast) {
    return { way: 'join', why: 'two mono Ogg Opus files, one per channel', media };
  }
  const names = `${nameOfMedia(first)} and ${nameOfMedia(second)}`;
  return {
    way: 'encode',
    why: fast ? `two files, ${names}, joined to stereo` : `${names} that cannot be joined without decoding`,
    media,
  };
}

function nameOfMedia({ kind, codec }: Media): string {
  const name = FORMATS[kind].name;
  return codec === undefined || name.toLowerCase().includes(codec) ? name : `${name} (${codec})`;
}

const FORMATS: Readonly<
  Record<MediaKind, { readonly name: string; readonly extension: string; readonly mediaType: string }>
> = {
  'ogg-opus': { name: 'Ogg Opus', extension: 'opus', mediaType: 'audio/ogg' },
  'ogg-vorbis': { name: 'Ogg Vorbis', extension: 'ogg', mediaType: 'audio/ogg' },
  ogg: { name: 'Ogg', extension: 'ogg', mediaType: 'audio/ogg' },
  wav: { name: 'WAV', extension: 'wav', mediaType: 'audio/wav' },
  mp3: { name: 'MP3', extension: 'mp3', mediaType: 'audio/mpeg' },
  flac: { name: 'FLAC', extension: 'flac', mediaType: 'audio/flac' },
  'aac-adts': { name: 'AAC', extension: 'aac', mediaType: 'audio/aac' },
  mp4: { name: 'MP4', extension: 'mp4', mediaType: 'video/mp4' },
  webm: { name: 'WebM', extension: 'webm', mediaType: 'video/webm' },
};

/** File name extension and media type by content; what is no media is kept as plain bytes. */
export function formatOf(sniffed: Sniffed): { readonly extension: string; readonly mediaType: string } {
  return sniffed.kind === 'refused'
    ? { extension: 'bin', mediaType: 'application/octet-stream' }
    : FORMATS[sniffed.kind];
}

/** The first bytes of a file → what it is, whatever its label says. Pure. */
import { Failure } from '../failure.ts';
import { id3Bytes } from './id3.ts';
import { isDescription } from './ogg/ogg.ts';
import { parseMpegHeader } from './source/mpeg-frame.ts';
import { isChunkName, parseWavFormat } from './source/wav-format.ts';
import { isContainer, unreadFormat, type UnreadFormat } from './unread-format.ts';

export type MediaKind = 'ogg-opus' | 'ogg-vorbis' | 'ogg' | 'wav' | 'mp3' | 'flac' | 'aac-adts' | 'mp4' | 'webm';

/** Media that can be given to a reader or a forced demuxer of this kind. */
export interface Media {
  readonly kind: MediaKind;
  /** What the head says of the sound or picture inside: `pcm`, `a-law`, `µ-law`, `opus` …; undefined where it says nothing. */
  readonly codec: string | undefined;
  readonly channels: number | undefined;
  /** Hertz. */
  readonly sampleRate: number | undefined;
}

/** Never given to a reader or an encoder. */
export interface RefusedMedia {
  readonly kind: 'refused';
  readonly found:
    | 'empty'
    | 'zip'
    | 'html'
    | 'xml'
    | 'json'
    | 'playlist'
    | 'session description'
    | 'email'
    | 'text'
    | UnreadFormat
    | 'unknown';
}

export type Sniffed = Media | RefusedMedia;

/** The longest head that helps; 64 bytes are enough for all but media behind long metadata. */
export const SNIFF_BYTES = 4096;

/** More would cost memory and time for every file that is none. */
const MOST_TAG_BYTES = 8 * 1024 * 1024;
const JUNK_BYTES = 65_536;

/** How much of the beginning would tell what it is, where these bytes do not: behind a long tag, or behind junk. */
export function bytesToTell(head: Buffer): number {
  const tagBytes = id3Bytes(head);
  if (tagBytes !== undefined && tagBytes < MOST_TAG_BYTES) return Math.max(SNIFF_BYTES, tagBytes + SNIFF_BYTES);
  const sniffed = sniff(head);
  return sniffed.kind === 'refused' && sniffed.found === 'unknown' ? JUNK_BYTES : SNIFF_BYTES;
}

/** What a file is by its first bytes: all of a short file, else at least 64 bytes and up to {@link SNIFF_BYTES}. */
export function sniff(head: Buffer): Sniffed {
  if (head.length === 0) return { kind: 'refused', found: 'empty' };
  for (const look of LOOKS) {
    const found = look(head);
    if (found !== undefined) return found;
  }
  return { kind: 'refused', found: sniffText(head) ?? 'unknown' };
}

function describe(found: RefusedMedia['found']): string {
  if (found === 'unknown') return 'of a kind not known here';
  return isContainer(found) ? `${found}, which is not read here` : `${found}, not sound or video`;
}

/** What somebody on the way answers in the media's place, whatever it is labelled: it passes, and is not the recording's fault. */
const WORDS: ReadonlySet<RefusedMedia['found']> = new Set(['html', 'xml', 'json', 'text']);

/** @throws Failure `unsupported-media` naming what it is instead; `upstream-error` for words; `incomplete` for no bytes at all. */
export function requireMedia(sniffed: Sniffed): Media {
  if (sniffed.kind !== 'refused') return sniffed;
  if (sniffed.found === 'empty') throw new Failure('incomplete', 'The media holds no bytes.');
  const what = describe(sniffed.found);
  const facts = { found: sniffed.found };
  if (WORDS.has(sniffed.found))
    throw new Failure(
      'upstream-error',
      `The media is ${what}: a proxy, web filter or login page stands before the media host, or it is no recording of sound or pictures.`,
      { facts },
    );
  throw new Failure('unsupported-media', `The media is ${what}; ask for WAV, MP3, Ogg, WebM or MP4.`, { facts });
}

const LOOKS: readonly ((head: Buffer) => Sniffed | undefined)[] = [
  sniffOgg,
  sniffWav,
  sniffFlac,
  sniffMatroska,
  sniffMp4,
  sniffMpegAudio,
  (head) => (textAt(head, 0, 2) === 'PK' && (head[2] ?? 9) < 8 ? { kind: 'refused', found: 'zip' } : undefined),
  (head) => refusedAs(unreadFormat(head)),
  sniffBehindJunk,
];

const refusedAs = (found: UnreadFormat | undefined): RefusedMedia | undefined => found && { kind: 'refused', found };

const textAt = (head: Buffer, start: number, end: number): string => head.toString('latin1', start, end);

const uint32 = (head: Buffer, at: number): number | undefined =>
  at + 4 <= head.length ? head.readUInt32LE(at) : undefined;

function media(kind: MediaKind, facts: Partial<Omit<Media, 'kind'>> = {}): Media {
  return { kind, codec: facts.codec, channels: facts.channels, sampleRate: facts.sampleRate };
}

/**
 * RFC 3533 §6: the first packet follows 27 bytes and the segment table; RFC 7845 §5.1 and the Vorbis I specification §4.2.2
 * say what it holds. A stream that only describes the others (Skeleton) may stand before the one that is heard.
 */
function sniffOgg(head: Buffer): Sniffed | undefined {
  if (textAt(head, 0, 5) !== 'OggS\0') return undefined;
  const segments = head[26] ?? 0;
  const packet = head.subarray(27 + segments);
  const next = packet.subarray(head.subarray(27, 27 + segments).reduce((sum, lace) => sum + lace, 0));
  if (textAt(packet, 0, 8) === 'fishead\0') return sniffOgg(next) ?? media('ogg');
  const isAlone = !beginsStream(next) || next.compare(head, 14, 18, 14, 18) === 0;
  if (textAt(packet, 0, 8) === 'OpusHead') {
    const kind = isAlone ? 'ogg-opus' : 'ogg';
    return media(kind, { codec: 'opus', channels: packet[9], sampleRate: uint32(packet, 12) });
  }
  if (textAt(packet, 0, 7) === '\x01vorbis') {
    return media('ogg-vorbis', { codec: 'vorbis', channels: packet[11], sampleRate: uint32(packet, 12) });
  }
  return media('ogg', { codec: isAlone ? oggCodec(packet) : undefined });
}

/** Another stream to be seen or heard: first pages of all of them stand in front of everything else (RFC 3533 §4). */
function beginsStream(page: Buffer): boolean {
  const isFirst = textAt(page, 0, 5) === 'OggS\0' && ((page[5] ?? 0) & 2) !== 0;
  return isFirst && !isDescription(page.subarray(27 + (page[26] ?? 0)));
}

function oggCodec(packet: Buffer): string | undefined {
  if (textAt(packet, 0, 5) === 'Speex') return 'speex';
  return textAt(packet, 0, 5) === '\x7fFLAC' ? 'flac' : undefined;
}

/** RIFF WAVE and RF64: chunks of a four-letter name and a size; `fmt ` says what `data` holds. */
function sniffWav(head: Buffer): Sniffed | undefined {
  if (!/^(RIFF|RF64|BW64)/.test(textAt(head, 0, 4)) || textAt(head, 8, 12) !== 'WAVE') return undefined;
  for (let at = 12; at + 8 <= head.length;) {
    const name = textAt(head, at, at + 4);
    if (name === 'fmt ') return media('wav', parseWavFormat(head.subarray(at + 8)));
    if (!isChunkName(head.subarray(at)) || name === 'data') return { kind: 'refused', found: 'unknown' };
    const size = head.readUInt32LE(at + 4);
    at += 8 + size + (size % 2);
  }
  return media('wav');
}

/** RFC 9639 §8.2: STREAMINFO comes first. */
function sniffFlac(head: Buffer): Sniffed | undefined {
  if (textAt(head, 0, 4) !== 'fLaC') return undefined;
  if (head.length < 22) return media('flac', { codec: 'flac' });
  const packed = head.readUInt32BE(18);
  return media('flac', { codec: 'flac', channels: ((packed >>> 9) & 7) + 1, sampleRate: packed >>> 12 });
}

function sniffMatroska(head: Buffer): Sniffed | undefined {
  return head.length >= 4 && head.readUInt32BE(0) === 0x1a45dfa3 ? media('webm') : undefined;
}

/** ISO/IEC 14496-12: the first box; QuickTime files may begin without `ftyp`. Still images share the format. */
function sniffMp4(head: Buffer): Sniffed | undefined {
  const box = textAt(head, 4, 8);
  if (box === 'ftyp') return /^(heic|heix|mif1|avif|msf1)/.test(textAt(head, 8, 12)) ? undefined : media('mp4');
  return /^(moov|mdat|styp|wide|free|skip|pnot)$/.test(box) ? media('mp4') : undefined;
}

/** A run of frames, or what stands behind ID3v2 tags (id3.org, ID3v2.4 §3.1), of which some put zeros behind theirs. */
function sniffMpegAudio(head: Buffer): Sniffed | undefined {
  const tagBytes = id3Bytes(head);
  if (tagBytes === undefined) return mpegFrames(head, 0);
  if (tagBytes + 4 > head.length) return media('mp3');
  const behind = head.subarray(tagBytes);
  const start = behind.findIndex((byte) => byte !== 0);
  const rest = behind.subarray(Math.max(0, start));
  return sniffMpegAudio(rest) ?? sniffFlac(rest) ?? sniffOgg(rest) ?? sniffWav(rest) ?? sniffBehindJunk(rest);
}

/** One frame may be chance: where the head holds the next one, it has to be a frame too. */
function mpegFrames(head: Buffer, at: number): Sniffed | undefined {
  const first = parseMpegHeader(head, at);
  if (first === undefined) return undefined;
  const next = at + first.sizeBytes;
  if (next + 8 <= head.length && parseMpegHeader(head, next) === undefined) return undefined;
  const { channels, sampleRate } = first;
  return media(first.layer === 'adts' ? 'aac-adts' : 'mp3', { codec: first.layer, channels, sampleRate });
}

/** So many frames of one rate in a row are no chance, wherever they begin. */
const RUN_FRAMES = 3;

/** What a recorder or a proxy left in front of MPEG audio; never where it is text. */
function sniffBehindJunk(head: Buffer): Sniffed | undefined {
  if (sniffText(head) !== undefined) return undefined;
  for (let at = head.indexOf(0xff); at >= 0; at = head.indexOf(0xff, at + 1)) {
    if (isRun(head, at)) return mpegFrames(head, at);
  }
  return undefined;
}

function isRun(head: Buffer, start: number): boolean {
  const first = parseMpegHeader(head, start);
  let at = start;
  for (let frames = 0; frames < RUN_FRAMES; frames += 1) {
    const frame = parseMpegHeader(head, at);
    if (frame?.layer !== first?.layer || frame?.sampleRate !== first?.sampleRate || frame === undefined) return false;
    at += frame.sizeBytes;
  }
  return true;
}

const TEXTS: readonly (readonly [RegExp, RefusedMedia['found']])[] = [
  [/^(#EXTM3U|ffconcat\b|\[playlist\]|#EXT-X-)/i, 'playlist'],
  [/^v=0\r?\n/, 'session description'],
  [/^<(!doctype\s+html|html|head|body)\b/i, 'html'],
  [/^<(\?xml|[a-z!])/i, 'xml'],
  [/^(\{\s*("|\})|\[\s*[[{"\]])/, 'json'],
  [
    /^(from|received|return-path|mime-version|message-id|content-type|delivered-to|subject|date|to|x-[a-z-]+): /i,
    'email',
  ],
];

function sniffText(head: Buffer): RefusedMedia['found'] | undefined {
  const start = head.toString('utf8', 0, 512).replace(/^\uFEFF?\s*/, '');
  for (const [pattern, found] of TEXTS) if (pattern.test(start)) return found;
  return /^[\t\r\n\x20-\x7e]+$/.test(textAt(head, 0, 512)) ? 'text' : undefined;
}

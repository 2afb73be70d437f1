/** The first bytes of formats that are not read here → their names, so that a message can say what came. */

const CONTAINERS = [
  'AVI',
  'Windows Media',
  'Flash video',
  'AIFF',
  'AU',
  'AMR',
  'CAF',
  'Wave64',
  'MPEG program stream',
  'MPEG transport stream',
] as const;
const OTHERS = ['PDF', 'gzip', 'an image'] as const;

export type UnreadFormat = (typeof CONTAINERS)[number] | (typeof OTHERS)[number];

/** Whether there may be sound or pictures in it all the same. */
export const isContainer = (name: string): boolean => CONTAINERS.some((container) => container === name);

interface Signature {
  readonly name: UnreadFormat;
  /** In Latin-1. */
  readonly start: string;
  /** From byte 8 on, behind a size. */
  readonly behind?: string;
}

const SIGNATURES: readonly Signature[] = [
  { name: 'AVI', start: 'RIFF', behind: 'AVI ' },
  { name: 'AIFF', start: 'FORM', behind: 'AIF' },
  { name: 'Windows Media', start: '\x30\x26\xb2\x75\x8e\x66\xcf\x11' },
  { name: 'Flash video', start: 'FLV\x01' },
  { name: 'AU', start: '.snd\0\0' },
  { name: 'AMR', start: '#!AMR' },
  { name: 'CAF', start: 'caff\0\x01' },
  { name: 'Wave64', start: 'riff\x2e\x91\xcf\x11' },
  { name: 'MPEG program stream', start: '\0\0\x01\xba' },
  { name: 'MPEG program stream', start: '\0\0\x01\xb3' },
  { name: 'PDF', start: '%PDF-' },
  { name: 'gzip', start: '\x1f\x8b\x08' },
  { name: 'an image', start: '\x89PNG' },
  { name: 'an image', start: 'GIF8' },
  { name: 'an image', start: '\xff\xd8\xff' },
];

export function unreadFormat(head: Buffer): UnreadFormat | undefined {
  const text = head.toString('latin1', 0, 16);
  if (isTransportStream(head)) return 'MPEG transport stream';
  return SIGNATURES.find(({ start, behind = '' }) => text.startsWith(start) && text.startsWith(behind, 8))?.name;
}

/** ISO/IEC 13818-1 §2.4.3.2: packets of 188 bytes, each of which begins with one byte that is always the same. */
function isTransportStream(head: Buffer): boolean {
  return head.length > 3 * 188 && [0, 188, 376].every((at) => head[at] === 0x47);
}

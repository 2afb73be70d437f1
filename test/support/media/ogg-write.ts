/** Writes Ogg pages and Ogg Opus files by hand, good and bad ones. */
import { pageChecksum } from '../../../src/media/ogg/ogg.ts';
import { opusHead } from './packets.ts';

export interface PageOptions {
  readonly packets?: readonly Buffer[];
  readonly granule?: number;
  readonly serial?: number;
  readonly sequence?: number;
  /** 1 continued, 2 first, 4 last. */
  readonly flags?: number;
  /** The last packet goes on on the next page: its length has to be a multiple of 255. */
  readonly open?: boolean;
}

export function oggPage(options: PageOptions): Buffer {
  const { packets = [], granule = -1, serial = 7, sequence = 0, flags = 0, open = false } = options;
  const table = packets.flatMap((packet, i) => {
    const full = Array.from({ length: Math.floor(packet.length / 255) }, () => 255);
    return open && i === packets.length - 1 ? full : [...full, packet.length % 255];
  });
  const head = Buffer.alloc(27);
  head.write('OggS', 'latin1');
  head.writeUInt8(flags, 5);
  head.writeBigInt64LE(BigInt(granule), 6);
  head.writeUInt32LE(serial, 14);
  head.writeUInt32LE(sequence, 18);
  head.writeUInt8(table.length, 26);
  return sealed(Buffer.concat([head, Buffer.from(table), ...packets]));
}

/** The page with the checksum it should have. */
export function sealed(page: Buffer): Buffer {
  page.writeUInt32LE(pageChecksum(page), 22);
  return page;
}

export const OPUS_TAGS: Buffer = Buffer.from('OpusTags\x04\0\0\0test\0\0\0\0', 'latin1');

export interface OpusPage {
  readonly packets: readonly Buffer[];
  readonly granule: number;
  readonly last?: boolean;
}

/** A whole Ogg Opus stream: headers, then the pages. */
export function oggOpus(pages: readonly OpusPage[], head: Buffer = opusHead(1), serial = 7): Buffer {
  return Buffer.concat([
    oggPage({ packets: [head], granule: 0, flags: 2, serial }),
    oggPage({ packets: [OPUS_TAGS], granule: 0, sequence: 1, serial }),
    ...pages.map(({ packets, granule, last = false }, i) =>
      oggPage({ packets, granule, sequence: i + 2, flags: last ? 4 : 0, serial }),
    ),
  ]);
}

/** A file's pages, cut where each says that it ends. */
export function pagesOf(file: Buffer): Buffer[] {
  const pages: Buffer[] = [];
  for (let at = 0; at < file.length;) {
    const table = file.subarray(at + 27, at + 27 + file.readUInt8(at + 26));
    const end = at + 27 + table.length + table.reduce((sum, lace) => sum + lace, 0);
    pages.push(Buffer.from(file.subarray(at, end)));
    at = end;
  }
  return pages;
}

/** The page with other flags: 1 continued, 2 first, 4 last. */
export function flagged(page: Buffer, flags: number): Buffer {
  const changed = Buffer.from(page);
  changed.writeUInt8(flags, 5);
  return sealed(changed);
}

/** The same file with a Skeleton stream (wiki.xiph.org/Ogg_Skeleton_4) beside its sound, laid as `oggenc -k` lays it. */
export function withSkeleton(file: Buffer, headers: number): Buffer {
  const [first = Buffer.alloc(0), ...rest] = pagesOf(file);
  const serial = 4711;
  const fishead = Buffer.alloc(64);
  fishead.write('fishead\0\x03', 'latin1');
  const fisbone = Buffer.alloc(82);
  fisbone.write('fisbone\0', 'latin1');
  fisbone.writeUInt32LE(44, 8);
  first.copy(fisbone, 12, 14, 18);
  fisbone.writeUInt32LE(headers, 16);
  fisbone.write('Content-Type: audio/ogg\r\n', 52);
  return Buffer.concat([
    oggPage({ packets: [fishead], granule: 0, flags: 2, serial }),
    first,
    oggPage({ packets: [fisbone], granule: 0, serial, sequence: 1 }),
    ...rest.slice(0, headers - 1),
    oggPage({ packets: [Buffer.alloc(0)], granule: 0, flags: 4, serial, sequence: 2 }),
    ...rest.slice(headers - 1),
  ]);
}

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

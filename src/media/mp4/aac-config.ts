/** The number of channels that AAC in MP4 really has: what its sample entry says is often wrong. */

/** Descriptors of ISO/IEC 14496-1 §7.2.6 that lie in each other: elementary stream, decoder configuration, what is specific to the decoder. */
const DESCRIPTORS: ReadonlyMap<number, number> = new Map([
  [0x03, 3],
  [0x04, 13],
]);
const SPECIFIC = 0x05;

/** By the AudioSpecificConfig in the `esds` of a sample entry (ISO/IEC 14496-3 §1.6.2.1); undefined where it does not say. */
export function channelsOfAac(entry: Buffer): number | undefined {
  const esds = entry.indexOf('esds', 0, 'latin1');
  if (esds < 0) return undefined;
  for (let at = esds + 8; at + 2 < entry.length;) {
    const tag = entry[at] ?? 0;
    // A length of up to four bytes of seven bits.
    let from = at + 1;
    while (from < at + 4 && ((entry[from] ?? 0) & 0x80) !== 0) from += 1;
    from += 1;
    if (tag === SPECIFIC) return channelsOfConfig(entry.subarray(from));
    const fixed = DESCRIPTORS.get(tag);
    if (fixed === undefined) return undefined;
    at = from + fixed;
  }
  return undefined;
}

/** By its index (table 1.19); 0 leaves it to the stream. */
const CHANNELS = [undefined, 1, 2, 3, 4, 5, 6, 8];

function channelsOfConfig(config: Buffer): number | undefined {
  if (config.length < 2) return undefined;
  const bits = Buffer.concat([config.subarray(0, 8), Buffer.alloc(8)]).readBigUInt64BE(0);
  const field = (at: number, width: number): number =>
    Number((bits >> BigInt(64 - at - width)) & ((1n << BigInt(width)) - 1n));
  const typeBits = field(0, 5) === 31 ? 11 : 5;
  const rateBits = field(typeBits, 4) === 15 ? 28 : 4;
  return CHANNELS[field(typeBits + rateBits, 4)];
}

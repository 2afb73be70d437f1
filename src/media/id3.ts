/** The header of an ID3v2 tag → how long the tag is (id3.org, ID3v2.4 §3.1). */

/** Bytes it takes to tell. */
export const ID3_HEADER_BYTES = 10;

/** Bytes of the whole tag that begins here; undefined where none does. */
export function id3Bytes(header: Buffer): number | undefined {
  if (header.length < ID3_HEADER_BYTES || header.toString('latin1', 0, 3) !== 'ID3') return undefined;
  const size = [6, 7, 8, 9].reduce((sum, at) => sum * 128 + ((header[at] ?? 0) & 0x7f), 0);
  const hasFooter = ((header[5] ?? 0) & 0x10) !== 0;
  return ID3_HEADER_BYTES + size + (hasFooter ? ID3_HEADER_BYTES : 0);
}

/** A Content-Encoding header → whether the body is compressed: whatever else it says, the bytes decide. */

/** https://www.iana.org/assignments/http-parameters (content codings), and the two old names of RFC 9110 §8.4.1. */
const COMPRESSIONS = new Set(['gzip', 'x-gzip', 'deflate', 'br', 'zstd', 'dcb', 'dcz', 'compress', 'x-compress']);

/** `aws-chunked`, `identity`, `binary`, `utf-8` and the like are left behind by servers that mean nothing by them. */
export function isCompressed(headers: Readonly<Record<string, string | string[] | undefined>>): boolean {
  const codings = [headers['content-encoding'] ?? []].flat().flatMap((header) => header.split(','));
  return codings.some((coding) => COMPRESSIONS.has(coding.trim().toLowerCase()));
}

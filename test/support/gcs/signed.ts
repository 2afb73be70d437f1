/** A V4 signed URL → what is wrong with it, as Cloud Storage would check it. */
import { createHash, verify, type KeyObject } from 'node:crypto';

/** https://cloud.google.com/storage/docs/authentication/canonical-requests; undefined where it is valid now. */
export function verifySignedUrl(
  url: URL,
  signer: { readonly email: string; readonly publicKey: KeyObject },
): string | undefined {
  const query = url.searchParams;
  if (query.get('X-Goog-Algorithm') !== 'GOOG4-RSA-SHA256') return 'the algorithm is not GOOG4-RSA-SHA256';
  const [email, ...scope] = (query.get('X-Goog-Credential') ?? '').split('/');
  const date = query.get('X-Goog-Date') ?? '';
  const lifetimeS = Number(query.get('X-Goog-Expires'));
  if (email !== signer.email) return 'it is signed for another account';
  if (!(lifetimeS > 0 && lifetimeS <= 604_800)) return 'it lives for more than seven days';
  const expiresMs =
    Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z')) + lifetimeS * 1000;
  if (!(Date.now() < expiresMs)) return 'it has expired';
  const signed = ['GOOG4-RSA-SHA256', date, scope.join('/'), sha256(canonicalRequest(url))].join('\n');
  const signature = Buffer.from(query.get('X-Goog-Signature') ?? '', 'hex');
  return verify('sha256', Buffer.from(signed), signer.publicKey, signature) ? undefined : 'the signature is wrong';
}

function canonicalRequest(url: URL): string {
  const query = [...url.searchParams]
    .filter(([name]) => name !== 'X-Goog-Signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .toSorted()
    .join('&');
  return ['GET', url.pathname, query, `host:${url.hostname}\n`, 'host', 'UNSIGNED-PAYLOAD'].join('\n');
}

/** RFC 3986: stricter than encodeURIComponent. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

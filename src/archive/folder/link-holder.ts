/** Whom a link was given to → a text in the link that only its keys can read, and such a text → who that was. */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { Fields } from '../../fields.ts';
import type { LinkHolder } from '../archive.ts';

const CIPHER = 'aes-256-gcm';
/** NIST SP 800-38D, 8.2.2 and 5.2.1.2. */
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Lengths tell no names apart. */
const PAD_BYTES = 32;

/** base64url; another one each time, so that two links do not show that they are one person's. */
export function sealHolder({ who, requestId }: LinkHolder, key: string): string {
  const text = Buffer.from(JSON.stringify({ who, requestId }));
  const padded = Buffer.alloc(Math.ceil(text.length / PAD_BYTES) * PAD_BYTES, ' ');
  text.copy(padded);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, sealingKey(key), iv);
  return Buffer.concat([iv, cipher.update(padded), cipher.final(), cipher.getAuthTag()]).toString('base64url');
}

/** undefined where it was not sealed by this key. */
export function openHolder(text: string, key: string): LinkHolder | undefined {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length < IV_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, sealingKey(key), bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    const opened = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
    const fields = Fields.in(JSON.parse(opened.toString()));
    const who = fields?.text('who');
    return who === undefined ? undefined : { who, requestId: fields?.text('requestId') };
  } catch {
    return undefined;
  }
}

/** The key of a link signs; what it seals with is another one. RFC 5869 */
function sealingKey(key: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', 'whom a link was given to', 32));
}

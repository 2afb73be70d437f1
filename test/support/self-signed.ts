/** A fresh key → a certificate nobody vouches for, so that no private key has to be kept among the tests. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** Valid 2020 to 2049, ECDSA P-256; DER by hand (RFC 5280 §4.1). `*.domain` is a name as well. */
export function createSelfSigned(commonName = 'localhost'): Certificate {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return write({ subject: commonName, issuer: commonName, key: pair.publicKey }, pair.privateKey, pair.privateKey);
}

/** Of a trusted certificate that may not vouch for others: Node's INVALID_CA. `ca` is what to trust. */
export function createByNoAuthority(commonName = 'localhost'): Certificate & { readonly ca: string } {
  const [root, leaf] = [0, 1].map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }));
  if (root === undefined || leaf === undefined) throw new Error('There are two keys.');
  const [issuer, subject] = ['No authority', commonName];
  const { cert: ca } = write(
    { subject: issuer, issuer, key: root.publicKey, ca: false },
    root.privateKey,
    root.privateKey,
  );
  const { key, cert } = write({ subject, issuer, key: leaf.publicKey }, root.privateKey, leaf.privateKey);
  return { key, cert: cert + ca, ca };
}

interface Content {
  readonly subject: string;
  readonly issuer: string;
  readonly key: KeyObject;
  /** Says so in basic constraints; absent: version 1, which says nothing. */
  readonly ca?: boolean;
}

function write({ subject, issuer, key, ca }: Content, signer: KeyObject, own: KeyObject): Certificate {
  const algorithm = der(0x30, OID_ECDSA_SHA256);
  const validity = der(0x30, der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('491231235959Z')));
  const subjectKey = key.export({ type: 'spki', format: 'der' });
  const parts = [der(0x02, Buffer.from([1])), algorithm, nameOf(issuer), validity, nameOf(subject), subjectKey];
  const signed = ca === undefined ? der(0x30, ...parts) : der(0x30, VERSION_3, ...parts, constraints(ca));
  const signature = der(0x03, Buffer.from([0]), sign('sha256', signed, signer));
  const base64 = der(0x30, signed, algorithm, signature).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return {
    key: own.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
  };
}

function nameOf(commonName: string): Buffer {
  return der(0x30, der(0x31, der(0x30, OID_COMMON_NAME, der(0x0c, Buffer.from(commonName)))));
}

/** RFC 5280 §4.2.1.9. FALSE is the default, and left out. */
function constraints(ca: boolean): Buffer {
  const value = der(0x30, ...(ca ? [der(0x01, Buffer.from([0xff]))] : []));
  return der(0xa3, der(0x30, der(0x30, OID_BASIC_CONSTRAINTS, der(0x04, value))));
}

/** 2.5.29.19 */
const OID_BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex');
const VERSION_3 = Buffer.from('a003020102', 'hex');

/** 1.2.840.10045.4.3.2 */
const OID_ECDSA_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex');
/** 2.5.4.3 */
const OID_COMMON_NAME = Buffer.from('0603550403', 'hex');

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length < 0x80 ? [body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

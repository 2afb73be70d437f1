/** A statement and who signed it → one JSON text, and back: what is signed is the text of the statement as it stands, byte for byte. */
import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { Fields, jsonIn } from './fields.ts';

/** Ed25519 (RFC 8032). */
export interface StatementSignature {
  readonly algorithm: 'Ed25519';
  /** PEM (SubjectPublicKeyInfo, RFC 8410). It says which key this is, not whose. */
  readonly publicKey: string;
  /** Base64. */
  readonly value: string;
}

export interface Signed {
  /** JSON. */
  readonly statement: string;
  readonly signature: StatementSignature | null;
}

/** Whoever holds the private key. */
export interface Signer {
  readonly publicKey: KeyObject;
  /** Over the bytes themselves. @throws Failure */
  sign(bytes: Buffer, signal: AbortSignal): Promise<Buffer>;
}

export async function signStatement(value: unknown, signer: Signer | undefined, signal: AbortSignal): Promise<Signed> {
  const statement = JSON.stringify(value);
  if (signer === undefined) return { statement, signature: null };
  const signed = await signer.sign(Buffer.from(statement), signal);
  const publicKey = pemOf(signer.publicKey);
  return { statement, signature: { algorithm: 'Ed25519', publicKey, value: signed.toString('base64') } };
}

export function encodeSigned(signed: Signed): string {
  return `${JSON.stringify(signed, null, 2)}\n`;
}

/** undefined where the text is no signed statement. */
export function parseSigned(text: string): Signed | undefined {
  const fields = Fields.in(jsonIn(text));
  const statement = fields?.text('statement');
  if (fields === undefined || statement === undefined) return undefined;
  if (fields.raw('signature') === null) return { statement, signature: null };
  const signature = fields.fields('signature');
  const [publicKey, value] = [signature?.text('publicKey'), signature?.text('value')];
  if (signature?.raw('algorithm') !== 'Ed25519' || publicKey === undefined || value === undefined) return undefined;
  return { statement, signature: { algorithm: 'Ed25519', publicKey, value } };
}

/** The fields of what is stated; undefined where it is no object. */
export function statedIn({ statement }: Signed): Fields | undefined {
  return Fields.in(jsonIn(statement));
}

/** `valid`: the statement is as it was signed, with the key that is named, which is `expected` where one is given. */
export type SignatureState = 'valid' | 'unsigned' | 'forged' | 'another key';

export function checkSignature({ statement, signature }: Signed, expected?: KeyObject): SignatureState {
  if (signature === null) return 'unsigned';
  const key = publicKeyIn(signature.publicKey);
  if (key === undefined || !verify(null, Buffer.from(statement), key, Buffer.from(signature.value, 'base64')))
    return 'forged';
  return expected === undefined || fingerprintOf(expected) === fingerprintOf(key) ? 'valid' : 'another key';
}

/** undefined where the text is no public key of Ed25519. */
export function publicKeyIn(pem: string): KeyObject | undefined {
  try {
    const key = createPublicKey(pem);
    return key.asymmetricKeyType === 'ed25519' ? key : undefined;
  } catch {
    return undefined;
  }
}

/** PEM, or PKCS #8 in DER as base64 of either alphabet; undefined where the text is no private key of Ed25519. */
export function privateKeyIn(text: string): KeyObject | undefined {
  try {
    const isPem = text.includes('-----BEGIN');
    const der = { key: Buffer.from(text, 'base64'), format: 'der', type: 'pkcs8' } as const;
    const key = createPrivateKey(isPem ? text : der);
    return key.asymmetricKeyType === 'ed25519' ? key : undefined;
  } catch {
    return undefined;
  }
}

/** Signs with a key that is at hand. */
export function localSigner(privateKey: KeyObject): Signer {
  return { publicKey: createPublicKey(privateKey), sign: async (bytes) => sign(null, bytes, privateKey) };
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

/** SHA-256, hex, of the key as DER: what people compare. */
export function fingerprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

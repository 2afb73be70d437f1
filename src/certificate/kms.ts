/** A key in Cloud KMS → who signs with it; the private key is never here. https://cloud.google.com/kms/docs/create-validate-signatures */
import { verify, type KeyObject } from 'node:crypto';
import { request } from 'undici';
import { crc32c } from '../archive/checksum.ts';
import type { GoogleTokens } from '../archive/bucket/auth.ts';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { openOutbound } from '../outbound.ts';
import { publicKeyIn, type Signer } from '../statement.ts';
import { unlessAborted } from '../waiting.ts';

export interface KmsOptions {
  /** `projects/…/cryptoKeyVersions/N`, of algorithm EC_SIGN_ED25519. */
  readonly key: string;
  /** Another server than Google's; requests then carry no token. */
  readonly endpoint: string | undefined;
  readonly tokens: GoogleTokens;
  readonly proxies: Proxies | undefined;
}

const GOOGLE_KMS = 'https://cloudkms.googleapis.com';
const REQUEST_TIMEOUT_MS = 30_000;
/** An answer is a key or a signature: some hundred bytes. */
const MOST_ANSWER_BYTES = 64 * 1024;
/** https://cloud.google.com/kms/quotas: what may be signed itself, not its digest. */
const MOST_SIGNED_BYTES = 64 * 1024;

/** Needs roles/cloudkms.signerVerifier on the key. @throws Failure `misconfigured` | `archive-unavailable` */
export async function openKmsSigner(options: KmsOptions, signal: AbortSignal): Promise<Signer> {
  const answer = await askKms({ path: `${options.key}/publicKey` }, options, signal);
  const publicKey = publicKeyIn(answer.text('pem') ?? '');
  if (publicKey === undefined)
    throw new Failure(
      'misconfigured',
      `CERTIFICATE_KEY names a key of ${answer.text('algorithm') ?? 'another algorithm'}: make one of EC_SIGN_ED25519 (purpose asymmetric-signing).`,
    );
  return { publicKey, sign: (bytes, stop) => signByKms({ bytes, publicKey }, options, stop) };
}

/** What came back is checked with the public key: that is more than any checksum of the way. */
async function signByKms(
  { bytes, publicKey }: { readonly bytes: Buffer; readonly publicKey: KeyObject },
  options: KmsOptions,
  signal: AbortSignal,
): Promise<Buffer> {
  if (bytes.length > MOST_SIGNED_BYTES)
    throw new Failure(
      'internal',
      `Cloud KMS signs ${String(MOST_SIGNED_BYTES)} bytes at most, not ${String(bytes.length)}.`,
    );
  const body = { data: bytes.toString('base64'), dataCrc32c: String(crc32c(bytes)) };
  const answer = await askKms({ path: `${options.key}:asymmetricSign`, body }, options, signal);
  const signature = Buffer.from(answer.text('signature') ?? '', 'base64');
  if (verify(null, bytes, publicKey, signature)) return signature;
  throw new Failure('archive-unavailable', 'Cloud KMS sent a signature that does not fit: run it again.');
}

interface KmsRequest {
  readonly path: string;
  readonly body?: unknown;
}

async function askKms({ path, body }: KmsRequest, options: KmsOptions, signal: AbortSignal): Promise<Fields> {
  const { endpoint, tokens, proxies } = options;
  const token = endpoint === undefined ? await unlessAborted(tokens.token(), signal) : undefined;
  const limits = { connectTimeoutMs: 10_000, headersTimeoutMs: REQUEST_TIMEOUT_MS, bodyTimeoutMs: REQUEST_TIMEOUT_MS };
  const way = openOutbound(limits, proxies);
  try {
    const answer = await request(`${endpoint ?? GOOGLE_KMS}/v1/${path}`, {
      dispatcher: way,
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal,
    });
    const text = (await answer.body.text()).slice(0, MOST_ANSWER_BYTES);
    if (answer.statusCode !== 200) throw refusedByKms(answer.statusCode);
    return Fields.of(JSON.parse(text), 'KMS');
  } catch (thrown) {
    if (thrown instanceof Failure || signal.aborted) throw thrown;
    throw new Failure('archive-unavailable', 'Cloud KMS could not be reached: run it again.', { cause: thrown });
  } finally {
    await way.destroy();
  }
}

function refusedByKms(status: number): Failure {
  if (status === 401 || status === 403)
    return new Failure(
      'misconfigured',
      'Cloud KMS refuses to sign: grant this account roles/cloudkms.signerVerifier on the key that CERTIFICATE_KEY names.',
    );
  if (status === 400 || status === 404)
    return new Failure(
      'misconfigured',
      'Cloud KMS knows no such key version, or it is disabled: mend CERTIFICATE_KEY.',
    );
  return new Failure('archive-unavailable', `Cloud KMS answered ${String(status)}: run it again.`);
}

/** The configuration → who signs certificates and seals: a key of one's own, one kept with the archive, or one in Cloud KMS. */
import type { Config } from '../config/config.ts';
import { Failure } from '../failure.ts';
import { localSigner, privateKeyIn, type Signer } from '../statement.ts';

/** undefined where no key is set and the archive has no place for one. @throws Failure `misconfigured` | `archive-unavailable` */
export async function openSigner(
  { certificate, archive, proxies }: Pick<Config, 'certificate' | 'archive' | 'proxies'>,
  signal: AbortSignal,
): Promise<Signer | undefined> {
  const { kmsKey, kmsEndpoint, privateKey } = certificate;
  if (kmsKey !== undefined) {
    const { openKmsSigner } = await import('./kms.ts');
    const { createGoogleAuth, GoogleTokens } = await import('../archive/bucket/auth.ts');
    const tokens = new GoogleTokens(createGoogleAuth());
    return openKmsSigner({ key: kmsKey, endpoint: kmsEndpoint, tokens, proxies }, signal);
  }
  if (privateKey !== undefined) return signerFrom(privateKey);
  if (archive.kind !== 'folder') return undefined;
  const { keepCertificateKey } = await import('../archive/folder/link-key.ts');
  return signerFrom(keepCertificateKey(archive.path));
}

function signerFrom(text: string): Signer {
  const key = privateKeyIn(text);
  if (key !== undefined) return localSigner(key);
  throw new Failure('misconfigured', 'The key that signs certificates is no Ed25519 private key: set CERTIFICATE_KEY.');
}

/** CERTIFICATE_KEY → the key that signs certificates and seals: a private key, or the name of one in Cloud KMS. */
import { privateKeyIn } from '../statement.ts';
import type { Reader } from './reader.ts';

export interface CertificateConfig {
  /** An Ed25519 private key as text; undefined where none is set. Asked for at each use: it may come from a file that changes. */
  readonly privateKey: string | undefined;
  /** `projects/…/cryptoKeyVersions/N`. */
  readonly kmsKey: string | undefined;
  /** Another KMS server. */
  readonly kmsEndpoint: string | undefined;
}

/** https://cloud.google.com/kms/docs/resource-hierarchy */
const KMS_KEY =
  /^projects\/[^/\s]+\/locations\/[^/\s]+\/keyRings\/[^/\s]+\/cryptoKeys\/[^/\s]+\/cryptoKeyVersions\/\d+$/;

export function readCertificate(read: Reader): CertificateConfig {
  const kmsEndpoint = read.url('KMS_API_ENDPOINT');
  const given = read.secrets.read('CERTIFICATE_KEY', (given, onProblem) => {
    const text = given.trim();
    if (text === '' || KMS_KEY.test(text)) return text;
    read.secrets.conceal(text);
    if (privateKeyIn(text) === undefined)
      onProblem(
        'expected an Ed25519 private key in PEM (openssl genpkey -algorithm ed25519), or projects/…/cryptoKeyVersions/N of Cloud KMS',
      );
    return text;
  });
  return {
    kmsEndpoint,
    get privateKey() {
      return given.now === '' || KMS_KEY.test(given.now) ? undefined : given.now;
    },
    get kmsKey() {
      return KMS_KEY.test(given.now) ? given.now : undefined;
    },
  };
}

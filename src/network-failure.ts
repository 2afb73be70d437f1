/** An error of the network (no name, no way, no trust, no answer, no end) → one Failure, by one rule for every host. */
import { Failure, type FailureCode, systemCode } from './failure.ts';

interface NetworkParty {
  /** As a message names it: `api.mypurecloud.de`, `the media host`. */
  readonly name: string;
  /** What a connection means that broke off: `incomplete` where bytes of media are counted, else `upstream-unavailable`. */
  readonly broken: 'incomplete' | 'upstream-unavailable';
}

/** A deadline of our own, and what is no HTTP. */
const WITHOUT_CODE = new Set(['TimeoutError', 'HTTPParserError']);
const SILENT = new Set([
  'ETIMEDOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'TimeoutError',
]);
const BROKEN =
  /^(ECONNRESET|ECONNABORTED|EPIPE|UND_ERR_SOCKET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|ERR_STREAM_PREMATURE_CLOSE|HTTPParserError|HPE_.+)$/;
/**
 * Node's names for a certificate nobody here vouches for (https://nodejs.org/api/tls.html#x509-certificate-error-codes),
 * one of another name, and undici's for a proxy's own.
 */
const DISTRUSTED =
  /^(CERT_.+|CRL_.+|ERROR_IN_(CERT|CRL)_.+|UNABLE_TO_.+|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|UNSPECIFIED|ERR_TLS_CERT_.+|UND_ERR_PRX_TLS)$/;
/** What undici says of a proxy that answered CONNECT with anything but 200, or a plain request with 407. */
const PROXY_REFUSAL = /^Proxy (?:response|Authentication Required) \((\d{3})\)/;

/**
 * undefined for what is no error of the network at all; a Failure stays what it is; `thrown` is kept as the cause.
 * Codes: `upstream-timeout`, `upstream-unavailable`, `misconfigured` (certificates), `upstream-error`, and `party.broken`.
 */
export function networkFailure(thrown: unknown, party: NetworkParty): Failure | undefined {
  if (thrown instanceof Failure) return thrown;
  if (!(thrown instanceof Error)) return undefined;
  const code = systemCode(thrown) ?? (WITHOUT_CODE.has(thrown.name) ? thrown.name : undefined);
  if (code === undefined) return undefined;
  const { failureCode, text } = meaningOfCode(code, thrown.message, party);
  return new Failure(failureCode, capitalized(text), {
    cause: thrown,
    // Bytes that were lost on their way are not the recording's own loss.
    ...(failureCode === 'incomplete' ? { sort: 'surroundings' } : {}),
    facts: { host: party.name, networkError: code },
  });
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Whether an answer leads elsewhere (RFC 9110 §15.4); 300, 304 and 305 do not. */
export function isRedirect(status: number): boolean {
  return REDIRECTS.has(status);
}

/** A proxy refused to connect, or wants to know who asks. */
export function proxyRefusal(status: number, name: string): string {
  return status === 407
    ? `A proxy on the way to ${name} asks for a user name and password (407): put them into HTTPS_PROXY (http://user:password@host:port).`
    : `The proxy does not connect to ${name} (it answered ${String(status)}): let it pass there, or name the host in NO_PROXY.`;
}

function meaningOfCode(
  code: string,
  message: string,
  { name, broken }: NetworkParty,
): { readonly failureCode: FailureCode; readonly text: string } {
  const [, status] = PROXY_REFUSAL.exec(message) ?? [];
  if (status !== undefined) return { failureCode: 'upstream-unavailable', text: proxyRefusal(Number(status), name) };
  if (SILENT.has(code)) return { failureCode: 'upstream-timeout', text: `${name} did not answer in time (${code}).` };
  if (DISTRUSTED.test(code))
    return {
      failureCode: 'misconfigured',
      text: `the certificate of ${name} cannot be trusted (${code}): check the URL, the clock of this machine, and NODE_EXTRA_CA_CERTS for a proxy's own authority.`,
    };
  if (BROKEN.test(code))
    return { failureCode: broken, text: `the connection to ${name} broke off before the end (${code}).` };
  if (code === 'UND_ERR_HEADERS_OVERFLOW')
    return { failureCode: 'upstream-error', text: `${name} sent more headers than are read.` };
  return {
    failureCode: 'upstream-unavailable',
    text: `${name} cannot be reached (${code}); check the network, DNS, firewall and proxy of this machine.`,
  };
}

function capitalized(text: string): string {
  return /^(a|the) /.test(text) ? `${text.charAt(0).toUpperCase()}${text.slice(1)}` : text;
}

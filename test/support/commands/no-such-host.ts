/** Loaded before a program (`--import`): names under NO_SUCH_HOST are not found, as a resolver says it (DNS_ERROR, ENOTFOUND by default). */
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';

const suffix = process.env['NO_SUCH_HOST'] ?? '';
const code = process.env['DNS_ERROR'] ?? 'ENOTFOUND';
const lookup: unknown = dns.lookup;
if (typeof lookup !== 'function') throw new Error('no lookup');

Reflect.set(dns, 'lookup', (hostname: string, ...given: unknown[]): unknown => {
  const tell = given.at(-1);
  if (!hostname.endsWith(suffix) || typeof tell !== 'function') return Reflect.apply(lookup, dns, [hostname, ...given]);
  const error = Object.assign(new Error(`getaddrinfo ${code} ${hostname}`), { code, syscall: 'getaddrinfo', hostname });
  return process.nextTick(tell, error);
});
syncBuiltinESMExports();

/** Whether a host name or an address is this machine itself, whatever a resolver says. */
import { BlockList, isIP } from 'node:net';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** `localhost` (RFC 6761 §6.3), an address of 127.0.0.0/8 or `::1`, mapped into IPv6 as well; without brackets. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  return LOOPBACK.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/** `0.0.0.0` or `::`: to listen there is to listen everywhere, and nobody can call it by that address. */
export function isUnspecified(host: string): boolean {
  return isIP(host) !== 0 && /^[0.:]+$/.test(host);
}

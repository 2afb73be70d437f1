/** Which proxies requests leave through, out of the variables that other programs know too. */
import type { Reader } from './reader.ts';

/** Empty where none is named. */
export interface Proxies {
  readonly https: string;
  readonly http: string;
  readonly noProxy: string;
}

/** Lower case counts as well, and more, as with curl. undefined where the way out is direct. */
export function readProxies(read: Reader): Proxies | undefined {
  const http = readProxy(read, 'HTTP_PROXY');
  const https = readProxy(read, 'HTTPS_PROXY');
  const noProxy = read.eitherCase('NO_PROXY');
  return http === '' && https === '' ? undefined : { http, https: https === '' ? http : https, noProxy };
}

/** An address without its scheme is meant as http://. */
function readProxy(read: Reader, name: 'HTTP_PROXY' | 'HTTPS_PROXY'): string {
  const given = read.eitherCase(name);
  if (given === '') return '';
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `http://${given}`;
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol)) {
    concealPassword(read, url.password);
    return text;
  }
  read.problem(name, 'expected the URL of a proxy such as http://proxy.example.com:3128');
  return '';
}

/** As it stands in the URL, and as it is meant. */
function concealPassword(read: Reader, password: string): void {
  read.secrets.conceal(password);
  try {
    read.secrets.conceal(decodeURIComponent(password));
  } catch {
    // A % that begins no escape means itself.
  }
}

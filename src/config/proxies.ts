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
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `http://${given}`;
  if (/^https?:$/.test(URL.parse(url)?.protocol ?? '')) return url;
  read.problem(name, 'expected the URL of a proxy such as http://proxy.example.com:3128');
  return '';
}

/** As they stand in the URL, and as they are meant. */
export function passwordsOf(proxies: Proxies | undefined): readonly string[] {
  const urls = [proxies?.http ?? '', proxies?.https ?? ''].map((url) => URL.parse(url));
  const passwords = urls.map((url) => url?.password ?? '').filter((password) => password !== '');
  return [...new Set(passwords.flatMap((password) => [password, decodeURIComponent(password)]))];
}

/** Instructions such as `return-503` → what goes wrong on a route of the simulated Genesys, each counted. */
import assert from 'node:assert/strict';

/**
 * One answer gone wrong. Instructions are clauses joined by `;`. The names follow Google's storage testbench where it has them:
 *
 * `return-N` · `code:missing.permissions` (of the error body) · `retry-after:V` (alone: with 429; several give several headers) ·
 * `hint:N` (Retry-After on the true answer) · `return-reset-connection` · `return-broken-stream-after-YK` · `stall-after-YK` · `stall-for-Ts-after-YK` ·
 * `length:+N`, `length:-N` (a lie), `length:none` (close-delimited), `length:chunked` · `type:T` · `encoding:gzip` ·
 * `redirect:URL` (302, or with `return-N`) · `body:html`, `body:zero`, `body:text:T` · `id:I` (of another recording) ·
 * `s3:NoSuchKey` and the like (media: S3's error document with its usual status)
 */
export interface Fault {
  status?: number;
  code?: string;
  retryAfter: string[];
  hint?: string;
  reset?: boolean;
  breakAfterBytes?: number;
  stallAfterBytes?: number;
  stallMs?: number;
  length?: number | 'none' | 'chunked';
  type?: string;
  gzip?: boolean;
  redirect?: string;
  body?: string;
  id?: string;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
export const S3_STATUS: ReadonlyMap<string, number> = new Map([
  ['ExpiredToken', 400],
  ['InvalidToken', 400],
  ['AccessDenied', 403],
  ['RequestTimeTooSkewed', 403],
  ['SignatureDoesNotMatch', 403],
  ['InvalidAccessKeyId', 403],
  ['NoSuchKey', 404],
  ['NoSuchBucket', 404],
  ['InternalError', 500],
  ['SlowDown', 503],
  ['ServiceUnavailable', 503],
]);

type Clause = readonly [RegExp, (fault: Fault, values: readonly string[]) => void];

const CLAUSES: readonly Clause[] = [
  [/^return-(\d{3})$/, (fault, [status]) => (fault.status = Number(status))],
  [/^code:(.+)$/, (fault, [code = '']) => (fault.code = code)],
  [
    /^s3:(\w+)$/,
    (fault, [code = '']) => {
      fault.code = code;
      fault.status ??= S3_STATUS.get(code) ?? 400;
    },
  ],
  [/^retry-after:(.*)$/, (fault, [value = '']) => fault.retryAfter.push(value)],
  [/^hint:(\d+)$/, (fault, [value = '']) => (fault.hint = value)],
  [/^return-reset-connection$/, (fault) => (fault.reset = true)],
  [/^return-broken-stream-after-(\d+)K$/, (fault, [size]) => (fault.breakAfterBytes = Number(size) * 1024)],
  [/^stall-after-(\d+)K$/, (fault, [size]) => (fault.stallAfterBytes = Number(size) * 1024)],
  [
    /^stall-for-([\d.]+)s-after-(\d+)K$/,
    (fault, [seconds, size]) => {
      fault.stallMs = Number(seconds) * 1_000;
      fault.stallAfterBytes = Number(size) * 1024;
    },
  ],
  [/^length:([+-]\d+)$/, (fault, [difference]) => (fault.length = Number(difference))],
  [/^length:none$/, (fault) => (fault.length = 'none')],
  [/^length:chunked$/, (fault) => (fault.length = 'chunked')],
  [/^type:(.+)$/, (fault, [type = '']) => (fault.type = type)],
  [/^encoding:gzip$/, (fault) => (fault.gzip = true)],
  [/^redirect:(.+)$/, (fault, [url = '']) => (fault.redirect = url)],
  [/^body:html$/, (fault) => Object.assign(fault, { body: '<!doctype html><title>Sorry</title>', type: 'text/html' })],
  [/^body:zero$/, (fault) => (fault.body = '')],
  [/^body:text:(.*)$/s, (fault, [text = '']) => (fault.body = text)],
  [/^id:(.+)$/, (fault, [id = '']) => (fault.id = id)],
];

export function parseFault(instruction: string): Fault {
  const fault: Fault = { retryAfter: [] };
  for (const clause of instruction.split(';').map((text) => text.trim())) {
    const found = CLAUSES.map(([pattern, apply]) => ({ match: pattern.exec(clause), apply })).find(
      ({ match }) => match,
    );
    assert.ok(found?.match, `Unknown fault instruction: ${clause}`);
    found.apply(fault, found.match.slice(1));
  }
  if (fault.retryAfter.length > 0) fault.status ??= 429;
  return fault;
}

/** First in, first out per route; a route may end in `*`. */
export class Faults {
  readonly #waiting: { readonly route: string; readonly instruction: string; readonly fault: Fault }[] = [];
  #used = 0;

  add(route: string, instruction: string, times: number): void {
    for (let i = 0; i < times; i++) this.#waiting.push({ route, instruction, fault: parseFault(instruction) });
  }

  take(route: string): Fault | undefined {
    const index = this.#waiting.findIndex((each) => matches(each.route, route));
    if (index < 0) return undefined;
    this.#used += 1;
    return this.#waiting.splice(index, 1)[0]?.fault;
  }

  /** What is left of a route's faults will not fire. */
  mend(route: string): void {
    const left = this.#waiting.filter((each) => each.route !== route);
    this.#waiting.splice(0, this.#waiting.length, ...left);
  }

  get used(): number {
    return this.#used;
  }

  /** A fault that never fired makes its test prove nothing. */
  assertUsed(): void {
    const left = this.#waiting.map(({ route, instruction }) => `${route} ${instruction}`);
    assert.deepEqual(left, [], 'faults that never fired');
  }
}

export function matches(pattern: string, route: string): boolean {
  return pattern.endsWith('*') ? route.startsWith(pattern.slice(0, -1)) : pattern === route;
}

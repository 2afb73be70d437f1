/** Untrusted bytes → a JSON value that is shallow, has no key twice, and names no prototype. */
import { isUtf8 } from 'node:buffer';
import { Failure } from '../failure.ts';

const MAX_DEPTH = 16;
const MAX_KEYS = 20_000;
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** Allowed to be passed over (RFC 8259 §8.1). */
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

/**
 * One pass over the bytes decides before JSON.parse builds anything. What is not JSON at all is left to JSON.parse.
 * @throws Failure `bad-request`, without a cause: a SyntaxError quotes the body, which may hold a caller's number.
 */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw jsonRefused('The body is empty; send one event, or an array of them.');
  if (!isUtf8(bytes)) throw jsonRefused('The body is not UTF-8.');
  const text = bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? bytes.subarray(3) : bytes;
  inspect(text);
  try {
    return JSON.parse(text.toString('utf8'));
  } catch {
    throw jsonRefused('The body is not valid JSON.');
  }
}

/** Keys of the objects that are open at the byte looked at; an array's set stays empty. */
type Open = Set<string>[];

function inspect(bytes: Buffer): void {
  const open: Open = [];
  let keys = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      const end = endOfString(bytes, at + 1);
      if (isKey(bytes, end + 1)) {
        keys += 1;
        if (keys > MAX_KEYS) throw jsonRefused(`The body has more than ${String(MAX_KEYS)} keys.`);
        checkKey(keyText(bytes, at, end), open.at(-1));
      }
      at = end;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      if (open.push(new Set()) > MAX_DEPTH)
        throw jsonRefused(`The body is nested more than ${String(MAX_DEPTH)} deep.`);
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) open.pop();
  }
}

/** Where the closing quote lies; the end of the bytes where there is none. */
function endOfString(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

function isKey(bytes: Buffer, from: number): boolean {
  let at = from;
  while (at < bytes.length && isSpace(bytes[at])) at += 1;
  return bytes[at] === COLON;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** `"__pr\u006fto__"` is `__proto__`. */
function keyText(bytes: Buffer, start: number, end: number): string {
  const raw = bytes.toString('utf8', start, end + 1);
  if (!raw.includes('\\')) return raw.slice(1, -1);
  try {
    return String(JSON.parse(raw));
  } catch {
    throw jsonRefused('The body is not valid JSON.');
  }
}

function checkKey(key: string, known: Open[number] | undefined): void {
  if (FORBIDDEN_KEYS.has(key)) throw jsonRefused(`${key}: such a key is not accepted.`);
  if (known?.has(key) === true) {
    throw jsonRefused(`${/^[\w.-]{1,64}$/.test(key) ? key : 'A key'}: appears twice in one object.`);
  }
  known?.add(key);
}

function jsonRefused(message: string): Failure {
  return new Failure('bad-request', message);
}

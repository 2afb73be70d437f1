/** Bytes of an MP4 or QuickTime file as boxes (ISO/IEC 14496-12 §4.2): sizes and types, nothing of what they mean. */
import { Failure } from '../../failure.ts';

export interface Box {
  readonly type: string;
  /** Offset in the file. */
  readonly start: number;
  readonly headBytes: number;
  /** Offset in the file; undefined where it reaches to the end of the file. */
  readonly end: number | undefined;
}

/** What a box holds. */
export interface BoxContent {
  readonly type: string;
  readonly body: Buffer;
  /** Offset of `body` in the file, for messages. */
  readonly offset: number;
}

/** Damage at a byte of the media: permanent, because the same bytes will be read again. */
export function unreadableMp4(offset: number, why: string): Failure {
  return new Failure('unreadable-media', `The MP4 cannot be read: ${why} (byte ${String(offset)}).`);
}

/** undefined where there are not even 8 bytes, or 16 of a long one. @throws Failure where the size cannot be */
export function parseBox(head: Buffer, start: number): Box | undefined {
  if (head.length < 8) return undefined;
  const type = head.toString('latin1', 4, 8);
  const size = head.readUInt32BE(0);
  if (size === 0) return { type, start, headBytes: 8, end: undefined };
  const wide = size === 1;
  if (wide && head.length < 16) return undefined;
  const length = wide ? Number(head.readBigUInt64BE(8)) : size;
  if (length < (wide ? 16 : 8) || length > Number.MAX_SAFE_INTEGER - start)
    throw unreadableMp4(start, `a box "${printableType(type)}" has an impossible size`);
  return { type, start, headBytes: wide ? 16 : 8, end: start + length };
}

/** An index has a few dozen; a box of nothing but the smallest boxes would fill memory with them. */
const MAX_CHILDREN = 10_000;

/** The boxes side by side in the content of one. @throws Failure where one is longer than what holds it */
export function boxesIn({ type, body, offset }: BoxContent): BoxContent[] {
  const children: BoxContent[] = [];
  for (let at = 0; at + 8 <= body.length;) {
    if (children.length === MAX_CHILDREN)
      throw unreadableMp4(offset + at, `"${printableType(type)}" holds more boxes than any real one`);
    const box = parseBox(body.subarray(at, at + 16), offset + at);
    const end = (box?.end ?? offset + body.length) - offset;
    if (box === undefined || end > body.length)
      throw unreadableMp4(offset + at, `a box in "${printableType(type)}" is longer than it`);
    const from = at + box.headBytes;
    children.push({ type: box.type, body: body.subarray(from, end), offset: offset + from });
    at = end;
  }
  return children;
}

/** All boxes at a path of types, each step down among all that the step before found. */
export function descendantsOf(content: BoxContent, path: readonly string[]): readonly BoxContent[] {
  return path.reduce<readonly BoxContent[]>(
    (found, type) => found.flatMap((each) => boxesIn(each).filter((child) => child.type === type)),
    [content],
  );
}

/** A type as it may stand in a message. */
export function printableType(type: string): string {
  return type.replace(/[^\x20-\x7e]/g, '?');
}

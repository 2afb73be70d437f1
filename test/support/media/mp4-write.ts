/** Writes boxes of MP4, good and bad ones. */

/** `announced` is what its head says of its size, in place of the truth. */
export function boxOf(type: string, content: Buffer, announced = content.length + 8): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(announced >>> 0);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, content]);
}

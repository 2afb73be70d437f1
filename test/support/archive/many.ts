/** Objects of many recordings, as the archive leaves them, without the work of making each: for what is about their number. */
import { createHash } from 'node:crypto';
import { crc32c, encodeCrc32c } from '../../../src/archive/checksum.ts';
import { bytesOf, manifestOf } from './content.ts';

export interface MadeObject {
  /** As the archive calls it. */
  readonly name: string;
  readonly bytes: Buffer;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Of each recording three: WebM with its manifest, the same beside it, an entry of its day. */
export function* manyObjects(recordings: number, day: string): Generator<MadeObject> {
  for (let index = 0; index < recordings; index += 1) {
    const conversationId = createHash('md5').update(String(index)).digest('hex');
    const recordingId = `r${String(index)}`;
    const bytes = bytesOf(String(index), 64);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const stored = { sizeBytes: bytes.length, sha256, crc32c: encodeCrc32c(crc32c(bytes)) };
    const facts = { recordedAt: `${day}T09:30:00.000Z` };
    const manifest = manifestOf({ recordingId, conversationId }, stored, facts);
    const folder = `recordings/${conversationId}/${recordingId}`;
    yield { name: `${folder}/recording.webm`, bytes, metadata: { manifest: JSON.stringify(manifest) } };
    const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
    yield { name: `${folder}/manifest.json`, bytes: text, metadata: {} };
    yield { name: `days/${day}/${conversationId}.${recordingId}`, bytes: Buffer.alloc(0), metadata: {} };
  }
}

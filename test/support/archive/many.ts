/** Objects of many recordings, as the archive leaves them, without the work of making each: for what is about their number. */
import { createHash } from 'node:crypto';
import { crc32c, encodeCrc32c } from '../../../src/archive/checksum.ts';
import { bytesOf, manifestOf } from './content.ts';

export interface MadeRecording {
  readonly conversationId: string;
  readonly recordingId: string;
}

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
    yield* objectsOf({ conversationId, recordingId }, day);
  }
}

/** The three of one. */
export function objectsOf(recording: MadeRecording, day: string): readonly [MadeObject, MadeObject, MadeObject] {
  const { conversationId, recordingId } = recording;
  const bytes = bytesOf(recordingId, 64);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const stored = { sizeBytes: bytes.length, sha256, crc32c: encodeCrc32c(crc32c(bytes)) };
  const manifest = manifestOf(recording, stored, { recordedAt: `${day}T09:30:00.000Z` });
  const folder = `recordings/${conversationId}/${recordingId}`;
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  return [
    { name: `${folder}/recording.webm`, bytes, metadata: { manifest: JSON.stringify(manifest) } },
    { name: `${folder}/manifest.json`, bytes: text, metadata: {} },
    { name: `days/${day}/${conversationId}.${recordingId}`, bytes: Buffer.alloc(0), metadata: {} },
  ];
}

/** A number → so many recordings in a bucket, each object of which is made when it is asked for: a million take no memory. */
import { crc32c, encodeCrc32c } from '../../../src/archive/checksum.ts';
import { type MadeObject, type MadeRecording, objectsOf } from '../archive/many.ts';
import type { StoredObject } from './store.ts';
import { firstAt, type OrderedNames } from './wire.ts';

const FIRST_DAY_MS = Date.UTC(2024, 0, 1);
const DAY_MS = 86_400_000;
/** Of a recording: manifest and WebM. */
const FILES = ['manifest.json', 'recording.webm'] as const;

/** Ids in the order of their numbers; `perDay` of them on each day from 2024-01-01 on. */
export class GeneratedRecordings implements OrderedNames {
  readonly #prefix: string;
  readonly #count: number;
  readonly #perDay: number;

  constructor({ prefix, count, perDay }: { readonly prefix: string; readonly count: number; readonly perDay: number }) {
    this.#prefix = prefix;
    this.#count = count;
    this.#perDay = perDay;
  }

  recordingAt(index: number): MadeRecording {
    const digits = index.toString(16).padStart(12, '0');
    return { conversationId: `c0ffee00-0000-4000-8000-${digits}`, recordingId: `facade00-0000-4000-8000-${digits}` };
  }

  from(text: string): string | undefined {
    const length = this.#count * (1 + FILES.length);
    const at = firstAt(length, (index) => this.#nameAt(index) >= text);
    return at === length ? undefined : this.#nameAt(at);
  }

  get(name: string): StoredObject | undefined {
    const digits = /([0-9a-f]{12})(?:\/[a-z.]+)?$/.exec(name)?.[1];
    const index = digits === undefined ? this.#count : Number.parseInt(digits, 16);
    if (index >= this.#count) return undefined;
    const made = objectsOf(this.recordingAt(index), this.#dayOf(index)).find((one) => this.#prefix + one.name === name);
    return made === undefined ? undefined : stored({ ...made, name });
  }

  #dayOf(index: number): string {
    return new Date(FIRST_DAY_MS + Math.floor(index / this.#perDay) * DAY_MS).toISOString().slice(0, 10);
  }

  /** Those of days/ come before those of recordings/. */
  #nameAt(at: number): string {
    const isDay = at < this.#count;
    const index = isDay ? at : Math.floor((at - this.#count) / FILES.length);
    const { conversationId, recordingId } = this.recordingAt(index);
    if (isDay) return `${this.#prefix}days/${this.#dayOf(index)}/${conversationId}.${recordingId}`;
    return `${this.#prefix}recordings/${conversationId}/${recordingId}/${FILES[(at - this.#count) % FILES.length] ?? ''}`;
  }
}

function stored({ name, bytes, metadata }: MadeObject): StoredObject {
  return {
    name,
    generation: '1',
    metageneration: 1,
    parts: [bytes],
    sizeBytes: bytes.length,
    crc32c: encodeCrc32c(crc32c(bytes)),
    contentType: name.endsWith('.webm') ? 'audio/webm' : 'application/json',
    cacheControl: undefined,
    metadata,
    timeCreated: '2024-01-01T00:00:00.000Z',
    componentCount: undefined,
    temporaryHold: false,
  };
}

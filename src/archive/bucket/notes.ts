/** Notes in a bucket: objects that are created once, or mean "the latest". */
import { Failure } from '../../failure.ts';
import { type ListedNote, noteName, type Notes } from '../notes.ts';
import type { BucketClient } from './client.ts';
import { readObject } from './download.ts';
import { insertObject } from './insert.ts';
import { listObjects, removeObject } from './metadata.ts';

export class BucketNotes implements Notes {
  readonly #client: BucketClient;

  constructor(client: BucketClient) {
    this.#client = client;
  }

  /** An answer that was lost is no other's object: what holds our bytes is ours. */
  async create(name: string, text: string, signal: AbortSignal): Promise<boolean> {
    const { ours } = await insertObject(
      { object: describeNote(name), parts: [Buffer.from(text)] },
      this.#client,
      signal,
    );
    return ours;
  }

  async replace(name: string, text: string, signal: AbortSignal): Promise<boolean> {
    try {
      await insertObject(
        { object: describeNote(name), parts: [Buffer.from(text)], replace: true },
        this.#client,
        signal,
      );
      return true;
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.facts['reason'] === 'retentionPolicyNotMet') return false;
      throw thrown;
    }
  }

  async read(name: string, signal: AbortSignal): Promise<string | undefined> {
    return readObject(noteName(name), this.#client, signal);
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ListedNote> {
    for await (const { objects } of listObjects({ prefix }, this.#client, signal))
      for (const { name, sizeBytes, createdAt } of objects) yield { name, sizeBytes, writtenAt: createdAt };
  }

  async remove(name: string, signal: AbortSignal): Promise<boolean> {
    const removal = await removeObject({ name: noteName(name) }, this.#client, signal);
    if (removal !== 'kept') return removal === 'removed';
    throw new Failure(
      'conflict',
      `${name} is kept by a hold or a retention policy of the bucket: it can be removed once that ends.`,
    );
  }
}

function describeNote(name: string): { readonly name: string; readonly contentType: string } {
  const contentType = name.endsWith('.jsonl') ? 'application/x-ndjson' : 'application/json; charset=utf-8';
  return { name: noteName(name), contentType };
}

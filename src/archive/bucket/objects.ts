/** The small objects of a bucket: each request creates, replaces, reads or removes one whole. */
import { Failure } from '../../failure.ts';
import {
  isAmong,
  requireName,
  type Children,
  type Generation,
  type Objects,
  type Removal,
  type StoredObject,
} from '../objects.ts';
import type { BucketClient } from './client.ts';
import { download, readObject } from './download.ts';
import { insertObject } from './insert.ts';
import { layNoted, noteBeside } from './known-names.ts';
import { listChildren, listGenerations, listObjects, removeGeneration, removeObject } from './metadata.ts';

export class BucketObjects implements Objects {
  readonly #client: BucketClient;

  constructor(client: BucketClient) {
    this.#client = client;
  }

  async get(name: string, signal: AbortSignal): Promise<string | undefined> {
    return readObject(requireName(name), this.#client, signal);
  }

  async getBytes(name: string, signal: AbortSignal): Promise<Buffer | undefined> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of download({ name: requireName(name) }, this.#client, signal)) chunks.push(chunk);
      return Buffer.concat(chunks);
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.code === 'not-found') return undefined;
      throw thrown;
    }
  }

  async put(name: string, content: string | Uint8Array, signal: AbortSignal): Promise<boolean> {
    const note = noteBeside(name);
    const lay = (): Promise<boolean> => this.#create(name, content, signal);
    return note === undefined ? lay() : layNoted({ note, lay }, this, signal);
  }

  /** An answer that was lost is no other's object: what holds our bytes is ours. */
  async #create(name: string, content: string | Uint8Array, signal: AbortSignal): Promise<boolean> {
    const insertion = { object: smallObject(name), parts: partsOf(content) };
    return (await insertObject(insertion, this.#client, signal)).ours;
  }

  async replace(name: string, text: string, signal: AbortSignal): Promise<boolean> {
    try {
      await insertObject({ object: smallObject(name), parts: partsOf(text), replace: true }, this.#client, signal);
      return true;
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.facts['retained'] === true) return false;
      throw thrown;
    }
  }

  async remove(name: string, signal: AbortSignal): Promise<Removal> {
    return removeObject({ name: requireName(name) }, this.#client, signal);
  }

  async mark(name: string, signal: AbortSignal): Promise<void> {
    await this.put(name, '', signal);
  }

  async unmark(name: string, signal: AbortSignal): Promise<void> {
    await this.remove(name, signal);
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredObject> {
    for await (const objects of listObjects({ prefix }, this.#client, signal)) {
      for (const { name, sizeBytes, createdAt } of objects) yield { name, sizeBytes, writtenAt: createdAt };
    }
  }

  async *generations(target: string, signal: AbortSignal): AsyncGenerator<Generation> {
    for await (const found of listGenerations({ prefix: target, which: 'versions' }, this.#client, signal))
      if (isAmong(found.name, target)) yield found;
  }

  async purge(target: string, which: 'all' | 'old', signal: AbortSignal): Promise<readonly string[]> {
    const kept: string[] = [];
    for await (const found of listGenerations({ prefix: target, which: 'versions' }, this.#client, signal)) {
      if (!isAmong(found.name, target) || (which === 'old' && found.isLive)) continue;
      if ((await removeGeneration(found, this.#client, signal)) === 'kept') kept.push(found.name);
    }
    return kept;
  }

  async recoverableUntil(target: string, signal: AbortSignal): Promise<string | undefined> {
    let last: string | undefined;
    for await (const found of listGenerations({ prefix: target, which: 'softDeleted' }, this.#client, signal))
      if (isAmong(found.name, target) && (found.hardDeleteAt ?? '') > (last ?? '')) last = found.hardDeleteAt;
    return last;
  }

  async *children({ folder, after, expected }: Children, signal: AbortSignal): AsyncGenerator<string> {
    const from = after === undefined ? {} : { from: folder + after };
    const pageSize = expected === undefined ? {} : { pageSize: expected };
    for await (const names of listChildren({ prefix: folder, ...from, ...pageSize }, this.#client, signal)) {
      for (const name of names) if (name > folder + (after ?? '')) yield name.slice(folder.length);
    }
  }
}

const TYPES: readonly (readonly [string, string])[] = [
  ['.json', 'application/json; charset=utf-8'],
  ['.jsonl', 'application/x-ndjson'],
  ['.bin', 'application/octet-stream'],
];

function smallObject(name: string): { readonly name: string; readonly contentType: string } {
  const [, contentType = 'text/plain; charset=utf-8'] = TYPES.find(([end]) => name.endsWith(end)) ?? [];
  return { name: requireName(name), contentType };
}

function partsOf(content: string | Uint8Array): readonly Buffer[] {
  return content.length === 0 ? [] : [Buffer.from(content)];
}

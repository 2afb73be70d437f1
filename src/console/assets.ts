/** What browsers load once (modules, style, icon) → bytes under an address that changes with them. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { systemCode } from '../failure.ts';

export interface Asset {
  readonly type: string;
  readonly plain: Buffer;
  readonly gzipped: Buffer;
}

/** Served from a clone the modules lie where `tsc` puts them, the rest in the sources; in the image all lies in one place. */
const PLACES = [new URL('../../dist/console/browser/', import.meta.url), new URL('./browser/', import.meta.url)];

const TYPES: ReadonlyMap<string, string> = new Map([
  ['js', 'text/javascript; charset=utf-8'],
  ['css', 'text/css; charset=utf-8'],
  ['svg', 'image/svg+xml'],
]);

export class Assets {
  readonly #assets: ReadonlyMap<string, Asset>;
  /** All share it: modules name each other relatively, and one that changes is another one for all that import it. */
  readonly hash: string;

  constructor(assets: ReadonlyMap<string, Asset>) {
    this.#assets = assets;
    const hash = createHash('sha256');
    for (const [name, { plain }] of assets) hash.update(`${name} ${String(plain.length)}\n`).update(plain);
    this.hash = hash.digest('base64url').slice(0, 16);
  }

  /** Whether the modules were compiled: without them pages work, but nothing in them moves. */
  get hasModules(): boolean {
    return this.#assets.has('frame.js');
  }

  get names(): readonly string[] {
    return [...this.#assets.keys()];
  }

  get(name: string): Asset | undefined {
    return this.#assets.get(name);
  }

  /** Where browsers find `console.css`, `icon.svg` or `NAME.js`. */
  urlOf(name: string): string {
    return `/console/assets/${this.hash}/${name}`;
  }
}

/** Read once, when the console starts. */
export async function openAssets(places: readonly URL[] = PLACES): Promise<Assets> {
  const assets = new Map<string, Asset>();
  for (const place of places)
    for (const name of await assetNames(place)) {
      const type = TYPES.get(name.slice(name.lastIndexOf('.') + 1));
      if (type === undefined) continue;
      const plain = await readFile(new URL(name, place));
      assets.set(name, { type, plain, gzipped: await promisify(gzip)(plain, { level: 9 }) });
    }
  return new Assets(assets);
}

async function assetNames(place: URL): Promise<readonly string[]> {
  try {
    return (await readdir(place)).toSorted();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}

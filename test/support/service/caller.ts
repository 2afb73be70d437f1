/** Paths of the service → answers, as a caller with an API key gets them, and remembers every text it was told. */
import assert from 'node:assert/strict';
import { parseManifest } from '../../../src/archive/records.ts';
import type { Manifest } from '../../../src/archive/manifest.ts';
import { pathOf, type Recording } from '../../../src/recording.ts';

export type Fields = Readonly<Record<string, unknown>>;

export interface Told {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Fields;
}

export class Caller {
  readonly #url: string;
  readonly #key: string;
  readonly #texts: string[] = [];
  readonly #links: string[] = [];

  constructor(url: string, key: string) {
    this.#url = url;
    this.#key = key;
  }

  /** The bodies of all answers that were JSON, links left out. */
  get texts(): readonly string[] {
    return this.#texts;
  }

  /** What made the links it was given good. */
  get linkSignatures(): readonly string[] {
    return this.#links.flatMap((link) =>
      [...new URL(link).searchParams].filter(([name]) => /signature/i.test(name)).map(([, value]) => value),
    );
  }

  /** Whatever it is: the body is still to be read. */
  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${this.#url}${path}`, { headers: { 'x-api-key': this.#key, ...headers }, signal: patience() });
  }

  async json(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Told> {
    const response = await this.get(path, headers);
    const text = await response.text();
    this.#texts.push(text);
    return { status: response.status, headers: response.headers, body: fieldsOf(JSON.parse(text)) };
  }

  async text(path: string): Promise<string> {
    const text = await (await this.get(path)).text();
    this.#texts.push(text);
    return text;
  }

  /** Of a recording that is archived. */
  async manifest(recording: Recording): Promise<Manifest> {
    const { status, body } = await this.json(`/recordings/${pathOf(recording)}`);
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body['status'], 'archived', JSON.stringify(body));
    return parseManifest(JSON.stringify(body['manifest']));
  }

  async link(recording: Recording): Promise<string> {
    const response = await this.get(`/recordings/${pathOf(recording)}/link`);
    const { url } = fieldsOf(await response.json());
    assert.ok(typeof url === 'string', `${pathOf(recording)} has no link`);
    this.#links.push(url);
    return url;
  }
}

/** The error of an answer that is one, in the one shape there is. */
export function errorIn({ status, body }: Told): { readonly status: number; readonly code: unknown } {
  const { code, message, requestId } = fieldsOf(body['error']);
  assert.ok(typeof message === 'string' && typeof requestId === 'string', JSON.stringify(body));
  return { status, code };
}

export function fieldsOf(value: unknown): Fields {
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value), 'expected an object');
  return Object.fromEntries(Object.entries(value));
}

function patience(): AbortSignal {
  return AbortSignal.timeout(400_000);
}

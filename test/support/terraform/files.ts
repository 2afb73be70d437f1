/** The files of terraform/ → blocks that tests can look at. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from '@cdktf/hcl2json';

export const TERRAFORM = fileURLToPath(new URL('../../../terraform/', import.meta.url));

export type Body = Readonly<Record<string, unknown>>;

/** One block of two labels (resource, data, ephemeral), or of one (variable, output). */
export interface TerraformBlock {
  readonly kind: 'resource' | 'data' | 'ephemeral';
  /** `google_pubsub_topic` */
  readonly type: string;
  readonly name: string;
  readonly body: Body;
  readonly file: string;
}

/** As references name it. */
export function addressOf({ kind, type, name }: TerraformBlock): string {
  return `${kind === 'resource' ? '' : `${kind}.`}${type}.${name}`;
}

export interface Configuration {
  readonly blocks: readonly TerraformBlock[];
  readonly variables: ReadonlyMap<string, Body>;
  readonly outputs: ReadonlyMap<string, Body>;
  readonly locals: ReadonlyMap<string, unknown>;
  readonly modules: ReadonlyMap<string, Body>;
  /** Every file as a tree of JSON. */
  readonly files: ReadonlyMap<string, Body>;
}

/** @throws where a file is not HCL */
export async function readConfiguration(folder = TERRAFORM): Promise<Configuration> {
  const files = new Map<string, Body>();
  for (const name of readdirSync(folder)
    .filter((file) => file.endsWith('.tf'))
    .toSorted())
    files.set(name, bodyOf(await parse(name, readFileSync(join(folder, name), 'utf8'))));
  const trees = [...files.values()];
  return {
    files,
    blocks: [...files].flatMap(([file, tree]) =>
      (['resource', 'data', 'ephemeral'] as const).flatMap((kind) => labelled(kind, tree, file)),
    ),
    variables: named('variable', trees),
    outputs: named('output', trees),
    modules: named('module', trees),
    locals: new Map(trees.flatMap((tree) => bodiesOf(tree['locals']).flatMap((body) => Object.entries(body)))),
  };
}

function labelled(kind: TerraformBlock['kind'], tree: Body, file: string): readonly TerraformBlock[] {
  return Object.entries(bodyOf(tree[kind])).flatMap(([type, names]) =>
    Object.entries(bodyOf(names)).flatMap(([name, bodies]) =>
      bodiesOf(bodies).map((body) => ({ kind, type, name, body, file })),
    ),
  );
}

function named(kind: string, trees: readonly Body[]): ReadonlyMap<string, Body> {
  return new Map(
    trees.flatMap((tree) =>
      Object.entries(bodyOf(tree[kind])).flatMap(([name, bodies]) =>
        bodiesOf(bodies).map((body): [string, Body] => [name, body]),
      ),
    ),
  );
}

/** An object as it is; nothing where there is none. */
export function bodyOf(value: unknown): Body {
  return isBody(value) ? value : {};
}

/** Blocks come as arrays of objects. */
export function bodiesOf(value: unknown): readonly Body[] {
  return Array.isArray(value) ? value.filter(isBody) : [];
}

function isBody(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The provider bindings of the CDK for Terraform → schema.json: names, types and nesting of the resources that
 * terraform/ uses, for a provider that Terraform itself can ask without a download (provider.ts).
 *
 * To make it again, for a new provider version or a new resource type:
 *   npm install --prefix /tmp/bindings --ignore-scripts @cdktf/provider-google@16.12.1
 *   node test/support/terraform/schema.ts /tmp/bindings/node_modules/@cdktf/provider-google
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readConfiguration, TERRAFORM } from './files.ts';

/** `required` has to be written, `optional` may be, `computed` can only be read. */
export type Use = 'required' | 'optional' | 'computed';

export interface Schema {
  readonly bindings: string;
  readonly provider: string;
  readonly resource: Readonly<Record<string, Block>>;
  readonly data: Readonly<Record<string, Block>>;
}

export interface Block {
  /** Use and type: `required string`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly blocks: Readonly<Record<string, NestedBlock>>;
}

export interface NestedBlock extends Block {
  readonly use: Use;
  readonly nesting: 'list' | 'set' | 'struct';
}

/** hashicorp/random 3.7, which has no bindings for ephemeral resources. */
export const RANDOM_PASSWORD: Block = {
  attributes: { length: 'required number', special: 'optional boolean', result: 'computed string' },
  blocks: {},
};

const SCHEMA_FILE = new URL('schema.json', import.meta.url);

export function readSchema(): Schema {
  const schema: Schema = JSON.parse(readFileSync(SCHEMA_FILE, 'utf8'));
  return schema;
}

/** One generated file: what is written in .js is named in .d.ts, with a `?` where it is optional. */
interface Source {
  readonly code: string;
  readonly declarations: string;
}

function readSource(bindings: string, folder: string): Source {
  const read = (name: string): string => readFileSync(join(bindings, 'lib', folder, name), 'utf8');
  return { code: read('index.js'), declarations: read('index.d.ts') };
}

/** `google_pubsub_topic` → `lib/pubsub-topic`; data sources have a prefix. */
function rootBlock(bindings: string, kind: 'resource' | 'data', type: string): Block {
  const folder = type.replaceAll('_', '-').replace('google-', kind === 'data' ? 'data-google-' : '');
  const source = readSource(bindings, folder);
  const [, name = ''] = /^export declare class (\w+) extends cdktf\.Terraform/m.exec(source.declarations) ?? [];
  const entries = /synthesizeHclAttributes\(\) \{\n\s+const attrs = \{\n([\s\S]*?)\n {8}\};/.exec(source.code)?.[1];
  assert.ok(entries !== undefined, `${type}: its attributes were not found`);
  const block = blockOf({ entries, interfaceName: `${name}Config` }, source);
  return { attributes: sorted({ ...computedOf(name, source), ...block.attributes }), blocks: block.blocks };
}

const ENTRY = /^\s+(\w+): \{\n\s+value: (.*),\n\s+isBlock: (\w+),\n\s+type: "(\w+)",\n\s+storageClassType: "(\w+)",/gm;

function blockOf(named: { entries: string; interfaceName: string }, source: Source): Block {
  const uses = usesOf(named.interfaceName, source);
  const attributes: Record<string, string> = {};
  const blocks: Record<string, NestedBlock> = {};
  for (const [, name = '', value = '', isBlock, type, storage = ''] of named.entries.matchAll(ENTRY)) {
    const [, property = ''] = /\((?:struct|this)\.(\w+?)(?:\.internalValue)?\)$/.exec(value) ?? [];
    const use = uses.get(property.replace(/^_/, ''));
    assert.ok(use !== undefined, `${named.interfaceName}: ${name} is not declared`);
    if (isBlock === 'true') blocks[name] = { use, nesting: nestingOf(type), ...nested(value, source) };
    else attributes[name] = `${use} ${storage}`;
  }
  return { attributes: sorted(attributes), blocks: sorted(blocks) };
}

function nested(value: string, source: Source): Block {
  const [, functionName = ''] = /(\w+)ToHclTerraform/.exec(value) ?? [];
  const found = new RegExp(
    `function ${functionName}ToHclTerraform\\(struct\\) \\{[\\s\\S]*?const attrs = \\{(?:\\n([\\s\\S]*?)\\n {4})?\\};`,
  );
  const match = found.exec(source.code);
  assert.ok(match !== null, `${functionName}: its attributes were not found`);
  const [, entries = ''] = match;
  return blockOf({ entries, interfaceName: functionName.charAt(0).toUpperCase() + functionName.slice(1) }, source);
}

function usesOf(interfaceName: string, { declarations }: Source): Map<string, Use> {
  const [, body = ''] =
    new RegExp(`^export interface ${interfaceName} .*\\{\\n([\\s\\S]*?)^\\}`, 'm').exec(declarations) ?? [];
  const fields = body.matchAll(/^ {4}readonly (\w+)(\??):/gm);
  return new Map([...fields].map(([, name = '', optional]) => [name, optional === '?' ? 'optional' : 'required']));
}

/** What the provider alone writes, and references may read. */
function computedOf(className: string, { code }: Source): Record<string, string> {
  const body = code.slice(code.indexOf(`\nclass ${className} extends cdktf.Terraform`));
  const getters = body.matchAll(
    /\/\/ (\w+) - computed: true, [^\n]*\n\s+(?:get \w+\(\) \{\n\s+return this\.get(\w+)Attribute|this\.)/g,
  );
  return Object.fromEntries(
    [...getters].map(([, name = '', type = 'any']) => [name, `computed ${type.toLowerCase()}`]),
  );
}

function nestingOf(type: string | undefined): NestedBlock['nesting'] {
  assert.ok(type === 'list' || type === 'set' || type === 'struct', `unknown nesting ${String(type)}`);
  return type;
}

function sorted<T>(entries: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(entries).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

async function write(bindings: string): Promise<void> {
  const { version, cdktf }: { version: string; cdktf: { provider: { name: string; version: string } } } = JSON.parse(
    readFileSync(join(bindings, 'package.json'), 'utf8'),
  );
  const folders = [TERRAFORM, join(TERRAFORM, 'service'), join(TERRAFORM, 'eraser')];
  const blocks = (await Promise.all(folders.map(readConfiguration))).flatMap((configuration) => configuration.blocks);
  const types = (kind: 'resource' | 'data'): Record<string, Block> => {
    const used = blocks.filter((block) => block.kind === kind && block.type.startsWith('google_'));
    return sorted(Object.fromEntries(used.map(({ type }) => [type, rootBlock(bindings, kind, type)])));
  };
  const schema: Schema = {
    bindings: `@cdktf/provider-google ${version}`,
    provider: `${cdktf.provider.name} ${cdktf.provider.version}`,
    resource: types('resource'),
    data: types('data'),
  };
  writeFileSync(SCHEMA_FILE, `${JSON.stringify(schema, null, 2)}\n`);
}

if (import.meta.main) {
  const [bindings] = process.argv.slice(2);
  assert.ok(bindings !== undefined, 'Give the folder of @cdktf/provider-google.');
  await write(bindings);
}

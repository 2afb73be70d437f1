/** YAML → plain values, by the parser that formats it: maps, lists and strings, which is all compose files need. */
import { parsers } from 'prettier/plugins/yaml';

interface Node {
  readonly type: string;
  readonly value?: string;
  readonly children?: readonly (Node | null)[];
}

export type Yaml = string | undefined | readonly Yaml[] | { readonly [key: string]: Yaml };

/** Every scalar is a string. @throws where it is not YAML */
export function parseYaml(text: string): Yaml {
  // The options are those of the formatter: the parser needs none.
  const root: Node = Reflect.apply(parsers.yaml.parse, parsers.yaml, [text, {}]);
  return valueOf(within(root, 'documentBody'));
}

/** What lies at the end of these keys; undefined where one leads nowhere. */
export function at(value: Yaml, ...keys: readonly string[]): Yaml {
  return keys.reduce((within, key) => (isMap(within) ? within[key] : undefined), value);
}

/** Strings of a list, or the keys of a map: compose takes either in many places. */
export function namesAt(value: Yaml, ...keys: readonly string[]): readonly string[] {
  const found = at(value, ...keys);
  if (isMap(found)) return Object.keys(found);
  return Array.isArray(found) ? found.filter((item) => typeof item === 'string') : [];
}

function isMap(value: Yaml): value is { readonly [key: string]: Yaml } {
  return typeof value === 'object' && !Array.isArray(value);
}

function within(node: Node, type: string): Node | undefined {
  const found = childrenOf(node).find((child) => child.type === type);
  if (found !== undefined) return childrenOf(found)[0];
  return childrenOf(node)
    .map((child) => within(child, type))
    .find((child) => child !== undefined);
}

function valueOf(node: Node | undefined): Yaml {
  if (node === undefined) return undefined;
  if (/^(mapping|flowMapping)$/.test(node.type)) return Object.fromEntries(childrenOf(node).map(entryOf));
  if (/^(sequence|flowSequence)$/.test(node.type)) return childrenOf(node).map((item) => valueOf(childrenOf(item)[0]));
  return node.value;
}

function entryOf(item: Node): [string, Yaml] {
  const [key, value] = item.children ?? [];
  const name = key === null || key === undefined ? undefined : valueOf(childrenOf(key)[0]);
  if (typeof name !== 'string') throw new Error('A key is not a string.');
  return [name, value === null || value === undefined ? undefined : valueOf(childrenOf(value)[0])];
}

/** Anchors, tags and comments are left out. */
function childrenOf(node: Node): readonly Node[] {
  return (node.children ?? []).filter((child) => child !== null);
}

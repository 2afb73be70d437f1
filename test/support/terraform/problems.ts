/** Turns one block of terraform/ into what its provider would refuse in it. */
import { bodiesOf, bodyOf, type Body } from './files.ts';
import type { Block } from './schema.ts';

/** hashicorp/random 3.7, which has no bindings for ephemeral resources. */
export const RANDOM_PASSWORD: Block = {
  attributes: { length: 'required number', special: 'optional boolean', result: 'computed string' },
  blocks: {},
};

const META = new Set(['count', 'for_each', 'depends_on', 'provider', 'lifecycle', 'dynamic']);

/** Empty where there is nothing to refuse; blocks come as arrays, arguments never do where a block is expected. */
export function problemsOf(body: Body, schema: Block, path: string): readonly string[] {
  const written = new Map(Object.entries(body).filter(([name]) => !META.has(name)));
  const dynamic = bodyOf(body['dynamic']);
  for (const [name, bodies] of Object.entries(dynamic))
    written.set(name, [
      ...bodiesOf(written.get(name)),
      ...bodiesOf(bodies).flatMap((block) => bodiesOf(block['content'])),
    ]);
  const entries = [
    ...Object.entries(schema.attributes),
    ...Object.entries(schema.blocks).map(([name, block]) => [name, block.use] as const),
  ];
  const missing = entries
    .filter(([name, use]) => use.startsWith('required') && !written.has(name))
    .map(([name]) => `${path}: ${name} is required`);
  return [...missing, ...[...written].flatMap(([name, value]) => problemsAt(name, value, { schema, path }))];
}

function problemsAt(name: string, value: unknown, within: { schema: Block; path: string }): readonly string[] {
  const path = `${within.path}.${name}`;
  const block = within.schema.blocks[name];
  if (block !== undefined) {
    if (!Array.isArray(value)) return [`${path} is a block: no "=" before it`];
    return bodiesOf(value).flatMap((body) => problemsOf(body, block, path));
  }
  const attribute = within.schema.attributes[name];
  if (attribute === undefined) return [`${path} does not exist`];
  return attribute.startsWith('computed') ? [`${path} can only be read`] : [];
}

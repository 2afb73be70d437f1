/** Turns the expressions of terraform/ into what they read. */
import { getReferencesInExpression } from '@cdktf/hcl2json';
import { bodyOf, type Configuration } from './files.ts';

export interface Reference {
  /** `var.name`, `google_pubsub_topic.dead`, `data.google_project.this` */
  readonly target: string;
  readonly attribute: string | undefined;
}

const REFERENCE =
  /^((?:var|local)\.\w+|(?:data\.|ephemeral\.)?(?:google|random)_\w+\.\w+)(?:\.(?:\d+|"[^"]*"|\*))?(?:\.(\w+))?/;

/** What expressions read, but for what lives inside them: each, for, and the iterators of dynamic blocks. */
export async function referencesOf({ files }: Configuration): Promise<readonly Reference[]> {
  const texts = [...files.values()].flatMap((file) => textsIn(file)).flatMap(interpolations);
  const found = await Promise.all(texts.map((value) => getReferencesInExpression('expression.tf', value)));
  return found.flat().flatMap(({ value }) => {
    const [, target, attribute] = REFERENCE.exec(value) ?? [];
    return target === undefined ? [] : [{ target, attribute }];
  });
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(textsIn);
  return Object.values(bodyOf(value)).flatMap(textsIn);
}

/** The `${…}` of a template, one by one: the parser takes no quotes around them. */
function interpolations(template: string): readonly string[] {
  const found: string[] = [];
  for (let start = template.indexOf('${'); start >= 0; start = template.indexOf('${', start)) {
    const end = endOf(template, start + 1);
    found.push(template.slice(start, end));
    start = end;
  }
  return found;
}

/** Behind the brace that closes the one at `open`. */
function endOf(text: string, open: number): number {
  for (let at = open, depth = 0; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1;
    if (text[at] === '}') depth -= 1;
    if (depth === 0) return at + 1;
  }
  return text.length;
}

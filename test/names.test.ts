/** One word per thing, one thing per word: no name at the top of a file means something else at the top of another. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Names that stand twice because they mean the same, once for each of two twins behind one contract. */
const REPEATS: ReadonlyMap<string, string> = new Map([]);

/** Exports that nobody imports yet, and why they stand. */
const UNUSED: ReadonlyMap<string, string> = new Map([]);

interface SourceFile {
  readonly name: string;
  readonly text: string;
}

function filesIn(folder: string): readonly SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({
      name: join(folder, name).split(sep).join('/'),
      text: readFileSync(join(ROOT, folder, name), 'utf8'),
    }));
}

const SRC = filesIn('src');
const DECLARED = /^(export )?(?:async )?(function\*?|class|abstract class|interface|type)\s+(\w+)/gm;

function places(kinds: RegExp): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { name, text } of SRC)
    for (const [, , kind = '', declared = ''] of text.matchAll(DECLARED))
      if (kinds.test(kind)) found.set(declared, [...(found.get(declared) ?? []), name]);
  return found;
}

for (const [what, kinds] of [
  ['type', /class|interface|type/],
  ['function', /function/],
] as const) {
  test(`no ${what} is declared twice in src with two meanings`, () => {
    const twice = [...places(kinds)].filter(([name, files]) => files.length > 1 && !REPEATS.has(name));
    assert.deepEqual(
      twice.map(([name, files]) => `${name}: ${files.join(', ')}`),
      [],
      'rename the one that says less, or give a reason in REPEATS',
    );
  });
}

test('what a thing needs is called its needs, what it is set to its options', () => {
  const others = [...places(/interface|type/).keys()].filter((name) =>
    /(Parts|Deps|Dependencies|Params|Settings|Opts)$/.test(name),
  );
  assert.deepEqual(others, []);
});

test('every export is imported by somebody', () => {
  const used = new Set<string>();
  for (const { name, text } of [...SRC, ...filesIn('test')]) {
    for (const [, list = '', from = ''] of text.matchAll(
      /(?:import|export)\s+(?:type\s+)?\{([^}]*)\}\s+from\s+'(\.[^']+)'/g,
    )) {
      const file = relative(ROOT, resolve(ROOT, dirname(name), from))
        .split(sep)
        .join('/');
      for (const one of list.split(','))
        used.add(
          `${file} ${
            one
              .trim()
              .replace(/^type\s+/, '')
              .split(/\s+as\s+/)[0] ?? ''
          }`,
        );
    }
    for (const [, from = '', rest = ''] of text.matchAll(/import\('(\.[^']+)'\)\)?([^;,\n]*)/g)) {
      const file = relative(ROOT, resolve(ROOT, dirname(name), from))
        .split(sep)
        .join('/');
      for (const [word] of rest.matchAll(/\w+/g)) used.add(`${file} ${word}`);
    }
    for (const [, list = '', from = ''] of text.matchAll(/const\s+\{([^}]*)\}\s+=\s+await\s+import\('(\.[^']+)'\)/g)) {
      const file = relative(ROOT, resolve(ROOT, dirname(name), from))
        .split(sep)
        .join('/');
      for (const one of list.split(',')) used.add(`${file} ${one.trim()}`);
    }
  }
  const unused = SRC.flatMap(({ name, text }) =>
    [...text.matchAll(/^export (?:async )?(?:function\*?|abstract class|class|const)\s+(\w+)/gm)]
      .map(([, exported = '']) => `${name} ${exported}`)
      .filter((one) => !used.has(one) && !UNUSED.has(one)),
  );
  assert.deepEqual(unused, []);
});

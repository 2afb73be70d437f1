import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cageOf, isLoose, type Layer, LAYER_NAMES, LAYERS, WAY_NAMES, WAYS } from '../../../src/media/encoder/cage.ts';

const README = readFileSync(new URL('../../../src/media/encoder/README.md', import.meta.url), 'utf8');

/** Cells of the rows of the table under this heading, by the first of its header's cells. */
function table(first: string): readonly (readonly string[])[] {
  const lines = README.split('\n');
  const start = lines.findIndex((line) => cells(line)[0] === first);
  assert.ok(start >= 0, `no table begins with ${first}`);
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end).map(cells);
}

function cells(line: string): readonly string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

const names = (cell: string): readonly string[] => [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
const isLayer = (name: string): name is Layer => Object.hasOwn(LAYERS, name);
const list = (items: readonly string[]): string => items.join(', ') || '–';

test('the README lists each layer as the code has it', () => {
  assert.deepEqual(
    table('layer'),
    LAYER_NAMES.map((name) => [`\`${name}\``, LAYERS[name].by, LAYERS[name].does, list(LAYERS[name].closes)]),
  );
  assert.deepEqual(Object.keys(LAYERS), LAYER_NAMES);
});

test('the README says of each way what it leads to', () => {
  assert.deepEqual(
    table('way'),
    WAY_NAMES.map((name) => [`\`${name}\``, WAYS[name]]),
  );
});

test('the README says what stays open by layers, as the code counts it (B1)', () => {
  for (const [layers = '', level, open] of table('layers')) {
    const cage = cageOf(names(layers).filter(isLayer));
    assert.deepEqual([cage.level, list(cage.open)], [level, open], layers);
  }
});

test('the level is full where nothing is open, partial where something is, none without a layer', () => {
  assert.equal(cageOf(['landlock', 'seccomp']).level, 'full');
  assert.equal(cageOf(['limits']).level, 'partial');
  assert.equal(cageOf([]).level, 'none');
});

test('an operator is told of an open way, and of a layer that a mishap has cost', () => {
  assert.equal(isLoose(cageOf(['namespaces'])), false);
  assert.equal(isLoose(cageOf(['namespaces'], [{ layer: 'landlock', reason: 'old' }])), false);
  assert.equal(isLoose(cageOf(['namespaces'], [{ layer: 'seccomp', reason: 'killed', isMishap: true }])), true);
  assert.equal(isLoose(cageOf(['seccomp'])), true);
});

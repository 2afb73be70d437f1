import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { VARIABLES } from '../src/config.ts';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

/** Rows of the table under a heading, cells without back-ticks, padding and alignment. */
function rowsUnder(heading: string): string[][] {
  const section = README.split(/^## /m).find((text) => text.startsWith(heading)) ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) =>
    row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}

test('the configuration table is the one in the code', () => {
  const expected = Object.entries(VARIABLES).map(([name, { default: value, meaning }]) => [
    `\`${name}\``,
    value,
    meaning,
  ]);
  assert.deepEqual(rowsUnder('Configuration'), expected);
});

test('every command of the README is a command of the program', () => {
  const cli = readFileSync(new URL('../src/cli.ts', import.meta.url), 'utf8');
  for (const [, command = ''] of README.matchAll(/^\| `archiver (\w+)`/gm))
    assert.match(cli, new RegExp(`^  ${command} `, 'm'));
});

test('every npm script of the README exists', () => {
  const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    scripts: Record<string, string>;
  };
  for (const [, name = ''] of README.matchAll(/`npm run ([\w:]+)/g)) assert.ok(name in scripts, name);
});

test('every file and folder of the README exists', () => {
  const named = [...README.matchAll(/\]\(((?:src|test|terraform)[^)#]*)\)|`((?:src|test|terraform|\.ci)\/[\w./-]*)`/g)];
  assert.ok(named.length > 0);
  for (const [, link, code] of named)
    assert.ok(existsSync(new URL(`../${link ?? code ?? ''}`, import.meta.url)), link ?? code);
});

test('the README names no placeholder, no machine and no registry', () => {
  assert.deepEqual(README.match(/@@\w*|\/(?:home|root|work|Users)\/|registry\.npmjs/g), null);
});

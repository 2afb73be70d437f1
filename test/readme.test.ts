import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { VARIABLES } from '../src/config/config.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const READMES = ['README.md', ...['src', 'test', 'terraform'].flatMap(readmesIn)];

function readmesIn(folder: string): string[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => basename(name) === 'README.md').map((name) => join(folder, name));
}

/** As a page names its headings in links. */
function anchorsOf(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^a-z0-9 _-]/g, '')
      .replaceAll(' ', '-'),
  );
}

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

for (const name of READMES) {
  const text = readFileSync(join(ROOT, name), 'utf8');

  test(`${name}: every file, folder and heading it links to is there`, () => {
    for (const [, link = ''] of text.matchAll(/\]\((?!https?:)([^)]*)\)/g)) {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? join(ROOT, name) : resolve(ROOT, dirname(name), path);
      assert.ok(existsSync(target), link);
      if (anchor !== undefined) assert.ok(anchorsOf(readFileSync(target, 'utf8')).includes(anchor), link);
    }
    for (const [, path = ''] of text.matchAll(/`((?:src|test|terraform|\.ci)\/[\w./-]*)`/g))
      assert.ok(existsSync(join(ROOT, path)), path);
  });

  test(`${name}: no placeholder, no machine and no registry`, () => {
    assert.deepEqual(text.match(/@@\w*|\/(?:home|root|work|Users)\/|registry\.npmjs/g), null);
  });
}

test('a newcomer reads the README in one sitting: at most 180 lines', () => {
  assert.ok(README.split('\n').length <= 181, `${String(README.split('\n').length)} lines`);
});

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { COMMANDS, tableOfContents } from '../src/commands/contents.ts';
import { helpOf } from '../src/commands/flags.ts';
import { FAILURES } from '../src/failure.ts';
import { rowsOf, SECRETS_ROW } from '../src/config/variables.ts';

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

/** The rows of the table under a heading of the README. */
function rowsUnder(heading: string): string[][] {
  return tableRows(README.split(/^## /m).find((text) => text.startsWith(heading)) ?? '');
}

/** Of all tables in a text, without their heads: cells without padding and alignment. */
function tableRows(text: string): string[][] {
  const lines = text.split('\n').filter((line, index, all) => line.startsWith('|') && !isHead(line, all[index + 1]));
  return lines.map((row) =>
    row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}

function isHead(line: string, next = ''): boolean {
  return /^\|[\s:|-]+$/.test(line) || /^\|[\s:|-]+$/.test(next);
}

const CONFIGURATION = 'src/config/README.md';
const rows = [...rowsOf(), SECRETS_ROW].map((row) => [`\`${row.name}\``, row.default, row.meaning]);

test('the table of variables is the one in the code', () => {
  assert.deepEqual(tableRows(readFileSync(join(ROOT, CONFIGURATION), 'utf8')), rows);
});

test('the variables of the README stand there as they stand in the code', () => {
  const shown = rowsUnder('Configuration');
  assert.ok(shown.length >= 10);
  const names = new Set(shown.map(([name]) => name));
  assert.deepEqual(
    shown,
    rows.filter(([name]) => names.has(name)),
  );
});

test('the table of failures is the one in the code: one wording everywhere', () => {
  const work = { never: 'final', wait: 'waits', again: 'tried again' } as const;
  const expected = Object.entries(FAILURES).map(([code, { sort, retry, status, next }]) => [
    `\`${code}\``,
    sort,
    work[retry],
    String(status),
    next,
  ]);
  const [, failures = ''] = readFileSync(join(ROOT, 'src/README.md'), 'utf8').split('\n## Failures\n');
  assert.deepEqual(tableRows(failures), expected);
});

test('the help of every command stands in its README as the program prints it, with one output of it', () => {
  const text = readFileSync(join(ROOT, 'src/commands/README.md'), 'utf8');
  for (const { table } of COMMANDS) {
    assert.ok(text.includes(`## ${table.name}\n\n\`\`\`\n${helpOf(table).trimEnd()}\n\`\`\``), table.name);
    assert.ok(text.includes(`$ archiver ${table.name}`), table.name);
  }
});

test('every command of the README is a command of the program', () => {
  for (const [, command = ''] of README.matchAll(/^\| `archiver (\w+)`/gm))
    assert.match(tableOfContents(), new RegExp(`^  ${command} `, 'm'));
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
  const lines = README.split('\n').length;
  assert.ok(lines <= 181, `${String(lines)} lines`);
});

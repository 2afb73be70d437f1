/** The table of variables: whole, told to everybody in the same words, and the only way to the environment. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { REQUESTS } from '../../src/bounds.ts';
import { readConfig } from '../../src/config/config.ts';
import { environmentHelp, hasPart, rowsOf, VARIABLES, type Command } from '../../src/config/variables.ts';

const SRC = join(import.meta.dirname, '../../src');
const COMMANDS = ['serve', 'receiver', 'worker', 'playback', 'console'] as const satisfies readonly Command[];

/** What a library reads by itself has no reader of ours. */
const OURS = Object.entries(VARIABLES).filter(([, { kind }]) => kind !== 'foreign');

test('every default that the table states is one that the reader takes', () => {
  const defaults = OURS.flatMap(([name, variable]) => ('default' in variable ? [[name, variable.default]] : []));
  const loopback = { WEBHOOK_AUTH: 'none', API_AUTH: 'none' };
  const needed = {
    GENESYS_REGION: 'mypurecloud.de',
    GENESYS_CLIENT_ID: 'id',
    GENESYS_CLIENT_SECRET: 'a-client-secret-of-32-characters',
  };
  const stated = readConfig({ ...Object.fromEntries(defaults), ...needed, ...loopback }, 'serve');
  assert.deepEqual(stated, readConfig({ ...needed, ...loopback }, 'serve'));
});

const FILES = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

function namesIn(files: readonly string[], pattern: RegExp): ReadonlySet<string> {
  const texts = files.map((file) => readFileSync(join(SRC, file), 'utf8'));
  return new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map(([, name = '']) => name)));
}

test('whatever is read from the environment stands in the table', () => {
  for (const name of namesIn(FILES, /process\.env\[?\.?'?(\w+)/g)) assert.ok(Object.hasOwn(VARIABLES, name), name);
  const whole = FILES.filter((file) => /process\.env(?![[`])/.test(readFileSync(join(SRC, file), 'utf8')));
  assert.deepEqual(whole, ['cli.ts'], 'who is given all of it hands it to the reader');
});

test('every variable of ours is read', () => {
  const readers = FILES.filter((file) => file.startsWith('config') && !file.endsWith('variables.ts'));
  const read = namesIn(readers, /'([A-Z][A-Z0-9_]+)'/g);
  assert.deepEqual(
    OURS.map(([name]) => name).filter((name) => !read.has(name)),
    [],
  );
});

test('the rate of a key has the default that the table of bounds states', () => {
  assert.equal(Number(VARIABLES.API_RATE.default), REQUESTS.perSecond);
});

test('a meaning is one line and needs no name before it', () => {
  for (const { name, default: value, meaning } of rowsOf()) {
    assert.doesNotMatch(`${value}${meaning}`, /[\n|]|\.$/, name);
    assert.ok(meaning.length > 0 && value.length > 0, name);
  }
});

for (const command of COMMANDS) {
  test(`archiver ${command} --help names the variables of its parts, and no others`, async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(SRC, 'cli.ts'), command, '--help']);
    assert.ok(stdout.includes(environmentHelp(command)));
    const named = [...stdout.matchAll(/^ {2}([A-Z][A-Z0-9_]+) /gm)].map(([, name = '']) => name);
    const own = Object.entries(VARIABLES).filter(([, { part }]) => hasPart(command, part));
    assert.deepEqual(named.toSorted(), [...own.map(([name]) => name), 'X_FILE'].toSorted());
  });
}

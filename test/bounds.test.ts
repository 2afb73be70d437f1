/** The table of what may be used up says what the code does. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BOUNDS, ENCODERS, FLIGHTS, LISTENERS, SPOOLS } from '../src/bounds.ts';

const README = readFileSync(new URL('../src/http/README.md', import.meta.url), 'utf8');

test('the table of bounds in the README is the one in the code', () => {
  const section = README.split(/^## /m).find((text) => text.startsWith('Who may use how much')) ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  const rows = lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
  assert.deepEqual(
    rows,
    BOUNDS.map(({ resource, bound, waits, refused, answer }) => [resource, bound, waits, refused, answer]),
  );
});

test('the bounds fit each other: a key is not all, a recording not all memory, nobody waits for ever', () => {
  assert.ok(
    LISTENERS.perKey < LISTENERS.all && LISTENERS.livePerKey < LISTENERS.live && LISTENERS.live < LISTENERS.all,
  );
  assert.ok(FLIGHTS.eachBytes <= FLIGHTS.allBytes / 4 && SPOOLS.listeningBytes < SPOOLS.archivingBytes);
  assert.ok(ENCODERS.waitMs <= 10_000);
});

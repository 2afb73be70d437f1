/** Packets of one byte: they take two hundred times as much memory as they have bytes, so they are counted as well (A9). */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { runs } from '../support/soak.ts';
import type { TinyKind, TinyResult } from '../support/media/tiny-packets.ts';

const run = promisify(execFile);
const SCRIPT = path.join(import.meta.dirname, '../support/media/tiny-packets.ts');

/** Far less than all of them would take. */
const HEAP_MB = runs(12, 24);

/** Of the million packets in a sample a number that was kept for each would fill its smaller heap as well. */
const CASES: readonly (readonly [kind: TinyKind, megabytes: number, packets: number])[] = [
  ['opus-in-webm', runs(9, 42), runs(1_000_000, 5_000_000)],
  ['pictures-in-webm', runs(9, 42), runs(1_000_000, 5_000_000)],
  ['opus-in-ogg', runs(3, 12), runs(1_000_000, 5_000_000)],
];

for (const [kind, megabytes, packets] of CASES) {
  test(`${String(megabytes)} MB of ${kind} in packets of one byte pass through ${String(HEAP_MB)} MB of heap (A9)`, async () => {
    const flags = [`--max-old-space-size=${String(HEAP_MB)}`, '--max-semi-space-size=2'];
    const { stdout } = await run(process.execPath, [...flags, SCRIPT, kind, String(megabytes)]);
    const result = parseResult(stdout);
    assert.ok(result.packets > packets, `${result.packets} packets`);
    assert.ok(result.mostPackets < 4200, `${result.mostPackets} packets in one Cluster`);
  });
}

function parseResult(stdout: string): TinyResult {
  const { packets, clusters, mostPackets }: Record<string, unknown> = JSON.parse(stdout);
  assert.ok(typeof packets === 'number' && typeof clusters === 'number' && typeof mostPackets === 'number');
  return { packets, clusters, mostPackets };
}

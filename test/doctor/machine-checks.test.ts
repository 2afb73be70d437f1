import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { machineProbes, type MachineNeeds } from '../../src/doctor/machine-checks.ts';
import { cageOf, LAYER_NAMES } from '../../src/media/encoder/cage.ts';
import { checkFfmpeg } from '../../src/media/encoder/check.ts';
import { examined, lineOfCheck, troubles } from '../support/doctor.ts';

const GIB = 1024 ** 3;
const GOOD: MachineNeeds = {
  nodeVersion: 'v24.15.0',
  oldestNode: '24.15',
  ffmpeg: async () => ({ version: 'ffmpeg 7.1', cage: cageOf(LAYER_NAMES) }),
  places: { archive: '/archive' },
  freeBytes: async () => 100 * GIB,
};

async function look(change: Partial<MachineNeeds> = {}): Promise<readonly string[]> {
  return troubles(await examined(machineProbes({ ...GOOD, ...change })));
}

test('a machine that is as it should be is well in every line', async () => assert.deepEqual(await look(), []));

test('each fault of a machine is exactly its line', async () => {
  const faults: readonly (readonly [Partial<MachineNeeds>, RegExp])[] = [
    [{ nodeVersion: 'v22.11.0' }, /^fail node: Node v22\.11\.0 → Install Node 24\.15 or newer/],
    [{ nodeVersion: 'v24.14.9' }, /^fail node: /],
    [
      {
        ffmpeg: async () => ({
          version: 'ffmpeg 7.1',
          cage: cageOf(['limits', 'tether'], [{ layer: 'seccomp', reason: 'too old' }]),
        }),
      },
      /^warn cage: a taken-over encoder could reach any network.* → Install bubblewrap.*seccomp: too old/,
    ],
    [{ freeBytes: async () => 5 * GIB }, /^warn disk: 5\.0 GiB free → Free space, or move it/],
    [{ freeBytes: async () => GIB / 2 }, /^fail disk: 0\.5 GiB free → Free space now/],
  ];
  for (const [change, line] of faults) {
    const found = await look(change);
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0] ?? '', line);
  }
  for (const nodeVersion of ['v24.15.0', 'v24.16.1', 'v25.0.0']) assert.deepEqual(await look({ nodeVersion }), []);
});

test('an ffmpeg that is not there, or lacks an encoder, is one line with what to install', async () => {
  const found = await look({ ffmpeg: () => checkFfmpeg({ searchPath: '/nowhere' }) });
  assert.match(found[0] ?? '', /^fail ffmpeg: There is no ffmpeg on PATH; install it/);
  assert.deepEqual(found.slice(1), ['skipped cage: not asked: see ffmpeg']);
});

test('the disk is that of the nearest folder that is there, and each place has its line', async () => {
  const { freeBytes: _, ...real } = GOOD;
  const places = { archive: join(tmpdir(), 'nowhere', 'yet', 'archive'), queue: join(tmpdir(), 'queue.db') };
  const checks = await examined(machineProbes({ ...real, places }));
  const disks = checks.filter(({ name }) => name === 'disk');
  assert.deepEqual(
    disks.map(({ about }) => about),
    ['archive', 'queue'],
  );
  for (const disk of disks) assert.match(lineOfCheck(disk), /^\w+ disk: \d+\.\d GiB free/);
});

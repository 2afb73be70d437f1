/** From inside: a taken-over encoder tries every way out of every cage that this machine can build. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { type Layer, openWays, type Way, WAY_NAMES } from '../../../src/media/encoder/cage.ts';
import { checkFfmpeg } from '../../../src/media/encoder/check.ts';
import { cagesOf } from '../../../src/media/encoder/trial.ts';
import { type EscapeScene, openEscapeScene, PERL } from '../../support/encoders/escape.ts';

/** What each attempt would reach. */
const REACHES: Readonly<Record<Way, readonly string[]>> = {
  network: ['tcp', 'udp', 'unix-socket', 'abstract-socket'],
  files: ['read-link-key', 'read-queue', 'read-passwd', 'list-folder', 'parent-command', 'truncate', 'unlink', 'chmod'],
  parent: ['parent-environment', 'parent-memory', 'parent-descriptors', 'ptrace', 'process-vm'],
  signals: ['signal-parent', 'signal-other', 'signal-all', 'signal-by-owner', 'slow-down-others'],
};

/** What a layer forbids besides the ways that it closes. */
const FORBIDS: Readonly<Record<Layer, readonly string[]>> = {
  limits: ['write-tmp'],
  tether: ['new-privileges'],
  nobody: [],
  namespaces: ['shell', 'write-tmp'],
  landlock: ['shell', 'write-tmp'],
  seccomp: ['shell', 'io-uring', 'pidfd', 'raise-file-size', 'outlive', 'leave-session', 'own-namespace'],
};

const EVERY: readonly string[] = [
  ...new Set([...Object.values(REACHES), ...Object.values(FORBIDS), ['inherited']].flat()),
].toSorted();

/** Landlock knows no chmod(2), and truncate(2) from Linux 6.2 on. */
const NOT_BY_LANDLOCK = ['chmod', 'truncate'];

const linux = process.platform === 'linux' && PERL !== undefined ? false : 'needs Linux and Perl';
const scene: EscapeScene | undefined = linux === false ? await openEscapeScene(PERL ?? '') : undefined;
after(() => scene?.[Symbol.asyncDispose]());

/** What the tools are there for, and the surroundings allow. */
const here = scene === undefined ? [] : await scene.layers();
const cages = scene === undefined ? [] : cagesOf(here, scene.surroundings.tools);

test('without a cage each way is open: the attempts are real', { skip: linux }, async (t) => {
  assert.ok(scene);
  const { came, attempts, arrived } = await scene.attempt([]);
  for (const way of WAY_NAMES)
    assert.ok(
      REACHES[way].some((name) => came.has(name)),
      way,
    );
  assert.deepEqual([...attempts.keys()].toSorted(), EVERY);
  assert.equal(arrived, 5);
  // A container, or Yama's ptrace_scope, forbids some of it to everybody.
  for (const [name, { why }] of attempts) if (!came.has(name)) t.diagnostic(`${name}: ${why}`);
  t.diagnostic(`layers that can be had here: ${here.join(', ')}`);
});

for (const layers of cages) {
  const open = openWays(layers);
  const says = open.length === 0 ? 'nothing is reached' : `what can be reached is ${open.join(', ')}, as it says`;
  test(`invariants 5, 9 and 15: in a cage of ${layers.join(', ')} ${says} (B1)`, async () => {
    assert.ok(scene);
    const { came, attempts, arrived } = await scene.attempt(layers);
    const reached = (names: readonly string[]): readonly string[] => names.filter((name) => came.has(name));
    const leaks = layers.includes('seccomp') || layers.includes('namespaces') ? [] : NOT_BY_LANDLOCK;
    for (const way of WAY_NAMES) {
      const found = reached(REACHES[way]).filter((name) => !leaks.includes(name) || open.includes(way));
      assert.equal(found.length > 0, open.includes(way), `${way}: ${found.join()}`);
    }
    assert.deepEqual(reached(layers.flatMap((layer) => FORBIDS[layer])), []);
    if (layers.includes('limits') && open.length < WAY_NAMES.length) assert.ok(!came.has('raise-file-size'));
    assert.equal(arrived > 0, open.includes('network'));
    assert.deepEqual([...attempts.keys()].toSorted(), EVERY, 'it tried everything');
  });
}

test(
  'invariants 5, 9 and 15: the cage that the service uses here lets nothing through that it calls closed (B1)',
  { skip: linux },
  async () => {
    assert.ok(scene);
    const { cage } = await checkFfmpeg();
    const { came } = await scene.attempt(cage.layers);
    const closed = WAY_NAMES.filter((way) => !cage.open.includes(way)).flatMap((way) => REACHES[way]);
    assert.deepEqual(
      closed.filter((name) => came.has(name)),
      [],
    );
  },
);

test(
  'invariant 15: an encoder has its pipes and no other descriptor, whatever its service was handed (B1)',
  { skip: linux },
  async () => {
    const secret = await open(import.meta.filename);
    const handed = [...Array.from({ length: 27 }, (): 'ignore' => 'ignore'), secret.fd];
    const heir = join(import.meta.dirname, '../../support/encoders/heir.ts');
    const child = spawn(process.execPath, [heir, PERL ?? ''], { stdio: ['ignore', 'pipe', 'inherit', ...handed] });
    assert.ok(child.stdout);
    assert.deepEqual((await text(child.stdout)).trim().split('\n'), ['0', '1', '2']);
    await secret.close();
  },
);

/** Certificates: made from an archive, checked without it, and by another program; whatever is changed in one is noticed. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { markErased } from '../../src/archive/erased.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { openAudit } from '../../src/audit/open-audit.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { type Place, PLACES } from '../support/archive/places.ts';
import { runInside } from '../support/commands/inside.ts';
import type { Printed } from '../support/commands/run.ts';

const { signal } = new AbortController();
const DAY = '2026-03-01';
const KEYS = generateKeyPairSync('ed25519');
const PUBLIC_PEM = KEYS.publicKey.export({ type: 'spki', format: 'pem' }).toString();

interface Scene {
  readonly place: Place;
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  run(...args: readonly string[]): Promise<Printed>;
  /** As auditors run it: with nothing of ours but the file. */
  check(name: string, ...args: readonly string[]): Promise<Printed>;
}

async function setUp(t: TestContext, place: Place): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'certificate-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'public.pem'), PUBLIC_PEM);
  const pem = KEYS.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const env = { ...place.env, CERTIFICATE_KEY: pem };
  for (const recordingId of ['r1', 'r2', 'r3'])
    await store(
      place.archive,
      { conversationId: 'c', recordingId },
      {
        head: bytesOf(recordingId, 100),
        clusters: [bytesOf(`${recordingId} c`, 300)],
        originals: [bytesOf(recordingId, 50)],
      },
    );
  await writeProof(
    'complete',
    { day: DAY, verdict: 'complete' },
    { notes: place.archive.notes, at: new Date() },
    signal,
  );
  return {
    place,
    folder,
    env,
    run: (...args) => runInside(args, env),
    check: (name, ...args) => runInside(['verify', '--certificate', join(folder, name), ...args], {}),
  };
}

interface SignedText {
  readonly statement: string;
  readonly signature: { readonly publicKey: string; readonly value: string };
}

async function signedIn({ folder }: Scene, name: string): Promise<SignedText> {
  return JSON.parse(await readFile(join(folder, name), 'utf8')) as SignedText;
}

interface StatedRecording {
  readonly state: string;
  readonly manifest: string | null;
  readonly manifestSha256: string;
  readonly sealed: {
    readonly statement: string;
    readonly leaf: { readonly index: number; readonly size: number; readonly beside: readonly string[] };
  } | null;
  readonly erasure: { readonly state: string; readonly until: string | null } | null;
}

/** Signature by OpenSSL, path by the words of RFC 9162 §2.1.3.2: nothing of ours. */
async function checkByOthers(scene: Scene, name: string): Promise<StatedRecording> {
  const { statement, signature } = await signedIn(scene, name);
  const at = (file: string): string => join(scene.folder, file);
  await writeFile(at('statement.json'), statement);
  await writeFile(at('signature'), Buffer.from(signature.value, 'base64'));
  const args = ['pkeyutl', '-verify', '-pubin', '-inkey', at('public.pem'), '-rawin', '-in', at('statement.json')];
  const said = execFileSync('openssl', [...args, '-sigfile', at('signature')], { encoding: 'utf8' });
  assert.match(said, /Signature Verified Successfully/);
  const stated = JSON.parse(statement) as StatedRecording;
  if (stated.sealed !== null) assert.equal(rootOf(stated), rootSealed(stated));
  return stated;
}

function rootSealed({ sealed }: StatedRecording): string | undefined {
  const seal = JSON.parse(sealed?.statement ?? '') as { days: readonly { day: string; root: string }[] };
  return seal.days.find(({ day }) => day === DAY)?.root;
}

const sha256 = (...parts: readonly Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

function rootOf({ manifestSha256, sealed }: StatedRecording): string {
  assert.ok(sealed !== null);
  const { index, size, beside } = sealed.leaf;
  let [fn, sn, r] = [index, size - 1, sha256(Buffer.of(0), Buffer.from(manifestSha256, 'hex'))];
  for (const p of beside.map((hex) => Buffer.from(hex, 'hex'))) {
    assert.notEqual(sn, 0);
    if (fn % 2 === 1 || fn === sn) {
      r = sha256(Buffer.of(1), p, r);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn >> 1, sn >> 1];
    } else r = sha256(Buffer.of(1), r, p);
    [fn, sn] = [fn >> 1, sn >> 1];
  }
  assert.equal(sn, 0);
  return r.toString('hex');
}

const ERASED = { conversationId: 'c', recordingId: 'r2' } as const;

/** As an erasure leaves it that was killed behind its mark. */
async function mark({ place }: Scene): Promise<void> {
  const manifest = await place.bytes('recordings/c/r2/manifest.json');
  const manifestSha256 = createHash('sha256').update(manifest).digest('hex');
  const erasedAt = new Date().toISOString();
  const record = { version: 1, ...ERASED, reason: 'request 17', by: 'command:ana', erasedAt, days: [DAY] } as const;
  await markErased({ ...record, manifestSha256 }, place.archive.notes, signal);
}

/** As erase leaves it: on record before and after, marked, gone. */
async function erase(scene: Scene, outcome: Readonly<Record<string, string>> | undefined): Promise<void> {
  const { place } = scene;
  const { notes } = place.archive;
  await mark(scene);
  for (const file of ['manifest.json', 'recording.webm', 'original.opus'])
    await place.remove(`recordings/c/r2/${file}`);
  await place.remove(`days/${DAY}/c.r2`);
  if (outcome === undefined) return;
  const folder = place.kind === 'folder' ? (place.env['ARCHIVE_URL'] ?? '').slice('file:'.length) : undefined;
  const audit = await openAudit({ folder, notes });
  await audit.record({ action: 'erased', who: 'command:ana', way: 'command', ...ERASED, about: outcome }, signal);
  await audit.close();
}

for (const [name, open] of PLACES) {
  describe(`archiver certificate from a ${name}`, () => {
    test(
      'a recording: what was there, by which seal; checked by OpenSSL and by the RFC',
      { timeout: 240_000 },
      async (t) => {
        await using place = await open();
        const scene = await setUp(t, place);
        const before = await scene.run('certificate', '--recording', 'c/r2', '--to', scene.folder);
        assert.equal(before.code, 0, before.stderr);
        assert.equal((await checkByOthers(scene, 'certificate.c.r2.json')).sealed, null, 'its day is not sealed yet');
        assert.equal((await scene.run('verify')).code, 0);
        const made = await scene.run('certificate', '--recording', 'c/r2', '--to', scene.folder);
        assert.equal(made.code, 0, made.stderr);
        const stated = await checkByOthers(scene, 'certificate.c.r2.json');
        assert.equal(stated.manifest, (await place.bytes('recordings/c/r2/manifest.json')).toString());
        assert.equal(stated.sealed?.leaf.size, 3);
        const well = await scene.check('certificate.c.r2.json', '--key', join(scene.folder, 'public.pem'));
        assert.equal(well.code, 0, well.stdout + well.stderr);
        assert.match(well.stdout, /^state +archived$/m);
        assert.match(well.stdout, /It holds, signed with key [0-9a-f]{64}\.\n$/);
        assert.match((await scene.check('certificate.c.r2.json')).stdout, /compare it with the one you were given/);
        const page = await readFile(join(scene.folder, 'certificate.c.r2.html'), 'utf8');
        assert.ok(page.includes(stated.manifestSha256) && !/<script|https?:|url\(/.test(page));
        assert.ok(!JSON.stringify(stated).includes('PRIVATE KEY'));
      },
    );

    test('a day: its proofs and its seal', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      const scene = await setUp(t, place);
      const early = await scene.run('certificate', '--day', DAY, '--to', scene.folder);
      assert.deepEqual([early.code, /archiver verify --from 2026-03-01/.test(early.stderr)], [4, true], early.stderr);
      await scene.run('verify');
      assert.equal((await scene.run('certificate', '--day', DAY, '--to', scene.folder)).code, 0);
      await checkSignature(scene, `certificate.${DAY}.json`);
      const well = await scene.check(`certificate.${DAY}.json`);
      assert.equal(well.code, 0, well.stdout);
      assert.match(well.stdout, /^recordings +3, of which 0 erased$/m);
    });

    test('an erased recording: never called erased before it is', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      const scene = await setUp(t, place);
      await scene.run('verify');
      const args = ['certificate', '--recording', 'c/r2', '--erased', '--to', scene.folder];
      const none = await scene.run(...args);
      assert.deepEqual([none.code, /It was not erased/.test(none.stderr)], [4, true]);
      await mark(scene);
      const begun = await scene.run(...args);
      assert.deepEqual([begun.code, /has not ended/.test(begun.stderr)], [4, true]);
      const kept = await scene.run('certificate', '--recording', 'c/r2', '--to', scene.folder);
      assert.deepEqual(
        [kept.code, /It was erased on purpose/.test(kept.stderr)],
        [4, true],
        'though all of it is there',
      );
      await erase(scene, undefined);
      const unended = await scene.run(...args);
      assert.deepEqual(
        [unended.code, /never read back.*archiver erase --recording c\/r2/.test(unended.stderr)],
        [4, true],
      );
      assert.equal((await scene.run('certificate', '--recording', 'c/r2', '--to', scene.folder)).code, 4);
      await place.write('recordings/c/r2/recording.webm', 'what was left');
      const half = await scene.run(...args);
      assert.deepEqual([half.code, /has not ended/.test(half.stderr)], [4, true]);
    });

    for (const [state, outcome] of [
      ['erased', { state: 'gone' }],
      ['recoverable', { state: 'recoverable', until: '2999-01-01T00:00:00.000Z' }],
      ['erased', { state: 'recoverable', until: '2026-01-01T00:00:00.000Z' }],
    ] as const) {
      test(
        `read back as ${JSON.stringify(outcome)} it is ${state}, and its leaf stays`,
        { timeout: 240_000 },
        async (t) => {
          await using place = await open();
          const scene = await setUp(t, place);
          await scene.run('verify');
          await erase(scene, outcome);
          const made = await scene.run('certificate', '--recording', 'c/r2', '--erased', '--to', scene.folder);
          assert.equal(made.code, 0, made.stderr);
          const stated = await checkByOthers(scene, 'certificate.c.r2.json');
          assert.deepEqual([stated.state, stated.manifest, stated.erasure?.state], [state, null, outcome.state]);
          const checked = await scene.check('certificate.c.r2.json');
          assert.deepEqual([checked.code, /begun \S+ by command:ana/.test(checked.stdout)], [0, true], checked.stdout);
        },
      );
    }

    test('nothing is sworn to what is damaged', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      const scene = await setUp(t, place);
      const bytes = Buffer.from(await place.bytes('recordings/c/r1/original.opus'));
      bytes.writeUInt8(bytes.readUInt8(9) ^ 1, 9);
      await place.write('recordings/c/r1/original.opus', bytes);
      const refused = await scene.run('certificate', '--recording', 'c/r1', '--to', scene.folder);
      assert.deepEqual([refused.code, /nothing is sworn to what is damaged/.test(refused.stderr)], [4, true]);
    });
  });
}

async function checkSignature(scene: Scene, name: string): Promise<void> {
  const { statement, signature } = await signedIn(scene, name);
  await writeFile(join(scene.folder, 's'), statement);
  await writeFile(join(scene.folder, 'v'), Buffer.from(signature.value, 'base64'));
  const args = ['pkeyutl', '-verify', '-pubin', '-inkey', 'public.pem', '-rawin', '-in', 's', '-sigfile', 'v'];
  assert.equal(spawnSync('openssl', args, { cwd: scene.folder }).status, 0);
}

test('whatever is changed in a certificate is noticed, and another key is as well', { timeout: 240_000 }, async (t) => {
  const [, open] = PLACES[0];
  await using place = await open();
  const scene = await setUp(t, place);
  await scene.run('verify');
  await scene.run('certificate', '--recording', 'c/r2', '--to', scene.folder);
  const text = await readFile(join(scene.folder, 'certificate.c.r2.json'), 'utf8');
  const { statement, signature } = JSON.parse(text) as SignedText;
  const changed = (edited: string): string => JSON.stringify({ statement: edited, signature });
  const cases: readonly (readonly [string, RegExp])[] = [
    [changed(statement.replace('archived', 'erased')), /changed after it was signed/],
    [changed(statement.replace(DAY, '2026-03-02')), /its seal does not name 2026-03-02/],
    [changed(statement.replace('"index":1', '"index":0')), /does not lead/],
    [changed(statement.replace(String.raw`\"channels\": 2`, String.raw`\"channels\": 1`)), /does not have the hash/],
    [changed(statement.replace('"recordingId":"r2"', '"recordingId":"r1"')), /that of another recording/],
    [JSON.stringify({ statement, signature: null }), /it is not signed/],
    [
      changed(statement.replace(String.raw`\"verdict\": \"complete\"`, String.raw`\"verdict\": \"accounted\"`)),
      /not the proof/,
    ],
  ];
  for (const [edited, expected] of cases) {
    assert.notEqual(edited, changed(statement), String(expected));
    await writeFile(join(scene.folder, 'edited.json'), edited);
    const found = await scene.check('edited.json');
    assert.equal(found.code, 3, found.stdout);
    assert.match(found.stdout, expected);
  }
  for (const nonsense of ['', '{}', '[]', '{"statement":"{}","signature":null}']) {
    await writeFile(join(scene.folder, 'edited.json'), nonsense);
    const refused = await scene.check('edited.json');
    assert.deepEqual([refused.code, /is no certificate/.test(refused.stderr)], [1, true], refused.stderr);
  }
  const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' });
  await writeFile(join(scene.folder, 'other.pem'), other);
  const byOther = await scene.check('certificate.c.r2.json', '--key', join(scene.folder, 'other.pem'));
  assert.deepEqual([byOther.code, /another key than the one/.test(byOther.stdout)], [3, true]);
  assert.equal((await scene.check('none.json')).code, 1);
});

test('a folder keeps a key of its own; a bucket without one says how to make it', { timeout: 240_000 }, async (t) => {
  for (const [kind, open] of PLACES) {
    await using place = await open();
    const scene = await setUp(t, place);
    const args = ['certificate', '--recording', 'c/r1', '--to', scene.folder];
    const made = await runInside(args, place.env);
    if (kind === 'folder') assert.equal(made.code, 0, made.stderr);
    else assert.deepEqual([made.code, /CERTIFICATE_KEY.*openssl genpkey/.test(made.stderr)], [1, true], made.stderr);
  }
});

test('what cannot be meant is refused with what to write instead', async () => {
  const none = join(tmpdir(), 'no-such-archive');
  for (const args of [[], ['--day', DAY, '--recording', 'c/r'], ['--day', DAY, '--erased'], ['--recording', '../x']])
    assert.equal((await runInside(['certificate', ...args], { ARCHIVE_URL: `file:${none}` })).code, 2, args.join(' '));
  assert.equal(existsSync(none), false, 'nothing is made before it is known what is meant');
});

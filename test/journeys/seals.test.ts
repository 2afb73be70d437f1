/** Seals: days that are proven are sealed in one chain; whatever of it is changed later is found, and nothing else is. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, createHash, createPublicKey, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { writeProof } from '../../src/archive/proofs.ts';
import type { Recording } from '../../src/recording.ts';
import { bytesOf, manifestOf, store } from '../support/archive/content.ts';
import { type Place, PLACES } from '../support/archive/places.ts';
import { runInside } from '../support/commands/inside.ts';
import { linesOf } from '../support/commands/run.ts';

const { signal } = new AbortController();
const DAYS = ['2026-03-01', '2026-03-02', '2026-03-03'] as const;

async function add(place: Place, recording: Recording, day: string = DAYS[0]): Promise<void> {
  const name = `${recording.conversationId ?? ''} ${recording.recordingId}`;
  const content = { head: bytesOf(name, 100), clusters: [bytesOf(`${name} c`, 400)] };
  await store(place.archive, recording, { ...content, facts: { recordedAt: `${day}T09:30:00.000Z` } });
}

async function prove(place: Place, day: string = DAYS[0], verdict = 'complete'): Promise<void> {
  await writeProof('complete', { day, verdict }, { notes: place.archive.notes, at: new Date() }, signal);
}

async function fill(place: Place): Promise<void> {
  for (const [index, day] of DAYS.entries())
    for (let recording = 0; recording <= index; recording += 1)
      await add(place, { conversationId: `c${String(index)}`, recordingId: `r${String(recording)}` }, day);
  for (const day of DAYS.slice(0, 2)) await prove(place, day);
}

interface Verified {
  readonly findings: readonly string[];
  readonly sealed: unknown;
  readonly code: number | null;
}

async function verified(place: Place, ...args: readonly string[]): Promise<Verified> {
  const printed = await runInside(['verify', '--json', '--quiet', ...args], place.env);
  const lines = linesOf(printed);
  const findings = lines.filter(({ type }) => type === 'finding');
  return {
    findings: findings.map(({ state, key, reason }) => `${String(state)} ${String(key)} ${String(reason)}`),
    sealed: lines.at(-1)?.['sealed'],
    code: printed.code,
  };
}

interface SealText {
  readonly statement: string;
  readonly signature: { readonly publicKey: string; readonly value: string } | null;
}

interface Stated {
  readonly n: number;
  readonly previous: string;
  readonly days: readonly {
    readonly day: string;
    readonly leaves: number;
    readonly erased: number;
    readonly root: string;
    readonly lists: readonly { readonly name: string }[];
    readonly proofs: readonly { readonly name: string }[];
  }[];
}

async function sealAt(place: Place, n: number): Promise<SealText & { readonly stated: Stated }> {
  const text = (await place.bytes(`proofs/seal/${String(n)}.json`)).toString();
  const seal = JSON.parse(text) as SealText;
  return { ...seal, stated: JSON.parse(seal.statement) as Stated };
}

const sha256 = (...parts: readonly (Buffer | string)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** RFC 6962 by splitting, over the manifests as they lie there. */
function rootOf(hashes: readonly Buffer[]): Buffer {
  const [only] = hashes;
  if (only === undefined) return sha256();
  if (hashes.length === 1) return sha256(Buffer.of(0), only);
  let split = 1;
  while (split * 2 < hashes.length) split *= 2;
  return sha256(Buffer.of(1), rootOf(hashes.slice(0, split)), rootOf(hashes.slice(split)));
}

/** As erase leaves it. */
async function erase(place: Place, path: string, day: string = DAYS[0]): Promise<void> {
  const key = path.replace('/', '.');
  await place.write(`erased/${key}.json`, '{}');
  for (const file of ['manifest.json', 'recording.webm']) await place.remove(`recordings/${path}/${file}`);
  await place.remove(`days/${day}/${key}`);
}

function crcOf(bytes: Buffer): string {
  // CRC-32C, bit by bit: another way than the one that is tested.
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  const out = Buffer.alloc(4);
  out.writeUInt32BE(~crc >>> 0);
  return out.toString('base64');
}

async function seals(place: Place): Promise<readonly string[]> {
  return (await place.names()).filter((name) => name.startsWith('proofs/seal/')).toSorted();
}

async function listOf(place: Place, n: number): Promise<string> {
  return (await sealAt(place, n)).stated.days[0]?.lists[0]?.name ?? '';
}

async function rewrite(place: Place, name: string, change: (text: string) => string): Promise<string> {
  const text = (await place.bytes(name)).toString();
  const changed = change(text);
  assert.notEqual(changed, text, 'the test changes something');
  await place.write(name, changed);
  return name;
}

const TAMPERED: readonly (readonly [string, (place: Place) => Promise<string>, RegExp])[] = [
  [
    'a seal that is missing',
    async (place) => {
      await place.remove('proofs/seal/2.json');
      return 'proofs/seal/2.json';
    },
    /missing from the chain/,
  ],
  [
    'a seal that states something else',
    async (place) => {
      await rewrite(place, 'proofs/seal/1.json', (text) => text.replace('2026-03-01', '2026-03-09'));
      return 'proofs/seal/2.json';
    },
    /not made behind the seal/,
  ],
  [
    'a seal that cannot be read',
    (place) => rewrite(place, 'proofs/seal/1.json', () => '{}'),
    /says nothing that can be read/,
  ],
  [
    'a seal in the place of another',
    async (place) => {
      const text = (await place.bytes('proofs/seal/1.json')).toString();
      return rewrite(place, 'proofs/seal/3.json', () => text);
    },
    /it is seal 1/,
  ],
  [
    'a leaf that was changed',
    async (place) =>
      rewrite(place, await listOf(place, 3), (text) => (text.startsWith('0') ? '1' : '0') + text.slice(1)),
    /not the one that was sealed/,
  ],
  [
    'a list of leaves that is gone',
    async (place) => {
      const name = await listOf(place, 3);
      await place.remove(name);
      return name;
    },
    /is gone/,
  ],
  [
    'a proof that was changed',
    async (place) => {
      const proof = (await sealAt(place, 1)).stated.days[0]?.proofs[0]?.name ?? '';
      return rewrite(place, proof, (text) => text.replace('complete"', 'accounted"'));
    },
    /not the proof that was sealed/,
  ],
  [
    'a proof that is gone',
    async (place) => {
      const proof = (await sealAt(place, 1)).stated.days[0]?.proofs[0]?.name ?? '';
      await place.remove(proof);
      return proof;
    },
    /it is gone/,
  ],
];

for (const [name, open] of PLACES) {
  describe(`seals in a ${name}`, () => {
    test('what is proven is sealed once, by a root that anybody can compute', { timeout: 240_000 }, async () => {
      await using place = await open();
      await fill(place);
      assert.deepEqual(await verified(place), { findings: [], sealed: 2, code: 0 });
      const { stated, statement, signature } = await sealAt(place, 1);
      assert.deepEqual(
        stated.days.map(({ day, leaves, erased }) => [day, leaves, erased]),
        [
          [DAYS[0], 1, 0],
          [DAYS[1], 2, 0],
        ],
        'a day that is not proven is not sealed',
      );
      assert.equal(stated.previous, '0'.repeat(64));
      const manifests = ['r0', 'r1'].map((id) => place.bytes(`recordings/c1/${id}/manifest.json`));
      const hashes = (await Promise.all(manifests)).map((text) => sha256(text));
      assert.equal(stated.days[1]?.root, rootOf(hashes).toString('hex'));
      assert.equal(signature === null, name === 'bucket', 'a folder keeps a key, a bucket has none unless it is set');
      if (signature !== null) {
        const key = createPublicKey(signature.publicKey);
        assert.ok(verify(null, Buffer.from(statement), key, Buffer.from(signature.value, 'base64')));
      }
      assert.deepEqual(await verified(place), { findings: [], sealed: 0, code: 0 });
      assert.deepEqual(await seals(place), ['proofs/seal/1.json']);
    });

    test('a day that is proven anew adds a seal and changes none', { timeout: 240_000 }, async () => {
      await using place = await open();
      await fill(place);
      await verified(place);
      const first = await place.bytes('proofs/seal/1.json');
      await add(place, { conversationId: 'late', recordingId: 'r' });
      assert.deepEqual(
        await verified(place),
        { findings: [], sealed: 1, code: 0 },
        'what came later is sealed as well',
      );
      await prove(place, DAYS[0], 'accounted');
      assert.deepEqual(await verified(place), { findings: [], sealed: 1, code: 0 });
      assert.deepEqual(await place.bytes('proofs/seal/1.json'), first);
      const [one, two, three] = [await sealAt(place, 1), await sealAt(place, 2), await sealAt(place, 3)];
      assert.equal(two.stated.previous, sha256(one.statement).toString('hex'));
      assert.equal(three.stated.previous, sha256(two.statement).toString('hex'));
      assert.deepEqual(
        two.stated.days.map(({ day, leaves }) => [day, leaves]),
        [[DAYS[0], 2]],
      );
      assert.deepEqual(await verified(place), { findings: [], sealed: 0, code: 0 });
    });

    test('what is not complete is not sealed; it is once it is', { timeout: 240_000 }, async () => {
      await using place = await open();
      await add(place, { conversationId: 'c', recordingId: 'r' });
      await prove(place, DAYS[0], 'complete');
      await prove(place, DAYS[0], 'incomplete');
      assert.equal((await verified(place)).sealed, 0);
      await prove(place, DAYS[0], 'complete');
      assert.equal((await verified(place, '--from', DAYS[1], '--to', DAYS[1])).sealed, 0, 'another day was looked at');
      assert.equal((await verified(place, '--from', DAYS[0], '--to', DAYS[0])).sealed, 1);
    });

    test('an erased recording stays as a hash with its mark, and nothing is amiss', { timeout: 240_000 }, async () => {
      await using place = await open();
      await fill(place);
      await verified(place);
      await erase(place, 'c1/r1', DAYS[1]);
      assert.deepEqual(await verified(place), { findings: [], sealed: 1, code: 0 });
      const [before, after] = [await sealAt(place, 1), await sealAt(place, 2)];
      assert.deepEqual(
        after.stated.days.map(({ day, leaves, erased }) => [day, leaves, erased]),
        [[DAYS[1], 2, 1]],
      );
      assert.equal(after.stated.days[0]?.root, before.stated.days[1]?.root, 'the tree is the same');
      await erase(place, 'c1/r0', DAYS[1]);
      assert.deepEqual(await verified(place), { findings: [], sealed: 1, code: 0 }, 'a day of which all is erased');
      assert.deepEqual(await verified(place), { findings: [], sealed: 0, code: 0 });
    });

    test(
      'what was sealed and is no more is gone, and its day is not sealed without it',
      { timeout: 240_000 },
      async () => {
        await using place = await open();
        await fill(place);
        await verified(place);
        for (const file of ['manifest.json', 'recording.webm']) await place.remove(`recordings/c1/r1/${file}`);
        await place.remove(`days/${DAYS[1]}/c1.r1`);
        await prove(place, DAYS[1]);
        const { findings, sealed, code } = await verified(place);
        assert.deepEqual([findings.length, sealed, code], [1, 0, 3]);
        assert.match(findings[0] ?? '', /^gone c1\.r1 .*sealed in seal 1$/);
      },
    );

    test(
      'a recording that was exchanged with all that states it is found by its seal',
      { timeout: 240_000 },
      async () => {
        await using place = await open();
        await fill(place);
        await verified(place);
        const bytes = bytesOf('forged', 500);
        const digests = { sha256: sha256(bytes).toString('hex'), crc32c: crcOf(bytes) };
        const recording = { conversationId: 'c1', recordingId: 'r1' };
        const facts = { recordedAt: `${DAYS[1]}T09:30:00.000Z` };
        const manifest = manifestOf(recording, { sizeBytes: bytes.length, ...digests }, facts);
        await place.remove('recordings/c1/r1/recording.webm');
        await place.write('recordings/c1/r1/recording.webm', bytes);
        await place.write('recordings/c1/r1/manifest.json', `${JSON.stringify(manifest, null, 2)}\n`);
        const { findings, code } = await verified(place);
        assert.deepEqual([findings.length, code], [1, 3], findings.join('\n'));
        assert.match(findings[0] ?? '', /^damaged c1\.r1 its manifest\.json is not the one that was sealed in seal 1$/);
      },
    );

    for (const [what, tamper, expected] of TAMPERED) {
      test(`${what} is found, and nothing is sealed behind it`, { timeout: 240_000 }, async () => {
        await using place = await open();
        await fill(place);
        await verified(place);
        await prove(place, DAYS[2]);
        await verified(place);
        await add(place, { conversationId: 'late', recordingId: 'r' }, DAYS[2]);
        await verified(place);
        assert.deepEqual(
          await seals(place),
          [1, 2, 3].map((n) => `proofs/seal/${String(n)}.json`),
        );
        const changed = await tamper(place);
        const { findings, code } = await verified(place);
        assert.equal(code, 3);
        assert.ok(
          findings.some((finding) => finding.startsWith(`damaged ${changed} `) && expected.test(finding)),
          findings.join('\n'),
        );
      });
    }
  });
}

test('a seal that was forged with its hashes is found by its signature, and by the key of others', async (t) => {
  const [, open] = PLACES[0];
  await using place = await open();
  await fill(place);
  await verified(place);
  const { signature } = await sealAt(place, 1);
  const [own, other] = [await keyFile(t, signature?.publicKey ?? ''), await keyFile(t, otherKey())];
  assert.equal((await verified(place, '--key', own)).code, 0);
  const byOther = await verified(place, '--key', other);
  assert.deepEqual([byOther.code, byOther.findings.length], [3, 1]);
  assert.match(byOther.findings[0] ?? '', /signed with another key/);
  await rewrite(place, 'proofs/seal/1.json', (text) => text.replace('2026-03-02', '2026-03-09'));
  assert.ok((await verified(place)).findings.some((finding) => /its signature is not/.test(finding)));
  const refused = await runInside(['verify', '--key', join(tmpdir(), 'none.pem')], place.env);
  assert.deepEqual([refused.code, /public key of Ed25519/.test(refused.stderr)], [2, true]);
});

function otherKey(): string {
  return generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString();
}

async function keyFile(t: TestContext, pem: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'key-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'key.pem'), pem);
  return join(folder, 'key.pem');
}

test('two that seal at once make one chain', { timeout: 240_000 }, async () => {
  for (const [, open] of PLACES) {
    await using place = await open();
    await fill(place);
    const both = await Promise.all([verified(place), verified(place)]);
    assert.deepEqual(
      both.map(({ findings }) => findings),
      [[], []],
    );
    assert.deepEqual((await verified(place)).findings, []);
    assert.ok((await seals(place)).length >= 1);
  }
});

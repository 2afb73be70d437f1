/** `archiver verify --audit`: a record that was changed, removed or moved is found, and it is said which. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BucketAudit } from '../../src/audit/bucket-audit.ts';
import { FolderAudit } from '../../src/audit/folder-audit.ts';
import { type Place, PLACES } from '../support/archive/places.ts';
import { runInside } from '../support/commands/inside.ts';
import { linesOf } from '../support/commands/run.ts';

const { signal } = new AbortController();

/** A millisecond apart, on one day. */
async function record(place: Place, count: number, day = '2026-11-28'): Promise<void> {
  let ms = Date.parse(`${day}T12:00:00.000Z`);
  const now = (): Date => new Date((ms += 1));
  const root = (place.env['ARCHIVE_URL'] ?? '').slice('file:'.length);
  const audit = place.kind === 'folder' ? new FolderAudit({ root, now }) : new BucketAudit(place.archive.notes, now);
  for (let index = 1; index <= count; index += 1)
    await audit.record({ action: 'listened', who: 'qa', way: 'key', recordingId: `r${String(index)}` }, signal);
  await audit.close();
}

/** Where each record lies, in their order: a line of a file, or an object. */
async function spotsOf(place: Place): Promise<readonly Spot[]> {
  const names = (await place.names()).filter((name) => name.startsWith('audit/') && !name.endsWith('.lock')).toSorted();
  const texts = await Promise.all(names.map(async (name) => ({ name, text: (await place.bytes(name)).toString() })));
  const spots =
    place.kind === 'bucket'
      ? texts
      : texts.flatMap(({ name, text }) =>
          text
            .trimEnd()
            .split('\n')
            .map((line) => ({ name, text: line })),
        );
  return spots.toSorted((a, b) => sequenceOf(a.text) - sequenceOf(b.text));
}

interface Spot {
  readonly name: string;
  readonly text: string;
}

function sequenceOf(text: string): number {
  return Number(/"sequence":(\d+)/.exec(text)?.[1]);
}

async function put(place: Place, before: readonly Spot[], after: readonly (Spot | undefined)[]): Promise<void> {
  if (place.kind === 'folder') {
    const lines = after.flatMap((spot) => (spot === undefined ? [] : [spot.text]));
    await place.write(before[0]?.name ?? '', `${lines.join('\n')}\n`);
    return;
  }
  for (const [index, spot] of before.entries()) {
    const text = after[index]?.text;
    if (text === undefined) await place.remove(spot.name);
    else await place.write(spot.name, text);
  }
}

const TAMPERED: readonly (readonly [
  string,
  (spots: readonly Spot[]) => readonly (Spot | undefined)[],
  Readonly<Record<Place['kind'], RegExp>>,
])[] = [
  [
    'changed',
    (spots) => spots.map((spot, at) => (at === 2 ? { ...spot, text: spot.text.replace('"r3"', '"r9"') } : spot)),
    { folder: /^changed +\S+ line 3 {2}record 3 is not/m, bucket: /^changed +audit\/\S+ {2}record 3 is not/m },
  ],
  [
    'removed',
    (spots) => spots.map((spot, at) => (at === 2 ? undefined : spot)),
    { folder: /^missing +\S+ line 3 {2}records 3 to 3/m, bucket: /^missing +audit\/\S+ {2}records 3 to 3/m },
  ],
  [
    'exchanged for another',
    (spots) => spots.map((spot, at) => ({ ...spot, text: (spots[[0, 2, 1, 3, 4][at] ?? at] ?? spot).text })),
    { folder: /^reordered +\S+ line 3 {2}/m, bucket: /^reordered +audit\/\S+ {2}it lies under the name of another/m },
  ],
  [
    'made unreadable',
    (spots) => spots.map((spot, at) => (at === 2 ? { ...spot, text: '{"v":1}' } : spot)),
    { folder: /^unreadable +\S+ line 3 {2}/m, bucket: /^unreadable +audit\/\S+ {2}/m },
  ],
];

for (const [name, open] of PLACES) {
  describe(`archiver verify --audit on a ${name}`, () => {
    test('a record that is whole has no findings', { timeout: 240_000 }, async () => {
      await using place = await open();
      await record(place, 5);
      const well = await runInside(['verify', '--audit'], place.env);
      assert.deepEqual(
        [well.code, well.stdout.startsWith('No findings in 5 records.')],
        [0, true],
        well.stdout + well.stderr,
      );
      assert.equal((await spotsOf(place)).length, 5, 'looking leaves no record');
    });

    for (const [what, kept] of [
      ['its newest records', 3],
      ['all of them', 0],
    ] as const) {
      test(
        `a day that was sealed and lost ${what} is found, though no chain can tell`,
        { timeout: 240_000 },
        async () => {
          await using place = await open();
          await record(place, 5, '2026-01-05');
          assert.equal((await runInside(['verify'], place.env)).code, 0);
          assert.equal((await runInside(['verify', '--audit'], place.env)).code, 0);
          const spots = await spotsOf(place);
          await put(
            place,
            spots,
            spots.map((spot, at) => (at < kept ? spot : undefined)),
          );
          const found = await runInside(['verify', '--audit'], place.env);
          assert.equal(found.code, 3, found.stdout + found.stderr);
          const said = `missing     2026-01-05  seal 1 names 5 records of it, ${String(kept)} are there`;
          assert.ok(found.stdout.includes(said), found.stdout);
        },
      );
    }

    test('days of the audit are sealed once they are over, each once', { timeout: 240_000 }, async () => {
      await using place = await open();
      await record(place, 2, '2026-01-05');
      const sealed = async (): Promise<readonly string[]> => {
        assert.equal((await runInside(['verify'], place.env)).code, 0);
        return (await place.names()).filter((name) => name.startsWith('proofs/seal/')).toSorted();
      };
      assert.deepEqual(await sealed(), ['proofs/seal/1.json']);
      assert.deepEqual(await sealed(), ['proofs/seal/1.json']);
      await record(place, 3, '2026-01-07');
      assert.deepEqual(await sealed(), ['proofs/seal/1.json', 'proofs/seal/2.json']);
      await record(place, 1, new Date().toISOString().slice(0, 10));
      assert.deepEqual(await sealed(), ['proofs/seal/1.json', 'proofs/seal/2.json'], 'today is not over');
      assert.equal((await runInside(['verify', '--audit'], place.env)).code, 0);
    });

    for (const [what, tamper, expected] of TAMPERED) {
      test(`a record that was ${what} is found, and it is said which`, { timeout: 240_000 }, async () => {
        await using place = await open();
        await record(place, 5);
        const spots = await spotsOf(place);
        await put(place, spots, tamper(spots));
        const found = await runInside(['verify', '--audit'], place.env);
        assert.equal(found.code, 3, found.stdout + found.stderr);
        assert.match(found.stdout, expected[name]);
        assert.match(found.stdout.split('\n')[0] ?? '', /archiver audit --from \d{4}-\d\d-\d\d --to \d{4}-\d\d-\d\d$/);
        const json = linesOf(await runInside(['verify', '--audit', '--json'], place.env));
        assert.equal(json.at(-1)?.['exit'], 3);
        await put(place, spots, spots);
        assert.equal((await runInside(['verify', '--audit'], place.env)).code, 0);
      });
    }
  });
}

test('--audit is all of the record: other flags beside it are refused', async () => {
  for (const flag of [['--all'], ['--from', '2026-11-28'], ['--read']]) {
    const refused = await runInside(['verify', '--audit', ...flag], { ARCHIVE_URL: 'file:none' });
    assert.deepEqual([refused.code, /leave out --/.test(refused.stderr)], [2, true], refused.stderr);
  }
});

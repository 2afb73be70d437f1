/** `archiver verify` as it is run: what it prints, how it ends, what it leaves, and what it costs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { newestProof, wasReadSince } from '../../src/archive/proofs.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { manyObjects } from '../support/archive/many.ts';
import { PREFIX } from '../support/archive/bucket.ts';
import { openBucketPlace, openFolderPlace, type Place, PLACES } from '../support/archive/places.ts';
import { runInside } from '../support/commands/inside.ts';
import { linesOf, startCommand } from '../support/commands/run.ts';

const { signal } = new AbortController();
const DAY = '2026-03-01';

async function fill({ archive }: Place): Promise<void> {
  for (const recordingId of ['r1', 'r2'])
    await store(
      archive,
      { recordingId, conversationId: 'c1' },
      { head: bytesOf(recordingId, 100), clusters: [bytesOf(`${recordingId} c`, 900)] },
    );
}

for (const [name, open] of PLACES) {
  describe(`archiver verify on a ${name}`, () => {
    test('says that all is well, and leaves a proof of each day', { timeout: 240_000 }, async () => {
      await using place = await open();
      await fill(place);
      const well = await runInside(['verify'], place.env);
      assert.equal(well.code, 0, well.stderr);
      assert.match(well.stdout, /^No findings in 2 recordings, .* 1 day\. /);
      assert.match(well.stdout, name === 'folder' ? /keeps no checksums: names and sizes/ : /CRC32C says that/);
      const proof = await newestProof('intact', DAY, place.archive.notes, signal);
      assert.deepEqual(
        [proof?.verdict, proof?.['recordings'], proof?.['read']],
        ['intact', 2, 0],
        JSON.stringify(proof),
      );
    });

    test('says no more of originals than it looked at, which is all with --read', { timeout: 240_000 }, async () => {
      await using place = await open();
      const original = bytesOf('original', 500);
      const content = { head: bytesOf('r1', 100), clusters: [bytesOf('r1 c', 900)], originals: [original] };
      await store(place.archive, { recordingId: 'r1', conversationId: 'c1' }, content);
      await place.write('recordings/c1/r1/original.opus', Buffer.from(original).fill(7, 100, 104));
      const seen = await runInside(['verify'], place.env);
      assert.equal(seen.code, 0, seen.stdout);
      assert.match(
        seen.stdout,
        name === 'folder' ? /names and sizes were compared/ : /of originals the sizes were compared/,
      );
      assert.match((await runInside(['verify', '--read'], place.env)).stdout, /^damaged .*original\.opus/m);
    });

    test('each line of a finding ends with what mends it, and the exit code is 3', { timeout: 240_000 }, async () => {
      await using place = await open();
      await fill(place);
      await place.write('recordings/c1/r1/recording.webm', 'cut');
      await place.write(`days/${DAY}/c1.none`, '');
      await place.write('erased/c1.r2.json', '{}');
      const found = await runInside(['verify', '--all'], place.env);
      assert.equal(found.code, 3, found.stderr);
      const where = name === 'folder' ? /cp -a BACKUP\/recordings\/c1\/r1\// : /gcloud storage ls --soft-deleted 'gs:/;
      const lines = found.stdout.split('\n');
      const line = (start: string): string => lines.find((each) => each.startsWith(start)) ?? '';
      assert.match(line('damaged'), where);
      assert.match(
        line('damaged'),
        /^damaged +2026-03-01 {2}c1\.r1 {2}recording\.webm has 3 bytes, its manifest says 1000/,
      );
      assert.match(
        line('stray       2026-03-01  c1.none'),
        /archiver backfill --from 2026-03-01 --to 2026-03-01 --again$/,
      );
      assert.match(line('undead'), /archiver erase --recording c1\/r2 --reason "ends an erasure"$/);
      const json = linesOf(await runInside(['verify', '--json', '--quiet'], place.env));
      assert.deepEqual(
        json.map(({ type }) => type),
        ['finding', 'finding', 'finding', 'finding', 'day', 'summary'],
      );
      assert.deepEqual(json.at(-1)?.['exit'], 3);
      assert.deepEqual(json.at(-1)?.['states'], { damaged: 1, undead: 1, stray: 2 });
      const proof = await newestProof('intact', DAY, place.archive.notes, signal);
      assert.deepEqual([proof?.verdict, proof?.['findings']], ['damaged', 3]);
    });

    test('what was read whole is known for a while, by its part', { timeout: 240_000 }, async () => {
      await using place = await open();
      await fill(place);
      const { notes } = place.archive;
      const asked = { key: 'c1.r1', day: DAY };
      await runInside(['verify'], place.env);
      assert.equal(await wasReadSince(0, asked, notes, signal), false, 'it was only compared');
      await runInside(['verify', '--read'], place.env);
      assert.equal(await wasReadSince(0, asked, notes, signal), true);
      await place.write('recordings/c1/r2/recording.webm', 'cut');
      await runInside(['verify', '--read', '--from', DAY, '--to', DAY], place.env);
      assert.equal(await wasReadSince(0, asked, notes, signal), true, 'the earlier one holds');
      assert.equal(await wasReadSince(Date.now() + 60_000, asked, notes, signal), false, 'that was before');
    });
  });
}

test('a part of the recordings is proven by its proof, and another part is not', { timeout: 240_000 }, async () => {
  await using place = await openFolderPlace();
  await fill(place);
  const read = async (part: string): Promise<boolean> => {
    await runInside(['verify', '--read', part], place.env);
    return wasReadSince(0, { key: 'c1.r1', day: DAY }, place.archive.notes, signal);
  };
  const [first, both] = [await read('1/2'), await read('2/2')];
  assert.deepEqual([typeof first, both], ['boolean', true]);
});

test(
  'an archive that may only be read is verified; that no proof could be written is said, and how it ends',
  { timeout: 240_000 },
  async () => {
    await using place = await openBucketPlace();
    await fill(place);
    place.server?.deny('create', `${PREFIX}/`);
    const unproven = await runInside(['verify', '--json'], place.env);
    assert.equal(unproven.code, 1, unproven.stderr);
    assert.match(unproven.stderr, /No proof could be written: .*grant it roles\/storage\.objectCreator/);
    const { recordings, findings, code, exit } = linesOf(unproven).at(-1) ?? {};
    assert.deepEqual([recordings, findings, code, exit], [2, 0, 'misconfigured', 1]);
  },
);

test('an archive that may not be listed is no archive without findings', { timeout: 240_000 }, async () => {
  await using place = await openBucketPlace();
  await fill(place);
  place.server?.deny('list', `${PREFIX}/recordings/`);
  const refused = await runInside(['verify'], place.env);
  assert.equal(refused.code, 1, refused.stdout);
  assert.match(refused.stderr, /misconfigured/);
});

test('an archive with nothing in it is said to be one', { timeout: 240_000 }, async () => {
  await using place = await openFolderPlace();
  const empty = await runInside(['verify'], place.env);
  assert.deepEqual(await place.names(), [], 'and nothing is made in it');
  assert.deepEqual([empty.code, /is ARCHIVE_URL the one/.test(empty.stdout)], [0, true], empty.stderr);
});

test('ranges that cannot be meant are refused with what to write instead', { timeout: 240_000 }, async () => {
  for (const [args, message] of [
    [['--all', '--from', DAY], /--all is everything/],
    [['--from', '2026-03-02', '--to', '2026-03-01'], /swap them/],
    [['--to', '2999-01-01'], /has not come yet/],
    [['--read', '4/3'], /expected a part such as/],
    [['--from', '2026-02-30'], /a day that exists/],
  ] as const) {
    const refused = await runInside(['verify', ...args], { ARCHIVE_URL: 'file:none' });
    assert.equal(refused.code, 2, args.join(' '));
    assert.match(refused.stderr, message);
  }
});

test(
  '10,000 objects are verified without a byte of one, by a listing call for each thousand',
  { timeout: 240_000 },
  async () => {
    await using place = await openBucketPlace();
    const { server } = place;
    assert.ok(server !== undefined);
    for (const { name, bytes, metadata } of manyObjects(3_333, DAY))
      server.put(`${PREFIX}/${name}`, bytes, { metadata });
    server.store.violations.length = 0;
    server.seen.length = 0;
    const found = await runInside(['verify', '--quiet'], place.env);
    assert.equal(found.code, 0, found.stdout + found.stderr);
    assert.match(found.stdout, /^No findings in 3333 recordings/);
    assert.equal(server.count('media'), 0, 'no object is read, not even a manifest');
    assert.equal(server.count('get'), 0);
    // 16 ranges of recordings/, erased/ beside each, holds/, the days and what each lists.
    assert.ok(server.count('list') <= 16 + 7 + 16 + 1 + 2 + 4, String(server.count('list')));
  },
);

test(
  'a signal in any phase ends it by itself, with its own exit code, and leaves no half proof',
  { timeout: 240_000 },
  async () => {
    for (const phase of ['calls/recordings/', 'calls/days/', 'calls/proofs/seal/']) {
      await using place = await openBucketPlace();
      await fill(place);
      const { server } = place;
      assert.ok(server !== undefined);
      const child = startCommand(['verify'], place.env);
      let isSent = false;
      // One: sixteen lists begin at once, and a process that is ending any way is killed by a signal too many.
      server.gate = ({ operation, name }) => {
        if (!isSent && operation === 'list' && name.startsWith(phase)) isSent = child.kill('SIGINT');
        return undefined;
      };
      const [ended, said] = await Promise.all([once(child, 'close'), text(child.stderr), text(child.stdout)]);
      assert.deepEqual(ended, [130, null], said);
      assert.match(said, /Run the same line again later/);
      server.gate = undefined;
      assert.equal((await runInside(['verify'], place.env)).code, 0, phase);
    }
  },
);

test('a reader that goes away after the first line ends it quietly', { timeout: 240_000 }, async () => {
  await using place = await openFolderPlace();
  for (let index = 0; index < 3_000; index += 1) await place.write(`days/${DAY}/c.r${String(index)}`, '');
  const child = startCommand(['verify'], place.env);
  child.stdout.once('data', () => child.stdout.destroy());
  const [[code], said] = await Promise.all([once(child, 'close'), text(child.stderr)]);
  assert.deepEqual([code, said.replaceAll(/^\d+ recordings\n/gm, '')], [3, '']);
});

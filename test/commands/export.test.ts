/** `archiver export`: a case in one folder or zip file, whole by its own sums, played by a browser without a network, on record before it is read. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, test, type TestContext } from 'node:test';
import { markErased } from '../../src/archive/erased.ts';
import { placeHold } from '../../src/archive/holds.ts';
import type { AuditRecord } from '../../src/audit/audit.ts';
import { openAudit } from '../../src/audit/open-audit.ts';
import { bytesOf, failureOf, store, waitingOf } from '../support/archive/content.ts';
import { openBucketPlace, type Place, PLACES } from '../support/archive/places.ts';
import { findChromium, launchChromium, openContext } from '../support/browser/browser.ts';
import { runInside } from '../support/commands/inside.ts';
import { linesOf } from '../support/commands/run.ts';
import { readZip } from '../support/zip.ts';

const { signal } = new AbortController();
const FIXTURE = join(import.meta.dirname, '../fixtures/screen-vp8-silent.webm');

const CLI = join(import.meta.dirname, '../../src/cli.ts');

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** By somebody else's program; undefined where there is none. */
function unzip(zip: string): string | undefined {
  const folder = `${zip}.unpacked`;
  const done = spawnSync('unzip', ['-qq', zip, '-d', folder], { encoding: 'utf8' });
  if (done.error !== undefined) return undefined;
  assert.equal(done.status, 0, done.stdout + done.stderr);
  return folder;
}

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'export-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'case');
}

async function add(place: Place, path: string): Promise<void> {
  const [conversationId = '', recordingId = ''] = path.split('/');
  const content = { head: bytesOf(path, 100), clusters: [bytesOf(`${path} c`, 900)], originals: [bytesOf(path, 200)] };
  await store(
    place.archive,
    { conversationId: conversationId === '_' ? undefined : conversationId, recordingId },
    content,
  );
}

async function fill(place: Place): Promise<void> {
  for (const path of ['c1/r1', 'c1/r2', 'c2/r1', '_/r9']) await add(place, path);
  const details = {
    version: 1,
    conversationId: 'c1',
    at: '2026-03-01T12:00:00.000Z',
    conversation: {
      conversationStart: '2026-03-01T09:30:00.000Z',
      participants: [{ purpose: 'agent', participantName: '<b>Ana & Co</b>' }],
    },
  };
  await place.write('conversations/c1/details.json', JSON.stringify(details));
  await place.write('conversations/c1/transcript.r1.json', '{"phrases":[]}');
  await place.write('conversations/c1/transcript.r7.json', '{"of":"another"}');
}

async function hold(place: Place, conversationId: string, recordingId: string | null): Promise<void> {
  const heldAt = '2026-11-28T10:00:00.000Z';
  await placeHold(
    { version: 1, case: 'K-17', conversationId, recordingId, reason: 'x', by: 'command:ana', heldAt },
    place.archive.notes,
    signal,
  );
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();
}

async function recordsOf(place: Place): Promise<readonly AuditRecord[]> {
  const folder = place.kind === 'folder' ? (place.env['ARCHIVE_URL'] ?? '').slice('file:'.length) : undefined;
  const audit = await openAudit({ folder, notes: place.archive.notes });
  const records: AuditRecord[] = [];
  for await (const record of audit.read({ from: '2000-01-01', to: '2999-01-01' }, signal)) records.push(record);
  await audit.close();
  return records;
}

for (const [name, open] of PLACES) {
  describe(`archiver export from a ${name}`, () => {
    test(
      'what is named twice is exported once, however the archive spells its ids',
      { timeout: 240_000 },
      async (t) => {
        await using place = await open();
        const guid = 'ABCDEF01-0000-4000-8000-00000000000A';
        await add(place, `${guid}/${guid}`);
        const named = ['--recording', `${guid}/${guid}`, '--conversation', guid];
        const done = await runInside(['export', ...named, '--to', await temporary(t), '--json'], place.env);
        assert.equal(linesOf(done).filter(({ type }) => type === 'exported').length, 1, done.stdout + done.stderr);
      },
    );

    test(
      'a recording of which something has gone, or is none of ours, is named, and the rest goes on',
      { timeout: 240_000 },
      async (t) => {
        await using place = await open();
        for (const path of ['c1/r1', 'c1/r2', 'c1/r3', 'c1/r5']) await add(place, path);
        const large = { head: bytesOf('head', 100), clusters: [bytesOf('media', 3_000_000)] };
        await store(place.archive, { conversationId: 'c1', recordingId: 'r4' }, large);
        await place.write('recordings/c1/r2/manifest.json', '{"version":1');
        await place.remove('recordings/c1/r3/recording.webm');
        if (place.server === undefined) {
          const path = join((place.env['ARCHIVE_URL'] ?? '').slice('file:'.length), 'recordings/c1/r4/recording.webm');
          await rm(path);
          await symlink('/etc/hostname', path);
        } else {
          place.server.faults.plan(
            'media',
            ['return-broken-stream-after-1K', 'return-404'],
            /c1\/r4\/recording\.webm$/,
          );
        }
        for (const end of ['', '.zip']) {
          const to = `${await temporary(t)}${end}`;
          const done = await runInside(['export', '--conversation', 'c1', '--to', to, '--json', '--quiet'], place.env);
          assert.equal(done.code, 3, done.stdout + done.stderr);
          const isMended = place.server !== undefined && end === '.zip';
          assert.deepEqual(
            linesOf(done)
              .filter(({ type }) => type !== 'summary')
              .map(({ recordingId, state = 'exported' }) => `${String(recordingId)} ${String(state)}`),
            ['r1 exported', 'r2 damaged', 'r3 damaged', isMended ? 'r4 exported' : 'r4 damaged', 'r5 exported'],
          );
          if (end !== '') continue;
          const page = await readFile(join(to, 'index.html'), 'utf8');
          assert.match(page, /Not here[\s\S]*c1\/r2: damaged[\s\S]*c1\/r3: damaged, <bdi>recording\.webm is missing/);
        }
      },
    );

    test(
      'what is kept of a recording goes with it, however the archive spells its ids, and the audit names those of today',
      { timeout: 240_000 },
      async (t) => {
        await using place = await open();
        const [guid, to] = ['abcdef01-0000-4000-8000-00000000000a', await temporary(t)];
        await add(place, `${guid.toUpperCase()}/${guid.toUpperCase()}`);
        const kept = ['details.json', `recording.${guid}.json`, `transcript.${guid}.json`];
        for (const file of kept) await place.write(`conversations/${guid}/${file}`, '{"version":1}');
        const done = await runInside(['export', '--conversation', guid, '--to', to], place.env);
        assert.equal(done.code, 0, done.stdout + done.stderr);
        const files = (await filesIn(to)).filter((file) => file.startsWith('conversations/'));
        assert.deepEqual(files, kept.map((file) => `conversations/${guid}/${file}`).toSorted());
        const [record] = await recordsOf(place);
        assert.deepEqual([record?.action, record?.conversationId, record?.recordingId], ['exported', guid, guid]);
      },
    );

    test('a case: all that is kept of it, byte for byte, and nothing else', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      await fill(place);
      await hold(place, 'c1', null);
      await hold(place, 'c2', 'r1');
      const to = await temporary(t);
      const done = await runInside(['export', 'K-17', '--to', to, '--reason', 'for the court'], place.env);
      assert.equal(done.code, 0, done.stdout + done.stderr);
      const media = ['c1/r1', 'c1/r2', 'c2/r1'].flatMap((path) =>
        ['manifest.json', 'original.opus', 'recording.webm'].map((file) => `recordings/${path}/${file}`),
      );
      const keys = name === 'folder' ? ['c1.r1', 'c1.r2', 'c2.r1'] : [];
      const certificates = keys.flatMap((key) => [
        `certificates/certificate.${key}.html`,
        `certificates/certificate.${key}.json`,
      ]);
      const notes = ['conversations/c1/details.json', 'conversations/c1/transcript.r1.json'];
      const expected = ['SHA256SUMS', 'index.html', ...media, ...certificates, ...notes].toSorted();
      assert.deepEqual(await filesIn(to), expected);
      for (const file of [...media, ...notes])
        assert.deepEqual(await readFile(join(to, file)), await place.bytes(file), file);
      execFileSync('sha256sum', ['-c', '--strict', '--quiet', 'SHA256SUMS'], { cwd: to });
      assert.equal(
        (await readFile(join(to, 'SHA256SUMS'), 'utf8')).split('\n').length,
        expected.length,
        'every other file is in it',
      );
      assert.equal((await stat(join(to, 'recordings/c1/r1/recording.webm'))).mode & 0o077, 0, 'closed to others');
      const page = await readFile(join(to, 'index.html'), 'utf8');
      assert.ok(page.includes('&lt;b&gt;Ana &amp; Co&lt;/b&gt;') && !page.includes('<b>Ana'));
      if (name === 'folder')
        for (const key of keys)
          assert.equal(
            (await runInside(['verify', '--certificate', join(to, `certificates/certificate.${key}.json`)], {})).code,
            0,
          );
      else assert.match(done.stderr, /No certificates: set CERTIFICATE_KEY/);
      const records = (await recordsOf(place)).filter(({ action }) => action === 'exported');
      assert.deepEqual(
        records.map(({ conversationId, recordingId, why, about }) => [
          conversationId,
          recordingId,
          why,
          about?.['case'],
        ]),
        [
          ['c1', 'r1', 'for the court', 'K-17'],
          ['c1', 'r2', 'for the court', 'K-17'],
          ['c2', 'r1', 'for the court', 'K-17'],
        ],
      );
    });

    test('what is gone or damaged is named with what to do, and the rest goes on', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      await fill(place);
      const bytes = Buffer.from(await place.bytes('recordings/c1/r1/original.opus'));
      bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20);
      await place.write('recordings/c1/r1/original.opus', bytes);
      await place.write('erased/c7.r.json', '{}');
      const to = await temporary(t);
      const named = ['--conversation', 'c1', '--recording', 'c7/r', '--recording', 'c8/r', '--recording', '_/r9'];
      const done = await runInside(['export', ...named, '--to', to, '--json', '--quiet'], place.env);
      assert.equal(done.code, 3, done.stdout + done.stderr);
      const lines = linesOf(done);
      assert.deepEqual(
        lines
          .slice(0, -1)
          .map(({ type, recordingId, state, conversationId }) => [type, conversationId, recordingId, state]),
        [
          ['finding', 'c1', 'r1', 'damaged'],
          ['exported', 'c1', 'r2', undefined],
          ['finding', 'c7', 'r', 'erased'],
          ['finding', 'c8', 'r', 'missing'],
          ['exported', null, 'r9', undefined],
        ],
      );
      for (const { mend } of lines.filter(({ type }) => type === 'finding')) assert.match(String(mend), /archiver \w+/);
      assert.equal(lines.at(-1)?.['exported'], 2);
      const files = await filesIn(to);
      assert.ok(!files.includes('recordings/c1/r1/original.opus') && !files.some((file) => file.endsWith('.part')));
      execFileSync('sha256sum', ['-c', '--strict', '--quiet', 'SHA256SUMS'], { cwd: to });
    });

    test(
      'what an earlier export holds whole stays where the archive has it damaged since',
      { timeout: 240_000 },
      async (t) => {
        await using place = await open();
        await fill(place);
        const to = await temporary(t);
        const line = ['export', '--recording', 'c1/r1', '--to', to, '--json', '--quiet'];
        assert.equal((await runInside(line, place.env)).code, 0);
        const name = 'recordings/c1/r1/recording.webm';
        const whole = await readFile(join(to, name));
        const bytes = Buffer.from(await place.bytes(name));
        bytes.writeUInt8(bytes.readUInt8(bytes.length - 9) ^ 1, bytes.length - 9);
        await place.write(name, bytes);
        const again = await runInside(line, place.env);
        assert.equal(again.code, 3, again.stdout + again.stderr);
        assert.ok(whole.equals(await readFile(join(to, name))));
        const others = linesOf(again).filter(({ type }) => type === 'other');
        assert.ok(
          others.some(({ file }) => file === name),
          again.stdout,
        );
        assert.doesNotMatch(await readFile(join(to, 'SHA256SUMS'), 'utf8'), /r1\/recording/);
        const told = await runInside(line.slice(0, -2), place.env);
        assert.match(told.stdout, /recording\.webm .* keep it\n/);
        assert.doesNotMatch(told.stdout, /remove it/, 'nothing of the whole one, nor what certifies it');
      },
    );

    test('no record, no byte', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      await fill(place);
      const to = await temporary(t);
      if (place.server === undefined) await place.write('audit', 'a file where the folder should be');
      else place.server.deny('create', 'calls/audit/');
      if (place.server !== undefined) place.server.seen.length = 0;
      const refused = await runInside(['export', '--recording', 'c1/r1', '--to', to], place.env);
      assert.equal(refused.code, 1, refused.stdout);
      assert.deepEqual(await filesIn(to).catch(() => []), []);
      const read = place.server?.seen.filter(({ name: object }) => /recordings\/.*\.(webm|opus)$/.test(object)) ?? [];
      assert.deepEqual(read, []);
    });
  });
}

for (const [name, open] of PLACES)
  describe(`archiver export into a zip file, from a ${name}`, () => {
    test('holds what the folder holds, and bears its name only once it is whole', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      await fill(place);
      await hold(place, 'c1', null);
      await hold(place, 'c2', 'r1');
      const to = await temporary(t);
      const [folder, zip] = [await runInside(['export', 'K-17', '--to', to], place.env), `${to}.zip`];
      assert.equal(folder.code, 0, folder.stderr);
      const done = await runInside(['export', 'K-17', '--to', zip], place.env);
      assert.equal(done.code, 0, done.stdout + done.stderr);
      assert.match(done.stdout, /Open index\.html of .*case\.zip, once it is unpacked$/m);
      const entries = new Map((await readZip(zip)).map((entry) => [entry.name, entry]));
      assert.deepEqual([...entries.keys()].toSorted(), await filesIn(to));
      for (const file of await filesIn(to)) {
        // These say when they were made.
        if (/^(index\.html|SHA256SUMS|certificates\/.*)$/.test(file)) continue;
        assert.equal(entries.get(file)?.sha256, sha256(await readFile(join(to, file))), file);
      }
      assert.equal((await stat(zip)).mode & 0o077, 0, 'closed to others');
      assert.deepEqual(await readdir(dirname(zip)), ['case', 'case.zip'], 'and nothing beside it');
      const unpacked = unzip(zip);
      if (unpacked !== undefined)
        execFileSync('sha256sum', ['-c', '--strict', '--quiet', 'SHA256SUMS'], { cwd: unpacked });
      const records = (await recordsOf(place)).filter(({ action }) => action === 'exported');
      assert.deepEqual(
        records
          .slice(3)
          .map(({ conversationId, recordingId, about }) => [conversationId, recordingId, about?.['case']]),
        [
          ['c1', 'r1', 'K-17'],
          ['c1', 'r2', 'K-17'],
          ['c2', 'r1', 'K-17'],
        ],
      );
    });

    test('what is damaged is named and not in it, not one byte', { timeout: 240_000 }, async (t) => {
      await using place = await open();
      await fill(place);
      const canary = Buffer.from('canary: none of this is what was stored');
      const original = Buffer.concat([canary, Buffer.alloc(200 - canary.length)]);
      await place.write('recordings/c1/r1/original.opus', original);
      const zip = `${await temporary(t)}.zip`;
      const done = await runInside(['export', '--conversation', 'c1', '--to', zip], place.env);
      assert.equal(done.code, 3, done.stdout + done.stderr);
      const names = (await readZip(zip)).map((entry) => entry.name);
      assert.ok(!names.includes('recordings/c1/r1/original.opus') && names.includes('recordings/c1/r2/original.opus'));
      assert.doesNotMatch((await readFile(zip)).toString('latin1'), /canary/);
    });

    test(
      'where nothing can be put on record nothing is left, and what lay there stays',
      { timeout: 240_000 },
      async (t) => {
        await using place = await open();
        await fill(place);
        const zip = `${await temporary(t)}.zip`;
        await writeFile(zip, 'an earlier one');
        if (place.server === undefined) await place.write('audit', 'a file where the folder should be');
        else place.server.deny('create', 'calls/audit/');
        const refused = await runInside(['export', '--conversation', 'c1', '--to', zip], place.env);
        assert.equal(refused.code, 1, refused.stdout);
        assert.equal(await readFile(zip, 'utf8'), 'an earlier one');
        assert.deepEqual(await readdir(dirname(zip)), ['case.zip']);
      },
    );
  });

test(
  'killed at any moment, an export leaves nothing under its name that is not whole',
  { timeout: 240_000 },
  async (t) => {
    const [, open] = PLACES[0];
    await using place = await open();
    for (let index = 0; index < 6; index += 1)
      await store(
        place.archive,
        { conversationId: 'c', recordingId: `r${String(index)}` },
        { head: bytesOf('head', 100), clusters: [bytesOf('media', 3_000_000)] },
      );
    const zip = `${await temporary(t)}.zip`;
    let killed = 0;
    // Once so many recordings are in it.
    for (const atLine of [0, 1, 3, 5]) {
      const child = spawn(process.execPath, [CLI, 'export', '--conversation', 'c', '--to', zip, '--json'], {
        env: { PATH: process.env['PATH'], ...place.env },
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let lines = 0;
      child.stdout.on('data', (chunk: Buffer) => {
        lines += chunk.toString().split('\n').length - 1;
        if (lines >= atLine) child.kill('SIGKILL');
      });
      const [, ended] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
      killed += ended === 'SIGKILL' ? 1 : 0;
      const isThere = (await readdir(dirname(zip))).includes('case.zip');
      if (isThere) assert.equal((await readZip(zip)).length > 12, true, 'whole, or not there');
      for (const left of await readdir(dirname(zip)))
        if (left.endsWith('.part')) {
          await assert.rejects(readZip(join(dirname(zip), left)), left);
          await rm(join(dirname(zip), left));
        }
      await rm(zip, { force: true });
    }
    assert.ok(killed > 0);
  },
);

for (const end of ['', '.zip'])
  test(
    `what is erased while it is exported is named so, and the rest goes on into a ${end === '' ? 'folder' : 'zip file'}`,
    { timeout: 240_000 },
    async (t) => {
      await using place = await openBucketPlace();
      await fill(place);
      const erase = async (): Promise<void> => {
        await place.write('erased/c1.r1.json', '{}');
        await place.remove('recordings/c1/r1/original.opus');
      };
      place.server?.faults.call('media', erase, /c1\/r1\/original\.opus$/);
      const to = `${await temporary(t)}${end}`;
      const done = await runInside(
        ['export', '--recording', 'c1/r1,c1/r2', '--to', to, '--json', '--quiet'],
        place.env,
      );
      assert.equal(done.code, 3, done.stdout + done.stderr);
      assert.deepEqual(
        linesOf(done).map(({ type, recordingId, state }) => [type, recordingId, state]),
        [
          ['finding', 'r1', 'erased'],
          ['exported', 'r2', undefined],
          ['summary', undefined, undefined],
        ],
      );
      const files = end === '' ? await filesIn(to) : (await readZip(to)).map(({ name }) => name);
      assert.deepEqual(
        files.filter((file) => file.endsWith('.opus')),
        ['recordings/c1/r2/original.opus'],
      );
    },
  );

test('run again into the same folder it is the same', { timeout: 240_000 }, async (t) => {
  const [, open] = PLACES[0];
  await using place = await open();
  await fill(place);
  const to = await temporary(t);
  for (const _run of [1, 2])
    assert.equal((await runInside(['export', '--recording', 'c1/r1', '--to', to], place.env)).code, 0);
  execFileSync('sha256sum', ['-c', '--strict', '--quiet', 'SHA256SUMS'], { cwd: to });
});

test(
  'what an earlier export left in the folder is named, since it is given away with it',
  { timeout: 240_000 },
  async (t) => {
    const [, open] = PLACES[0];
    await using place = await open();
    await fill(place);
    const to = await temporary(t);
    assert.equal((await runInside(['export', '--conversation', 'c1', '--to', to], place.env)).code, 0);
    await writeFile(join(to, 'my notes.txt'), 'mine');
    const less = await runInside(['export', '--recording', 'c1/r2', '--to', to, '--json'], place.env);
    assert.equal(less.code, 3, less.stdout + less.stderr);
    const others = linesOf(less).flatMap(({ type, file }) => (type === 'other' ? [file] : []));
    const r1 = ['manifest.json', 'original.opus', 'recording.webm'].map((file) => `recordings/c1/r1/${file}`);
    const signed = ['html', 'json'].map((end) => `certificates/certificate.c1.r1.${end}`);
    assert.deepEqual(others.map(String).toSorted(), [...signed, 'conversations/c1/transcript.r1.json', ...r1]);
  },
);

for (const [name, open] of PLACES)
  test(
    `a conversation is also what of it failed, waits or was erased, and nothing of other recordings (${name})`,
    { timeout: 240_000 },
    async (t) => {
      await using place = await open();
      await fill(place);
      const failed = { recordingId: 'r5', conversationId: 'c1' };
      await place.archive.recordFailure(failed, failureOf(failed), signal);
      const waiting = { recordingId: 'r6', conversationId: 'c1' };
      await place.archive.recordWaiting(waiting, waitingOf(waiting), signal);
      await add(place, 'c1/transcript');
      const mark = {
        version: 1,
        conversationId: 'c1',
        recordingId: 'r8',
        reason: 'x',
        by: 'y',
        erasedAt: '2026-11-28T10:00:00.000Z',
        days: [],
      } as const;
      await markErased(mark, place.archive.notes, signal);
      await add(place, 'c1/r9');
      await markErased({ ...mark, recordingId: 'r9' }, place.archive.notes, signal);
      const to = await temporary(t);
      const done = await runInside(['export', '--conversation', 'c1', '--to', to, '--json'], place.env);
      assert.equal(done.code, 3, done.stdout + done.stderr);
      assert.deepEqual(
        linesOf(done)
          .slice(0, -1)
          .map(({ recordingId, state = 'exported' }) => `${String(recordingId)} ${String(state)}`)
          .toSorted(),
        ['r1 exported', 'r2 exported', 'r5 missing', 'r6 missing', 'r8 erased', 'r9 erased', 'transcript exported'],
      );
      const alone = await temporary(t);
      assert.equal((await runInside(['export', '--recording', 'c1/transcript', '--to', alone], place.env)).code, 0);
      assert.deepEqual(
        (await filesIn(alone)).filter((file) => file.startsWith('conversations/')),
        ['conversations/c1/details.json'],
      );
    },
  );

test('a link that leads into the archive is no folder to export to', { timeout: 240_000 }, async (t) => {
  const [, open] = PLACES[0];
  await using place = await open();
  await fill(place);
  const path = (place.env['ARCHIVE_URL'] ?? '').slice('file:'.length);
  const to = await temporary(t);
  await symlink(path, to);
  for (const at of [to, join(to, 'case'), join(to, 'a', 'case.zip')]) {
    const refused = await runInside(['export', '--recording', 'c1/r1', '--to', at], place.env);
    assert.equal(refused.code, 2, at);
    assert.match(refused.stderr, /in the archive itself/);
  }
});

test('what cannot be meant is refused with what to write instead', { timeout: 240_000 }, async (t) => {
  const [, open] = PLACES[0];
  await using place = await open();
  await fill(place);
  const to = await temporary(t);
  const [asFolder, asFile] = [`${to}-folder.zip`, `${to}-file`];
  await mkdir(asFolder);
  await writeFile(asFile, '');
  const inside = join((place.env['ARCHIVE_URL'] ?? '').slice('file:'.length), 'case');
  for (const [args, code, message] of [
    [['--to', to], 2, /Say what to export/],
    [['K-17'], 2, /--to FOLDER is needed/],
    [['../x', '--to', to], 2, /cannot name a case/],
    [['K-17', 'K-18', '--to', to], 2, /One case at a time/],
    [['K-17', '--to', inside], 2, /in the archive itself/],
    [['K-17', '--to', `${inside}.zip`], 2, /in the archive itself/],
    [['K-17', '--to', asFolder], 2, /is a folder: name another/],
    [['K-17', '--to', asFile], 2, /is a file: name another/],
    [['K-17', '--to', to], 4, /holds nothing that is archived.*archiver hold --list/],
    [['--recording', '../x', '--to', to], 2, /expected CONVERSATION\/RECORDING/],
  ] as const) {
    const refused = await runInside(['export', ...args], place.env);
    assert.equal(refused.code, code, args.join(' '));
    assert.match(refused.stderr, message);
  }
  assert.deepEqual(await filesIn(to).catch(() => []), []);
});

const CHROMIUM = findChromium();

test(
  'a browser without a network plays what was exported',
  { timeout: 240_000, skip: CHROMIUM === undefined },
  async (t) => {
    const [, open] = PLACES[0];
    await using place = await open();
    const webm = await readFile(FIXTURE);
    const content = {
      head: webm.subarray(0, 100),
      clusters: [webm.subarray(100)],
      facts: { medium: 'video' },
    } as const;
    await store(place.archive, { conversationId: 'c', recordingId: 'r' }, content);
    const to = await temporary(t);
    assert.equal((await runInside(['export', '--conversation', 'c', '--to', to], place.env)).code, 0);
    const browser = await launchChromium(CHROMIUM ?? '');
    t.after(() => browser.close());
    const context = await openContext(browser, { offline: true });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('console', (message) => problems.push(message.text()));
    await page.goto(pathToFileURL(join(to, 'index.html')).href);
    const isPlayed = await page.evaluate(async () => {
      const video = document.querySelector('video');
      if (video === null) return false;
      video.muted = true;
      await video.play();
      while (video.currentTime === 0)
        await new Promise((resolve) => video.addEventListener('timeupdate', resolve, { once: true }));
      return video.videoWidth > 0;
    });
    assert.deepEqual([isPlayed, problems], [true, []]);
  },
);

/** What people type by mistake: each line says what is wrong with it and what to write instead, asks nobody, and changes nothing. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { failureOf } from '../support/archive/content.ts';
import { openFolderScene, runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';

const DAY = '2026-03-01';
const GUID = '2f7bf00a-0fc2-4d6a-9b56-92238191433e';
const TOMORROW = new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 10);
const [genesys, scene, out] = [
  await startGenesysServer(),
  await openFolderScene(),
  await mkdtemp(join(tmpdir(), 'mistakes-')),
];
after(async () => {
  await genesys.close();
  await scene.close();
  await rm(out, { recursive: true, force: true });
});
await scene.store({ recordingId: 'r1', conversationId: 'c1' });
for (const conversationId of ['c1', GUID]) {
  const failed = { recordingId: 'r2', conversationId };
  await scene.archive.recordFailure(failed, failureOf(failed), AbortSignal.timeout(60_000));
}
for (const [name, text] of [
  ['empty', ''],
  ['comments', '# nothing\n\n'],
  ['table.csv', 'conversation,recording\nc1,r1\n'],
  ['nonsense', 'nonsense'],
  ['utf16', 'c\u00001\u0000\n\u0000'],
] as const)
  await writeFile(join(out, name), text);

await mkdir(join(out, 'folder.zip'));
await mkdir(join(out, 'letters'));
await writeFile(join(out, 'letters', 'letter.txt'), 'x');

const pathOfArchive = (scene.env['ARCHIVE_URL'] ?? '').replace(/^file:/, '');
const env = { ...genesys.environment(), ...scene.env, CERTIFICATE_KEY_FILE: '' };
const run = (args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<Printed> =>
  runInProcess(args, { ...env, ...more });

/** OUT is a folder of the test; ␣ a blank inside a word. */
function wordsOf(line: string): readonly string[] {
  return line.split(' ').map((word) => word.replace('OUT', out).replace('ARCHIVE', pathOfArchive).replaceAll('␣', ' '));
}

const DAYS = ['2026-11-31', '26.11.2026', '2026-1-5', 'yesterday', `${DAY}T00:00:00Z`, '2026-02-29', '20261126', '-1'];

const USAGE: readonly (readonly [line: string, says: RegExp])[] = [
  ...['reconcile', 'backfill', 'replay', 'verify', 'audit', 'retire'].flatMap((name) => [
    ...DAYS.map(
      (day) => [`${name} --from ${day}`, /^--from .*: expected a day that exists, such as 2026-11-26/] as const,
    ),
    [`${name} --from 2026-03-02 --to 2026-03-01`, /swap them/] as const,
    [`${name} --from ${TOMORROW}`, new RegExp(`--from ${TOMORROW} has not come yet`)] as const,
    [`${name} --from ${DAY} --to ${TOMORROW}`, new RegExp(`--to ${TOMORROW} has not come yet`)] as const,
    [`${name} --from ${DAY} --from ${DAY}`, /--from stands twice/] as const,
    [`${name} --to --json`, /--to --json: expected a day/] as const,
    [`${name} -from ${DAY}`, /-from does not begin with two hyphens: did you mean --from\?/] as const,
    [`${name} –from ${DAY}`, /–from does not begin with two hyphens: did you mean --from\?/] as const,
    [`${name} —to=${DAY}`, /did you mean --to\?/] as const,
    [`${name} --From ${DAY}`, /did you mean --from\?/] as const,
    [`${name} ${DAY}`, /is not expected here/] as const,
  ]),
  ...['0', '-1', '50%', '1e-9', '0x1', '0,5', 'NaN', '1.5', '0.001', '␣', 'Infinity'].map(
    (share) => [`backfill --from ${DAY} --share ${share}`, /expected a share above 0 and at most 1/] as const,
  ),
  ...['1.5', '-2', '0', 'abc', '1e3'].map(
    (slots) => [`backfill --from ${DAY} --slots ${slots}`, /expected a whole number|at least one/] as const,
  ),
  [
    'replay --code unreadable_media',
    /--code unreadable_media is no code of a failure: did you mean unreadable-media\?/,
  ],
  ['replay --code UNREADABLE-MEDIA', /did you mean unreadable-media\?/],
  ['replay --code forbidden,forbiden', /--code forbiden .*did you mean forbidden\?/],
  ['replay --code zzzzzzzz', /archiver status lists what there is/],
  ['replay --limit 0', /at least one is needed/],
  ['replay --conversation c1,c2', /--conversation c1,c2: expected the id of a conversation/],
  ['replay --conversation c1/r2', /expected the id of a conversation/],
  ['replay --conversation ␣c1', /expected the id of a conversation/],
  ['status --days 0', /--days 0: expected 1 to 7/],
  ['status --days 30', /--days 30: expected 1 to 7/],
  ['status --days -1', /whole number/],
  ['verify --read a/b', /--read a\/b: expected a part such as 3\/30/],
  ['verify --read 4/3', /--read 4\/3: expected a part/],
  ['verify --read 1/0', /--read 1\/0: expected a part/],
  ['verify --key OUT/nonsense', /expected a file with a public key/],
  ['verify --audit --from 2026-03-01', /leave out --from/],
  [`certificate --day ${TOMORROW}`, /has not come yet/],
  ['certificate', /Say either --day DAY or --recording C\/R/],
  ['certificate --recording c1/r1 --to OUT/nonsense', /--to .* cannot be written \(EEXIST\): name another folder/],
  ['certificate --recording c1/r1 --to OUT/nonsense/deeper', /cannot be written \(ENOTDIR\): name another folder/],
  ['hold', /name of a case is needed/],
  ['hold K1 K2 --conversation c1 --reason x', /One case at a time/],
  ['hold K/17 --conversation c1 --reason x', /cannot name a case/],
  ['hold K1 --conversation c1 --reason ␣', /--reason is needed/],
  ['hold K1 --file OUT/none --reason x', /cannot be read \(ENOENT\)/],
  ['hold K1 --file OUT --reason x', /cannot be read \(EISDIR\)/],
  ['hold K1 --file OUT/empty --reason x', /empty names nothing: put one of C or C\/R on a line/],
  ['hold K1 --file OUT/comments --reason x', /comments names nothing/],
  ['hold K1 --file OUT/table.csv --reason x', /table\.csv line 1: expected CONVERSATION or CONVERSATION\/RECORDING/],
  ...['-1', '1.0', 'any', 'ALL', '0x1'].map(
    (count) => [`erase --recording c1/r1 --reason x --confirm ${count}`, /the number that the plan ends with/] as const,
  ),
  ...['30', '0d', '-5d', '99999999d', '1y', 'd', '30D'].map(
    (age) => [`erase --older-than ${age} --reason x`, /expected a number of days, such as 2555d/] as const,
  ),
  ['erase --recording c1/r1 --older-than 30d --reason x', /Say what to erase/],
  ['restore --failed --conversation c1', /Say what to restore/],
  ['retire --grace 0d', /expected 1 to 90 days/],
  ['export --conversation c1 --to OUT/nonsense --reason x', /is a file: name another one/],
  ['doctor --only Genesis', /expected genesys, google, machine, deployment/],
  ...['doctor --only', 'replay --code', 'erase --reason x --conversation', 'hold K1 --reason x --conversation'].flatMap(
    (line) => [
      [`${line} ,`, /this names nothing/] as const,
      [`${line} ,,`, /this names nothing/] as const,
      [line, / needs a value: --/] as const,
    ],
  ),
  ['reconcile --index --why', /--index asks Genesys nothing: leave out --why/],
  ['verify --read today/0', /--read today\/0: expected a part/],
  ['verify --read 0/3', /--read 0\/3: expected a part/],
  [`verify --all --from ${DAY}`, /--all is everything: leave it out, or leave out --from and --to/],
  ['verify --audit --read', /leave out --read/],
  ['verify --certificate', /--certificate needs a value/],
  [`certificate --day ${DAY} --erased`, /--erased is about a recording/],
  ['export --conversation c1 --reason x', /--to FOLDER is needed/],
  ['export --to OUT/e --reason x', /Say what to export/],
  ['export --conversation c1 --to ARCHIVE/exported --reason x', /lies in the archive itself: name a folder elsewhere/],
  ['export --conversation c1 --to OUT/folder.zip --reason x', /is a folder: name another one/],
  ['export --recording c1 --to OUT/e --reason x', /expected CONVERSATION\/RECORDING/],
  ['hold --release', /name of a case is needed/],
  ['hold .. --conversation c1 --reason x', /cannot name a case/],
  ['hold ümläut --conversation c1 --reason x', /cannot name a case/],
  [`hold ${'K'.repeat(101)} --conversation c1 --reason x`, /cannot name a case/],
  ['hold K1 --recording /r1 --reason x', /expected CONVERSATION\/RECORDING/],
  ['hold K1 --file OUT/utf16 --reason x', /utf16 line 1: expected CONVERSATION/],
  ['erase', /Say what to erase/],
  ['erase --conversation c1 --confirm 1', /--reason is needed/],
  ['erase --recording c1 --reason x', /expected CONVERSATION\/RECORDING/],
  ['restore', /Say what to restore/],
  ['restore --failed --days 0', /expected 1 to 365 days/],
  ['restore --failed --days 9999', /expected 1 to 365 days/],
  ['retire --confirm', /--confirm needs a value/],
  ['audit --who', /--who needs a value/],
  ['audit --recording c1', /expected CONVERSATION\/RECORDING/],
  ['audit --who "a b"', /is not expected here/],
  ['backfill', /--from is needed/],
  [`backfill --to ${DAY}`, /--from is needed/],
];

test('a line that cannot be meant ends with 2 and says what to write, before anybody is asked anything', async () => {
  const before = await scene.names();
  for (const [line, says] of USAGE) {
    const printed = await run(wordsOf(line));
    assert.equal(printed.code, 2, `${line}\n${printed.stdout}${printed.stderr}`);
    assert.match(printed.stderr, says, line);
    assert.match(printed.stderr, /All flags: {2}archiver [a-z]+ --help/);
    assert.doesNotMatch(printed.stderr, /^\s+at .+:\d+/m, line);
  }
  // A certificate is about something that was looked at before it finds no place, and the key that signs it stays.
  assert.deepEqual(
    (await scene.names()).filter((name) => name !== 'certificate.key'),
    before,
  );
  assert.deepEqual(genesys.requests(), []);
});

const CONFIGURATION: readonly (readonly [line: string, env: Readonly<Record<string, string>>, says: RegExp])[] = [
  ['status', { ARCHIVE_URL: 'gs:/bucket' }, /ARCHIVE_URL: expected file:PATH or gs:\/\/BUCKET\/PREFIX/],
  ['status', { ARCHIVE_URL: 's3://bucket' }, /ARCHIVE_URL: expected/],
  ['status', { ARCHIVE_URL: `file:${join(out, 'nonsense')}` }, /ARCHIVE_URL: .* is no folder: name the one/],
  ['verify', { ARCHIVE_URL: `file:${join(out, 'nonsense', 'deeper')}` }, /is no folder/],
  [`reconcile --from ${DAY} --to ${DAY}`, { ARCHIVE_URL: `file:${join(out, 'nonsense')}` }, /is no folder/],
  ['verify', { CERTIFICATE_KEY: 'nonsense' }, /CERTIFICATE_KEY: expected an Ed25519 private key in PEM/],
  ['certificate --recording c1/r1', { CERTIFICATE_KEY_FILE: join(out, 'none') }, /CERTIFICATE_KEY_FILE: .*ENOENT/],
  ['certificate --recording c1/r1', { CERTIFICATE_KEY_FILE: out }, /CERTIFICATE_KEY_FILE: .*EISDIR/],
  ['certificate --recording c1/r1', { CERTIFICATE_KEY_FILE: join(out, 'nonsense') }, /CERTIFICATE_KEY/],
  [
    'reconcile',
    { GENESYS_CLIENT_SECRET: '', GENESYS_CLIENT_SECRET_FILE: join(out, 'none') },
    /GENESYS_CLIENT_SECRET_FILE: .*ENOENT/,
  ],
  ['reconcile', { GENESYS_CLIENT_SECRET_FILE: join(out, 'nonsense') }, /set one of them, not both/],
  ['reconcile', { GENESYS_CLIENT_ID: 'a,b' }, /GENESYS_CLIENT_ID has 2/],
  ['reconcile', { GENESYS_CLIENT_SECRET: 'wrong' }, /Genesys gave no token \(invalid_client\)/],
  ['status', { ARCHIVE_URL: 'file:' }, /ARCHIVE_URL: expected file:PATH/],
  ['status', { ARCHIVE_URL: '/var/archive' }, /ARCHIVE_URL: expected file:PATH/],
  ['status', { ARCHIVE_URL: 'gs://Bad_Bucket!' }, /ARCHIVE_URL: expected/],
  ['status', { QUEUE_URL: 'redis://x' }, /QUEUE_URL: expected sqlite:PATH/],
  ['status', { LOG_LEVEL: 'loud' }, /LOG_LEVEL: expected "error" or "warn"/],
  ['verify', { KEEP_DETAILS: 'maybe' }, /KEEP_DETAILS: expected "details"/],
  ['verify', { PUBLIC_URL: 'archive.example.com' }, /PUBLIC_URL: expected an http or https URL/],
  ['reconcile', { RECONCILE: 'maybe' }, /RECONCILE: expected "nightly" or "no"/],
  ['reconcile', { GENESYS_REGION: 'mars' }, /GENESYS_REGION: expected a domain such as mypurecloud\.de/],
  ['reconcile', { GENESYS_API_URL: 'localhost:1' }, /GENESYS_API_URL: expected an http or https URL/],
  [`backfill --from ${DAY}`, { CLOUD_RUN_TASK_COUNT: '0' }, /CLOUD_RUN_TASK_COUNT: expected a whole number from 1/],
  [`backfill --from ${DAY}`, { CLOUD_RUN_TASK_INDEX: 'x' }, /CLOUD_RUN_TASK_INDEX: expected a whole number from 0/],
  [
    `backfill --from ${DAY} --to ${DAY}`,
    { CLOUD_RUN_TASK_INDEX: '5', CLOUD_RUN_TASK_COUNT: '3' },
    /CLOUD_RUN_TASK_INDEX: expected 0 to 2/,
  ],
];

test('an environment that cannot be meant ends with 1, and with --json the last line is a summary all the same', async () => {
  for (const [line, more, says] of CONFIGURATION) {
    const printed = await run([...wordsOf(line), '--json'], more);
    assert.equal(printed.code, 1, `${line}\n${printed.stdout}${printed.stderr}`);
    assert.match(printed.stderr, says, line);
    assert.doesNotMatch(printed.stderr, /^\s+at .+:\d+/m, line);
    const last = linesOf(printed).at(-1);
    assert.deepEqual([last?.['type'], last?.['code'], last?.['exit']], ['summary', 'misconfigured', 1], line);
  }
});

test('an archive folder that is not there is empty, which is said: the name may be wrong', async () => {
  for (const line of ['status', 'verify', 'hold --list']) {
    const printed = await run(wordsOf(line), { ARCHIVE_URL: `file:${join(out, 'archve')}` });
    assert.equal(printed.code, 0, printed.stderr);
    assert.match(printed.stderr, /ARCHIVE_URL: there is no folder .*archve \(yet\)/);
  }
});

test('a folder of other things is no archive, which is said, and they stay as they are', async () => {
  for (const line of ['status', 'verify', 'hold --list', `reconcile --from ${DAY} --to ${DAY}`]) {
    const printed = await run(wordsOf(line), { ARCHIVE_URL: `file:${join(out, 'letters')}` });
    assert.match(printed.stderr, /ARCHIVE_URL: in .*letters there is something, but no archive/, line);
  }
  assert.ok((await readdir(join(out, 'letters'))).includes('letter.txt'));
});

test('what is not known where it is looked for ends with 3 or 4, and says where to look', async () => {
  for (const [line, code, says] of [
    ['restore --conversation never', 3, /never: Genesys does not know it, or does not show it to this client/],
    ['restore --conversation never --confirm 0', 3, /never: Genesys does not know it/],
    ['restore --recording never/r', 3, /never\/r: Genesys does not know it/],
    ['export NOCASE --to OUT/e --reason x', 4, /See what is held: {2}archiver hold --list/],
    ['export --conversation never --to OUT/e --reason x', 4, /Nothing is archived of what was named/],
    ['certificate --recording c1/never', 4, /It is not archived\. Say that it was erased/],
    ['certificate --recording c1/r1 --erased', 4, /It was not erased\. Say what is there/],
    [`certificate --day ${DAY}`, 4, /is not sealed: prove that it is complete, and seal it: {2}archiver reconcile/],
    ['hold NOCASE --release', 4, /NOCASE holds nothing of that\. See all holds/],
    ['erase --conversation c1 --reason x --confirm 7', 4, /now, not 7/],
    ['retire --confirm 3', 4, /it is 0 now, not 3/],
  ] as const) {
    const printed = await run(wordsOf(line));
    const said = `${line}\n${printed.stdout}${printed.stderr}`;
    assert.equal(printed.code, code, said);
    assert.match(said, says);
    assert.doesNotMatch(printed.stderr, /^\s+at .+:\d+/m, line);
  }
});

test('ids are found in whatever case they are typed', async () => {
  for (const id of [GUID, GUID.toUpperCase()]) {
    const counted = await run(['replay', '--conversation', id, '--dry-run']);
    assert.deepEqual([counted.code, counted.stdout.split('\n')[0]], [3, '     1  unreadable-media'], id);
  }
});

test('what stands twice or alone is no mistake where it cannot mean two things', async () => {
  for (const [line, code] of [
    ['replay --dry-run --dry-run --json --json', 3],
    ['erase --conversation c1,,c1 --conversation c1', 0],
    ['verify --read', 0],
    ['verify --read --json', 0],
    ['backfill --from 2026-03-01 --to 2026-03-01 --dry-run --share .5', 0],
    ['backfill --from 2026-03-01 --to 2026-03-01 --dry-run --share 1', 0],
  ] as const) {
    const printed = await run(wordsOf(line));
    assert.equal(printed.code, code, `${line}\n${printed.stdout}${printed.stderr}`);
  }
});

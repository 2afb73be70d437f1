/** What people type by mistake: each line says what is wrong with it and what to write instead, asks nobody, and changes nothing. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
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
] as const)
  await writeFile(join(out, name), text);

const env = { ...genesys.environment(), ...scene.env, CERTIFICATE_KEY_FILE: '' };
const run = (args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<Printed> =>
  runInProcess(args, { ...env, ...more });

/** OUT is a folder of the test; ␣ a blank inside a word. */
function wordsOf(line: string): readonly string[] {
  return line.split(' ').map((word) => word.replace('OUT', out).replaceAll('␣', ' '));
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
  ['hold K1 --file OUT/empty --reason x', /Say what to hold/],
  ['hold K1 --file OUT/comments --reason x', /Say what to hold/],
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

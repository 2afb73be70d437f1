/** What is asked of Genesys: to give back, to delete, never to delete. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { detailsName, transcriptName } from '../../src/archive/details.ts';
import { writeProof, writeReading } from '../../src/archive/proofs.ts';
import type { Manifest, SourceFacts } from '../../src/archive/manifest.ts';
import { bytesOf, failureOf, manifestOf, sourceOf, store, waitingOf } from '../support/archive/content.ts';
import { type ArchiveScene, openFolderScene, runInProcess } from '../support/commands/archive-scene.ts';
import { linesOf, type Printed } from '../support/commands/run.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);
const DAY = '2026-09-10';
const AT = `${DAY}T10:00:00.000Z`;

interface SourceScene extends ArchiveScene {
  readonly genesys: GenesysServer;
}

async function setUp(t: TestContext, more: Readonly<Record<string, string>> = {}): Promise<SourceScene> {
  const [scene, genesys] = [
    await openFolderScene(),
    await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } }),
  ];
  t.after(async () => {
    await genesys.close();
    await scene.close();
  });
  const env = { ...genesys.environment(), ...scene.env, ...more };
  return { ...scene, env, genesys, run: (...args) => runInProcess(args, env) };
}

interface Stored {
  readonly facts?: Partial<Manifest>;
  readonly original?: boolean;
}

/** Here and at Genesys; everything that retire asks for holds, unless told. */
async function both(
  { archive, genesys }: SourceScene,
  recordingId: string,
  { facts = {}, original = false }: Stored = {},
): Promise<void> {
  const conversationId = `c-${recordingId}`;
  const recording = { recordingId, conversationId };
  await using deposit = await archive.begin(recording, signal());
  const bytes = bytesOf(recordingId, 200);
  const sources: SourceFacts[] = [];
  if (original) {
    const sink = await deposit.original(0, 1, 'wav', 'audio/wav');
    await sink.write(bytes);
    sources.push(sourceOf(bytes, sink.name));
  }
  await deposit.clusters.write(bytesOf(`clusters ${recordingId}`, 800));
  await deposit.commit(bytesOf('head', 50), 'audio/webm', (stored) =>
    manifestOf(recording, stored, { recordedAt: AT, sources, ...facts }),
  );
  genesys.addRecording({ recordingId, conversationId, startTime: AT, files: [] });
}

async function prove(scene: SourceScene, day = DAY): Promise<void> {
  const { notes } = scene.archive;
  await writeProof('complete', { day, verdict: 'complete' }, { notes, at: new Date() }, signal());
  await read(scene, day);
}

/** As `verify --read` says it of a day that it found whole. */
async function read({ archive }: Pick<SourceScene, 'archive'>, day: string): Promise<void> {
  const at = new Date(Date.now() - (Number(day.replaceAll('-', '')) % 1_000));
  const run = { part: { part: 1, of: 1 }, days: [day, day], recordings: 1, findings: 0, damagedDays: [] } as const;
  await writeReading(run, { notes: archive.notes, at, service: '0' }, signal());
}

function puts({ genesys }: SourceScene): number {
  return genesys.requests('*').filter(({ method, route }) => method === 'PUT' && route.startsWith('restore')).length;
}

function summaryOf(printed: Printed): Readonly<Record<string, unknown>> {
  return linesOf(printed).at(-1) ?? {};
}

const RANGE = ['--from', DAY, '--to', DAY] as const;

test('for each condition of retire one recording that fails only it (operators 12): not one PUT, and each says which', async (t) => {
  const scene = await setUp(t, { KEEP_DETAILS: 'transcript' });
  const { archive, genesys } = scene;
  const transcript = async (recordingId: string): Promise<void> => {
    await archive.notes.create(transcriptName({ recordingId, conversationId: `c-${recordingId}` }), '{}', signal());
  };
  await both(scene, 'held');
  await both(scene, 'protected');
  await both(scene, 'encoded', { facts: { way: 'encode' } });
  await both(scene, 'silent');
  await both(scene, 'media', { facts: { api: 'media' } });
  await both(scene, 'absent');
  await both(scene, 'deleted');
  genesys.update('deleted', { fileState: 'DELETED' });
  const young = new Date(Date.now() - 20 * 86_400_000).toISOString();
  await both(scene, 'young', { facts: { recordedAt: young } });
  await both(scene, 'unproven', { facts: { recordedAt: '2026-09-12T10:00:00.000Z' } });
  await both(scene, 'unread', { facts: { recordedAt: '2026-09-14T10:00:00.000Z' } });
  for (const id of ['held', 'protected', 'encoded', 'media', 'absent', 'deleted', 'young', 'unproven', 'unread'])
    await transcript(id);
  await scene.run('hold', 'K', '--recording', 'c-held/held', '--reason', 'x');
  genesys.protectedConversations.add('c-protected');
  genesys.fault('metadata:absent', 'return-404', 9);
  for (const day of [DAY, young.slice(0, 10)]) await prove(scene, day);
  await read(scene, '2026-09-12');
  await writeProof(
    'complete',
    { day: '2026-09-14', verdict: 'complete' },
    { notes: archive.notes, at: new Date() },
    signal(),
  );
  const plan = await scene.run('retire', '--from', DAY, '--to', young.slice(0, 10));
  assert.equal(plan.code, 0, plan.stderr);
  const said: Readonly<Record<string, RegExp>> = {
    held: /case K holds it/,
    protected: /Genesys protects its conversation/,
    encoded: /encoded \(encode\), and its original is not kept/,
    silent: /transcript is not here yet/,
    media: /no recording of the Recording API/,
    absent: /does not have it any more/,
    deleted: /has deleted it already/,
    young: /younger than 30 days/,
    unproven: /not proven to be complete/,
    unread: /not read back within 30 days/,
  };
  for (const [id, message] of Object.entries(said))
    assert.match(plan.stdout.split('\n').find((line) => line.includes(`c-${id}/${id}`)) ?? plan.stdout, message, id);
  assert.match(plan.stdout, /Nothing to change/);
  const done = await scene.run('retire', '--from', DAY, '--to', young.slice(0, 10), '--confirm', '0');
  assert.equal(done.code, 0);
  assert.equal(puts(scene), 0);
  assert.deepEqual(
    genesys.requests('*').filter(({ path }) => path.includes('/recording/jobs')),
    [],
    'a bulk job cannot be limited to what is proven',
  );
});

test('what Genesys protects stays, however the archive spells its ids (operators 12)', async (t) => {
  const scene = await setUp(t);
  const ids = ['aa', 'bb'].map((end) => `abcdef01-0000-4000-8000-0000000000${end}`);
  for (const id of ids) {
    const inCapitals = { recordingId: id.toUpperCase(), conversationId: id.toUpperCase() };
    const facts = { recordedAt: AT, sources: [] };
    await store(scene.archive, inCapitals, {
      head: bytesOf(id, 50),
      clusters: [bytesOf(`clusters ${id}`, 800)],
      facts,
    });
    scene.genesys.addRecording({ recordingId: id, conversationId: id, startTime: AT, files: [] });
  }
  scene.genesys.protectedConversations.add(ids[0] ?? '');
  await prove(scene);
  const plan = await scene.run('retire', ...RANGE, '--json');
  assert.deepEqual(
    linesOf(plan)
      .filter(({ type }) => type === 'planned')
      .map((line) => [line['state'], line['recordingId'], line['because']]),
    [
      ['kept', ids[0], 'Genesys protects its conversation from deletion'],
      ['to-retire', ids[1], undefined],
    ],
    plan.stdout + plan.stderr,
  );
});

test('what is proven goes after the grace, each by one PUT, and undo gives back the date from before', async (t) => {
  const scene = await setUp(t);
  await both(scene, 'a');
  await both(scene, 'b', { facts: { way: 'encode' }, original: true });
  scene.genesys.update('a', { extra: { deleteDate: undefined } });
  scene.genesys.update('b', { extra: { deleteDate: '2027-08-05T00:00:00.000Z' } });
  await prove(scene);
  const wrong = await scene.run('retire', ...RANGE, '--confirm', '3');
  assert.deepEqual([wrong.code, puts(scene)], [4, 0]);
  const done = await scene.run('retire', ...RANGE, '--grace', '10d', '--confirm', '2', '--json');
  assert.equal(done.code, 0, done.stdout + done.stderr);
  assert.deepEqual([summaryOf(done)['changed'], puts(scene)], [2, 2]);
  const audited = linesOf(await scene.run('audit', '--json')).filter(({ action }) => action === 'retired');
  assert.deepEqual(
    audited.map(({ about }) => (about as { before?: string }).before),
    [undefined, '2027-08-05T00:00:00.000Z'],
  );
  const again = await scene.run('retire', ...RANGE, '--grace', '10d', '--json');
  assert.equal(summaryOf(again)['toChange'], 0, 'what goes already is not asked for twice');
  const undo = await scene.run('retire', '--undo', '--confirm', '2', '--json');
  assert.equal(undo.code, 0, undo.stdout + undo.stderr);
  const dates = linesOf(undo)
    .filter(({ type }) => type === 'retired')
    .map(({ recordingId, said }) => `${String(recordingId)} ${String(said)}`);
  assert.deepEqual(dates.toSorted(), ['a Genesys says: no date', 'b Genesys says: 2027-08-05T00:00:00.000Z']);
  assert.equal(summaryOf(await scene.run('retire', '--undo', '--json'))['toChange'], 0);
});

test('a date of somebody else is not taken back, and a date that Genesys does not keep is not believed', async (t) => {
  const scene = await setUp(t);
  await both(scene, 'a');
  await prove(scene);
  assert.equal((await scene.run('retire', ...RANGE, '--confirm', '1')).code, 0);
  scene.genesys.update('a', { extra: { deleteDate: '2026-12-31T00:00:00.000Z' } });
  assert.equal(summaryOf(await scene.run('retire', '--undo', '--json'))['toChange'], 0);
  scene.genesys.update('a', { extra: {} });
  scene.genesys.fault('restore:a', 'return-200', 1);
  const unbelieved = await scene.run('retire', ...RANGE, '--confirm', '1');
  assert.equal(unbelieved.code, 3, unbelieved.stdout + unbelieved.stderr);
  assert.match(unbelieved.stdout, /failed {3}c-a\/a {2}upstream-error: Genesys took the request and says otherwise/);
});

const ODD_STATES: readonly (readonly [string, string])[] = [
  ['nothing', 'return-202;body:text:'],
  ['no recording', 'body:text:[]'],
  ['another recording', 'id:somebody-else'],
  ['a date of deletion that is a number', 'body:text:{"id":"a","conversationId":"c-a","deleteDate":1796342400000}'],
  ['a date of deletion that is no date', 'body:text:{"id":"a","conversationId":"c-a","deleteDate":"never"}'],
];

for (const [what, fault] of ODD_STATES)
  test(`where Genesys answers with ${what}, nothing is retired and nothing is believed to be taken back (operators 12)`, async (t) => {
    const scene = await setUp(t);
    await both(scene, 'a');
    scene.genesys.update('a', { extra: { deleteDate: undefined } });
    await prove(scene);
    scene.genesys.fault('metadata:a', fault);
    const plan = await scene.run('retire', ...RANGE, '--confirm', '1');
    assert.deepEqual([plan.code, puts(scene)], [4, 0], plan.stdout + plan.stderr);
    assert.match(plan.stdout, /^stays {2}c-a\/a {2}Genesys answered with /m);
    assert.equal((await scene.run('retire', ...RANGE, '--confirm', '1')).code, 0);
    scene.genesys.organization.onRequest = (route) => {
      if (route === 'restore:a') scene.genesys.fault('metadata:a', fault);
    };
    const undo = await scene.run('retire', '--undo', '--confirm', '1');
    assert.match(undo.stdout, /^failed {3}c-a\/a {2}upstream-error: Genesys answered with /m);
    assert.equal(undo.code, 3);
  });

for (const odd of ['["c-a"]', '[{"conversation":{"id":"c-a"}}]', '[null]', '{"entities":[]}'])
  test(`a list of protected conversations that cannot be read (${odd}) lets nothing be retired (operators 12)`, async (t) => {
    const scene = await setUp(t);
    await both(scene, 'a');
    await prove(scene);
    scene.genesys.fault('protected', `body:text:${odd}`);
    const plan = await scene.run('retire', ...RANGE, '--confirm', '1');
    assert.deepEqual([plan.code, puts(scene)], [1, 0], plan.stdout + plan.stderr);
  });

test('what is gone at Genesys or not shown any more keeps undo from none of the others (operators 12)', async (t) => {
  const scene = await setUp(t);
  const faults = { gone: 'return-404', unseen: 'return-403;code:missing.any.permissions', odd: 'body:text:{}' };
  for (const id of ['a', ...Object.keys(faults)]) await both(scene, id);
  await prove(scene);
  assert.equal((await scene.run('retire', ...RANGE, '--confirm', '4')).code, 0);
  for (const [id, fault] of Object.entries(faults)) scene.genesys.fault(`metadata:${id}`, fault, 9);
  const undo = await scene.run('retire', '--undo', '--confirm', '1');
  assert.equal(undo.code, 3, undo.stdout + undo.stderr);
  assert.match(undo.stdout, /^changed {2}c-a\/a /m);
  for (const id of Object.keys(faults)) assert.match(undo.stdout, new RegExp(`^left   c-${id}/${id}  `, 'm'));
});

test('what could not be taken back is taken back by the next undo, and of two graces the date from before both comes back (operators 12)', async (t) => {
  const scene = await setUp(t);
  for (const id of ['a', 'b']) await both(scene, id);
  scene.genesys.update('a', { extra: { deleteDate: '2027-08-05T00:00:00.000Z' } });
  scene.genesys.update('b', { extra: { deleteDate: undefined } });
  await prove(scene);
  for (const grace of ['20d', '10d'])
    assert.equal((await scene.run('retire', ...RANGE, '--grace', grace, '--confirm', '2')).code, 0);
  scene.genesys.fault('restore:a', 'return-403;code:missing.permissions');
  assert.equal((await scene.run('retire', '--undo', '--confirm', '2')).code, 3);
  const again = await scene.run('retire', '--undo', '--json');
  assert.ok(Number(summaryOf(again)['toChange']) >= 1, 'what was refused is still to be taken back');
  const undone = await scene.run('retire', '--undo', '--confirm', String(summaryOf(again)['toChange']));
  assert.equal(undone.code, 0, undone.stdout + undone.stderr);
  assert.match(undone.stdout, /^changed {2}c-a\/a {2}Genesys says: 2027-08-05T00:00:00\.000Z$/m);
  assert.equal(summaryOf(await scene.run('retire', '--undo', '--json'))['toChange'], 0);
  for (const [id, date] of [
    ['a', '2027-08-05T00:00:00.000Z'],
    ['b', undefined],
  ] as const) {
    const plan = await scene.run('retire', ...RANGE, '--json');
    const planned = linesOf(plan).find(({ type, recordingId }) => type === 'planned' && recordingId === id);
    assert.equal(planned?.['before'], date, id);
  }
});

test('what one division refuses keeps the others from nothing; what all refuse is not asked for to the end (operators 12, 13)', async (t) => {
  const scene = await setUp(t);
  const ids = Array.from({ length: 40 }, (_, n) => `r${String(n).padStart(2, '0')}`);
  for (const id of ids) await both(scene, id);
  await prove(scene);
  scene.genesys.fault('restore:r00', 'return-403;code:missing.any.permissions');
  const some = await scene.run('retire', ...RANGE, '--confirm', '40', '--json');
  assert.deepEqual([summaryOf(some)['changed'], summaryOf(some)['failed'], some.code], [39, 1, 3]);
  for (const id of ids) scene.genesys.update(id, { extra: {} });
  scene.genesys.fault('restore:*', 'return-403;code:missing.any.permissions', 40);
  const none = await scene.run('retire', ...RANGE, '--confirm', '40', '--json');
  assert.deepEqual([summaryOf(none)['changed'], summaryOf(none)['failed'], none.code], [0, 32, 3]);
});

test('what Genesys tells nothing of keeps restore from none of what else is named (operators 13)', async (t) => {
  const scene = await setUp(t);
  const faults = {
    odd: 'body:text:{}',
    unseen: 'return-403;code:missing.any.permissions',
    refused: 'return-400;code:bad.request',
    early: 'return-202;body:text:',
  };
  for (const id of [...Object.keys(faults), 'a']) {
    await both(scene, id);
    scene.genesys.update(id, { fileState: 'ARCHIVED' });
  }
  for (const [id, fault] of Object.entries(faults)) scene.genesys.fault(`metadata:${id}`, fault, 9);
  const named = [...Object.keys(faults), 'a'].map((id) => `c-${id}/${id}`).join(',');
  const done = await scene.run('restore', '--recording', named, '--confirm', '1', '--json');
  assert.equal(done.code, 3, done.stdout + done.stderr);
  assert.deepEqual([summaryOf(done)['restoring'], summaryOf(done)['unknown']], [1, 4]);
  for (const id of Object.keys(faults)) assert.match(done.stderr, new RegExp(`c-${id}/${id}: [a-z-]+: `));
});

test('of a list that is not whole restore asks for what it names, and says that it may not be all (operators 13)', async (t) => {
  const scene = await setUp(t);
  await both(scene, 'a');
  scene.genesys.update('a', { fileState: 'ARCHIVED' });
  const listed = '{"id":"a","conversationId":"c-a","media":"call","fileState":"ARCHIVED"}';
  for (const [fault, count, code] of [
    ['return-202;body:text:', 0, 'not-ready'],
    [`return-202;type:application/json;body:text:[${listed}]`, 1, 'not-ready'],
    [`type:application/json;body:text:[${listed},{"media":"call"}]`, 1, 'upstream-error'],
  ] as const) {
    scene.genesys.fault('list:c-a', fault);
    const plan = await scene.run('restore', '--conversation', 'c-a', '--json');
    assert.deepEqual([plan.code, summaryOf(plan)['toRestore'], summaryOf(plan)['unknown']], [3, count, 1], fault);
    assert.match(plan.stderr, new RegExp(`^c-a: ${code}: `, 'm'));
  }
});

test('a plan ends with the line that does just that (operators 4)', async (t) => {
  const scene = await setUp(t);
  await both(scene, 'a');
  scene.genesys.update('a', { fileState: 'ARCHIVED' });
  await prove(scene);
  const lineOf = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await scene.run(...args);
    return stdout.split('\n').find((line) => line.includes(':  archiver ')) ?? stdout;
  };
  const list = join(scene.path ?? '', '..', 'list of calls.txt');
  writeFileSync(list, 'c-a/a\n');
  t.after(() => rmSync(list, { force: true }));
  const named = ['--conversation', 'c-a', '--recording', 'c-a/a'] as const;
  const file = ['--file', list] as const;
  for (const args of [
    ['restore', ...named, '--days', '30'],
    ['restore', ...file],
    ['erase', ...named],
    ['erase', ...file],
    ['retire', ...RANGE, '--grace', '9d'],
  ] as const) {
    const [name, ...flags] = args;
    const typed = flags.map((flag) => (flag === list ? `'${list}'` : flag)).join(' ');
    assert.ok((await lineOf(...args)).includes(`archiver ${name} ${typed} --`), await lineOf(...args));
  }
  await scene.run('retire', ...RANGE, '--confirm', '1');
  const undo = ['retire', '--undo', ...named] as const;
  assert.ok((await lineOf(...undo)).endsWith(`archiver ${undo.join(' ')} --confirm 1`), await lineOf(...undo));
  await scene.archive.recordFailure(
    { recordingId: 'f', conversationId: 'c-f' },
    failureOf({ recordingId: 'f', conversationId: 'c-f' }),
    signal(),
  );
  const replay = ['replay', '--conversation', 'c-f', '--limit', '3'] as const;
  assert.ok(
    (await lineOf(...replay, '--dry-run')).endsWith(`archiver ${replay.join(' ')}`),
    await lineOf(...replay, '--dry-run'),
  );
});

test('a hold that comes while dates are set keeps what is behind it (operators 12)', async (t) => {
  const scene = await setUp(t);
  for (const id of ['a', 'b']) await both(scene, id);
  await prove(scene);
  scene.genesys.organization.onRequest = (route) => {
    if (route !== 'restore:a') return;
    const folder = join(scene.path ?? '', 'holds', 'c-b._');
    mkdirSync(folder, { recursive: true });
    const ids = { conversationId: 'c-b', recordingId: null };
    const hold = { version: 1, case: 'K', ...ids, reason: 'x', by: 'y', heldAt: AT };
    writeFileSync(join(folder, 'K.json'), JSON.stringify(hold));
  };
  const retired = await scene.run('retire', ...RANGE, '--confirm', '2');
  assert.equal(retired.code, 3, retired.stdout + retired.stderr);
  assert.match(retired.stdout, /^held {5}c-b\/b {2}case K holds it$/m);
  assert.equal(puts(scene), 1);
});

test('a refusal of protection that names no conversation is a refusal all the same (operators 12)', async (t) => {
  const scene = await setUp(t);
  scene.genesys.addRecording({ recordingId: 'r', conversationId: 'c', files: [] });
  scene.genesys.fault('protect', 'body:text:{"failedUpdates":[{"errorCode":"limit.exceeded"}]}');
  const held = await scene.run('hold', 'K', '--conversation', 'c', '--reason', 'x', '--at-source');
  assert.equal(held.code, 3, held.stdout + held.stderr);
  assert.match(held.stdout, /not protected at Genesys {2}one of them/);
});

test('a role that may not set dates is told which permission it lacks', async (t) => {
  const scene = await setUp(t);
  await both(scene, 'a');
  await prove(scene);
  scene.genesys.fault('restore:a', 'return-403;code:missing.any.permissions', 1);
  const denied = await scene.run('retire', ...RANGE, '--confirm', '1');
  assert.equal(denied.code, 3);
  assert.match(denied.stdout, /recording:recording:editRetention/);
});

test('restore asks for what is stored away, by what waits and failed here or by Genesys’ own word, and believes only Genesys (operators 13)', async (t) => {
  const scene = await setUp(t);
  const { archive, genesys } = scene;
  for (const [recordingId, fileState] of [
    ['w', 'ARCHIVED'],
    ['f', 'ARCHIVED'],
    ['x', 'AVAILABLE'],
  ] as const)
    genesys.addRecording({
      recordingId,
      conversationId: 'c1',
      fileState,
      files: [],
      extra: { remainingRestorationsAllowedForOrg: 0 },
    });
  const code = 'needs-restore';
  await archive.recordWaiting(
    { recordingId: 'w', conversationId: 'c1' },
    waitingOf({ recordingId: 'w', conversationId: 'c1' }, { code }),
    signal(),
  );
  await archive.recordFailure(
    { recordingId: 'f', conversationId: 'c1' },
    failureOf({ recordingId: 'f', conversationId: 'c1' }, { code }),
    signal(),
  );
  await archive.recordFailure(
    { recordingId: 'o', conversationId: 'c1' },
    failureOf({ recordingId: 'o', conversationId: 'c1' }),
    signal(),
  );
  const plan = await scene.run('restore', '--failed');
  assert.match(plan.stdout, /^2 to ask for, for 14 days\. Do it: {2}archiver restore --failed --confirm 2$/m);
  assert.equal((await scene.run('restore', '--conversation', 'c1', '--json')).stdout.includes('"toRestore":2'), true);
  assert.deepEqual([(await scene.run('restore', '--failed', '--confirm', '1')).code, puts(scene)], [4, 0]);
  const before = Date.now();
  const asked = await scene.run('restore', '--failed', '--days', '30d', '--confirm', '2', '--json');
  assert.equal(asked.code, 0, asked.stdout + asked.stderr);
  assert.deepEqual(
    [summaryOf(asked)['restoring'], puts(scene)],
    [2, 2],
    'a quota that Genesys no longer enforces stops nobody',
  );
  assert.ok(Math.abs(Date.parse(String(summaryOf(asked)['until'])) - before - 30 * 86_400_000) < 120_000);
  genesys.update('w', { fileState: 'ARCHIVED' });
  genesys.fault('restore:w', 'return-200', 1);
  const unbelieved = await scene.run('restore', '--recording', 'c1/w', '--confirm', '1');
  assert.equal(unbelieved.code, 3);
  assert.match(unbelieved.stdout, /says otherwise when it is asked again \(ARCHIVED\)/);
});

test('a hold at the source too: in batches of a hundred, refused by name, and revoked once no case is left', async (t) => {
  const scene = await setUp(t);
  const ids = Array.from({ length: 102 }, (_, n) => `c${String(n)}`);
  for (const conversationId of ids.slice(1))
    scene.genesys.addRecording({ recordingId: `r-${conversationId}`, conversationId, files: [] });
  const held = await scene.run('hold', 'K', '--conversation', ids.join(','), '--reason', 'x', '--at-source');
  assert.equal(held.code, 3, held.stdout + held.stderr);
  assert.match(held.stdout, /^not protected at Genesys {2}c0 {2}conversation\.not\.found$/m);
  assert.equal(scene.genesys.requests('protect').length, 2);
  assert.equal(scene.genesys.protectedConversations.size, 101);
  await scene.run('hold', 'L', '--conversation', 'c1', '--reason', 'y');
  const released = await scene.run('hold', 'K', '--release', '--at-source');
  assert.equal(released.code, 3, released.stdout);
  assert.deepEqual([...scene.genesys.protectedConversations], ['c1'], 'another case still holds it');
  // Cut off before Genesys was told.
  assert.equal((await scene.run('hold', 'L', '--release')).code, 0);
  assert.deepEqual([...scene.genesys.protectedConversations], ['c1']);
  assert.equal((await scene.run('hold', 'L', '--release', '--at-source')).code, 0);
  assert.equal(scene.genesys.protectedConversations.size, 0);
});

test('what failed under ids in capitals is restored and tried again by its ids of today', async (t) => {
  const scene = await setUp(t);
  const id = 'abcdef01-0000-4000-8000-00000000000a';
  const inCapitals = { recordingId: id.toUpperCase(), conversationId: id.toUpperCase() };
  await scene.archive.recordFailure(inCapitals, { ...failureOf(inCapitals), code: 'needs-restore' }, signal());
  const files = [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }];
  scene.genesys.addRecording({ recordingId: id, conversationId: id, startTime: AT, fileState: 'ARCHIVED', files });
  const restored = await scene.run('restore', '--failed', '--confirm', '1', '--json');
  assert.equal(restored.code, 0, restored.stdout + restored.stderr);
  scene.genesys.update(id, { fileState: 'AVAILABLE' });
  const replayed = await scene.run('replay', '--json');
  assert.equal(replayed.code, 0, replayed.stdout + replayed.stderr);
  assert.equal((await scene.archive.find({ recordingId: id, conversationId: id }, signal()))?.recordingId, id);
  assert.equal(summaryOf(await scene.run('replay', '--dry-run', '--json'))['found'], 0);
});

test('what cannot be meant is refused with what to write', async (t) => {
  const scene = await setUp(t);
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['restore'], /Say what to restore/],
    [['restore', '--failed', '--conversation', 'c'], /Say what to restore/],
    [['restore', '--recording', '_/r'], /of a conversation only/],
    [['restore', '--failed', '--days', '0'], /1 to 365 days/],
    [['restore', '--failed', '--days', '9999999'], /1 to 365 days/],
    [['restore', '--failed', '--confirm', 'any'], /expected the number/],
    [['retire', '--grace', '0d'], /1 to 90 days/],
    [['retire', '--grace', '91d'], /1 to 90 days/],
    [['retire', '--conversation', 'c'], /goes with --undo/],
    [['retire', '--undo', '--grace', '7d'], /--grace: --undo gives back the date from before/],
    [['retire', '--confirm', 'any'], /expected the number/],
    [['retire', '--from', '2026-09-02', '--to', '2026-09-01'], /swap them/],
  ];
  for (const [args, message] of wrong) {
    const printed = await scene.run(...args);
    assert.equal(printed.code, 2, `${args.join(' ')}: ${printed.stdout}${printed.stderr}`);
    assert.match(printed.stderr, message);
  }
  assert.equal(puts(scene), 0);
  assert.equal(await scene.archive.notes.read(detailsName('c'), signal()), undefined);
});

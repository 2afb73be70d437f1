/** Who may listen to some divisions alone, given by name or id: what they find, open and hear, and what they are told of the rest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDivisions, writeDivisions } from '../../src/archive/division-names.ts';
import { parseGrants } from '../../src/config/console.ts';
import { DivisionNames, withDivisionIds } from '../../src/console/divisions.ts';
import { identityOf, type Identity } from '../../src/console/who/identity.ts';
import { keepDivisions } from '../../src/services/keep-divisions.ts';
import { Failure } from '../../src/failure.ts';
import { addCall } from '../support/console/calls.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const CLAIMS = '1f0e9a3c-0000-4000-8000-000000000001';
const SALES = '1f0e9a3c-0000-4000-8000-000000000002';
const NAMES = new Map([
  [CLAIMS, 'Claims'],
  [SALES, 'Sales & "Co"'],
]);

function listenerOf(roles: string, groups: readonly string[]): Identity {
  const grants = parseGrants(roles, (what) => assert.fail(what));
  return identityOf({ id: 'wen@example.com', way: 'oidc', isAddress: true, groups }, grants);
}

const GIVEN: readonly (readonly [string, readonly string[], readonly string[] | 'all'])[] = [
  ['listen:Claims=group:claims', ['claims'], [CLAIMS]],
  ['listen:claims = group:claims', ['claims'], [CLAIMS]],
  [`listen:${CLAIMS}=group:claims`, ['claims'], [CLAIMS]],
  ['listen:Sales & "Co"=@example.com', [], [SALES]],
  ['listen:Claims=group:claims; listen:Sales & "Co"=group:sales', ['claims', 'sales'], [CLAIMS, SALES]],
  ['listen:Claims=group:claims; listen:Sales & "Co"=group:sales', ['sales'], [SALES]],
  ['listen:Nobody knows it=group:claims', ['claims'], ['Nobody knows it']],
  ['listen:Claims=group:claims; listen=wen@example.com', ['claims'], 'all'],
  ['listen:Claims=group:claims', ['another'], []],
];

for (const [roles, groups, expected] of GIVEN)
  test(`${roles} for ${groups.join(', ') || 'nobody’s group'}: ${expected === 'all' ? 'all' : String(expected.length)}`, () => {
    const { divisions } = withDivisionIds(listenerOf(roles, groups), NAMES);
    assert.deepEqual(divisions === 'all' ? 'all' : [...divisions], expected);
  });

test('names are read once for all who ask within their time, and the last ones hold where they cannot be', async (t) => {
  let [now, reads] = [performance.now(), 0];
  t.mock.method(performance, 'now', () => now);
  const text = await writtenNames();
  const read = async (): Promise<string> => {
    reads += 1;
    if (reads === 2) throw new Failure('archive-unavailable', 'It is away.');
    return text;
  };
  const names = new DivisionNames({ read }, 1_000);
  for (const passes of [0, 999, 1, 999]) {
    now += passes;
    assert.deepEqual([...(await names.known())], [...NAMES]);
  }
  assert.equal(reads, 2);
});

/** As they lie in an archive. */
async function writtenNames(): Promise<string> {
  await using scene = await openConsoleScene();
  await writeDivisions({ at: new Date().toISOString(), names: NAMES }, scene.archive.notes, signal());
  return (await scene.archive.notes.read('status/divisions.json', signal())) ?? assert.fail('they lie elsewhere');
}

async function sceneWithDivisions(): Promise<ConsoleScene> {
  const scene = await openConsoleScene();
  scene.now = new Date('2026-11-27T17:09:00Z');
  await addCall(
    scene.archive,
    { conversationId: 'c1', recordingId: 'r1' },
    { agent: 'Ines Carvalho', division: CLAIMS },
  );
  await addCall(scene.archive, { conversationId: 'c2', recordingId: 'r2' }, { agent: 'Wen Li', division: SALES });
  await addCall(scene.archive, { conversationId: 'c3', recordingId: 'r3' }, { isKnown: false });
  await scene.search.fill(signal());
  return scene;
}

test('by the name of a division one finds, opens and hears what is of it, and nothing else', async () => {
  await using scene = await sceneWithDivisions();
  await writeDivisions({ at: new Date().toISOString(), names: NAMES }, scene.archive.notes, signal());
  scene.who = listenerOf('listen:claims=@example.com', []);
  const found = await (await scene.get('/console/find')).text();
  assert.ok(found.includes('Ines Carvalho') && !found.includes('Wen Li'));
  assert.match(found, /1 found/);
  assert.match(found, /listens to: <bdi>Claims<\/bdi>/);
  assert.equal((await scene.get('/console/recordings/c1/r1')).status, 200);
  assert.equal((await scene.get('/console/media/c1/r1')).status, 200);
  for (const path of ['c2/r2', 'c3/r3']) {
    assert.equal((await scene.get(`/console/recordings/${path}`)).status, 403, path);
    assert.equal((await scene.get(`/console/media/${path}`)).status, 403, path);
    assert.equal((await scene.get(`/console/levels/${path}`)).status, 403, path);
  }
});

test('divisions are shown by name; where nobody could ask for names, by id', async () => {
  await using scene = await sceneWithDivisions();
  scene.who = EVERYBODY;
  assert.match(await (await scene.get('/console/recordings/c2/r2')).text(), new RegExp(`<bdi>${SALES}</bdi>`));
  scene.who = listenerOf('listen:Claims=@example.com', []);
  assert.equal((await scene.get('/console/recordings/c1/r1')).status, 403, 'a name that nobody knows opens nothing');
  scene.who = listenerOf(`listen:${CLAIMS}=@example.com`, []);
  assert.equal((await scene.get('/console/recordings/c1/r1')).status, 200, 'an id needs no name');
  await writeDivisions({ at: new Date().toISOString(), names: NAMES }, scene.archive.notes, signal());
  scene.who = EVERYBODY;
  assert.match(await (await scene.get('/console/recordings/c2/r2')).text(), /<bdi>Sales &amp; &quot;Co&quot;<\/bdi>/);
});

test('Genesys is asked once a day, a refusal is kept as well, and what fails leaves the last names', async () => {
  await using scene = await openConsoleScene();
  let asked = 0;
  let answer: () => Promise<ReadonlyMap<string, string> | undefined> = async () => undefined;
  const genesys = {
    divisionNames: () => {
      asked += 1;
      return answer();
    },
  };
  const sources = { archive: scene.archive, genesys };
  const stopping = new AbortController().signal;
  await keepDivisions(sources, stopping);
  assert.equal((await readDivisions(scene.archive.notes, signal()))?.names.size, 0);
  await keepDivisions(sources, stopping);
  assert.equal(asked, 1);
  const long = new Date(Date.now() - 13 * 3_600_000).toISOString();
  await writeDivisions({ at: long, names: NAMES }, scene.archive.notes, signal());
  answer = () => Promise.reject(new Failure('upstream-unavailable', 'Genesys is away.'));
  await assert.rejects(keepDivisions(sources, stopping));
  assert.equal((await readDivisions(scene.archive.notes, signal()))?.names.get(CLAIMS), 'Claims');
  answer = async () => new Map([[CLAIMS, 'Schaden']]);
  await keepDivisions(sources, stopping);
  assert.deepEqual([...((await readDivisions(scene.archive.notes, signal()))?.names ?? [])], [[CLAIMS, 'Schaden']]);
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openFolderArchive } from '../../src/archive/folder/folder.ts';
import { type DayProof, examineDay, type Finding, inParallel, isDayClosed } from '../../src/days/day.ts';
import { Failure } from '../../src/failure.ts';
import type {
  Census,
  CountedConversation,
  CountedDay,
  CountedList,
  CountedRecording,
} from '../../src/genesys/census.ts';
import { bytesOf, store } from '../support/archive/content.ts';

const DAY = '2026-11-26';
const NOW = new Date('2026-11-28T09:00:00Z');
const { signal } = new AbortController();

/** The far end: what Genesys would say. */
class SaidByGenesys implements Census {
  readonly calls = { made: 0, polls: 0 };
  until = new Date('2026-11-27T09:00:00Z');
  isWhole = true;
  isLegible = true;
  lacking: Failure | undefined;
  readonly #conversations: readonly CountedConversation[];
  readonly #recordings: ReadonlyMap<string, readonly CountedRecording[] | Failure>;

  constructor(
    said: Readonly<Record<string, readonly CountedRecording[] | Failure>>,
    more: Partial<CountedConversation> = {},
  ) {
    this.#recordings = new Map(Object.entries(said));
    this.#conversations = Object.keys(said).map((conversationId) => ({
      conversationId,
      startedAt: new Date(`${DAY}T10:00:00Z`),
      endedAt: new Date(`${DAY}T10:05:00Z`),
      isRecorded: true,
      hasCall: true,
      hasScreen: false,
      divisions: ['Home'],
      answer: {},
      ...more,
    }));
  }

  async grants(): Promise<undefined> {
    await Promise.resolve();
  }

  async dataUntil(): Promise<Date> {
    this.calls.made += 1;
    return this.until;
  }

  conversationsOf(_day: string, isClosed: boolean): CountedDay {
    const list = this.#conversations;
    const conversations = (async function* () {
      yield* list;
    })();
    return { conversations, isWhole: () => isClosed && this.isWhole, isLegible: () => this.isLegible };
  }

  async recordingsOf(conversationId: string): Promise<CountedList> {
    this.calls.made += 1;
    const said = this.#recordings.get(conversationId) ?? [];
    if (said instanceof Failure) throw said;
    return { recordings: said, lacking: this.lacking };
  }
}

const audio = (recordingId: string, fileState = 'AVAILABLE'): CountedRecording => ({
  recordingId,
  media: 'audio',
  fileState,
});

async function examine(
  t: TestContext,
  census: SaidByGenesys,
  prepare: (archive: ReturnType<typeof openFolderArchive>) => Promise<void> = async () => undefined,
): Promise<{ proof: DayProof; findings: readonly Finding[] }> {
  const path = await mkdtemp(join(tmpdir(), 'day-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  const archive = openFolderArchive({ path, linkKeys: ['0123456789abcdef'], publicUrl: 'http://localhost' });
  await prepare(archive);
  const findings: Finding[] = [];
  const proof = await examineDay(
    DAY,
    { census, archive, onFinding: (finding) => findings.push(finding), now: () => NOW },
    signal,
  );
  return { proof, findings };
}

function record(recordingId: string, code: string, status: 'failed' | 'no-media' = 'failed') {
  const at = '2026-11-26T11:00:00Z';
  return {
    version: 1,
    recordingId,
    conversationId: 'c',
    status,
    code,
    reason: 'why.',
    attempts: 1,
    failedAt: at,
    service: '0',
  } as const;
}

test('each file state of Genesys has its state, and the day its verdict', async (t) => {
  const table: readonly (readonly [CountedRecording, string, DayProof['verdict']])[] = [
    [audio('r'), 'missing', 'incomplete'],
    [audio('r', ''), 'missing', 'incomplete'],
    [audio('r', 'RESTORED'), 'missing', 'incomplete'],
    [audio('r', 'SOMETHING_NEW'), 'missing', 'incomplete'],
    [audio('r', 'UPLOADING'), 'waiting', 'incomplete'],
    [audio('r', 'RESTORING'), 'waiting', 'incomplete'],
    [audio('r', 'ARCHIVED'), 'stored-away', 'incomplete'],
    [audio('r', 'DELETED'), 'lost', 'accounted'],
    [audio('r', 'ERROR'), 'lost', 'accounted'],
    [{ recordingId: 'r', media: 'email', fileState: 'AVAILABLE' }, '', 'complete'],
    [{ recordingId: 'r', media: 'message', fileState: 'ARCHIVED' }, '', 'complete'],
  ];
  for (const [counted, state, verdict] of table) {
    const { proof, findings } = await examine(t, new SaidByGenesys({ c: [counted] }));
    assert.deepEqual([findings[0]?.state ?? '', proof.verdict], [state, verdict], counted.fileState);
    assert.equal(proof.recordings, 1);
  }
});

test('what lies in the archive comes before what Genesys says', async (t) => {
  const census = new SaidByGenesys({ c: [audio('failed'), audio('nothing'), audio('waits')] });
  const { proof, findings } = await examine(t, census, async (archive) => {
    const subject = (recordingId: string) => ({ recordingId, conversationId: 'c' });
    await archive.recordFailure(subject('failed'), record('failed', 'forbidden'), signal);
    await archive.recordFailure(subject('nothing'), record('nothing', 'no-media', 'no-media'), signal);
    const { status: _status, failedAt: since, ...rest } = record('waits', 'host-refused');
    await archive.recordWaiting(subject('waits'), { ...rest, sort: 'operator', since, nextTry: since }, signal);
  });
  assert.deepEqual(
    findings.map(({ key, state, code }) => [key, state, code]),
    [
      ['c.failed', 'failed', 'forbidden'],
      ['c.waits', 'waiting', 'host-refused'],
    ],
  );
  assert.deepEqual([proof.noMedia, proof.failed, proof.waiting, proof.verdict], [1, 1, 1, 'incomplete']);
});

test('a conversation that Genesys lists nothing of is unlisted, denied is failed, young is waiting, unrecorded is none', async (t) => {
  const gone = new Failure('not-found', 'Genesys does not know it.');
  const denied = new Failure('forbidden', 'The role lacks the division.');
  const deleted = new Failure('gone', 'Genesys has deleted it.');
  const { findings, proof } = await examine(t, new SaidByGenesys({ a: [], b: gone, c: denied, d: deleted }));
  assert.deepEqual(findings.map(({ key, state }) => `${key} ${state}`).toSorted(), [
    'a._ unlisted',
    'b._ unlisted',
    'c._ failed',
    'd._ unlisted',
  ]);
  assert.deepEqual([proof.unlisted, proof.failed, proof.verdict, proof.recordings], [3, 1, 'incomplete', 0]);
  const young = new SaidByGenesys({ a: [], b: [audio('r')] }, { endedAt: new Date('2026-11-28T08:00:00Z') });
  assert.deepEqual(
    (await examine(t, young)).findings.map(({ state }) => state),
    ['waiting', 'waiting'],
  );
  const later = new SaidByGenesys({ a: [] });
  later.lacking = new Failure('not-ready', 'No list yet.');
  assert.deepEqual((await examine(t, later)).findings[0]?.reason, 'not-ready: No list yet.');
  const unrecorded = await examine(t, new SaidByGenesys({ a: [], b: [] }, { isRecorded: false }));
  assert.deepEqual([unrecorded.proof.conversations, unrecorded.proof.verdict], [0, 'complete']);
});

const screen: CountedRecording = { recordingId: 's', media: 'screen', fileState: 'AVAILABLE' };
const chat: CountedRecording = { recordingId: 'chat', media: 'chat', fileState: 'AVAILABLE' };

/** What it says of the one conversation, of which Genesys lists a chat, or what is told. */
async function saidOf(
  t: TestContext,
  more: Partial<CountedConversation>,
  { listed = [chat], here = [] }: { listed?: readonly CountedRecording[]; here?: readonly ('audio' | 'video')[] } = {},
): Promise<readonly string[]> {
  const { findings, proof } = await examine(t, new SaidByGenesys({ c: listed }, more), async (archive) => {
    for (const medium of here)
      await store(
        archive,
        { recordingId: medium, conversationId: 'c' },
        { head: bytesOf('head', 100), clusters: [bytesOf('clusters', 500)], facts: { medium } },
      );
  });
  return [
    ...findings.map(({ key, state, reason }) => `${key} ${state}: ${reason.split(':', 1).join('')}`),
    proof.verdict,
  ];
}

test('a day is not complete while a list has none of what was recorded, or a conversation goes on (invariant 16)', async (t) => {
  const call = 'c._ unlisted: a call was recorded, but Genesys lists only screens';
  const picture = 'c._ unlisted: a screen was recorded, but Genesys lists none';
  const none = 'c._ unlisted: a recording was started, but Genesys lists none';
  const young = new Date('2026-11-28T08:00:00Z');
  assert.deepEqual(await saidOf(t, {}), ['complete']);
  assert.deepEqual(await saidOf(t, { hasScreen: true }), [picture, 'accounted']);
  assert.deepEqual(await saidOf(t, { hasScreen: true }, { here: ['audio'] }), [picture, 'accounted']);
  assert.deepEqual(await saidOf(t, { hasScreen: true }, { here: ['video'] }), ['complete'], 'deleted there since');
  assert.deepEqual(await saidOf(t, {}, { listed: [screen] }), ['c.s missing: no event reached us', call, 'incomplete']);
  assert.deepEqual((await saidOf(t, {}, { listed: [screen], here: ['audio'] })).length, 2);
  assert.deepEqual(await saidOf(t, { hasScreen: true, endedAt: young }), [
    'c._ waiting: the conversation ended less than two hours ago',
    'incomplete',
  ]);
  assert.deepEqual(await saidOf(t, { endedAt: undefined }), [
    'c._ waiting: the conversation goes on, and more of it may come',
    'incomplete',
  ]);
  const stuck = { endedAt: undefined, startedAt: new Date('2026-11-26T08:59:00Z') };
  assert.deepEqual(await saidOf(t, stuck), ['complete'], 'after two days it is stuck');
  assert.deepEqual(await saidOf(t, { endedAt: undefined, isRecorded: false, hasCall: false }), ['complete']);
  assert.deepEqual(await saidOf(t, {}, { listed: [] }), [none, 'accounted']);
});

test('beyond the watermark a day is open, whatever was found', async (t) => {
  const census = new SaidByGenesys({ a: [] }, { isRecorded: false });
  census.until = new Date('2026-11-27T01:59:59Z');
  const { proof } = await examine(t, census);
  assert.deepEqual([proof.verdict, proof.asked], ['open', 'so-far']);
  const cut = new SaidByGenesys({ a: [] }, { isRecorded: false });
  cut.isWhole = false;
  assert.equal((await examine(t, cut)).proof.verdict, 'open', 'a tail that was left out');
  const illegible = new SaidByGenesys({ a: [] }, { isRecorded: false });
  [illegible.isWhole, illegible.isLegible] = [false, false];
  assert.match((await examine(t, illegible)).proof.hindered ?? '', /without an id/);
  assert.ok(isDayClosed(DAY, new Date('2026-11-27T02:00:00Z')));
});

test('the proof counts calls and names the divisions, and its hash is over the sorted keys', async (t) => {
  const { proof } = await examine(t, new SaidByGenesys({ b: [audio('2'), audio('1')], a: [audio('3')] }));
  assert.deepEqual([proof.calls, proof.divisions], [3, ['Home']]);
  assert.equal(proof.keysSha256, createHash('sha256').update('a.3\nb.1\nb.2\n').digest('hex'));
});

for (const code of ['bad-request', 'upstream-error', 'upstream-unavailable', 'upstream-timeout'] as const)
  test(`what is wrong with a few conversations is theirs, and with more ends the day (${code}, invariant 11)`, async (t) => {
    const odd = new Failure(code, 'Down.');
    const { proof, findings } = await examine(t, new SaidByGenesys({ a: odd, b: [audio('1')], c: odd, d: odd }));
    assert.deepEqual([proof.verdict, proof.failed, proof.missing], ['incomplete', 3, 1]);
    assert.deepEqual(
      findings.map(({ key, state, code: told = '' }) => `${key} ${state} ${told}`.trimEnd()).toSorted(),
      [`a._ failed ${code}`, 'b.1 missing', `c._ failed ${code}`, `d._ failed ${code}`],
    );
    await assert.rejects(examine(t, new SaidByGenesys({ a: odd, b: odd, c: odd, d: odd, e: [audio('1')] })), { code });
    await assert.rejects(examine(t, new SaidByGenesys({ a: odd })), { code });
  });

test('a tenth of the conversations of a day may be answered oddly, wherever they stand; of more, it is Genesys (invariant 11)', async (t) => {
  const odd = new Failure('upstream-error', 'Odd.');
  const day = (refused: number, answered: number) =>
    new SaidByGenesys({
      ...Object.fromEntries(Array.from({ length: refused }, (_, index) => [`a${String(index)}`, odd])),
      ...Object.fromEntries(Array.from({ length: answered }, (_, index) => [`b${String(index)}`, [audio('1')]])),
    });
  const { proof } = await examine(t, day(5, 20));
  assert.deepEqual([proof.verdict, proof.failed, proof.missing], ['incomplete', 5, 20]);
  await assert.rejects(examine(t, day(6, 20)), { code: 'upstream-error' });
  const census = day(100, 900);
  await assert.rejects(examine(t, census), { code: 'upstream-error' });
  assert.ok(census.calls.made < 30, `${String(census.calls.made)} calls where nobody is answered`);
});

test('what no conversation can be to blame for ends the day at once', async (t) => {
  const census = new SaidByGenesys({ a: new Failure('misconfigured', 'No such client.'), b: [audio('1')] });
  await assert.rejects(examine(t, census), { code: 'misconfigured' });
});

test('at most so many at once, and nothing more after the first failure', async () => {
  let [running, most, begun] = [0, 0, 0];
  const items = (async function* () {
    for (let index = 0; index < 100; index++) yield index;
  })();
  await inParallel(items, 8, async () => {
    most = Math.max(most, (running += 1));
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
  });
  assert.equal(most, 8);
  const more = (async function* () {
    for (;;) yield (begun += 1);
  })();
  await assert.rejects(
    inParallel(more, 4, async (item) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (item === 10) throw new Error('tenth');
    }),
    /tenth/,
  );
  assert.ok(begun < 30, String(begun));
});

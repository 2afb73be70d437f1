/** The find page and the page of a recording as a browser without scripts gets them. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { AuditRecord } from '../../src/audit/audit.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import type { Identity } from '../../src/console/who/identity.ts';
import { Failure } from '../../src/failure.ts';
import { Turnstile } from '../../src/http/turnstile.ts';
import type { Pipeline } from '../../src/pipeline.ts';
import { failureOf, waitingOf } from '../support/archive/content.ts';
import { addCall, addDetails } from '../support/console/calls.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';
import { rowAt } from '../support/search/rows.ts';

const signal = (): AbortSignal => AbortSignal.timeout(60_000);
const C = 'b0c5b9e0-5b5c-4a52-8a3e-0d8c2f5c1f11';
const R = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b77';
const CALL = { conversationId: C, recordingId: R };
const HOSTILE = '"><script>alert(1)</script>\u202E<img src=x onerror=y>';
const NUMBER = '+442079460183';
const NOW = new Date('2026-11-27T17:09:00Z');

let scene: ConsoleScene;
let live: Pipeline['listen'];
before(async () => {
  scene = await openConsoleScene();
  await addCall(scene.archive, CALL, { agent: 'Ines Carvalho', number: NUMBER, seconds: 2 });
  await addCall(
    scene.archive,
    { conversationId: 'evil', recordingId: 'r1' },
    {
      agent: HOSTILE,
      queue: HOSTILE,
      number: '9'.repeat(300),
      direction: 'outbound',
      seconds: 2,
      startedAt: '2026-11-26T10:00:00.000Z',
    },
  );
  await addCall(
    scene.archive,
    { conversationId: 'other', recordingId: 'r2' },
    { agent: 'Wen Li', division: 'division-2', queue: 'Renewals', seconds: 2, startedAt: '2026-11-26T09:00:00.000Z' },
  );
  await addCall(
    scene.archive,
    { conversationId: C, recordingId: 'screen' },
    { isKnown: false, medium: 'video', seconds: 2, startedAt: '2026-11-27T16:58:08.400Z' },
  );
  await scene.archive.recordFailure(
    { conversationId: 'f', recordingId: 'f1' },
    failureOf({ conversationId: 'f', recordingId: 'f1' }, { failedAt: '2026-11-27T16:00:00.000Z', reason: HOSTILE }),
    signal(),
  );
  await scene.archive.recordWaiting(
    { conversationId: 'w', recordingId: 'w1' },
    waitingOf(
      { conversationId: 'w', recordingId: 'w1' },
      { since: '2026-11-27T16:32:00.000Z', nextTry: '2026-11-27T17:10:00.000Z' },
    ),
    signal(),
  );
  await scene.archive.recordFailure(
    { conversationId: 'n', recordingId: undefined },
    failureOf(
      { conversationId: 'n' },
      { status: 'no-recordings', code: 'no-recordings', failedAt: '2026-11-27T15:00:00.000Z' },
    ),
    signal(),
  );
  await scene.archive.notes.create('erased/gone.r9.json', '{}', signal());
  await scene.search.fill(signal());
});
after(() => scene[Symbol.asyncDispose]());
beforeEach(() => {
  scene.who = EVERYBODY;
  scene.now = NOW;
});

function whoMay(...roles: readonly Parameters<Identity['roles']['has']>[0][]): Identity {
  return { ...EVERYBODY, roles: new Set(roles) };
}

async function pageAt(path: string, status = 200): Promise<string> {
  const answer = await scene.get(path);
  assert.equal(answer.status, status, path);
  return answer.text();
}

/** As a reader sees it: without markup, blanks as one. */
function wordsIn(page: string): string {
  const main = /<main[^]*<\/main>/.exec(page)?.[0] ?? '';
  return main
    .replaceAll(/<(svg|select|title)[^]*?<\/\1>/g, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ');
}

function rowsIn(page: string): readonly string[] {
  return [...page.matchAll(/<tr(?! class="day")[^>]*>\s*<td>([^]*?)<\/tr>/g)].map(([row]) =>
    wordsIn(`<main>${row}</main>`),
  );
}

async function audited(action: string): Promise<readonly AuditRecord[]> {
  const found: AuditRecord[] = [];
  for await (const record of scene.audit.read({ from: '2020-01-01', to: '2099-01-01' }, signal()))
    if (record.action === action) found.push(record);
  return found;
}

test('the list has all that is there and what is not, the newest first, day by day, with who, where, number, length and state', async () => {
  const page = await pageAt('/console/find');
  const rows = rowsIn(page);
  assert.equal(rows.length, 6);
  assert.match(rows[0] ?? '', /16:58 Ines Carvalho Claims ↙ inbound \+442079460183 0:02 2 seconds .*Voice/);
  assert.match(rows[1] ?? '', /16:58 .*Screen/);
  assert.match(rows[2] ?? '', /16:32 .* not here yet Waiting/);
  assert.match(rows[3] ?? '', /16:00 .* see reason Failed/);
  assert.match(wordsIn(page), /6 found 21 Nov 2026 to 27 Nov 2026, UTC/);
  assert.match(wordsIn(page), /Today, Friday 27 November .* Yesterday, Thursday 26 November/);
  assert.match(page, /<title>Find and play/);
});

test('the address is the state: what it says stands in the form, in the list, and in every link that goes on from it', async () => {
  const page = await pageAt(
    '/console/find?q=carv&from=2026-11-26&to=2026-11-27&minLength=1&status=archived&direction=inbound&queue=Claims',
  );
  assert.equal(rowsIn(page).length, 2);
  for (const part of [
    'value="carv"',
    'name="from" required value="2026-11-26"',
    'value="1" selected',
    'value="archived" selected',
    'value="inbound" selected',
    'name="queue" value="Claims"',
  ])
    assert.ok(page.replaceAll(/\s+/g, ' ').includes(part), part);
  const [, open = ''] = /href="(\/console\/find\?[^"]*open=[^"#]*)#recording"/.exec(page) ?? [];
  assert.ok(open.includes('q=carv') && open.includes('queue=Claims'), open);
  const opened = await pageAt(open.replaceAll('&amp;', '&'));
  assert.match(wordsIn(opened), /Ines Carvalho with \+442079460183/);
  assert.equal(rowsIn(opened).length, 2);
  const dropped = [...page.matchAll(/class="chip"\s+href="([^"]*)"/g)].map(([, href = '']) =>
    href.replaceAll('&amp;', '&'),
  );
  assert.equal(dropped.length, 5);
  for (const href of dropped) assert.equal((await scene.get(href)).status, 200);
});

test('pages follow each other by links, each row once', async () => {
  scene.search.put(
    Array.from({ length: 120 }, (_, n) =>
      rowAt(new Date(Date.UTC(2026, 9, 1) + n * 1_000).toISOString(), `p${String(n)}.r`, { agent: 'Paging' }),
    ),
  );
  const seen: string[] = [];
  let path = '/console/find?q=paging&from=2026-10-01&to=2026-10-02';
  for (let pages = 0; pages < 5 && path !== ''; pages += 1) {
    const page = await pageAt(path);
    assert.match(wordsIn(page), /120 found/);
    seen.push(...[...page.matchAll(/open=(p\d+\.r)/g)].map(([, key = '']) => key));
    path = (/rel="next"\s+href="([^"]*)"/.exec(page)?.[1] ?? '').replaceAll('&amp;', '&');
  }
  assert.equal(seen.length, 120);
  assert.equal(new Set(seen).size, 120);
});

test('names that are scripts are text, on every page they stand on', async () => {
  for (const path of [
    '/console/find',
    `/console/find?q=${encodeURIComponent(HOSTILE)}&queue=${encodeURIComponent(HOSTILE)}`,
    '/console/find?open=evil.r1',
    '/console/recordings/evil/r1',
    '/console/recordings/f/f1',
    '/console/recordings/evil',
  ]) {
    const page = await pageAt(path);
    assert.doesNotMatch(page, /<script>alert|<img/, path);
    assert.match(page, /&lt;script&gt;/, path);
  }
});

test('a number is whole for who may see numbers; for others its last three digits are, wherever it stands, and no part of it finds anything', async () => {
  const paths = [
    '/console/find',
    `/console/find?open=${C}.${R}`,
    `/console/recordings/${C}/${R}`,
    `/console/recordings/${C}`,
  ];
  for (const path of paths) assert.ok((await pageAt(path)).includes(NUMBER), path);
  scene.who = whoMay('listen');
  for (const path of paths) {
    const page = await pageAt(path);
    assert.ok(page.includes('…183'), path);
    assert.ok(!page.includes('946018'), path);
  }
  assert.equal(rowsIn(await pageAt('/console/find?q=4420794')).length, 0);
  assert.equal(rowsIn(await pageAt(`/console/find?q=${encodeURIComponent(NUMBER)}&status=archived`)).length > 0, true);
});

test('who listens to a division sees, opens and hears what is of it, and nothing else', async () => {
  scene.who = { ...EVERYBODY, divisions: new Set(['division-2']) };
  assert.match(rowsIn(await pageAt('/console/find')).join('\n'), /^ ?09:00 Wen Li/);
  assert.equal(rowsIn(await pageAt('/console/find')).length, 1);
  const before = (await audited('listened')).length;
  assert.match(await pageAt(`/console/recordings/${C}/${R}`, 403), /division/);
  assert.match(wordsIn(await pageAt(`/console/find?open=${C}.${R}`)), /Not for you to see/);
  for (const path of [
    `/console/media/${C}/${R}`,
    '/console/media/f/f1',
    '/console/media/_/none',
    `/console/media/${C}/${R}/original/0`,
  ])
    assert.equal((await scene.get(path)).status, 403, path);
  assert.equal((await audited('listened')).length, before);
  assert.equal((await scene.get('/console/media/other/r2')).status, 200);
  assert.equal((await scene.get('/console/recordings/other/r2')).status, 200);
});

test('what has no recording to show says why, and what to do next', async () => {
  const waiting = wordsIn(await pageAt('/console/recordings/w/w1'));
  assert.match(
    waiting,
    /Not archived yet The role lacks a permission\. Since 27 Nov 2026, 16:32 ?; tried again at 27 Nov 2026, 17:10/,
  );
  const failed = wordsIn(await pageAt('/console/recordings/f/f1'));
  assert.match(failed, /It could not be archived .* What to do next: Play it in Genesys Cloud/);
  assert.match(failed, /Replay/);
  scene.who = whoMay('listen');
  assert.doesNotMatch(wordsIn(await pageAt('/console/recordings/f/f1')), /Replay/);
  assert.match(wordsIn(await pageAt('/console/recordings/n')), /This conversation was not recorded/);
  assert.match(wordsIn(await pageAt('/console/recordings/gone/r9')), /Erased It was erased on purpose/);
  assert.match(wordsIn(await pageAt('/console/recordings/_/nowhere')), /Nothing is known of it here/);
  assert.match(wordsIn(await pageAt('/console/recordings/nobody')), /Nothing of this conversation is known here/);
  assert.match(
    wordsIn(await pageAt('/console/find?q=nobodyatall')),
    /Nothing found .* “nobodyatall” , drop this filter/,
  );
});

test('conversations without recordings are found by those who ask for them', async () => {
  const page = await pageAt('/console/find?status=no-recordings');
  assert.match(rowsIn(page).join(), /not recorded No recording/);
  assert.match(page, /open=n\._/);
});

test('each day says what its proof says, and nothing where there is none', async () => {
  const proof = {
    day: '2026-11-26',
    verdict: 'incomplete',
    recordings: 1247,
    archived: 1230,
    missing: 9,
    waiting: 5,
    failed: 3,
  };
  await writeProof('complete', proof, { notes: scene.archive.notes, at: new Date('2026-11-27T03:00:00Z') }, signal());
  const words = wordsIn(await pageAt('/console/find'));
  assert.match(words, /Today, Friday 27 November not checked against Genesys yet/);
  assert.match(words, /Yesterday, Thursday 26 November 1,230 of 1,247 archived · 14 due · 3 failed/);
});

test('a search is on record by its fields and a keyed hash: the same for the same question, and nobody’s name in it', async () => {
  const before = (await audited('searched')).length;
  for (const q of ['carvalho', 'carvalho', 'brandt']) await pageAt(`/console/find?q=${q}&status=archived`);
  const records = (await audited('searched')).slice(before);
  assert.equal(records.length, 3);
  const asked = records.map(({ about }) => ({ fields: about?.['fields'], asked: about?.['asked'] }));
  assert.deepEqual(
    asked.map(({ fields }) => fields),
    Array.from({ length: 3 }, () => 'text from to status'),
  );
  assert.equal(asked[0]?.asked, asked[1]?.asked);
  assert.notEqual(asked[0]?.asked, asked[2]?.asked);
  assert.doesNotMatch(JSON.stringify(records), /carvalho|brandt/i);
  assert.equal(records[0]?.who, 'maya.okoro@example.com');
});

test('a recording that is opened beside a list is asked for alone: nothing is searched for, and only the look is on record', async () => {
  const before = (await audited('searched')).length;
  const looks = (await audited('looked')).length;
  const page = await pageAt(`/console/find?part=recording&q=carvalho&open=${C}.${R}`);
  assert.match(wordsIn(page), /Ines Carvalho/);
  assert.doesNotMatch(page, /<table|class="spark"|name="q"/);
  assert.equal((await audited('searched')).length, before);
  assert.equal((await audited('looked')).length, looks + 1);
  assert.match(wordsIn(await pageAt('/console/find?part=recording')), /Choose a recording to hear it/);
});

test('sound comes in ranges, is on record before its first byte, and says the strict policy of all pages', async () => {
  const path = `/console/media/${C}/${R}`;
  const before = (await audited('listened')).length;
  const whole = await scene.get(path);
  const bytes = Buffer.from(await whole.arrayBuffer());
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get('content-type'), 'audio/webm');
  assert.equal(bytes.length, Number(whole.headers.get('content-length')));
  assert.doesNotMatch(whole.headers.get('content-security-policy') ?? '', /unsafe/);
  assert.equal(whole.headers.get('cache-control'), 'no-store');
  const part = await scene.get(path, { range: 'bytes=100-199' });
  assert.deepEqual([part.status, part.headers.get('content-range')], [206, `bytes 100-199/${String(bytes.length)}`]);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(100, 200));
  assert.equal((await scene.get(path, { range: `bytes=${String(bytes.length)}-` })).status, 416);
  const records = (await audited('listened')).slice(before);
  assert.deepEqual(
    records.map(({ who, way, conversationId, recordingId }) => ({ who, way, conversationId, recordingId })),
    [{ who: 'maya.okoro@example.com', way: 'oidc', conversationId: C, recordingId: R }],
  );
});

for (const [what, record] of [
  ['cannot be written', () => Promise.reject(new Failure('archive-unavailable', 'The audit cannot be written.'))],
  ['does not answer', () => new Promise<void>(() => undefined)],
] as const) {
  test(`where the audit ${what} nothing is heard and nothing is shown: 503, and not one byte`, async () => {
    const { Witness } = await import('../../src/http/witness.ts');
    const witness = new Witness({ record }, { proxies: 0, withinMs: 20 });
    await using broken = await openConsoleScene({ needs: { witness } });
    await addCall(broken.archive, CALL, { agent: 'Ines Carvalho', seconds: 2 });
    for (const path of [`/console/media/${C}/${R}`, `/console/recordings/${C}/${R}`, '/console/find']) {
      const answer = await broken.get(path);
      assert.equal(answer.status, 503, path);
      assert.doesNotMatch(await answer.text(), /Carvalho|webm/);
    }
  });
}

test('what the player says it played is on record as its claim; a form of nobody’s is not', async () => {
  const path = `/console/played/${C}/${R}`;
  const from = `/console/recordings/${C}/${R}`;
  const page = await pageAt(from);
  const [, token = ''] = /data-token="([^"]+)"/.exec(page) ?? [];
  const send = (form: Record<string, string>): Promise<Response> =>
    fetch(`${scene.url}${path}`, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'same-origin' },
      body: new URLSearchParams(form),
    });
  assert.equal((await send({ token, from: '0', to: '41.04' })).status, 200);
  assert.equal((await send({ token: 'forged', from: '0', to: '1' })).status, 403);
  for (const [start, end] of [
    ['5', '4'],
    ['-1', '4'],
    ['0', 'NaN'],
    ['0', '1e9'],
    ['', ''],
  ])
    assert.equal(
      (await send({ token, from: start ?? '', to: end ?? '' })).status === 200,
      start === '',
      `${String(start)} ${String(end)}`,
    );
  const records = await audited('played');
  assert.deepEqual(records[0]?.about, { fromS: 0, toS: 41, claim: true });
});

/** A console that makes what is not archived while it plays: by `live`, which says so at first. */
async function openMaking(asksByConversation = true): Promise<ConsoleScene> {
  const door = new Turnstile({ all: 2, perKey: 2, retryAfterMs: 1, what: 'listeners' });
  live = async () => ({
    contentType: 'audio/webm',
    body: (async function* () {
      yield Buffer.from('live');
    })(),
  });
  return openConsoleScene({
    needs: {
      hearing: {
        listeners: door,
        liveListeners: door,
        listen: (...asked) => live(...asked),
        asksByConversation,
        channelNames: ['customer', 'agent'],
      },
    },
  });
}

test('what is not archived yet is made while it plays, where this deployable makes anything', async () => {
  assert.equal((await scene.get('/console/media/w/w1')).status, 404);
  assert.doesNotMatch(wordsIn(await pageAt('/console/recordings/w/w1')), /Listen now/);
  await using making = await openMaking();
  await making.archive.recordWaiting(
    { conversationId: 'w', recordingId: 'w1' },
    waitingOf({ conversationId: 'w', recordingId: 'w1' }),
    signal(),
  );
  assert.match(wordsIn(await (await making.get('/console/recordings/w/w1')).text()), /Listen now/);
  const answer = await making.get('/console/media/w/w1');
  assert.deepEqual([answer.status, await answer.text(), answer.headers.get('accept-ranges')], [200, 'live', 'none']);
  live = async () => {
    throw new Failure('not-ready', 'Genesys still transcodes it.');
  };
  assert.equal((await making.get('/console/media/w/w1')).status, 409);
});

test('where Genesys is asked by a recording’s id alone nobody hears another division’s by naming a conversation of his own', async () => {
  for (const asksByConversation of [true, false]) {
    await using making = await openMaking(asksByConversation);
    await addDetails(making.archive, 'mine', { division: 'division-2' });
    assert.equal((await making.get('/console/media/mine/of-another')).status, 200);
    making.who = { ...EVERYBODY, divisions: new Set(['division-2']) };
    const isAllowed = asksByConversation;
    assert.equal((await making.get('/console/media/mine/of-another')).status, isAllowed ? 200 : 403);
    const offer = wordsIn(await (await making.get('/console/recordings/mine/of-another')).text());
    assert.equal(/Listen now/.test(offer), isAllowed);
  }
});

test('an address that makes no sense is refused with the field that is wrong', async () => {
  for (const [query, field] of [
    ['from=yesterday', 'from'],
    ['from=2026-01-01&to=2026-11-27', 'from'],
    ['status=lost', 'status'],
    ['minLength=abc', 'minLength'],
    ['cursor=%F0', 'cursor'],
    ['direction=up', 'direction'],
    [`q=${'x'.repeat(300)}`, 'q'],
  ])
    assert.match(wordsIn(await pageAt(`/console/find?${query ?? ''}`, 400)), new RegExp(`${field ?? ''}: `));
  assert.equal((await scene.get('/console/recordings/a%2Fb/c')).status, 400);
  assert.match(wordsIn(await pageAt('/console/find?open=..%2F..')), /expected the key of a recording/);
});

test('a question that cannot be asked is said above the filters that asked it', async () => {
  const page = await pageAt('/console/find?q=carv&from=2026-01-01&to=2026-11-27', 400);
  assert.match(wordsIn(page), /That cannot be searched from: at most 92 days are searched at once/);
  assert.match(page, /name="q"[^>]*value="carv"/);
  assert.match(page, /name="from"[^>]*value="2026-01-01"/);
});

test('who may hold or erase is offered it, and nobody else', async () => {
  const page = await pageAt(`/console/recordings/${C}/${R}`);
  assert.ok(page.includes('action="/console/hold"') && page.includes('href="/console/erase?of='), page);
  scene.who = whoMay('listen', 'hold');
  assert.ok(!(await pageAt(`/console/recordings/${C}`)).includes('/console/erase'));
  scene.who = whoMay('listen');
  assert.doesNotMatch(await pageAt(`/console/recordings/${C}/${R}`), /console\/(hold|erase|release)/);
});

test('where nothing is archived at all the page says what has to happen first', async () => {
  await using empty = await openConsoleScene();
  const page = await (await empty.get('/console/find')).text();
  assert.match(wordsIn(page), /Nothing is archived yet/);
  await addDetails(empty.archive, 'c', { agent: 'Ines' });
});

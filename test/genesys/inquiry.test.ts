import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type Absence, GenesysInquiry, type Inquest } from '../../src/genesys/inquiry.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';

const DAY = '2026-11-26';
const LOST: Absence = { conversationId: 'c1', recordingId: 'r1' };
const UNLISTED: Absence = { conversationId: 'c2', recordingId: undefined };

interface Scene {
  readonly server: GenesysServer;
  readonly ask: (...absences: readonly Absence[]) => Promise<Inquest>;
}

async function setUp(t: TestContext): Promise<Scene> {
  const server = await startGenesysServer();
  const inquiry = new GenesysInquiry(server.config(), { share: 1, pollMs: 1 });
  t.after(async () => {
    await inquiry.close();
    await server.close();
  });
  return { server, ask: (...absences) => inquiry.hear(DAY, absences, AbortSignal.timeout(300_000)) };
}

function said({ testimonies }: Inquest): readonly string[] {
  return testimonies.map(
    ({ absence, witness, reason }) => `${absence.conversationId}.${absence.recordingId ?? '_'} ${witness}: ${reason}`,
  );
}

test('who deleted a recording, and when, is told by the audits, whichever page they stand on', async (t) => {
  const { server, ask } = await setUp(t);
  const eventDate = '2026-11-27T08:00:00.000Z';
  server.inquiries.pageSize = 1;
  server.inquiries.deletions = [
    { recordingId: 'other', conversationId: 'other', eventDate },
    { recordingId: 'R1', conversationId: 'c1', eventDate, user: 'u1' },
    { recordingId: 'r9', conversationId: 'C2', eventDate, client: 'k1' },
    { recordingId: 'r8', conversationId: 'c2', eventDate },
  ];
  assert.deepEqual(said(await ask(LOST, UNLISTED)), [
    'c1.r1 audit: deleted at 2026-11-27T08:00:00.000Z by user u1',
    'c2._ audit: deleted at 2026-11-27T08:00:00.000Z by client k1',
    'c2._ audit: deleted at 2026-11-27T08:00:00.000Z by Genesys itself',
  ]);
});

test('orphans of the conversation are named, beyond the first page as well', async (t) => {
  const { server, ask } = await setUp(t);
  server.inquiries.orphans = [
    ...Array.from({ length: 100 }, (_, index) => ({ id: `o${String(index)}`, conversationId: 'x', status: 'UNKNOWN' })),
    { id: 'o-last', conversationId: 'c2', status: 'CONVERSATION_NOT_COMPLETE' },
  ];
  assert.deepEqual(said(await ask(UNLISTED)), [
    'c2._ orphans: orphan o-last (CONVERSATION_NOT_COMPLETE): assign it in Genesys Cloud',
  ]);
});

test('what never arrived stands in an upload report, whatever its form, and no id is found inside another', async (t) => {
  const { server, ask } = await setUp(t);
  server.inquiries.uploads = { Failure: 'conversation;recording\nC1;R1\nc22;r2\n', WaitForConversation: '{"c":"c2"}' };
  assert.deepEqual(said(await ask(LOST, UNLISTED)), [
    'c1.r1 uploads: its upload from the Edge failed',
    'c2._ uploads: it was uploaded and waits for its conversation',
  ]);
});

test('a witness that may not be asked is named with its permission, and the others are heard', async (t) => {
  const { server, ask } = await setUp(t);
  server.inquiries.orphans = [{ id: 'o', conversationId: 'c1', status: 'UNKNOWN' }];
  server.fault('audits', 'return-403;code:missing.any.permissions', 9);
  server.fault('uploads', 'return-403;code:missing.any.permissions', 9);
  const inquest = await ask(LOST);
  assert.equal(said(inquest).length, 1);
  assert.deepEqual(
    inquest.silent.map(({ witness, failure }) => [
      witness,
      /permission|audits:\S+|recording:\S+/.exec(failure.message)?.[0],
    ]),
    [
      ['audit', 'audits:interactionDetails:view,'],
      ['uploads', 'recording:uploadReport:add'],
    ],
  );
});

test('a report at a host that media may not come from is not fetched', async (t) => {
  const server = await startGenesysServer();
  server.inquiries.uploads = { Failure: 'r1' };
  const inquiry = new GenesysInquiry(server.config({ mediaHosts: [] }), { share: 1, pollMs: 1 });
  t.after(async () => {
    await inquiry.close();
    await server.close();
  });
  const { silent } = await inquiry.hear(DAY, [LOST], AbortSignal.timeout(300_000));
  assert.deepEqual(
    silent.map(({ witness, failure }) => [witness, failure.code]),
    [['uploads', 'host-refused']],
  );
  assert.equal(server.requests('media:*').length, 0);
});

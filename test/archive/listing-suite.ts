/** What a listing costs, and that it stays right whatever is lost of the marks it uses: for every archive, over its real store. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Archive, ListQuery, Page } from '../../src/archive/archive.ts';
import { bytesOf, failureOf, manifestOf, store, waitingOf } from '../support/archive/content.ts';
import type { ArchiveHarness } from './suite.ts';

export interface ListingHarness extends ArchiveHarness {
  /** How often something was opened, and how often a folder or prefix was gone through, since it was asked last. */
  asked(): { readonly opened: number; readonly listed: number };
  /** Removes everything below a folder, as somebody else would. */
  lose(folder: string): Promise<void>;
  /** Places an object as somebody else would. */
  place(name: string, text: string): Promise<void>;
}

export function listingSuite(name: string, open: () => Promise<ListingHarness>): void {
  const check = (sentence: string, run: (harness: ListingHarness) => Promise<void>): void => {
    test(sentence, { timeout: 400_000 }, async () => {
      const harness = await open();
      try {
        await run(harness);
      } finally {
        await harness.close();
      }
    });
  };

  describe(`${name} lists`, () => {
    check('what it shows, and opens nothing else, however much lies there (F6)', async (harness) => {
      const costs: Record<string, { opened: number; listed: number }>[] = [];
      for (const part of ['few', 'many-1', 'many-2', 'many-3']) {
        await fill(harness, part);
        await harness.archive.sweep(3_600_000, signal());
        costs.push(await costOf(harness));
      }
      const [few, , , many] = costs;
      assert.deepEqual(many, few);
      const { page, archived, failed, conversation, noMedia } = few ?? {};
      assert.ok(page && archived && failed && conversation && noMedia);
      assert.ok(archived.opened <= LIMIT + 3, `${String(archived.opened)} opened for ${String(LIMIT)} shown`);
      assert.ok(failed.opened <= 2 * (LIMIT + 1) + 3, `${String(failed.opened)} opened for ${String(LIMIT)} shown`);
      assert.ok(page.opened <= 2 * (LIMIT + 1) + 7, `${String(page.opened)} opened for ${String(LIMIT)} shown`);
      assert.ok(conversation.opened <= 12, `${String(conversation.opened)} opened for the three of a conversation`);
      assert.ok(page.listed <= 9 && conversation.listed <= 3, `${String(page.listed)} ${String(conversation.listed)}`);
    });

    check('an archive of earlier versions as it lists its own: before it was tidied, and after', async (harness) => {
      await fill(harness, 'few');
      await harness.archive.sweep(3_600_000, signal());
      const queries: readonly Omit<ListQuery, 'limit'>[] = [
        {},
        { status: 'failed' },
        { status: 'no-media' },
        { status: 'no-recordings' },
        { status: 'waiting' },
        { conversationId: 'few-3' },
        { from: '2026-02-02', to: '2026-02-02' },
      ];
      const expected = await Promise.all(queries.map((query) => allOf(harness.archive, query)));
      assert.ok(expected.every((lines) => lines.length > 0));
      await harness.lose('listing/');
      const opened = await harness.another();
      assert.deepEqual(await Promise.all(queries.map((query) => allOf(opened, query))), expected, 'before');
      await opened.sweep(3_600_000, signal());
      assert.deepEqual(await Promise.all(queries.map((query) => allOf(opened, query))), expected, 'after');
      harness.asked();
      await (await harness.another()).list({ status: 'failed', limit: LIMIT }, signal());
      assert.ok(harness.asked().opened <= 2 * (LIMIT + 1) + 2, 'it still reads every record');
    });

    check('a record that moved to another day there alone, and what a crash left of it nowhere', async (harness) => {
      const { archive } = harness;
      const subject = { recordingId: 'R1', conversationId: 'C1' };
      for (const [day, status] of [
        ['2026-02-01', 'failed'],
        ['2026-02-03', 'no-media'],
        ['2026-02-02', 'failed'],
      ] as const) {
        const record = failureOf(subject, { failedAt: `${day}T10:00:00.000Z`, status });
        await archive.recordFailure(subject, record, signal());
        assert.deepEqual(await allOf(archive, {}), [`${status} C1/R1`], day);
        assert.deepEqual(await allOf(archive, { from: day, to: day, status }), [`${status} C1/R1`]);
      }
      await harness.place('listing/failed/2026-02-09/C1.R1', '');
      await harness.place('listing/waiting/2026-02-09/C9.R9', '');
      await harness.place('listing/of/failures/C1/R8', '');
      for (const tidied of [false, true]) {
        assert.deepEqual(await allOf(archive, {}), ['failed C1/R1'], `tidied: ${String(tidied)}`);
        assert.deepEqual(await allOf(archive, { conversationId: 'C1' }), ['failed C1/R1']);
        await archive.sweep(3_600_000, signal());
      }
      const marks = (await harness.objects()).filter((object) => /^listing\/(?!tidied)/.test(object));
      assert.deepEqual(marks.toSorted(), ['listing/failed/2026-02-02/C1.R1', 'listing/of/failures/C1/R1']);
    });

    check(
      'what is tried again as waiting, no longer as failed, and nothing of it once it is given up',
      async (harness) => {
        const { archive } = harness;
        const subject = { recordingId: 'R1', conversationId: 'C1' };
        await archive.recordFailure(subject, failureOf(subject), signal());
        await archive.recordWaiting(subject, waitingOf(subject), signal());
        assert.deepEqual(await allOf(archive, {}), ['waiting C1/R1']);
        assert.equal(await archive.failureOf(subject, signal()), undefined);
        await archive.removeWaiting(subject, signal());
        assert.deepEqual(await allOf(archive, {}), []);
        assert.deepEqual(await harness.objects(), [], 'its marks were left behind');
      },
    );

    check('what cannot be read as failed, with when it was written, wherever it lies', async (harness) => {
      const { archive } = harness;
      await fill(harness, 'few');
      await archive.sweep(3_600_000, signal());
      for (const name of ['failures/few-1.failed-1.json', 'waiting/few-1.waiting-1.json']) {
        await harness.place(name, '{"version":1,');
      }
      const { entries } = await archive.list({ conversationId: 'few-1', limit: 10 }, signal());
      const damaged = entries.filter((entry) => entry.status === 'failed' && entry.failure.code === 'conflict');
      assert.equal(damaged.length, 2);
      for (const entry of damaged) {
        assert.ok(entry.status === 'failed');
        assert.match(entry.failure.reason, /cannot be read \(expected JSON\): restore it/);
        assert.ok(Math.abs(Date.parse(entry.failure.failedAt) - Date.now()) < 120_000);
      }
    });
  });
}

const LIMIT = 5;
const DAYS = ['2026-02-01', '2026-02-02', '2026-02-03'];

/** Twenty-four conversations, each with one archived, one failed, one waiting; some others besides. */
async function fill(harness: ListingHarness, part: string): Promise<void> {
  const { archive } = harness;
  const [first, ...more] = Array.from({ length: 24 }, (_, n) => n);
  for (const n of [first ?? 0, ...more]) {
    const conversationId = `${part}-${String(n)}`;
    const day = DAYS[n % DAYS.length] ?? '';
    const at = `${day}T10:00:00.000Z`;
    const of = (word: string): { recordingId: string; conversationId: string } => {
      return { recordingId: `${word}-${String(n)}`, conversationId };
    };
    await archive.recordFailure(of('failed'), failureOf(of('failed'), { failedAt: at }), signal());
    await archive.recordWaiting(of('waiting'), waitingOf(of('waiting'), { since: at }), signal());
    await archive.recordFailure(of('chat'), failureOf(of('chat'), { failedAt: at, status: 'no-media' }), signal());
    const none = { recordingId: undefined, conversationId: `${conversationId}-none` };
    const recently = new Date(Date.now() - 86_400_000 * (n % 3)).toISOString();
    const nothing = failureOf(none, { failedAt: recently, status: 'no-recordings', code: 'no-recordings' });
    await archive.recordFailure(none, nothing, signal());
    if (n === 0) await store(archive, of('call'), { head: bytesOf(part, 10), clusters: [], facts: { recordedAt: at } });
    const { recordingId } = of('call');
    const stored = { sizeBytes: 1, sha256: '0'.repeat(64), crc32c: 'AAAAAA==' };
    const manifest = manifestOf({ recordingId, conversationId }, stored, { recordedAt: at });
    if (n > 0)
      await harness.place(`recordings/${conversationId}/${recordingId}/manifest.json`, JSON.stringify(manifest));
    if (n > 0) await harness.place(`days/${day}/${conversationId}.${recordingId}`, '');
  }
}

/** Each by a process of its own: what one remembers of folders that are still is another matter. */
async function costOf(harness: ListingHarness): Promise<Record<string, { opened: number; listed: number }>> {
  const costs: Record<string, { opened: number; listed: number }> = {};
  for (const [name, query] of [
    ['page', {}],
    ['archived', { status: 'archived' }],
    ['failed', { status: 'failed' }],
    ['noMedia', { status: 'no-media' }],
    ['noRecordings', { status: 'no-recordings' }],
    ['conversation', { conversationId: 'few-1' }],
  ] as const) {
    const archive = await harness.another();
    harness.asked();
    const { entries } = await archive.list({ ...query, limit: LIMIT }, signal());
    costs[name] = harness.asked();
    assert.equal(entries.length, name === 'conversation' ? 4 : LIMIT, name);
  }
  return costs;
}

async function allOf(archive: Archive, query: Omit<ListQuery, 'limit'>): Promise<readonly string[]> {
  const seen: string[] = [];
  let page: Page = { entries: [], cursor: undefined };
  do {
    const cursor = page.cursor === undefined ? {} : { cursor: page.cursor };
    page = await archive.list({ ...query, ...cursor, limit: 7 }, signal());
    for (const { status, recording } of page.entries) {
      seen.push(`${status} ${recording.conversationId ?? '_'}/${recording.recordingId ?? '-'}`);
    }
  } while (page.cursor !== undefined);
  return seen;
}

function signal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

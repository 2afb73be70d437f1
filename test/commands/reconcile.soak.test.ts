/** An organization of many days, looked at by the real process: how many calls it makes, and what it takes of memory and CPU. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { dayBefore, daysBetween } from '../../src/instant.ts';
import { linesOf, startCommand } from '../support/commands/run.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { runs } from '../support/soak.ts';

const LAST = '2026-11-26';
const DAYS = daysBetween(dayBefore(LAST, runs(2, 30) - 1), LAST);
const CONVERSATIONS = runs(300, 3_334);
const PAGE = 1_000;
/** What the process may grow by beyond what it is once it has begun to ask, MiB. */
const GROWTH_MIB = 64;
/** Every so many-th request its figures are read; the last one tells. */
const EVERY = 50;

/** Peak of resident memory, MiB, and CPU so far, ms. https://man7.org/linux/man-pages/man5/proc.5.html */
function figuresOf(pid: number): { readonly peakMib: number; readonly cpuMs: number } | undefined {
  try {
    const peakKib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1]);
    const fields =
      readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
        .split(') ')[1]
        ?.split(' ') ?? [];
    return { peakMib: peakKib / 1024, cpuMs: (Number(fields[11]) + Number(fields[12])) * 10 };
  } catch {
    return undefined;
  }
}

test('a day costs a call for each conversation, one for each thousand, and three; memory is flat; a proven day costs none', async (t) => {
  const server = await startGenesysServer({ rateLimit: { allowed: 999_999, windowS: 60 } });
  const folder = await mkdtemp(join(tmpdir(), 'reconcile-'));
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  server.analytics.pendingPolls = 0;
  let recordings = 0;
  for (const day of DAYS)
    for (let index = 0; index < CONVERSATIONS; index += 1) {
      const conversationId = `${day}-${String(index)}`;
      server.analyze({ conversationId, start: `${day}T10:00:00.000Z`, end: `${day}T10:05:00.000Z` });
      // 13 recordings of 10 conversations, none with media: so the days are complete without anything being stored.
      for (let each = 0; each < (index % 10 < 3 ? 2 : 1); each += 1) {
        recordings += 1;
        server.addRecording({ recordingId: `r${String(recordings)}`, conversationId, media: 'chat' });
      }
    }
  const range = ['--from', DAYS[0] ?? LAST, '--to', LAST];
  const env = { ...server.environment(), ARCHIVE_URL: `file:${join(folder, 'archive')}` };
  const child = startCommand(['reconcile', ...range, '--json', '--quiet'], env);
  let first: ReturnType<typeof figuresOf>;
  let last: ReturnType<typeof figuresOf>;
  const watch = async (): Promise<void> => {
    const ended = once(child, 'exit');
    for (let seen = EVERY; child.exitCode === null; seen += EVERY) {
      const reached = new AbortController();
      await Promise.race([server.reached('*', seen, reached.signal).catch(() => undefined), ended]);
      reached.abort();
      last = figuresOf(child.pid ?? 0) ?? last;
      first ??= last;
    }
  };
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), watch()]);
  const lines = linesOf({ code: child.exitCode, stdout, stderr });
  assert.equal(child.exitCode, 0, stderr);
  const days = lines.filter(({ type }) => type === 'day');
  assert.ok(days.every(({ verdict }) => verdict === 'complete'));
  assert.equal(
    days.reduce((sum, { recordings: count }) => sum + Number(count), 0),
    recordings,
  );
  const counted = server.requests().filter(({ route }) => route !== 'token' && !route.startsWith('analytics-state'));
  const expected = DAYS.length * (CONVERSATIONS + Math.ceil(CONVERSATIONS / PAGE) + 3);
  assert.equal(counted.length, expected, 'calls but for polls of a state');
  assert.equal(
    days.reduce((sum, { calls }) => sum + Number(calls), 0),
    expected,
    'and the proofs say so',
  );
  const before = server.requests().length;
  for (const command of ['reconcile', 'backfill']) {
    const again = startCommand([command, ...range, '--quiet'], env);
    again.stdout.resume();
    again.stderr.resume();
    await once(again, 'close');
    assert.equal(again.exitCode, 0);
    assert.equal(server.requests().length, before, `${command}: proven days cost no call at all`);
  }
  // Only Linux tells of other processes.
  if (first === undefined || last === undefined) return t.diagnostic('no figures of the process');
  const grownMib = last.peakMib - first.peakMib;
  assert.ok(grownMib <= GROWTH_MIB, `${String(Math.round(grownMib))} MiB`);
  const total = DAYS.length * CONVERSATIONS;
  t.diagnostic(
    `${String(total)} conversations, ${String(recordings)} recordings: ${String(expected)} calls, ${(last.cpuMs / total).toFixed(2)} ms of CPU each, ${String(Math.round(grownMib))} MiB grown to ${String(Math.round(last.peakMib))} MiB`,
  );
});

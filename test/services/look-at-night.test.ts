import assert from 'node:assert/strict';
import { getPriority } from 'node:os';
import { test } from 'node:test';
import { newestProof, writeProof } from '../../src/archive/proofs.ts';
import { failureOf } from '../support/archive/content.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';
import { familyOf, NO_CENSUS } from '../support/service/children.ts';
import { daysAgo, has, NOW, openNight } from '../support/service/night.ts';
import { startService, until } from '../support/service/service.ts';

const signal = (): AbortSignal => AbortSignal.timeout(300_000);

test('what no event told of is fetched by the service itself, and the days are proven', async (t) => {
  const night = await openNight(t, true);
  night.lose('yesterday', daysAgo(1));
  night.lose('before', daysAgo(1));
  const lines = await night.look();
  assert.deepEqual([await has(night, 'yesterday'), await has(night, 'before')], [true, true]);
  const said = lines.find(({ message }) => message === 'Genesys was compared with the archive.');
  assert.equal(said?.['fetched'], 2);
  assert.equal(said['incomplete'], 0);
  const proof = await newestProof('complete', daysAgo(1), night.archive.notes, signal());
  assert.deepEqual([proof?.verdict, proof?.['archived'], proof?.['service']], ['complete', 2, '9']);
  assert.match(await night.metrics.text(), /^archiver_days_incomplete 0$/m);
});

test('Genesys is asked for the divisions once as a night begins, once for each proof and once as it ends', async (t) => {
  const night = await openNight(t);
  const asked = (): readonly string[] =>
    night.genesys.requests().flatMap(({ route }) => (/^(subject|analytics-\w+)$/.test(route) ? [route] : []));
  await night.look();
  const routes = asked();
  const begin = routes.findIndex((route) => route.startsWith('analytics-'));
  assert.deepEqual(routes.slice(0, begin), ['subject']);
  const proofs = await Promise.all(
    [2, 1, 0].map((days) => newestProof('complete', daysAgo(days), night.archive.notes, signal())),
  );
  const proven = proofs.filter((proof) => proof !== undefined).length;
  assert.ok(proven > 0);
  assert.equal(routes.filter((route) => route === 'subject').length, 1 + proven + 1);
});

test('a day of which Genesys can tell nothing is warned of and counted, and what was lost after it is fetched (invariant 11)', async (t) => {
  const night = await openNight(t, true);
  night.lose('refused', daysAgo(2));
  night.lose('yesterday', daysAgo(1));
  night.genesys.fault('list:c-refused', 'return-400;code:bad.request', 9);
  const lines = await night.look();
  assert.ok(await has(night, 'yesterday'));
  const warned = lines.filter(({ message }) => message === 'A day could not be looked at; the others were.');
  assert.deepEqual(
    warned.map(({ severity, day, code }) => [severity, day, code]),
    [['WARNING', daysAgo(2), 'bad-request']],
  );
  assert.match(await night.metrics.text(), /^archiver_days_incomplete 1$/m);
});

test('a fresh archive is not filled with years of calls: only what is since its first look', async (t) => {
  const night = await openNight(t, true);
  night.lose('long-ago', daysAgo(20));
  night.lose('since', daysAgo(6));
  await night.look();
  assert.deepEqual([await has(night, 'long-ago'), await has(night, 'since')], [false, false]);
  const at = { notes: night.archive.notes, at: new Date(NOW) };
  await writeProof('complete', { day: daysAgo(8), verdict: 'complete' }, at, signal());
  await night.look();
  assert.deepEqual([await has(night, 'long-ago'), await has(night, 'since')], [false, true]);
});

test('a day that stays incomplete is named with what to do, and after two days as an error', async (t) => {
  const night = await openNight(t);
  const day = daysAgo(1);
  night.lose('refused', day);
  await night.archive.recordFailure(
    { recordingId: 'r-refused', conversationId: 'c-refused' },
    {
      version: 1,
      recordingId: 'r-refused',
      conversationId: 'c-refused',
      status: 'failed',
      code: 'unreadable-media',
      reason: 'It is cut off.',
      attempts: 2,
      failedAt: new Date(NOW).toISOString(),
      service: '9',
    },
    signal(),
  );
  const [first] = (await night.look()).filter(({ day: named }) => named === day);
  assert.deepEqual(
    [first?.['severity'], first?.['message'], first?.['failed']],
    ['WARNING', 'A day is incomplete.', 1],
  );
  assert.equal(first?.['next'], `archiver reconcile --from ${day} --to ${day}`);
  assert.match(await night.metrics.text(), /^archiver_days_incomplete 1$/m);
  const at = { notes: night.archive.notes, at: new Date(NOW - 49 * 3_600_000) };
  await writeProof('complete', { day, verdict: 'incomplete' }, at, signal());
  const [second] = (await night.look()).filter(({ day: named }) => named === day);
  assert.deepEqual([second?.['severity'], second?.['message']], ['ERROR', 'A day has stayed incomplete for two days.']);
  assert.equal(second?.['since'], at.at.toISOString());
});

test('whoever is named is told of each incomplete day; nobody is where nobody is named', async (t) => {
  const named = { NOTIFY_URL: 'http://127.0.0.1:9/', NOTIFY_SECRET: 'a-secret-of-32-characters-or-more' };
  for (const [more, events] of [
    [named, ['day.incomplete']],
    [{}, []],
  ] as const) {
    const night = await openNight(t, false, more);
    const day = daysAgo(1);
    night.lose('refused', day);
    const recording = { recordingId: 'r-refused', conversationId: 'c-refused' };
    await night.archive.recordFailure(recording, failureOf(recording), signal());
    await night.look();
    assert.deepEqual(
      night.published.map((one) => (one.kind === 'notice' ? one.event : one.kind)),
      events,
    );
    for (const one of night.published) assert.ok(one.kind === 'notice' && one.day === day);
  }
});

test('live work is never behind the night’s list: at most what is under way goes before it', async (t) => {
  const night = await openNight(t, true, { TRANSCODE_SLOTS: '1' });
  for (let index = 0; index < 6; index += 1) night.lose(`lost-${String(index)}`, daysAgo(1));
  const { genesys } = night;
  const looking = night.look();
  await genesys.reached('media:*', 1, signal());
  const before = genesys.requests().length;
  assert.deepEqual(await night.live('live'), { outcome: 'done' });
  const since = genesys.requests().slice(before);
  const own = since.findIndex(({ route }) => route.startsWith('media:r-live'));
  assert.ok(own !== -1);
  const ahead = since.slice(0, own).filter(({ route }) => route.startsWith('media:'));
  assert.ok(ahead.length <= 1, ahead.map(({ route }) => route).join());
  const lines = await looking;
  const said = lines.find(({ message }) => message === 'Genesys was compared with the archive.');
  assert.deepEqual([said?.['fetched'], said?.['incomplete']], [6, 0]);
});

test('the night makes half of the calls that a token has and waits for the next window; live work does not wait with it', async (t) => {
  const allowed = 60;
  const night = await openNight(t, true, {}, { allowed, windowS: 600 });
  for (let index = 0; index < allowed; index += 1) night.lose(`lost-${String(index)}`, daysAgo(1));
  const { genesys } = night;
  const stop = new AbortController();
  const looking = night.look(stop.signal);
  const calls = (): number => genesys.requests().filter(({ route }) => !/^token$|r-live|c-live/.test(route)).length;
  await until(() => (calls() >= allowed / 2 ? true : undefined), signal());
  assert.deepEqual(await night.live('live'), { outcome: 'done' });
  assert.equal(calls(), allowed / 2);
  stop.abort();
  await assert.rejects(looking);
});

test('encoders of the night give way as those of a backfill do', { skip: NO_CENSUS }, async (t) => {
  const night = await openNight(t, true, { TRANSCODE_SLOTS: '1' });
  const [conversationId, start] = ['c-wave', `${daysAgo(1)}T00:10:00.000Z`];
  const files = [{ channel: '0', contentType: 'audio/wav', path: pathOfFixture('stereo-pcm.wav') }];
  night.genesys.addRecording({ recordingId: 'r-wave', conversationId, startTime: start, files });
  night.genesys.analyze({ conversationId, start, end: `${daysAgo(1)}T00:15:00.000Z` });
  night.genesys.fault('media:r-wave:*', 'stall-after-64K', 100);
  const stop = new AbortController();
  t.after(() => stop.abort());
  const looking = assert.rejects(night.look(stop.signal));
  const nice = Math.min(getPriority() + 10, 19);
  await until(() => familyOf(process.pid).find(({ pid }) => niceOf(pid) === nice), signal());
  stop.abort();
  await looking;
});

/** undefined of one that is gone. */
function niceOf(pid: number): number | undefined {
  try {
    return getPriority(pid);
  } catch {
    return undefined;
  }
}

test('with a single encoder a new recording takes it from the one that the night is at, which is made afterwards', async (t) => {
  const night = await openNight(t, true, { TRANSCODE_SLOTS: '1' });
  const { genesys } = night;
  const files = [{ channel: '0', contentType: 'audio/wav', path: pathOfFixture('stereo-pcm.wav') }];
  const [conversationId, start] = ['c-wave', `${daysAgo(1)}T00:10:00.000Z`];
  genesys.addRecording({ recordingId: 'r-wave', conversationId, startTime: start, files });
  genesys.analyze({ conversationId, start, end: `${daysAgo(1)}T00:15:00.000Z` });
  // Of itself it would never end.
  genesys.fault('media:r-wave:*', 'stall-after-64K', 1);
  const looking = night.look();
  await genesys.reached('media:r-wave:*', 1, signal());
  assert.deepEqual(await night.live('live', files), { outcome: 'done' });
  const said = (await looking).find(({ message }) => message === 'Genesys was compared with the archive.');
  assert.deepEqual([said?.['fetched'], said?.['incomplete']], [1, 0]);
  assert.ok((await night.archive.find({ recordingId: 'r-wave', conversationId }, signal())) !== undefined);
});

test('a night that cannot ask Genesys says so, and what was done until then stays', async (t) => {
  const night = await openNight(t);
  night.lose('yesterday', daysAgo(1));
  night.genesys.fault('analytics-availability', 'return-403;code:missing.any.permissions', 1_000);
  await assert.rejects(night.look(), /analytics:conversationDetail:view/);
});

test('serve looks at night unless RECONCILE says no', async (t) => {
  const { env } = await openNight(t);
  for (const [RECONCILE, shown] of [
    ['nightly', true],
    ['no', false],
  ] as const) {
    await using service = await startService('serve', { ...env, RECONCILE });
    const metrics = await (await fetch(`${service.url}/metrics`, { signal: signal() })).text();
    assert.equal(/^archiver_days_incomplete /m.test(metrics), shown, RECONCILE);
    assert.equal((await service.stop()).code, 0);
  }
});

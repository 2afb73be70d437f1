/** Every state of the find page and of a recording: nothing that accessibility rules or the policy forbid, in both themes and at two widths. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { failureOf, waitingOf } from '../support/archive/content.ts';
import { findChromium, launchChromium } from '../support/browser/browser.ts';
import { addCall } from '../support/console/calls.ts';
import { openView, picture, VIEWS } from '../support/console/chromium.ts';
import { type ConsoleScene, EVERYBODY, openConsoleScene } from '../support/console/console.ts';
import { runs } from '../support/soak.ts';

const executable = findChromium();
const OPTIONS = { skip: executable === undefined ? 'there is no Chromium on the PATH' : false, timeout: 400_000 };
const signal = (): AbortSignal => AbortSignal.timeout(120_000);
const HOSTILE = '"><script>alert(1)</script>\u202E'.repeat(4);

const STATES: readonly (readonly [string, string])[] = [
  ['recording', '/console/find?open=b0c5b9e0.r1'],
  ['nothing-found', '/console/find?q=nobody&minLength=60&status=archived&direction=inbound&queue=Claims'],
  ['waiting', '/console/find?open=w.w1'],
  ['failed', '/console/recordings/f/f1'],
  ['no-media', '/console/recordings/m/m1'],
  ['erased', '/console/recordings/gone/r9'],
  ['unknown', '/console/recordings/_/nowhere'],
  ['conversation', '/console/recordings/b0c5b9e0'],
  ['hostile', '/console/find?open=evil.r1'],
  ['no-levels', '/console/recordings/plain/r1'],
  ['screen-alone', '/console/recordings/b0c5b9e0/screen'],
];

let browser: Browser;
let scene: ConsoleScene;
let empty: ConsoleScene;
before(async () => {
  if (executable === undefined) return;
  [browser, scene, empty] = await Promise.all([launchChromium(executable), openConsoleScene(), openConsoleScene()]);
  scene.now = new Date('2026-11-27T17:09:00Z');
  const { archive } = scene;
  const call = { conversationId: 'b0c5b9e0', recordingId: 'r1' };
  await addCall(archive, call, { agent: 'Ines Carvalho', seconds: 20 });
  await addCall(archive, { ...call, recordingId: 'screen' }, { isKnown: false, medium: 'video', seconds: 20 });
  await addCall(
    archive,
    { conversationId: 'evil', recordingId: 'r1' },
    { agent: HOSTILE, queue: HOSTILE, number: '9'.repeat(300), seconds: 20, startedAt: '2026-11-26T10:00:00.000Z' },
  );
  await addCall(
    archive,
    { conversationId: 'plain', recordingId: 'r1' },
    { isKnown: false, hasLevels: false, seconds: 20, startedAt: '2026-11-25T10:00:00.000Z' },
  );
  const [failed, waits] = [
    { conversationId: 'f', recordingId: 'f1' },
    { conversationId: 'w', recordingId: 'w1' },
  ];
  await archive.recordFailure(
    failed,
    failureOf(failed, { failedAt: '2026-11-27T16:00:00.000Z', reason: HOSTILE }),
    signal(),
  );
  await archive.recordWaiting(waits, waitingOf(waits, { since: '2026-11-27T16:32:00.000Z' }), signal());
  const chat = { conversationId: 'm', recordingId: 'm1' };
  await archive.recordFailure(
    chat,
    failureOf(chat, { status: 'no-media', code: 'no-media', failedAt: '2026-11-27T15:00:00.000Z' }),
    signal(),
  );
  await archive.notes.create('erased/gone.r9.json', '{}', signal());
  await scene.search.fill(signal());
});
after(async () => {
  if (executable === undefined) return;
  await browser.close();
  await scene[Symbol.asyncDispose]();
  await empty[Symbol.asyncDispose]();
});

/** A light phone and a dark desk; all four in the long run. */
const views = runs(2, 4) === 4 ? VIEWS : VIEWS.filter(({ theme, width }) => (theme === 'light') === width < 1000);

for (const view of views) {
  test(`${view.theme}, ${String(view.width)} px: no state breaks a rule`, OPTIONS, async () => {
    await using opened = await openView(browser, view);
    const { page } = opened;
    for (const [name, path] of STATES) {
      await page.goto(scene.url + path, { waitUntil: 'networkidle' });
      assert.deepEqual(await opened.problems(), [], name);
      await picture(page, `state-${name}-${view.theme}-${String(view.width)}`);
    }
    await page.goto(`${empty.url}/console/find`);
    assert.deepEqual(await opened.problems(), [], 'nothing archived');
    await picture(page, `state-first-${view.theme}-${String(view.width)}`);
    scene.who = { ...EVERYBODY, roles: new Set(['listen']), divisions: new Set(['division-2']) };
    try {
      await page.goto(`${scene.url}/console/find?open=b0c5b9e0.r1`);
      assert.deepEqual(await opened.problems(), [], 'another division');
    } finally {
      scene.who = EVERYBODY;
    }
  });
}

test(
  '320 px, text twice as large, other colours: nothing is lost, nothing scrolls sideways but the table',
  OPTIONS,
  async () => {
    await using opened = await openView(browser, { theme: 'light', width: 320 });
    const { page } = opened;
    await page.emulateMedia({ forcedColors: 'active', reducedMotion: 'reduce' });
    for (const path of [
      '/console/find?open=b0c5b9e0.r1',
      '/console/recordings/b0c5b9e0/r1',
      '/console/find?open=evil.r1',
    ]) {
      await page.goto(scene.url + path, { waitUntil: 'networkidle' });
      assert.deepEqual(await opened.problems(), [], path);
      await page.evaluate("document.documentElement.style.fontSize = '200%'");
      assert.equal(
        await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth'),
        true,
        `${path} at 200 %`,
      );
    }
    await picture(page, 'state-320-large');
  },
);

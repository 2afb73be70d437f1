/** A screen beside its voice in real Chromium, measured while it plays: how far it is off, at each speed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { addCall } from '../support/console/calls.ts';
import { chromiumForTests, openView } from '../support/console/chromium.ts';
import { openConsoleScene } from '../support/console/console.ts';
import { runs } from '../support/soak.ts';

const chromium = chromiumForTests();
const IN_STEP_S = 0.1;

/**
 * Watches until the screen was in step all along one second of the voice (a browser that is kept from its work takes longer), then for
 * `seconds` more: how far it is off at each frame, and how often it is sought.
 */
const MEASURE = `async ([from, speed, seconds]) => {
  const player = document.querySelector('call-player');
  const voice = player.querySelector('.main');
  const screen = player.querySelector('.scr video');
  const select = player.querySelector('select[aria-label=Speed]');
  select.value = String(speed);
  select.dispatchEvent(new Event('change'));
  player.position = from;
  await voice.play();
  const off = () => Math.abs(screen.currentTime - (voice.currentTime - Number(screen.dataset.offset)));
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  let since = voice.currentTime;
  for (;;) {
    await frame();
    if (voice.ended) { player.position = from; await voice.play(); since = from; }
    if (voice.seeking || screen.seeking || off() > ${String(IN_STEP_S)}) since = voice.currentTime;
    if (voice.currentTime - since > 1) break;
  }
  let seeks = 0;
  screen.addEventListener('seeking', () => (seeks += 1));
  const offs = [];
  const end = voice.currentTime + seconds;
  while (!voice.ended && voice.currentTime < end) { offs.push(off()); await frame(); }
  voice.pause();
  return { offs, seeks };
}`;

interface Measured {
  readonly offs: readonly number[];
  readonly seeks: number;
}

function measure(page: Page, from: number, speed: number): Promise<Measured> {
  return page.evaluate<Measured>(`(${MEASURE})(${JSON.stringify([from, speed, runs(0.5, 15)])})`);
}

test(
  'the screen comes into step with the voice, within 100 ms at 1× and at 2×, and stays there',
  chromium.options,
  async (t) => {
    await using scene = await openConsoleScene();
    scene.now = new Date('2026-11-27T17:09:00Z');
    await addCall(scene.archive, { conversationId: 'c', recordingId: 'voice' }, { seconds: 60 });
    await addCall(
      scene.archive,
      { conversationId: 'c', recordingId: 'screen' },
      { isKnown: false, medium: 'video', seconds: 60, startedAt: '2026-11-27T16:58:08.400Z' },
    );
    await using view = await openView(chromium.browser(), { theme: 'light', width: 1440 });
    const { page } = view;
    await page.goto(`${scene.url}/console/recordings/c/voice`);
    for (const speed of [1, 2, 0.75, 1.5]) {
      const { offs, seeks } = await measure(page, 5, speed);
      const sorted = offs.toSorted((a, b) => a - b);
      const at = (part: number): number => 1_000 * (sorted[Math.floor(part * sorted.length)] ?? NaN);
      t.diagnostic(
        `${String(speed)}×: off by ${at(0.5).toFixed(0)} ms (median), ${at(0.95).toFixed(0)} ms (95 %), ${String(seeks)} seeks, ${String(offs.length)} frames`,
      );
      assert.ok(offs.length > 0);
      if (runs(0, 1) === 1) assert.ok(at(0.5) < 100, `${String(speed)}×: off by ${at(0.5).toFixed(0)} ms`);
    }
    assert.deepEqual(await view.problems(), []);
  },
);

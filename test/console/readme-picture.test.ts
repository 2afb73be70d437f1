/**
 * The picture of the console that README.md shows, made by the suite's own Chromium so that it cannot grow old:
 * `README_PICTURE=write node --test test/console/readme-picture.test.ts` makes it anew.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Browser } from 'playwright-core';
import { findChromium, launchChromium, openContext } from '../support/browser/browser.ts';
import { addCall } from '../support/console/calls.ts';
import { openView } from '../support/console/chromium.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';

const PICTURE = join(import.meta.dirname, 'console.png');
const executable = findChromium();
const OPTIONS = { skip: executable === undefined ? 'there is no Chromium on the PATH' : false, timeout: 300_000 };

const CALLS = [
  ['Ines Carvalho', 'Claims', '+49 30 901820', 94],
  ['Wen Li', 'Sales', '+44 20 7946 0018', 61],
  ['Amara Okafor', 'Claims', '+1 202 555 0143', 61],
  ['Ruth Weber', 'Support', '+49 89 215550', 94],
  ['Tomás Novák', 'Support', '+420 221 111 111', 61],
  ['Ines Carvalho', 'Claims', '+33 1 70 18 99 00', 94],
  ['Wen Li', 'Sales', '+44 20 7946 0301', 61],
] as const;

async function furnish(scene: ConsoleScene): Promise<void> {
  scene.now = new Date('2026-11-27T17:09:00Z');
  for (const [index, [agent, queue, number, seconds]] of CALLS.entries())
    await addCall(
      scene.archive,
      { conversationId: `call-${String(index + 1)}`, recordingId: 'voice' },
      { agent, queue, number, seconds, startedAt: `2026-11-27T16:${String(58 - index * 7).padStart(2, '0')}:11.000Z` },
    );
  await scene.search.fill(AbortSignal.timeout(120_000));
}

async function taken(browser: Browser, scene: ConsoleScene): Promise<Buffer> {
  await using opened = await openView(browser, { theme: 'light', width: 1440 });
  const { page } = opened;
  await page.setViewportSize({ width: 1440, height: 720 });
  await page.goto(`${scene.url}/console/find?from=2026-11-27&to=2026-11-27&open=call-1.voice`);
  // The wave is drawn once its levels have come.
  await page.waitForSelector('call-wave canvas');
  await page.waitForLoadState('networkidle');
  return await page.screenshot();
}

/** Mean difference of brightness, 0 to 255, of both in small: fonts and versions of Chromium differ in less. */
const DIFFERENCE = `async ([one, other]) => {
  const small = async (base64) => {
    const image = new Image();
    image.src = 'data:image/png;base64,' + base64;
    await image.decode();
    const canvas = new OffscreenCanvas(60, 32);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0, 60, 32);
    return [image.width, image.height, context.getImageData(0, 0, 60, 32).data];
  };
  const [a, b] = [await small(one), await small(other)];
  if (a[0] !== b[0] || a[1] !== b[1]) return 255;
  return a[2].reduce((sum, value, at) => sum + Math.abs(value - b[2][at]), 0) / a[2].length;
}`;

test('the console looks as the README shows it', OPTIONS, async (t) => {
  if (executable === undefined) return;
  const browser = await launchChromium(executable);
  t.after(() => browser.close());
  await using scene = await openConsoleScene();
  await furnish(scene);
  const now = await taken(browser, scene);
  if (process.env['README_PICTURE'] === 'write') writeFileSync(PICTURE, now);
  const page = await (await openContext(browser)).newPage();
  const both = [now, readFileSync(PICTURE)].map((image) => image.toString('base64'));
  const difference = await page.evaluate<number>(`(${DIFFERENCE})(${JSON.stringify(both)})`);
  t.diagnostic(`they differ by ${difference.toFixed(2)} of 255`);
  assert.ok(difference < 4, `they differ by ${difference.toFixed(2)} of 255: README_PICTURE=write makes it anew`);
});

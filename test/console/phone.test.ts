/** Tables on a phone and at a desk: nothing of a row is out of sight, and what a field asks for is read whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromiumForTests, openView, picture } from '../support/console/chromium.ts';
import { openConsoleScene } from '../support/console/console.ts';
import { addFailed } from '../support/console/troubles.ts';

const { options, browser } = chromiumForTests();
const GUID = '8f1c7a52-6f0a-4e0e-9a41-2f6f3c2a1b00';

/** What of it lies beyond the box that it stands in, or beyond the screen. */
const OUT_OF_SIGHT = `[...document.querySelectorAll('.fail td *, .fail td, .wide')].flatMap((one) => {
  const { right, width } = one.getBoundingClientRect();
  const isHidden = one.closest('.vh') !== null || width === 0;
  return !isHidden && (right > innerWidth + 0.5 || (one.matches('.wide') && one.scrollWidth > one.clientWidth + 1))
    ? [one.outerHTML.slice(0, 120)] : [];
})`;

/** The text that stands in an empty field, and the place for it, in pixels. */
const PLACEHOLDER = `(() => {
  const field = document.getElementById('q');
  const pen = document.createElement('canvas').getContext('2d');
  pen.font = getComputedStyle(field).font;
  const style = getComputedStyle(field);
  return pen.measureText(field.placeholder).width - field.clientWidth + parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
})()`;

for (const [theme, width] of [
  ['light', 390],
  ['dark', 390],
  ['light', 320],
  ['light', 1440],
] as const)
  test(`${theme}, ${String(width)} px`, options, async () => {
    await using scene = await openConsoleScene();
    for (const [code, reason] of [
      ['needs-restore', 'Archived at Genesys; has to be restored before it can be fetched'],
      ['unreadable-media', 'x'.repeat(300)],
    ] as const)
      await addFailed(scene.archive, {
        recordingId: `${GUID.slice(0, -2)}${String(code.length)}`,
        conversationId: GUID,
        code,
        reason,
      });
    await using opened = await openView(browser(), { theme, width });
    const { page } = opened;
    for (const [name, path] of [
      ['failures', '/console/failures'],
      ['health', '/console/health'],
      ['audit', '/console/audit'],
    ] as const) {
      await page.goto(scene.url + path);
      assert.deepEqual(await page.evaluate(OUT_OF_SIGHT), [], name);
      assert.deepEqual(await opened.problems(), [], name);
      assert.ok((await page.getByRole('row').count()) > 1, `${name}: it is a table to a screen reader`);
      await picture(page, `phone-${name}-${theme}-${String(width)}`);
    }
    await page.goto(`${scene.url}/console/find`);
    assert.ok((await page.evaluate<number>(PLACEHOLDER)) <= 0, 'the placeholder is cut off');
    await picture(page, `phone-find-${theme}-${String(width)}`);
  });

/** A page of the console in real Chromium → what is wrong with it: rules of accessibility, violated policy, complaints, sideways scrolling. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before } from 'node:test';
import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core';
import { findChromium, launchChromium, openContext } from '../browser/browser.ts';

export type Theme = 'light' | 'dark';

export interface View {
  readonly theme: Theme;
  readonly width: number;
}

/** Both themes at the width of a phone and of a desk. */
export const VIEWS: readonly View[] = (['light', 'dark'] as const).flatMap((theme) =>
  [390, 1440].map((width) => ({ theme, width })),
);

export const DESK: View = { theme: 'light', width: 1440 };

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export interface TestedBrowser {
  /** Of each test that needs it: skipped, visibly, where there is no Chromium. */
  readonly options: { readonly skip: string | false; readonly timeout: number };
  /** Only in a test. */
  readonly browser: () => Browser;
}

/** One Chromium for the tests of a file; to be called at its top. */
export function chromiumForTests(): TestedBrowser {
  const executable = findChromium();
  let browser: Browser | undefined;
  before(async () => {
    if (executable !== undefined) browser = await launchChromium(executable);
  });
  after(() => browser?.close());
  return {
    options: { skip: executable === undefined ? 'there is no Chromium on the PATH' : false, timeout: 400_000 },
    browser: () => browser ?? assert.fail('there is no Chromium'),
  };
}

/** Remembers what the browser reports before any script of the page runs. */
const WATCH = `window.violations = [];
document.addEventListener('securitypolicyviolation', (event) =>
  window.violations.push(event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sourceFile + ':' + event.lineNumber));`;

const RUN_AXE = `axe.run(document, {
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  resultTypes: ['violations'],
}).then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) =>
  id + ' at ' + target.join(' ') + ': ' + failureSummary)))`;

export interface Opened extends AsyncDisposable {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What the browser complained of so far. */
  readonly complaints: readonly string[];
  /** All that is wrong with what is shown now; nothing else may be. */
  problems(): Promise<readonly string[]>;
}

/** A window that was used, and may be used again: a new one takes three times as much as the pages that are shown in it. */
interface Window {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly devtools: CDPSession;
}

const free = new WeakMap<Browser, Window[]>();

/**
 * A window for one reader, who finds it as nobody had used it before: no cookies, nothing stored, nothing in the cache, nobody who
 * listens or routes. What cannot be taken back (a clock, scripts before those of the page) is for {@link openOwnView}.
 */
export async function openView(browser: Browser, view: View): Promise<Opened> {
  const windows = free.get(browser) ?? [];
  free.set(browser, windows);
  const window = windows.pop() ?? (await openWindow(browser));
  return opened(window, view, async () => {
    if (await isCleared(window)) windows.push(window);
    else await window.context.close();
  });
}

/** Presses Pause, however long the machine takes to get there: what has come to its end meanwhile has no such button. */
export async function pressPause(page: Page): Promise<void> {
  const loop = (isOn: boolean): Promise<unknown> =>
    page.evaluate(`document.querySelector('call-player .main').loop = ${String(isOn)}`);
  await loop(true);
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await loop(false);
}

/** A window that nobody has used, and nobody will. */
export async function openOwnView(browser: Browser, view: View): Promise<Opened> {
  const window = await openWindow(browser);
  return opened(window, view, () => window.context.close());
}

async function openWindow(browser: Browser): Promise<Window> {
  const context = await openContext(browser, {
    timezoneId: 'Europe/Berlin',
    locale: 'en-GB',
    ignoreHTTPSErrors: true,
  });
  await context.addInitScript(WATCH);
  const page = await context.newPage();
  return { page, context, devtools: await context.newCDPSession(page) };
}

/** Whether it is as new. A page that asks before it is left, or has crashed, is not. */
async function isCleared({ page, context, devtools }: Window): Promise<boolean> {
  try {
    for (const other of context.pages()) if (other !== page) await other.close();
    for (const event of ['request', 'response', 'console', 'pageerror', 'dialog'] as const)
      page.removeAllListeners(event);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.evaluate("location.protocol.startsWith('http') && (localStorage.clear(), sessionStorage.clear())");
    await page.goto('about:blank');
    await context.clearCookies();
    await context.clearPermissions();
    await devtools.send('Network.clearBrowserCache');
    await devtools.send('Storage.clearDataForOrigin', { origin: '*', storageTypes: 'all' });
    return true;
  } catch {
    return false;
  }
}

async function opened({ page, context }: Window, view: View, close: () => Promise<void>): Promise<Opened> {
  const { theme, width } = view;
  await page.setViewportSize({ width, height: 900 });
  await page.emulateMedia({ colorScheme: theme, forcedColors: null, reducedMotion: null });
  const complaints: string[] = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  return {
    page,
    context,
    complaints,
    async problems() {
      await page.evaluate(AXE);
      const rules = await page.evaluate<string[]>(RUN_AXE);
      const violations = await page.evaluate<string[]>('window.violations');
      const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - window.innerWidth');
      return [
        ...rules,
        ...violations,
        ...complaints,
        ...(overflow > 0 ? [`the page scrolls sideways by ${String(overflow)} px`] : []),
      ];
    },
    [Symbol.asyncDispose]: close,
  };
}

const CONTROLS =
  /^\s*- (button|link|slider|checkbox|radio|combobox|searchbox|textbox|switch|spinbutton|tab|menuitem)\b(?! ")/;

/** What a screen reader meets and can operate, and has no name for. */
export async function namelessControls(page: Page): Promise<readonly string[]> {
  const tree = await page.locator('body').ariaSnapshot();
  return tree.split('\n').filter((line) => CONTROLS.test(line));
}

/** Keeps a picture where CONSOLE_PICTURES names a folder; does nothing else. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['CONSOLE_PICTURES'];
  if (folder === undefined || folder === '') return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });
}

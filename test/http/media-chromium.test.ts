/** The real service's `/media` in a real browser: as a document of its own, in a page of another origin, and when the link runs out. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { pathOf, type Recording } from '../../src/recording.ts';
import { findChromium, launchChromium, openContext } from '../support/browser/browser.ts';
import { Caller } from '../support/service/caller.ts';
import { type FaultScene, KEY, openFaultScene, patience } from '../support/fault-scene.ts';
import { FIXTURES } from '../support/media/fixtures.ts';
import { type Service, startService, until } from '../support/service/service.ts';

const executable = findChromium();
const OPTIONS = { skip: executable === undefined ? 'there is no Chromium on the PATH' : false, timeout: 400_000 };

let browser: Browser | undefined;
let scene: FaultScene;
let call: Recording;
let screen: Recording;
before(async () => {
  if (executable === undefined) return;
  scene = await openFaultScene();
  browser = await launchChromium(executable);
  [call, screen] = [scene.add(FIXTURES.dual), scene.add(FIXTURES.webm)];
  await using service = await startService('serve', scene.env);
  await scene.accept(service, [call, screen]);
  for (const recording of [call, screen]) await scene.archived(service, recording);
  await service.stop();
});
after(async () => {
  if (executable === undefined) return;
  await browser?.close();
  await scene[Symbol.asyncDispose]();
});

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'",
  'cross-origin-resource-policy': 'cross-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

interface Watched {
  readonly page: Page;
  /** What the browser complained of: a violated policy among other things. */
  readonly complaints: readonly string[];
  /** Headers of the answers from `/media`, by status. */
  readonly answers: readonly { readonly status: number; readonly headers: Readonly<Record<string, string>> }[];
}

async function openPage(): Promise<Watched> {
  assert.ok(browser !== undefined);
  const page = await (await openContext(browser)).newPage();
  const complaints: string[] = [];
  const answers: { status: number; headers: Record<string, string> }[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('response', (response) => {
    if (new URL(response.url()).pathname.startsWith('/media/'))
      answers.push({ status: response.status(), headers: response.headers() });
  });
  return { page, complaints, answers };
}

/** A page of another origin that may load only what says of itself that it may be loaded there. */
async function serveStranger(): Promise<{ readonly url: string } & AsyncDisposable> {
  const server = createServer((_, response) => {
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>An agent’s desktop</title>');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    url: `http://127.0.0.1:${String(address.port)}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

interface Played {
  readonly duration: number;
  readonly from: number;
  readonly to: number;
  readonly width: number;
}

/** Plays a second from `at` on in the player that is there, or in a new one; what the player says where it does not. */
const PLAY = `async ({ tag, src, at }) => {
  const player = document.querySelector('video, audio') ?? document.createElement(tag);
  const happened = (name) => new Promise((resolve, reject) => {
    player.addEventListener(name, resolve, { once: true });
    player.addEventListener('error', () => reject(new Error('player error ' + player.error?.code)), { once: true });
  });
  if (src !== undefined) {
    const loaded = happened('loadedmetadata');
    player.src = src;
    document.body.append(player);
    await loaded;
  } else if (player.readyState < 1) await happened('loadedmetadata');
  player.muted = true;
  const sought = happened('seeked');
  player.currentTime = at;
  await sought;
  await player.play();
  const from = player.currentTime;
  while (player.currentTime < at + 1) await happened('timeupdate');
  player.pause();
  return { duration: player.duration, from, to: player.currentTime, width: player.videoWidth ?? 0 };
}`;

function play(
  page: Page,
  order: { readonly tag?: string; readonly src?: string; readonly at: number },
): Promise<Played> {
  return page.evaluate<Played>(`(${PLAY})(${JSON.stringify(order)})`);
}

function assertHeaders({ answers }: Watched): void {
  assert.ok(answers.length > 0);
  for (const { status, headers } of answers) {
    assert.ok(status === 200 || status === 206, String(status));
    for (const [name, value] of Object.entries(HEADERS)) assert.equal(headers[name], value, name);
  }
}

async function serve(env: Readonly<Record<string, string>> = {}): Promise<{ service: Service; caller: Caller }> {
  const service = await startService('playback', { ...scene.env, ...env });
  return { service, caller: new Caller(service.url, KEY) };
}

test(
  'a link opened as a document of its own plays and seeks under its policy, without a complaint of the browser',
  OPTIONS,
  async () => {
    const { service, caller } = await serve();
    await using _ = service;
    for (const [recording, seconds, width] of [
      [call, 90, 0],
      [screen, 20, 1280],
    ] as const) {
      const watched = await openPage();
      await watched.page.goto(await caller.link(recording));
      const played = await play(watched.page, { at: seconds * 0.8 });
      assert.ok(Math.abs(played.duration - seconds) < 0.1, `${String(played.duration)} s`);
      assert.ok(played.to >= seconds * 0.8 + 1);
      assert.equal(played.width, width);
      assertHeaders(watched);
      // The browser asks every site for its icon, which the policy refuses it.
      assert.deepEqual(
        watched.complaints.filter((text) => !text.includes('favicon.ico')),
        [],
      );
      await watched.page.close();
    }
  },
);

test(
  'a link in a page of another origin plays in <audio> and <video>, though that page may load nothing that does not allow it',
  OPTIONS,
  async () => {
    const { service, caller } = await serve();
    await using _ = service;
    await using stranger = await serveStranger();
    for (const [tag, recording, seconds, width] of [
      ['audio', call, 90, 0],
      ['video', call, 90, 0],
      ['video', screen, 20, 1280],
    ] as const) {
      const watched = await openPage();
      await watched.page.goto(stranger.url);
      const played = await play(watched.page, { tag, src: await caller.link(recording), at: seconds * 0.8 });
      assert.ok(Math.abs(played.duration - seconds) < 0.1, `${String(played.duration)} s`);
      assert.equal(played.width, width);
      assertHeaders(watched);
      await watched.page.close();
    }
  },
);

test(
  'a link is bytes for a player only: no script of another origin reads them, and none runs beside them',
  OPTIONS,
  async () => {
    const { service, caller } = await serve();
    await using _ = service;
    await using stranger = await serveStranger();
    const watched = await openPage();
    const link = await caller.link(call);
    await watched.page.goto(stranger.url);
    const read = await watched.page.evaluate<string>(
      `fetch(${JSON.stringify(link)}).then((answer) => 'read ' + answer.status, (error) => error.name)`,
    );
    assert.equal(read, 'TypeError');
    await watched.page.goto(link);
    const ran = await watched.page.evaluate<boolean>(`new Promise((resolve) => {
    const script = document.createElement('script');
    script.textContent = 'globalThis.ran = true';
    document.head.append(script);
    setTimeout(() => resolve(globalThis.ran === true));
  })`);
    assert.equal(ran, false);
    await watched.page.close();
  },
);

test(
  'a link that runs out while it plays is 403; a new one is given for a key only, and the player goes on from where it was (CL-09)',
  OPTIONS,
  async () => {
    const { service, caller } = await serve({ LINK_LIFETIME_S: '5' });
    await using _ = service;
    await using stranger = await serveStranger();
    const { page } = await openPage();
    await page.goto(stranger.url);
    const old = await caller.link(call);
    const { to } = await play(page, { tag: 'audio', src: old, at: 40 });
    await until(async () => ((await fetch(old, { method: 'HEAD' })).status === 403 ? true : undefined), patience());
    // What the player still has of it, it may go on with; a page that is loaded again has nothing.
    await page.reload();
    await assert.rejects(play(page, { tag: 'audio', src: old, at: to }), /player error/);

    const asked = `${service.url}/recordings/${pathOf(call)}/link`;
    assert.equal((await fetch(asked)).status, 401);
    const played = await play(page, { tag: 'audio', src: await caller.link(call), at: to });
    assert.ok(Math.abs(played.from - to) < 0.5 && played.to >= to + 1, JSON.stringify(played));
    await page.close();
  },
);

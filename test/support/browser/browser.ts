/** A real Chromium and a server of files it plays, which counts every byte it sends. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium } from 'playwright-core';

/** Where a Chromium lies; undefined where there is none. */
export function findChromium(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  return folders.flatMap((folder) => names.map((name) => path.join(folder, name))).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What hangs is ended by the test's own time, never by the browser's. */
export function launchChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    timeout: 0,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
}

/** For one reader, as patient as {@link launchChromium}. */
export async function openContext(browser: Browser, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(0);
  return context;
}

export interface Sent {
  readonly name: string;
  /** First byte asked for. */
  readonly start: number;
  /** Bytes given to the socket so far. */
  bytes: number;
}

export interface FileServer extends AsyncDisposable {
  readonly url: string;
  /** One entry per answer. */
  readonly sent: Sent[];
}

const PIECE = 16_384;

const PLAYER = readFileSync(path.join(import.meta.dirname, 'player.html'));

/**
 * Serves `files` by name with Range, the page with the functions that tests call at `/`, as fast as a line of `bytesPerSecond` would: on loopback a browser
 * takes megabytes before it notices that it has enough.
 */
export async function serveFiles(files: ReadonlyMap<string, Buffer>, bytesPerSecond: number): Promise<FileServer> {
  const sent: Sent[] = [];
  const pauseMs = (PIECE / bytesPerSecond) * 1000;
  const server = createServer((request, response) => void answer(request, response, { files, sent, pauseMs }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return {
    url: `http://127.0.0.1:${port}/`,
    sent,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Served {
  readonly files: ReadonlyMap<string, Buffer>;
  readonly sent: Sent[];
  readonly pauseMs: number;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { files, sent, pauseMs }: Served,
): Promise<void> {
  const name = (request.url ?? '/').slice(1);
  if (name === '') return void response.setHeader('content-type', 'text/html').end(PLAYER);
  const file = files.get(name);
  if (file === undefined) return void response.writeHead(404).end();
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(first ?? 0);
  const end = last === undefined || last === '' ? file.length : Number(last) + 1;
  response.writeHead(first === undefined ? 200 : 206, {
    'content-type': 'video/webm',
    'accept-ranges': 'bytes',
    'content-length': end - start,
    ...(first === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${file.length}` }),
  });
  const entry: Sent = { name, start, bytes: 0 };
  sent.push(entry);
  for (let at = start; at < end && !response.destroyed; at += PIECE) {
    const piece = file.subarray(at, Math.min(end, at + PIECE));
    response.write(piece);
    entry.bytes += piece.length;
    await setTimeout(pauseMs);
  }
  response.end();
}

/** The real console over a real archive, queue and audit in a temporary folder, on a free port; and somebody who visits it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { compileForBrowsers } from '../../../.ci/browser.mjs';
import { openFolderArchive, type FolderArchive } from '../../../src/archive/folder/folder.ts';
import { FolderAudit } from '../../../src/audit/folder-audit.ts';
import { openAssets } from '../../../src/console/assets.ts';
import {
  type ConsoleGiven,
  createConsole,
  type ConsoleOptions,
  type Doorkeeper,
} from '../../../src/console/console.ts';
import { DivisionNames } from '../../../src/console/divisions.ts';
import { HealthWatch } from '../../../src/console/health-facts.ts';
import type { Hearing } from '../../../src/console/hearing.ts';
import { ConsoleKeys } from '../../../src/console/who/console-keys.ts';
import { FormTokens } from '../../../src/console/who/form-tokens.ts';
import type { Identity } from '../../../src/console/who/identity.ts';
import { openDoor } from '../../../src/console/who/open-door.ts';
import { readConfig } from '../../../src/config/config.ts';
import { ROLES } from '../../../src/config/console.ts';
import { createApp } from '../../../src/http/app.ts';
import { Readiness } from '../../../src/http/health.ts';
import { listen } from '../../../src/http/server.ts';
import { Turnstile } from '../../../src/http/turnstile.ts';
import { Witness } from '../../../src/http/witness.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { freePort } from '../free-port.ts';
import { subjectKey } from '../../../src/archive/names.ts';
import { forgetRows, SqliteSearch } from '../../../src/search/sqlite-search.ts';
import { openSqliteQueue, type SqliteQueue } from '../../../src/queue/sqlite/sqlite.ts';

export interface ConsoleScene extends AsyncDisposable {
  readonly url: string;
  readonly archive: FolderArchive;
  /** Where it lies. */
  readonly path: string;
  readonly queue: SqliteQueue;
  readonly audit: FolderAudit;
  readonly search: SqliteSearch;
  readonly lines: readonly string[];
  /** Whom everybody is taken for; undefined: nobody has signed in. */
  who: Identity | undefined;
  /** Wall clock of the pages. */
  now: Date;
  /** A page, as a browser asks for it; `path` from / on. */
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** A form of the page at `from`, sent as a browser sends it, with the token that stands in it. */
  post(path: string, form: Readonly<Record<string, string>>, from?: string): Promise<Response>;
}

export const EVERYBODY: Identity = {
  id: 'maya.okoro@example.com',
  way: 'oidc',
  roles: new Set(ROLES),
  divisions: 'all',
};

function hearingOf(): Hearing {
  const listeners = new Turnstile({ all: 100, perKey: 100, retryAfterMs: 1_000, what: 'listeners' });
  const liveListeners = new Turnstile({ all: 4, perKey: 4, retryAfterMs: 1_000, what: 'live listeners' });
  return { listeners, liveListeners, listen: undefined, asksByConversation: true, channelNames: ['customer', 'agent'] };
}

export interface SceneOptions {
  readonly needs?: Partial<ConsoleGiven>;
  readonly options?: Partial<ConsoleOptions>;
  /** Signing in as `archiver console` would have it, instead of `who`. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Compiled and read once for all. */
let assets: ReturnType<typeof openAssets> | undefined;

export async function openConsoleScene(change: SceneOptions = {}): Promise<ConsoleScene> {
  if (assets === undefined) compileForBrowsers();
  const folder = await mkdtemp(join(tmpdir(), 'console-'));
  const path = join(folder, 'archive');
  const archive = openFolderArchive({ path, linkKeys: ['canary-link-key-1'], publicUrl: 'http://127.0.0.1' });
  const queue = openSqliteQueue({ path: join(folder, 'queue.db'), onTrouble: () => undefined });
  const audit = new FolderAudit({ root: path });
  const lines: string[] = [];
  const stream = new PassThrough();
  stream.on('data', (chunk: Buffer) => lines.push(...chunk.toString().split('\n').filter(Boolean)));
  const log = createLog({ level: 'debug', secrets: [], stream });
  const metrics = createMetrics();
  const keys = new ConsoleKeys(() => []);
  const indexFile = join(folder, 'index.db');
  const search = new SqliteSearch({ path: indexFile, archive, onTrouble: () => undefined });
  const state = { who: EVERYBODY as Identity | undefined, now: new Date() };
  const doorkeeper: Doorkeeper = {
    identify: async () => state.who,
    signInAt: (to) => `/console/sign-in?to=${encodeURIComponent(to)}`,
  };
  const port = await freePort();
  const url = `http://127.0.0.1:${String(port)}`;
  const witness = new Witness(audit, { proxies: 0 });
  const door =
    change.env &&
    (await openDoor({ config: readConfig(change.env, 'console'), publicUrl: url, witness, log, now: () => state.now }));
  const needs: ConsoleGiven = {
    archive,
    queue,
    audit,
    witness,
    health: new HealthWatch(
      {
        archive,
        queue,
        parts: new Readiness([{ name: 'archive', check: (signal) => archive.check(signal) }]),
        now: () => state.now,
      },
      0,
    ),
    metrics,
    log,
    version: '0.0.0-test',
    search,
    hearing: hearingOf(),
    rereads: new Turnstile({ all: 1, perKey: 1, retryAfterMs: 1_000, what: 'recordings read whole' }),
    patienceMs: 60_000,
    divisions: new DivisionNames(archive.notes, 0),
    keeping: { audit, forgetBeside: async (subjects) => forgetRows(indexFile, subjects.map(subjectKey)) },
    hashed: (text) => keys.hashed(text),
    now: () => state.now,
    ...change.needs,
  };
  const options: ConsoleOptions = {
    assets: await (assets ??= openAssets()),
    doorkeeper,
    tokens: new FormTokens(keys),
    publicUrl: undefined,
    ...door,
    ...change.options,
  };
  const routes = createApp({
    log,
    metrics,
    readiness: new Readiness([]),
    console: createConsole(needs, options),
  });
  const listener = await listen(routes, { host: '127.0.0.1', port });
  const get: ConsoleScene['get'] = (path, headers = {}) => fetch(`${url}${path}`, { redirect: 'manual', headers });
  return Object.assign(state, {
    url,
    archive,
    path,
    queue,
    audit,
    search,
    lines,
    get,
    async post(path: string, form: Readonly<Record<string, string>>, from = '/console/nowhere') {
      const [, token = ''] = /name="token" value="([^"]+)"/.exec(await (await get(from)).text()) ?? [];
      return fetch(`${url}${path}`, {
        method: 'POST',
        redirect: 'manual',
        headers: { 'sec-fetch-site': 'same-origin' },
        body: new URLSearchParams({ token, ...form }),
      });
    },
    async [Symbol.asyncDispose]() {
      await listener.close(0);
      await search.close();
      await audit.close();
      await queue.close();
      await archive.close();
      await rm(folder, { recursive: true });
    },
  });
}

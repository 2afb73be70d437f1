/** `archiver serve` whose secrets stand in files: nothing of them in its environment, and none needs a restart. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startGenesysServer } from '../support/genesys/server.ts';
import { hubSignature, send, tokenHeader } from '../support/service/senders.ts';
import { startService, type Service } from '../support/service/service.ts';

const HANG_GUARD = { timeout: 400_000 };

const genesys = await startGenesysServer({ clients: [{ id: 'c', secret: 'canary-client-secret' }] });
after(() => genesys.close());

/** The bound of every wait: decides nothing but whether a test hangs. */
function patience(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

async function status(service: Service, key: string): Promise<number> {
  const response = await fetch(`${service.url}/recordings`, { headers: { 'x-api-key': key }, signal: patience() });
  await response.body?.cancel();
  return response.status;
}

test(
  'keys, tokens and webhook secrets in files are revoked and added while it runs (B1) (B2)',
  HANG_GUARD,
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'secret-files-'));
    t.after(() => rm(folder, { recursive: true }));
    const put = async (name: string, text: string): Promise<string> => {
      const path = join(folder, name);
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
      return path;
    };
    const { GENESYS_CLIENT_SECRET = '', ...open } = genesys.environment();
    const env = {
      ...open,
      QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
      ARCHIVE_URL: `file:${join(folder, 'archive')}`,
      GENESYS_CLIENT_SECRET_FILE: await put('client', GENESYS_CLIENT_SECRET),
      API_KEYS_FILE: await put('keys', 'ops:canary-key-of-ops\nold:canary-key-of-old:2020-01-31\n'),
      WEBHOOK_TOKENS_FILE: await put('tokens', 'canary-token-number-1'),
      WEBHOOK_SECRETS_FILE: await put('secrets', 'canary-secret-number-1'),
      LINK_KEYS_FILE: await put('links', 'canary-link-key-number-1'),
      WEBHOOK_TOKEN_FILE: join(folder, 'tokens'),
    };
    await using service = await startService('serve', env);
    assert.doesNotMatch(await readFile(`/proc/${String(service.pid)}/environ`, 'utf8'), /canary/);

    await service.logged(
      { severity: 'WARNING', variable: 'WEBHOOK_TOKEN_FILE', meant: 'WEBHOOK_TOKENS_FILE' },
      patience(),
    );
    const inUse = await service.logged({ message: 'Keys are in use.' }, patience());
    assert.deepEqual(inUse['keys'], [
      { variable: 'LINK_KEYS', count: 1, names: ['key-1'], ended: [] },
      { variable: 'WEBHOOK_SECRETS', count: 1, names: ['key-1'], ended: [] },
      { variable: 'WEBHOOK_TOKENS', count: 1, names: ['key-1'], ended: [] },
      { variable: 'API_KEYS', count: 1, names: ['ops'], ended: ['old'] },
    ]);
    assert.deepEqual(
      [await status(service, 'canary-key-of-ops'), await status(service, 'canary-key-of-old')],
      [200, 401],
    );

    const event = { type: 'ping' };
    const again = (name: string): Promise<unknown> =>
      service.logged({ message: 'A file of secrets was read again.', name }, patience());
    assert.equal((await send(service.url, event, tokenHeader('canary-token-number-1'))).status, 202);
    assert.equal((await send(service.url, event, hubSignature('canary-secret-number-1', 'hex'))).status, 202);
    await put('keys', 'new:canary-key-of-new');
    await put('tokens', 'canary-token-number-2');
    await put('secrets', 'canary-secret-number-2');
    await Promise.all(['API_KEYS_FILE', 'WEBHOOK_TOKENS_FILE', 'WEBHOOK_SECRETS_FILE'].map(again));
    assert.deepEqual(
      [await status(service, 'canary-key-of-ops'), await status(service, 'canary-key-of-new')],
      [401, 200],
    );
    assert.equal((await send(service.url, event, tokenHeader('canary-token-number-1'))).status, 401);
    assert.equal((await send(service.url, event, tokenHeader('canary-token-number-2'))).status, 202);
    assert.equal((await send(service.url, event, hubSignature('canary-secret-number-1', 'hex'))).status, 401);
    assert.equal((await send(service.url, event, hubSignature('canary-secret-number-2', 'hex'))).status, 202);

    await put('keys', 'weak');
    await service.logged(
      { message: 'A file of secrets was not taken: what it held before goes on to be used.' },
      patience(),
    );
    assert.equal(await status(service, 'canary-key-of-new'), 200);
    assert.doesNotMatch(service.output(), /canary/);
  },
);

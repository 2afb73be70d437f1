/** `archiver receiver` whose Google credentials cannot be had: events are refused until they can, and nothing ends. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '../support/free-port.ts';
import { generateKeyPairSync } from 'node:crypto';
import { startService } from '../support/service/service.ts';

test(
  'each event is refused with what to mend, and once that is mended without a restart it is Pub/Sub that is asked',
  { timeout: 400_000 },
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'credentials-'));
    t.after(() => rm(folder, { recursive: true }));
    const path = join(folder, 'key.json');
    await using service = await startService('receiver', {
      QUEUE_URL: 'pubsub://some-project/some-topic',
      WEBHOOK_AUTH: 'none',
      GOOGLE_APPLICATION_CREDENTIALS: path,
      METADATA_SERVER_DETECTION: 'none',
      // Nobody listens there: no call leaves this machine.
      HTTPS_PROXY: `http://127.0.0.1:${String(await freePort())}`,
    });
    const answer = async (): Promise<readonly [number, string]> => {
      const response = await fetch(`${service.url}/webhooks/genesys`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"conversationId":"c"}',
      });
      return [response.status, await response.text()];
    };
    for (const times of [1, 2]) {
      const [status, text] = await answer();
      assert.equal(status, 503, `${String(times)}: ${text}`);
      assert.match(
        text,
        /"misconfigured".*some-topic.*the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be used/,
      );
    }
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    await writeFile(
      path,
      JSON.stringify({
        type: 'service_account',
        project_id: 'some-project',
        private_key_id: '1',
        private_key: privateKey,
        client_email: 'archiver@some-project.iam.gserviceaccount.com',
        client_id: '1',
        token_uri: 'https://oauth2.googleapis.com/token',
      }),
    );
    const [status, text] = await answer();
    assert.equal(status, 503);
    assert.match(text, /"queue-unavailable".*did not answer in time/);
    assert.doesNotMatch(service.output(), /unhandled/);
  },
);

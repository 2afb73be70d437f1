/** What the doctor asks of a machine beside the work of a service: nothing that would start an encoder more than there are slots. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '../../src/config/config.ts';
import { type Check, examine } from '../../src/doctor/check.ts';
import { Failure } from '../../src/failure.ts';
import type { Cage } from '../../src/media/encoder/cage.ts';
import { ownProbes, probesOfMachine } from '../../src/services/own-probes.ts';

const USUAL_ENV = {
  GENESYS_REGION: 'mypurecloud.de',
  GENESYS_CLIENT_ID: 'client',
  GENESYS_CLIENT_SECRET: 'canary-secret-of-the-client',
  WEBHOOK_TOKENS: 'canary-token-of-the-webhook',
  API_KEYS: 'canary-key-of-the-service',
};
const CAGE: Cage = { level: 'full', layers: [], open: [], missing: [] };

async function linesAbout(
  names: readonly string[],
  ffmpeg: () => Promise<{ version: string; cage: Cage }>,
): Promise<readonly Check[]> {
  await using opened = new AsyncDisposableStack();
  const path = await mkdtemp(join(tmpdir(), 'own-probes-'));
  opened.defer(() => rm(path, { recursive: true }));
  const env = { ...USUAL_ENV, ARCHIVE_URL: `file:${path}`, QUEUE_URL: `sqlite:${path}/queue.db` };
  const config = readConfig(env, 'serve');
  const probes = ownProbes({ config, opened }, ffmpeg).filter(({ name }) => names.includes(name));
  const lines: Check[] = [];
  for await (const line of examine(probes, AbortSignal.timeout(60_000))) lines.push(line);
  return lines;
}

test('invariant 5: the encoder that a service has found is not started again to be looked at', async () => {
  const { PATH } = process.env;
  process.env['PATH'] = '/nonexistent';
  try {
    const lines = await linesAbout(['ffmpeg', 'cage'], async () => ({ version: 'ffmpeg 7.1', cage: CAGE }));
    assert.deepEqual(
      lines.map(({ name, state, found }) => [name, state, found]),
      [
        ['ffmpeg', 'ok', 'ffmpeg 7.1, with all encoders that are needed'],
        ['cage', 'ok', 'encoders reach nothing but their media'],
      ],
    );
  } finally {
    process.env['PATH'] = PATH;
  }
});

test('what grows on this machine has its disk looked at, and what lies in the cloud has none', async () => {
  const disksOf = (env: Readonly<Record<string, string>>): readonly (string | undefined)[] =>
    probesOfMachine(readConfig({ ...USUAL_ENV, ...env }, 'serve'), () => assert.fail('nobody asks'))
      .filter(({ name }) => name === 'disk')
      .map(({ about }) => about);
  const [folder, bucket] = [{ ARCHIVE_URL: 'file:/var/archive' }, { ARCHIVE_URL: 'gs://recordings' }];
  const [file, topic] = [{ QUEUE_URL: 'sqlite:/var/queue.db' }, { QUEUE_URL: 'pubsub://p/t?subscription=s' }];
  assert.deepEqual(disksOf({ ...folder, ...file }), ['archive', 'queue']);
  assert.deepEqual(disksOf({ ...bucket, ...file }), ['queue']);
  assert.deepEqual(disksOf({ ...folder, ...topic }), ['archive']);
  assert.deepEqual(disksOf({ ...bucket, ...topic }), []);
});

test('an encoder that is gone since is a line that says so', async () => {
  const gone = new Failure('misconfigured', '/usr/bin/ffmpeg is gone; install it');
  const [line] = await linesAbout(['ffmpeg'], () => Promise.reject(gone));
  assert.deepEqual([line?.state, line?.found], ['fail', '/usr/bin/ffmpeg is gone; install it']);
});

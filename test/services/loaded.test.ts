/** What a start loads is paid at every start: what is not asked for is not loaded. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openEmbedded } from '../support/service/embedded.ts';
import { startService } from '../support/service/service.ts';

/** Names every module as it is loaded, by import or by require; at the end, in a file, Node's own. */
const probe = (file: string): string => `import { registerHooks } from 'node:module';
import { writeFileSync } from 'node:fs';
process.on('exit', () => writeFileSync(${JSON.stringify(file)}, process.moduleLoadList.join('\\n')));
registerHooks({ load: (url, context, next) => (process.stderr.write('loaded ' + url + '\\n'), next(url, context)) });`;

/** Of Genesys nothing is asked before it is needed. */
const GENESYS = {
  GENESYS_REGION: 'mypurecloud.de',
  GENESYS_CLIENT_ID: '5f2b1c3d-0000-4000-8000-000000000001',
  GENESYS_CLIENT_SECRET: 'a-client-secret-of-ours',
  RECONCILE: 'no',
};

/** What only some have asked for, by the names of its files. */
const LATE: Readonly<Record<string, RegExp>> = {
  'Google’s libraries': /\/node_modules\/(@google-cloud|google-auth-library|google-gax)\//,
  OpenTelemetry: /\/node_modules\/@opentelemetry\//,
  'what signs people in': /\/node_modules\/openid-client\//,
  'what prom-client has beside the figures that are used': /\/node_modules\/(tdigest|bintrees)\//,
  commands: /\/src\/commands\//,
  'the queue and the archive of Google': /\/src\/(queue\/pubsub|archive\/bucket)\//,
  'exports and certificates': /\/src\/(export\/|certificate\/(certify|kms|page)\.)/,
};

for (const command of ['serve', 'worker', 'playback']) {
  test(`an embedded ${command} loads nothing that it was not asked for`, { timeout: 120_000 }, async () => {
    const environment = await openEmbedded();
    const file = join(await mkdtemp(join(tmpdir(), 'loaded-')), 'own');
    try {
      await using service = await startService(command, {
        ...environment.env,
        ...GENESYS,
        API_AUTH: 'none',
        WEBHOOK_AUTH: 'none',
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(probe(file))}`,
      });
      const loaded = service
        .output()
        .split('\n')
        .filter((line) => line.startsWith('loaded file:'));
      assert.ok(
        loaded.some((line) => line.includes('/node_modules/express/')),
        'the probe sees what is loaded',
      );
      for (const [what, files] of Object.entries(LATE))
        assert.deepEqual(
          loaded.filter((line) => files.test(line)),
          [],
          what,
        );
      assert.deepEqual((await service.stop()).code, 0);
      const own = await readFile(file, 'utf8');
      assert.match(own, /^NativeModule http$/m, 'the probe sees what is Node’s own');
      assert.doesNotMatch(own, /internal\/deps\/undici/, 'Node’s own undici');
    } finally {
      await rm(dirname(file), { recursive: true });
      await environment.close();
    }
  });
}

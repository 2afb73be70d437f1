import assert from 'node:assert/strict';
import { test } from 'node:test';
import { slipsIn } from '../../src/config/slips.ts';
import { VARIABLES } from '../../src/config/variables.ts';

const of = (...names: readonly string[]): readonly string[] =>
  slipsIn(Object.fromEntries(names.map((name) => [name, 'x']))).map(({ name, meant }) => `${name} → ${meant}`);

test('a variable that is nearly one of ours is named with the one that was probably meant', () => {
  assert.deepEqual(
    of('ARCHIVE_ORIGINALS', 'KEEP_DETAIL', 'TRANSCODE_SLOT', 'API_KEY', 'GENESYS_CLIENT_SECRETS_FILE', 'Archive_Url'),
    [
      'ARCHIVE_ORIGINALS → ARCHIVE_ORIGINAL',
      'KEEP_DETAIL → KEEP_DETAILS',
      'TRANSCODE_SLOT → TRANSCODE_SLOTS',
      'API_KEY → API_KEYS',
      'GENESYS_CLIENT_SECRETS_FILE → GENESYS_CLIENT_SECRET_FILE',
      'Archive_Url → ARCHIVE_URL',
    ],
  );
});

test('none of ours is a slip, and neither are those of systems, shells and other programs', () => {
  assert.deepEqual(of(...Object.keys(VARIABLES), 'API_KEYS_FILE', 'https_proxy', 'no_proxy'), []);
  assert.deepEqual(
    of(
      ...'HOME HOSTNAME PORTS LC_ALL LOGNAME NODE_ENV NODE_OPTIONS NODE_COMPILE_CACHE K_SERVICE K_REVISION FTP_PROXY ALL_PROXY'.split(
        ' ',
      ),
      ...'OTEL_METRICS_EXPORTER OTEL_LOGS_EXPORTER OTEL_EXPORTER_OTLP_METRICS_ENDPOINT OTEL_EXPORTER_OTLP_LOGS_HEADERS'.split(
        ' ',
      ),
      ...'CLOUD_RUN_JOB CLOUD_RUN_EXECUTION GENESYSCLOUD_REGION npm_config_user_agent SSL_CERT_FILE KUBERNETES_PORT'.split(
        ' ',
      ),
    ),
    [],
  );
});

/** What terraform/ says, against the rules that keep recordings safe; terraform-cli.test.ts holds it against the provider's schema. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { COMMANDS } from '../../src/commands/contents.ts';
import { parseFlags } from '../../src/commands/flags.ts';
import { EXIT } from '../../src/commands/report.ts';
import { encodeDetails, parseDetails } from '../../src/archive/details.ts';
import { archivedRow, encodeIndexRow } from '../../src/archive/index-row.ts';
import { readConfig } from '../../src/config/config.ts';
import { VARIABLES } from '../../src/config/variables.ts';
import { MAX_ATTEMPTS } from '../../src/delivery/schedule.ts';
import { laterNameOf, longNameOf } from '../../src/queue/pubsub/settle.ts';
import { manifestOf } from '../support/archive/content.ts';
import {
  addressOf,
  bodiesOf,
  bodyOf,
  readConfiguration,
  TERRAFORM,
  type Body,
  type TerraformBlock,
} from '../support/terraform/files.ts';

const EXAMPLE = join(TERRAFORM, 'examples', 'complete');
const configuration = await readConfiguration();
const { blocks, variables, outputs, locals, modules, files } = configuration;
const { files: serviceFiles } = await readConfiguration(join(TERRAFORM, 'service'));
const { blocks: eraserBlocks } = await readConfiguration(join(TERRAFORM, 'eraser'));

suite('terraform/', () => {
  test('nothing is declared in vain', () => {
    const read = JSON.stringify([...files.values()]);
    const declared = [
      ...[...variables.keys()].map((name) => `var.${name}`),
      ...[...locals.keys()].map((name) => `local.${name}`),
    ];
    assert.deepEqual(
      declared.filter((name) => !new RegExp(`\\b${name}\\b`).test(read)),
      [],
    );
    assert.ok(declared.length > 40);
  });

  test('what stands at another address than in an earlier version is moved rather than made again', () => {
    const moves = [...files.values()]
      .flatMap((file) => bodiesOf(file['moved']))
      .map(({ from, to }) => `${String(from)} → ${String(to)}`);
    assert.deepEqual(moves.toSorted(), [
      '${google_cloud_run_v2_service.playback} → ${module.playback.google_cloud_run_v2_service.this}',
      '${google_cloud_run_v2_service.receiver} → ${module.receiver.google_cloud_run_v2_service.this}',
      '${google_cloud_run_v2_service.worker[0]} → ${module.worker[0].google_cloud_run_v2_service.this}',
      '${google_monitoring_alert_policy.failures} → ${google_monitoring_alert_policy.log["failures"]}',
      '${google_monitoring_alert_policy.operator} → ${google_monitoring_alert_policy.log["operator"]}',
      '${google_monitoring_alert_policy.stuck} → ${google_monitoring_alert_policy.log["stuck"]}',
    ]);
  });

  test('every variable has a type, a description and, but for yes or no, a validation', () => {
    for (const [name, body] of variables) {
      assert.ok(String(body['description']).length > 20, `${name} has a description`);
      assert.ok(body['type'] !== undefined, `${name} has a type`);
      assert.ok(body['type'] === '${bool}' || bodiesOf(body['validation']).length > 0, `${name} has a validation`);
    }
    for (const [name, body] of outputs) assert.ok(String(body['description']).length > 10, `${name} has a description`);
  });

  test('six variables are to be set, and the example sets them and takes them', async () => {
    const required = [...variables].filter(([, body]) => !Object.hasOwn(body, 'default')).map(([name]) => name);
    assert.equal(required.length, 6);
    const example = await readConfiguration(EXAMPLE);
    assert.deepEqual([...example.variables.keys()], required);
    const filled = await readFile(join(EXAMPLE, 'terraform.tfvars.example'), 'utf8');
    for (const name of required)
      assert.equal(new RegExp(`^${name} +=`, 'm').test(filled), !name.endsWith('_secret'), name);
    const set = Object.keys(example.modules.get('archiver') ?? {}).filter((name) => name !== 'source');
    assert.deepEqual(
      required.filter((name) => !set.includes(name)),
      [],
    );
    assert.deepEqual(
      set.filter((name) => !variables.has(name)),
      [],
    );
  });
});

test('what the README asks Terraform for is an output of the example that it applies', async () => {
  const readme = await readFile(join(TERRAFORM, 'README.md'), 'utf8');
  const asked = [...readme.matchAll(/terraform output -raw (\w+)/g)].map(([, name = '']) => name);
  assert.ok(asked.length > 1);
  const { outputs: given } = await readConfiguration(EXAMPLE);
  assert.deepEqual(
    asked.filter((name) => !given.has(name)),
    [],
  );
});

suite('terraform/, the queue', () => {
  const subscriptions = blocks.filter(({ type }) => type === 'google_pubsub_subscription');

  test('no subscription expires, however long it is idle (QU-07)', () => {
    assert.equal(subscriptions.length, 5);
    for (const { body } of subscriptions) {
      assert.deepEqual(body['expiration_policy'], [{ ttl: '' }]);
      assert.equal(body['message_retention_duration'], '2678400s');
    }
  });

  test('no variable takes a topic or a subscription away, and what it holds with it', () => {
    const queue = blocks.filter(({ type }) => /^google_pubsub_(topic|subscription)$/.test(type));
    assert.equal(queue.length, 10);
    for (const block of queue) assert.ok(!('count' in block.body) && !('for_each' in block.body), addressOf(block));
  });

  test('dead letters lie on a subscription, and the agent of Pub/Sub may bring them there (QU-06)', () => {
    const policies = subscriptions.flatMap(({ body }) => bodiesOf(body['dead_letter_policy']));
    assert.deepEqual(
      policies.map((policy) => policy['dead_letter_topic']),
      ['${google_pubsub_topic.dead.id}', '${google_pubsub_topic.dead.id}'],
    );
    const holders = subscriptions.filter(({ body }) => body['topic'] === '${google_pubsub_topic.dead.id}');
    assert.deepEqual(
      holders.map(({ body }) => body['dead_letter_policy']),
      [undefined],
    );
    assert.deepEqual(rightsOf('${local.pubsub_agent}'), [
      'roles/iam.serviceAccountTokenCreator on ${google_service_account.pusher.name}',
      'roles/pubsub.publisher on ${google_pubsub_topic.dead.name}',
      'roles/pubsub.subscriber on ${google_pubsub_subscription.long.name}',
      'roles/pubsub.subscriber on ${google_pubsub_subscription.worker.name}',
    ]);
    assert.match(String(locals.get('pubsub_agent')), /service-\$\{.*\.number\}@gcp-sa-pubsub\.iam/);
  });

  test('a message dies only after more deliveries than the worker makes attempts', () => {
    const policies = subscriptions.flatMap(({ body }) => bodiesOf(body['dead_letter_policy']));
    const attempts = policies.flatMap((policy) => String(policy['max_delivery_attempts']).match(/\d+/g) ?? []);
    assert.equal(attempts.length, 3);
    for (const count of attempts.map(Number)) assert.ok(count > MAX_ATTEMPTS && count <= 100);
  });

  test('what waits does so under the names that the worker makes of its own, and never dies of it', () => {
    const topic = blockAt('google_pubsub_topic.later');
    assert.equal(topic.body['name'], laterNameOf('${local.topic}'));
    const subscription = blockAt('google_pubsub_subscription.later');
    assert.equal(subscription.body['name'], laterNameOf('${local.subscription}'));
    assert.equal(subscription.body['topic'], '${google_pubsub_topic.later.id}');
    assert.equal(subscription.body['dead_letter_policy'], undefined);
    assert.deepEqual(subscription.body['retry_policy'], [{ minimum_backoff: '10s', maximum_backoff: '600s' }]);
  });

  test('what takes too long for a push lies under the names that the worker makes of its own, and is pulled (QU-03)', () => {
    const long = longNameOf('${local.topic}');
    assert.equal(blockAt('google_pubsub_topic.long').body['name'], long);
    assert.equal(blockAt('google_pubsub_topic.long_later').body['name'], laterNameOf(long));
    const { body: work } = blockAt('google_pubsub_subscription.long');
    const { body: later } = blockAt('google_pubsub_subscription.long_later');
    assert.deepEqual(
      [work['topic'], later['topic']],
      ['${google_pubsub_topic.long.id}', '${google_pubsub_topic.long_later.id}'],
    );
    assert.equal(work['name'], longNameOf('${local.subscription}'));
    assert.equal(later['name'], laterNameOf(longNameOf('${local.subscription}')));
    assert.deepEqual([work['ack_deadline_seconds'], later['ack_deadline_seconds']], [60, 120]);
    for (const body of [work, later]) {
      assert.deepEqual(body['retry_policy'], [{ minimum_backoff: '10s', maximum_backoff: '600s' }]);
      assert.deepEqual([body['dynamic'], body['push_config']], [undefined, undefined]);
    }
    assert.deepEqual(
      [bodiesOf(work['dead_letter_policy'])[0]?.['max_delivery_attempts'], later['dead_letter_policy']],
      [20, undefined],
    );
    const pool = bodyOf(bodyOf(locals.get('pools'))['long']);
    const queueUrl = `${longNameOf('${local.queue_url}')}?subscription=${longNameOf('${local.subscription}')}`;
    assert.deepEqual([pool['mode'], pool['queue_url']], ['push', queueUrl]);
  });

  test('nobody may publish before there is a subscription that keeps what is published', () => {
    const KEPT_BY: Readonly<Record<string, readonly string[]>> = {
      receiver_publishes: ['worker'],
      playback_publishes: ['worker'],
      console_publishes: ['worker'],
      worker_publishes: ['worker', 'later', 'long', 'long_later'],
      agent_publishes_dead: ['dead'],
    };
    // A topic that is somebody else's has somebody else's subscriptions.
    const rights = blocks.filter(
      ({ type, body }) => type === 'google_pubsub_topic_iam_member' && body['topic'] !== '${var.notification_topic}',
    );
    assert.deepEqual(rights.map(({ name }) => name).toSorted(), Object.keys(KEPT_BY).toSorted());
    for (const { name, body } of rights)
      assert.deepEqual(
        body['depends_on'],
        KEPT_BY[name]?.map((subscription) => `\${google_pubsub_subscription.${subscription}}`),
      );
  });

  test('receiver, playback and console start only once they may publish', () => {
    for (const name of ['receiver', 'playback', 'console']) {
      const body = bodyOf(modules.get(name));
      assert.ok(JSON.stringify(body['depends_on']).includes(`google_pubsub_topic_iam_member.${name}_publishes}`), name);
    }
  });

  test('the alert on old messages looks at every queue, but not where messages wait for their time and a worker for them', () => {
    const { body } = blockAt('google_monitoring_alert_policy.oldest_message');
    const [conditions] = bodiesOf(bodyOf(body['dynamic'])['conditions']);
    assert.equal(conditions?.['for_each'], '${local.worked_off}');
    const [condition] = bodiesOf(conditions?.['content']);
    const [threshold] = bodiesOf(condition?.['condition_threshold']);
    assert.match(
      String(threshold?.['filter']),
      /resource\.labels\.subscription_id=\\?"\$\{conditions\.value\}\\?" AND/,
    );
    const looked = [...String(locals.get('worked_off')).matchAll(/google_pubsub_subscription\.(\w+)/g)];
    assert.deepEqual(
      looked.map(([, name]) => name),
      ['worker', 'long', 'long_later'],
    );
  });

  test('the alert tells how to take what push has left, with the rights there are in pull mode (QU-03)', () => {
    const { body } = blockAt('google_monitoring_alert_policy.oldest_message');
    const content = String(bodiesOf(body['documentation'])[0]?.['content']);
    assert.match(content, /worker_mode back to "push".*`archiver worker`.*QUEUE_URL=\$\{local\.drain_url\}/);
    assert.equal(
      locals.get('drain_url'),
      '${local.queue_url}?subscription=${google_pubsub_subscription.long.name}',
      'in pull mode nobody may publish on TOPIC-long',
    );
  });
});

suite('terraform/, the archive and its rights', () => {
  const { body: bucket } = blockAt('google_storage_bucket.archive');

  test('the bucket is never public and never deleted by accident', () => {
    assert.equal(bucket['uniform_bucket_level_access'], true);
    assert.equal(bucket['public_access_prevention'], 'enforced');
    assert.equal(bucket['force_destroy'], false);
    const ignored = ['${enable_object_retention}'];
    assert.deepEqual(bucket['lifecycle'], [{ prevent_destroy: true, ignore_changes: ignored }]);
    assert.equal(bucket['enable_object_retention'], '${var.lock_days == null ? null : true}', 'of a new one');
  });

  test('nothing but what lies under staging/ or was replaced where things change is ever deleted by age', () => {
    const rules = bodiesOf(bucket['lifecycle_rule']).map((rule) => ({
      action: bodiesOf(rule['action'])[0]?.['type'],
      condition: bodiesOf(rule['condition'])[0] ?? {},
    }));
    const deletes = rules.filter(({ action }) => action === 'Delete').map(({ condition }) => condition);
    assert.deepEqual(
      deletes.map((condition) => condition['matches_prefix']),
      [['${local.root}staging/'], '${[for folder in local.changing_folders : "${local.root}${folder}"]}'],
    );
    assert.ok(Number(deletes[0]?.['age']) >= 2, 'later than the sweep of the worker, which waits a day');
    assert.equal(deletes[1]?.['with_state'], 'ARCHIVED');
    assert.ok(rules.some(({ action }) => action === 'AbortIncompleteMultipartUpload'));
  });

  test('each account has these rights and no others', () => {
    assert.deepEqual(rightsOf('${google_service_account.receiver.member}'), [
      'roles/pubsub.publisher on ${google_pubsub_topic.messages.name}',
    ]);
    assert.deepEqual(rightsOf('${google_service_account.worker.member}'), [
      '${google_project_iam_custom_role.locks[0].name} on ${google_storage_bucket.archive.name} if recordings',
      'roles/pubsub.publisher on each of google_pubsub_topic.later google_pubsub_topic.messages, with push google_pubsub_topic.long google_pubsub_topic.long_later',
      'roles/pubsub.subscriber on each of google_pubsub_subscription.long google_pubsub_subscription.long_later, with pull google_pubsub_subscription.later google_pubsub_subscription.worker',
      'roles/storage.objectCreator on ${google_storage_bucket.archive.name} if archive',
      'roles/storage.objectUser on ${google_storage_bucket.archive.name} if staging-and-what-changes',
      'roles/storage.objectViewer on ${google_storage_bucket.archive.name} if archive-and-listing',
    ]);
    assert.deepEqual(rightsOf('${google_service_account.playback.member}'), [
      'roles/iam.serviceAccountTokenCreator on ${google_service_account.playback.name}',
      'roles/pubsub.publisher on ${google_pubsub_topic.messages.name} if archive_on_listen',
      'roles/storage.objectCreator on ${google_storage_bucket.archive.name} if audit',
      'roles/storage.objectViewer on ${google_storage_bucket.archive.name} if archive-and-listing',
    ]);
    assert.deepEqual(rightsOf('${google_service_account.console.member}'), [
      'roles/pubsub.publisher on ${google_pubsub_topic.messages.name}',
      'roles/storage.objectCreator on ${google_storage_bucket.archive.name} if audit',
      'roles/storage.objectViewer on ${google_storage_bucket.archive.name} if archive-and-listing',
    ]);
    assert.deepEqual(rightsOf('${google_service_account.this.member}', eraserBlocks), [
      'roles/storage.objectCreator on ${var.bucket} if audit',
      'roles/storage.objectUser on ${var.bucket} if all-but-audit-and-proofs',
      'roles/storage.objectViewer on ${var.bucket} if archive-and-listing',
    ]);
    const roles = blocks.filter(({ type }) => type === 'google_project_iam_custom_role');
    assert.deepEqual(
      roles.map(({ name, body }) => [name, body['permissions']]),
      [['locks', ['storage.objects.setRetention']]],
    );
    assert.equal(eraserBlocks.filter(({ type }) => type !== 'google_service_account').length, 3, 'and nothing else');
    assert.doesNotMatch(JSON.stringify([...files.values()]), /module\.(keeper|retention)(\[0\])?\.account\.member/);
    assert.deepEqual(rightsOf('${google_service_account.pusher.member}'), [
      'roles/run.invoker on ${module.worker[0].service.name}',
    ]);
    assert.deepEqual(rightsOf('${google_service_account.operator.member}'), [
      '${google_project_iam_custom_role.locks[0].name} on ${google_storage_bucket.archive.name} if recordings',
      'roles/cloudkms.signerVerifier on ${local.certificate_key}',
      'roles/storage.objectCreator on ${google_storage_bucket.archive.name} if archive',
      'roles/storage.objectUser on ${google_storage_bucket.archive.name} if staging-and-what-changes',
      'roles/storage.objectViewer on ${google_storage_bucket.archive.name} if archive-and-listing',
    ]);
    assert.deepEqual(rightsOf('${google_service_account.scheduler.member}'), [
      'roles/run.invoker on ${google_cloud_run_v2_job.operator[each.key].name}',
    ]);
    assert.deepEqual(bodyOf(locals.get('secret_readers')), {
      receiver: ['WEBHOOK_SECRETS', 'WEBHOOK_TOKENS'],
      worker: ['GENESYS_CLIENT_SECRET'],
      playback: ['API_KEYS', 'GENESYS_CLIENT_SECRET'],
      operator: ['GENESYS_CLIENT_SECRET'],
      console: ['CONSOLE_SESSION_KEYS'],
    });
  });

  test('the keeper may delete recordings, nothing runs as it, and neither audit nor proofs can be changed by anybody', () => {
    const removes = blockAt('google_storage_bucket_iam_member.removes', eraserBlocks).body;
    assert.equal(
      bodiesOf(removes['condition'])[0]?.['expression'],
      [
        'resource.name.startsWith("${var.object_resource}")',
        '!resource.name.startsWith("${var.object_resource}audit/")',
        '!resource.name.startsWith("${var.object_resource}proofs/")',
      ].join(' && '),
    );
    const runAs = JSON.stringify([...files.values()]).match(/module\.keeper\.account\.email/g);
    assert.equal(runAs?.length, 1, 'an output, and no service');
    assert.deepEqual(variables.get('keepers')?.['default'], []);
  });

  test('nothing is erased by age unless days are named: then by an account of its own, which no person acts as', () => {
    for (const name of ['keeper', 'retention']) {
      const body = bodyOf(modules.get(name));
      assert.equal(body['source'], './eraser', name);
      assert.deepEqual(
        [body['bucket'], body['bucket_resource'], body['object_resource'], body['account_id']],
        [
          '${google_storage_bucket.archive.name}',
          '${local.bucket_resource}',
          '${local.object_resource}',
          `\${var.name}-${name}`,
        ],
      );
    }
    assert.equal(variables.get('erase_after_days')?.['default'], null);
    assert.equal(bodyOf(modules.get('retention'))['count'], '${var.erase_after_days == null ? 0 : 1}');
    const acts = blockAt('google_service_account_iam_member.keepers_act').body;
    assert.equal(acts['service_account_id'], '${module.keeper.account.name}');
    const named = JSON.stringify([...files.values()]).match(/module\.retention\[0\]/g);
    assert.equal(named?.length, 1, 'its job, and nobody else');
  });

  test('the services may delete where things change alone: never under recordings/, proofs/, audit/ or holds/', () => {
    const deleting = /storage\.(admin|objectAdmin|objectUser|legacy)/;
    const may = blocks.filter(({ body }) => deleting.test(String(body['role'])));
    assert.deepEqual(may.map(addressOf).toSorted(), [
      'google_storage_bucket_iam_member.operator_deletes',
      'google_storage_bucket_iam_member.worker_deletes',
    ]);
    const { body: worker } = blockAt('google_storage_bucket_iam_member.worker_deletes');
    const [condition] = bodiesOf(worker['condition']);
    assert.equal(
      condition?.['expression'],
      '${join(" || ", [for folder in local.changing_folders : "resource.name.startsWith(\\"${local.object_resource}${folder}\\")"])}',
    );
    const { body: operator } = blockAt('google_storage_bucket_iam_member.operator_deletes');
    assert.deepEqual(bodiesOf(operator['condition']), [condition], 'operators change what workers change');
    assert.deepEqual(locals.get('changing_folders'), [
      'staging/',
      'failures/',
      'waiting/',
      'listing/',
      'conversations/',
      'index/',
      'status/',
    ]);
  });

  test('nobody is owner or editor, nobody has a key, and only the receiver is open to everybody', () => {
    const all = JSON.stringify([...files.values()]);
    assert.doesNotMatch(all, /roles\/(editor|owner|viewer)"/);
    assert.doesNotMatch(all, /google_service_account_key|_iam_binding|_iam_policy|google_project_iam_member/);
    const open = [...variables].filter(([, body]) => JSON.stringify(body['default'] ?? null).includes('allUsers'));
    assert.deepEqual(
      open.map(([name]) => name),
      ['receiver_invokers'],
    );
  });

  test('invariant 8: no secret reaches the state', () => {
    for (const { body } of blocks.filter(({ type }) => type === 'google_secret_manager_secret_version'))
      assert.deepEqual(
        Object.keys(body).filter((name) => name.startsWith('secret_data')),
        ['secret_data_wo', 'secret_data_wo_version'],
      );
    assert.equal(variables.get('genesys_client_secret')?.['ephemeral'], true);
    assert.equal(variables.get('genesys_client_secret')?.['sensitive'], true);
  });
});

suite('terraform/, the index', () => {
  const { body: lines } = blockAt('google_bigquery_table.lines');
  const { body: recordings } = blockAt('google_bigquery_table.recordings');

  test('the columns of the table are the fields of a line, each of its kind, and the folder is the day', async () => {
    const schema = JSON.parse(await readFile(join(TERRAFORM, 'index-schema.json'), 'utf8')) as readonly Column[];
    const details = encodeDetails(
      { participants: [{ purpose: 'agent', userId: 'u', participantName: 'n' }], divisionIds: ['d'] },
      { conversationId: 'c', at: new Date(0), service: '1' },
    );
    const manifest = manifestOf({ recordingId: 'r', conversationId: 'c' }, { sizeBytes: 1, sha256: 'a', crc32c: 'b' });
    const levels = { picture: ['0'.repeat(28)], speakingS: [1.5], bothS: 0, silentS: 1, longestSilenceS: 1 };
    const row = archivedRow({ ...manifest, levels }, parseDetails(details));
    const written = JSON.parse(encodeIndexRow(row)) as Readonly<Record<string, unknown>>;
    assert.deepEqual(
      schema.map(({ name }) => name),
      Object.keys(written),
    );
    for (const column of schema) assertColumn(column, written[column.name]);
    const [external] = bodiesOf(lines['external_data_configuration']);
    assert.deepEqual(external?.['source_uris'], ['${local.index_uri}/*']);
    assert.equal(
      bodiesOf(external['hive_partitioning_options'])[0]?.['source_uri_prefix'],
      '${local.index_uri}/{day:DATE}',
    );
    assert.equal(locals.get('index_uri'), 'gs://${local.bucket_name}/${local.root}index');
  });

  test('the view shows each recording once, as it was last known, and nothing that lies on another day', () => {
    const query = String(bodiesOf(recordings['view'])[0]?.['query']);
    assert.match(query, /PARTITION BY day, key ORDER BY at DESC/);
    assert.match(query, /age = 1 AND status != 'moved'/);
  });

  test('nothing of it is there unless it is asked for, and nobody reads it who is not named', () => {
    for (const { body, type } of blocks.filter(({ type: name }) => name.startsWith('google_bigquery')))
      assert.ok(String(body['count'] ?? body['for_each']).includes('local.has_bigquery'), type);
    assert.deepEqual(variables.get('bigquery_readers')?.['default'], []);
    const [condition] = bodiesOf(blockAt('google_storage_bucket_iam_member.readers_read').body['condition']);
    assert.match(String(condition?.['expression']), /index\//);
    assert.doesNotMatch(String(condition?.['expression']), /recordings|conversations/);
  });
});

interface Column {
  readonly name: string;
  readonly type: string;
  readonly mode: string;
  readonly fields?: readonly Column[];
}

/** BigQuery has no null in a list, and takes a text for a timestamp. */
function assertColumn({ name, type, mode, fields }: Column, value: unknown): void {
  assert.equal(Array.isArray(value), mode === 'REPEATED', name);
  assert.ok(mode !== 'REQUIRED' || value !== null, name);
  for (const one of Array.isArray(value) ? (value as readonly unknown[]) : [value]) {
    if (one === null) continue;
    const kind = { FLOAT: 'number', INTEGER: 'number', RECORD: 'object' }[type] ?? 'string';
    assert.equal(typeof one, kind, name);
    if (type === 'TIMESTAMP') assert.match(JSON.stringify(one), /^"\d{4}-\d\d-\d\dT.*Z"$/, name);
    if (type === 'RECORD')
      assert.deepEqual(
        Object.keys(one as object),
        fields?.map((field) => field.name),
      );
  }
}

suite('terraform/, the deployables', () => {
  const services = [...modules].filter(([, body]) => body['source'] === './service');
  const pool = blockAt('google_cloud_run_v2_worker_pool.worker').body;

  test('each runs the command of its name, as its own account', () => {
    assert.deepEqual(services.map(([name]) => name).toSorted(), ['console', 'playback', 'receiver', 'worker']);
    for (const [name, body] of services) {
      assert.equal(body['command'], name);
      assert.equal(body['service_account'], `\${google_service_account.${name}.email}`);
    }
    assert.deepEqual(containerOf(pool)['args'], ['worker']);
    assert.equal(bodiesOf(pool['template'])[0]?.['service_account'], '${google_service_account.worker.email}');
  });

  for (const [command, expressions] of [
    ...services.map(([name, body]) => [name, [String(body['environment'])]] as const),
    ['worker', envOf(pool)] as const,
  ]) {
    test(`the environment of the ${command} is one it can start with${expressions.length > 1 ? ', also of those that pull' : ''}`, async () => {
      const secrets: unknown = bodyOf(locals.get('secret_readers'))[command];
      assert.ok(Array.isArray(secrets) && secrets.length > 0);
      const names = [...new Set(expressions.flatMap(namesIn))];
      assert.deepEqual(
        names.filter((name) => !Object.hasOwn(VARIABLES, name)),
        [],
      );
      const folder = await mkdtemp(join(tmpdir(), 'secrets-'));
      try {
        const files = await Promise.all(secrets.map((name) => secretFile(folder, String(name))));
        assert.doesNotThrow(() => readConfig({ ...sampleOf(names), ...Object.fromEntries(files) }, commandOf(command)));
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  }

  test('the console is called by Identity-Aware Proxy alone, and made once somebody is to see it', () => {
    const { body } = blockAt('google_cloud_run_v2_service_iam_member.console_invoker');
    assert.equal(body['member'], '${local.iap_agent}');
    assert.match(String(locals.get('iap_agent')), /@gcp-sa-iap\.iam\.gserviceaccount\.com$/);
    assert.equal(bodyOf(modules.get('console'))['count'], '${var.console_roles == "" ? 0 : 1}');
    assert.equal(variables.get('console_roles')?.['default'], '');
  });

  test('the number of instances is bounded', () => {
    const pools = Object.values(bodyOf(locals.get('pools'))).map((one) => bodyOf(one)['instances']);
    assert.equal(bodiesOf(pool['scaling'])[0]?.['manual_instance_count'], '${each.value.instances}');
    const counts = [...services.map(([, body]) => body['max_instances']), ...pools];
    assert.ok(counts.length > 4);
    for (const count of counts) assert.match(String(count), /^\$\{var\.\w+_instances\}$/);
  });

  test('the audit of whoever hears something says where they are, not where Cloud Run’s own proxy is', () => {
    assert.equal(namesIn('local.environment').filter((name) => name === 'TRUSTED_PROXIES').length, 1);
    for (const name of ['playback', 'console'])
      assert.ok(namesIn(String(bodyOf(modules.get(name))['environment'])).includes('TRUSTED_PROXIES'), name);
  });

  test('what is added to the environment neither goes before what the module sets, nor is a secret', () => {
    const [, secrets, own] = bodiesOf(variables.get('extra_environment')?.['validation']).map(({ condition }) =>
      String(condition),
    );
    const [, pattern = ''] = /regex\("([A-Z|]+)", key\)/.exec(secrets ?? '') ?? [];
    const refused = new Set([...(own ?? '').matchAll(/"([A-Z_]+)"/g)].map(([, name = '']) => name));
    const expressions = [
      ...services.map(([, body]) => String(body['environment'])),
      ...envOf(pool),
      'local.operator_environment',
    ];
    const set = new Set(expressions.flatMap(namesIn));
    set.delete('TRUSTED_PROXIES');
    for (const name of set)
      assert.ok(refused.has(name) || new RegExp(pattern).test(name), `${name} would be taken in silence`);
    for (const [name, { kind }] of Object.entries(VARIABLES))
      if (kind === 'secret') assert.match(`${name}_FILE`, new RegExp(pattern));
    for (const name of ['OTEL_EXPORTER_OTLP_ENDPOINT', 'GENESYS_MEDIA_HOSTS', 'HTTPS_PROXY', 'TRUSTED_PROXIES'])
      assert.ok(!refused.has(name) && !new RegExp(pattern).test(name), name);
  });

  test('invariant 8: no secret stands in an environment', () => {
    for (const [name, body] of services) assert.equal(body['secret_files'], `\${local.secret_files.${name}}`);
    const all = JSON.stringify([...files.values(), ...serviceFiles.values()]);
    assert.doesNotMatch(all, /secret_key_ref|value_source/);
  });

  test('the alert on failures looks for the line that is written', async () => {
    const { body } = blockAt('google_logging_metric.failures');
    const [, words = ''] = /jsonPayload\.message=\\?"([^"\\]+)/.exec(String(body['filter'])) ?? [];
    assert.ok(
      words !== '' &&
        (await readFile(new URL('../../src/delivery.ts', import.meta.url), 'utf8')).includes(`'${words}'`),
    );
    assert.match(String(body['filter']), /^\(\$\{local\.worker_log\}\) AND .*jsonPayload\.outcome=\\?"dead/);
    assert.match(
      String(locals.get('worker_log')),
      /service_name=.*local\.worker_name.*for pool in local\.pools :.*pool\.name/s,
    );
  });

  test('somebody is told of what waits for an operator, and of a message that gets nowhere, by the lines that are written (A1)', async () => {
    const delivery = await readFile(new URL('../../src/delivery.ts', import.meta.url), 'utf8');
    for (const [name, fields] of [
      ['operator', ['jsonPayload.sort="operator"', 'jsonPayload.outcome!="dead"']],
      ['stuck', []],
    ] as const) {
      const text = filterOf(name);
      const [, words = ''] = /jsonPayload\.message="([^"]+)/.exec(text) ?? [];
      assert.ok(words !== '' && delivery.includes(`'${words}'`), name);
      for (const field of fields) assert.ok(text.includes(field), field);
    }
  });
});

function blockAt(address: string, among = blocks): TerraformBlock {
  const found = among.find((block) => addressOf(block) === address);
  assert.ok(found !== undefined, `${address} is missing`);
  return found;
}

/** What an alert looks for in the log. */
function filterOf(name: string): string {
  const alerts = { ...bodyOf(locals.get('log_alerts')), ...bodyOf(locals.get('retention_alerts')) };
  const { filter } = bodyOf(alerts[name]);
  assert.ok(typeof filter === 'string', name);
  return filter.replaceAll(/\\+"/g, '"');
}

suite('terraform/, the operators’ commands', () => {
  const commands = new Map(
    ['operator_commands', 'retention_commands']
      .flatMap((table) => Object.entries(bodyOf(locals.get(table))))
      .map(([name, body]) => [name, bodyOf(body)]),
  );
  const job = blockAt('google_cloud_run_v2_job.operator').body;

  test('each job runs a command line that this program understands', () => {
    assert.deepEqual([...commands.keys()].toSorted(compare), ['backfill', 'erase', 'reconcile', 'verify']);
    for (const [name, { args }] of commands) {
      const [command, ...flags] = Array.isArray(args) ? args.map((arg) => String(arg).replace(/\$\{.*\}/, '30')) : [];
      assert.equal(command, name);
      const listed = COMMANDS.find(({ table }) => table.name === name);
      assert.ok(listed !== undefined, name);
      parseFlags(listed.table, flags);
    }
  });

  test('the key that signs is one in Cloud KMS, and the operators’ account alone signs with it', () => {
    const { body } = blockAt('google_kms_crypto_key_iam_member.operator_signs');
    assert.deepEqual(
      [body['role'], body['member']],
      ['roles/cloudkms.signerVerifier', '${google_service_account.operator.member}'],
    );
    const others = blocks.filter(({ body: other }) => other['role'] === 'roles/cloudkms.signerVerifier');
    assert.equal(others.length, 1);
    assert.match(String(locals.get('operator_environment')), /CERTIFICATE_KEY = var\.certificate_key_version/);
    assert.equal(variables.get('certificate_key_version')?.['default'], null);
  });

  test('what only finds something is not run again; what fetches goes on after a crash, with care', () => {
    const retries = [...commands].map(([name, { retries: times }]) => [name, times]);
    assert.deepEqual(Object.fromEntries(retries), { reconcile: 0, verify: 0, backfill: 3, erase: 0 });
    const template = bodiesOf(bodiesOf(job['template'])[0]?.['template'])[0];
    assert.equal(template?.['max_retries'], '${each.value.retries}');
    assert.equal(template['service_account'], '${each.value.account}');
  });

  test('retention erases what is older than the days that are named, unseen at most 5 %, and somebody is told where it is refused', () => {
    const { args, schedule } = commands.get('erase') ?? {};
    assert.deepEqual(args, [
      'erase',
      '--older-than',
      '${coalesce(var.erase_after_days, 0)}d',
      '--reason',
      'retention',
      '--confirm',
      'any',
      '--json',
    ]);
    assert.equal(schedule, '${var.erase_schedule}');
    assert.match(filterOf('retention_refused'), /jsonPayload\.type="summary" AND jsonPayload\.exit=4$/);
    assert.equal(EXIT.refused, 4);
  });

  test('the environment of each job is one its command can run with, and retention knows nothing of Genesys', () => {
    for (const [name, table] of [
      ['reconcile', 'operator_environment'],
      ['verify', 'operator_environment'],
      ['backfill', 'operator_environment'],
      ['erase', 'environment'],
    ] as const) {
      const names = namesIn(`local.${table}`);
      assert.ok(names.includes('ARCHIVE_URL'), name);
      const secret = table === 'environment' ? {} : { GENESYS_CLIENT_SECRET: 'some-text-long-enough' };
      assert.doesNotThrow(() => readConfig({ ...sampleOf(names), ...secret }, name), name);
    }
    const jobs = String(locals.get('jobs'));
    assert.match(
      jobs,
      /retention_commands : .*module\.retention\[0\]\.account\.email.*local\.environment\b.*secret_files = \{\}/s,
    );
    assert.ok(!namesIn('local.environment').some((name) => name.startsWith('GENESYS')));
  });

  test('Cloud Scheduler starts those with a schedule, and nobody else’s account may', () => {
    const { body } = blockAt('google_cloud_scheduler_job.nightly');
    const each = '${{ for name, command in local.jobs : name => command if command.schedule != null }}';
    assert.equal(body['for_each'], each);
    assert.equal(blockAt('google_cloud_run_v2_job_iam_member.scheduler_starts').body['for_each'], each);
    const [target] = bodiesOf(body['http_target']);
    assert.match(
      String(target?.['uri']),
      /^https:\/\/run\.googleapis\.com\/v2\/projects\/.*\/locations\/.*\/jobs\/.*:run$/,
    );
    assert.equal(
      bodiesOf(target?.['oauth_token'])[0]?.['service_account_email'],
      '${google_service_account.scheduler.email}',
    );
  });

  test('somebody is told of a command of the schedule that did not come to its end', () => {
    assert.match(
      filterOf('operator_failed'),
      /jsonPayload\.type="summary" AND \(jsonPayload\.exit=1 OR jsonPayload\.exit>=130\)$/,
    );
    assert.deepEqual([EXIT.failed, EXIT.interrupted, EXIT.terminated], [1, 130, 143]);
  });

  test('the alert on incomplete days looks for the line that reconcile writes', async () => {
    const filter = filterOf('overdue');
    const [, word = ''] = /jsonPayload\.type="(\w+)"/.exec(filter) ?? [];
    assert.equal(word, 'overdue');
    const source = await readFile(new URL('../../src/commands/reconcile.ts', import.meta.url), 'utf8');
    assert.ok(source.includes(`type: '${word}'`));
    assert.deepEqual(bodyOf(bodyOf(locals.get('log_alerts'))['overdue'])['labels'], ['day']);
  });
});

function compare(a: string, b: string): number {
  return a < b ? -1 : 1;
}

/** Every IAM binding of a member as a line: role, on what, under which condition. */
function rightsOf(member: string, among = blocks): readonly string[] {
  return among
    .filter(({ type, body }) => type.endsWith('_iam_member') && body['member'] === member)
    .map(({ body }) => {
      const name =
        body['topic'] ??
        body['subscription'] ??
        body['bucket'] ??
        body['service_account_id'] ??
        body['crypto_key_id'] ??
        body['name'];
      const each = eachOf(body['for_each']);
      const on = each.length > 0 ? `each of ${each}` : JSON.stringify(name).slice(1, -1);
      const title = textOf(bodiesOf(body['condition'])[0]?.['title']);
      const only = title ?? /\$\{var\.(\w+) \? 1 : 0\}/.exec(textOf(body['count']) ?? '')?.[1];
      return `${textOf(body['role']) ?? ''} on ${on}${only === undefined ? '' : ` if ${only}`}`;
    })
    .toSorted();
}

/** What `merge({…}, local.pushes ? {…} : {…})` names: always, with push, with pull. Empty where it names nothing of Pub/Sub. */
function eachOf(expression: unknown): string {
  const [always = '', push = '', pull = ''] = (JSON.stringify(expression) ?? '').split(/local\.pushes \?|\} : \{/);
  return [always, push, pull]
    .map((part) =>
      [...part.matchAll(/google_pubsub_\w+\.\w+/g)]
        .map(([address]) => address)
        .toSorted()
        .join(' '),
    )
    .map((names, index) => (names === '' ? '' : `${['', ', with push ', ', with pull '][index] ?? ''}${names}`))
    .join('');
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function containerOf(body: Body): Body {
  return bodiesOf(bodiesOf(body['template'])[0]?.['containers'])[0] ?? {};
}

function envOf(body: Body): readonly string[] {
  return bodiesOf(bodyOf(containerOf(body)['dynamic'])['env']).map((entry) => String(entry['for_each']));
}

/** As Cloud Run mounts it. */
async function secretFile(folder: string, name: string): Promise<readonly [string, string]> {
  const path = join(folder, name);
  await writeFile(path, 'some-text-long-enough');
  return [`${name}_FILE`, path];
}

function commandOf(name: string): 'receiver' | 'worker' | 'playback' | 'console' {
  const command = (['receiver', 'worker', 'playback', 'console'] as const).find((one) => one === name);
  assert.ok(command !== undefined, name);
  return command;
}

function namesIn(expression: string): readonly string[] {
  const here = [...expression.matchAll(/\b([A-Z][A-Z0-9_]{3,})\s*=[^=]/g)].map(([, name = '']) => name);
  const merged = [...expression.matchAll(/\blocal\.(\w*environment)\b/g)].map(([, name = '']) => locals.get(name));
  return [
    ...here,
    ...merged.flatMap((value) => (typeof value === 'string' ? namesIn(value) : Object.keys(bodyOf(value)))),
  ];
}

/** What each would hold, as far as its form matters. */
function sampleOf(names: readonly string[]): Record<string, string> {
  const samples: Readonly<Record<string, string>> = {
    ARCHIVE_URL: 'gs://bucket/prefix',
    QUEUE_URL: 'pubsub://project/topic?subscription=name',
    HOST: '0.0.0.0',
    LOG_LEVEL: 'info',
    GENESYS_REGION: 'mypurecloud.de',
    TRANSCODE_SLOTS: '2',
    LINK_LIFETIME_S: '900',
    ARCHIVE_ORIGINAL: 'no',
    ARCHIVE_ON_LISTEN: 'no',
    ENCODER_CAGE: 'best',
    KEEP_DETAILS: 'details',
    LOCK_DAYS: '30',
    LOCK_MODE: 'unlocked',
    CERTIFICATE_KEY: 'projects/p/locations/eu/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1',
    PUSH_AUDIENCE: 'https://worker.example',
    CONSOLE_AUTH: 'iap',
    CONSOLE_ROLES: 'listen=@example.com',
    TRUSTED_PROXIES: '1',
  };
  return Object.fromEntries(names.map((name) => [name, samples[name] ?? 'some-text-long-enough']));
}

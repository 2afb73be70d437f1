/** terraform/genesys/: given to Terraform with the documented schema, and held to what doctor, receiver and README expect. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import { OUR_TRIGGER, RIGHTS } from '../../src/doctor/genesys-checks.ts';
import { parseEvents } from '../../src/http/event.ts';
import { bodiesOf, bodyOf, readConfiguration, TERRAFORM } from '../support/terraform/files.ts';
import { GENESYS } from '../support/terraform/genesys-schema.ts';
import { serveProviders, type ProviderServer } from '../support/terraform/provider.ts';

const FOLDER = join(TERRAFORM, 'genesys');
const QUIET = { CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1', TF_CLI_CONFIG_FILE: '/dev/null' };
const { blocks, locals, variables } = await readConfiguration(FOLDER);

function bodyAt(type: string): ReturnType<typeof bodyOf> {
  const found = blocks.find((block) => block.type === type);
  assert.ok(found !== undefined, type);
  return found.body;
}

suite('terraform/genesys/', () => {
  test('the client may do exactly what doctor asks for, and see triggers', () => {
    const wanted = [...RIGHTS.map(({ permission }) => permission), 'processautomation:trigger:view'];
    const { reading } = { reading: locals.get('reading') };
    assert.deepEqual(new Set(Array.isArray(reading) ? reading : []), new Set(wanted));
  });

  test('the trigger is the one that doctor looks for, and its topic one that the receiver knows', () => {
    const trigger = bodyAt('genesyscloud_processautomation_trigger');
    assert.equal(trigger['name'], OUR_TRIGGER);
    assert.equal(trigger['topic_name'], '${local.topics[0]}');
    const topics = locals.get('topics');
    assert.ok(Array.isArray(topics) && topics.length === 4);
    for (const topic of topics) {
      const topicName = String(topic).replace('{id}', 'c1');
      const { messages } = parseEvents({ topicName, eventBody: { conversationId: 'c1', mediaType: 'VOICE' } });
      assert.ok(messages.length > 0, topicName);
    }
  });

  test('what the data action sends is an event that the receiver takes', () => {
    const [request] = bodiesOf(bodyAt('genesyscloud_integration_action')['config_request']);
    const template = String(request?.['request_template']).replaceAll('$${', '${');
    const body = template.replace('${input.conversationId}', 'c1').replace('${input.mediaType}', 'VOICE');
    const { messages } = parseEvents(JSON.parse(body));
    assert.deepEqual(
      messages.map((message) => ('conversationId' in message ? message.conversationId : undefined)),
      ['c1'],
    );
    assert.equal(bodyOf(request?.['headers'])['X-Webhook-Token'], '$${credentials.token}');
  });

  test('the workflow calls the action by the names that Terraform puts in, with what the trigger brings', async () => {
    const workflow = await readFile(join(FOLDER, 'workflow.yaml'), 'utf8');
    const used = new Set([...workflow.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name));
    const given = Object.keys(bodyOf(bodyAt('genesyscloud_flow')['substitutions']));
    assert.deepEqual(used, new Set(given));
    for (const input of ['conversationId', 'mediaType'])
      assert.match(workflow, new RegExp(`name: Flow\\.${input}\\n(?:.*\\n){2} *isInput: true[^]*exp: Flow\\.${input}`));
  });

  test('no secret is in an output, and the client’s own never in the state', () => {
    assert.equal(bodyAt('genesyscloud_oauth_client')['expose_client_secret'], false);
    assert.equal(variables.get('webhook_token')?.['sensitive'], true);
  });
});

/** Why Terraform cannot run here; `false` where it can. */
function terraformMissing(): string | false {
  const { status } = spawnSync('terraform', ['version'], { env: { ...process.env, ...QUIET } });
  return status === 0 ? false : 'Terraform is not installed (https://developer.hashicorp.com/terraform/install).';
}

suite('terraform/genesys/, given to Terraform', { skip: terraformMissing() }, () => {
  let providers: ProviderServer;
  let folder: string;

  before(async () => {
    providers = await serveProviders({ 'registry.terraform.io/mypurecloud/genesyscloud': { resource: GENESYS } });
    folder = await mkdtemp(join(tmpdir(), 'terraform-genesys-'));
    await cp(FOLDER, folder, { recursive: true, filter: (source) => !source.includes('.terraform') });
    await terraform('init', '-input=false');
  });

  after(async () => {
    await providers.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('it is valid, plans as it should in each of its forms, and refuses what cannot be right', async () => {
    await terraform('validate');
    assert.match(await terraform('test'), /Success! 5 passed, 0 failed/);
  });

  test('it would not be valid with an argument that the provider does not document', async () => {
    await appendFile(join(folder, 'events.tf'), 'resource "genesyscloud_flow" "more" { file = "a.yaml" }\n');
    await assert.rejects(terraform('validate'), /An argument named "file" is not expected here/);
  });

  /** @throws with everything Terraform said where it exits with anything but 0 */
  async function terraform(...args: readonly string[]): Promise<string> {
    const child = spawn('terraform', [...args, '-no-color'], {
      cwd: folder,
      env: { ...process.env, ...QUIET, TF_REATTACH_PROVIDERS: providers.reattach },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 400_000,
    });
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    if (code !== 0) throw new Error(`terraform ${args.join(' ')}:\n${stdout}${stderr}`.replaceAll(/[│╷╵]/g, ''));
    return stdout;
  }
});

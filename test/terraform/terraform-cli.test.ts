/** What Terraform itself says of terraform/: against the provider's schema, with Google Cloud as a mock. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, suite, test } from 'node:test';
import { TERRAFORM } from '../support/terraform/files.ts';
import { serveProviders, type ProviderServer } from '../support/terraform/provider.ts';
import { RANDOM_PASSWORD, readSchema } from '../support/terraform/schema.ts';

const QUIET = { CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1', TF_CLI_CONFIG_FILE: '/dev/null' };

const EXAMPLE_TEST = `
mock_provider "google" {
  override_during = plan
  mock_resource "google_service_account" {
    defaults = { member = "serviceAccount:a@b.iam.gserviceaccount.com" }
  }
}
run "example" {
  command = plan
  variables {
    project_id            = "example-project"
    image                 = "europe-west3-docker.pkg.dev/example-project/archiver/archiver:1.0.0"
    genesys_region        = "mypurecloud.de"
    genesys_client_id     = "00000000-0000-0000-0000-000000000000"
    genesys_client_secret = "not-a-real-secret"
  }
}
`;

/** Why Terraform cannot run here; `false` where it can. Then nothing is skipped. */
function cliMissing(): string | false {
  const { status, stdout } = spawnSync('terraform', ['version'], {
    encoding: 'utf8',
    env: { ...process.env, ...QUIET },
  });
  if (status !== 0) return 'Terraform is not installed (https://developer.hashicorp.com/terraform/install).';
  const [, major = '0', minor = '0'] = /v(\d+)\.(\d+)/.exec(stdout) ?? [];
  const fits = Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 11);
  return fits ? false : `Terraform 1.11 or newer is needed; this is ${major}.${minor}.`;
}

suite('terraform/, given to Terraform', { skip: cliMissing() }, () => {
  let providers: ProviderServer;
  let folder: string;

  before(async () => {
    providers = await serveProviders({
      'registry.terraform.io/hashicorp/google': readSchema(),
      'registry.terraform.io/hashicorp/random': {
        ephemeral: { random_password: RANDOM_PASSWORD },
        opened: { length: 43, special: false, result: 'x'.repeat(43) },
      },
    });
    folder = await mkdtemp(join(tmpdir(), 'terraform-'));
    await cp(TERRAFORM, folder, { recursive: true, filter: (source) => !source.includes('.terraform') });
    await terraform(folder, 'init', '-input=false');
  });

  after(async () => {
    await providers.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('it is formatted', async () => {
    await terraform(TERRAFORM, 'fmt', '-check', '-recursive', '-diff');
  });

  test('it is valid', async () => {
    await terraform(folder, 'validate');
  });

  test('it would not be valid with a misspelt argument', async () => {
    const broken = join(folder, 'broken');
    await cp(TERRAFORM, broken, { recursive: true, filter: (source) => !source.includes('tests') });
    await appendFile(join(broken, 'queue.tf'), 'resource "google_pubsub_topic" "more" { nam = "more" }\n');
    await terraform(broken, 'init', '-input=false');
    await assert.rejects(terraform(broken, 'validate'), /An argument named "nam" is not expected here/);
  });

  test('pull, push and every option plan as they should, and wrong values are refused', async () => {
    const output = await terraform(folder, 'test');
    assert.match(output, /Success! \d+ passed, 0 failed/);
  });

  test('the example is valid and can be planned', async () => {
    const example = join(folder, 'examples', 'complete');
    await mkdir(join(example, 'tests'));
    await writeFile(join(example, 'tests', 'example.tftest.hcl'), EXAMPLE_TEST);
    await terraform(example, 'init', '-input=false');
    await terraform(example, 'validate');
    assert.match(await terraform(example, 'test'), /Success! 1 passed, 0 failed/);
  });

  /** @throws with everything Terraform said where it exits with anything but 0 */
  async function terraform(cwd: string, ...args: readonly string[]): Promise<string> {
    const child = spawn('terraform', [...args, ...(args[0] === 'fmt' ? [] : ['-no-color'])], {
      cwd,
      env: { ...process.env, ...QUIET, TF_REATTACH_PROVIDERS: providers.reattach },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 400_000,
    });
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    if (code !== 0)
      throw new Error(`terraform ${args.join(' ')}:\n${stdout}${stderr}`.replaceAll(/[│╷╵]|\n\s*(?=\n)/g, ''));
    return stdout;
  }
});

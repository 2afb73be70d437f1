/** Secrets out of files: read at the start, taken over when they change, and kept when what is there is no good. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { appendFile, mkdir, mkdtemp, rename, rm, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readConfig, type Config } from '../../src/config/config.ts';
import { ConfigProblems } from '../../src/config/reader.ts';
import type { SecretChange } from '../../src/config/secret-file.ts';
import { VARIABLES } from '../../src/config/variables.ts';

const SECRETS = Object.entries(VARIABLES).filter(([, { kind }]) => kind === 'secret');
const NEEDED = {
  GENESYS_REGION: 'mypurecloud.de',
  GENESYS_CLIENT_ID: 'id',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318',
};

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'secrets-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    readConfig(env, 'serve');
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigProblems);
    return error.problems;
  }
}

/** Everything that comes out of the secret of a variable. */
function valuesOf(config: Config): unknown {
  const { genesys, webhook, api, archive, tracing } = config;
  return {
    clients: genesys.clients.map(({ secret }) => secret),
    webhook: [webhook.secrets, webhook.tokens],
    keys: api.keys,
    links: archive.kind === 'folder' ? archive.linkKeys : [],
    headers: tracing?.headers,
  };
}

function secretFor(name: string): string {
  if (name.startsWith('OTEL')) return 'x-key=canary-value';
  if (name !== 'CERTIFICATE_KEY') return `canary-secret-of-${name.toLowerCase()}`;
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim();
}

test('every secret may come from a file, with a line break at its end, and is then the same', async (t) => {
  const path = await folder(t);
  const inline: Record<string, string> = {};
  const files: Record<string, string> = {};
  for (const [name] of SECRETS) {
    inline[name] = secretFor(name);
    files[`${name}_FILE`] = join(path, name);
    await writeFile(join(path, name), `${inline[name]}\n`);
  }
  const [fromText, fromFiles] = [inline, files].map((env) => readConfig({ ...NEEDED, ...env }, 'serve'));
  assert.ok(fromText !== undefined && fromFiles !== undefined);
  assert.deepEqual(valuesOf(fromFiles), valuesOf(fromText));
  assert.deepEqual(fromFiles.secrets, fromText.secrets);
  assert.equal(fromFiles.secretFiles.length, SECRETS.length);
});

test('keys in a file may stand one a line', async (t) => {
  const file = join(await folder(t), 'keys');
  await writeFile(file, 'one:secret-number-one-1\r\ntwo:secret-number-two-2:2099-12-31\n\nsecret-number-three\n');
  const { api } = readConfig({ API_KEYS_FILE: file, WEBHOOK_AUTH: 'none' }, 'receiver');
  assert.deepEqual(
    api.keys.map(({ name, lastDay }) => [name, lastDay]),
    [
      ['one', undefined],
      ['two', '2099-12-31'],
      ['key-3', undefined],
    ],
  );
});

test('a variable and its file at once, and a file that is missing, empty, too large or too weak, are named; no path or text is shown', async (t) => {
  const path = await folder(t);
  const make = async (name: string, text: string | Buffer): Promise<string> => {
    await writeFile(join(path, name), text);
    return join(path, name);
  };
  const good = await make('canary-good', 'canary-of-some-length');
  const cases = [
    [
      { API_KEYS: 'canary-of-some-length', API_KEYS_FILE: good },
      /^API_KEYS and API_KEYS_FILE: set one of them, not both/,
    ],
    [{ API_KEYS_FILE: join(path, 'canary-missing') }, /^API_KEYS_FILE: the file cannot be read \(ENOENT\)/],
    [{ API_KEYS_FILE: path }, /^API_KEYS_FILE: the file cannot be read \(EISDIR\)/],
    [{ API_KEYS_FILE: await make('canary-empty', ' \n') }, /^API_KEYS_FILE: the file is empty/],
    [
      { API_KEYS_FILE: await make('canary-large', 'x'.repeat(70_000)) },
      /^API_KEYS_FILE: the file cannot be read \(it is larger than 65536 bytes/,
    ],
    [{ API_KEYS_FILE: '/dev/zero' }, /^API_KEYS_FILE: the file cannot be read \(it is larger than 65536 bytes/],
    [
      { API_KEYS_FILE: await make('canary-wide', Buffer.from('\uFEFFcanary-of-some-length', 'utf16le')) },
      /^API_KEYS_FILE: the file cannot be read \(it is no text in UTF-8/,
    ],
    [
      { API_KEYS_FILE: await make('canary-weak', 'canary-of-some-length,canary') },
      /^API_KEYS_FILE: entry 2 has 6 characters/,
    ],
    [{ LINK_KEYS_FILE: await make('canary-link', 'dev') }, /^LINK_KEYS_FILE: entry 1 has 3 characters/],
    [{ WEBHOOK_SECRETS_FILE: await make('canary-sec', 'whsec_AA==') }, /^WEBHOOK_SECRETS_FILE: entry 1 has 8 bits/],
    [{ WEBHOOK_TOKENS_FILE: await make('canary-tok', 'x') }, /^WEBHOOK_TOKENS_FILE: entry 1 has 1 character;/],
    [
      { GENESYS_CLIENT_SECRET_FILE: await make('canary-two', 'canary-a,canary-b') },
      /^GENESYS_CLIENT_SECRET_FILE: .*give as many/,
    ],
  ] as const;
  for (const [env, expected] of cases) {
    const problems = problemsOf({ ...NEEDED, ...env });
    assert.ok(
      problems.some((problem) => expected.test(problem)),
      `${JSON.stringify(env)}: ${problems.join('\n')}`,
    );
    assert.doesNotMatch(problems.join(), /canary/);
  }
});

test('weak keys are refused by variable and position wherever they stand (B2)', () => {
  for (const [name, text, problem] of [
    ['API_KEYS', 'a', /^API_KEYS: entry 1 has 1 character;/],
    ['API_KEYS', 'first-key-is-long-enough,k,third-key-is-long-too', /^API_KEYS: entry 2 has 1 character;/],
    ['WEBHOOK_TOKENS', 'x', /^WEBHOOK_TOKENS: entry 1/],
    ['WEBHOOK_SECRETS', 'whsec_AA==', /^WEBHOOK_SECRETS: entry 1 has 8 bits/],
    ['LINK_KEYS', 'dev', /^LINK_KEYS: entry 1 has 3 characters/],
  ] as const) {
    const problems = problemsOf({ ...NEEDED, [name]: text }).filter((line) => line.startsWith(`${name}: entry`));
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? '', problem);
  }
});

/** The keys of a file, watched: what became of each change, one after the other. */
class Watched {
  readonly config: Config;
  readonly #heard = new EventEmitter();
  readonly #changes: SecretChange[] = [];
  readonly #watching: readonly Disposable[];

  constructor(t: TestContext, file: string) {
    this.config = readConfig({ API_KEYS_FILE: file, WEBHOOK_AUTH: 'none' }, 'receiver');
    this.#watching = this.config.secretFiles.map((each) =>
      each.watch((change) => {
        this.#changes.push(change);
        this.#heard.emit('change');
      }),
    );
    t.after(() => this.#watching.forEach((each) => each[Symbol.dispose]()));
  }

  get names(): readonly string[] {
    return this.config.api.keys.map(({ name }) => name);
  }

  /** Resolves once the file has brought these keys. */
  async brings(...names: readonly string[]): Promise<void> {
    while (this.names.join() !== names.join())
      await once(this.#heard, 'change', { signal: AbortSignal.timeout(300_000) });
  }

  async next(): Promise<SecretChange> {
    while (this.#changes.length === 0) await once(this.#heard, 'change', { signal: AbortSignal.timeout(300_000) });
    return this.#changes.shift() ?? assert.fail();
  }
}

const line = (name: string): string => `${name}:secret-of-${name}-which-is-long\n`;

test('a file that another is renamed over is taken, again and again (B2)', async (t) => {
  const file = join(await folder(t), 'keys');
  await writeFile(file, line('one'));
  const watched = new Watched(t, file);
  for (const name of ['two', 'three', 'four']) {
    await writeFile(`${file}.new`, line(name));
    await rename(`${file}.new`, file);
    await watched.brings(name);
  }
  assert.ok(watched.config.secrets.has('secret-of-one-which-is-long'), 'also those that are gone are never logged');
  assert.ok(watched.config.secrets.has('secret-of-four-which-is-long'));
});

test('a file that is written into is taken, shorter, longer or of the same length (B2)', async (t) => {
  const file = join(await folder(t), 'keys');
  await writeFile(file, line('one'));
  const watched = new Watched(t, file);
  await appendFile(file, line('two'));
  await watched.brings('one', 'two');
  await truncate(file, line('one').length);
  await watched.brings('one');
  await writeFile(file, line('six'));
  await watched.brings('six');
});

test('a mounted secret whose folder is swapped by symbolic links is taken (B2)', async (t) => {
  const mount = await folder(t);
  const publish = async (version: string, text: string): Promise<void> => {
    await mkdir(join(mount, version));
    await writeFile(join(mount, version, 'keys'), text);
    await symlink(version, join(mount, '..data_tmp'));
    await rename(join(mount, '..data_tmp'), join(mount, '..data'));
  };
  await publish('..1', line('one'));
  await symlink('..data/keys', join(mount, 'keys'));
  const watched = new Watched(t, join(mount, 'keys'));
  await publish('..2', line('two'));
  await watched.brings('two');
  await publish('..3', line('one') + line('two'));
  await rm(join(mount, '..1'), { recursive: true });
  await watched.brings('one', 'two');
});

/** Nobody who reads at this moment sees it empty. */
async function putWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

test('what cannot be used changes nothing and is told of once, by what is wrong with it', async (t) => {
  const file = join(await folder(t), 'keys');
  await writeFile(file, line('one'));
  const watched = new Watched(t, file);
  const refused = async (): Promise<string> => {
    const { name, problems } = await watched.next();
    assert.equal(name, 'API_KEYS_FILE');
    assert.deepEqual(watched.names, ['one']);
    return problems.join();
  };
  await putWhole(file, 'canary');
  assert.match(await refused(), /^entry 1 has 6 characters/);
  await putWhole(file, '');
  assert.match(await refused(), /^the file is empty/);
  await unlink(file);
  assert.match(await refused(), /^cannot be read \(ENOENT\)/);
  await putWhole(file, line('two'));
  assert.deepEqual((await watched.next()).problems, []);
  assert.deepEqual(watched.names, ['two']);
});

test('a pipe is read once, at the start', () => {
  const script = `
    import { readConfig } from ${JSON.stringify(join(import.meta.dirname, '../../src/config/config.ts'))};
    const { api, secretFiles } = readConfig({ API_KEYS_FILE: process.argv[1], WEBHOOK_AUTH: 'none' }, 'receiver');
    console.log(api.keys[0].name, secretFiles.length);`;
  const bash = '"$0" --input-type=module -e "$1" <(echo ops:a-secret-of-some-length)';
  assert.equal(execFileSync('bash', ['-c', bash, process.execPath, script], { encoding: 'utf8' }), 'ops 0\n');
});

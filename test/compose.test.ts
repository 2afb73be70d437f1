/** What can be known of compose.yaml without Docker: that its parts fit together, and that its set-up makes what is used. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import { readConfig } from '../src/config/config.ts';
import { VARIABLES } from '../src/config/variables.ts';
import { laterNameOf } from '../src/queue/pubsub/settle.ts';
import { at, namesAt, parseYaml } from './support/yaml.ts';

suite('compose.yaml', () => {
  const services = at(parseYaml(readFileSync(new URL('../compose.yaml', import.meta.url), 'utf8')), 'services');
  const environment = Object.fromEntries(
    namesAt(services, 'archiver', 'environment').map((name) => {
      const value = at(services, 'archiver', 'environment', name);
      return [name, substituted(typeof value === 'string' ? value : '')];
    }),
  );

  test('the service gets an environment that it can start with', () => {
    const unknown = Object.keys(environment).filter((name) => !Object.hasOwn(VARIABLES, name));
    assert.deepEqual(unknown, []);
    const config = readConfig({ ...environment, HOST: '0.0.0.0' }, 'serve');
    assert.deepEqual([config.queue.kind, config.archive.kind], ['pubsub', 'bucket']);
  });

  test('the hosts it names are services, which are started before it', () => {
    const hosts = [environment['PUBSUB_EMULATOR_HOST'] ?? '', new URL(environment['GCS_API_ENDPOINT'] ?? '').host];
    for (const host of hosts) {
      const [name = '', port = ''] = host.split(':');
      assert.ok(namesAt(services, name, 'command').join(' ').includes(port), `${name} listens on ${port}`);
      assert.ok(namesAt(services, 'setup', 'depends_on').includes(name));
    }
    assert.deepEqual(namesAt(services, 'archiver', 'depends_on'), ['setup']);
  });

  test('the set-up makes every topic, subscription and bucket that the service uses', async () => {
    const made = await madeBy(namesAt(services, 'setup', 'command')[0] ?? '');
    const { queue, archive } = readConfig({ ...environment, HOST: '0.0.0.0' }, 'serve');
    assert.ok(queue.kind === 'pubsub' && archive.kind === 'bucket' && queue.subscription !== undefined);
    const topics = [queue.topic, laterNameOf(queue.topic), 'archiver-dead'];
    const subscriptions = [queue.subscription, laterNameOf(queue.subscription), 'archiver-dead'];
    assert.deepEqual(
      made.map(({ request }) => request),
      [
        ...topics.map((name) => `PUT /v1/projects/${queue.project}/topics/${name}`),
        ...subscriptions.map((name) => `PUT /v1/projects/${queue.project}/subscriptions/${name}`),
        `POST /storage/v1/b?project=${queue.project}`,
      ],
    );
    assert.deepEqual(
      made.slice(3, 6).map(({ body }) => body['topic']),
      topics.map((name) => `projects/${queue.project}/topics/${name}`),
    );
    assert.deepEqual(
      made.slice(3, 6).map(({ body }) => Object.hasOwn(body, 'deadLetterPolicy')),
      [true, false, false],
    );
    assert.equal(made.at(-1)?.body['name'], archive.bucket);
  });

  test('the container has a read-only root, no capabilities, and its port on the loopback only', () => {
    assert.equal(at(services, 'archiver', 'read_only'), 'true');
    assert.deepEqual(at(services, 'archiver', 'cap_drop'), ['ALL']);
    assert.deepEqual(at(services, 'archiver', 'ports'), ['127.0.0.1:8080:8080']);
  });
});

/** `${NAME:?what it is}` has to be set, `${NAME:-default}` need not. */
function substituted(value: string): string {
  return value.replace(/\$\{(\w+):([?-])(.*)\}$/, (_, name: string, kind: string, rest: string) => {
    if (kind === '-') return rest;
    return name === 'GENESYS_REGION' ? 'mypurecloud.de' : 'set-by-the-user';
  });
}

interface Made {
  readonly request: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Runs the script of the set-up against a server that refuses each first request, as one that is still starting. */
async function madeBy(script: string): Promise<readonly Made[]> {
  const made: Made[] = [];
  let refused = false;
  const server = createServer((req, res) => {
    if (!refused) {
      refused = true;
      res.writeHead(503).end();
      return;
    }
    void text(req).then((body) => {
      made.push({ request: `${req.method ?? ''} ${req.url ?? ''}`, body: JSON.parse(body) });
      return res.writeHead(made.length === 1 ? 409 : 200).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const origin = `http://127.0.0.1:${String(address.port)}`;
  const env = { PUBSUB: `${origin}/v1/projects/local`, STORAGE: `${origin}/storage/v1/b?project=local` };
  const args = ['--input-type=module', '-e', script.replaceAll('$$', () => '$')];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  server.closeAllConnections();
  server.close();
  assert.equal(code, 0, errors);
  return made;
}

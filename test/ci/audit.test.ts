/** The check against advisories, with a registry of ours that knows some, none, or nothing of the kind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../../.ci/audit.mjs', import.meta.url));

/** As the registry answers: https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md, bulk advisories. */
const ADVISORY = {
  id: 1,
  title: 'Anybody may do anything',
  url: 'https://github.com/advisories/GHSA-0000-0000-0000',
  severity: 'critical',
  vulnerable_versions: '>=3.0.0',
  cwe: [],
  cvss: { score: 10, vectorString: null },
};

async function audit(answer: RequestListener): Promise<{ readonly said: string; readonly code: number | null }> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const result = await run(`http://127.0.0.1:${String(address.port)}`);
  server.closeAllConnections();
  server.close();
  return result;
}

async function run(registry: string): Promise<{ readonly said: string; readonly code: number | null }> {
  const env = { ...process.env, npm_config_registry: registry, npm_execpath: undefined };
  const child = spawn(process.execPath, [SCRIPT], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const said = await text(child.stdout);
  await exit;
  return { said, code: child.exitCode };
}

/** Answers the question about advisories, and nothing else. */
function bulk(body: unknown): RequestListener {
  return (req, res) => {
    const isBulk = req.method === 'POST' && req.url === '/-/npm/v1/security/advisories/bulk';
    res.writeHead(isBulk ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(isBulk ? body : {}));
  };
}

test('an advisory about a production dependency fails, and is named, also where the tests depend on it as well', async () => {
  const { said, code } = await audit(bulk({ winston: [ADVISORY] }));
  assert.equal(code, 1, said);
  assert.match(said, /^winston .*critical.*Anybody may do anything https:\/\/github/m);
});

test('one about a dependency of the tests alone does not count', async () => {
  const { said, code } = await audit(bulk({ prettier: [{ ...ADVISORY, vulnerable_versions: '>=0' }] }));
  assert.deepEqual([said.trim(), code], ['No advisory about a production dependency.', 0]);
});

const UNHELPFUL: Readonly<Record<string, RequestListener>> = {
  'does not know the question (404)': (_req, res) => res.writeHead(404).end('{}'),
  'allows no questions (405)': (_req, res) => res.writeHead(405, { allow: 'GET' }).end(),
  'breaks off': (req) => req.socket.destroy(),
  'answers with a page': (_req, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<html>Log in</html>'),
};

for (const [what, answer] of Object.entries(UNHELPFUL)) {
  test(`a registry that ${what} is no reason to fail, and it is said`, async () => {
    const { said, code } = await audit(answer);
    assert.match(said, /^SKIPPED: /);
    assert.equal(code, 0);
  });
}

test('nobody at the other end is no reason to fail, and it is said', async () => {
  const { said, code } = await run('http://127.0.0.1:9');
  assert.match(said, /^SKIPPED: /);
  assert.equal(code, 0);
});
